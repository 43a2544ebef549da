//! The embedded permission system: evaluates the schema over tuples that a store keeps, so that Berth needs no service
//! beside it. It keeps SpiceDB's limits, preconditions and kinds of error; its token is the store's revision, and every
//! answer is that of one revision: the present one, or the one at which the row was read that is asked about.

mod evaluate;
mod remembered;
#[cfg(test)]
mod tests;
mod validate;

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use domain::permissions::{
    Cause, Check, Consistency, Filter, Object, Permissions, PermissionsError, Precondition, Relationship, RelationshipPage,
    RelationshipPages, Revision, Tuples, Update,
};

use crate::permissions::schema::{BERTH, Schema};
use evaluate::{Opened, Reading, Stopped};
use remembered::Remembered;

/// How often an answer is sought while writes keep moving the revision under it.
const TRIES: u32 = 16;

/// Evaluates [`Permissions`] over [`Tuples`].
pub struct Embedded {
    tuples: Arc<dyn Tuples>,
    schema: Schema,
    opened: Opened,
    remembered: Remembered,
}

impl Embedded {
    #[must_use]
    pub fn new(tuples: Arc<dyn Tuples>) -> Self {
        Self::over(tuples, BERTH)
    }

    #[cfg(test)]
    pub(super) fn with_schema(tuples: Arc<dyn Tuples>, schema: Schema) -> Self {
        Self::over(tuples, schema)
    }

    fn over(tuples: Arc<dyn Tuples>, schema: Schema) -> Self {
        Self { tuples, schema, opened: Opened::of(schema), remembered: Remembered::default() }
    }

    fn reading(&self) -> Reading<'_> {
        Reading::new(&*self.tuples, self.schema, &self.opened, &self.remembered)
    }
}

fn restless() -> PermissionsError {
    PermissionsError::Unavailable(format!("relationships changed during each of {TRIES} readings"))
}

/// Every answer is of the present, or of that of the row that is asked about, which is as fresh as its token asks.
fn token_is_ours(consistency: &Consistency) -> Result<(), PermissionsError> {
    match consistency {
        Consistency::AtLeastAsFresh(token) if token.parse::<i64>().is_err() => {
            Err(PermissionsError::Invalid(format!("`{token}` is not a token of the embedded permission system")))
        }
        _ => Ok(()),
    }
}

impl Embedded {
    /// `seen`: a revision that was the present one when what is asked about was read.
    async fn answer(&self, checks: &[Check], consistency: &Consistency, seen: Option<Revision>) -> Result<Vec<bool>, PermissionsError> {
        token_is_ours(consistency)?;
        let goals = checks.iter().map(|check| validate::check(self.schema, check)).collect::<Result<Vec<_>, _>>()?;
        let mut ahead = BTreeSet::new();
        for _ in 0..TRIES {
            let mut reading = self.reading();
            match reading.check(&goals, ahead, seen).await {
                Err(Stopped::Moved) => ahead = reading.asked(),
                Err(Stopped::Failed(error)) => return Err(error),
                Ok(answers) => return Ok(answers),
            }
        }
        Err(restless())
    }
}

#[async_trait]
impl Permissions for Embedded {
    async fn check(&self, checks: &[Check], consistency: &Consistency) -> Result<Vec<bool>, PermissionsError> {
        self.answer(checks, consistency, None).await
    }

    async fn check_of_row(&self, checks: &[Check], consistency: &Consistency, seen: Revision) -> Result<Vec<bool>, PermissionsError> {
        // As fresh as any token of the row's: whoever wrote that had written the relationships.
        let seen = Some(seen).filter(|_| *consistency != Consistency::FullyConsistent);
        self.answer(checks, consistency, seen).await
    }

    async fn write(&self, updates: &[Update], preconditions: &[Precondition], _: &Cause) -> Result<String, PermissionsError> {
        validate::write(self.schema, updates, preconditions)?;
        self.tuples.write(updates, preconditions).await.map(|revision| revision.to_string())
    }

    async fn read(&self, filter: &Filter) -> Result<Vec<Relationship>, PermissionsError> {
        validate::filter(self.schema, filter)?;
        self.tuples.matching(filter).await
    }

    async fn lookup(
        &self,
        kind: &str,
        permission: &str,
        subject: &Object,
        consistency: &Consistency,
    ) -> Result<Vec<String>, PermissionsError> {
        token_is_ours(consistency)?;
        let (kind, permission) = validate::name(self.schema, kind, permission)?;
        validate::object(self.schema, subject)?;
        for _ in 0..TRIES {
            match self.reading().lookup(kind, permission, subject).await {
                Err(Stopped::Moved) => {}
                Err(Stopped::Failed(error)) => return Err(error),
                Ok(ids) => return Ok(ids),
            }
        }
        Err(restless())
    }

    async fn ready(&self) -> Result<(), PermissionsError> {
        self.tuples.revision().await.map(drop)
    }
}

#[async_trait]
impl RelationshipPages for Embedded {
    async fn page(&self, kind: &str, after: Option<&str>, limit: u32) -> Result<RelationshipPage, PermissionsError> {
        validate::kind(self.schema, kind)?;
        let after: Option<Relationship> = after
            .map(serde_json::from_str)
            .transpose()
            .map_err(|e| PermissionsError::Invalid(format!("a page cannot begin there: {e}")))?;
        let relationships = self.tuples.page(kind, after.as_ref(), limit).await?;
        let is_full = u32::try_from(relationships.len()).is_ok_and(|n| n == limit);
        let next = relationships.last().filter(|_| is_full).map(|last| serde_json::json!(last).to_string());
        Ok(RelationshipPage { relationships, next })
    }
}
