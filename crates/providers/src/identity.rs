//! Those who vouch for users: `OpenID` Connect providers.

pub mod oidc;
