//! The tuples of the embedded permission system: its own tables, in transactions of their own.

pub(crate) mod writes;

use async_trait::async_trait;
use domain::permissions::{Filter, Object, PermissionsError, Precondition, Relationship, Tuples, Update};

use crate::Store;
use crate::db::{Columns, Error, Row, Tx};

crate::statements! {
    REVISION = shared("select revision from relationship_revision where id = 1");
    SUBJECTS = split(
        // Each key is looked up by itself, never by reading the table whole. `(select $1)`: how many keys there are is nothing that
        // the plan may depend on, so that one plan is kept; it would be made anew for each call, at three times what the call costs.
        "select t.resource_type, t.resource_id, t.relation, t.subject_type, t.subject_id
         from unnest((select $1::text[]), (select $2::text[]), (select $3::text[])) as k(type, id, relation)
         cross join lateral (
           select * from relationships r
           where r.resource_type = k.type and r.resource_id = k.id and r.relation = k.relation offset 0) t",
        "select t.resource_type, t.resource_id, t.relation, t.subject_type, t.subject_id from json_each($1) k
         join relationships t on t.resource_type = k.value->>0 and t.resource_id = k.value->>1 and t.relation = k.value->>2",
    );
    BY_SUBJECT = split(
        "select t.resource_type, t.resource_id, t.relation, t.subject_type, t.subject_id
         from unnest((select $1::text[]), (select $2::text[])) as k(type, id)
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
        self.write_tuples(updates, preconditions).await
    }
}
