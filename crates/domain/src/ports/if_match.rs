//! The condition that a caller puts on a change.

/// Of an `If-Match` header: which revisions of a row the caller takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    Any,
    Revisions(Vec<i64>),
}

impl IfMatch {
    #[must_use]
    pub fn takes(&self, revision: i64) -> bool {
        match self {
            Self::Any => true,
            Self::Revisions(revisions) => revisions.contains(&revision),
        }
    }
}
