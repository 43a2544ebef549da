//! Secrets that Berth makes and gives away once: what they look like, and what is kept of them.
//!
//! A secret is its kind's prefix and 52 bytes in hex: the id of its row, 32 random bytes, and a checksum. The prefix lets a
//! scanner find one that leaked, the checksum tells a mistyped one apart without a look at the database. Kept is SHA-256 of the
//! random bytes: they are no password, so that nothing slower is needed.

use std::fmt;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

const CHECKSUM: usize = 4;
const BYTES: usize = 16 + 32 + CHECKSUM;

/// What a secret is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One of a service account's, which it gets its tokens with.
    Client,
    /// A long-lived token.
    ApiToken,
}

impl Kind {
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Client => "berth_secret_",
            Self::ApiToken => "berth_token_",
        }
    }
}

/// A text that nobody is to see but who it is for.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What is kept of a secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash(pub [u8; 32]);

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash(…)")
    }
}

impl Hash {
    /// Whether both are of one secret, in a time that does not depend on where they differ.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// The secret of the row `id` with these random bytes, and what is kept of it.
#[must_use]
pub fn make(kind: Kind, id: Uuid, random: [u8; 32]) -> (Secret, Hash) {
    let mut bytes = [0; BYTES];
    bytes[..16].copy_from_slice(id.as_bytes());
    bytes[16..48].copy_from_slice(&random);
    let checksum = checksum(kind, &bytes[..48]);
    bytes[48..].copy_from_slice(&checksum);
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]).filter_map(|nibble| char::from_digit(nibble.into(), 16));
    (Secret(kind.prefix().chars().chain(digits).collect()), hash(&random))
}

/// The id and the hash of what was presented; `None` if it is no secret of this kind.
#[must_use]
pub fn read(kind: Kind, text: &str) -> Option<(Uuid, Hash)> {
    let digits = text.strip_prefix(kind.prefix())?.as_bytes();
    if digits.len() != 2 * BYTES {
        return None;
    }
    let mut bytes = [0; BYTES];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    if bytes[48..] != checksum(kind, &bytes[..48]) {
        return None;
    }
    Some((Uuid::from_slice(&bytes[..16]).ok()?, hash(&bytes[16..48])))
}

fn hash(random: &[u8]) -> Hash {
    Hash(Sha256::digest(random).into())
}

fn checksum(kind: Kind, bytes: &[u8]) -> [u8; CHECKSUM] {
    let digest = Sha256::new().chain_update(kind.prefix()).chain_update(bytes).finalize();
    std::array::from_fn(|index| digest[index])
}

/// Lower case only: one secret has one spelling.
fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Uuid = Uuid::from_u128(0x42);

    #[test]
    fn what_is_made_is_read_again_and_kept_as_a_hash() {
        let (secret, kept) = make(Kind::Client, ID, [7; 32]);
        assert!(secret.expose().starts_with("berth_secret_"));
        let (id, hash) = read(Kind::Client, secret.expose()).unwrap();
        assert_eq!(id, ID);
        assert!(hash.is(&kept));
        assert_eq!(kept.0, <[u8; 32]>::from(Sha256::digest([7; 32])));
        let (other, other_kept) = make(Kind::Client, ID, [8; 32]);
        assert!(!hash.is(&other_kept) && other != secret);
    }

    #[test]
    fn one_digit_that_is_wrong_makes_it_none() {
        let (secret, _) = make(Kind::Client, ID, [7; 32]);
        let text = secret.expose();
        for at in Kind::Client.prefix().len()..text.len() {
            let wrong = if &text[at..=at] == "0" { "1" } else { "0" };
            let mistyped = format!("{}{wrong}{}", &text[..at], &text[at + 1..]);
            assert!(read(Kind::Client, &mistyped).is_none(), "{at}");
        }
        for other in [text.to_uppercase(), text[..text.len() - 1].to_owned(), format!("{text}0"), String::new(), "é".repeat(116)] {
            assert!(read(Kind::Client, &other).is_none());
        }
        let renamed = text.replace(Kind::Client.prefix(), Kind::ApiToken.prefix());
        assert!(read(Kind::ApiToken, &renamed).is_none(), "one kind does not pass for the other");
    }

    #[test]
    fn nothing_that_is_printed_shows_one() {
        let (secret, kept) = make(Kind::ApiToken, ID, [0xab; 32]);
        assert_eq!(format!("{secret:?} {kept:?}"), "Secret(…) Hash(…)");
    }
}
