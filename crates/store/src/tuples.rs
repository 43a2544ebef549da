//! The tuples of the embedded permission system: its own tables, in transactions of their own.

pub(crate) mod writes;

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use domain::permissions::{Filter, Object, PermissionsError, Precondition, Relationship, Revision, Tuples, Update, Wanted};

use crate::Store;
use crate::db::{Cells, Columns, Error, Row, Tx};

/// The subjects of each that was asked for, and the revision at which they are.
pub(crate) type Subjects = (Revision, Vec<Vec<Object>>);

/// Questions that share a statement with others'; a list that is longer has one of its own.
const FEW: usize = 16;

crate::statements! {
    REVISION = shared("select revision, mark from relationship_revision where id = 1");
    // `n` is the place of what was asked for; the revision stands beside whatever was found, so that it is told where nothing was.
    SUBJECTS = split(
        // Each key is looked up by itself, never by reading the table whole. `(select $1)`: how many keys there are is nothing that the
        // plan may depend on, so that one plan is kept; it would be made anew for each call, at three times what the call costs. A
        // single subject is the first from its place on in the primary key, or is not there: left to itself, the planner goes through
        // all that the subject has anywhere.
        "select v.revision, v.mark, f.n, f.subject_type, f.subject_id from relationship_revision v left join (
           select k.n - 1 as n, t.subject_type, t.subject_id
           from unnest((select $1::text[]), (select $2::text[]), (select $3::text[]), (select $4::text[]), (select $5::text[]))
             with ordinality as k(type, id, relation, of_type, of_id, n)
           cross join lateral (
             select r.subject_type, r.subject_id from relationships r
             where k.of_id is null and r.resource_type = k.type and r.resource_id = k.id and r.relation = k.relation
             union all
             select s.subject_type, s.subject_id from (
               select r.subject_type, r.subject_id from relationships r
               where r.resource_type = k.type and r.resource_id = k.id and r.relation = k.relation
                 and (r.subject_type, r.subject_id) >= (k.of_type, k.of_id)
               order by r.subject_type, r.subject_id limit 1) s
             where s.subject_type = k.of_type and s.subject_id = k.of_id) t) f on true
         where v.id = 1",
        "select v.revision, v.mark, f.n, f.subject_type, f.subject_id from relationship_revision v left join (
           select k.key as n, t.subject_type, t.subject_id from json_each($1) k
           join relationships t on t.resource_type = k.value->>0 and t.resource_id = k.value->>1 and t.relation = k.value->>2
           where k.value->>4 is null
           union all
           select k.key as n, t.subject_type, t.subject_id from json_each($1) k
           join relationships t on t.resource_type = k.value->>0 and t.resource_id = k.value->>1 and t.relation = k.value->>2
             and t.subject_type = k.value->>3 and t.subject_id = k.value->>4) f on true
         where v.id = 1",
    );
    BY_SUBJECT = split(
        "select v.revision, v.mark, f.* from relationship_revision v left join (
           select t.resource_type, t.resource_id, t.relation, t.subject_type, t.subject_id
           from unnest((select $1::text[]), (select $2::text[])) as k(type, id)
           cross join lateral (select * from relationships r where r.subject_type = k.type and r.subject_id = k.id offset 0) t) f on true
         where v.id = 1",
        "select v.revision, v.mark, f.* from relationship_revision v left join (
           select t.resource_type, t.resource_id, t.relation, t.subject_type, t.subject_id from json_each($1) k
           join relationships t on t.subject_type = k.value->>0 and t.subject_id = k.value->>1) f on true
         where v.id = 1",
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

/// The revision in the next two of a row's cells.
pub(crate) fn next_revision(cells: &mut Cells<'_>) -> Result<Revision, Error> {
    Ok(Revision { number: cells.get()?, mark: cells.get()? })
}

fn revision(row: &Row) -> Result<Revision, Error> {
    Ok(Revision { number: row.get("revision")?, mark: row.get("mark")? })
}

/// That of an answer of which every row tells it.
fn revision_of(rows: &[Row]) -> Result<Revision, Error> {
    revision(rows.first().ok_or_else(|| Error::broken("there is no revision"))?)
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
    async fn revision_now(&self) -> Result<HashMap<(), Revision>, Error> {
        let row = self.db.ask(&REVISION).fetch_one().await?;
        Ok(HashMap::from([((), revision(&row)?)]))
    }

    async fn subjects_of(&self, wanted: &[Wanted]) -> Result<(Revision, Vec<Vec<Object>>), Error> {
        let keys = Columns::default()
            .texts(wanted.iter().map(|w| w.resource.kind.clone()))
            .texts(wanted.iter().map(|w| w.resource.id.clone()))
            .texts(wanted.iter().map(|w| w.relation.to_owned()))
            .optional_texts(wanted.iter().map(|w| w.subject.as_ref().map(|s| s.kind.clone())))
            .optional_texts(wanted.iter().map(|w| w.subject.as_ref().map(|s| s.id.clone())));
        let rows = self.db.ask(&SUBJECTS).bind(keys).fetch_all().await?;
        let mut found = vec![Vec::new(); wanted.len()];
        for row in &rows {
            let Some(n) = row.get::<Option<i64>>("n")? else { continue };
            let place = usize::try_from(n).ok().and_then(|n| found.get_mut(n));
            let place = place.ok_or_else(|| Error::broken(format!("an answer to question {n} of {}", wanted.len())))?;
            place.push(Object { kind: row.get("subject_type")?, id: row.get("subject_id")? });
        }
        Ok((revision_of(&rows)?, found))
    }

    /// The same for several lists at once, each question asked once.
    async fn subjects_of_lists(&self, lists: Vec<Vec<Wanted>>) -> Result<HashMap<Vec<Wanted>, Subjects>, Error> {
        let wanted: Vec<_> = lists.iter().flatten().collect::<HashSet<_>>().into_iter().cloned().collect();
        let (revision, found) = self.subjects_of(&wanted).await?;
        let found: HashMap<_, _> = wanted.iter().zip(found).collect();
        let of = |list: &[Wanted]| list.iter().map(|wanted| found.get(wanted).cloned().unwrap_or_default()).collect();
        Ok(lists.iter().map(|list| (list.clone(), (revision, of(list)))).collect())
    }
}

#[async_trait]
impl Tuples for Store {
    async fn revision(&self) -> Result<Revision, PermissionsError> {
        let found = self.questions.revisions.ask((), |_| self.revision_now()).await;
        found.and_then(|found| found.ok_or_else(|| Error::broken("there is no revision"))).map_err(failed)
    }

    async fn subjects(&self, wanted: &[Wanted]) -> Result<Subjects, PermissionsError> {
        if wanted.len() > FEW {
            return self.subjects_of(wanted).await.map_err(failed);
        }
        let found = self.questions.subjects.ask(wanted.to_vec(), |lists| self.subjects_of_lists(lists)).await;
        found.and_then(|found| found.ok_or_else(|| Error::broken("a question was not answered"))).map_err(failed)
    }

    async fn by_subject(&self, subjects: &[Object]) -> Result<(Revision, Vec<Relationship>), PermissionsError> {
        let keys = Columns::default()
            .texts(subjects.iter().map(|object| object.kind.clone()))
            .texts(subjects.iter().map(|object| object.id.clone()));
        let read = async {
            let rows = self.db.ask(&BY_SUBJECT).bind(keys).fetch_all().await?;
            let mut found = Vec::with_capacity(rows.len());
            for row in &rows {
                if row.get::<Option<String>>("resource_id")?.is_some() {
                    found.push(relationship(row)?);
                }
            }
            Ok((revision_of(&rows)?, found))
        };
        read.await.map_err(failed)
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
