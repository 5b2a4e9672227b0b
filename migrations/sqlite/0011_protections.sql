-- Resources that nobody may change until a file says `protect: false`, whatever becomes of the line that asked for it.
CREATE TABLE reconcile_protections (
    kind         TEXT NOT NULL,
    name         TEXT NOT NULL,
    actor        TEXT NOT NULL,
    protected_at TEXT NOT NULL,
    PRIMARY KEY (name, kind)
);
CREATE INDEX reconcile_protections_others ON reconcile_protections (kind) WHERE kind <> 'session';
