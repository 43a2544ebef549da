//! Brings the permission system to what the database means, so that nothing comes back that was taken away.
//!
//! A member's role is told again as a change of its own, at the end of the member's line, with the role that the row has under
//! its lock: whatever was changed meanwhile is what is told, and a late copy is refused like that of any other change. Everything
//! else is written with a seal of the repair's own, which refuses late copies of that write; and it is what does not change while
//! the row says what it says: accounts stay active, a workspace's environments are its own for ever, and what a purge takes away
//! gives no right afterwards even if a repair had brought it back, since a purged workspace is authorized on its account.

use serde_json::json;
use uuid::Uuid;

use super::compare::{SEALED, object, seal};
use super::platform::Differing;
use super::{Drift, Fate, Sides, homes, written};
use crate::audit::Draft;
use crate::ids::PLATFORM;
use crate::members::tell_again;
use crate::model::Scope;
use crate::permissions::{Cause, Filter, Object, PermissionsError, Precondition, Relationship, UPDATES_MAX, Update};
use crate::ports::{Intended, Intent};
use crate::{Error, Principal};

const ACTION: &str = "permissions.repair";
/// As many relationships are named in an audit entry.
const NAMED: usize = 50;

/// Repairs what differs on one account or workspace; one fate per difference, in order.
///
/// # Errors
/// An outage: what was not done is found again.
pub(super) async fn scope(sides: &Sides<'_>, intent: &Intent, drifts: &[Drift]) -> Result<Vec<Fate>, Error> {
    let on = object(intent);
    let others: Vec<&Drift> = drifts.iter().filter(|drift| drift.member.is_none()).collect();
    let mut other = Fate::Repaired;
    if !others.is_empty() {
        let workspace = (intent.on.scope == Scope::Workspace).then_some(intent.on.id);
        let draft =
            Draft::by_berth(&*sides.berth.ids, intent.on.account_id, workspace, ACTION).target(intent.on.scope.as_str(), intent.on.id);
        // Nothing that its creation granted can come any more.
        let ended = matches!(intent.intended, Intended::Nothing | Intended::Purged).then(|| seal(on.clone(), intent.made_by));
        other = fate(write(sides, &others, Some(&on), ended, draft).await)?;
    }
    let mut fates = Vec::new();
    for drift in drifts {
        fates.push(match drift.member {
            None => other.clone(),
            Some(member) => fate(role(sides, intent, member, drift).await)?,
        });
    }
    Ok(fates)
}

/// Brings the roles of one principal on the platform to the one that was given last. Roles there have no line and no seals: the
/// write takes effect only while they are what was read, so that one that is given meanwhile stays.
///
/// # Errors
/// An outage.
pub(super) async fn on_platform(sides: &Sides<'_>, differing: &Differing) -> Result<Fate, Error> {
    let drift = &differing.drift;
    let entry = Draft::by_berth(&*sides.berth.ids, PLATFORM, None, ACTION);
    let entry = match drift.member {
        Some(member) => entry.target(member.kind.as_str(), member.id),
        None => entry,
    };
    sides.berth.audit.append(told(entry, &drift.surplus, &drift.missing)).await?;
    let updates = drift.surplus.iter().cloned().map(Update::Delete).chain(drift.missing.iter().cloned().map(Update::Touch));
    let cause = Cause::Repair(sides.berth.ids.free());
    match sides.berth.permissions.write(&updates.collect::<Vec<_>>(), &differing.fence, &cause).await {
        Ok(_) => Ok(Fate::Repaired),
        Err(PermissionsError::PreconditionFailed { .. }) => Ok(Fate::LeftAlone),
        Err(error) => fate(Err(error.into())),
    }
}

/// Takes away, or adds, what is not about an account or workspace that the database knows. `near`: account and id of the workspace
/// below which an environment hangs that is not its own.
///
/// # Errors
/// An outage.
pub(super) async fn alone(sides: &Sides<'_>, drift: &Drift, near: Option<(Uuid, Uuid)>) -> Result<Fate, Error> {
    let resource = drift.surplus.iter().chain(&drift.missing).next().map(|r| r.resource.clone());
    // Others have no seals. What hangs an environment somewhere never comes back: no id is given twice.
    let sealed = resource.filter(|r| matches!(r.kind.as_str(), "account" | "workspace"));
    let (account, workspace) = near.map_or((PLATFORM, None), |(account, workspace)| (account, Some(workspace)));
    let entry = Draft::by_berth(&*sides.berth.ids, account, workspace, ACTION);
    fate(write(sides, &[drift], sealed.as_ref(), None, entry).await)
}

/// Takes away, or adds, whose the service account is. Needs no seal: what is meant never changes.
///
/// # Errors
/// An outage.
pub(super) async fn home(sides: &Sides<'_>, service_account: Uuid, account: Option<Uuid>, drift: &Drift) -> Result<Fate, Error> {
    let entry = Draft::by_berth(&*sides.berth.ids, account.unwrap_or(PLATFORM), None, ACTION).target(homes::KIND, service_account);
    fate(write(sides, &[drift], None, None, entry).await)
}

fn fate(done: Result<Fate, Error>) -> Result<Fate, Error> {
    match done {
        Err(error) if !error.is_outage() => Ok(Fate::Failed(error.to_string())),
        done => done,
    }
}

async fn role(sides: &Sides<'_>, intent: &Intent, member: Principal, drift: &Drift) -> Result<Fate, Error> {
    let workspace = (intent.on.scope == Scope::Workspace).then_some(intent.on.id);
    let entry = Draft::by_berth(&*sides.berth.ids, intent.on.account_id, workspace, &format!("{ACTION}_{}", drift.class.as_str()))
        .target(intent.on.scope.as_str(), intent.on.id)
        .target(member.kind.as_str(), member.id)
        .outcome("succeeded");
    Ok(if tell_again(sides.berth, intent.on, member, entry).await? { Fate::Repaired } else { Fate::LeftAlone })
}

/// Says what is taken away, and what is added.
fn told(draft: Draft, surplus: &[Relationship], missing: &[Relationship]) -> Draft {
    let named = |relationships: &[Relationship]| {
        json!({
            "relationships": written(&relationships[..relationships.len().min(NAMED)]), "count": relationships.len(),
        })
    };
    draft.before(json!({ "surplus": named(surplus) })).after(json!({ "added": named(missing) }))
}

/// One write for all of it, or as many as it takes, each with the seal of this repair if there is something that bears it.
async fn write(
    sides: &Sides<'_>,
    drifts: &[&Drift],
    sealed: Option<&Object>,
    ended: Option<Relationship>,
    draft: Draft,
) -> Result<Fate, Error> {
    let missing: Vec<Relationship> = drifts.iter().flat_map(|drift| drift.missing.iter().cloned()).collect();
    let surplus: Vec<Relationship> = drifts.iter().flat_map(|drift| drift.surplus.iter().cloned()).collect();
    sides.berth.audit.append(told(draft, &surplus, &missing)).await?;
    let updates: Vec<Update> = surplus.into_iter().map(Update::Delete).chain(missing.into_iter().chain(ended).map(Update::Touch)).collect();
    for batch in updates.chunks(UPDATES_MAX - 1) {
        let repair = sides.berth.ids.free();
        let own = sealed.map(|on| seal(on.clone(), repair));
        let fence = own.iter().map(|own| {
            Precondition::MustNotMatch(Filter {
                resource_kind: own.resource.kind.clone(),
                resource_id: Some(own.resource.id.clone()),
                relation: Some(SEALED.to_owned()),
                subject: Some(own.subject.clone()),
            })
        });
        let fence: Vec<_> = fence.collect();
        let updates: Vec<Update> = batch.iter().cloned().chain(own.map(Update::Touch)).collect();
        match sides.berth.permissions.write(&updates, &fence, &Cause::Repair(repair)).await {
            // The seal stands: it was made by a try whose answer was lost.
            Ok(_) | Err(PermissionsError::PreconditionFailed { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Fate::Repaired)
}
