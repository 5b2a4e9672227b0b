-- Who may ask over HTTP: of each token the hash, never the token. A name is used once: the journal speaks of it.

CREATE TABLE reconcile_tokens (
    name       TEXT PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 63),
    scope      TEXT NOT NULL CHECK (scope IN ('read', 'operate', 'secrets')),
    hash       TEXT NOT NULL UNIQUE CHECK (length(hash) = 64),
    created_at TIMESTAMPTZ NOT NULL,
    created_by TEXT NOT NULL,
    expires_at TIMESTAMPTZ,
    revoked_at TIMESTAMPTZ,
    revoked_by TEXT
);
