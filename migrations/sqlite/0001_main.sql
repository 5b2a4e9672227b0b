-- Sessions, their hosts, and the bookkeeping of reconcile.
-- Times are RFC 3339 in UTC, cut to microseconds; ids are hyphenated text.

CREATE TABLE IF NOT EXISTS sessions (
    session_id  INTEGER PRIMARY KEY CHECK (session_id > 0),
    title       TEXT NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    status      TEXT NOT NULL CHECK (status IN ('active', 'inactive', 'ended')),
    created_by  TEXT NOT NULL CHECK (length(created_by) <= 128),
    starts_at   TEXT,
    expires_at  TEXT,
    created_at  TEXT NOT NULL,
    updated_at  TEXT NOT NULL
);

-- One active row per session: held by the index host_sessions_one_active, which is made when no
-- earlier duplicates stand against it.
CREATE TABLE IF NOT EXISTS host_sessions (
    host_session_id      INTEGER PRIMARY KEY AUTOINCREMENT,
    session_id           INTEGER NOT NULL REFERENCES sessions (session_id),
    host_guid_hash       TEXT NOT NULL CHECK (length(host_guid_hash) <= 128),
    key_id               TEXT,
    created_at           TEXT NOT NULL,
    created_by           TEXT NOT NULL CHECK (length(created_by) <= 128),
    is_active            BOOLEAN NOT NULL DEFAULT TRUE,
    expires_at           TEXT,
    last_used_at         TEXT,
    revoked_at           TEXT,
    revoked_by           TEXT CHECK (length(revoked_by) <= 128),
    rotation             INTEGER NOT NULL DEFAULT 0 CHECK (rotation >= 0),
    generation           INTEGER NOT NULL DEFAULT 1 CHECK (generation >= 1),
    attempt              TEXT,
    previous_hash        TEXT CHECK (length(previous_hash) <= 128),
    previous_key_id      TEXT,
    previous_valid_until TEXT
);
CREATE INDEX IF NOT EXISTS host_sessions_session ON host_sessions (session_id);

-- One row for each secret that was put in the hand-off: never the secret itself.
CREATE TABLE reconcile_handoffs (
    attempt       TEXT PRIMARY KEY,
    kind          TEXT NOT NULL,
    name          TEXT NOT NULL,
    minted_at     TEXT NOT NULL,
    expires_at    TEXT NOT NULL,
    -- The secret before this one stays valid at least until then, also when this one is claimed earlier.
    overlap_until TEXT,
    claimed_at    TEXT,
    claimed_by    TEXT
);
CREATE INDEX reconcile_handoffs_resource ON reconcile_handoffs (kind, name);

-- What was last applied to each resource, so that drift can be told from intent.
CREATE TABLE reconcile_applied (
    kind       TEXT NOT NULL,
    name       TEXT NOT NULL,
    digest     TEXT NOT NULL,
    applied_at TEXT NOT NULL,
    PRIMARY KEY (kind, name)
);

CREATE TABLE reconcile_journal (
    journal_id  INTEGER PRIMARY KEY AUTOINCREMENT,
    at          TEXT NOT NULL,
    environment TEXT NOT NULL,
    run         TEXT NOT NULL,
    actor       TEXT NOT NULL,
    revision    TEXT NOT NULL,
    kind        TEXT NOT NULL,
    name        TEXT NOT NULL,
    action      TEXT NOT NULL,
    before      TEXT,
    after       TEXT,
    reason      TEXT
);
CREATE INDEX reconcile_journal_resource ON reconcile_journal (kind, name);

-- One applier at a time: whoever holds the lease writes its fencing number into every transaction's check.
CREATE TABLE reconcile_lease (
    lease_id    INTEGER PRIMARY KEY CHECK (lease_id = 1),
    holder      TEXT,
    fencing     INTEGER NOT NULL,
    heartbeat   INTEGER NOT NULL,
    acquired_at TEXT
);
INSERT INTO reconcile_lease (lease_id, holder, fencing, heartbeat) VALUES (1, NULL, 0, 0);

CREATE TABLE reconcile_approvals (
    digest      TEXT PRIMARY KEY,
    actor       TEXT NOT NULL,
    reason      TEXT NOT NULL,
    approved_at TEXT NOT NULL
);

-- Kind and name are empty for "everything".
CREATE TABLE reconcile_suspensions (
    kind         TEXT NOT NULL,
    name         TEXT NOT NULL,
    actor        TEXT NOT NULL,
    reason       TEXT NOT NULL,
    suspended_at TEXT NOT NULL,
    PRIMARY KEY (kind, name)
);

-- How many turns in a row the same drift had to be put right.
CREATE TABLE reconcile_flaps (
    kind   TEXT NOT NULL,
    name   TEXT NOT NULL,
    digest TEXT NOT NULL,
    turns  INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
);

-- The last turn, as whoever applied it saw it.
CREATE TABLE reconcile_turns (
    turn_id     INTEGER PRIMARY KEY CHECK (turn_id = 1),
    run         TEXT NOT NULL,
    holder      TEXT NOT NULL,
    started_at  TEXT NOT NULL,
    finished_at TEXT NOT NULL,
    revision    TEXT NOT NULL,
    outcome     TEXT NOT NULL,
    summary     TEXT NOT NULL,
    good_at     TEXT
);

-- What this database is: written by the first migration, compared before anything else.
CREATE TABLE reconcile_stamp (
    stamp_id          INTEGER PRIMARY KEY CHECK (stamp_id = 1),
    environment       TEXT NOT NULL,
    identity          TEXT NOT NULL,
    -- PostgreSQL's own, where it may be read: a restored copy has another.
    system_identifier TEXT,
    stamped_at        TEXT NOT NULL,
    stamped_by        TEXT NOT NULL
);
