//! A project as its users have it: state files in a Git repository, and a database.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::fixture::process;
use crate::program::{self, Run};

/// How long Git may take over a million sessions.
const GIT: Duration = Duration::from_secs(5 * 60);

/// Which database a project has.
pub enum Database<'a> {
    Sqlite,
    /// A schema of its own behind this URL.
    Postgres {
        url: &'a str,
        schema: &'a str,
    },
}

pub struct Project {
    home: PathBuf,
    environment: Vec<(&'static str, String)>,
}

impl Project {
    /// A repository without a commit, below `directory`; on PostgreSQL, the schema is made.
    pub fn new(directory: &Path, name: &str, database: &Database<'_>) -> Self {
        let home = directory.join(name);
        fs::create_dir_all(home.join("repository/desired-state")).expect("make the project");
        let data = home.join("data").display().to_string();
        // Statements over a million rows may take longer than a statement should.
        let mut environment =
            vec![("RECONCILE_DATA_DIR", data), ("RECONCILE_DATABASE_STATEMENT_TIMEOUT", "20m".into())];
        match database {
            Database::Sqlite => {
                let url = format!("sqlite:{}", home.join("KSESSIONS_DEV.db").display());
                environment.push(("RECONCILE_DATABASE_URL", url));
            }
            Database::Postgres { url, schema } => {
                environment.push(("RECONCILE_DATABASE_URL", (*url).to_owned()));
                environment.push(("RECONCILE_DATABASE_SCHEMA", (*schema).to_owned()));
            }
        }
        let project = Self { home, environment };
        project.git(&["init", "--quiet"]);
        if let Database::Postgres { .. } = database {
            // The server is ours alone, so that other schemas in its catalog are those of other projects here.
            program::run(project.command(&["migrate", "--adopt", "--environment", "development"]));
        }
        project
    }

    /// Another directory of files for the same database.
    pub fn beside(&self, name: &str) -> Self {
        let home = self.home.with_file_name(name);
        fs::create_dir_all(home.join("repository/desired-state")).expect("make the project");
        let mut environment = self.environment.clone();
        environment.push(("RECONCILE_DATA_DIR", home.join("data").display().to_string()));
        let project = Self { home, environment };
        project.git(&["init", "--quiet"]);
        project
    }

    /// One more setting.
    pub fn set(&mut self, variable: &'static str, value: &str) {
        self.environment.push((variable, value.to_owned()));
    }

    /// A directory on the same disk that nothing watches.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Where the state files are.
    pub fn state(&self) -> PathBuf {
        self.home.join("repository/desired-state")
    }

    /// Commits all files as they are.
    pub fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "Say what should exist"]);
    }

    /// The program, in the repository, with nothing of the caller's environment but the path.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reconcile"));
        command.args(arguments).current_dir(self.home.join("repository")).stdin(Stdio::null()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", &self.home);
        command.envs(self.environment.iter().map(|(variable, value)| (variable, value)));
        command
    }

    /// A preview that starts with nothing at hand but files and database. Fails unless its last line has these `words`.
    pub fn plan(&self, words: &str) -> Run {
        let data = self.home.join("data");
        if data.exists() {
            fs::remove_dir_all(&data).expect("forget what earlier runs left behind");
        }
        ended(program::run(self.command(&["--plan"])), words)
    }

    /// One turn that applies what it must, whatever the budget says. Fails unless its last line has these `words`.
    pub fn once(&self, words: &str) -> Run {
        ended(program::run(self.command(&["--once", "--quiet", "--force", "--reason", "bench"])), words)
    }

    fn git(&self, words: &[&str]) {
        let mut git = Command::new("git");
        git.args(["-c", "core.compression=0", "-c", "gc.auto=0", "-c", "commit.gpgSign=false"]);
        git.args(["-c", "user.name=Noor Team", "-c", "user.email=noor@example.com"]).args(words);
        git.current_dir(self.home.join("repository")).env("GIT_CONFIG_GLOBAL", "/dev/null");
        git.env("GIT_CONFIG_SYSTEM", "/dev/null");
        process::finish(&mut git, "", GIT).expect_code(0);
    }
}

/// A run whose last line tells of these `words`, so that a wrong plan cannot pass for a fast one.
fn ended(run: Run, words: &str) -> Run {
    let last = run.text.trim_end().lines().next_back().unwrap_or_default();
    let told = last.split_once(words).is_some_and(|(before, after)| {
        !before.ends_with(|letter: char| letter.is_ascii_digit()) && !after.starts_with(char::is_alphanumeric)
    });
    assert!(told, "{words:?} was expected in the last line of:\n{}", run.text);
    run
}
