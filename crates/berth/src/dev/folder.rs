//! What `berth dev` keeps in its data folder, and the house made of it: the database, the issuer's key, the backends.

use std::sync::Arc;

use api::{Issuer, KeyFile};
use store::{Db, MigrateError, Store};

use crate::config::Config;
use crate::data_folder::{DataFolder, cannot};
use crate::failure::Failure;
use crate::house::issuer::Keyring;
use crate::house::{self, House, Parts};

const DATABASE: &str = "berth.db";
const ISSUER_KEY: &str = "issuer.key";
const ISSUER_NAME: &str = "berth-dev";

/// Whether a first start has made a database here.
pub fn has_database(folder: &DataFolder) -> bool {
    folder.path().join(DATABASE).exists()
}

/// Opens what is in the folder, and makes what is not there yet.
///
/// # Errors
/// A database of a newer version, a broken saga file, a key that is none, a full disk: each says what to do.
pub async fn open(config: &Config, folder: &DataFolder) -> Result<(House, Arc<Issuer>), Failure> {
    let store = open_store(folder).await?;
    let file = key_file(folder)?;
    let backends = house::backends::open(config, folder.path())?;
    let house = house::assemble(config, Parts { store, backends }).await?;
    let keyring = Keyring::new(config, &house.store, file);
    let issuer = keyring.open(&house.berth, ISSUER_NAME, true).await?;
    Ok((house, issuer))
}

async fn open_store(folder: &DataFolder) -> Result<Store, Failure> {
    let path = folder.path().join(DATABASE);
    let unusable = |e: String| Failure::new(format!("the database {} cannot be used: {e}", path.display()));
    let db = Db::open_sqlite(&path).await.map_err(|e| unusable(advised(&e.to_string())))?;
    db.migrate().await.map_err(|e| {
        unusable(match e {
            MigrateError::Failed(text) => advised(&text),
            other => other.to_string(),
        })
    })?;
    Ok(Store::new(db))
}

/// What to do about a sentence of SQLite's.
fn advised(text: &str) -> String {
    let advice = if text.contains("full") {
        "The disk is full: free some space, then start again"
    } else if text.contains("not a database") || text.contains("malformed") {
        "The file is damaged or is something else: restore a backup, or choose another folder with --data-dir DIR"
    } else if text.contains("readonly") || text.contains("unable to open") {
        "Give the user that runs Berth the right to write in the folder, or choose another one with --data-dir DIR"
    } else {
        "Restore a backup, or choose another folder with --data-dir DIR"
    };
    format!("{text}. {advice}")
}

fn key_file(folder: &DataFolder) -> Result<KeyFile, Failure> {
    const ADVICE: &str = "Restore it, or delete it: a new one is made";
    let path = folder.path().join(ISSUER_KEY);
    if let Some(file) = house::issuer::read(&path, ADVICE)? {
        return Ok(file);
    }
    folder.write_private(ISSUER_KEY, house::issuer::generate()?.pkcs8())?;
    let made = house::issuer::read(&path, ADVICE)?;
    made.ok_or_else(|| cannot("read the signing key", &path, &std::io::ErrorKind::NotFound.into()))
}
