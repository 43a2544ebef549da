//! What the runs of Berth's sagas are created with: every id that a run will make is fixed here, before its first effect.

use std::collections::BTreeMap;

use saga::ports::OnFailure;
use saga::{DefinitionId, RunId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::Principal;
use crate::audit::Draft;
use crate::labels::Labels;
use crate::model::{EnvironmentName, Role, TenancyModel};
use crate::permissions::{Object, Relationship};
use crate::ports::{BackendSpec, NewRun, NewWorkspace, Slug};

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

/// Of `purge-workspace`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeWorkspaceInput {
    pub workspace_id: Uuid,
    pub account_id: Uuid,
    pub region: String,
    /// The run that made what is to be dropped, whose marks it bears.
    pub made_by: RunId,
    /// As that run's input has them.
    pub environments: Vec<EnvironmentInput>,
}

/// Of `create-account`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateAccountInput {
    pub account_id: Uuid,
    pub name: String,
    pub creator: Principal,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_workspace: Option<Box<DefaultWorkspaceInput>>,
}

/// The workspace that a new account comes with: what is accepted when the account becomes active.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefaultWorkspaceInput {
    pub workspace: CreateWorkspaceInput,
    pub folded_name: String,
    pub slug: String,
    pub run_id: RunId,
    /// What the run is pinned to.
    pub definition: DefinitionId,
    pub steps: u32,
    pub trace: BTreeMap<String, String>,
    /// Of its entry in the audit log.
    pub audit_id: Uuid,
}

impl DefaultWorkspaceInput {
    /// As a request of the account's creator would have it accepted.
    ///
    /// # Panics
    /// Never: an input has string keys only.
    #[must_use]
    pub fn accepted(&self) -> NewWorkspace {
        let workspace = &self.workspace;
        let mut audit = Draft::with_id(self.audit_id, workspace.account_id, Some(workspace.workspace_id), "workspace.create")
            .target("workspace", workspace.workspace_id)
            .run(self.run_id)
            .after(json!({ "name": workspace.name, "slug_wanted": self.slug, "region": workspace.region }));
        audit.request_id = self.trace.get("request_id").cloned();
        let run = NewRun {
            id: self.run_id,
            definition: self.definition.clone(),
            account_id: workspace.account_id,
            workspace_id: Some(workspace.workspace_id),
            retry_of: None,
            exclusive: true,
            input: serde_json::to_value(workspace).expect("a run's input has string keys only"),
            on_failure: OnFailure::Rollback,
            total: self.steps,
            created_by: workspace.creator,
            trace: self.trace.clone().into_iter().collect(),
        };
        NewWorkspace::of(workspace, self.folded_name.clone(), Slug::Generated(self.slug.clone()), run, audit)
    }
}

impl NewWorkspace {
    /// The workspace of this input, without labels, protection or key.
    #[must_use]
    pub fn of(input: &CreateWorkspaceInput, folded_name: String, slug: Slug, run: NewRun, audit: Draft) -> Self {
        Self {
            id: input.workspace_id,
            account_id: input.account_id,
            name: input.name.clone(),
            folded_name,
            slug,
            region: input.region.clone(),
            tenancy_model: input.tenancy_model,
            labels: Labels::default(),
            termination_protection: false,
            created_by: input.creator,
            role: Role::of_creator(input.creator),
            run,
            audit,
            idempotency: None,
        }
    }
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

impl CreateWorkspaceInput {
    /// What the run `made_by` with this input may have made on its backend: to be addressed, not to be made.
    #[must_use]
    pub fn backends(&self, made_by: RunId) -> Vec<BackendSpec> {
        let spec = |environment: &EnvironmentInput| BackendSpec {
            id: environment.backend_workspace_id,
            workspace_id: self.workspace_id,
            environment_id: environment.id,
            environment: environment.name,
            region: self.region.clone(),
            run: made_by,
            key: made_by.to_string(),
        };
        self.environments.iter().map(spec).collect()
    }
}

impl PurgeWorkspaceInput {
    /// Of a workspace whose backends were made by the run `made_by` with the input `made_with`.
    #[must_use]
    pub fn of(made_by: RunId, made_with: CreateWorkspaceInput) -> Self {
        let CreateWorkspaceInput { workspace_id, account_id, region, environments, .. } = made_with;
        Self { workspace_id, account_id, region, made_by, environments }
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
