//! The installation's key file: the first signing key, and what all signing keys in the database are sealed under.
//!
//! The file is an Ed25519 key in PKCS#8. The key that seals is derived from it with HKDF-SHA-256 (RFC 5869); a signing key is sealed
//! with AES-256-GCM under a random nonce, with its id as associated data, so that none can stand in another's row.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use uuid::Uuid;

use super::KeyError;

/// What the derived key is for.
const PURPOSE: &[u8] = b"berth signing keys 1";

/// A private key, as PKCS#8; never shown.
#[derive(Clone)]
pub struct PrivateKey(Vec<u8>);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(hidden)")
    }
}

impl PrivateKey {
    /// A fresh one.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn generate() -> Result<Self, KeyError> {
        let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|e| KeyError(e.to_string()))?;
        Ok(Self(made.as_ref().to_vec()))
    }

    /// # Errors
    /// `pkcs8` is not an Ed25519 key.
    pub fn read(pkcs8: &[u8]) -> Result<Self, KeyError> {
        Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|e| KeyError(e.to_string()))?;
        Ok(Self(pkcs8.to_vec()))
    }

    #[must_use]
    pub fn pkcs8(&self) -> &[u8] {
        &self.0
    }

    /// # Errors
    /// It is not an Ed25519 key.
    pub fn public(&self) -> Result<Vec<u8>, KeyError> {
        let pair = Ed25519KeyPair::from_pkcs8(&self.0).map_err(|e| KeyError(e.to_string()))?;
        Ok(pair.public_key().as_ref().to_vec())
    }
}

/// What seals signing keys, and the one that it is made of.
#[derive(Debug)]
pub struct KeyFile {
    first: PrivateKey,
    sealing: RandomizedNonceKey,
}

impl KeyFile {
    /// # Errors
    /// `bytes` are not an Ed25519 key in PKCS#8.
    pub fn read(bytes: &[u8]) -> Result<Self, KeyError> {
        let first = PrivateKey::read(bytes)?;
        let unusable = |_| KeyError("no key can be derived from it".to_owned());
        let mut derived = [0; 32];
        let secret = Salt::new(HKDF_SHA256, &[]).extract(first.pkcs8());
        secret.expand(&[PURPOSE], HKDF_SHA256).and_then(|expanded| expanded.fill(&mut derived)).map_err(unusable)?;
        let sealing = RandomizedNonceKey::new(&AES_256_GCM, &derived).map_err(unusable)?;
        Ok(Self { first, sealing })
    }

    /// The installation's first signing key.
    #[must_use]
    pub fn first(&self) -> &PrivateKey {
        &self.first
    }

    /// The private key of `id` as it may be kept: nonce, then what is sealed, then the tag.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn seal(&self, id: Uuid, key: &PrivateKey) -> Result<Vec<u8>, KeyError> {
        let mut sealed = key.pkcs8().to_vec();
        let nonce = self
            .sealing
            .seal_in_place_append_tag(Aad::from(id.as_bytes()), &mut sealed)
            .map_err(|_| KeyError("it cannot be sealed".to_owned()))?;
        Ok([nonce.as_ref().as_slice(), &sealed].concat())
    }

    /// What was sealed under this file for `id`; `None`: it was sealed under another one, or was changed since.
    #[must_use]
    pub fn open(&self, id: Uuid, sealed: &[u8]) -> Option<PrivateKey> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut opened = sealed.to_vec();
        let key = self.sealing.open_in_place(nonce, Aad::from(id.as_bytes()), &mut opened).ok()?;
        PrivateKey::read(key).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_file_that_sealed_a_key_opens_it_and_only_for_its_id() {
        let (file, other) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
        let (file, other) = (KeyFile::read(file.pkcs8()).unwrap(), KeyFile::read(other.pkcs8()).unwrap());
        let (key, id) = (PrivateKey::generate().unwrap(), Uuid::from_u128(7));
        let sealed = file.seal(id, &key).unwrap();
        assert!(!sealed.windows(32).any(|part| key.pkcs8().windows(32).any(|secret| part == secret)), "it is kept in the clear");
        assert_eq!(file.open(id, &sealed).unwrap().pkcs8(), key.pkcs8());
        assert!(file.open(Uuid::from_u128(8), &sealed).is_none());
        assert!(other.open(id, &sealed).is_none());
        for at in [0, NONCE_LEN, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(file.open(id, &changed).is_none(), "byte {at} was changed");
        }
        assert!(file.open(id, &sealed[..NONCE_LEN - 1]).is_none());
        assert_ne!(file.seal(id, &key).unwrap(), sealed, "the nonce is a fresh one each time");
    }

    #[test]
    fn no_key_is_ever_shown() {
        let file = PrivateKey::generate().unwrap();
        let shown = format!("{:?} {:?}", file, KeyFile::read(file.pkcs8()).unwrap());
        assert!(shown.contains("hidden") && !shown.contains(&format!("{:?}", &file.pkcs8()[20..24])), "{shown}");
    }
}
