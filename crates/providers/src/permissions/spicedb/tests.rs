//! What the adapter makes of SpiceDB's answers, those among them that a real one gives seldom.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::permissions::Relationship;
use domain::permissions::Update::Touch;
use prost_types::value::Kind;
use rstest::rstest;
use saga::RunId;
use spicedb_grpc_tonic::v1::watch_service_client::WatchServiceClient;
use tonic::Request;
use tonic_types::{ErrorDetails, StatusExt as _};
use uuid::Uuid;

use super::*;
use crate::permissions::tests::notation::{asked, tuple};
use crate::permissions::tests::spicedb;

const LIMITS: Limits = Limits { each: Duration::from_mins(1), all: Duration::from_mins(2) };

/// A caller that never gets to its connection: tests answer in its place.
async fn caller() -> Caller {
    let connection = Connection::new("http://127.0.0.1:9", None).await.unwrap();
    Caller::new(connection, Key::Given("key".to_owned()).open().await.unwrap(), Arc::new(|| 0.0))
}

/// Answers with each of these in turn; then well.
async fn called(caller: &Caller, retry: Retry, answers: Vec<Status>) -> (Result<&'static str, Failed>, usize) {
    let answers = Mutex::new(VecDeque::from(answers));
    let tries = Cell::new(0);
    let answer = caller
        .call(&LIMITS, retry, (), |_, _: Request<()>| {
            tries.set(tries.get() + 1);
            let next = answers.lock().unwrap().pop_front();
            async move { next.map_or(Ok("well"), Err) }
        })
        .await;
    (answer, tries.get())
}

fn with_reason(code: Code, reason: &str, metadata: HashMap<String, String>) -> Status {
    Status::with_error_details(code, "told", ErrorDetails::with_error_info(reason, "authzed.com", metadata))
}

#[rstest]
#[case::away(Code::Unavailable, true)]
#[case::overloaded(Code::ResourceExhausted, true)]
#[case::too_late(Code::DeadlineExceeded, true)]
#[case::aborted(Code::Aborted, true)]
#[case::what_tonic_calls_its_own_timeout(Code::Cancelled, true)]
#[case::a_bug_of_theirs(Code::Internal, false)]
#[case::ours(Code::InvalidArgument, false)]
#[case::a_precondition(Code::FailedPrecondition, false)]
#[case::a_key_that_does_not_change(Code::Unauthenticated, false)]
#[tokio::test]
async fn what_may_heal_is_tried_again(#[case] code: Code, #[case] again: bool) {
    let (answer, tries) = called(&caller().await, Retry::Freely, vec![Status::new(code, "x")]).await;
    assert_eq!((answer.is_ok(), tries), (again, if again { 2 } else { 1 }));
}

#[tokio::test]
async fn an_outage_is_not_answered_with_ever_more_calls() {
    let caller = caller().await;
    let mut tries = 0;
    for _ in 0..40 {
        let (answer, n) = called(&caller, Retry::Freely, vec![Status::aborted("x"); 2]).await;
        assert!(answer.is_ok() || n == 1 || n == 2);
        tries += n;
    }
    // Forty calls, twenty further tries, and what the successes among them gave back.
    assert!((60..=64).contains(&tries), "{tries} tries");
}

#[rstest]
#[case(Code::Unavailable)]
#[case(Code::DeadlineExceeded)]
#[case(Code::Cancelled)]
#[case(Code::Internal)]
#[case(Code::Unknown)]
fn a_write_whose_fate_is_open_is_unknown_and_a_check_is_unavailable(#[case] code: Code) {
    let status = Status::new(code, "x");
    assert!(matches!(fault::of_read(&status), PermissionsError::Unavailable(_)));
    assert!(matches!(fault::of_write(&status.into(), &[]), PermissionsError::Unknown(_)));
}

#[rstest]
#[case::aborted(Status::aborted("x"))]
#[case::overloaded(Status::resource_exhausted("x"))]
#[case::the_key(Status::unauthenticated("x"))]
#[case::the_key_too(Status::permission_denied("x"))]
fn a_write_that_was_not_made_is_unavailable(#[case] status: Status) {
    assert!(matches!(fault::of_read(&status), PermissionsError::Unavailable(_)));
    assert!(matches!(fault::of_write(&status.into(), &[]), PermissionsError::Unavailable(_)));
}

#[rstest]
#[case(Status::invalid_argument("x"))]
#[case(with_reason(Code::FailedPrecondition, "ERROR_REASON_UNKNOWN_RELATION_OR_PERMISSION", HashMap::new()))]
#[case(with_reason(Code::FailedPrecondition, "ERROR_REASON_UNKNOWN_DEFINITION", HashMap::new()))]
#[case(with_reason(Code::ResourceExhausted, "ERROR_REASON_MAXIMUM_DEPTH_EXCEEDED", HashMap::new()))]
fn what_the_schema_does_not_know_is_invalid(#[case] status: Status) {
    assert!(matches!(fault::of_read(&status), PermissionsError::Invalid(_)));
    assert!(matches!(fault::of_write(&status.into(), &[]), PermissionsError::Invalid(_)));
}

/// The first try of it may have made the tuple, or the seal, that the second one is refused for.
#[tokio::test]
async fn a_refusal_after_a_try_that_may_have_been_made_is_unknown() {
    let caller = caller().await;
    for first in [Status::unavailable("x"), Status::cancelled("x"), Status::deadline_exceeded("x")] {
        let (answer, _) = called(&caller, Retry::Harmlessly, vec![first, Status::already_exists("x")]).await;
        let Err(failed) = answer else { panic!("it was refused") };
        assert!(matches!(fault::of_write(&failed, &[]), PermissionsError::Unknown(_)));
    }
    let (answer, _) = called(&caller, Retry::Harmlessly, vec![Status::aborted("x"), Status::already_exists("x")]).await;
    let Err(failed) = answer else { panic!("it was refused") };
    assert_eq!(fault::of_write(&failed, &[]), PermissionsError::AlreadyExists, "what was aborted was not made");
}

/// Outcomes in another order, or one too few, must not give one's rights to another.
#[test]
fn an_answer_that_does_not_fit_its_question_is_no_answer() {
    let asked: Vec<_> = ["workspace:w#read@user:ann", "workspace:w#write@user:ann"].map(|c| wire::check(&asked(c)).unwrap()).to_vec();
    let pair = |item: &v1::CheckBulkPermissionsRequestItem, permissionship: i32| v1::CheckBulkPermissionsPair {
        request: Some(item.clone()),
        response: Some(v1::check_bulk_permissions_pair::Response::Item(v1::CheckBulkPermissionsResponseItem {
            permissionship,
            ..v1::CheckBulkPermissionsResponseItem::default()
        })),
    };
    let (no, yes, conditional) = (1, 2, 3);
    assert_eq!(wire::answers(&asked, vec![pair(&asked[0], yes), pair(&asked[1], no)]).unwrap(), [true, false]);
    for wrong in [
        vec![pair(&asked[0], yes)],
        vec![pair(&asked[1], yes), pair(&asked[0], no)],
        vec![pair(&asked[0], yes), pair(&asked[1], conditional)],
        vec![pair(&asked[0], yes), pair(&asked[1], 0)],
        vec![pair(&asked[0], yes), v1::CheckBulkPermissionsPair { request: Some(asked[1].clone()), response: None }],
    ] {
        assert!(wire::answers(&asked, wrong).is_err());
    }
}

#[tokio::test]
async fn a_token_that_spicedb_cannot_serve_is_answered_fully_consistent() {
    let spicedb = spicedb().await;
    spicedb.write(&[Touch(tuple("workspace:w#owner@user:ann"))], &[], &Cause::Hand("test")).await.unwrap();
    let question = [asked("workspace:w#administer@user:ann")];
    // One of the embedded permission system, one of nobody, and one of the far future of another store.
    for token in ["17", "nonsense", "GhUKEzE5OTk5OTk5OTk5OTk5OTk5OTk="] {
        let answer = spicedb.check(&question, &Consistency::AtLeastAsFresh(token.to_owned())).await;
        assert_eq!(answer.unwrap(), [true], "{token}");
    }
    let tries = Cell::new(0);
    let at_least = Consistency::AtLeastAsFresh("t".to_owned());
    let answer = spicedb.read_at(&at_least, |at| {
        tries.set(tries.get() + 1);
        let full = at == wire::consistency(&Consistency::FullyConsistent);
        async move { if full { Ok("full") } else { Err(Failed::from(Status::out_of_range("too old"))) } }
    });
    assert_eq!((answer.await.unwrap(), tries.get()), ("full", 2));
}

#[tokio::test]
async fn a_lookup_above_the_cap_says_so() {
    let key = Key::Given(Uuid::new_v4().to_string());
    let wide = SpiceDb::new(crate::permissions::tests::settings(testkit::spicedb::shared(), key.clone())).await.unwrap();
    wide.write_schema().await.unwrap();
    let owned: Vec<_> = (0..12).map(|n| Touch(tuple(&format!("workspace:w{n}#owner@user:ann")))).collect();
    wide.write(&owned, &[], &Cause::Hand("test")).await.unwrap();
    for (cap, found) in [(11, Err(PermissionsError::TooMany { most: 11 })), (12, Ok(12))] {
        let settings = Settings { lookup_max: cap, ..crate::permissions::tests::settings(testkit::spicedb::shared(), key.clone()) };
        let narrow = SpiceDb::new(settings).await.unwrap();
        let ids = narrow.lookup("workspace", "read", &Object::new("user", "ann"), &Consistency::FullyConsistent).await;
        assert_eq!(ids.map(|ids| ids.len()), found);
    }
}

#[tokio::test]
async fn a_transaction_tells_which_attempt_of_which_step_made_it() {
    let spicedb = spicedb().await;
    let first = spicedb.write(&[Touch(tuple("workspace:w#owner@user:ann"))], &[], &Cause::Hand("test")).await.unwrap();
    let run = RunId(Uuid::from_u128(7));
    let cause = Cause::Step { run, step: "write-relationships".to_owned(), attempt: 3 };
    let grant: Relationship = tuple("workspace:w#viewer@user:bob");
    spicedb.write(&[Touch(grant)], &[], &cause).await.unwrap();

    let told = spicedb
        .caller
        .call(&LIMITS, Retry::Freely, (), |to, request: Request<()>| {
            let since =
                v1::WatchRequest { optional_start_cursor: Some(v1::ZedToken { token: first.clone() }), ..v1::WatchRequest::default() };
            let (metadata, ..) = request.into_parts();
            let request = Request::from_parts(metadata, tonic::Extensions::default(), since);
            async move { to.watch().watch(request).await?.into_inner().message().await }
        })
        .await;
    let told = told.ok().flatten().unwrap().optional_transaction_metadata.unwrap().fields;
    let text = |key: &str| match told.get(key).and_then(|v| v.kind.clone()) {
        Some(Kind::StringValue(text)) => text,
        Some(Kind::NumberValue(number)) => number.to_string(),
        other => panic!("{key}: {other:?}"),
    };
    assert_eq!([text("run"), text("step"), text("attempt")], [run.to_string(), "write-relationships".to_owned(), "3".to_owned()]);
}

impl connection::Clients {
    fn watch(&self) -> WatchServiceClient<tonic::transport::Channel> {
        WatchServiceClient::new(self.channel())
    }
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_with_what_would() {
    let key = || Key::Given("key".to_owned());
    let jitter: Arc<dyn Fn() -> f64 + Send + Sync> = Arc::new(|| 0.5);
    for endpoint in ["localhost:50051", "ftp://localhost:1", "https://", ""] {
        let wrong = SpiceDb::new(Settings::new(endpoint, key(), jitter.clone())).await.err().map(|e| e.to_string());
        assert!(wrong.as_deref().is_some_and(|w| w.contains("http://HOST:PORT")), "{endpoint}: {wrong:?}");
    }
    let nowhere = PathBuf::from("/nowhere/at/all");
    let settings = Settings { ca: Some(nowhere.clone()), ..Settings::new("https://localhost:1", key(), jitter.clone()) };
    assert!(SpiceDb::new(settings).await.err().unwrap().to_string().contains("/nowhere/at/all"));
    let settings = Settings { ca: Some(nowhere.clone()), ..Settings::new("http://localhost:1", key(), jitter.clone()) };
    assert!(SpiceDb::new(settings).await.err().unwrap().to_string().contains("https"));
    let settings = Settings::new("http://localhost:1", Key::File(nowhere), jitter);
    assert!(SpiceDb::new(settings).await.err().unwrap().to_string().contains("/nowhere/at/all"));
}
