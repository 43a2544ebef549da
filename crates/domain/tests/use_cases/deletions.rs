use std::sync::Arc;
use std::time::Duration;

use domain::Error;
use domain::berth::Reply;
use domain::housekeeping::start_purges;
use domain::model::{AccountStatus, WorkspaceStatus};
use domain::permissions::Object;
use domain::ports::{DeleteAnswer, Ended, IfMatch, RestoreAnswer, ToPurge, Workspaces};
use domain::steps::input::PurgeWorkspaceInput;
use domain::workspaces::delete::{delete, restore};
use rstest::rstest;
use saga::RunId;

use crate::runs::live_run;
use crate::world::{ACCOUNT, OTHER, RUN, USER, WORKSPACE, World, caller, ready};

fn world(status: WorkspaceStatus, rights: &[&'static str]) -> Arc<World> {
    let world = World::new();
    world.account(AccountStatus::Active);
    world.workspace(status);
    world.grant(rights.iter().map(|right| (Object::workspace(WORKSPACE), *right)));
    world
}

fn deleted(world: &Arc<World>, if_match: Option<IfMatch>) -> Result<Ended, Error> {
    ready(delete(&world.berth(), &caller(USER), WORKSPACE, if_match))
}

#[test]
fn a_right_is_asked_for_before_a_revision() {
    let error = |rights: &[&'static str]| deleted(&world(WorkspaceStatus::Active, rights), None).unwrap_err();
    assert!(matches!(error(&[]), Error::NotFound { what: "workspace" }));
    assert!(matches!(error(&["read"]), Error::Forbidden { permission: "administer", .. }));
    assert!(matches!(error(&["read", "administer"]), Error::PreconditionRequired));
}

#[test]
fn a_deletion_is_handed_over_with_its_time_and_the_run_that_carries_it() {
    let world = world(WorkspaceStatus::Active, &["read", "administer"]);
    let ended = deleted(&world, Some(IfMatch::Any)).unwrap();
    let deletes = world.deletes.lock().unwrap();
    let [new] = deletes.as_slice() else { panic!("one deletion") };
    assert_eq!((new.by, new.purge_after, ended.apply), (USER, Duration::from_hours(720), Some(new.run.id)));
    assert_eq!((new.run.definition.name.as_str(), new.run.exclusive), ("apply-freezes", false));
    assert_eq!((new.audit.action.as_str(), new.audit.workspace_id), ("workspace.delete", Some(WORKSPACE)));
    assert_eq!(world.wakes(), 1, "the worker is told");
}

#[rstest]
#[case(DeleteAnswer::Gone, |e: &Error| matches!(e, Error::NotFound { .. }))]
#[case(DeleteAnswer::OtherRevision { revision: 7 }, |e: &Error| matches!(e, Error::PreconditionFailed { revision: 7 }))]
#[case(DeleteAnswer::RunInProgress { run: RUN }, |e: &Error| matches!(e, Error::RunInProgress { run: RUN }))]
#[case(DeleteAnswer::NotAllowed { status: WorkspaceStatus::Provisioning }, |e: &Error| matches!(e, Error::InvalidTransition { transition: "delete", .. }))]
#[case(DeleteAnswer::Held(Vec::new()), |e: &Error| matches!(e, Error::Frozen { .. }))]
#[case(DeleteAnswer::Protected, |e: &Error| matches!(e, Error::TerminationProtected))]
fn a_refused_deletion_says_why(#[case] answer: DeleteAnswer, #[case] expected: fn(&Error) -> bool) {
    let world = world(WorkspaceStatus::Active, &["read", "administer"]);
    *world.delete_answer.lock().unwrap() = Some(answer);
    let error = deleted(&world, Some(IfMatch::Any)).unwrap_err();
    assert!(expected(&error), "{error:?}");
    assert_eq!(world.wakes(), 0);
}

#[test]
fn a_restore_hands_its_slug_over_and_a_refused_one_says_why() {
    let world = world(WorkspaceStatus::Deleted, &["read", "administer"]);
    let ask = |slug: &str| ready(restore(&world.berth(), &caller(USER), WORKSPACE, Some(slug.to_owned()), None));
    assert!(matches!(ask("-x").unwrap_err(), Error::Invalid(invalid) if invalid[0].pointer == "/slug"));
    assert!(matches!(ask("sales-2").unwrap(), Reply::Fresh(Ended { apply: Some(_), .. })));
    assert_eq!(world.restores.lock().unwrap()[0].slug.as_deref(), Some("sales-2"));
    *world.restore_answer.lock().unwrap() = Some(RestoreAnswer::NotAllowed { status: WorkspaceStatus::Purging });
    assert!(matches!(ask("x").unwrap_err(), Error::InvalidTransition { transition: "restore", .. }));
}

#[test]
fn a_purge_is_prepared_with_what_the_workspace_was_made_with() {
    let world = world(WorkspaceStatus::Deleted, &[]);
    let workspace = ready(Workspaces::get(&*world, WORKSPACE)).unwrap().unwrap();
    let next = Some(Duration::from_mins(5));
    *world.to_purge.lock().unwrap() = ToPurge { due: vec![workspace.clone()], next };

    let unknown = ready(start_purges(&world.berth())).unwrap();
    assert_eq!(unknown.trouble.iter().map(|t| t.id).collect::<Vec<_>>(), [WORKSPACE], "its run is not there");
    assert!(unknown.next.is_some_and(|again| again < Duration::from_mins(5)));

    let made = live_run(&world);
    world.run(made.clone());
    let done = ready(start_purges(&world.berth())).unwrap();
    assert_eq!((done.next, done.trouble.len(), world.wakes()), (next, 0, 1));
    let purges = world.purges.lock().unwrap();
    let [new] = purges.as_slice() else { panic!("one purge") };
    assert_eq!((new.revision, new.run.definition.name.as_str(), new.run.exclusive), (workspace.revision, "purge-workspace", true));
    let input: PurgeWorkspaceInput = serde_json::from_value(new.run.input.clone()).unwrap();
    assert_eq!((input.workspace_id, input.account_id, input.made_by), (WORKSPACE, ACCOUNT, RUN));
    assert_eq!(serde_json::json!(input.environments), made.run.input["environments"]);
    assert!(new.audit.actor.is_none(), "nobody asked for it now");
    assert_eq!((new.audit.run_id, new.run.created_by), (Some(RunId(new.run.id.0)), OTHER));
}
