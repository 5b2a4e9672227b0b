-- Names differ sooner than kinds do, so they are compared first.
DROP INDEX reconcile_journal_resource;
CREATE INDEX reconcile_journal_resource ON reconcile_journal (name, kind);
