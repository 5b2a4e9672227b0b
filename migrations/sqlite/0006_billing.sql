-- What billing has said: which events are known, and which subscriptions it has released.

CREATE TABLE reconcile_billing_events (
    id          TEXT PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 255),
    received_at TEXT NOT NULL
);
CREATE INDEX reconcile_billing_events_received ON reconcile_billing_events (received_at);

-- One row for the first event that released it: an instance may be declared before or after.
CREATE TABLE reconcile_releases (
    subscription_id BLOB PRIMARY KEY,
    event_type      TEXT NOT NULL,
    released_at     TEXT NOT NULL
);
