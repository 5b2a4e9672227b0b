//! Where the desired state came from: a commit and its author, or a user.

/// What stands for a commit where there is none: outside Git, and for what was done by hand.
pub const NO_COMMIT: &str = "no commit";

/// Where the desired state came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revision {
    /// Full commit id; `None` outside a Git repository or before its first commit.
    pub commit: Option<String>,
    /// The commit's author, as `Name`.
    pub author: Option<String>,
    /// The working tree below the state directory differs from the commit.
    pub dirty: bool,
    /// The user that runs the process, as the operating system names it.
    pub user: String,
}

impl Revision {
    /// Whom the files' changes are attributed to, in at most 128 characters: rows keep no more, and Git sets no limit.
    pub fn actor(&self) -> String {
        const MOST: usize = 128;
        let whole = match (&self.author, self.dirty) {
            (Some(author), false) => author.clone(),
            _ => format!("uncommitted ({})", self.user),
        };
        match whole.char_indices().nth(MOST - 1) {
            Some((cut, last)) if whole.len() > cut + last.len_utf8() => format!("{}…", &whole[..cut]),
            _ => whole,
        }
    }

    /// `4f1c2ab (clean)`, `4f1c2ab (dirty)` or `no commit`.
    pub fn label(&self) -> String {
        match &self.commit {
            Some(commit) => {
                let short: String = commit.chars().take(7).collect();
                format!("{short} ({})", if self.dirty { "dirty" } else { "clean" })
            }
            None => NO_COMMIT.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_fits_into_a_row() {
        let actor = |author: String, dirty| {
            Revision { author: Some(author), dirty, user: "é".repeat(200), ..Revision::default() }.actor()
        };
        assert_eq!(actor("é".repeat(128), false), "é".repeat(128));
        assert_eq!(actor("é".repeat(129), false), format!("{}…", "é".repeat(127)));
        assert_eq!(actor(String::new(), true).chars().count(), 128);
    }
}
