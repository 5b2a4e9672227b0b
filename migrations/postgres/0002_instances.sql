-- Servers, the customer instances on them, and how far each allocation has come.

CREATE TABLE IF NOT EXISTS db_servers (
    id                UUID PRIMARY KEY,
    name              VARCHAR(63) NOT NULL UNIQUE,
    host              VARCHAR(255) NOT NULL,
    port              BIGINT NOT NULL DEFAULT 5432 CHECK (port BETWEEN 1 AND 65535),
    server_type       TEXT NOT NULL DEFAULT 'shared' CHECK (server_type IN ('shared', 'dedicated')),
    max_instances     BIGINT NOT NULL CHECK (max_instances >= 1),
    -- A counter beside the rows that it counts: what takes a place compares and raises it in one statement.
    current_instances BIGINT NOT NULL DEFAULT 0 CHECK (current_instances BETWEEN 0 AND max_instances),
    status            TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'maintenance')),
    health_status     TEXT NOT NULL DEFAULT 'unknown'
                      CHECK (health_status IN ('unknown', 'healthy', 'degraded', 'unhealthy')),
    priority          BIGINT NOT NULL DEFAULT 100,
    last_allocated_at TIMESTAMPTZ,
    created_at        TIMESTAMPTZ NOT NULL,
    updated_at        TIMESTAMPTZ NOT NULL
);

CREATE TABLE IF NOT EXISTS instances (
    id                  UUID PRIMARY KEY,
    customer_id         UUID NOT NULL,
    subscription_id     UUID,
    name                VARCHAR(200) NOT NULL,
    plan_tier           TEXT NOT NULL DEFAULT 'standard' CHECK (plan_tier IN ('standard', 'premium', 'enterprise')),
    status              TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'retired', 'forgotten')),
    provisioning_status TEXT NOT NULL DEFAULT 'ready' CHECK (provisioning_status IN (
                            'reserved', 'database_created', 'allocated', 'provisioning', 'ready', 'failed',
                            'forgotten')),
    db_server_id        UUID REFERENCES db_servers (id),
    db_host             VARCHAR(255),
    db_port             BIGINT DEFAULT 5432,
    created_at          TIMESTAMPTZ NOT NULL,
    updated_at          TIMESTAMPTZ NOT NULL
);
CREATE INDEX IF NOT EXISTS instances_db_server ON instances (db_server_id);

-- What reconcile knows of a server beyond its row.
CREATE TABLE reconcile_servers (
    server_id    UUID PRIMARY KEY REFERENCES db_servers (id),
    -- The name of the secret that the configuration knows; never the secret.
    admin        TEXT,
    -- The cluster that the server was at its first use: another one behind its address is refused.
    identity     TEXT UNIQUE,
    -- Checks in a row that failed.
    failures     BIGINT NOT NULL DEFAULT 0,
    health_since TIMESTAMPTZ,
    last_error   TEXT
);

-- A place on a server: taken when it is reserved, free again when the instance is forgotten.
CREATE TABLE reconcile_allocations (
    instance_id          UUID PRIMARY KEY REFERENCES instances (id),
    server_id            UUID NOT NULL REFERENCES db_servers (id),
    db_name              VARCHAR(63) NOT NULL UNIQUE,
    db_user              VARCHAR(63) NOT NULL UNIQUE,
    -- The file's number last applied.
    credentials_rotation BIGINT NOT NULL DEFAULT 1,
    -- How many passwords were set. No password is kept anywhere.
    passwords            BIGINT NOT NULL DEFAULT 0,
    handed_off_at        TIMESTAMPTZ,
    handed_off_until     TIMESTAMPTZ,
    released_at          TIMESTAMPTZ,
    released_by          VARCHAR(128),
    -- How many tasks were dispatched, and the last one's id.
    dispatches           BIGINT NOT NULL DEFAULT 0,
    task_id              UUID,
    dispatched_at        TIMESTAMPTZ,
    finished_at          TIMESTAMPTZ,
    outcome              TEXT
);
CREATE INDEX reconcile_allocations_server ON reconcile_allocations (server_id);

CREATE TRIGGER reconcile_tell AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON db_servers
    FOR EACH STATEMENT EXECUTE FUNCTION reconcile_tell();
CREATE TRIGGER reconcile_tell AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON instances
    FOR EACH STATEMENT EXECUTE FUNCTION reconcile_tell();
