//! The walk over both sides, a page at a time: memory is bounded by a page, and by the members of one account or workspace.

use std::collections::{BTreeSet, HashMap};

use uuid::Uuid;

use super::compare::{SEALED, compare, environment, object};
use super::{Class, Drift, Fate, Mode, Sides, homes, platform, repair};
use crate::Error;
use crate::access::bulk;
use crate::model::Scope;
use crate::permissions::{Check, Consistency, Filter, Object, Relationship};
use crate::ports::{Intended, Intent};

/// The most accounts or workspaces in a page; each is a read of the permission system.
const SCOPES: u32 = 50;
/// The most relationships in a page.
const RELATIONSHIPS: u32 = 500;

/// Where the walk is; it begins with the platform.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Walk(Place);

#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Place {
    #[default]
    Platform,
    /// Accounts or workspaces of the database, after that one.
    Meant(Scope, Option<Uuid>),
    /// Service accounts of the database, after the one of that name.
    Homes(Option<String>),
    /// Relationships that the permission system holds, of the type with this index, from there on.
    Held(usize, Option<String>),
    Over,
}

const HELD: [&str; 4] = ["account", "workspace", "environment", homes::KIND];

/// What a page came to.
#[derive(Debug, Default)]
pub struct Stretch {
    pub found: Vec<(Drift, Fate)>,
    /// How many accounts, workspaces and relationships were looked at.
    pub looked_at: u64,
    /// Accounts and workspaces that a run is at work on, or whose rows changed under the comparison.
    pub left_alone: u64,
    /// There is no further one.
    pub is_last: bool,
}

/// Compares the next page, and repairs what differs if that is wanted. After an error the walk is where it was: the page can be
/// tried again.
///
/// # Errors
/// An outage of either side.
pub async fn step(sides: &Sides<'_>, walk: &mut Walk, mode: Mode) -> Result<Stretch, Error> {
    let mut stretch = Stretch::default();
    walk.0 = match walk.0.clone() {
        Place::Platform => {
            on_platform(sides, mode, &mut stretch).await?;
            Place::Meant(Scope::Account, None)
        }
        Place::Meant(scope, after) => match (meant(sides, scope, after, mode, &mut stretch).await?, scope) {
            (Some(last), _) => Place::Meant(scope, Some(last)),
            (None, Scope::Account) => Place::Meant(Scope::Workspace, None),
            (None, Scope::Workspace) => Place::Homes(None),
        },
        Place::Homes(after) => match homes::meant(sides, after.as_deref(), mode, &mut stretch).await? {
            Some(last) => Place::Homes(Some(last)),
            None => Place::Held(0, None),
        },
        Place::Held(index, after) => {
            let page = sides.held.page(HELD[index], after.as_deref(), RELATIONSHIPS).await?;
            match HELD[index] {
                homes::KIND => homes::held(sides, &page.relationships, mode, &mut stretch).await?,
                kind => held(sides, kind, &page.relationships, mode, &mut stretch).await?,
            }
            match page.next {
                Some(next) => Place::Held(index, Some(next)),
                None if index + 1 < HELD.len() => Place::Held(index + 1, None),
                None => Place::Over,
            }
        }
        Place::Over => Place::Over,
    };
    stretch.is_last = walk.0 == Place::Over;
    Ok(stretch)
}

async fn on_platform(sides: &Sides<'_>, mode: Mode, stretch: &mut Stretch) -> Result<(), Error> {
    stretch.looked_at += 1;
    for differing in platform::compare(sides.berth).await? {
        let is_wanted = mode.repair && (differing.is_known || mode.remove_unknown);
        let fate = if is_wanted { repair::on_platform(sides, &differing).await? } else { Fate::Found };
        stretch.found.push((differing.drift, fate));
    }
    Ok(())
}

/// The last of the page, if there may be more.
async fn meant(sides: &Sides<'_>, scope: Scope, after: Option<Uuid>, mode: Mode, stretch: &mut Stretch) -> Result<Option<Uuid>, Error> {
    let intents = sides.intents.after(scope, after, SCOPES).await?;
    stretch.looked_at += intents.len() as u64;
    let mut environments = below(sides, &intents).await?.into_iter();
    for intent in &intents {
        let of_intent: Vec<bool> = environments.by_ref().take(intent.environments.len()).collect();
        if intent.intended == Intended::InFlight {
            stretch.left_alone += 1;
            continue;
        }
        let drifts = compare(intent, &read(sides, object(intent)).await?, &of_intent);
        if drifts.is_empty() {
            continue;
        }
        if !is_still(sides, intent).await? {
            stretch.left_alone += 1;
            continue;
        }
        let fates = if mode.repair { repair::scope(sides, intent, &drifts).await? } else { vec![Fate::Found; drifts.len()] };
        stretch.found.extend(drifts.into_iter().zip(fates));
    }
    Ok(intents.last().map(|last| last.on.id))
}

/// Whether each environment hangs below its workspace, in the order of the intents, from one bulk check.
async fn below(sides: &Sides<'_>, intents: &[Intent]) -> Result<Vec<bool>, Error> {
    let checks: Vec<Check> = intents
        .iter()
        .flat_map(|intent| intent.environments.iter().map(|id| environment(intent.on.id, *id)))
        .map(|r| Check { resource: r.resource, permission: r.relation, subject: r.subject })
        .collect();
    bulk(sides.berth, &checks, &Consistency::FullyConsistent).await
}

pub(super) async fn read(sides: &Sides<'_>, of: Object) -> Result<Vec<Relationship>, Error> {
    let filter = Filter { resource_kind: of.kind, resource_id: Some(of.id), relation: None, subject: None };
    Ok(sides.berth.permissions.read(&filter).await?)
}

/// Whether the rows say what they said before the permission system was read.
async fn is_still(sides: &Sides<'_>, intent: &Intent) -> Result<bool, Error> {
    Ok(sides.intents.of(intent.on.scope, &[intent.on.id]).await?.first() == Some(intent))
}

/// What is held about something that the database does not know, and environments that hang where they do not belong. All else has
/// been looked at from the other side.
async fn held(sides: &Sides<'_>, kind: &str, page: &[Relationship], mode: Mode, stretch: &mut Stretch) -> Result<(), Error> {
    stretch.looked_at += page.len() as u64;
    let scope = if kind == "account" { Scope::Account } else { Scope::Workspace };
    // An environment is judged by the workspace that it hangs below.
    let judged_by = |r: &Relationship| if kind == "environment" { r.subject.id.clone() } else { r.resource.id.clone() };
    let id = |r: &Relationship| Uuid::try_parse(&judged_by(r)).ok().filter(|id| id.to_string() == judged_by(r));
    let ids: BTreeSet<Uuid> = page.iter().filter_map(id).collect();
    let ids: Vec<Uuid> = ids.into_iter().collect();
    let known: HashMap<Uuid, Intent> = sides.intents.of(scope, &ids).await?.into_iter().map(|i| (i.on.id, i)).collect();
    for r in page.iter().filter(|r| r.relation != SEALED) {
        let drift = match id(r).and_then(|id| known.get(&id)) {
            None => Drift::orphaned(r.clone()),
            Some(intent) if kind == "environment" && is_misplaced(intent, r) => Drift::surplus(r.clone()),
            Some(_) => continue,
        };
        // The page may be of an earlier state, and the rows of a later one.
        if !read(sides, r.resource.clone()).await?.contains(r) {
            continue;
        }
        let intent = id(r).and_then(|id| known.get(&id));
        if let Some(intent) = intent
            && !is_still(sides, intent).await?
        {
            stretch.left_alone += 1;
            continue;
        }
        let is_wanted = mode.repair && (drift.class != Class::Orphaned || mode.remove_unknown);
        let near = intent.map(|intent| (intent.on.account_id, intent.on.id));
        let fate = if is_wanted { repair::alone(sides, &drift, near).await? } else { Fate::Found };
        stretch.found.push((drift, fate));
    }
    Ok(())
}

fn is_misplaced(intent: &Intent, r: &Relationship) -> bool {
    match intent.intended {
        Intended::InFlight => false,
        Intended::Nothing | Intended::Purged => true,
        Intended::Granted => !intent.environments.iter().any(|id| environment(intent.on.id, *id) == *r),
    }
}
