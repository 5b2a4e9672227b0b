-- What billing has said: which events are known, and which subscriptions it has released.

CREATE TABLE reconcile_billing_events (
    id          VARCHAR(255) COLLATE "C" PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 255),
    received_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX reconcile_billing_events_received ON reconcile_billing_events (received_at);

-- One row for the first event that released it: an instance may be declared before or after.
CREATE TABLE reconcile_releases (
    subscription_id UUID PRIMARY KEY,
    event_type      TEXT NOT NULL,
    released_at     TIMESTAMPTZ NOT NULL
);
