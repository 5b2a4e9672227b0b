-- Where a secret was put: `redis`, or `embedded` and the id of the directory. Of older rows it is not known.
ALTER TABLE reconcile_handoffs ADD COLUMN store TEXT;
ALTER TABLE reconcile_allocations ADD COLUMN handed_off_store TEXT;
