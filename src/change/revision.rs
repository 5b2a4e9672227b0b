//! Where the desired state came from: a commit and its author, or a user.

use chrono::{DateTime, Utc};

/// What stands for a commit where there is none: outside Git, and for what was done by hand.
pub const NO_COMMIT: &str = "no commit";

/// Whether what was read is what the commit holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compared {
    #[default]
    Clean,
    Dirty,
    /// What was compared is equal; but of some files only a program that the repository names could tell, and no such
    /// program is run.
    Filtered,
}

impl Compared {
    /// As it stands behind a commit.
    pub fn word(self) -> &'static str {
        match self {
            Compared::Clean => "clean",
            Compared::Dirty => "dirty",
            Compared::Filtered => "filtered: not compared",
        }
    }
}

/// Where the desired state came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revision {
    /// Full commit id; `None` outside a Git repository or before its first commit.
    pub commit: Option<String>,
    /// When it was committed; `None` also where the commit has a time that is none.
    pub committed_at: Option<DateTime<Utc>>,
    /// The commit's author, as `Name`.
    pub author: Option<String>,
    /// Only what is clean is the author's.
    pub compared: Compared,
    /// The user that runs the process, as the operating system names it.
    pub user: String,
}

impl Revision {
    /// Whom the files' changes are attributed to, in at most 128 characters: rows keep no more, and Git sets no limit.
    pub fn actor(&self) -> String {
        const MOST: usize = 128;
        let whole = match (&self.author, self.compared) {
            (Some(author), Compared::Clean) => author.clone(),
            _ => format!("uncommitted ({})", self.user),
        };
        match whole.char_indices().nth(MOST - 1) {
            Some((cut, last)) if whole.len() > cut + last.len_utf8() => format!("{}…", &whole[..cut]),
            _ => whole,
        }
    }

    /// `4f1c2ab (clean)`, `4f1c2ab (dirty)`, `4f1c2ab (filtered: not compared)` or `no commit`.
    pub fn label(&self) -> String {
        match &self.commit {
            Some(commit) => {
                format!("{} ({})", short(commit), self.compared.word())
            }
            None => NO_COMMIT.to_owned(),
        }
    }
}

/// A commit's id as people read it.
pub fn short(commit: &str) -> String {
    commit.chars().take(7).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_fits_into_a_row() {
        let actor = |author: String, compared| {
            Revision { author: Some(author), compared, user: "é".repeat(200), ..Revision::default() }.actor()
        };
        assert_eq!(actor("é".repeat(128), Compared::Clean), "é".repeat(128));
        assert_eq!(actor("é".repeat(129), Compared::Clean), format!("{}…", "é".repeat(127)));
        assert_eq!(actor(String::new(), Compared::Dirty).chars().count(), 128);
    }

    #[test]
    fn only_what_is_clean_is_the_authors() {
        let told = |compared| {
            let (commit, author, user) = (Some("4f1c2ab99".into()), Some("Amina".into()), "noor".into());
            let revision = Revision { commit, committed_at: None, author, compared, user };
            (revision.label(), revision.actor())
        };
        let uncommitted = "uncommitted (noor)".to_owned();
        assert_eq!(told(Compared::Clean), ("4f1c2ab (clean)".into(), "Amina".into()));
        assert_eq!(told(Compared::Dirty), ("4f1c2ab (dirty)".into(), uncommitted.clone()));
        assert_eq!(told(Compared::Filtered), ("4f1c2ab (filtered: not compared)".into(), uncommitted));
    }
}
