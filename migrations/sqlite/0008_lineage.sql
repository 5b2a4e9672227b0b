-- The commits that were applied, by name of the lineage: a run whose commit does not contain the last one is held.

CREATE TABLE reconcile_lineage (
    lineage      TEXT NOT NULL,
    commit_id    TEXT NOT NULL,
    -- The highest one was applied last.
    number       INTEGER NOT NULL,
    committed_at TEXT,
    applied_at   TEXT NOT NULL,
    -- Whether the files were those of the commit.
    is_clean     BOOLEAN NOT NULL,
    -- Where the history begins, as far as it could be seen.
    root         TEXT,
    PRIMARY KEY (lineage, commit_id)
);
CREATE INDEX reconcile_lineage_number ON reconcile_lineage (lineage, number);
