//! The built-in token issuer's key: a file that is kept as one keeps a password.

use std::path::Path;
use std::sync::Arc;

use api::Issuer;

use crate::data_folder::cannot;
use crate::failure::Failure;
use crate::ids::system_time;

/// A fresh key, for a file.
///
/// # Errors
/// The system gives no randomness.
pub fn generate() -> Result<Vec<u8>, Failure> {
    Issuer::generate_key().map_err(|e| Failure::new(format!("no signing key can be made: {e}")))
}

/// The issuer called `name` whose key is in the file, or `None` if there is no such file.
///
/// # Errors
/// The file cannot be read, or holds no key.
pub fn read(path: &Path, name: &str, advice: &str) -> Result<Option<Issuer>, Failure> {
    let key = match std::fs::read(path) {
        Ok(key) => key,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(cannot("read the signing key", path, &e)),
    };
    Issuer::new(&key, name, Arc::new(system_time))
        .map(Some)
        .map_err(|e| Failure::new(format!("{} is no signing key: {e}. {advice}", path.display())))
}
