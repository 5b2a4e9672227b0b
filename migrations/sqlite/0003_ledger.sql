-- Names differ sooner than kinds do, so they are compared first.
DROP INDEX reconcile_journal_resource;
CREATE INDEX reconcile_journal_resource ON reconcile_journal (name, kind);

-- Sessions may be a million, and all others few: these are found without looking through those.
CREATE INDEX reconcile_applied_others ON reconcile_applied (kind) WHERE kind <> 'session';
