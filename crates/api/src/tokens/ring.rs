//! The issuer's keys at a time: one signs, older ones are still accepted, the next is known already.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{DecodingKey, EncodingKey};
use saga::Time;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::PrivateKey;
use super::remembered::Remembered;

/// A key of the built-in issuer's.
#[derive(Debug, Clone)]
pub struct SigningKey {
    /// The tokens' `kid`.
    pub id: Uuid,
    pub public: Vec<u8>,
    /// `None`: this process cannot sign with it.
    pub private: Option<PrivateKey>,
    pub signs_from: Time,
    /// `None`: no later key signs yet.
    pub accepted_until: Option<Time>,
    /// Tokens that name no key are of this one.
    pub is_first: bool,
}

impl SigningKey {
    /// Whether there is any difference for who signs or checks.
    fn is_as(&self, other: &Self) -> bool {
        (self.id, self.signs_from, self.accepted_until) == (other.id, other.signs_from, other.accepted_until)
            && self.private.is_some() == other.private.is_some()
    }
}

/// The public half of a key, as RFC 8037 words it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Jwk {
    #[schema(examples("OKP"))]
    kty: &'static str,
    #[schema(examples("Ed25519"))]
    crv: &'static str,
    #[schema(examples("EdDSA"))]
    alg: &'static str,
    #[serde(rename = "use")]
    #[schema(examples("sig"))]
    purpose: &'static str,
    kid: Uuid,
    /// The public key, in base64url.
    x: String,
}

#[cfg(test)]
impl Jwk {
    #[must_use]
    pub fn kid(&self) -> Uuid {
        self.kid
    }
}

/// Keys in the order in which they sign.
pub(super) struct Ring {
    keys: Vec<SigningKey>,
    /// With the keys that vouch for them: when those change, nothing is remembered any more.
    pub remembered: Remembered,
}

impl Ring {
    pub fn new(keys: Vec<SigningKey>) -> Self {
        Self { keys, remembered: Remembered::default() }
    }

    pub fn is_of(&self, keys: &[SigningKey]) -> bool {
        self.keys.len() == keys.len() && self.keys.iter().zip(keys).all(|(one, other)| one.is_as(other))
    }

    /// What a token is signed with now: the newest that this process can sign with, or the first, should all begin in the future of
    /// this machine's clock.
    pub fn signing(&self, now: Time) -> Option<(Uuid, EncodingKey)> {
        let able = || self.keys.iter().filter_map(|key| Some((key, key.private.as_ref()?)));
        let (key, private) = able().rfind(|(key, _)| key.signs_from <= now).or_else(|| able().next())?;
        Some((key.id, EncodingKey::from_ed_der(private.pkcs8())))
    }

    /// Where the key is that a token names.
    pub fn find(&self, kid: Option<&str>) -> Option<usize> {
        let id = kid.map(Uuid::try_parse).transpose().ok()?;
        self.keys.iter().position(|key| id.map_or(key.is_first, |id| key.id == id))
    }

    pub fn decoding(&self, at: usize) -> DecodingKey {
        DecodingKey::from_ed_der(&self.keys[at].public)
    }

    pub fn accepts(&self, at: usize, now: Time) -> bool {
        self.keys[at].accepted_until.is_none_or(|until| now < until)
    }

    /// What is accepted now, and what will be.
    pub fn published(&self, now: Time) -> Vec<Jwk> {
        let key = |(_, key): (usize, &SigningKey)| Jwk {
            kty: "OKP",
            crv: "Ed25519",
            alg: "EdDSA",
            purpose: "sig",
            kid: key.id,
            x: URL_SAFE_NO_PAD.encode(&key.public),
        };
        self.keys.iter().enumerate().filter(|(at, _)| self.accepts(*at, now)).map(key).collect()
    }
}
