-- Where a change came from: the files (intended), the database (drift), a command (manual); NULL: none of these, or older.
ALTER TABLE reconcile_journal ADD COLUMN origin TEXT CHECK (origin IN ('intended', 'drift', 'manual'));

-- What concerns everything says so.
UPDATE reconcile_journal SET kind = 'everything', name = 'everything' WHERE kind = 'session' AND name = '*';

-- The changes of the last run that wait for a person: a list of digests, each with its reason.
ALTER TABLE reconcile_turns ADD COLUMN held TEXT NOT NULL DEFAULT '[]';
