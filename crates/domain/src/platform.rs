//! The beginning of an installation: its first operator, from whom all other rights come.

use saga::Time;
use serde_json::json;

use crate::audit::Draft;
use crate::ids::PLATFORM;
use crate::model::StoredPrincipal;
use crate::permissions::{Cause, Object, Relationship, Update};
use crate::ports::Platform;
use crate::{Berth, Error, Principal, PrincipalKind};

/// What became of a wish to be the first operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bootstrapped {
    Now,
    /// The same one was it already. The permission system was told once more, in case the first time was cut off.
    Already {
        at: Time,
    },
    /// Another one is; nothing was changed.
    Another {
        operator: Principal,
        at: Time,
    },
}

/// Makes the user called `subject` the platform's first operator. It can be repeated: one that was cut off is completed.
///
/// # Errors
/// The database or the permission system is away.
pub async fn bootstrap(berth: &Berth, platform: &dyn Platform, subject: &str) -> Result<Bootstrapped, Error> {
    let StoredPrincipal { principal, .. } = berth.principals.ensure(PrincipalKind::User, subject, None, berth.ids.free()).await?;
    let draft = Draft::by_berth(&*berth.ids, PLATFORM, None, "platform.bootstrap")
        .target(principal.kind.as_str(), principal.id)
        .after(json!({ "role": "operator" }))
        .outcome("succeeded");
    let before = platform.begin(principal, draft).await?;
    if let Some(first) = before.filter(|first| first.principal != principal) {
        return Ok(Bootstrapped::Another { operator: first.principal, at: first.at });
    }
    let operator = Relationship::new(Object::platform(), "operator", principal.into());
    berth.permissions.write(&[Update::Touch(operator)], &[], &Cause::Hand("bootstrap")).await?;
    Ok(before.map_or(Bootstrapped::Now, |first| Bootstrapped::Already { at: first.at }))
}
