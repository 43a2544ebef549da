//! The tuples of the embedded permission system: its own tables, in transactions of their own.
//!
//! Writes are one at a time, under the lock of the revision's row, so that a precondition holds until its write is done.

use std::collections::HashSet;

use async_trait::async_trait;
use domain::permissions::{Filter, Object, PermissionsError, Precondition, Relationship, Tuples, Update};
use serde_json::{Value, json};

use crate::Store;
use crate::db::{Columns, Error, Rank, Row, Tx};

crate::statements! {
    REVISION = shared("select revision from relationship_revision where id = 1");
    RAISE = shared("update relationship_revision set revision = revision + 1 where id = 1 returning revision");
    SUBJECTS = split(
        // Each key is looked up by itself: planned in a fifth of the time that a join takes, and never by reading the table whole.
        "select t.resource_type, t.resource_id, t.relation, t.subject_type, t.subject_id
         from unnest($1::text[], $2::text[], $3::text[]) as k(type, id, relation)
         cross join lateral (
           select * from relationships r
           where r.resource_type = k.type and r.resource_id = k.id and r.relation = k.relation offset 0) t",
        "select t.resource_type, t.resource_id, t.relation, t.subject_type, t.subject_id from json_each($1) k
         join relationships t on t.resource_type = k.value->>0 and t.resource_id = k.value->>1 and t.relation = k.value->>2",
    );
    BY_SUBJECT = split(
        "select t.resource_type, t.resource_id, t.relation, t.subject_type, t.subject_id
         from unnest($1::text[], $2::text[]) as k(type, id)
         cross join lateral (select * from relationships r where r.subject_type = k.type and r.subject_id = k.id offset 0) t",
        "select t.resource_type, t.resource_id, t.relation, t.subject_type, t.subject_id from json_each($1) k
         join relationships t on t.subject_type = k.value->>0 and t.subject_id = k.value->>1",
    );
    MATCHING = shared(
        "select resource_type, resource_id, relation, subject_type, subject_id from relationships
         where resource_type = $1 and (resource_id = $2 or $2 is null) and (relation = $3 or $3 is null)
           and ((subject_type = $4 and subject_id = $5) or $4 is null)
         order by resource_type, resource_id, relation, subject_type, subject_id limit $6",
    );
    PAGE = shared(
        "select resource_type, resource_id, relation, subject_type, subject_id from relationships
         where resource_type = $1 and (resource_id, relation, subject_type, subject_id) > ($2, $3, $4, $5)
         order by resource_id, relation, subject_type, subject_id limit $6",
    );
    INSERT = split(
        "insert into relationships (resource_type, resource_id, relation, subject_type, subject_id)
         select k.rt, k.ri, k.r, k.st, k.si from jsonb_to_recordset($1) as k(rt text, ri text, r text, st text, si text)
         on conflict do nothing",
        "insert into relationships (resource_type, resource_id, relation, subject_type, subject_id)
         select value->>'rt', value->>'ri', value->>'r', value->>'st', value->>'si' from json_each($1) where true
         on conflict do nothing",
    );
    DELETE = split(
        "delete from relationships t using jsonb_to_recordset($1) as k(rt text, ri text, r text, st text, si text)
         where t.resource_type = k.rt and t.resource_id = k.ri and t.relation = k.r and t.subject_type = k.st and t.subject_id = k.si",
        "delete from relationships where (resource_type, resource_id, relation, subject_type, subject_id) in (
           select value->>'rt', value->>'ri', value->>'r', value->>'st', value->>'si' from json_each($1))",
    );
}

/// Why a write was not made.
enum Refused {
    Precondition(usize),
    Exists,
    Twice(String),
}

fn relationship(row: &Row) -> Result<Relationship, Error> {
    Ok(Relationship {
        resource: Object { kind: row.get("resource_type")?, id: row.get("resource_id")? },
        relation: row.get("relation")?,
        subject: Object { kind: row.get("subject_type")?, id: row.get("subject_id")? },
    })
}

fn failed(error: Error) -> PermissionsError {
    match error {
        Error::Contended(text) | Error::LockTimeout(text) | Error::Unavailable(text) => PermissionsError::Unavailable(text),
        Error::Unknown(text) => PermissionsError::Unknown(text),
        Error::Unfit(text) | Error::Stale(text) | Error::Broken(text) => PermissionsError::Invalid(text),
    }
}

fn listed<'r>(relationships: impl Iterator<Item = &'r Relationship>) -> Value {
    relationships
        .map(|r| json!({"rt": r.resource.kind, "ri": r.resource.id, "r": r.relation, "st": r.subject.kind, "si": r.subject.id}))
        .collect()
}

async fn matching(tx: &mut Tx, filter: &Filter, limit: i64) -> Result<Vec<Relationship>, Error> {
    let rows = tx
        .query(&MATCHING)
        .bind(filter.resource_kind.as_str())
        .bind(filter.resource_id.as_deref())
        .bind(filter.relation.as_deref())
        .bind(filter.subject.as_ref().map(|s| s.kind.as_str()))
        .bind(filter.subject.as_ref().map(|s| s.id.as_str()))
        .bind(limit)
        .fetch_all()
        .await?;
    rows.iter().map(relationship).collect()
}

impl Store {
    async fn tuples_of(&self, statement: &'static crate::db::Statement, keys: Columns) -> Result<Vec<Relationship>, PermissionsError> {
        let rows = self.db.ask(statement).bind(keys).fetch_all().await.map_err(failed)?;
        rows.iter().map(relationship).collect::<Result<_, _>>().map_err(failed)
    }

    async fn write_tuples(&self, updates: &[Update], preconditions: &[Precondition]) -> Result<Result<i64, Refused>, Error> {
        let (mut created, mut touched, mut deleted) = (Vec::new(), Vec::new(), Vec::new());
        let mut named = HashSet::new();
        for update in updates {
            let (Update::Create(tuple) | Update::Touch(tuple) | Update::Delete(tuple)) = update;
            if !named.insert(tuple) {
                return Ok(Err(Refused::Twice(format!("{tuple:?}"))));
            }
            match update {
                Update::Create(_) => created.push(tuple),
                Update::Touch(_) => touched.push(tuple),
                Update::Delete(_) => deleted.push(tuple),
            }
        }
        let mut tx = self.db.write().await?;
        tx.locks(Rank::Subject);
        let revision = tx.query(&RAISE).fetch_one().await?.get("revision")?;
        for (index, precondition) in preconditions.iter().enumerate() {
            let (filter, wanted) = match precondition {
                Precondition::MustMatch(filter) => (filter, true),
                Precondition::MustNotMatch(filter) => (filter, false),
            };
            if matching(&mut tx, filter, 1).await?.is_empty() == wanted {
                tx.rollback().await?;
                return Ok(Err(Refused::Precondition(index)));
            }
        }
        if !created.is_empty() {
            let inserted = tx.query(&INSERT).bind(listed(created.iter().copied())).execute().await?;
            if inserted != created.len() as u64 {
                tx.rollback().await?;
                return Ok(Err(Refused::Exists));
            }
        }
        if !touched.is_empty() {
            tx.query(&INSERT).bind(listed(touched.iter().copied())).execute().await?;
        }
        if !deleted.is_empty() {
            tx.query(&DELETE).bind(listed(deleted.iter().copied())).execute().await?;
        }
        tx.commit().await?;
        Ok(Ok(revision))
    }
}

#[async_trait]
impl Tuples for Store {
    async fn revision(&self) -> Result<i64, PermissionsError> {
        self.db.ask(&REVISION).fetch_one().await.and_then(|row| row.get("revision")).map_err(failed)
    }

    async fn subjects(&self, resources: &[(Object, String)]) -> Result<Vec<Relationship>, PermissionsError> {
        let keys = Columns::default()
            .texts(resources.iter().map(|(object, _)| object.kind.clone()))
            .texts(resources.iter().map(|(object, _)| object.id.clone()))
            .texts(resources.iter().map(|(_, relation)| relation.clone()));
        self.tuples_of(&SUBJECTS, keys).await
    }

    async fn by_subject(&self, subjects: &[Object]) -> Result<Vec<Relationship>, PermissionsError> {
        let keys = Columns::default()
            .texts(subjects.iter().map(|object| object.kind.clone()))
            .texts(subjects.iter().map(|object| object.id.clone()));
        self.tuples_of(&BY_SUBJECT, keys).await
    }

    async fn matching(&self, filter: &Filter) -> Result<Vec<Relationship>, PermissionsError> {
        let read = async {
            let mut tx = self.db.read().await?;
            matching(&mut tx, filter, i64::MAX).await
        };
        read.await.map_err(failed)
    }

    async fn page(&self, kind: &str, after: Option<&Relationship>, limit: u32) -> Result<Vec<Relationship>, PermissionsError> {
        // No id is empty: the first page comes after that.
        let (resource, relation, subject_kind, subject) = after
            .map_or(("", "", "", ""), |r| (r.resource.id.as_str(), r.relation.as_str(), r.subject.kind.as_str(), r.subject.id.as_str()));
        let query = self.db.ask(&PAGE).bind(kind).bind(resource).bind(relation).bind(subject_kind).bind(subject).bind(i64::from(limit));
        let rows = query.fetch_all().await.map_err(failed)?;
        rows.iter().map(relationship).collect::<Result<_, _>>().map_err(failed)
    }

    async fn write(&self, updates: &[Update], preconditions: &[Precondition]) -> Result<i64, PermissionsError> {
        match self.db.attempt(|| self.write_tuples(updates, preconditions)).await.map_err(failed)? {
            Ok(revision) => Ok(revision),
            Err(Refused::Precondition(index)) => Err(PermissionsError::PreconditionFailed { index }),
            Err(Refused::Exists) => Err(PermissionsError::AlreadyExists),
            Err(Refused::Twice(tuple)) => Err(PermissionsError::Invalid(format!("one write names {tuple} twice"))),
        }
    }
}
