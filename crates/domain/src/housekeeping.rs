//! What has to be done at some time and that nobody waits for. Each duty does what is due, and says when it wants to be asked
//! again; a loop in the binary asks them in turn.

use std::time::Duration;

use crate::audit::Draft;
use crate::members::delivery::{back_off, deliver};
use crate::permissions::PermissionsError;
use crate::workspaces::delete::start_purge;
use crate::{Berth, Error};

/// The most workspaces that are looked after at once.
const WORKSPACES: u32 = 100;
/// How long what could not be done is left alone.
const AGAIN_IN: Duration = Duration::from_secs(10);
/// The most changes of roles that are taken at once.
const BATCH: u32 = 20;
/// How long nobody else takes what one has taken: longer than a batch needs where the permission system answers.
const LEASE: Duration = Duration::from_secs(30);

/// What a duty did.
#[derive(Debug, Default)]
pub struct Done {
    /// How long until there may be more to do; `None`: nothing waits.
    pub next: Option<Duration>,
    /// What went wrong, for the log.
    pub trouble: Vec<Trouble>,
}

/// Something that was not done, and is tried again.
#[derive(Debug)]
pub struct Trouble {
    pub id: uuid::Uuid,
    pub attempts: u32,
    pub error: Error,
}

/// Carries on that freezes have expired: logins and tokens are brought to what is left, parked runs go on. The gate is open
/// from the moment that they expire, whether or not anybody has come to this.
///
/// # Errors
/// The database is away.
pub async fn expire_freezes(berth: &Berth) -> Result<Done, Error> {
    let expired = berth.freezes.expired(WORKSPACES).await?;
    let is_all = expired.due.len() < usize::try_from(WORKSPACES).unwrap_or(usize::MAX);
    let mut done = Done { next: if is_all { expired.next } else { Some(Duration::ZERO) }, trouble: Vec::new() };
    for (account, workspace) in expired.due {
        let audit = Draft::by_berth(&*berth.ids, account, Some(workspace), "workspace.freeze_expired").target("workspace", workspace);
        match berth.freezes.expire(workspace, audit).await {
            Ok(true) => berth.wake.wake(),
            // Lifted or replaced meanwhile.
            Ok(false) => {}
            Err(error) => done.trouble.push(Trouble { id: workspace, attempts: 1, error: error.into() }),
        }
    }
    if !done.trouble.is_empty() {
        done.next = Some(AGAIN_IN);
    }
    Ok(done)
}

/// Begins the purge of deleted workspaces whose time is over. One that a legal or security freeze holds, or that a run is at
/// work on, waits until it is let go.
///
/// # Errors
/// The database is away.
pub async fn start_purges(berth: &Berth) -> Result<Done, Error> {
    let due = berth.deletions.to_purge(WORKSPACES).await?;
    let is_all = due.due.len() < usize::try_from(WORKSPACES).unwrap_or(usize::MAX);
    let mut done = Done { next: if is_all { due.next } else { Some(Duration::ZERO) }, trouble: Vec::new() };
    for workspace in due.due {
        match start_purge(berth, &workspace).await {
            Ok(true) => berth.wake.wake(),
            // Restored or held meanwhile.
            Ok(false) => {}
            Err(error) => done.trouble.push(Trouble { id: workspace.id, attempts: 1, error }),
        }
    }
    if !done.trouble.is_empty() {
        done.next = Some(AGAIN_IN);
    }
    Ok(done)
}

/// Tells the permission system of changes of roles that it was not told of when they were made.
///
/// # Errors
/// The database is away.
pub async fn deliver_membership_changes(berth: &Berth) -> Result<Done, Error> {
    let due = berth.members.take_due(BATCH, LEASE).await?;
    let mut done = Done { next: due.next, trouble: Vec::new() };
    let mut changes = due.changes.into_iter();
    while let Some(change) = changes.next() {
        let Err(error) = deliver(berth, std::slice::from_ref(&change), None).await else {
            // The next one of its line may be due.
            done.next = Some(Duration::ZERO);
            continue;
        };
        let again_in = back_off(change.attempts);
        berth.members.postpone(&change, &error.to_string(), again_in).await?;
        done.next = Some(done.next.map_or(again_in, |next| next.min(again_in)));
        let is_away = matches!(error, Error::Permissions(PermissionsError::Unavailable(_)));
        done.trouble.push(Trouble { id: change.id, attempts: change.attempts, error });
        if is_away {
            // The others would fare no better.
            for untried in changes.by_ref() {
                berth.members.postpone(&untried, "the permission system was away", again_in).await?;
            }
        }
    }
    Ok(done)
}
