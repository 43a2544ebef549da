//! Accepting workspaces: what queued while one commit was under way shares the next one, so that a lone request waits for
//! nobody, and many share what a commit costs.
//!
//! A member is accepted or refused by itself: a taken slug, a spent quota or a key that was used before costs only its own
//! request. What the shared transaction cannot decide goes through one of its own.

mod rows;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use domain::model::AccountStatus;
use domain::ports::{CreateWorkspace, NewWorkspace, Slug, Written};
use saga::StoreError;
use uuid::Uuid;

use crate::db::{Db, Error, Rank, Tx};
use crate::heads::{self, Head};
use crate::{Store, audit, idempotency, provisioning_runs, workspaces};

pub(crate) use rows::STATEMENTS;

pub(crate) type Answer = Result<Written<CreateWorkspace>, Error>;

impl Store {
    /// The answer to this request, whoever shared the transaction. It is carried out even if nobody waits for it.
    pub(crate) async fn accept(&self, new: NewWorkspace) -> Result<Written<CreateWorkspace>, StoreError> {
        Ok(self.accepts.done(&self.db, new, accept).await??)
    }
}

async fn accept(db: Db, news: Vec<NewWorkspace>) -> Vec<Answer> {
    // Of requests with one key the first goes ahead; the others are told its answer, or are the first then.
    let mut keys = HashSet::new();
    let (together, mut apart): (Vec<usize>, Vec<usize>) =
        (0..news.len()).partition(|at| news[*at].idempotency.as_ref().is_none_or(|i| keys.insert(idempotency::place(&i.key))));
    let members: Vec<&NewWorkspace> = together.iter().map(|at| &news[*at]).collect();
    let mut answers: BTreeMap<usize, Answer> = BTreeMap::new();
    match db.attempt(|| try_together(&db, &members)).await {
        Ok(decided) => {
            for (at, decided) in together.into_iter().zip(decided) {
                match decided {
                    Some(answer) => drop(answers.insert(at, Ok(Written::Done(answer)))),
                    None => apart.push(at),
                }
            }
        }
        // Whose fault it was is seen when each stands alone.
        Err(Error::Unfit(_) | Error::Stale(_) | Error::LockTimeout(_) | Error::Broken(_)) => apart.extend(together),
        Err(Error::Contended(text)) => answers.extend(together.into_iter().map(|at| (at, Err(Error::Unavailable(text.clone()))))),
        Err(error @ (Error::Unavailable(_) | Error::Unknown(_))) => answers.extend(together.into_iter().map(|at| (at, Err(error.clone())))),
    }
    for at in apart {
        answers.insert(at, db.attempt(|| workspaces::create_alone(&db, &news[at])).await);
    }
    answers.into_values().collect()
}

/// One transaction. `None`: this member's key was used before, and it is to be answered by itself.
async fn try_together(db: &Db, members: &[&NewWorkspace]) -> Result<Vec<Option<CreateWorkspace>>, Error> {
    let mut tx = db.write_together().await?;
    tx.locks(Rank::Idempotency);
    let taken = rows::take_keys(&mut tx, members).await?;
    let mine = |new: &NewWorkspace| new.idempotency.as_ref().is_none_or(|i| taken.contains(&idempotency::place(&i.key)));
    let accounts: BTreeSet<Uuid> = members.iter().filter(|new| mine(new)).map(|new| new.account_id).collect();
    let mut heads = rows::lock_heads(&mut tx, accounts).await?;
    let now = tx.now().await?;
    let slugs_taken = rows::slugs_taken(&mut tx, members).await?;

    let mut decided = Vec::with_capacity(members.len());
    let mut accepted = Vec::with_capacity(members.len());
    let mut entries = Vec::with_capacity(members.len());
    let mut given: HashSet<(Uuid, String)> = HashSet::new();
    let mut refused = Vec::new();
    for (at, new) in members.iter().enumerate() {
        if !mine(new) {
            decided.push(None);
            continue;
        }
        let answer = match heads.get_mut(&new.account_id) {
            None => CreateWorkspace::AccountNotActive { status: None },
            Some((_, status)) if *status != Some(AccountStatus::Active) => CreateWorkspace::AccountNotActive { status: *status },
            Some((head, _)) => decide(&mut tx, head, new, slugs_taken.contains(&at), &mut given).await?,
        };
        if let (CreateWorkspace::Created { slug }, Some((head, _))) = (&answer, heads.get_mut(&new.account_id)) {
            accepted.push(rows::Accepted { new, slug: slug.clone(), turn: head.next_turn(now) });
            entries.push(audit::extend(head, &new.audit, now)?);
        } else if let Some(idempotency) = &new.idempotency {
            refused.push(&idempotency.key);
        }
        decided.push(Some(answer));
    }
    if accepted.is_empty() {
        tx.rollback().await?;
        return Ok(decided);
    }
    rows::give_back_keys(&mut tx, &refused).await?;
    rows::insert(&mut tx, &accepted, now).await?;
    provisioning_runs::insert_all(&mut tx, accepted.iter().map(|a| (&a.new.run, a.turn)), now).await?;
    audit::insert_all(&mut tx, &entries).await?;
    heads::save_all(&mut tx, heads.values().map(|(head, _)| head)).await?;
    tx.commit().await?;
    Ok(decided)
}

/// Decides about one member under its account's head row; what is let in counts for the next.
async fn decide(
    tx: &mut Tx,
    head: &mut Head,
    new: &NewWorkspace,
    is_taken: bool,
    given: &mut HashSet<(Uuid, String)>,
) -> Result<CreateWorkspace, Error> {
    let (Slug::Given(base) | Slug::Generated(base)) = &new.slug;
    let slug = match &new.slug {
        _ if !is_taken && !given.contains(&(new.account_id, base.clone())) => base.clone(),
        Slug::Given(_) => return Ok(CreateWorkspace::SlugTaken { slug: base.clone() }),
        Slug::Generated(_) => {
            let also = given.iter().filter(|(account, _)| *account == new.account_id).map(|(_, slug)| slug.clone());
            let also: Vec<String> = also.collect();
            match workspaces::free_slug_besides(tx, new.account_id, &new.slug, also).await? {
                Some(slug) => slug,
                None => return Ok(CreateWorkspace::SlugTaken { slug: base.clone() }),
            }
        }
    };
    if head.live >= head.max {
        return Ok(CreateWorkspace::QuotaExceeded { max: head.max });
    }
    head.live += 1;
    given.insert((new.account_id, slug.clone()));
    Ok(CreateWorkspace::Created { slug })
}
