//! The outside where there is none: use cases ask for runs, and carry none out.

use std::time::Duration;

use async_trait::async_trait;
use domain::Principal;
use domain::audit::Draft;
use domain::ports::*;
use saga::{CancellationToken, RunId, StoreError};
use uuid::Uuid;

pub struct Nothing;

#[async_trait]
impl Backends for Nothing {
    fn name(&self, _: &str) -> Option<String> {
        None
    }

    async fn create(&self, _: &BackendSpec, _: &CancellationToken) -> Result<String, CallError> {
        panic!("no use case calls a backend")
    }

    async fn drop(&self, _: &BackendSpec, _: &CancellationToken) -> Result<(), CallError> {
        panic!("no use case calls a backend")
    }

    async fn login(&self, _: &BackendSpec, _: &CancellationToken) -> Result<(), CallError> {
        panic!("no use case calls a backend")
    }

    async fn set_login(&self, _: &BackendSpec, _: bool, _: i64, _: &CancellationToken) -> Result<LoginAnswer, CallError> {
        panic!("no use case calls a backend")
    }
}

#[async_trait]
impl FreezeSets for Nothing {
    async fn current(&self, _: Uuid) -> Result<Option<FreezeSet>, StoreError> {
        panic!("no use case carries freezes out")
    }
}

#[async_trait]
impl Tokens for Nothing {
    async fn set_frozen(&self, _: Uuid, _: bool, _: i64) -> Result<(), CallError> {
        panic!("no use case calls for tokens")
    }
}

#[async_trait]
impl Retention for Nothing {
    async fn forget_runs(&self, _: Option<RunId>, _: u32, _: Duration) -> Result<Stretch, StoreError> {
        panic!("no request forgets runs")
    }

    async fn forget_keys(&self, _: u32) -> Result<u64, StoreError> {
        panic!("no request forgets keys")
    }
}

#[async_trait]
impl ServiceAccounts for Nothing {
    async fn create(&self, _: NewServiceAccount) -> Result<Written<CreateServiceAccount>, StoreError> {
        panic!("these use cases are tried over the real store")
    }

    async fn related(&self, _: Uuid) -> Result<(), StoreError> {
        panic!("these use cases are tried over the real store")
    }

    async fn unrelated(&self, _: u32) -> Result<Vec<(Uuid, Uuid)>, StoreError> {
        Ok(Vec::new())
    }

    async fn list(&self, _: Uuid, _: Page) -> Result<Vec<ServiceAccount>, StoreError> {
        panic!("these use cases are tried over the real store")
    }

    async fn get(&self, _: Uuid) -> Result<Option<ServiceAccount>, StoreError> {
        panic!("these use cases are tried over the real store")
    }

    async fn disable(&self, _: Uuid, _: Draft) -> Result<bool, StoreError> {
        panic!("these use cases are tried over the real store")
    }

    async fn is_disabled(&self, _: Uuid) -> Result<bool, StoreError> {
        panic!("these use cases are tried over the real store")
    }

    async fn add_secret(&self, _: NewClientSecret) -> Result<Written<AddClientSecret>, StoreError> {
        panic!("these use cases are tried over the real store")
    }

    async fn secrets(&self, _: Uuid) -> Result<Vec<ClientSecret>, StoreError> {
        panic!("these use cases are tried over the real store")
    }

    async fn delete_secret(&self, _: Uuid, _: Uuid, _: Draft) -> Result<bool, StoreError> {
        panic!("these use cases are tried over the real store")
    }

    async fn secret(&self, _: Uuid) -> Result<Option<StoredSecret>, StoreError> {
        panic!("these use cases are tried over the real store")
    }

    async fn issued(&self, _: Uuid, _: Draft) -> Result<bool, StoreError> {
        panic!("these use cases are tried over the real store")
    }
}

#[async_trait]
impl WorkspaceTokens for Nothing {
    async fn minted(&self, _: Uuid, _: Draft) -> Result<MintAnswer, StoreError> {
        panic!("these use cases are tried over the real store")
    }

    async fn standing(&self, _: Uuid) -> Result<TokenStanding, StoreError> {
        panic!("these use cases are tried over the real store")
    }
}

#[async_trait]
impl AccountSettings for Nothing {
    async fn default_region(&self, _: Uuid) -> Result<Option<String>, StoreError> {
        panic!("these use cases are tried over the real store")
    }

    async fn set_default_region(&self, _: Uuid, _: Option<String>, _: Draft) -> Result<(), StoreError> {
        panic!("these use cases are tried over the real store")
    }
}

#[async_trait]
impl ApiTokens for Nothing {
    async fn create(&self, _: NewApiToken) -> Result<Written<CreateApiToken>, StoreError> {
        panic!("these use cases are tried over the real store")
    }

    async fn list(&self, _: Principal, _: Page) -> Result<Vec<ApiToken>, StoreError> {
        panic!("these use cases are tried over the real store")
    }

    async fn revoke(&self, _: Principal, _: Uuid, _: Draft) -> Result<bool, StoreError> {
        panic!("these use cases are tried over the real store")
    }

    async fn get(&self, _: Uuid) -> Result<Option<StoredApiToken>, StoreError> {
        panic!("these use cases are tried over the real store")
    }

    async fn used(&self, _: &StoredApiToken) -> Result<(), StoreError> {
        panic!("these use cases are tried over the real store")
    }
}
