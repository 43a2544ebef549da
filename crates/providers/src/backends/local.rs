//! The `local` backend: a folder per backend workspace, `ROOT/REGION/ID`, for development and for tests.
//!
//! A folder appears on its name whole and durable, or not at all. Its undo is *sealed*: it puts a file at the name, which
//! a rename of a late create's folder cannot replace. Several processes of one machine may work on a root: each builds under
//! names of its own, and what a dead one left is told by a lock that died with it.

mod database;
mod disk;
mod login;
mod processes;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use domain::ports::{BackendSpec, Backends, CallError, Ids, LoginAnswer, login_frozen};
use saga::{CancellationToken, Fault, RunId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use disk::{Place, Standing};
pub use login::Login;

/// Who made a backend workspace: an undo takes away only what bears its own run's mark.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mark {
    pub run: RunId,
    /// `run:step`.
    pub key: String,
}

/// A backend workspace that exists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Existing {
    pub region: String,
    pub id: Uuid,
    pub mark: Mark,
    pub login: Login,
}

/// The `local` backend of some regions.
///
/// Its work blocks, and runs to its end once begun: a call that is dropped leaves it running, one that is awaited has
/// none left. It heeds `stop` only before it begins.
pub struct Local {
    root: PathBuf,
    regions: BTreeSet<String>,
    ids: Arc<dyn Ids>,
    builds: AtomicU64,
    /// What this process calls itself in the names of what it builds.
    process: String,
    /// Locked as long as this lives.
    _life: Option<File>,
}

/// How long an order about a login waits for another one, and how often it looks.
const TURN_WITHIN: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(5);

impl Local {
    /// For a process that only has to know the regions: touches no disk, and must not be asked to.
    ///
    /// # Errors
    /// A region's name that is no folder's name.
    pub fn closed(root: impl Into<PathBuf>, regions: impl IntoIterator<Item = String>, ids: Arc<dyn Ids>) -> io::Result<Self> {
        let process = ids.free().simple().to_string();
        let (root, regions) = (root.into(), regions.into_iter().collect());
        let local = Self { root, regions, ids, builds: AtomicU64::new(0), process, _life: None };
        for region in &local.regions {
            let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            if region.is_empty() || !region.bytes().all(allowed) {
                let message = format!("the region name `{region}` cannot be a folder's: use `a-z`, `0-9` and `-`");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
        }
        Ok(local)
    }

    /// Makes `root` and a folder per region where they are missing, and takes away what dead processes left half-built or
    /// half-removed. Blocks.
    ///
    /// # Errors
    /// A region's name that is no folder's name; whatever the file system refuses.
    pub fn open(root: impl Into<PathBuf>, regions: impl IntoIterator<Item = String>, ids: Arc<dyn Ids>) -> io::Result<Self> {
        let local = Self::closed(root, regions, ids)?;
        for region in &local.regions {
            disk::make_region(&local.root, region)?;
        }
        let life = processes::enter(&local.root, &local.process)?;
        Ok(Self { _life: Some(life), ..local })
    }

    /// The backend workspaces that exist, sorted; seals are none. Blocks.
    ///
    /// # Errors
    /// What cannot be read, and whatever stands there that no [`Local`] made.
    pub fn inventory(&self) -> io::Result<Vec<Existing>> {
        inventory(&self.root)
    }

    fn place(&self, spec: &BackendSpec) -> Result<Place, CallError> {
        if !self.regions.contains(&spec.region) {
            return Err(CallError::Failed(
                Fault::new("region_not_configured", "The region has no backend")
                    .detail(format!("Region `{}` is not configured.", spec.region)),
            ));
        }
        let build = self.builds.fetch_add(1, Ordering::Relaxed);
        Ok(Place::new(&self.root, &spec.region, spec.id, &format!("{}-{build}", self.process)))
    }
}

/// As [`Local::inventory`], of a root that no [`Local`] of this process holds.
///
/// # Errors
/// As there.
pub fn inventory(root: &Path) -> io::Result<Vec<Existing>> {
    disk::inventory(root)
}

fn mark(spec: &BackendSpec) -> Mark {
    Mark { run: spec.run, key: spec.key.clone() }
}

/// Runs `work` where it may block, and waits for its end.
async fn blocking<T: Send + 'static>(
    stop: &CancellationToken,
    work: impl FnOnce() -> Result<T, CallError> + Send + 'static,
) -> Result<T, CallError> {
    if stop.is_cancelled() {
        return Err(CallError::Failed(Fault::new("stopped", "The call was told to stop before it began").retryable()));
    }
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| {
        Err(CallError::Unknown(Fault::new("backend_broke", "The backend's work broke off").detail(e.to_string()).retryable()))
    })
}

#[async_trait]
impl Backends for Local {
    fn name(&self, region: &str) -> Option<String> {
        self.regions.contains(region).then(|| "local".to_owned())
    }

    async fn create(&self, spec: &BackendSpec, stop: &CancellationToken) -> Result<String, CallError> {
        let place = self.place(spec)?;
        let locator = format!("{}/{}", spec.region, spec.id);
        let (mark, key) = (mark(spec), self.ids.key());
        blocking(stop, move || create(&place, &mark, &key)).await.map(|()| locator)
    }

    async fn drop(&self, spec: &BackendSpec, stop: &CancellationToken) -> Result<(), CallError> {
        let (place, mark) = (self.place(spec)?, mark(spec));
        blocking(stop, move || drop_and_seal(&place, &mark)).await
    }

    async fn login(&self, spec: &BackendSpec, stop: &CancellationToken) -> Result<(), CallError> {
        let place = self.place(spec)?;
        blocking(stop, move || login(&place)).await
    }

    async fn set_login(&self, spec: &BackendSpec, open: bool, revision: i64, stop: &CancellationToken) -> Result<LoginAnswer, CallError> {
        let (mark, ordered) = (mark(spec), Login { revision, open });
        let in_turn = async {
            loop {
                let (place, mark) = (self.place(spec)?, mark.clone());
                if let Some(answer) = blocking(stop, move || set_login_in_turn(&place, &mark, ordered)).await? {
                    return Ok(answer);
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::time::timeout(TURN_WITHIN, in_turn)
            .await
            .unwrap_or_else(|_| Err(CallError::Failed(Fault::new("login_busy", "Another process is at work on this login").retryable())))
    }
}

fn create(place: &Place, mark: &Mark, key: &[u8; 32]) -> Result<(), CallError> {
    loop {
        match place.standing().map_err(|e| CallError::Failed(io_fault(&e)))? {
            Standing::Nothing => {}
            Standing::Seal => return Err(CallError::Failed(Fault::new("sealed", "An undo has sealed this backend workspace"))),
            Standing::Folder(found) if found == *mark => break,
            Standing::Folder(_) => return Err(CallError::Failed(Fault::new("name_taken", "Another run made this backend workspace"))),
        }
        place.build(mark, key).map_err(|e| CallError::Failed(io_fault(&e)))?;
        // Refused: something stands there by now, and the next round says what.
        if place.put().map_err(|e| CallError::Failed(io_fault(&e)))? {
            break;
        }
    }
    // Also where an earlier attempt made it: that one may have died before this.
    place.make_durable().map_err(|e| CallError::Unknown(io_fault(&e)))
}

fn drop_and_seal(place: &Place, mark: &Mark) -> Result<(), CallError> {
    while !drop_a_step(place, mark)? {}
    let done = place.make_durable().and_then(|()| place.empty_trash());
    done.map_err(|e| CallError::Unknown(io_fault(&e)))
}

/// Looks once and acts once; true when the seal stands, or another run's folder, which refuses a late create as well.
fn drop_a_step(place: &Place, mark: &Mark) -> Result<bool, CallError> {
    let unknown = |e: io::Error| CallError::Unknown(io_fault(&e));
    // What is not ours stays, and a person is to look at it.
    let unclear = |e: io::Error| {
        let fault = io_fault(&e);
        if fault.retryable { CallError::Unknown(fault) } else { CallError::Failed(fault) }
    };
    match place.standing().map_err(unclear)? {
        Standing::Nothing => place.seal(mark).map_err(unknown),
        Standing::Seal => Ok(true),
        Standing::Folder(found) if found.run == mark.run => {
            place.empty_trash().and_then(|()| place.take_away()).map_err(unknown)?;
            Ok(false)
        }
        Standing::Folder(found) => {
            tracing::warn!(path = %place.name().display(), run = %mark.run, maker = %found.run, "another run's backend workspace was left alone");
            Ok(true)
        }
    }
}

fn login(place: &Place) -> Result<(), CallError> {
    let failed = |kind: &str, title: &str| Err(CallError::Failed(Fault::new(kind, title)));
    match database::open(place.name()) {
        Ok(true) => match login::read(place.name()) {
            Ok(Login { open: true, .. }) => Ok(()),
            Ok(Login { open: false, .. }) => Err(CallError::Failed(login_frozen())),
            Err(e) => Err(CallError::Failed(io_fault(&e))),
        },
        Ok(false) => failed("login_refused", "The backend workspace's key does not open its database"),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            failed("backend_workspace_missing", "There is no such backend workspace")
        }
        Err(e) => Err(CallError::Failed(io_fault(&e))),
    }
}

/// `None`, and nothing was done: another order about this login is being carried out, here or in another process. The folder is
/// the lock, which is let go of with whoever holds it.
fn set_login_in_turn(place: &Place, mark: &Mark, ordered: Login) -> Result<Option<LoginAnswer>, CallError> {
    let turn = match File::open(place.name()) {
        Ok(folder) => folder,
        Err(e) if disk::is_away(&e) => return Ok(Some(LoginAnswer::Absent)),
        Err(e) => return Err(CallError::Failed(io_fault(&e))),
    };
    match turn.try_lock() {
        Ok(()) => set_login(place, mark, ordered).map(Some),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(e)) => Err(CallError::Failed(io_fault(&e))),
    }
}

/// In its turn: nobody else writes this login meanwhile.
fn set_login(place: &Place, mark: &Mark, ordered: Login) -> Result<LoginAnswer, CallError> {
    let failed = |e: io::Error| CallError::Failed(io_fault(&e));
    match place.standing().map_err(failed)? {
        Standing::Folder(found) if found.run == mark.run => {}
        Standing::Folder(_) | Standing::Nothing | Standing::Seal => return Ok(LoginAnswer::Absent),
    }
    if ordered < login::read(place.name()).map_err(failed)? {
        return Ok(LoginAnswer::NewerStands);
    }
    // Also where it stands so already: whoever wrote it may have died before it was durable.
    match login::write(place.name(), ordered) {
        Ok(()) => Ok(LoginAnswer::Set),
        Err(e) if disk::is_away(&e) => Ok(LoginAnswer::Absent),
        Err(e) => Err(CallError::Unknown(io_fault(&e))),
    }
}

/// Why the file system refused: worth another try, except where a file is not what only a [`Local`] writes.
fn io_fault(error: &io::Error) -> Fault {
    let (kind, title) = match error.kind() {
        io::ErrorKind::InvalidData => {
            return Fault::new("backend_corrupt", "A file of the backend is not as it was written").detail(error.to_string());
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ("backend_disk_full", "The backend's disk is full"),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            ("backend_not_writable", "The backend's folder cannot be written")
        }
        _ => ("backend_io", "The backend's file system failed"),
    };
    Fault::new(kind, title).detail(error.to_string()).retryable()
}
