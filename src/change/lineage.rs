//! How the commit that is read stands to the commit that was applied last.

/// What a repository says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// The commit is the one that was applied last, or was made after it.
    Contains,
    /// It is of the same history, and was not.
    Lacks,
    /// The two have no commit in common.
    Another,
    /// The history ends before that can be seen: a shallow clone.
    Cut,
}
