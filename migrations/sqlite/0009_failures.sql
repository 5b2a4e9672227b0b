-- What the last runs failed at, and with what: a row goes when its resource is applied, in sync, or no longer managed.
CREATE TABLE reconcile_failures (
    kind     TEXT NOT NULL,
    name     TEXT NOT NULL,
    first_at TEXT NOT NULL,
    last_at  TEXT NOT NULL,
    times    INTEGER NOT NULL,
    message  TEXT NOT NULL,
    PRIMARY KEY (name, kind)
);
