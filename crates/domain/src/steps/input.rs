//! What the runs of Berth's sagas are created with: every id that a run will make is fixed here, before its first effect.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Principal;
use crate::model::{EnvironmentName, TenancyModel};

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
