-- Servers, the customer instances on them, and how far each allocation has come.

CREATE TABLE IF NOT EXISTS db_servers (
    id                TEXT PRIMARY KEY,
    name              TEXT NOT NULL UNIQUE,
    host              TEXT NOT NULL,
    port              INTEGER NOT NULL DEFAULT 5432 CHECK (port BETWEEN 1 AND 65535),
    server_type       TEXT NOT NULL DEFAULT 'shared' CHECK (server_type IN ('shared', 'dedicated')),
    max_instances     INTEGER NOT NULL CHECK (max_instances >= 1),
    -- A counter beside the rows that it counts: what takes a place compares and raises it in one statement.
    current_instances INTEGER NOT NULL DEFAULT 0 CHECK (current_instances BETWEEN 0 AND max_instances),
    status            TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'maintenance')),
    health_status     TEXT NOT NULL DEFAULT 'unknown'
                      CHECK (health_status IN ('unknown', 'healthy', 'degraded', 'unhealthy')),
    priority          INTEGER NOT NULL DEFAULT 100,
    last_allocated_at TEXT,
    created_at        TEXT NOT NULL,
    updated_at        TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS instances (
    id                  TEXT PRIMARY KEY,
    customer_id         TEXT NOT NULL,
    subscription_id     TEXT,
    name                TEXT NOT NULL,
    plan_tier           TEXT NOT NULL DEFAULT 'standard' CHECK (plan_tier IN ('standard', 'premium', 'enterprise')),
    status              TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'retired', 'forgotten')),
    provisioning_status TEXT NOT NULL DEFAULT 'ready' CHECK (provisioning_status IN (
                            'reserved', 'database_created', 'allocated', 'provisioning', 'ready', 'failed',
                            'forgotten')),
    db_server_id        TEXT REFERENCES db_servers (id),
    db_host             TEXT,
    db_port             INTEGER DEFAULT 5432,
    created_at          TEXT NOT NULL,
    updated_at          TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS instances_db_server ON instances (db_server_id);

-- What reconcile knows of a server beyond its row.
CREATE TABLE reconcile_servers (
    server_id    TEXT PRIMARY KEY REFERENCES db_servers (id),
    -- The name of the secret that the configuration knows; never the secret.
    admin        TEXT,
    -- The cluster that the server was at its first use: another one behind its address is refused.
    identity     TEXT UNIQUE,
    -- Checks in a row that failed.
    failures     INTEGER NOT NULL DEFAULT 0,
    health_since TEXT,
    last_error   TEXT
);

-- A place on a server: taken when it is reserved, free again when the instance is forgotten.
CREATE TABLE reconcile_allocations (
    instance_id          TEXT PRIMARY KEY REFERENCES instances (id),
    server_id            TEXT NOT NULL REFERENCES db_servers (id),
    db_name              TEXT NOT NULL UNIQUE,
    db_user              TEXT NOT NULL UNIQUE,
    -- The file's number last applied.
    credentials_rotation INTEGER NOT NULL DEFAULT 1,
    -- How many passwords were set. No password is kept anywhere.
    passwords            INTEGER NOT NULL DEFAULT 0,
    handed_off_at        TEXT,
    handed_off_until     TEXT,
    released_at          TEXT,
    released_by          TEXT,
    -- How many tasks were dispatched, and the last one's id.
    dispatches           INTEGER NOT NULL DEFAULT 0,
    task_id              TEXT,
    dispatched_at        TEXT,
    finished_at          TEXT,
    outcome              TEXT
);
CREATE INDEX reconcile_allocations_server ON reconcile_allocations (server_id);

