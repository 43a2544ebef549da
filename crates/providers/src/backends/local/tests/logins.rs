//! Logins that freezes shut and open, in every order that the orders can come in.

use domain::ports::LoginAnswer::{Absent, NewerStands, Set};

use super::*;

impl World {
    async fn order(&self, spec: &BackendSpec, open: bool, revision: i64) -> LoginAnswer {
        self.local.set_login(spec, open, revision, &self.stop).await.unwrap()
    }

    fn login_of(&self, spec: &BackendSpec) -> Login {
        self.existing().into_iter().find(|e| e.id == spec.id).unwrap().login
    }
}

fn is_frozen(answer: Result<(), CallError>) -> bool {
    matches!(answer, Err(CallError::Failed(f)) if f == login_frozen() && f.retryable)
}

#[tokio::test]
async fn a_shut_login_is_refused_as_frozen_until_it_is_opened_and_survives_a_restart() {
    let w = world();
    let spec = spec(1, 0xb0);
    w.create(&spec).await.unwrap();
    assert_eq!(w.login_of(&spec), Login { revision: 0, open: true });
    assert_eq!(w.order(&spec, false, 1).await, Set);
    assert!(is_frozen(w.login(&spec).await));
    assert_eq!(w.names(), [spec.id.to_string()]);
    let mode = fs::metadata(w.path(&spec).join("login")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);

    let again = World { local: Arc::new(open(w.folder.path()).unwrap()), folder: w.folder, stop: w.stop };
    assert!(is_frozen(again.login(&spec).await));
    assert_eq!(again.order(&spec, true, 2).await, Set);
    again.login(&spec).await.unwrap();
    assert_eq!(again.login_of(&spec), Login { revision: 2, open: true });
}

#[tokio::test]
async fn of_two_orders_the_newer_one_stands_whichever_comes_last() {
    let w = world();
    let spec = spec(1, 0xb0);
    w.create(&spec).await.unwrap();
    assert_eq!(w.order(&spec, false, 7).await, Set);
    for (open, revision) in [(true, 6), (true, 0), (false, 1)] {
        assert_eq!(w.order(&spec, open, revision).await, NewerStands);
        assert_eq!(w.login_of(&spec), Login { revision: 7, open: false });
    }
    assert_eq!(w.order(&spec, false, 7).await, Set, "the same again is a success");
    // Within a revision freezes only expire.
    assert_eq!(w.order(&spec, true, 7).await, Set);
    assert_eq!(w.order(&spec, false, 7).await, NewerStands);
    w.login(&spec).await.unwrap();
}

#[tokio::test]
async fn orders_that_meet_end_as_the_newest_has_it() {
    let w = Arc::new(world());
    let spec = spec(1, 0xb0);
    w.create(&spec).await.unwrap();
    let orders: Vec<_> = (1..=40)
        .rev()
        .map(|revision| {
            let (w, spec) = (w.clone(), spec.clone());
            tokio::spawn(async move { w.order(&spec, revision % 2 == 0, revision).await })
        })
        .collect();
    for order in orders {
        assert!(matches!(order.await.unwrap(), Set | NewerStands));
    }
    assert_eq!(w.login_of(&spec), Login { revision: 40, open: true });
}

#[tokio::test]
async fn where_nothing_of_the_run_stands_there_is_nothing_to_shut() {
    let w = world();
    let (made, other) = (spec(1, 0xb0), spec(2, 0xb0));
    assert_eq!(w.order(&made, false, 1).await, Absent);
    assert_eq!(w.names(), [""; 0], "and nothing is left behind");
    w.create(&made).await.unwrap();
    assert_eq!(w.order(&other, false, 1).await, Absent, "another run's is left alone");
    w.login(&made).await.unwrap();
    w.drop(&made).await.unwrap();
    assert_eq!(w.order(&made, false, 2).await, Absent, "a seal is no login");
    assert_eq!(w.existing(), []);
}

#[tokio::test]
async fn a_create_that_comes_again_leaves_a_shut_login_shut() {
    let w = world();
    let spec = spec(1, 0xb0);
    w.create(&spec).await.unwrap();
    w.order(&spec, false, 1).await;
    w.create(&spec).await.unwrap();
    assert!(is_frozen(w.login(&spec).await));
}

#[tokio::test]
async fn what_a_process_that_died_had_half_written_is_no_login() {
    let w = world();
    let spec = spec(1, 0xb0);
    w.create(&spec).await.unwrap();
    fs::write(w.path(&spec).join(".login-new"), "{\"revi").unwrap();
    w.login(&spec).await.unwrap();
    assert_eq!(w.order(&spec, false, 1).await, Set);
    assert!(is_frozen(w.login(&spec).await));
}

#[tokio::test]
async fn a_login_that_nobody_wrote_is_shown_to_a_person_and_opens_nothing() {
    let w = world();
    let spec = spec(1, 0xb0);
    w.create(&spec).await.unwrap();
    fs::write(w.path(&spec).join("login"), "open").unwrap();
    assert_eq!(refused(w.login(&spec).await), "backend_corrupt");
    assert_eq!(refused(w.local.set_login(&spec, true, 1, &w.stop).await), "backend_corrupt");
    assert!(w.local.inventory().is_err());
}

/// The lock is the folder's, so that other processes heed it too.
#[tokio::test]
async fn an_order_waits_for_another_processs_order_and_does_nothing_before() {
    let w = world();
    let spec = spec(1, 0xb0);
    w.create(&spec).await.unwrap();
    let theirs = fs::File::open(w.path(&spec)).unwrap();
    theirs.try_lock().unwrap();
    let place = w.local.place(&spec).unwrap();
    assert_eq!(set_login_in_turn(&place, &mark(&spec), Login { revision: 1, open: false }).unwrap(), None);
    assert_eq!(w.login_of(&spec), Login { revision: 0, open: true });
    let ordered = {
        let (local, spec, stop) = (w.local.clone(), spec.clone(), w.stop.clone());
        tokio::spawn(async move { local.set_login(&spec, false, 1, &stop).await })
    };
    drop(theirs);
    assert_eq!(ordered.await.unwrap().unwrap(), Set);
    assert_eq!(w.login_of(&spec), Login { revision: 1, open: false });
}
