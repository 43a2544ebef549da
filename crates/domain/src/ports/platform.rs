//! What is written once about the whole installation.

use async_trait::async_trait;
use saga::{StoreError, Time};

use crate::Principal;
use crate::audit::Draft;

/// Who became the first operator, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirstOperator {
    pub principal: Principal,
    pub at: Time,
}

#[async_trait]
pub trait Platform: Send + Sync + 'static {
    /// Records the first operator with its audit entry, unless there is one: `Some` is who it was before.
    async fn begin(&self, operator: Principal, audit: Draft) -> Result<Option<FirstOperator>, StoreError>;
}
