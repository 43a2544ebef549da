//! Tuples of the embedded permission system: preconditions and updates together, both indexes, the revision.

use domain::permissions::{Filter, Object, PermissionsError, Precondition, Relationship, Tuples, Update, Wanted};
use rstest::rstest;
use testkit::Backend::{self, Postgres, Sqlite};

use crate::world::World;

fn tuple(resource: &str, relation: &str, subject: &str) -> Relationship {
    Relationship::new(Object::new("workspace", resource), relation, Object::new("user", subject))
}

fn all() -> Filter {
    Filter { resource_kind: "workspace".to_owned(), resource_id: None, relation: None, subject: None }
}

#[rstest]
#[tokio::test]
async fn updates_are_applied_together_and_raise_the_revision(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let store = &world.store;
    assert_eq!(store.revision().await.unwrap().number, 0);
    let (a, b, c) = (tuple("w1", "owner", "ada"), tuple("w1", "viewer", "eve"), tuple("w2", "owner", "ada"));
    let written = store.write(&[Update::Create(a.clone()), Update::Touch(b.clone()), Update::Delete(c.clone())], &[]).await.unwrap();
    let first = store.revision().await.unwrap();
    assert_eq!((written, first.number), (1, 1));
    assert_eq!(store.matching(&all()).await.unwrap(), [a.clone(), b.clone()]);
    assert_eq!(store.write(&[Update::Touch(a.clone()), Update::Delete(b.clone()), Update::Touch(c.clone())], &[]).await.unwrap(), 2);
    assert_eq!(store.matching(&all()).await.unwrap(), [a.clone(), c.clone()]);

    assert_eq!(store.write(&[Update::Touch(b.clone()), Update::Create(a.clone())], &[]).await, Err(PermissionsError::AlreadyExists));
    assert_eq!(store.matching(&all()).await.unwrap(), [a.clone(), c], "nothing of a refused write is left");
    let second = store.revision().await.unwrap();
    assert_eq!(second.number, 2, "a refused write raises nothing");
    assert!(first.mark.is_some() && second.mark.is_some() && first.mark != second.mark, "{first:?} {second:?}");
    let twice = store.write(&[Update::Touch(a.clone()), Update::Delete(a)], &[]).await;
    assert!(matches!(twice, Err(PermissionsError::Invalid(_))), "{twice:?}");
}

#[rstest]
#[tokio::test]
async fn preconditions_decide_and_the_first_that_fails_is_named(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let store = &world.store;
    let seal = Relationship::new(Object::new("workspace", "w1"), "sealed", Object::new("saga", "r1"));
    store.write(&[Update::Touch(seal.clone())], &[]).await.unwrap();
    let of = |id: &str, run: &str| Filter {
        resource_id: Some(id.to_owned()),
        relation: Some("sealed".to_owned()),
        subject: Some(Object::new("saga", run)),
        ..all()
    };
    let grant = [Update::Touch(tuple("w1", "owner", "ada"))];
    let refused = store.write(&grant, &[Precondition::MustMatch(of("w1", "r1")), Precondition::MustNotMatch(of("w1", "r1"))]).await;
    assert_eq!(refused, Err(PermissionsError::PreconditionFailed { index: 1 }));
    let refused = store.write(&grant, &[Precondition::MustMatch(of("w2", "r1"))]).await;
    assert_eq!(refused, Err(PermissionsError::PreconditionFailed { index: 0 }));
    assert_eq!(store.matching(&all()).await.unwrap(), [seal]);
    store.write(&grant, &[Precondition::MustNotMatch(of("w1", "r2")), Precondition::MustMatch(of("w1", "r1"))]).await.unwrap();
    assert_eq!(store.matching(&all()).await.unwrap().len(), 2);
}

#[rstest]
#[tokio::test]
async fn tuples_are_found_from_either_end(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let store = &world.store;
    let (a, b, c) = (tuple("w1", "owner", "ada"), tuple("w1", "viewer", "eve"), tuple("w2", "owner", "ada"));
    store.write(&[&a, &b, &c].map(|t| Update::Create(t.clone())), &[]).await.unwrap();
    let sorted = |mut found: Vec<Relationship>| {
        found.sort();
        found
    };
    let now = store.revision().await.unwrap();
    let of = |id: &str, relation, subject: Option<&str>| Wanted {
        resource: Object::new("workspace", id),
        relation,
        subject: subject.map(|id| Object::new("user", id)),
    };
    let wanted = [of("w1", "owner", None), of("w2", "owner", Some("eve")), of("w3", "owner", None), of("w2", "owner", Some("ada"))];
    let ada = || vec![Object::new("user", "ada")];
    assert_eq!(store.subjects(&wanted).await.unwrap(), (now, vec![ada(), vec![], vec![], ada()]));
    // More than share a statement with others'.
    let many: Vec<_> = (0..40).map(|n| of(if n % 2 == 0 { "w2" } else { "w9" }, "owner", None)).collect();
    let (revision, found) = store.subjects(&many).await.unwrap();
    assert_eq!((revision, found), (now, (0..40).map(|n| if n % 2 == 0 { ada() } else { vec![] }).collect::<Vec<_>>()));
    let (revision, of_ada) = store.by_subject(&[Object::new("user", "ada")]).await.unwrap();
    assert_eq!((revision, sorted(of_ada)), (now, vec![a.clone(), c]));
    let (_, of_both) = store.by_subject(&[Object::new("user", "ada"), Object::new("user", "eve")]).await.unwrap();
    assert_eq!(of_both.len(), 3);
    assert_eq!(store.subjects(&[]).await.unwrap(), (now, vec![]));
    assert_eq!(store.by_subject(&[Object::new("user", "nobody")]).await.unwrap(), (now, vec![]));
    let of_ada = Filter { resource_id: Some("w1".to_owned()), subject: Some(Object::new("user", "ada")), ..all() };
    assert_eq!(store.matching(&of_ada).await.unwrap(), [a]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_create_one_tuple_one_succeeds(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let store = &world.store;
    let first = Filter { relation: Some("owner".to_owned()), ..all() };
    let tasks: Vec<_> = (0..16)
        .map(|n| {
            let (store, first) = (store.clone(), first.clone());
            tokio::spawn(async move {
                store.write(&[Update::Create(tuple("w1", "owner", &format!("u{n}")))], &[Precondition::MustNotMatch(first)]).await
            })
        })
        .collect();
    let mut written = 0;
    for task in tasks {
        written += usize::from(task.await.unwrap().is_ok());
    }
    assert_eq!((written, store.matching(&all()).await.unwrap().len()), (1, 1));
}

/// Of one turn of the runtime, so that what is asked at once queues before any of it is carried out.
async fn at_once(world: &World, writes: Vec<(Vec<Update>, Vec<Precondition>)>) -> Vec<Result<i64, PermissionsError>> {
    let mut tasks = tokio::task::JoinSet::new();
    for (number, (updates, preconditions)) in writes.into_iter().enumerate() {
        let store = world.store.clone();
        tasks.spawn(async move { (number, store.write(&updates, &preconditions).await) });
    }
    let mut answers = tasks.join_all().await;
    answers.sort_by_key(|(number, _)| *number);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

fn seal(resource: &str) -> Relationship {
    Relationship::new(Object::new("workspace", resource), "sealed", Object::new("saga", "r1"))
}

fn exactly(tuple: &Relationship) -> Filter {
    Filter {
        resource_id: Some(tuple.resource.id.clone()),
        relation: Some(tuple.relation.clone()),
        subject: Some(tuple.subject.clone()),
        ..all()
    }
}

#[rstest]
#[tokio::test]
async fn writes_at_once_share_a_transaction_and_each_is_refused_or_made_for_itself(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    world.store.write(&[Update::Touch(seal("w3")), Update::Touch(tuple("w4", "owner", "eve"))], &[]).await.unwrap();
    let grant = |id: &str| {
        let updates = vec![Update::Touch(tuple(id, "owner", "ada")), Update::Delete(tuple(id, "owner", "eve"))];
        (updates, vec![Precondition::MustNotMatch(exactly(&seal(id)))])
    };
    // Preconditions without a relation, or of a whole relation, are looked at too.
    let loose = (vec![Update::Create(tuple("w5", "viewer", "bob"))], vec![Precondition::MustMatch(all())]);
    let missing = Filter { resource_id: Some("w6".to_owned()), relation: Some("owner".to_owned()), ..all() };
    let refused = (
        vec![Update::Touch(tuple("w7", "viewer", "bob"))],
        vec![Precondition::MustNotMatch(missing.clone()), Precondition::MustMatch(missing)],
    );
    let exists = (vec![Update::Create(tuple("w8", "viewer", "bob")), Update::Create(seal("w3"))], vec![]);
    let answers = at_once(&world, vec![grant("w1"), grant("w2"), grant("w3"), grant("w4"), loose.clone(), refused, exists]).await;
    let sealed = Err(PermissionsError::PreconditionFailed { index: 0 });
    let missing = Err(PermissionsError::PreconditionFailed { index: 1 });
    // `loose` asks for anything at all, which the others change: it comes after them.
    assert_eq!(answers, [Ok(2), Ok(2), sealed, Ok(2), Ok(3), missing, Err(PermissionsError::AlreadyExists)]);
    assert_eq!(world.store.revision().await.unwrap().number, 3);
    let left = world.store.matching(&all()).await.unwrap();
    let owned = ["w1", "w2", "w4"].map(|id| tuple(id, "owner", "ada"));
    assert_eq!(left, [owned[0].clone(), owned[1].clone(), seal("w3"), owned[2].clone(), tuple("w5", "viewer", "bob")]);
}

#[rstest]
#[tokio::test]
async fn a_write_that_asks_for_what_another_one_changes_comes_after_it(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let grant = (vec![Update::Touch(tuple("w1", "owner", "ada"))], vec![Precondition::MustNotMatch(exactly(&seal("w1")))]);
    let revoke = (
        vec![Update::Delete(tuple("w1", "owner", "ada")), Update::Touch(seal("w1"))],
        vec![Precondition::MustNotMatch(exactly(&seal("w1")))],
    );
    let answers = at_once(&world, vec![grant.clone(), revoke.clone(), grant, revoke]).await;
    let sealed = Err(PermissionsError::PreconditionFailed { index: 0 });
    assert_eq!(answers, [Ok(1), Ok(2), sealed.clone(), sealed]);
    assert_eq!(world.store.matching(&all()).await.unwrap(), [seal("w1")]);
}
