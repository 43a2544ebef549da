//! Refusals of authenticated callers, gathered so that they can be told without filling anybody's log.
//!
//! The first denial of its kind (who, what, which) is told at once; equal ones of the next 60 seconds are counted, and told
//! as one entry at their end. Each entry goes to the chain of the *caller's* account, the platform's if it has none: what
//! a stranger does fills no victim's log. Memory is bounded: one caller has at most 100 kinds at once, all callers
//! together 10,000; what exceeds that is counted by caller, and beyond that as one number.

mod book;

pub use book::Book;

use saga::{StoreError, Time};
use serde_json::json;

use super::{Draft, Target};
use crate::ids::PLATFORM;
use crate::{Berth, Caller, PrincipalKind};

/// The action of an entry about denials that are told without saying which.
pub const MANY: &str = "denials.many";

/// One refusal: 403, or 404 for want of the right to see.
#[derive(Debug, Clone)]
pub struct Denial {
    pub caller: Caller,
    /// The action that would have been recorded, had it been allowed.
    pub action: String,
    /// What the request named: of what exists and is hidden as of what does not exist, because telling them apart would
    /// tell the caller which is which.
    pub targets: Vec<Target>,
    pub problem_type: String,
}

/// What an entry is to be written about.
#[derive(Debug, Clone)]
pub struct Told {
    /// The only one, or the latest of those that were counted; `None` for a number over many callers.
    pub denial: Option<Denial>,
    pub counted: Counted,
}

/// How many, and when the first and the last of them came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    pub count: u64,
    pub from: Time,
    pub to: Time,
    /// Told when it happened, not at the end of a minute.
    pub at_once: bool,
}

/// Writes the entry.
///
/// # Errors
/// An outage: nothing was written, and [`Book::put_back`] keeps the count.
pub async fn write(berth: &Berth, told: &Told) -> Result<(), StoreError> {
    let mut draft = match &told.denial {
        None => Draft::by_berth(&*berth.ids, PLATFORM, None, MANY),
        Some(denial) => {
            let mut draft = Draft::of(&denial.caller, &*berth.ids, chain(berth, &denial.caller).await?, None, &denial.action);
            draft.targets.clone_from(&denial.targets);
            draft.problem_type = Some(denial.problem_type.clone());
            draft
        }
    };
    "denied".clone_into(&mut draft.outcome);
    if !told.counted.at_once {
        let Counted { count, from, to, .. } = told.counted;
        draft.after = Some(json!({ "count": count, "from": from, "to": to }));
    }
    berth.audit.append(draft).await.map(drop)
}

/// A service account has an account; a user belongs to none.
async fn chain(berth: &Berth, caller: &Caller) -> Result<uuid::Uuid, StoreError> {
    match caller.principal.kind {
        PrincipalKind::User => Ok(PLATFORM),
        PrincipalKind::ServiceAccount => Ok(berth.principals.get(caller.principal).await?.and_then(|p| p.account_id).unwrap_or(PLATFORM)),
    }
}

#[cfg(test)]
mod tests;
