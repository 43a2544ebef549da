//! Whether a backend workspace's own key lets anybody in, and as of which revision of its freezes: a file in its folder,
//! replaced by one rename. A folder without one is open.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::database::write_file;
use super::disk::sync_folder;

const LOGIN: &str = "login";
const NEW: &str = ".login-new";

/// The order that a login bears. Of two the greater stands: within a revision freezes only expire, so that the one that
/// opens is the later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Login {
    pub revision: i64,
    pub open: bool,
}

impl Default for Login {
    fn default() -> Self {
        Self { revision: 0, open: true }
    }
}

pub fn read(folder: &Path) -> io::Result<Login> {
    match fs::read(folder.join(LOGIN)) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{} is not a login that Berth wrote", folder.join(LOGIN).display()))
        }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Login::default()),
        Err(e) => Err(e),
    }
}

/// Durable when it returns. One call at a time may write in one folder.
pub fn write(folder: &Path, login: Login) -> io::Result<()> {
    let new = folder.join(NEW);
    match fs::remove_file(&new) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        // Of a process that died here.
        _ => {}
    }
    write_file(&new, &serde_json::to_vec(&login)?)?;
    fs::rename(&new, folder.join(LOGIN))?;
    sync_folder(folder)
}
