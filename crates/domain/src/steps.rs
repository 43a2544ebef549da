//! The steps of Berth's sagas: one file each, `run` and `undo` together, against the narrowest port that serves.
//!
//! A step whose whole effect is in our database returns a [`Change`] and performs nothing. An outside call carries the
//! step's key, is awaited to its end, and has one of three outcomes; its undo leaves a seal that beats a late copy of it.

mod activate_account;
mod activate_workspace;
mod apply_freezes;
mod create_backend_workspace;
mod create_environments;
#[cfg(test)]
pub(crate) mod fakes;
mod faults;
mod forget_workspace;
mod grant;
pub mod input;
mod purge_backend_workspace;
mod purge_relationships;
mod verify_access;
mod verify_account_access;
mod write_account_relationships;
mod write_relationships;

use std::sync::Arc;

use saga::journal::Ending;
use saga::{RunId, Step};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::Change;
use crate::change::Subject;
use crate::permissions::Permissions;
use crate::ports::{Backends, FreezeSets, Tokens};

/// The definition files of Berth's sagas: name and text. A released file is never edited.
pub const DEFINITIONS: &[(&str, &str)] = &[
    ("sagas/apply-freezes.v1.yaml", include_str!("../../../sagas/apply-freezes.v1.yaml")),
    ("sagas/create-account.v1.yaml", include_str!("../../../sagas/create-account.v1.yaml")),
    ("sagas/create-workspace.v1.yaml", include_str!("../../../sagas/create-workspace.v1.yaml")),
    ("sagas/purge-workspace.v1.yaml", include_str!("../../../sagas/purge-workspace.v1.yaml")),
];

/// Sagas that a freeze does not hold back: the one that carries it out, and the one that ends a workspace.
pub const NEVER_PARKED: &[&str] = &["apply-freezes", "purge-workspace"];

/// The outside that steps work on.
#[derive(Clone)]
pub struct Outside {
    pub permissions: Arc<dyn Permissions>,
    pub backends: Arc<dyn Backends>,
    pub freezes: Arc<dyn FreezeSets>,
    pub tokens: Arc<dyn Tokens>,
}

/// The code that [`DEFINITIONS`] name.
#[must_use]
pub fn all(outside: &Outside) -> Vec<Arc<dyn Step<Change>>> {
    let Outside { permissions, backends, freezes, tokens } = outside;
    vec![
        Arc::new(create_environments::CreateEnvironments),
        Arc::new(create_backend_workspace::CreateBackendWorkspace { backends: backends.clone() }),
        Arc::new(write_relationships::WriteRelationships { permissions: permissions.clone() }),
        Arc::new(verify_access::VerifyAccess { permissions: permissions.clone(), backends: backends.clone() }),
        Arc::new(activate_workspace::ActivateWorkspace),
        Arc::new(write_account_relationships::WriteAccountRelationships { permissions: permissions.clone() }),
        Arc::new(verify_account_access::VerifyAccountAccess { permissions: permissions.clone() }),
        Arc::new(activate_account::ActivateAccount),
        Arc::new(apply_freezes::ApplyFreezes { freezes: freezes.clone(), backends: backends.clone(), tokens: tokens.clone() }),
        Arc::new(purge_backend_workspace::PurgeBackendWorkspace { backends: backends.clone() }),
        Arc::new(purge_relationships::PurgeRelationships { permissions: permissions.clone() }),
        Arc::new(forget_workspace::ForgetWorkspace),
    ]
}

/// What a run's end changes beside its journal: the closing audit entry and, where it did not succeed, `failed` for what
/// it was to make. `None` for an input that names neither a workspace nor an account.
#[must_use]
pub fn on_end(run: RunId, input: &Value, ending: Ending) -> Option<Change> {
    #[derive(Deserialize)]
    struct About {
        workspace_id: Option<Uuid>,
        account_id: Option<Uuid>,
    }
    let about = About::deserialize(input).ok()?;
    let subject = about.workspace_id.map(Subject::Workspace).or(about.account_id.map(Subject::Account))?;
    Some(Change::RunEnded { run, subject, ending })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::fakes::{Backends, Freezes, Permissions, Tokens};
    use super::*;

    #[test]
    fn every_definition_binds_to_the_registered_code() {
        let steps = all(&Outside {
            permissions: Arc::new(Permissions::default()),
            backends: Arc::new(Backends::default()),
            freezes: Arc::new(Freezes::default()),
            tokens: Arc::new(Tokens::default()),
        });
        let mut registry = saga::Registry::default();
        for (file, text) in DEFINITIONS {
            let definition = saga::definition::load(file, text).unwrap();
            assert_eq!(*file, format!("sagas/{}.v{}.yaml", definition.id.name, definition.id.version));
            registry.add(definition, &steps, on_end).unwrap();
        }
        // Code that no definition names would never be drilled.
        let named: Vec<_> = registry.all().flat_map(|s| &s.definition.steps).map(|s| s.action.as_str()).collect();
        for step in &steps {
            assert!(named.contains(&step.action()), "no definition names `{}`", step.action());
        }
    }

    #[test]
    fn a_runs_end_is_about_its_workspace_and_otherwise_about_its_account() {
        let (run, workspace, account) = (RunId(Uuid::from_u128(1)), Uuid::from_u128(2), Uuid::from_u128(3));
        let ended = |subject| Some(Change::RunEnded { run, subject, ending: Ending::Failed });
        let end = |input: Value| on_end(run, &input, Ending::Failed);
        assert_eq!(end(json!({"workspace_id": workspace, "account_id": account})), ended(Subject::Workspace(workspace)));
        assert_eq!(end(json!({"account_id": account})), ended(Subject::Account(account)));
        assert_eq!(end(json!({"name": "neither"})), None);
    }
}
