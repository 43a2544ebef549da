//! Whether the permission system holds what the database means, and how it is brought to that.
//!
//! The database is what is meant, the permission system its projection. Both are walked through in pages: accounts and
//! workspaces are looked up in the permission system, and what the permission system holds is looked up in the database. What
//! differs is read once more, and is drift if the rows say the same as before: a run or a change of a role that is on its way is
//! left alone. [`repair`] says why a repair brings back nothing that was taken away.

mod compare;
mod homes;
mod platform;
mod repair;
mod walk;

use serde::Serialize;
use serde_json::{Value, json};

use crate::permissions::{Relationship, RelationshipPages};
use crate::ports::Intents;
use crate::{Berth, Principal};

pub use compare::compare;
pub use walk::{Stretch, Walk, step};

/// What kind of difference it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The database means it, the permission system does not have it: somebody is kept out.
    Missing,
    /// The permission system has it, the database does not mean it: somebody may be let in.
    Surplus,
    /// A member has another role than meant, or more than one.
    WrongRole,
    /// About an account or workspace that the database has never had.
    Orphaned,
    /// A late copy of an earlier write would be accepted.
    SealMissing,
}

impl Class {
    pub const ALL: [Self; 5] = [Self::Missing, Self::Surplus, Self::WrongRole, Self::Orphaned, Self::SealMissing];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Surplus => "surplus",
            Self::WrongRole => "wrong_role",
            Self::Orphaned => "orphaned",
            Self::SealMissing => "seal_missing",
        }
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    pub class: Class,
    /// Whose role it is about.
    pub member: Option<Principal>,
    pub missing: Vec<Relationship>,
    pub surplus: Vec<Relationship>,
}

impl Drift {
    fn missing(class: Class, relationship: Relationship) -> Self {
        Self { class, member: None, missing: vec![relationship], surplus: Vec::new() }
    }

    fn surplus(relationship: Relationship) -> Self {
        Self { class: Class::Surplus, member: None, missing: Vec::new(), surplus: vec![relationship] }
    }

    fn orphaned(relationship: Relationship) -> Self {
        Self { class: Class::Orphaned, ..Self::surplus(relationship) }
    }

    /// As programs read it.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({ "class": self.class, "missing": written(&self.missing), "surplus": written(&self.surplus) })
    }
}

/// As SpiceDB's tools write them: `workspace:ID#owner@user:ID`.
fn written(relationships: &[Relationship]) -> Vec<String> {
    let text = |r: &Relationship| format!("{}:{}#{}@{}:{}", r.resource.kind, r.resource.id, r.relation, r.subject.kind, r.subject.id);
    relationships.iter().map(text).collect()
}

/// What became of a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    Found,
    Repaired,
    /// The rows were different already when it was to be repaired, or the permission system is still to be told of them.
    LeftAlone,
    /// It could not be repaired, and trying again would not help.
    Failed(String),
}

impl Fate {
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Repaired => "repaired",
            Self::LeftAlone => "left_alone",
            Self::Failed(_) => "failed",
        }
    }
}

/// How far a comparison goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mode {
    pub repair: bool,
    /// Also takes away what the database knows nothing of, neither the account or workspace nor whoever gave the platform role. It
    /// may be another installation's, or this may be the wrong database.
    pub remove_unknown: bool,
}

/// The two sides.
#[derive(Clone, Copy)]
pub struct Sides<'a> {
    pub berth: &'a Berth,
    pub intents: &'a dyn Intents,
    pub held: &'a dyn RelationshipPages,
}
