//! Tables that are not what they seem: a name of ours under which rows of another database would be read and written.
//!
//! The catalog, the server and the stamp may all be right, and `sessions` still be a foreign table, or a view of one. So
//! each of our names must be a table of this database: on PostgreSQL an ordinary or partitioned one, none of its
//! partitions or heirs a foreign table, and no rule that does something else `INSTEAD` of our statement, or that also
//! does something to a foreign table or through a view; on SQLite a table with pages of its own. Triggers are not judged: what they do besides is the business of whoever made them, and
//! a row that they do not let through is a conflict.

use super::connect::Database;
use super::error::Error;
use super::rights;
use crate::guard::Fact;

/// A name of ours that is no table of this database, and what it is: `sessions is a foreign table`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diverted(pub String);

impl Diverted {
    pub(super) fn refused(&self, database: &Database) -> Error {
        let why = format!("{}, and each of our tables must be a table of this database itself", self.0);
        let mend = "find out who made it, and rename or drop it; nothing was read or written through it";
        database.guard().refuse(database.admitted(), Fact::Stamp, why, mend).into()
    }
}

/// Our names, as the queries below want them: each between two blanks.
pub(super) fn names() -> String {
    format!(" {} ", rights::tables().collect::<Vec<_>>().join(" "))
}

/// A scalar query for SQLite: the first of our names that is no table, and what it is. `$1`: [`names`].
macro_rules! sqlite {
    () => {
        "(SELECT name || CASE WHEN type = 'view' THEN ' is a view' ELSE ' is a virtual table' END
          FROM sqlite_schema
          WHERE type IN ('table', 'view') AND coalesce(rootpage, 0) = 0
            AND instr($1, ' ' || lower(name) || ' ') > 0
          ORDER BY name LIMIT 1)"
    };
}

/// As [`sqlite`], for PostgreSQL. `$1`: [`names`], `$2`: the schema.
macro_rules! postgres {
    () => {
        "(SELECT c.relname || w.what
          FROM pg_catalog.pg_class c CROSS JOIN LATERAL (SELECT CASE
              WHEN c.relkind = 'f' THEN ' is a foreign table'
              WHEN c.relkind = 'v' THEN ' is a view'
              WHEN c.relkind = 'm' THEN ' is a materialized view'
              WHEN c.relkind NOT IN ('r', 'p') THEN ' is not a table'
              WHEN c.relhasrules AND EXISTS (
                  SELECT FROM pg_catalog.pg_rewrite r WHERE r.ev_class = c.oid AND r.is_instead)
                  THEN ' has a rule that does something else instead'
              WHEN c.relhasrules AND EXISTS (
                  SELECT FROM pg_catalog.pg_rewrite r
                  JOIN pg_catalog.pg_depend p ON p.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
                      AND p.objid = r.oid AND p.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
                  JOIN pg_catalog.pg_class d ON d.oid = p.refobjid
                  WHERE r.ev_class = c.oid AND d.relkind IN ('f', 'v'))
                  THEN ' has a rule that leads to a foreign table or a view'
              WHEN c.relhassubclass AND EXISTS (
                  WITH RECURSIVE heirs AS (
                      SELECT i.inhrelid FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid
                      UNION SELECT i.inhrelid FROM heirs h JOIN pg_catalog.pg_inherits i ON i.inhparent = h.inhrelid)
                  SELECT FROM heirs h JOIN pg_catalog.pg_class d ON d.oid = h.inhrelid
                  WHERE d.relkind NOT IN ('r', 'p'))
                  THEN ' has a foreign table as a partition or heir'
              END AS what) w
          WHERE c.relnamespace = (SELECT n.oid FROM pg_catalog.pg_namespace n WHERE n.nspname = $2)
            AND c.relname = ANY (pg_catalog.string_to_array($1, ' ')::pg_catalog.name[])
            AND c.relkind NOT IN ('i', 'I', 'S', 't')
            AND w.what IS NOT NULL
          ORDER BY c.relname LIMIT 1)"
    };
}

pub(super) use {postgres, sqlite};
