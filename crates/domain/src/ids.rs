//! Ids, and the bucket that a tenant's rows live in.

use uuid::Uuid;

/// The bucket of a tenant row: the last byte of the account's id. Every id made for an account ends in that byte, so
/// that a get by id goes to one place without a look-up.
#[must_use]
pub fn bucket(id: Uuid) -> i16 {
    i16::from(id.as_bytes()[15])
}

/// `id` with its last byte replaced by that of `account`.
#[must_use]
pub fn within(account: Uuid, id: Uuid) -> Uuid {
    let mut bytes = *id.as_bytes();
    bytes[15] = account.as_bytes()[15];
    Uuid::from_bytes(bytes)
}

/// The one platform object; also the account of the platform's audit chain.
pub const PLATFORM: Uuid = Uuid::nil();
