//! Where pauses are kept.

use async_trait::async_trait;
use saga::StoreError;

use crate::Principal;
use crate::audit::Draft;
use crate::pauses::{Pause, Scope};

/// A pause that is wanted.
#[derive(Debug, Clone)]
pub struct NewPause {
    pub scope: Scope,
    pub undo: bool,
    pub comment: String,
    pub created_by: Principal,
    /// Of the account that is paused, or the platform.
    pub audit: Draft,
}

/// What became of it, with the pause as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PauseAnswer {
    Set(Pause),
    /// It took the place of another one.
    Changed(Pause),
    /// It was there already; nothing was changed.
    Unchanged(Pause),
}

#[async_trait]
pub trait Pauses: Send + Sync + 'static {
    /// With its audit entry, unless it was there already.
    async fn set(&self, new: NewPause) -> Result<PauseAnswer, StoreError>;
    /// With its audit entry; false if there is none. Workers see to it that what waited for it goes on.
    async fn lift(&self, scope: &Scope, audit: Draft) -> Result<bool, StoreError>;
    /// All there are, sorted by scope.
    async fn list(&self) -> Result<Vec<Pause>, StoreError>;
}
