//! Lineage: a run whose commit does not contain the one that was applied last would take something back, and is held
//! until somebody says that this is meant.

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::{Held, Plan, feed};
use crate::change::{History, hex, printable, short};

/// A commit and its time.
#[derive(Clone, Copy, Debug)]
pub struct Commit<'a> {
    pub id: &'a str,
    pub at: Option<DateTime<Utc>>,
}

/// What is known when a run begins.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The name of the lineage.
    pub name: &'a str,
    /// The commit that was applied last.
    pub last: Commit<'a>,
    /// The commit whose files were read; `None`: they are of none.
    pub commit: Option<Commit<'a>>,
    pub history: History,
    /// The commit was applied at some time before the last one.
    pub was_applied: bool,
    pub rule: Rule,
}

/// What happens to a commit that does not follow the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// It is applied with a warning: somebody is trying things out.
    Warn,
    /// It is held, and what cannot be known passes with a note.
    Hold,
    /// So is one of which it cannot be known.
    Strict,
}

/// What was judged, and what is recorded with the commit.
#[derive(Clone, Debug, Default)]
pub struct Lineage {
    pub judgement: Judgement,
    /// The first commit of its history.
    pub root: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Judgement {
    /// The commit follows the last one, or nothing is known of a last one.
    #[default]
    Follows,
    /// It passes, and this is to be known.
    Noted(String),
    Held(Hold),
    /// It was held, and somebody has let it pass.
    LetPass(Hold),
}

/// Why a run is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// `behind: 4f1c2ab was applied, and 3ab1f00 does not contain it`
    pub why: String,
    /// What to do, but for letting it pass.
    pub hint: String,
    /// Of the two commits: to let the run of another commit pass takes another word. 32 hexadecimal digits.
    pub digest: String,
    pub last: String,
    pub commit: Option<String>,
}

/// Whether a commit may follow the last one. Pure.
pub fn judge(facts: Facts<'_>) -> Judgement {
    let Some((why, hint)) = objection(facts) else { return unknown(facts) };
    match facts.rule {
        Rule::Warn => Judgement::Noted(why),
        Rule::Hold | Rule::Strict => Judgement::Held(facts.hold(why, hint.to_owned())),
    }
}

const TO_PULL: &str = "if this clone is stale, update it (`git pull`): it goes on by itself then";
const TO_NAME: &str = "two repositories for one database need two names: set `lineage` in each";

/// Why it may not, and what to do. `None`: it may, or that is not known.
fn objection(facts: Facts<'_>) -> Option<(String, &'static str)> {
    let commit = facts.commit?;
    let (before, after) = (shown(facts.last.id), shown(commit.id));
    match facts.history {
        History::Contains => None,
        History::Lacks => Some((format!("behind: {before} was applied, and {after} does not contain it"), TO_PULL)),
        History::Another => Some((
            format!("another history: {before} was applied, and {after} has no commit in common with it"),
            TO_NAME,
        )),
        History::Cut if facts.was_applied => {
            Some((format!("behind: {before} was applied after {after} (shallow clone)"), TO_PULL))
        }
        History::Cut => match (facts.last.at, commit.at) {
            (Some(last), Some(at)) if at < last => Some((
                format!("behind: {before} was applied, and {after} was committed before it (shallow clone)"),
                TO_PULL,
            )),
            _ => None,
        },
    }
}

/// What nobody objects to, though it may not be known.
fn unknown(facts: Facts<'_>) -> Judgement {
    let why = match (facts.commit, facts.history) {
        (None, _) => "no commit",
        (Some(_), History::Cut) => "shallow clone",
        (Some(_), _) => return Judgement::Follows,
    };
    let note = format!("lineage unknown: {why}");
    match facts.rule {
        Rule::Warn | Rule::Hold => Judgement::Noted(note),
        Rule::Strict => {
            let hint = "clone the whole history, or set git.lineage = \"note\"";
            Judgement::Held(facts.hold(format!("{note}, and git.lineage is \"strict\""), hint.to_owned()))
        }
    }
}

fn shown(commit: &str) -> String {
    printable(&short(commit))
}

impl Facts<'_> {
    fn hold(&self, why: String, hint: String) -> Hold {
        let commit = self.commit.map(|commit| commit.id.to_owned());
        let mut told = Vec::new();
        ["lineage", self.name, self.last.id, commit.as_deref().unwrap_or_default()]
            .iter()
            .for_each(|text| feed(&mut told, text));
        let digest = hex(&Sha256::digest(&told)[..16]);
        Hold { why, hint, digest, last: self.last.id.to_owned(), commit }
    }
}

impl Plan {
    /// Holds all of it where its commit does not follow the last one, unless somebody has let that pass.
    pub fn follow(mut self, lineage: Lineage, approvals: &[String]) -> Self {
        self.lineage = lineage;
        let Some(hold) = self.lineage.held().cloned() else { return self };
        if approvals.contains(&hold.digest) {
            self.approved.push(hold.digest);
            self.lineage.let_pass();
            return self;
        }
        let number = self.held.len();
        self.changes.iter_mut().for_each(|planned| planned.held = Some(number));
        let why = format!("{}; {}", hold.why, hold.hint);
        self.held.push(Held { digest: hold.digest, why, changes: self.changes.len() });
        self
    }
}

impl Hold {
    /// How to let it pass.
    pub fn way(&self) -> String {
        format!("`reconcile approve {} --reason R` lets it pass", self.digest)
    }
}

impl Lineage {
    /// Somebody has let pass what was held.
    pub fn let_pass(&mut self) {
        if let Judgement::Held(hold) = &self.judgement {
            self.judgement = Judgement::LetPass(hold.clone());
        }
    }

    pub fn held(&self) -> Option<&Hold> {
        match &self.judgement {
            Judgement::Held(hold) => Some(hold),
            Judgement::Follows | Judgement::Noted(_) | Judgement::LetPass(_) => None,
        }
    }

    /// What a reader of the plan should know of it, on one line.
    pub fn note(&self) -> Option<String> {
        match &self.judgement {
            // What is held is among all else that is held.
            Judgement::Follows | Judgement::Held(_) => None,
            Judgement::Noted(note) => Some(note.clone()),
            Judgement::LetPass(hold) => Some(format!("let pass: {}", hold.why)),
        }
    }
}

#[cfg(test)]
mod tests;
