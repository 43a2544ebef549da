//! Who is let in, and whom other issuers vouch for. Both stand in the platform's bucket, with their audit entries.

use std::collections::HashMap;

use async_trait::async_trait;
use domain::PrincipalKind;
use domain::ids::{PLATFORM, bucket};
use domain::ports::{Admission, Answer, ChangeAdmission, Idempotency, Identities, LinkIdentity, OutsideIdentity, Written};
use saga::StoreError;
use serde_json::Value;
use uuid::Uuid;

use crate::db::{Columns, Error, Row};
use crate::questions::Read;
use crate::{Store, audit, heads, idempotency};

crate::statements! {
    ADMISSION = shared("select revoked_at, tokens_not_before from user_revocations where bucket = $1 and user_id = $2");
    ADMISSIONS = split(
        "select user_id, revoked_at, tokens_not_before from user_revocations where bucket = $1 and user_id = any((select $2::uuid[])::uuid[])",
        "select user_id, revoked_at, tokens_not_before from user_revocations
         where bucket = $1 and user_id in (select unhex(value->>0) from json_each($2))",
    );
    KNOWN = shared("select user_id from external_identities where bucket = $1 and issuer = $2 and subject = $3");
    LINK = shared(
        "insert into external_identities (bucket, issuer, subject, user_id, created_at) values ($1, $2, $3, $4, $5)
         on conflict (bucket, issuer, subject) do nothing",
    );
    SET = shared(
        "insert into user_revocations (bucket, user_id, revoked_at, tokens_not_before) values ($1, $2, $3, $4)
         on conflict (bucket, user_id) do update set revoked_at = excluded.revoked_at, tokens_not_before = excluded.tokens_not_before",
    );
    REVOKE_TOKENS = shared("update api_tokens set revoked_at = $3 where principal_id = $1 and principal_kind = $2 and revoked_at is null");
}

fn admission(user: Uuid, row: Option<&Row>) -> Result<Admission, Error> {
    let Some(row) = row else { return Ok(Admission::of(user)) };
    Ok(Admission { user, revoked_at: row.get("revoked_at")?, tokens_not_before: row.get("tokens_not_before")? })
}

/// By user; whoever was never revoked has no row.
fn admissions(rows: &[Row]) -> Result<HashMap<Uuid, Read<Admission>>, Error> {
    rows.iter().map(|row| row.get("user_id").map(|user| (user, admission(user, Some(row))))).collect()
}

impl Store {
    async fn admission_now(&self, user: Uuid) -> Result<Admission, Error> {
        let found = self.questions.admissions.ask(user, |users| self.admissions_of(users)).await?;
        found.unwrap_or_else(|| admission(user, None))
    }

    async fn admissions_of(&self, users: Vec<Uuid>) -> Result<HashMap<Uuid, Read<Admission>>, Error> {
        admissions(&self.db.ask(&ADMISSIONS).bind(bucket(PLATFORM)).bind(Columns::default().ids(users)).fetch_all().await?)
    }

    async fn known_identity(&self, identity: &OutsideIdentity) -> Result<Option<Uuid>, Error> {
        let asked = self.db.ask(&KNOWN).bind(bucket(PLATFORM)).bind(identity.issuer.as_str()).bind(identity.subject.as_str());
        let row = asked.fetch_optional().await?;
        row.as_ref().map(|row| row.get("user_id")).transpose()
    }

    async fn link_identity(&self, new: &LinkIdentity) -> Result<Written<Uuid>, Error> {
        let mut tx = self.db.write().await?;
        if let Some(earlier) = idempotency::enter(&mut tx, new.idempotency.as_ref()).await? {
            return Ok(earlier);
        }
        // Its lock is what a second one waits for.
        let mut head = heads::lock_known(&mut tx, PLATFORM).await?;
        let now = tx.now().await?;
        let (issuer, subject) = (new.identity.issuer.as_str(), new.identity.subject.as_str());
        let insert = tx.query(&LINK).bind(bucket(PLATFORM)).bind(issuer).bind(subject).bind(new.user).bind(now);
        if insert.execute().await? == 0 {
            let row = tx.query(&KNOWN).bind(bucket(PLATFORM)).bind(issuer).bind(subject).fetch_one().await?;
            let whose = row.get("user_id")?;
            if whose == new.user {
                tx.commit().await?;
            } else {
                tx.rollback().await?;
            }
            return Ok(Written::Done(whose));
        }
        audit::append(&mut tx, &mut head, &new.audit).await?;
        heads::save(&mut tx, &head).await?;
        tx.commit().await?;
        Ok(Written::Done(new.user))
    }

    async fn change_user_admission(&self, new: &ChangeAdmission) -> Result<Written<Option<Admission>>, Error> {
        let mut tx = self.db.write().await?;
        // How it will be answered is not known yet; nobody reads it before the commit.
        let unanswered = Answer { status: 0, location: None, body: Value::Null };
        let keyed = new.idempotency.as_ref().map(|keyed| Idempotency { key: keyed.key.clone(), answer: unanswered });
        if let Some(earlier) = idempotency::enter(&mut tx, keyed.as_ref()).await? {
            return Ok(earlier);
        }
        // Two orders come one after the other.
        let mut head = heads::lock_known(&mut tx, PLATFORM).await?;
        let now = tx.now().await?;
        if !new.keepers.is_empty() {
            let keepers = Columns::default().ids(new.keepers.iter().copied());
            let found = admissions(&tx.query(&ADMISSIONS).bind(bucket(PLATFORM)).bind(keepers).fetch_all().await?)?;
            let found = found.into_iter().map(|(user, read)| Ok((user, read?))).collect::<Result<HashMap<_, _>, Error>>()?;
            let is_let_in = |keeper: &Uuid| found.get(keeper).is_none_or(|admission| admission.revoked_at.is_none());
            if !new.keepers.iter().any(is_let_in) {
                tx.rollback().await?;
                return Ok(Written::Done(None));
            }
        }
        let row = tx.query(&ADMISSION).bind(bucket(PLATFORM)).bind(new.user).fetch_optional().await?;
        let before = admission(new.user, row.as_ref())?;
        let mut after = before;
        if before.revoked_at.is_some() != new.revoke {
            after = Admission { revoked_at: new.revoke.then_some(now), tokens_not_before: Some(now), ..before };
            tx.query(&SET).bind(bucket(PLATFORM)).bind(new.user).bind(after.revoked_at).bind(now).execute().await?;
            if new.revoke {
                // Refused they would be anyway; this is what the user sees of them after a restoration.
                tx.query(&REVOKE_TOKENS).bind(new.user).bind(PrincipalKind::User.as_str()).bind(now).execute().await?;
            }
            audit::append(&mut tx, &mut head, &new.audit).await?;
            heads::save(&mut tx, &head).await?;
        }
        if let Some(keyed) = &new.idempotency {
            idempotency::answer(&mut tx, &keyed.key, &(keyed.answer)(&after)).await?;
        }
        tx.commit().await?;
        Ok(Written::Done(Some(after)))
    }
}

#[async_trait]
impl Identities for Store {
    async fn admission(&self, user: Uuid) -> Result<Admission, StoreError> {
        Ok(self.admission_now(user).await?)
    }

    async fn known(&self, identity: &OutsideIdentity) -> Result<Option<Uuid>, StoreError> {
        Ok(self.known_identity(identity).await?)
    }

    async fn link(&self, new: LinkIdentity) -> Result<Written<Uuid>, StoreError> {
        Ok(self.db.attempt(|| self.link_identity(&new)).await?)
    }

    async fn change_admission(&self, new: ChangeAdmission) -> Result<Written<Option<Admission>>, StoreError> {
        Ok(self.db.attempt(|| self.change_user_admission(&new)).await?)
    }
}
