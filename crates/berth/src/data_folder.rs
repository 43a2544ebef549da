//! The data folder: made private, held by exactly one process for as long as it runs.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, flock};
use rustix::io::Errno;

use crate::failure::Failure;

const LOCK: &str = "berth.lock";

/// A data folder that this process holds. Dropping it, or the end of the process, lets go.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    _lock: File,
}

/// What came of an attempt to hold a folder.
pub enum Held {
    Ours(DataFolder),
    /// Another process holds it.
    Elsewhere,
}

impl DataFolder {
    /// Makes the folder if need be, and holds it.
    ///
    /// # Errors
    /// Somebody else holds it; it cannot be made or written; the disk is full. Each says what to do.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        match Self::try_open(path)? {
            Held::Ours(folder) => Ok(folder),
            Held::Elsewhere => Err(Failure::new(format!(
                "another process holds the data folder {}. Stop it first, or give this one a folder of its own: --data-dir DIR",
                path.display()
            ))),
        }
    }

    /// As [`open`](Self::open), but another holder is an answer, not a failure.
    ///
    /// # Errors
    /// It cannot be made or written; the disk is full.
    pub fn try_open(path: &Path) -> Result<Held, Failure> {
        // Whatever is made from here on, by SQLite too, is for this user only.
        rustix::process::umask(Mode::from_raw_mode(0o077));
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| cannot("make the data folder", path, &e))?;
        let path = path.canonicalize().map_err(|e| cannot("open the data folder", path, &e))?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join(LOCK))
            .map_err(|e| cannot("write in the data folder", &path, &e))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(Held::Elsewhere),
            Err(e) => return Err(cannot("lock the data folder", &path, &e.into())),
        }
        // Whoever holds it may write it; a folder of a mode that lets others in is closed.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700))
            .map_err(|e| cannot("close the data folder to others", &path, &e))?;
        let folder = Self { path, _lock: lock };
        // A full disk shows here, not in the middle of a request.
        let probe = folder.write_private(".writable", &[0; 4096])?;
        std::fs::remove_file(&probe).map_err(|e| cannot("write in the data folder", &folder.path, &e))?;
        Ok(Held::Ours(folder))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file of mode 0600 by renaming: a reader sees the old one or the new one, whatever crashes.
    ///
    /// # Errors
    /// It cannot be written; the disk is full.
    pub fn write_private(&self, name: &str, content: &[u8]) -> Result<PathBuf, Failure> {
        let place = self.path.join(name);
        let fresh = self.path.join(format!(".{name}.new"));
        let write = || {
            let _ = std::fs::remove_file(&fresh);
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
            file.write_all(content)?;
            file.sync_all()?;
            std::fs::rename(&fresh, &place)?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(|e| cannot("write", &place, &e))?;
        Ok(place)
    }
}

/// A sentence that names the file, what was wrong, and what to do.
pub fn cannot(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    use std::io::ErrorKind;
    let advice = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "The disk is full: free some space, then start again",
        ErrorKind::PermissionDenied => "Give the user that runs Berth the right to write there, or choose another folder: --data-dir DIR",
        ErrorKind::ReadOnlyFilesystem => "The file system is read-only: choose another folder: --data-dir DIR",
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => "Something else is in its place: choose another folder: --data-dir DIR",
        ErrorKind::InvalidFilename => "The name is too long: choose another folder: --data-dir DIR",
        _ => "Look at the folder, or choose another one: --data-dir DIR",
    };
    Failure::new(format!("cannot {what} {}: {error}. {advice}", path.display()))
}
