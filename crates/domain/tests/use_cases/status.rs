//! Freezing and unfreezing: who may, what is handed to the store, what is answered.

use std::sync::Arc;

use domain::Error;
use domain::model::{AccountStatus, FreezeMode, FreezeSource, WorkspaceStatus};
use domain::permissions::Object;
use domain::ports::{FreezeAnswer, FreezeChange, IfMatch};
use domain::workspaces::status::{ChildKind, Request, Wanted, change};
use rstest::rstest;
use saga::Time;
use serde_json::json;

use crate::runs::live_run;
use crate::world::{ACCOUNT, USER, WORKSPACE, World, caller, ready};

fn freeze() -> Request {
    let reason = Some(("unpaid".to_owned(), Some(" Ada, again ".to_owned())));
    Request { wanted: Wanted::Frozen, source: None, sources: None, mode: None, reason, expires_at: None }
}

fn unfreeze() -> Request {
    Request { wanted: Wanted::Active, source: None, sources: None, mode: None, reason: None, expires_at: None }
}

fn of(source: FreezeSource) -> [Request; 2] {
    [Request { source: Some(source), ..freeze() }, Request { sources: Some(vec![source]), ..unfreeze() }]
}

/// An active workspace on which the caller has these rights, and on the platform these.
fn world(rights: &[&'static str], on_platform: &[&'static str]) -> Arc<World> {
    let world = World::new();
    world.account(AccountStatus::Active);
    world.workspace(WorkspaceStatus::Active);
    world.grant(rights.iter().map(|right| (Object::workspace(WORKSPACE), *right)));
    world.grant(on_platform.iter().map(|right| (Object::platform(), *right)));
    world
}

fn ask(world: &Arc<World>, request: Request) -> Result<domain::workspaces::status::View, Error> {
    ready(change(&world.berth(), &caller(USER), WORKSPACE, request, None))
}

/// Expected: of the account admin's own freeze, of any other, of both at once.
#[rstest]
#[case::a_stranger(&[], &[], ["not found", "not found", "not found"])]
#[case::a_reader(&["read"], &[], ["on the workspace", "on the platform", "on the workspace"])]
#[case::an_administrator(&["read", "administer"], &[], ["done", "on the platform", "on the platform"])]
#[case::a_reader_of_the_platform(&["read"], &["read"], ["on the workspace", "on the platform", "on the workspace"])]
#[case::an_operator(&["read", "administer"], &["administer"], ["done", "done", "done"])]
fn nobody_lifts_what_he_could_not_set(#[case] rights: &[&'static str], #[case] on_platform: &[&'static str], #[case] expected: [&str; 3]) {
    let answer = |request: Request| match ask(&world(rights, on_platform), request) {
        Ok(_) => "done".to_owned(),
        Err(Error::NotFound { what: "workspace" }) => "not found".to_owned(),
        Err(Error::Forbidden { what, permission: "administer" }) => format!("on the {what}"),
        Err(other) => panic!("{other:?}"),
    };
    for request in of(FreezeSource::AccountAdmin).into_iter().chain([freeze(), unfreeze()]) {
        assert_eq!(answer(request), expected[0]);
    }
    for source in [FreezeSource::Billing, FreezeSource::Platform, FreezeSource::Security, FreezeSource::Legal] {
        for request in of(source) {
            assert_eq!(answer(request), expected[1], "{source:?}");
        }
        assert_eq!(answer(Request { sources: Some(vec![source, FreezeSource::AccountAdmin]), ..unfreeze() }), expected[2]);
    }
}

#[test]
fn a_freeze_is_handed_over_with_its_run_and_its_entry() {
    let world = world(&["read", "administer"], &[]);
    world.run(live_run(&world));
    let view = ask(&world, freeze()).unwrap();
    let new = world.freeze_changes.lock().unwrap().pop().unwrap();
    let (code, note) = ("unpaid".to_owned(), Some("Ada, again".to_owned()));
    let expected = FreezeChange::Freeze { source: FreezeSource::AccountAdmin, mode: FreezeMode::ReadOnly, code, note, expires_at: None };
    assert_eq!((new.change, new.by), (expected, USER));
    assert_eq!((new.run.definition.name.as_str(), new.run.exclusive), ("apply-freezes", false));
    assert_eq!(new.run.input, json!({"workspace_id": WORKSPACE, "account_id": ACCOUNT}));
    assert_eq!((new.audit.action.as_str(), new.audit.account_id, new.audit.workspace_id), ("workspace.freeze", ACCOUNT, Some(WORKSPACE)));
    assert_eq!(new.audit.reason.unwrap().value.as_deref(), Some("Ada, again"));
    assert_eq!(world.wakes(), 1);
    assert_eq!((view.run, view.workspace.freezes.len()), (Some(new.run.id), 1));
    let children: Vec<_> = view.children.iter().map(|child| (child.kind, child.id.is_some())).collect();
    assert_eq!(children, [(ChildKind::BackendWorkspace, true), (ChildKind::Tokens, false)], "those that its run makes");
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let pointers = |request: Request| match ask(&world(&["read", "administer"], &["administer"]), request) {
        Err(Error::Invalid(invalid)) => invalid.into_iter().map(|i| i.pointer).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let reason = |code: &str, note: &str| Some((code.to_owned(), Some(note.to_owned())));
    let sources = Some(vec![FreezeSource::Legal]);
    assert_eq!(pointers(Request { reason: None, sources, ..freeze() }), ["/sources", "/reason"]);
    assert_eq!(pointers(Request { reason: reason("Unpaid", "\u{7}"), ..freeze() }), ["/reason/code", "/reason/note"]);
    assert_eq!(pointers(Request { source: Some(FreezeSource::Deletion), ..freeze() }), ["/source"]);
    assert_eq!(pointers(Request { sources: Some(vec![FreezeSource::Deletion]), ..unfreeze() }), ["/sources"]);
    assert_eq!(pointers(Request { sources: Some(vec![]), ..unfreeze() }), ["/sources"]);
    let given = Request { wanted: Wanted::Active, expires_at: Some(Time::from_micros(1)), mode: Some(FreezeMode::Blocked), ..freeze() };
    assert_eq!(pointers(given), ["/mode", "/reason", "/expires_at"]);
}

#[test]
fn what_the_store_refuses_is_told() {
    let world = world(&["read", "administer"], &[]);
    let answered = |answer| {
        *world.freeze_answer.lock().unwrap() = Some(answer);
        ready(change(&world.berth(), &caller(USER), WORKSPACE, freeze(), Some(IfMatch::Any))).unwrap_err()
    };
    assert!(matches!(answered(FreezeAnswer::OtherRevision { revision: 7 }), Error::PreconditionFailed { revision: 7 }));
    let refused = answered(FreezeAnswer::NotAllowed { status: WorkspaceStatus::Failed });
    assert!(matches!(refused, Error::InvalidTransition { status: "failed", transition: "freeze", .. }), "{refused:?}");
    let Error::Invalid(invalid) = answered(FreezeAnswer::ExpiresOutOfRange { now: Time::from_micros(0) }) else { panic!() };
    assert_eq!(invalid[0].pointer, "/expires_at");
    assert_eq!(world.freeze_changes.lock().unwrap()[0].if_match, Some(IfMatch::Any));
    assert_eq!(world.wakes(), 0);
}

/// Frozen and blocked as it is, who administers it can lift it.
#[test]
fn a_blocking_freeze_does_not_keep_itself() {
    let world = world(&["read", "administer"], &[]);
    world.freeze(FreezeSource::AccountAdmin, FreezeMode::Blocked);
    assert!(ask(&world, unfreeze()).unwrap().workspace.freezes.is_empty());
}
