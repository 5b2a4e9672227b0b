//! What all rows share: the servers, the sizes, and the data that takes long to make.

use std::cell::OnceCell;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::data::{self, COLUMNS, Style};
use crate::fixture::postgres::{CATALOG, Postgres};
use crate::options::Options;
use crate::program::{self, Run};
use crate::project::{Database, Project};
use crate::sql::Session;

/// The schema of the large table.
const MILLION: &str = "million";

pub struct Lab {
    pub options: Options,
    postgres: Postgres,
    million: OnceCell<Project>,
}

impl Lab {
    /// A server with an empty catalog.
    pub fn open(options: Options) -> Self {
        let postgres = Postgres::start();
        let mut session = Session::open(&postgres.url("postgres"));
        session.run(&format!("CREATE DATABASE \"{CATALOG}\""));
        session.close();
        Self { options, postgres, million: OnceCell::new() }
    }

    /// Where the projects are.
    pub fn home(&self) -> PathBuf {
        self.postgres.home().join("projects")
    }

    /// A connection to the catalog.
    pub fn session(&self) -> Session {
        Session::open(&self.postgres.url(CATALOG))
    }

    /// `psql`, about to run one statement in the catalog.
    pub fn psql(&self, statement: &str) -> Command {
        self.postgres.psql(statement)
    }

    /// A project with a schema of its own, of the same name, migrated and empty.
    pub fn project(&self, name: &str) -> Project {
        let url = self.postgres.url(CATALOG);
        Project::new(&self.home(), name, &Database::Postgres { url: &url, schema: name })
    }

    /// A project with so many sessions in plain style, committed, and none of them in its database.
    pub fn sessions(&self, name: &str, count: usize) -> Project {
        let project = self.project(name);
        data::write_sessions(&project.state(), count, Style::Plain, 0);
        project.commit();
        project
    }

    /// The same, with all of them applied, and the server at rest.
    pub fn in_sync(&self, name: &str, count: usize) -> Project {
        let project = self.sessions(name, count);
        project.once(&applied(count));
        self.tidy_up();
        project
    }

    /// The sessions that most rows work on: many, in plain style, in sync.
    pub fn million(&self) -> &Project {
        self.million.get_or_init(|| {
            eprintln!("  (making {} sessions)", self.options.sessions);
            self.in_sync(MILLION, self.options.sessions)
        })
    }

    /// Reads the managed columns of the large table with `psql`, in the binary format.
    pub fn copy_out(&self) -> Duration {
        program::time(self.psql(&format!("COPY (SELECT {COLUMNS} FROM {MILLION}.sessions) TO STDOUT (FORMAT binary)")))
    }

    /// Has the server do now what it would do in the background.
    pub fn tidy_up(&self) {
        let mut session = self.session();
        session.run("VACUUM ANALYZE");
        session.run("CHECKPOINT");
        session.close();
    }

    /// Runs the yardstick and the program in turns.
    pub fn in_turns(&self, mut yardstick: impl FnMut() -> Duration, mut program: impl FnMut() -> Run) -> Pairs {
        let runs = 0..self.options.runs;
        let (yardstick, runs) = runs.map(|_| (yardstick(), program())).unzip();
        Pairs { yardstick, runs }
    }
}

/// What interleaved runs gave.
pub struct Pairs {
    pub yardstick: Vec<Duration>,
    pub runs: Vec<Run>,
}

/// The last line of a turn that has changed so much.
pub fn applied(count: usize) -> String {
    format!("Applied: {count} changes")
}

/// The last line of a plan that finds nothing to do.
pub fn unchanged(count: usize) -> String {
    format!("No changes. The database matches the desired state. {count} unchanged")
}
