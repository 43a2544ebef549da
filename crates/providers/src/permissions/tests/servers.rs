//! Servers of their own: killed and started again over PostgreSQL, keys that rotate, TLS, and one that never answers.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::permissions::Update::Touch;
use domain::permissions::{Check, Consistency, Filter, Object, Permissions, PermissionsError, Precondition, Relationship, Update};
use testkit::spicedb::{Certificate, SpiceDb as Server};
use tokio::sync::watch;

use super::notation::{asked, tuple};
use super::{CAUSE, settings};
use crate::permissions::spicedb::{Key, Settings, SpiceDb};

/// Tries that end soon: what is away is to be found away.
fn impatient(endpoint: &str, key: Key) -> Settings {
    let (each, all) = (Duration::from_millis(300), Duration::from_millis(700));
    Settings { read: (each, all), write: (each, all), ..settings(endpoint, key) }
}

fn question() -> [Check; 1] {
    [asked("workspace:w#administer@user:ann")]
}

/// Waits until `spicedb` answers: for as long as a server may take to start on a busy machine.
async fn answering(spicedb: &SpiceDb) {
    let answers = async {
        while spicedb.schema_differences().await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), answers).await.expect("SpiceDB answers in time");
}

fn viewer(n: usize) -> Relationship {
    tuple(&format!("workspace:w#viewer@user:u{n}"))
}

/// Writes viewers one after the other until told to stop; what was not taken for sure is tried again. Returns those that were
/// acknowledged.
async fn granting(spicedb: Arc<SpiceDb>, stop: Arc<AtomicBool>, acknowledged: watch::Sender<usize>, unsure: watch::Sender<usize>) -> usize {
    let not_sealed = Precondition::MustNotMatch(Filter {
        resource_kind: "workspace".to_owned(),
        resource_id: Some("w".to_owned()),
        relation: Some("sealed".to_owned()),
        subject: Some(Object::new("saga", "r1")),
    });
    let mut n = 0;
    while !stop.load(Ordering::SeqCst) {
        match spicedb.write(&[Touch(viewer(n))], std::slice::from_ref(&not_sealed), &CAUSE).await {
            Ok(_) => {
                n += 1;
                acknowledged.send_replace(n);
            }
            Err(PermissionsError::Unknown(_) | PermissionsError::Unavailable(_)) => {
                unsure.send_modify(|times| *times += 1);
                tokio::task::yield_now().await;
            }
            Err(other) => panic!("an outage is told as {other:?}"),
        }
    }
    n
}

async fn reached(counter: &watch::Sender<usize>, n: usize) {
    let mut seen = counter.subscribe();
    let reached = seen.wait_for(|at| *at >= n);
    tokio::time::timeout(Duration::from_mins(2), reached).await.expect("it goes on").expect("it is counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_and_started_again_on_postgresql_it_keeps_what_it_acknowledged_and_never_says_no_meanwhile() {
    let mut server = Server::on_postgres(&["key"]).await;
    let spicedb = Arc::new(SpiceDb::new(impatient(&server.endpoint, Key::Given("key".to_owned()))).await.unwrap());
    answering(&spicedb).await;
    let patient = SpiceDb::new(settings(&server.endpoint, Key::Given("key".to_owned()))).await.unwrap();
    patient.write_schema().await.unwrap();
    let token = patient.write(&[Touch(tuple("workspace:w#owner@user:ann"))], &[], &CAUSE).await.unwrap();

    let (stop, acknowledged, unsure) = (Arc::default(), watch::Sender::new(0), watch::Sender::new(0));
    let writer = tokio::spawn(granting(spicedb.clone(), Arc::clone(&stop), acknowledged.clone(), unsure.clone()));
    for _ in 0..2 {
        let before = *acknowledged.borrow();
        reached(&acknowledged, before + 20).await;
        let failed = *unsure.borrow();
        server.kill();
        reached(&unsure, failed + 1).await;
        for at in [Consistency::FullyConsistent, Consistency::MinimizeLatency, Consistency::AtLeastAsFresh(token.clone())] {
            let answer = spicedb.check(&question(), &at).await;
            assert!(matches!(answer, Err(PermissionsError::Unavailable(_))), "{answer:?}");
        }
        let found = spicedb.lookup("workspace", "read", &Object::new("user", "ann"), &Consistency::FullyConsistent).await;
        assert!(matches!(found, Err(PermissionsError::Unavailable(_))), "{found:?}");
        assert!(matches!(spicedb.ready().await, Err(PermissionsError::Unavailable(_))));
        server.start();
    }
    let before = *acknowledged.borrow();
    reached(&acknowledged, before + 20).await;
    stop.store(true, Ordering::SeqCst);
    let granted = writer.await.unwrap();

    answering(&spicedb).await;
    assert_eq!(patient.check(&question(), &Consistency::AtLeastAsFresh(token)).await.unwrap(), [true]);
    let viewers = Filter { resource_kind: "workspace".to_owned(), resource_id: None, relation: Some("viewer".to_owned()), subject: None };
    let found = patient.read(&viewers).await.unwrap();
    for n in 0..granted {
        assert!(found.contains(&viewer(n)), "{n} was acknowledged, and is gone");
    }
    assert!(found.len() <= granted + 1, "one write may have been on its way");
}

/// SpiceDB ends each connection after half a minute; here after a twentieth of a second, below calls that never pause.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_ended_in_passing_leaves_nothing_unknown() {
    let server = Server::restless(&["key"], 50);
    let spicedb = Arc::new(SpiceDb::new(settings(&server.endpoint, Key::Given("key".to_owned()))).await.unwrap());
    spicedb.write_schema().await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let spicedb = spicedb.clone();
        writers.spawn(async move {
            for n in 0..150 {
                // A second try of a create that was made would be refused.
                let create = Update::Create(viewer(writer * 1_000 + n));
                spicedb.write(&[create], &[], &CAUSE).await?;
            }
            Ok::<_, PermissionsError>(())
        });
    }
    assert_eq!(writers.join_all().await, vec![Ok(()); 8]);
}

#[tokio::test]
async fn a_key_is_rotated_without_an_outage() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    let replace = |key: &str| {
        let mut new = tempfile::NamedTempFile::new_in(folder.path()).unwrap();
        writeln!(new, "{key}").unwrap();
        new.persist(&file).unwrap();
    };
    replace("old");
    // The server takes both, then the file changes, then the server takes the new one only: two servers stand for the two times.
    let (both, new) = (Server::in_memory(&["old", "new"]), Server::in_memory(&["new"]));
    let before = SpiceDb::new(settings(&both.endpoint, Key::File(file.clone()))).await.unwrap();
    answering(&before).await;
    before.write_schema().await.unwrap();
    let after = SpiceDb::new(impatient(&new.endpoint, Key::File(file.clone()))).await.unwrap();
    let refused = after.check(&question(), &Consistency::FullyConsistent).await;
    assert!(matches!(&refused, Err(PermissionsError::Unavailable(why)) if why.contains("key")), "{refused:?}");
    assert!(matches!(after.write(&[Touch(viewer(1))], &[], &CAUSE).await, Err(PermissionsError::Unavailable(_))));

    replace("new");
    answering(&after).await;
    after.write_schema().await.unwrap();
    assert_eq!(after.check(&question(), &Consistency::FullyConsistent).await.unwrap(), [false]);
    assert_eq!(before.check(&question(), &Consistency::FullyConsistent).await.unwrap(), [false]);
    // A file that is gone leaves the key that was.
    std::fs::remove_file(&file).unwrap();
    assert_eq!(after.check(&question(), &Consistency::FullyConsistent).await.unwrap(), [false]);
}

#[tokio::test]
async fn a_key_is_in_no_text_that_might_be_shown() {
    let secret = "a-secret-that-nobody-may-see";
    assert!(!format!("{:?}", Key::Given(secret.to_owned())).contains(secret));
    let server = Server::in_memory(&["another"]);
    let spicedb = SpiceDb::new(impatient(&server.endpoint, Key::Given(secret.to_owned()))).await.unwrap();
    let refused = spicedb.check(&question(), &Consistency::FullyConsistent).await.unwrap_err();
    assert!(!format!("{refused:?} {refused}").contains(secret));
    for key in ["", "two\nlines"] {
        let wrong = SpiceDb::new(settings(&server.endpoint, Key::Given(key.to_owned()))).await.err().unwrap().to_string();
        assert!(!wrong.contains("lines"), "{wrong}");
    }
}

#[tokio::test]
async fn over_tls_only_the_right_certificate_is_believed() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let server = Server::over_tls(&["key"], &Certificate { chain: &chain, key: &key });
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, pem: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, pem).unwrap();
        path
    };
    let connect = async |endpoint: &str, ca: Option<&std::path::Path>| {
        let settings = Settings { ca: ca.map(Into::into), ..impatient(endpoint, Key::Given("key".to_owned())) };
        SpiceDb::new(settings).await.unwrap()
    };
    let ours = file("ours.pem", &chain);
    let trusting = connect(&server.endpoint, Some(&ours)).await;
    answering(&trusting).await;
    trusting.write_schema().await.unwrap();
    assert_eq!(trusting.check(&question(), &Consistency::FullyConsistent).await.unwrap(), [false]);

    let theirs = file("theirs.pem", &other.cert.pem());
    let plain = server.endpoint.replace("https://", "http://");
    for (endpoint, ca) in [(&server.endpoint, Some(theirs.as_path())), (&server.endpoint, None), (&plain, None)] {
        let doubting = connect(endpoint, ca).await;
        let answer = doubting.check(&question(), &Consistency::FullyConsistent).await;
        assert!(matches!(answer, Err(PermissionsError::Unavailable(_))), "{endpoint} with {ca:?}: {answer:?}");
    }
}

/// Catches a call without a deadline: whoever listens takes the connection, and never says a word.
#[tokio::test]
async fn what_never_answers_is_away_for_a_check_and_unknown_for_a_write() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let listening = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = silent.accept().await {
            held.push(stream);
        }
    });
    let spicedb = SpiceDb::new(impatient(&endpoint, Key::Given("key".to_owned()))).await.unwrap();
    let calls = async {
        let answer = spicedb.check(&question(), &Consistency::FullyConsistent).await;
        assert!(matches!(answer, Err(PermissionsError::Unavailable(_))), "{answer:?}");
        let answer = spicedb.lookup("workspace", "read", &Object::new("user", "ann"), &Consistency::FullyConsistent).await;
        assert!(matches!(answer, Err(PermissionsError::Unavailable(_))), "{answer:?}");
        let answer = spicedb.write(&[Touch(viewer(1))], &[], &CAUSE).await;
        assert!(matches!(answer, Err(PermissionsError::Unknown(_))), "{answer:?}");
    };
    tokio::time::timeout(Duration::from_mins(1), calls).await.expect("each call ends by its own deadline");
    listening.abort();

    // Where nobody listens, a write cannot have been made.
    let nobody = SpiceDb::new(impatient("unix:/tmp/berth-nobody-listens-here", Key::Given("key".to_owned()))).await.unwrap();
    let answer = nobody.write(&[Touch(viewer(1))], &[], &CAUSE).await;
    assert!(matches!(answer, Err(PermissionsError::Unavailable(_))), "{answer:?}");
}
