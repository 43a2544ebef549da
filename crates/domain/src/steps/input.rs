//! What the runs of Berth's sagas are created with: every id that a run will make is fixed here, before its first effect.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Principal;
use crate::model::{EnvironmentName, Role, TenancyModel};
use crate::permissions::{Object, Relationship};

/// Of `create-workspace`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateWorkspaceInput {
    pub workspace_id: Uuid,
    pub account_id: Uuid,
    pub name: String,
    pub region: String,
    pub tenancy_model: TenancyModel,
    pub creator: Principal,
    pub environments: Vec<EnvironmentInput>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentInput {
    pub id: Uuid,
    pub name: EnvironmentName,
    pub is_default: bool,
    pub backend_workspace_id: Uuid,
}

/// Of `create-account`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateAccountInput {
    pub account_id: Uuid,
    pub name: String,
    pub creator: Principal,
}

/// Of `apply-freezes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyFreezesInput {
    pub workspace_id: Uuid,
    pub account_id: Uuid,
}

impl CreateWorkspaceInput {
    /// What the run grants, and all that its compensation takes away. Depends on nothing but the input.
    #[must_use]
    pub fn relationships(&self) -> Vec<Relationship> {
        let workspace = Object::workspace(self.workspace_id);
        let environments = self.environments.iter().map(|e| Relationship::new(Object::environment(e.id), "workspace", workspace.clone()));
        [
            Relationship::new(workspace.clone(), "account", Object::account(self.account_id)),
            Relationship::new(workspace.clone(), Role::of_creator(self.creator).as_str(), self.creator.into()),
        ]
        .into_iter()
        .chain(environments)
        .collect()
    }
}

impl CreateAccountInput {
    /// As of [`CreateWorkspaceInput`].
    #[must_use]
    pub fn relationships(&self) -> Vec<Relationship> {
        let account = Object::account(self.account_id);
        vec![
            Relationship::new(account.clone(), "platform", Object::platform()),
            Relationship::new(account, Role::of_creator(self.creator).as_str(), self.creator.into()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::super::fakes;
    use super::*;
    use crate::PrincipalKind;

    #[test]
    fn a_service_account_that_creates_becomes_admin() {
        let creator = Principal { kind: PrincipalKind::ServiceAccount, id: Uuid::from_u128(9) };
        let admin = |resource| Relationship::new(resource, "admin", Object::from(creator));
        let workspace = CreateWorkspaceInput { creator, ..fakes::workspace_input() };
        assert!(workspace.relationships().contains(&admin(Object::workspace(workspace.workspace_id))));
        let account = CreateAccountInput { creator, ..fakes::account_input() };
        assert!(account.relationships().contains(&admin(Object::account(account.account_id))));
    }

    #[test]
    fn a_workspaces_relationships_are_about_nothing_but_it_and_its_environments() {
        let input = fakes::workspace_input();
        let relationships = input.relationships();
        assert_eq!(relationships.len(), 2 + input.environments.len());
        for r in relationships {
            let is_workspace = r.resource == Object::workspace(input.workspace_id);
            assert!(is_workspace || input.environments.iter().any(|e| r.resource == Object::environment(e.id)), "{r:?}");
        }
    }
}
