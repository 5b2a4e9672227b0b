-- What is asked for over HTTP. Turns, until one has answered: whoever is asked, it is whoever holds the lease that
-- answers. And what was done under a key of its asker's, so that it is not done twice.

CREATE TABLE reconcile_requests (
    request_id  UUID PRIMARY KEY,
    asked_by    TEXT NOT NULL,
    reason      TEXT,
    asked_at    TIMESTAMPTZ NOT NULL,
    -- The turn that answered: all of them NULL, or none.
    handled_run UUID,
    handled_at  TIMESTAMPTZ,
    outcome     TEXT,
    detail      JSONB
);

-- Of the few that are open, so that to look for them costs nothing.
CREATE INDEX reconcile_requests_open ON reconcile_requests (asked_at) WHERE handled_at IS NULL;

CREATE TABLE reconcile_idempotency (
    token    TEXT NOT NULL,
    word     TEXT NOT NULL CHECK (length(word) BETWEEN 1 AND 255),
    -- Of the request: method, path and body.
    digest   TEXT NOT NULL CHECK (length(digest) = 64),
    -- Who is on it, until there is an answer.
    attempt  UUID NOT NULL,
    begun_at TIMESTAMPTZ NOT NULL,
    -- The answer, without what was secret in it. NULL: it is still under way.
    status   BIGINT,
    location TEXT,
    answer   JSONB,
    PRIMARY KEY (token, word)
);

-- Of all tokens, for those that are old; and of one, for those that are too many.
CREATE INDEX reconcile_idempotency_age ON reconcile_idempotency (begun_at);
CREATE INDEX reconcile_idempotency_order ON reconcile_idempotency (token, begun_at);
