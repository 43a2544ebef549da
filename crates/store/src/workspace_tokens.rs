//! Tokens of workspaces: issued through the gate, shut and opened by `apply-freezes`, gone with the workspace. The tokens themselves
//! are signed and kept nowhere; what counts is what the workspace's row says when one is used.

use std::collections::HashMap;

use async_trait::async_trait;
use domain::audit::Draft;
use domain::ids::bucket;
use domain::model::WorkspaceStatus;
use domain::ports::{AccountSettings, CallError, MintAnswer, TokenStanding, Tokens, WorkspaceTokens};
use saga::{Fault, StoreError};
use uuid::Uuid;

use crate::db::{Columns, Error, Rank, Row};
use crate::questions::Read;
use crate::{Store, audit, gates};

crate::statements! {
    STATUS = shared("select status from workspaces where bucket = $1 and id = $2");
    STANDINGS = split(
        "select t.* from unnest((select $1::smallint[]), (select $2::uuid[])) as k(bucket, id)
         cross join lateral (
           select w.id, w.status, w.tokens_frozen from workspaces w where w.bucket = k.bucket and w.id = k.id offset 0) t",
        "select w.id, w.status, w.tokens_frozen from json_each($1) k
         join workspaces w on w.bucket = k.value->>0 and w.id = unhex(k.value->>1)",
    );
    // An order that is older than the one that stands changes nothing, nor does one that shuts what the same revision has
    // opened: within a revision freezes only expire. Whoever looks at the row for changes of it is not disturbed.
    SET_FROZEN = shared(
        "update workspaces set tokens_frozen = $3, tokens_revision = $4
         where bucket = $1 and id = $2
           and (tokens_revision < $4 or (tokens_revision = $4 and not $3))",
    );
    DEFAULT_REGION = shared("select default_region from accounts where bucket = $1 and id = $2");
    SET_DEFAULT_REGION = shared(
        "update accounts set default_region = $3, updated_at = $4, revision = revision + 1 where bucket = $1 and id = $2",
    );
}

fn standing(row: &Row) -> Result<TokenStanding, Error> {
    match row.word("status", WorkspaceStatus::parse)? {
        WorkspaceStatus::Deleted | WorkspaceStatus::Purging | WorkspaceStatus::Failed => Ok(TokenStanding::Gone),
        WorkspaceStatus::Provisioning | WorkspaceStatus::Active if row.get("tokens_frozen")? => Ok(TokenStanding::Frozen),
        WorkspaceStatus::Provisioning | WorkspaceStatus::Active => Ok(TokenStanding::Good),
    }
}

impl Store {
    async fn mint_token(&self, workspace: Uuid, draft: &Draft) -> Result<MintAnswer, Error> {
        let mut tx = self.db.write().await?;
        let freezes = gates::pass(&mut tx, workspace).await?;
        // What is deleted is frozen as well, and is told to be deleted. No deletion commits before this has: it takes the same lock.
        let row = tx.query(&STATUS).bind(bucket(workspace)).bind(workspace).fetch_one().await?;
        let status = row.word("status", WorkspaceStatus::parse)?;
        if !matches!(status, WorkspaceStatus::Provisioning | WorkspaceStatus::Active) {
            return Ok(MintAnswer::NotAllowed { status });
        }
        if !freezes.is_empty() {
            return Ok(MintAnswer::Frozen(freezes));
        }
        audit::append_alone(&mut tx, draft).await?;
        tx.commit().await?;
        Ok(MintAnswer::Minted)
    }

    async fn token_standing(&self, workspace: Uuid) -> Result<TokenStanding, Error> {
        let found = self.questions.standings.ask(workspace, |ids| self.token_standings(ids)).await?;
        found.unwrap_or(Ok(TokenStanding::Gone))
    }

    async fn token_standings(&self, workspaces: Vec<Uuid>) -> Result<HashMap<Uuid, Read<TokenStanding>>, Error> {
        let rows = self.db.ask(&STANDINGS).bind(Columns::default().keys(workspaces)).fetch_all().await?;
        rows.iter().map(|row| Ok((row.get("id")?, standing(row)))).collect()
    }

    async fn freeze_tokens(&self, workspace: Uuid, frozen: bool, revision: i64) -> Result<(), Error> {
        let mut tx = self.db.write().await?;
        tx.locks(Rank::Subject);
        tx.query(&SET_FROZEN).bind(bucket(workspace)).bind(workspace).bind(frozen).bind(revision).execute().await?;
        tx.commit().await
    }

    async fn change_default_region(&self, account: Uuid, region: Option<&str>, draft: &Draft) -> Result<(), Error> {
        let mut tx = self.db.write().await?;
        tx.locks(Rank::Subject);
        let now = tx.now().await?;
        tx.query(&SET_DEFAULT_REGION).bind(bucket(account)).bind(account).bind(region).bind(now).execute().await?;
        audit::append_alone(&mut tx, draft).await?;
        tx.commit().await
    }
}

#[async_trait]
impl WorkspaceTokens for Store {
    async fn minted(&self, workspace: Uuid, audit: Draft) -> Result<MintAnswer, StoreError> {
        Ok(self.db.attempt(|| self.mint_token(workspace, &audit)).await?)
    }

    async fn standing(&self, workspace: Uuid) -> Result<TokenStanding, StoreError> {
        Ok(self.token_standing(workspace).await?)
    }
}

#[async_trait]
impl Tokens for Store {
    async fn set_frozen(&self, workspace: Uuid, frozen: bool, revision: i64) -> Result<(), CallError> {
        let fault =
            |error: &StoreError| Fault::new("tokens_unreached", "The workspace's tokens cannot be reached").detail(error.to_string());
        match self.db.attempt(|| self.freeze_tokens(workspace, frozen, revision)).await.map_err(StoreError::from) {
            Ok(()) => Ok(()),
            Err(error @ StoreError::Unknown(_)) => Err(CallError::Unknown(fault(&error).retryable())),
            Err(error) => Err(CallError::Failed(fault(&error).retryable())),
        }
    }
}

#[async_trait]
impl AccountSettings for Store {
    async fn default_region(&self, account: Uuid) -> Result<Option<String>, StoreError> {
        let mut tx = self.db.read().await?;
        let row = tx.query(&DEFAULT_REGION).bind(bucket(account)).bind(account).fetch_optional().await?;
        Ok(row.map(|row| row.get::<Option<String>>("default_region")).transpose()?.flatten())
    }

    async fn set_default_region(&self, account: Uuid, region: Option<String>, audit: Draft) -> Result<(), StoreError> {
        Ok(self.db.attempt(|| self.change_default_region(account, region.as_deref(), &audit)).await?)
    }
}
