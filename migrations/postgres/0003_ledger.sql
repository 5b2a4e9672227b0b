-- What grows with the resources, made for writing much at once.

-- Half of each page is left free, so that a new version of a row lies beside the old one and needs no new index entry.
-- Names differ sooner than kinds do, so they are compared first, byte by byte, whatever language the catalog speaks.
ALTER TABLE reconcile_applied SET (fillfactor = 50);
ALTER TABLE reconcile_applied DROP CONSTRAINT reconcile_applied_pkey;
ALTER TABLE reconcile_applied
    ALTER COLUMN kind TYPE TEXT COLLATE "C", ALTER COLUMN name TYPE TEXT COLLATE "C", ADD PRIMARY KEY (name, kind);

ALTER TABLE reconcile_flaps DROP CONSTRAINT reconcile_flaps_pkey;
ALTER TABLE reconcile_flaps
    ALTER COLUMN kind TYPE TEXT COLLATE "C", ALTER COLUMN name TYPE TEXT COLLATE "C", ADD PRIMARY KEY (name, kind);

DROP INDEX reconcile_journal_resource;
ALTER TABLE reconcile_journal ALTER COLUMN kind TYPE TEXT COLLATE "C", ALTER COLUMN name TYPE TEXT COLLATE "C";
CREATE INDEX reconcile_journal_resource ON reconcile_journal (name, kind);

-- Sessions may be a million, and all others few: these are found without looking through those.
CREATE INDEX reconcile_applied_others ON reconcile_applied (kind) WHERE kind <> 'session';
