//! Whose each service account is: one relationship of each, which is told when it is made and never changes.

use std::collections::HashMap;

use uuid::Uuid;

use super::walk::{Stretch, read};
use super::{Class, Drift, Fate, Mode, Sides, repair};
use crate::Error;
use crate::access::bulk;
use crate::permissions::{Check, Consistency, Object, Relationship};
use crate::ports::{Home, Intended};

pub(super) const KIND: &str = "service_account";
/// The most service accounts in a page: one bulk check.
const HOMES: u32 = 200;

fn tuple(home: &Home) -> Option<Relationship> {
    let account = home.account.filter(|_| home.intended == Intended::Granted)?;
    Some(Relationship::new(Object::new(KIND, home.service_account), "account", Object::account(account)))
}

/// Which of the service accounts of the database the permission system does not know the account of. The name of the last of the
/// page, if there may be more.
///
/// # Errors
/// An outage of either side.
pub(super) async fn meant(sides: &Sides<'_>, after: Option<&str>, mode: Mode, stretch: &mut Stretch) -> Result<Option<String>, Error> {
    let homes = sides.intents.homes_after(after, HOMES).await?;
    stretch.looked_at += homes.len() as u64;
    stretch.left_alone += homes.iter().filter(|home| home.intended == Intended::InFlight).count() as u64;
    let wanted: Vec<(&Home, Relationship)> = homes.iter().filter_map(|home| Some((home, tuple(home)?))).collect();
    let check = |r: &Relationship| Check { resource: r.resource.clone(), permission: r.relation.clone(), subject: r.subject.clone() };
    let checks: Vec<Check> = wanted.iter().map(|(_, r)| check(r)).collect();
    let are_held = bulk(sides.berth, &checks, &Consistency::FullyConsistent).await?;
    for ((home, missing), _) in wanted.into_iter().zip(are_held).filter(|(_, is_held)| !is_held) {
        differs(sides, home, Drift::missing(Class::Missing, missing), mode, stretch).await?;
    }
    Ok(homes.last().map(|last| last.name.clone()))
}

/// Accounts that the permission system takes for a service account's and the database does not, and service accounts that the
/// database does not know.
///
/// # Errors
/// An outage of either side.
pub(super) async fn held(sides: &Sides<'_>, page: &[Relationship], mode: Mode, stretch: &mut Stretch) -> Result<(), Error> {
    stretch.looked_at += page.len() as u64;
    // Another spelling of an id is another object to the permission system.
    let id = |r: &Relationship| Uuid::try_parse(&r.resource.id).ok().filter(|id| id.to_string() == r.resource.id);
    let ids: Vec<Uuid> = page.iter().filter_map(id).collect();
    let known: HashMap<Uuid, Home> = sides.intents.homes_of(&ids).await?.into_iter().map(|home| (home.service_account, home)).collect();
    for r in page {
        let home = id(r).and_then(|id| known.get(&id));
        if home.is_some_and(|home| home.intended == Intended::InFlight || tuple(home).as_ref() == Some(r)) {
            continue;
        }
        // The page may be of an earlier state.
        if !read(sides, r.resource.clone()).await?.contains(r) {
            continue;
        }
        if let Some(home) = home {
            differs(sides, home, Drift::surplus(r.clone()), mode, stretch).await?;
            continue;
        }
        let drift = Drift::orphaned(r.clone());
        let fate = if mode.repair && mode.remove_unknown { repair::alone(sides, &drift, None).await? } else { Fate::Found };
        stretch.found.push((drift, fate));
    }
    Ok(())
}

/// Unless the row says something else by now.
async fn differs(sides: &Sides<'_>, home: &Home, drift: Drift, mode: Mode, stretch: &mut Stretch) -> Result<(), Error> {
    if sides.intents.homes_of(&[home.service_account]).await?.first() != Some(home) {
        stretch.left_alone += 1;
        return Ok(());
    }
    let fate = if mode.repair { repair::home(sides, home.service_account, home.account, &drift).await? } else { Fate::Found };
    stretch.found.push((drift, fate));
    Ok(())
}
