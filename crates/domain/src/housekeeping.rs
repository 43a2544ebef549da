//! What has to be done at some time and that nobody waits for. Each duty does what is due, and says when it wants to be asked
//! again; a loop in the binary asks them in turn.

use std::time::Duration;

use saga::{RunId, Time};
use uuid::Uuid;

use crate::audit::Draft;
use crate::members::delivery::{back_off, deliver};
use crate::permissions::PermissionsError;
use crate::service_accounts::relate;
use crate::workspaces::delete::start_purge;
use crate::{Berth, Error};

/// The most workspaces that are looked after at once.
const WORKSPACES: u32 = 100;
/// How long a run rests that was to be carried through and was given up: then another takes its place.
pub const GIVEN_UP_RESTS: Duration = Duration::from_mins(5);
/// How long what could not be done is left alone.
const AGAIN_IN: Duration = Duration::from_secs(10);
/// The most changes of roles that are taken at once.
const BATCH: u32 = 20;
/// How long a change of a role is kept that another has taken the place of: for whoever looks into what was told when.
pub const CHANGES_KEPT: Duration = Duration::from_hours(7 * 24);
/// The most of them that are forgotten at once.
const FORGOTTEN: u32 = 500;
/// The most runs that are looked at at once; each that is forgotten takes some twenty journal records with it.
const RUNS: u32 = 200;
/// The most idempotency records that are forgotten at once.
const KEYS: u32 = 1000;
/// How long runs that were kept are not looked at again.
const WALK_AGAIN_IN: Duration = Duration::from_hours(24);
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
    pub id: Uuid,
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
    let act = |(account, workspace)| async move {
        let audit = Draft::by_berth(&*berth.ids, account, Some(workspace), "workspace.freeze_expired").target("workspace", workspace);
        // False: lifted or replaced meanwhile.
        Ok(berth.freezes.expire(workspace, audit).await?)
    };
    Ok(each(berth, expired.due, |(_, workspace)| *workspace, expired.next, act).await)
}

/// Begins to carry out freezes again whose run was given up: while they stand, no login is left open for good.
///
/// # Errors
/// The database is away.
pub async fn apply_freezes_again(berth: &Berth) -> Result<Done, Error> {
    let unapplied = berth.freezes.unapplied(WORKSPACES, GIVEN_UP_RESTS).await?;
    let act = |workspace| async move { Ok(berth.freezes.apply_again(workspace, GIVEN_UP_RESTS).await?) };
    Ok(each(berth, unapplied.due, |workspace| *workspace, unapplied.next, act).await)
}

/// Begins the purge of deleted workspaces whose time is over, and begins one again that was given up. One that a legal or
/// security freeze holds, or that a run is at work on, waits until it is let go.
///
/// # Errors
/// The database is away.
pub async fn start_purges(berth: &Berth) -> Result<Done, Error> {
    let due = berth.deletions.to_purge(WORKSPACES, GIVEN_UP_RESTS).await?;
    // False: restored or held meanwhile.
    let act = |workspace| async move { start_purge(berth, &workspace, GIVEN_UP_RESTS).await };
    Ok(each(berth, due.due, |workspace| workspace.id, due.next, act).await)
}

/// Does `act` to all that is due, and wakes the worker for what has come of it. There is more at once where there was too much
/// for one turn, otherwise after `next`, and sooner where something could not be done.
async fn each<T, F: Future<Output = Result<bool, Error>>>(
    berth: &Berth,
    due: Vec<T>,
    id: fn(&T) -> Uuid,
    next: Option<Duration>,
    act: impl Fn(T) -> F,
) -> Done {
    let is_all = due.len() < usize::try_from(WORKSPACES).unwrap_or(usize::MAX);
    let mut done = Done { next: if is_all { next } else { Some(Duration::ZERO) }, trouble: Vec::new() };
    for item in due {
        let id = id(&item);
        match act(item).await {
            Ok(true) => berth.wake.wake(),
            Ok(false) => {}
            Err(error) => done.trouble.push(Trouble { id, attempts: 1, error }),
        }
    }
    if !done.trouble.is_empty() {
        done.next = Some(AGAIN_IN);
    }
    done
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

/// Forgets changes of roles that nothing refers to any more.
///
/// # Errors
/// The database is away.
pub async fn forget_membership_changes(berth: &Berth) -> Result<Done, Error> {
    let forgotten = berth.members.forget(FORGOTTEN, CHANGES_KEPT).await?;
    Ok(Done { next: (forgotten == u64::from(FORGOTTEN)).then_some(Duration::ZERO), trouble: Vec::new() })
}

/// How far the runs have been looked through for what can be forgotten. What was passed is not read again until a day later, so
/// that rows which are kept for ever cost nothing.
#[derive(Debug, Default)]
pub struct Walk {
    after: Option<RunId>,
    began_at: Option<Time>,
}

/// Tells the permission system of service accounts that it was not told of when they were made.
///
/// # Errors
/// The database is away.
pub async fn relate_service_accounts(berth: &Berth) -> Result<Done, Error> {
    let due = berth.service_accounts.unrelated(WORKSPACES).await?;
    let act = |(id, account)| async move { relate(berth, id, account).await.map(|()| false) };
    Ok(each(berth, due, |(id, _)| *id, None, act).await)
}

/// Forgets runs that ended `kept` ago or earlier and that nothing needs any more; goes on where `walk` has come to.
///
/// # Errors
/// The database is away.
pub async fn forget_runs(berth: &Berth, walk: &mut Walk, kept: Duration) -> Result<Done, Error> {
    let stretch = berth.retention.forget_runs(walk.after, RUNS, kept).await?;
    let began_at = *walk.began_at.get_or_insert(stretch.now);
    if stretch.next.is_some() {
        walk.after = stretch.next;
        return Ok(Done { next: Some(Duration::ZERO), trouble: Vec::new() });
    }
    if stretch.now.since(began_at) >= WALK_AGAIN_IN {
        *walk = Walk::default();
    }
    Ok(Done::default())
}

/// Forgets idempotency records that count no more.
///
/// # Errors
/// The database is away.
pub async fn forget_keys(berth: &Berth) -> Result<Done, Error> {
    let forgotten = berth.retention.forget_keys(KEYS).await?;
    Ok(Done { next: (forgotten == u64::from(KEYS)).then_some(Duration::ZERO), trouble: Vec::new() })
}
