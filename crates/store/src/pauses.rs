//! Operators' pauses, and the runs that go on when one is over.
//!
//! A pause stands in the bucket of the account that is paused, or of the platform, so that it and its audit entry are one
//! transaction. Runs are told of its end in transactions of their own, which can be repeated.

use std::time::Duration;

use async_trait::async_trait;
use domain::audit::Draft;
use domain::ids::bucket;
use domain::pauses::{Kind, Pause, Scope};
use domain::ports::{NewPause, PauseAnswer, Pauses};
use saga::{StoreError, Time};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::db::{Error, Rank, Row, Tx};
use crate::{Store, audit, heads, words};

crate::statements! {
    LIST = shared("select kind, name, undo, comment, created_by_kind, created_by_id, created_at from pauses order by kind, name");
    GET = shared(
        "select kind, name, undo, comment, created_by_kind, created_by_id, created_at from pauses
         where bucket = $1 and kind = $2 and name = $3",
    );
    DELETE = shared("delete from pauses where bucket = $1 and kind = $2 and name = $3");
    INSERT = shared(
        "insert into pauses (bucket, kind, name, undo, comment, created_by_kind, created_by_id, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    );
    // Runs that no pause of $2 holds back any more, and that are not due before $1.
    OVER = split(
        "select r.id from provisioning_runs r
         where r.paused_by is not null and r.owner is null and not r.terminal and (r.due_at is null or r.due_at > $1)
           and not exists (select 1 from jsonb_array_elements_text(r.paused_by) as b(scope)
             join jsonb_to_recordset($2) as p(scope text, undo boolean) on p.scope = b.scope where p.undo or r.turned is null)
         order by r.turn, r.id limit $3",
        "select r.id from provisioning_runs r
         where r.paused_by is not null and r.owner is null and not r.terminal and (r.due_at is null or r.due_at > $1)
           and not exists (select 1 from json_each(r.paused_by) b
             join json_each($2) p on p.value->>'scope' = b.value where p.value->>'undo' or r.turned is null)
         order by r.turn, r.id limit $3",
    );
    // What somebody else has locked is being claimed, or made due by a verb.
    GO_ON = split(
        "with k as materialized (select * from jsonb_to_recordset($1) as k(bucket smallint, id uuid, due_at timestamptz)),
         free as materialized (
           select r.bucket, r.id, k.due_at from provisioning_runs r join k on k.bucket = r.bucket and k.id = r.id
           where r.paused_by is not null and r.owner is null and not r.terminal and (r.due_at is null or r.due_at > k.due_at)
           for update of r skip locked)
         update provisioning_runs u set due_at = free.due_at from free where u.bucket = free.bucket and u.id = free.id",
        "update provisioning_runs set due_at = k.due_at
         from (select value->>'bucket' as bucket, unhex(value->>'id') as id, value->>'micros' as due_at from json_each($1)) as k
         where provisioning_runs.bucket = k.bucket and provisioning_runs.id = k.id and paused_by is not null and owner is null
           and not terminal and (provisioning_runs.due_at is null or provisioning_runs.due_at > k.due_at)",
    );
}

/// Runs of one transaction of a resume.
const BATCH: usize = 1000;
/// Batches must not fall on each other: each begins its slots this much of a slot later (the golden ratio's part).
const SHIFT: f64 = 0.618_033_988_749_895;

fn pause(row: &Row) -> Result<Pause, Error> {
    Ok(Pause {
        scope: Scope { kind: row.word("kind", Kind::parse)?, name: row.get("name")? },
        undo: row.get("undo")?,
        comment: row.get("comment")?,
        created_by: words::principal(row, "created_by")?,
        created_at: row.get("created_at")?,
    })
}

/// All pauses as the engine knows them.
pub(crate) async fn all(tx: &mut Tx) -> Result<Vec<saga::ports::Pause>, Error> {
    let rows = tx.query(&LIST).fetch_all().await?;
    let known = |row: &Row| pause(row).map(|p| saga::ports::Pause { scope: p.scope.to_string(), undo: p.undo });
    let mut pauses = rows.iter().map(known).collect::<Result<Vec<_>, _>>()?;
    pauses.sort_by(|a, b| a.scope.cmp(&b.scope));
    Ok(pauses)
}

impl Store {
    async fn set_pause(&self, new: &NewPause) -> Result<PauseAnswer, Error> {
        let mut tx = self.db.write().await?;
        let scope = &new.scope;
        let key = bucket(scope.account());
        // The head's lock is what makes two orders about one scope come one after the other.
        let mut head = heads::lock_known(&mut tx, new.audit.account_id).await?;
        let now = tx.now().await?;
        let found = tx.query(&GET).bind(key).bind(scope.kind.as_str()).bind(scope.name.as_str()).fetch_optional().await?;
        let before = found.as_ref().map(pause).transpose()?;
        let wanted =
            Pause { scope: scope.clone(), undo: new.undo, comment: new.comment.clone(), created_by: new.created_by, created_at: now };
        if let Some(same) = before.as_ref().filter(|p| p.undo == wanted.undo && p.comment == wanted.comment) {
            tx.rollback().await?;
            return Ok(PauseAnswer::Unchanged(same.clone()));
        }
        tx.query(&DELETE).bind(key).bind(scope.kind.as_str()).bind(scope.name.as_str()).execute().await?;
        tx.query(&INSERT)
            .bind(key)
            .bind(scope.kind.as_str())
            .bind(scope.name.as_str())
            .bind(wanted.undo)
            .bind(wanted.comment.as_str())
            .bind(wanted.created_by.kind.as_str())
            .bind(wanted.created_by.id)
            .bind(now)
            .execute()
            .await?;
        let audit = match &before {
            Some(p) => new.audit.clone().before(json!({ "scope": scope.to_string(), "undo": p.undo })),
            None => new.audit.clone(),
        };
        audit::append(&mut tx, &mut head, &audit).await?;
        heads::save(&mut tx, &head).await?;
        tx.commit().await?;
        Ok(if before.is_some() { PauseAnswer::Changed(wanted) } else { PauseAnswer::Set(wanted) })
    }

    async fn lift_pause(&self, scope: &Scope, audit: &Draft) -> Result<bool, Error> {
        let mut tx = self.db.write().await?;
        let Some(mut head) = heads::lock(&mut tx, audit.account_id).await? else {
            tx.rollback().await?;
            return Ok(false);
        };
        let deleted = tx.query(&DELETE).bind(bucket(scope.account())).bind(scope.kind.as_str()).bind(scope.name.as_str()).execute().await?;
        if deleted == 0 {
            tx.rollback().await?;
            return Ok(false);
        }
        audit::append(&mut tx, &mut head, audit).await?;
        heads::save(&mut tx, &head).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Batch by batch, each of which is spread over the whole time.
    pub(crate) async fn resume_runs(&self, over: Duration) -> Result<u64, Error> {
        let mut tx = self.db.read().await?;
        let begun = tx.now().await?;
        drop(tx);
        let (mut resumed, mut shift) = (0, 0.0);
        loop {
            let mut tx = self.db.read().await?;
            let pauses = all(&mut tx).await?;
            let pauses: Value = pauses.iter().map(|p| json!({ "scope": p.scope, "undo": p.undo })).collect();
            let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
            let rows = tx.query(&OVER).bind(begun + over).bind(pauses).bind(limit).fetch_all().await?;
            drop(tx);
            let runs = rows.iter().map(|row| row.get("id")).collect::<Result<Vec<Uuid>, _>>()?;
            let due = slots(&runs, begun, over, shift);
            let changed = if runs.is_empty() { 0 } else { self.db.attempt(|| self.make_due(&due)).await? };
            resumed += changed;
            // What is locked now is not waited for: it is at work.
            if changed == 0 || runs.len() < BATCH {
                return Ok(resumed);
            }
            shift = (shift + SHIFT) % 1.0;
        }
    }

    async fn make_due(&self, due: &Value) -> Result<u64, Error> {
        let mut tx = self.db.write().await?;
        tx.locks(Rank::Run);
        let changed = tx.query(&GO_ON).bind(due.clone()).execute().await?;
        tx.commit().await?;
        Ok(changed)
    }
}

/// When each of `runs` is due, one after the other.
fn slots(runs: &[Uuid], begun: Time, over: Duration, shift: f64) -> Value {
    let slot = over.div_f64(f64::from(u32::try_from(runs.len().max(1)).unwrap_or(u32::MAX)));
    let at = |i: usize| begun + slot.mul_f64(f64::from(u32::try_from(i).unwrap_or(u32::MAX)) + shift);
    let one =
        |(i, id): (usize, &Uuid)| json!({"bucket": bucket(*id), "id": id.simple().to_string(), "due_at": at(i), "micros": at(i).micros()});
    runs.iter().enumerate().map(one).collect()
}

#[async_trait]
impl Pauses for Store {
    async fn set(&self, new: NewPause) -> Result<PauseAnswer, StoreError> {
        Ok(self.db.attempt(|| self.set_pause(&new)).await?)
    }

    async fn lift(&self, scope: &Scope, audit: Draft) -> Result<bool, StoreError> {
        Ok(self.db.attempt(|| self.lift_pause(scope, &audit)).await?)
    }

    async fn list(&self) -> Result<Vec<Pause>, StoreError> {
        let mut tx = self.db.read().await?;
        let rows = tx.query(&LIST).fetch_all().await?;
        Ok(rows.iter().map(pause).collect::<Result<_, Error>>()?)
    }
}
