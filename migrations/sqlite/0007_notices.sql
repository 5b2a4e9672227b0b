-- What others are to be told: as it happens, what they know of already, and the messages on their way.

-- Written in the transaction that makes it true.
CREATE TABLE reconcile_outbox (
    outbox_id INTEGER PRIMARY KEY AUTOINCREMENT,
    at        TEXT NOT NULL,
    event     TEXT NOT NULL,
    about     TEXT NOT NULL,
    actor     TEXT NOT NULL,
    reason    TEXT,
    text      TEXT NOT NULL
);

-- What a turn found the last time, so that only what is new is told.
CREATE TABLE reconcile_told (
    topic TEXT PRIMARY KEY,
    state TEXT NOT NULL
);

-- One message to one receiver, until it has it.
CREATE TABLE reconcile_deliveries (
    delivery_id BLOB PRIMARY KEY,
    target      TEXT NOT NULL,
    event       TEXT NOT NULL,
    items       TEXT NOT NULL,
    made_at     TEXT NOT NULL,
    attempts    INTEGER NOT NULL DEFAULT 0,
    due_at      TEXT NOT NULL,
    last_error  TEXT
);
CREATE INDEX reconcile_deliveries_due ON reconcile_deliveries (due_at);
