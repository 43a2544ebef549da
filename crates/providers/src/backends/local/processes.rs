//! Which processes are at work on a root: each holds a lock on a file of its own for as long as it lives, however it ends.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::disk;

const PROCESSES: &str = ".processes";

/// Comes in as `process`, and takes away what dead ones left. The lock lasts as long as the file is open.
pub fn enter(root: &Path, process: &str) -> io::Result<File> {
    let folder = root.join(PROCESSES);
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    // One comes in at a time: a file that is made and not locked yet would be taken for a dead one's.
    let door = File::open(&folder)?;
    door.lock()?;
    let life = OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(process))?;
    life.lock()?;
    let alive = alive(&folder)?;
    disk::sweep(root, |process| alive.contains(process))?;
    Ok(life)
}

/// Forgets the dead, and names the others.
fn alive(folder: &Path) -> io::Result<BTreeSet<String>> {
    let mut alive = BTreeSet::new();
    for (name, path) in disk::entries(folder)? {
        match File::open(&path)?.try_lock() {
            Ok(()) => std::fs::remove_file(&path)?,
            Err(TryLockError::WouldBlock) => drop(alive.insert(name)),
            Err(TryLockError::Error(e)) => return Err(e),
        }
    }
    Ok(alive)
}
