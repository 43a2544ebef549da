//! Roles on the platform. The database has no table of them: who was given one stands in the platform's audit log, which can only
//! be added to, in the same order.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{Class, Drift};
use crate::ids::PLATFORM;
use crate::permissions::{Filter, Object, Precondition, Relationship};
use crate::ports::{ActionFilter, AuditFilter, AuditOf, AuditPage};
use crate::{Berth, Error, Principal, PrincipalKind};

const ROLES: [&str; 2] = ["operator", "auditor"];
const PAGE: u32 = 500;

/// Whose last entry gave them which role.
async fn meant(berth: &Berth) -> Result<BTreeMap<Object, String>, Error> {
    let filter = AuditFilter { action: Some(ActionFilter::Prefix("platform.".to_owned())), ..AuditFilter::default() };
    let mut meant = BTreeMap::new();
    let mut above = None;
    loop {
        let page = AuditPage { above, below: None, oldest_first: true, limit: PAGE };
        let entries = berth.audit.list(AuditOf::Account(PLATFORM), &filter, page).await?;
        let Some(last) = entries.last() else { return Ok(meant) };
        above = Some(last.seq);
        for entry in entries.iter().filter(|e| matches!(e.action.as_str(), "platform.bootstrap" | "platform.grant")) {
            let role = entry.after.as_ref().and_then(|after| after["role"].as_str()).filter(|role| ROLES.contains(role));
            let principal =
                entry.targets.iter().find_map(|target| PrincipalKind::parse(&target.kind).map(|kind| Principal { kind, id: target.id }));
            if let (Some(role), Some(principal)) = (role, principal) {
                meant.insert(principal.into(), role.to_owned());
            }
        }
    }
}

/// What a principal's roles differ in.
pub(super) struct Differing {
    pub drift: Drift,
    /// Whether the audit log knows of the principal.
    pub is_known: bool,
    /// That the principal's roles are still those that were read.
    pub fence: Vec<Precondition>,
}

/// # Errors
/// An outage.
pub(super) async fn compare(berth: &Berth) -> Result<Vec<Differing>, Error> {
    let platform = Object::platform();
    let filter = Filter { resource_kind: platform.kind.clone(), resource_id: Some(platform.id.clone()), relation: None, subject: None };
    // First what is held: who gives a role writes it into the audit log before, so that no role is held of which the log read later
    // does not know.
    let held = berth.permissions.read(&filter).await?;
    let meant = meant(berth).await?;
    let tuple = |subject: &Object, role: &str| Relationship::new(platform.clone(), role, subject.clone());
    let mut found = Vec::new();
    for (subject, role) in &meant {
        let has: Vec<&Relationship> = held.iter().filter(|r| r.subject == *subject).collect();
        let wanted = tuple(subject, role);
        let surplus: Vec<_> = has.iter().filter(|r| ***r != wanted).map(|r| (*r).clone()).collect();
        let missing = if has.contains(&&wanted) { Vec::new() } else { vec![wanted] };
        let class = match (missing.is_empty(), surplus.is_empty()) {
            (true, true) => continue,
            (false, true) => Class::Missing,
            (_, false) => Class::WrongRole,
        };
        let member = Uuid::try_parse(&subject.id).ok().zip(PrincipalKind::parse(&subject.kind)).map(|(id, kind)| Principal { kind, id });
        let fence = ROLES.map(|role| {
            let role = tuple(subject, role);
            let is_held = has.contains(&&role);
            exactly(role, is_held)
        });
        found.push(Differing { drift: Drift { class, member, missing, surplus }, is_known: true, fence: fence.to_vec() });
    }
    for r in held.into_iter().filter(|r| !meant.contains_key(&r.subject)) {
        found.push(Differing { fence: vec![exactly(r.clone(), true)], drift: Drift::surplus(r), is_known: false });
    }
    Ok(found)
}

fn exactly(r: Relationship, is_held: bool) -> Precondition {
    let Relationship { resource, relation, subject } = r;
    let filter = Filter { resource_kind: resource.kind, resource_id: Some(resource.id), relation: Some(relation), subject: Some(subject) };
    if is_held { Precondition::MustMatch(filter) } else { Precondition::MustNotMatch(filter) }
}
