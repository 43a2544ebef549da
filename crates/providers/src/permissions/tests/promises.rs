//! What the port promises, of both permission systems.

use domain::permissions::Update::{Create, Delete, Touch};
use domain::permissions::{Consistency, Filter, Object, Permissions, PermissionsError, Precondition, UPDATES_MAX, Update};
use rstest::rstest;

use super::CAUSE;
use super::System::{self, Embedded, SpiceDb};
use super::notation::{asked, tuple};

async fn may(system: &dyn Permissions, text: &str) -> bool {
    system.check(&[asked(text)], &Consistency::FullyConsistent).await.unwrap()[0]
}

fn sealed(run: &str) -> Filter {
    Filter {
        resource_kind: "workspace".to_owned(),
        resource_id: Some("w".to_owned()),
        relation: Some("sealed".to_owned()),
        subject: Some(Object::new("saga", run)),
    }
}

#[rstest]
#[tokio::test]
async fn a_right_holds_from_the_write_that_gives_it_to_the_one_that_takes_it(#[values(Embedded, SpiceDb)] system: System) {
    let system = system.open().await;
    let grant = [Touch(tuple("workspace:w#account@account:a")), Touch(tuple("account:a#admin@user:ann"))];
    let token = system.write(&grant, &[], &CAUSE).await.unwrap();
    let question = [asked("workspace:w#administer@user:ann"), asked("workspace:w#membership@user:ann")];
    let answers = system.check(&question, &Consistency::AtLeastAsFresh(token)).await.unwrap();
    assert_eq!(answers, [true, false]);
    let taken = system.write(&[Delete(tuple("account:a#admin@user:ann"))], &[], &CAUSE).await.unwrap();
    for at in [Consistency::AtLeastAsFresh(taken), Consistency::FullyConsistent] {
        assert_eq!(system.check(&question, &at).await.unwrap(), [false, false]);
    }
}

#[rstest]
#[tokio::test]
async fn touch_and_delete_replay_silently_and_create_does_not(#[values(Embedded, SpiceDb)] system: System) {
    let system = system.open().await;
    let ann = || tuple("workspace:w#viewer@user:ann");
    for update in [Touch(ann()), Touch(ann()), Delete(ann()), Delete(ann()), Create(ann())] {
        assert!(!system.write(&[update], &[], &CAUSE).await.unwrap().is_empty());
    }
    assert_eq!(system.write(&[Create(ann())], &[], &CAUSE).await, Err(PermissionsError::AlreadyExists));
}

#[rstest]
#[tokio::test]
async fn a_write_is_made_whole_or_not_at_all_and_the_precondition_that_stops_it_is_named(#[values(Embedded, SpiceDb)] system: System) {
    let system = system.open().await;
    system.write(&[Touch(tuple("workspace:w#sealed@saga:r1"))], &[], &CAUSE).await.unwrap();
    let grant = [Touch(tuple("workspace:w#viewer@user:ann")), Touch(tuple("workspace:w#owner@user:ann"))];
    let conditions =
        [Precondition::MustNotMatch(sealed("r2")), Precondition::MustMatch(sealed("r1")), Precondition::MustNotMatch(sealed("r1"))];
    assert_eq!(system.write(&grant, &conditions, &CAUSE).await, Err(PermissionsError::PreconditionFailed { index: 2 }));
    assert!(!may(&*system, "workspace:w#read@user:ann").await);
    system.write(&grant, &conditions[..2], &CAUSE).await.unwrap();
    assert!(may(&*system, "workspace:w#administer@user:ann").await);
}

#[rstest]
#[tokio::test]
async fn a_write_holds_at_most_a_thousand_updates_and_names_no_tuple_twice(#[values(Embedded, SpiceDb)] system: System) {
    let system = system.open().await;
    let many = |n: usize| (0..n).map(|i| Touch(tuple(&format!("workspace:w#viewer@user:u{i}")))).collect::<Vec<Update>>();
    system.write(&many(UPDATES_MAX), &[], &CAUSE).await.unwrap();
    assert!(matches!(system.write(&many(UPDATES_MAX + 1), &[], &CAUSE).await, Err(PermissionsError::Invalid(_))));
    let twice = [Touch(tuple("workspace:w#viewer@user:ann")), Delete(tuple("workspace:w#viewer@user:ann"))];
    assert!(matches!(system.write(&twice, &[], &CAUSE).await, Err(PermissionsError::Invalid(_))));
    let all = Filter { resource_kind: "workspace".to_owned(), resource_id: Some("w".to_owned()), relation: None, subject: None };
    assert_eq!(system.read(&all).await.unwrap().len(), UPDATES_MAX);
}

/// A filter's empty field matches everything in SpiceDB, and `*` is everybody: neither may slip in.
#[rstest]
#[tokio::test]
async fn what_the_schema_does_not_know_is_a_fault_and_never_a_no(#[values(Embedded, SpiceDb)] system: System) {
    let system = system.open().await;
    system.write(&[Touch(tuple("workspace:w#owner@user:ann"))], &[], &CAUSE).await.unwrap();
    for wrong in ["folder:f#read@user:ann", "workspace:w#fly@user:ann", "workspace:w#read@robot:r", "workspace:w.1#read@user:ann"] {
        let answer = system.check(&[asked("workspace:w#read@user:ann"), asked(wrong)], &Consistency::FullyConsistent).await;
        assert!(matches!(answer, Err(PermissionsError::Invalid(_))), "{wrong}: {answer:?}");
    }
    for wrong in ["workspace:w#read@user:*", "workspace:w#@user:ann", "workspace:#read@user:ann", ":w#read@user:ann"] {
        let answer = system.check(&[asked(wrong)], &Consistency::FullyConsistent).await;
        assert!(matches!(answer, Err(PermissionsError::Invalid(_))), "{wrong}: {answer:?}");
        let answer = system.write(&[Delete(tuple(wrong))], &[], &CAUSE).await;
        assert!(matches!(answer, Err(PermissionsError::Invalid(_))), "{wrong}: {answer:?}");
    }
    let empty = |resource: Option<&str>, relation: Option<&str>| Filter {
        resource_kind: "workspace".to_owned(),
        resource_id: resource.map(str::to_owned),
        relation: relation.map(str::to_owned),
        subject: None,
    };
    for filter in [empty(Some(""), None), empty(Some("*"), None), empty(None, Some(""))] {
        assert!(matches!(system.read(&filter).await, Err(PermissionsError::Invalid(_))), "{filter:?}");
        let update = [Touch(tuple("workspace:w#owner@user:bob"))];
        let answer = system.write(&update, &[Precondition::MustMatch(filter)], &CAUSE).await;
        assert!(matches!(answer, Err(PermissionsError::Invalid(_))), "{answer:?}");
    }
}

/// Two paths lead to each workspace; SpiceDB tells some of them twice.
#[rstest]
#[tokio::test]
async fn a_lookup_gives_each_id_once(#[values(Embedded, SpiceDb)] system: System) {
    let system = system.open().await;
    let mut updates = vec![Touch(tuple("account:a#admin@user:ann")), Touch(tuple("account:a#platform@platform:main"))];
    updates.push(Touch(tuple("platform:main#operator@user:ann")));
    for i in 0..300 {
        updates.push(Touch(tuple(&format!("workspace:w{i}#account@account:a"))));
        updates.push(Touch(tuple(&format!("workspace:w{i}#owner@user:ann"))));
    }
    system.write(&updates, &[], &CAUSE).await.unwrap();
    let ann = Object::new("user", "ann");
    let mut found = system.lookup("workspace", "read", &ann, &Consistency::FullyConsistent).await.unwrap();
    assert_eq!(found.len(), 300);
    found.sort();
    found.dedup();
    assert_eq!(found.len(), 300);
    assert!(system.lookup("workspace", "read", &Object::new("user", "bob"), &Consistency::FullyConsistent).await.unwrap().is_empty());
}

#[rstest]
#[tokio::test]
async fn thousands_of_checks_are_answered_in_order(#[values(Embedded, SpiceDb)] system: System) {
    let system = system.open().await;
    system.write(&[Touch(tuple("workspace:w#owner@user:ann"))], &[], &CAUSE).await.unwrap();
    let checks: Vec<_> = (0..2_500)
        .map(|i| asked(&format!("workspace:{}#membership@user:ann", if i % 7 == 0 { "w".to_owned() } else { format!("n{i}") })))
        .collect();
    let answers = system.check(&checks, &Consistency::FullyConsistent).await.unwrap();
    assert_eq!(answers, (0..2_500).map(|i| i % 7 == 0).collect::<Vec<_>>());
    assert_eq!(system.check(&[], &Consistency::FullyConsistent).await.unwrap(), [false; 0]);
}

#[rstest]
#[tokio::test]
async fn it_is_ready(#[values(Embedded, SpiceDb)] system: System) {
    system.open().await.ready().await.unwrap();
}
