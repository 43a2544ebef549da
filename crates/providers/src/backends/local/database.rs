//! What a `local` backend workspace holds: a generated key, and a database file that only this key opens.
//!
//! The file begins with a header that the key authenticates (HMAC-SHA-256), so that a log-in proves that key and database
//! belong together.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::{fmt::Write as _, fs};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

const DATABASE: &str = "workspace.db";
const KEY: &str = "key";
const MAGIC: &[u8; 16] = b"berth-local-db-1";
const ID: usize = 16;
const TAG: usize = 32;

/// Writes both files into `folder`, durably. The folder itself is the caller's to sync.
pub fn write(folder: &Path, id: Uuid, key: &[u8; 32]) -> io::Result<()> {
    let mut header = MAGIC.to_vec();
    header.extend_from_slice(id.as_bytes());
    let tag = seal(key, &header).finalize().into_bytes();
    header.extend_from_slice(&tag);
    write_file(&folder.join(DATABASE), &header)?;
    write_file(&folder.join(KEY), hex(key).as_bytes())
}

/// Whether the key in `folder` opens its database.
pub fn open(folder: &Path) -> io::Result<bool> {
    let key = fs::read_to_string(folder.join(KEY))?;
    let database = fs::read(folder.join(DATABASE))?;
    let (Some(key), Some(header), Some(tag)) =
        (unhex(key.trim_end()), database.get(..MAGIC.len() + ID), database.get(MAGIC.len() + ID..MAGIC.len() + ID + TAG))
    else {
        return Ok(false);
    };
    Ok(header.starts_with(MAGIC) && seal(&key, header).verify_slice(tag).is_ok())
}

/// A new file that only its owner reads, synced.
pub fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn seal(key: &[u8], header: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(header);
    mac
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2 + 1), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }) + "\n"
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    (0..32).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()).collect()
}
