-- What the last runs failed at, and with what: a row goes when its resource is applied, in sync, or no longer managed.
CREATE TABLE reconcile_failures (
    kind     TEXT COLLATE "C" NOT NULL,
    name     TEXT COLLATE "C" NOT NULL,
    first_at TIMESTAMPTZ NOT NULL,
    last_at  TIMESTAMPTZ NOT NULL,
    times    BIGINT NOT NULL,
    message  TEXT NOT NULL,
    PRIMARY KEY (name, kind)
);
