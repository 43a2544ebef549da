//! How one set of freezes becomes another. Pure: the store decides by it under the workspace's lock.

use std::time::Duration;

use saga::Time;
use serde_json::{Value, json};

use super::Transition;
use crate::Principal;
use crate::model::{Freeze, FreezeSource};
use crate::ports::FreezeChange;

/// The longest that a freeze may be set to last; one without an end lasts until it is lifted.
pub const LASTS_MAX: Duration = Duration::from_hours(3653 * 24);

impl FreezeChange {
    /// The set that it makes of the set in force.
    #[must_use]
    pub fn on(&self, before: &[Freeze], by: Principal, now: Time) -> Vec<Freeze> {
        match self {
            Self::Unfreeze { sources } => before.iter().filter(|f| !sources.contains(&f.source)).cloned().collect(),
            Self::Freeze { source, mode, code, note, expires_at } => {
                let new = Freeze {
                    source: *source,
                    mode: *mode,
                    code: code.clone(),
                    note: note.clone(),
                    created_by: by,
                    created_at: now,
                    expires_at: *expires_at,
                };
                let says_the_same = |f: &Freeze| *f == Freeze { created_by: f.created_by, created_at: f.created_at, ..new.clone() };
                if before.iter().any(says_the_same) {
                    return before.to_vec();
                }
                let mut after: Vec<Freeze> = before.iter().filter(|f| f.source != *source).cloned().collect();
                after.push(new);
                after.sort_by_key(|f| f.source.as_str());
                after
            }
        }
    }

    #[must_use]
    pub fn transition(&self) -> Transition {
        match self {
            Self::Freeze { .. } => Transition::Freeze,
            Self::Unfreeze { .. } => Transition::Unfreeze,
        }
    }

    #[must_use]
    pub fn sources(&self) -> &[FreezeSource] {
        match self {
            Self::Freeze { source, .. } => std::slice::from_ref(source),
            Self::Unfreeze { sources } => sources,
        }
    }

    /// Whether a freeze set `now` may expire when this one does.
    #[must_use]
    pub fn expires_in_range(&self, now: Time) -> bool {
        let Self::Freeze { expires_at: Some(at), .. } = self else { return true };
        *at > now && *at <= now + LASTS_MAX
    }
}

/// What an audit entry tells of a set of freezes: no note, which is about people and stands in `reason`.
#[must_use]
pub fn audited(freezes: &[Freeze]) -> Value {
    let told = freezes.iter().map(|f| json!({"source": f.source, "mode": f.mode, "code": f.code, "expires_at": f.expires_at}));
    json!({ "freezes": told.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::PrincipalKind;
    use crate::model::FreezeMode;

    const NOW: Time = Time::from_micros(1_000_000);

    fn by(n: u128) -> Principal {
        Principal { kind: PrincipalKind::User, id: Uuid::from_u128(n) }
    }

    fn freeze(source: FreezeSource, note: &str) -> FreezeChange {
        FreezeChange::Freeze { source, mode: FreezeMode::ReadOnly, code: "a".into(), note: Some(note.into()), expires_at: None }
    }

    #[test]
    fn a_freeze_replaces_that_of_its_source_only() {
        let one = freeze(FreezeSource::Legal, "x").on(&[], by(1), NOW);
        let two = freeze(FreezeSource::Billing, "x").on(&one, by(1), NOW);
        assert_eq!(two.iter().map(|f| f.source).collect::<Vec<_>>(), [FreezeSource::Billing, FreezeSource::Legal]);
        let three = freeze(FreezeSource::Legal, "y").on(&two, by(2), NOW);
        assert_eq!((three.len(), three[1].note.as_deref(), three[1].created_by), (2, Some("y"), by(2)));
    }

    #[test]
    fn an_identical_freeze_leaves_the_first_ones_name_and_time() {
        let set = freeze(FreezeSource::Legal, "x").on(&[], by(1), NOW);
        assert_eq!(freeze(FreezeSource::Legal, "x").on(&set, by(2), NOW + Duration::from_secs(9)), set);
    }

    #[test]
    fn an_unfreeze_lifts_its_sources_and_no_other() {
        let set = freeze(FreezeSource::Billing, "x").on(&freeze(FreezeSource::Legal, "x").on(&[], by(1), NOW), by(1), NOW);
        let lift = |sources: &[FreezeSource]| FreezeChange::Unfreeze { sources: sources.to_vec() }.on(&set, by(2), NOW);
        assert_eq!(lift(&[FreezeSource::AccountAdmin]), set);
        assert_eq!(lift(&[FreezeSource::Legal]), set[..1]);
        assert_eq!(lift(&[FreezeSource::Legal, FreezeSource::Billing]), []);
    }

    #[test]
    fn a_freeze_expires_after_now_and_within_ten_years() {
        let at = |expires_at| {
            let FreezeChange::Freeze { source, mode, code, note, .. } = freeze(FreezeSource::Legal, "x") else { panic!() };
            FreezeChange::Freeze { source, mode, code, note, expires_at }.expires_in_range(NOW)
        };
        let micro = Duration::from_micros(1);
        assert!(at(None) && at(Some(NOW + micro)) && at(Some(NOW + LASTS_MAX)));
        assert!(!at(Some(NOW)) && !at(Some(NOW + LASTS_MAX + micro)));
    }

    #[test]
    fn an_audit_entry_tells_no_note() {
        let set = freeze(FreezeSource::Legal, "about Ada").on(&[], by(1), NOW);
        assert_eq!(audited(&set), json!({"freezes": [{"source": "legal", "mode": "read_only", "code": "a", "expires_at": null}]}));
    }
}
