//! What must be there before anything is written: the data directory, marked as this environment's, and the database.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use super::{ATTEMPTS, World};
use crate::desired::git::{Brought, brought};
use crate::failure::{Failure, Result};
use crate::file::{self, DataDir, Fault, MarkError};
use crate::guard::{BELL, Fact, SQLITES, Target, companion};
use crate::port::keys::{KeySource, SourceError};
use crate::port::{Minting, Shelf};
use crate::resource::host;
use crate::store::error::Error;
use crate::store::migrate::{self, Migrated};

impl World {
    /// Whether anything of this world lies in the data directory.
    fn uses_data_dir(&self) -> bool {
        matches!(self.shelf, Shelf::Embedded { .. })
            || matches!(self.config.host_keys, KeySource::Made(_))
            || self.is_embedded()
    }

    /// Whether the database lies in the data directory.
    fn is_embedded(&self) -> bool {
        let directory = std::path::absolute(&self.config.data_dir);
        match (self.database.target(), directory) {
            (Target::Sqlite(target), Ok(directory)) => target.path().starts_with(directory),
            (Target::Sqlite(_) | Target::Postgres(_), _) => false,
        }
    }

    fn data_dir(&self) -> DataDir {
        DataDir::new(&self.config.data_dir, self.guard.environment().as_str())
    }

    fn unfit(&self, error: MarkError) -> Failure {
        match error {
            MarkError::Io { .. } => Failure::caused(&error).hint(error.hint()),
            error => self.guard.refuse(self.database.admitted(), Fact::DataDir, error.to_string(), error.hint()).into(),
        }
    }

    /// Compares the data directory's environment with ours, where it is used at all. Writes nothing.
    ///
    /// Errors: it is not ours alone, or of another environment.
    pub(super) fn check_data_dir(&self) -> Result<()> {
        match self.uses_data_dir() {
            true => self.data_dir().check().and_then(|_| self.is_no_link()).map_err(|error| self.unfit(error)),
            false => Ok(()),
        }
    }

    /// That no checkout has put there what is believed because it is ours: a database with tokens, keys, secrets, a mark.
    ///
    /// Errors: a repository has brought some of it.
    pub(super) async fn check_origin(&self) -> Result<()> {
        if !self.uses_data_dir() {
            return Ok(());
        }
        match brought(&self.config.data_dir, DataDir::believes).await {
            None => Ok(()),
            Some(Brought { path, repository }) => Err(self.unfit(MarkError::Brought { path, repository })),
        }
    }

    /// A database in the data directory is there itself. Links to one that a person names elsewhere are followed, and
    /// the guard goes by where they lead; here a repository may have brought them.
    fn is_no_link(&self) -> std::result::Result<(), MarkError> {
        let Target::Sqlite(target) = self.database.target() else { return Ok(()) };
        match file::facts_of_link(target.path()) {
            Ok(facts) if self.is_embedded() && facts.is_symlink() => {
                Err(MarkError::Unfit { path: target.path().to_owned(), fault: Fault::Link })
            }
            _ => Ok(()),
        }
    }

    /// As [`World::check_data_dir`], whatever environment it is of.
    ///
    /// Errors: it is not ours alone.
    pub(super) fn judge_data_dir(&self) -> Result<()> {
        match self.uses_data_dir() {
            true => self.data_dir().mark().and_then(|_| self.is_no_link()).map_err(|error| self.unfit(error)),
            false => Ok(()),
        }
    }

    /// Makes and marks the data directory for secrets, where it is used at all. That there is no room for it stops only
    /// what needs it.
    ///
    /// Errors: as [`World::check_data_dir`] and [`World::check_origin`].
    pub(super) async fn ready_to_mint(&self) -> Result<Minting> {
        // While a daemon runs, a `git pull` puts a file in the place of one that is ignored, and says nothing.
        self.check_origin().await?;
        if let Err(gone) = self.config.host_keys.may_make(keyed(&self.keys_in_use().await?)) {
            return Ok(Minting::Impossible(Arc::new(gone)));
        }
        match if self.uses_data_dir() { self.data_dir().ready(self.identity()) } else { Ok(()) } {
            Ok(()) => Ok(Minting::Yes),
            Err(MarkError::Io { path, source }) => {
                Ok(Minting::Impossible(Arc::new(SourceError::NotMade { path, source })))
            }
            Err(error) => Err(self.unfit(error)),
        }
    }

    /// How many active hosts were made with each key, by its id; none before there is a database.
    pub(super) async fn keys_in_use(&self) -> Result<BTreeMap<Option<String>, usize>> {
        // A closed SQLite file is read without a lock; whoever writes meanwhile makes us look again.
        for _ in 1..ATTEMPTS {
            match self.read_keys_in_use().await {
                Err(Error::Conflict { .. }) => {}
                read => return Ok(read?),
            }
        }
        Ok(self.read_keys_in_use().await?)
    }

    async fn read_keys_in_use(&self) -> crate::store::error::Result<BTreeMap<Option<String>, usize>> {
        let Some(mut snapshot) = self.database.snapshot().await? else { return Ok(BTreeMap::new()) };
        let found = host::rows::by_key(&mut snapshot).await?;
        snapshot.finish().await?;
        Ok(found)
    }

    /// Marks a data directory that is there, whatever environment it was of.
    pub(super) fn restamp_data_dir(&self, identity: Uuid) -> Result<()> {
        let data_dir = self.data_dir();
        let known = data_dir.mark().map_err(|error| self.unfit(error))?;
        match known {
            Some(_) => data_dir.restamp(Some(identity.to_string())).map_err(|error| self.unfit(error)),
            None => Ok(()),
        }
    }

    /// Whether a file of that real path is kept for us, be it there or not: the database and what lies beside it, and what
    /// is in the data directory.
    pub(super) fn is_reserved(&self, place: &Path) -> bool {
        let of_database = match self.database.target() {
            Target::Sqlite(target) => target.locate().is_ok_and(|database| {
                let beside = SQLITES.into_iter().chain([BELL]).map(|suffix| companion(database.path(), suffix));
                place == database.path() || beside.into_iter().any(|beside| place == beside)
            }),
            Target::Postgres(_) => false,
        };
        of_database || self.data_dir().keeps(place)
    }

    /// Of the database, where it has been seen.
    fn identity(&self) -> Option<String> {
        self.database.identity_seen().map(|identity| identity.to_string())
    }

    /// Makes the database ready to be written: the embedded one by itself, PostgreSQL only on demand.
    pub async fn prepare(&self) -> Result<Option<Migrated>> {
        if self.database.driver() != "sqlite" {
            return Ok(None);
        }
        // Where the schema is as it should be, nobody need wait for a writer to find that out. Any trouble shows below.
        if let Ok(Some(snapshot)) = self.database.snapshot().await
            && snapshot.finish().await.is_ok()
        {
            self.mark_embedded()?;
            return Ok(None);
        }
        let migrated = self.migrate().await?;
        Ok((migrated != Migrated::default()).then_some(migrated))
    }

    /// Makes or upgrades the schema, and the SQLite file where it is missing.
    pub async fn migrate(&self) -> Result<Migrated> {
        self.mark_embedded()?;
        let migrated = migrate::migrate(&self.database, &crate::desired::revision::user()).await?;
        self.mark_embedded()?;
        Ok(migrated)
    }

    /// As [`World::prepare`], for what makes no database: it must be there; an older schema is upgraded.
    ///
    /// Errors: it is not there; the path, and what makes it.
    pub async fn require(&self) -> Result<()> {
        if self.database.driver() != "sqlite" {
            return Ok(());
        }
        match self.database.snapshot().await {
            // What changes meanwhile is compared when it is written.
            Ok(Some(snapshot)) => drop(snapshot.finish().await),
            Ok(None) => return Err(self.absent()),
            Err(error @ Error::Refused(_)) => return Err(error.into()),
            Err(_) => drop(migrate::upgrade(&self.database, &crate::desired::revision::user()).await?),
        }
        self.mark_embedded()
    }

    /// That there is a database to be read, with our schema.
    ///
    /// Errors: there is none; the path, and what makes it.
    pub async fn must_exist(&self) -> Result<()> {
        match self.exists().await? {
            true => Ok(()),
            false => Err(self.absent()),
        }
    }

    pub(super) fn absent(&self) -> Failure {
        match self.database.target() {
            Target::Postgres(_) => Error::SchemaMissing.into(),
            Target::Sqlite(_) => Error::Absent { path: self.database.target().server() }.into(),
        }
    }

    fn mark_embedded(&self) -> Result<()> {
        if !self.is_embedded() {
            return Ok(());
        }
        // A database that was there and is gone is not made anew, nor is what it lay in.
        self.database.located()?;
        self.data_dir().ready(self.identity()).map_err(|error| self.unfit(error))
    }
}

/// How many of the hosts were made with a key that is known by its id.
pub(super) fn keyed(in_use: &BTreeMap<Option<String>, usize>) -> usize {
    in_use.iter().filter(|(key, _)| key.is_some()).map(|(_, hosts)| hosts).sum()
}
