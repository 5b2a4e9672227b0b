//! Reading the files: what they want, as far as anything can be told without a database.

use std::sync::Arc;
use std::time::Instant;

use super::memory::{Good, Since};
use super::{Picture, Work, World};
use crate::change::Revision;
use crate::config::Config;
use crate::desired::load::{Leaf, Loaded, load};
use crate::desired::tree::{At, Filed, Limits};
use crate::failure::{Failure, Result};
use crate::kinds::Desired;
use crate::progress::Progress;
use crate::yaml::{Place, Problem, Problems};

/// What the files want, and where they were read.
pub struct Wanted {
    pub desired: Desired,
    pub revision: Revision,
    /// Worth saying, but no reason to stop.
    pub warnings: Problems,
    pub(super) leaves: Arc<[Filed<Leaf>]>,
    /// Files that were not read again.
    pub(super) reused: usize,
}

impl Wanted {
    /// What the files wanted when they were last without problems.
    pub(super) fn last_good(good: Good) -> Self {
        let Good { leaves, revision, warnings, read_at: _ } = good;
        let (desired, _) = Desired::gather(leaves.iter().map(|leaf| (&leaf.path, &leaf.made.sheet)));
        Self { desired, revision, warnings, reused: leaves.len(), leaves }
    }

    /// How much there was to look at, where of the sessions only those of `since` were.
    pub(super) fn work(&self, since: Option<&Since>, picture: &Picture) -> Work {
        let rows = since.map_or(picture.observed.sessions.total, |since| since.asked.len() as u64);
        Work { files: self.leaves.len(), reused: self.reused, rows }
    }
}

impl World {
    /// Reads the files. Errors: all their problems together, and then nothing of the turn is done.
    pub async fn read(&self) -> Result<Wanted> {
        let begun = Instant::now();
        let at = self.config.source.into();
        let loaded = files(&self.config, at, self.memory.leaves(), &self.progress).await?;
        self.memory.has_read(&loaded.leaves);
        let (files, reused, took) = (loaded.leaves.len(), loaded.reused, begun.elapsed().as_secs_f64() * 1e3);
        tracing::debug!(files, reused, took_ms = took, "the files are read");
        wanted(&self.config, loaded)
    }

    /// Reads the files as a commit has them, by its full id.
    pub(super) async fn read_commit(&self, commit: &str) -> Result<Wanted> {
        let loaded = files(&self.config, At::Commit(commit), Arc::from([]), &self.progress).await?;
        wanted(&self.config, loaded)
    }
}

/// Reads the files of `config`, and says at once what is wrong with them and what only a database can decide. Needs none.
pub async fn read(config: &Config) -> Result<Wanted> {
    let mut loaded = files(config, config.source.into(), Arc::from([]), &Arc::default()).await?;
    loaded.desired.doubts().into_iter().for_each(|doubt| loaded.problems.push(doubt));
    loaded.problems.sort();
    wanted(config, loaded)
}

async fn files(config: &Config, at: At<'_>, known: Arc<[Filed<Leaf>]>, progress: &Arc<Progress>) -> Result<Loaded> {
    let limit = usize::try_from(config.file_limit).unwrap_or(usize::MAX);
    let limits = Limits { file: limit, ..Limits::default() };
    progress.files.begin(known.len() as u64);
    let progress = Arc::clone(progress);
    Ok(load(at, &config.state, &limits, known, move || progress.files.add(1)).await?)
}

fn wanted(config: &Config, loaded: Loaded) -> Result<Wanted> {
    let Loaded { desired, revision, mut problems, leaves, reused } = loaded;
    if problems.has_errors() {
        return Err(Failure::files(problems));
    }
    if desired.is_empty() {
        let place = Place { file: config.state.display().to_string().into(), line: 1, column: 1 };
        let empty = Problem::error(place, "no file here declares anything").warning();
        problems.push(empty.hint("nothing is deleted for that; if it is not meant, look at --state and --config"));
    }
    Ok(Wanted { desired, revision, warnings: problems, leaves, reused })
}
