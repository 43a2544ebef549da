//! The outbound side of Berth: permission systems and data platforms, each behind a port of `domain`.

pub mod backends;
pub mod identity;
pub mod permissions;
