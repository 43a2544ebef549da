//! Writes of tuples: what queued while one was under way is the next transaction, under the lock of the revision's row, so that
//! a precondition holds until its write is done and writers wait for each other once, not one by one.
//!
//! Each write is made or refused by itself. Those of one transaction share its revision: none of them is older than it.

use std::collections::HashSet;

use domain::permissions::{Filter, PermissionsError, Precondition, Relationship, Update};
use uuid::Uuid;

use super::{failed, matching};
use crate::Store;
use crate::db::{Columns, Db, Error, Rank, Tx};

crate::statements! {
    RAISE = shared("update relationship_revision set revision = revision + 1, mark = $1 where id = 1 returning revision");
    // Which of these are held: by the whole key, or by what of it is before the subject. Each is looked up by itself, as in
    // `SUBJECTS`: where there are many, `exists` would read the table whole.
    HELD = split(
        "with k as materialized (
               select * from unnest((select $1::bigint[]), (select $2::text[]), (select $3::text[]), (select $4::text[]), (select $5::text[]),
                 (select $6::text[])) as k(n, type, id, relation, subject_type, subject_id))
           select k.n from k cross join lateral (
               select 1 from relationships r where r.resource_type = k.type and r.resource_id = k.id and r.relation = k.relation limit 1) t
             where k.subject_type is null
             union all
           select k.n from k cross join lateral (
               select r.subject_type, r.subject_id from relationships r
               where r.resource_type = k.type and r.resource_id = k.id and r.relation = k.relation
                 and (r.subject_type, r.subject_id) >= (k.subject_type, k.subject_id)
               order by r.subject_type, r.subject_id limit 1) t
             where t.subject_type = k.subject_type and t.subject_id = k.subject_id",
        "select k.value->>0 as n from json_each($1) k
         where case when k.value->>4 is null
           then exists (select 1 from relationships r where r.resource_type = k.value->>1 and r.resource_id = k.value->>2
             and r.relation = k.value->>3)
           else exists (select 1 from relationships r where r.resource_type = k.value->>1 and r.resource_id = k.value->>2
             and r.relation = k.value->>3 and r.subject_type = k.value->>4 and r.subject_id = k.value->>5) end",
    );
    INSERT = split(
        "insert into relationships (resource_type, resource_id, relation, subject_type, subject_id)
         select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) on conflict do nothing",
        "insert into relationships (resource_type, resource_id, relation, subject_type, subject_id)
         select value->>0, value->>1, value->>2, value->>3, value->>4 from json_each($1) where true on conflict do nothing",
    );
    DELETE = split(
        "delete from relationships t using unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) as k(rt, ri, r, st, si)
         where t.resource_type = k.rt and t.resource_id = k.ri and t.relation = k.r and t.subject_type = k.st and t.subject_id = k.si",
        "delete from relationships where (resource_type, resource_id, relation, subject_type, subject_id) in (
           select value->>0, value->>1, value->>2, value->>3, value->>4 from json_each($1))",
    );
}

pub(crate) struct Write {
    updates: Vec<Update>,
    preconditions: Vec<Precondition>,
}

/// Why a write was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Precondition(usize),
    Exists,
}

/// The revision from which on the write is seen.
pub(crate) type Answer = Result<Result<i64, Refused>, Error>;

fn tuple(update: &Update) -> &Relationship {
    let (Update::Create(tuple) | Update::Touch(tuple) | Update::Delete(tuple)) = update;
    tuple
}

impl Store {
    pub(super) async fn write_tuples(&self, updates: &[Update], preconditions: &[Precondition]) -> Result<i64, PermissionsError> {
        let mut named = HashSet::new();
        if let Some(twice) = updates.iter().map(tuple).find(|tuple| !named.insert(*tuple)) {
            return Err(PermissionsError::Invalid(format!("one write names {twice:?} twice")));
        }
        let write = Write { updates: updates.to_vec(), preconditions: preconditions.to_vec() };
        let answer = self.tuple_writes.done(&self.db, write, carry_out).await;
        match answer.map_err(|error| PermissionsError::Unknown(error.to_string()))?.map_err(failed)? {
            Ok(revision) => Ok(revision),
            Err(Refused::Precondition(index)) => Err(PermissionsError::PreconditionFailed { index }),
            Err(Refused::Exists) => Err(PermissionsError::AlreadyExists),
        }
    }
}

async fn carry_out(db: Db, writes: Vec<Write>) -> Vec<Answer> {
    let mut answers: Vec<(usize, Answer)> = Vec::with_capacity(writes.len());
    let mut left: Vec<usize> = (0..writes.len()).collect();
    while !left.is_empty() {
        let (part, later) = independent(&writes, &left);
        match attempt(&db, &writes, &part).await {
            Ok(decided) => answers.extend(part.into_iter().zip(decided.into_iter().map(Ok))),
            // Whose fault it was is seen when each stands alone.
            Err(Error::Unfit(_) | Error::Stale(_) | Error::Broken(_)) if part.len() > 1 => {
                for at in part {
                    answers.push((at, attempt(&db, &writes, &[at]).await.map(|decided| decided[0])));
                }
            }
            Err(error) => answers.extend(part.into_iter().map(|at| (at, Err(error.clone())))),
        }
        left = later;
    }
    answers.sort_unstable_by_key(|(at, _)| *at);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// Of the writes that are `left`, those that may share a transaction, which looks at all preconditions before it changes
/// anything: none asks for, or names, what another one changes. The others come after it.
fn independent(writes: &[Write], left: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let mut changed: HashSet<&Relationship> = HashSet::new();
    left.iter().partition(|at| {
        let Write { updates, preconditions } = &writes[**at];
        let asks = |changed: &HashSet<&Relationship>| {
            let mut filters = preconditions.iter().map(filter);
            filters.any(|filter| changed.iter().any(|tuple| filter.matches(tuple)))
        };
        let is_apart = updates.iter().all(|update| !changed.contains(tuple(update))) && !asks(&changed);
        if is_apart {
            changed.extend(updates.iter().map(tuple));
        }
        is_apart
    })
}

fn filter(precondition: &Precondition) -> &Filter {
    let (Precondition::MustMatch(filter) | Precondition::MustNotMatch(filter)) = precondition;
    filter
}

async fn attempt(db: &Db, writes: &[Write], part: &[usize]) -> Result<Vec<Result<i64, Refused>>, Error> {
    let members: Vec<&Write> = part.iter().map(|at| &writes[*at]).collect();
    db.attempt(|| try_together(db, &members)).await
}

/// One transaction of writes that do not touch each other.
async fn try_together(db: &Db, members: &[&Write]) -> Result<Vec<Result<i64, Refused>>, Error> {
    let mut tx = db.write_together().await?;
    tx.locks(Rank::Subject);
    let revision = tx.query(&RAISE).bind(Uuid::new_v4()).fetch_one().await?.get("revision")?;
    let refused = refused(&mut tx, members).await?;
    let (mut put, mut taken) = (Vec::new(), Vec::new());
    for update in members.iter().zip(&refused).filter(|(_, refused)| refused.is_none()).flat_map(|(write, _)| &write.updates) {
        match update {
            Update::Create(tuple) | Update::Touch(tuple) => put.push(tuple),
            Update::Delete(tuple) => taken.push(tuple),
        }
    }
    let decided = refused.iter().map(|refused| refused.map_or(Ok(revision), Err)).collect();
    if refused.iter().all(Option::is_some) {
        tx.rollback().await?;
        return Ok(decided);
    }
    if !put.is_empty() {
        tx.query(&INSERT).bind(columns(&put)).execute().await?;
    }
    if !taken.is_empty() {
        tx.query(&DELETE).bind(columns(&taken)).execute().await?;
    }
    tx.commit().await?;
    Ok(decided)
}

fn columns(tuples: &[&Relationship]) -> Columns {
    Columns::default()
        .texts(tuples.iter().map(|tuple| tuple.resource.kind.clone()))
        .texts(tuples.iter().map(|tuple| tuple.resource.id.clone()))
        .texts(tuples.iter().map(|tuple| tuple.relation.clone()))
        .texts(tuples.iter().map(|tuple| tuple.subject.kind.clone()))
        .texts(tuples.iter().map(|tuple| tuple.subject.id.clone()))
}

/// What stands in each member's way, if anything does: the first precondition that fails, or a tuple that it would create.
async fn refused(tx: &mut Tx, members: &[&Write]) -> Result<Vec<Option<Refused>>, Error> {
    let mut refused = vec![None; members.len()];
    // In the order in which a member is told of them.
    let mut asked: Vec<(usize, Refused, bool, Filter)> = Vec::new();
    for (at, write) in members.iter().enumerate() {
        for (index, precondition) in write.preconditions.iter().enumerate() {
            let must = matches!(precondition, Precondition::MustMatch(_));
            asked.push((at, Refused::Precondition(index), must, filter(precondition).clone()));
        }
        let created = write.updates.iter().filter_map(|update| if let Update::Create(tuple) = update { Some(tuple) } else { None });
        asked.extend(created.map(|tuple| (at, Refused::Exists, false, exactly(tuple))));
    }
    let held = held(tx, asked.iter().map(|(.., filter)| filter)).await?;
    for (number, (at, why, must, _)) in asked.iter().enumerate() {
        if held.contains(&number) != *must {
            refused[*at].get_or_insert(*why);
        }
    }
    Ok(refused)
}

fn exactly(tuple: &Relationship) -> Filter {
    Filter {
        resource_kind: tuple.resource.kind.clone(),
        resource_id: Some(tuple.resource.id.clone()),
        relation: Some(tuple.relation.clone()),
        subject: Some(tuple.subject.clone()),
    }
}

/// Which of the filters, by their numbers, match anything.
async fn held<'f>(tx: &mut Tx, filters: impl Iterator<Item = &'f Filter>) -> Result<HashSet<usize>, Error> {
    let (keyed, loose): (Vec<_>, Vec<_>) =
        filters.enumerate().partition(|(_, filter)| filter.resource_id.is_some() && filter.relation.is_some());
    let mut held = HashSet::new();
    if !keyed.is_empty() {
        let columns = Columns::default()
            .numbers(keyed.iter().map(|(number, _)| i64::try_from(*number).unwrap_or(i64::MAX)))
            .texts(keyed.iter().map(|(_, filter)| filter.resource_kind.clone()))
            .optional_texts(keyed.iter().map(|(_, filter)| filter.resource_id.clone()))
            .optional_texts(keyed.iter().map(|(_, filter)| filter.relation.clone()))
            .optional_texts(keyed.iter().map(|(_, filter)| filter.subject.as_ref().map(|subject| subject.kind.clone())))
            .optional_texts(keyed.iter().map(|(_, filter)| filter.subject.as_ref().map(|subject| subject.id.clone())));
        for row in tx.query(&HELD).bind(columns).fetch_all().await? {
            held.insert(row.count("n")?);
        }
    }
    for (number, filter) in loose {
        if !matching(tx, filter, 1).await?.is_empty() {
            held.insert(number);
        }
    }
    Ok(held)
}
