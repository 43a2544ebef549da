use domain::Error;
use domain::audit::read::of_workspace;
use domain::model::{AccountStatus, FreezeMode, FreezeSource, WorkspaceStatus};
use domain::permissions::{Consistency, Object};
use domain::ports::{AuditFilter, AuditPage, Page, WorkspaceFilter};
use domain::workspaces::read::{authorize_read, by_account, environments, get, mine};
use rstest::rstest;
use uuid::Uuid;

use crate::runs::live_run;
use crate::world::{ACCOUNT, SEEN, USER, WORKSPACE, World, caller, ready};

const ON_ACCOUNT: [WorkspaceStatus; 3] = [WorkspaceStatus::Provisioning, WorkspaceStatus::Failed, WorkspaceStatus::Purging];
const ENTRIES: AuditPage = AuditPage { above: None, below: None, oldest_first: false, limit: 50 };
const PAGE: Page = Page { after: None, limit: 10 };

fn on_account(permission: &'static str) -> (Object, &'static str) {
    (Object::account(ACCOUNT), permission)
}

fn on_workspace(permission: &'static str) -> (Object, &'static str) {
    (Object::workspace(WORKSPACE), permission)
}

/// Catches an answer that is older than the account's token, or than a change of a role, both of which are read after the row.
#[rstest]
#[case::all_that_counts_is_in_the_row(WorkspaceStatus::Active, false, true)]
#[case::a_role_was_changed_lately(WorkspaceStatus::Active, true, false)]
#[case::the_accounts_relationships_count(WorkspaceStatus::Provisioning, false, false)]
fn the_revision_of_the_row_is_new_enough_where_nothing_newer_counts(
    #[case] status: WorkspaceStatus,
    #[case] unsettled: bool,
    #[case] is_enough: bool,
) {
    let world = World::new();
    world.account(AccountStatus::Active);
    world.workspace(status);
    world.workspaces.lock().unwrap().get_mut(&WORKSPACE).unwrap().roles_unsettled = unsettled;
    world.grant([on_workspace("read"), on_account("read_workspaces")]);
    ready(get(&world.berth(), &caller(USER), WORKSPACE)).unwrap();
    assert_eq!(*world.seen.lock().unwrap(), if is_enough { vec![SEEN] } else { vec![] });
}

/// Catches the use of a workspace's relationships while a saga is still writing them or has taken them away.
#[rstest]
#[case::nothing(&[], false, false)]
#[case::read_on_the_workspace(&[on_workspace("read")], false, true)]
#[case::read_workspaces_on_the_account(&[on_account("read_workspaces")], true, false)]
#[case::read_on_the_account(&[on_account("read")], false, false)]
fn a_workspace_is_authorized_on_its_account_until_it_is_active_after_it_failed_and_while_it_is_purged(
    #[case] rights: &[(Object, &'static str)],
    #[case] sees_on_account: bool,
    #[case] sees_on_workspace: bool,
) {
    for status in WorkspaceStatus::ALL {
        let world = World::new();
        world.account(AccountStatus::Active);
        world.workspace(*status);
        world.grant(rights.iter().cloned());
        let (berth, caller) = (world.berth(), caller(USER));
        let expected = if ON_ACCOUNT.contains(status) { sees_on_account } else { sees_on_workspace };
        let seen = |answer: Result<(), Error>| match answer {
            Ok(()) => true,
            Err(Error::NotFound { what: "workspace" }) => false,
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(seen(ready(get(&berth, &caller, WORKSPACE)).map(drop)), expected, "get, {status:?}");
        assert_eq!(seen(ready(environments(&berth, &caller, WORKSPACE)).map(drop)), expected, "environments, {status:?}");
        assert_eq!(
            seen(ready(of_workspace(&berth, &caller, WORKSPACE, &AuditFilter::default(), ENTRIES)).map(drop)),
            expected,
            "audit, {status:?}"
        );
        assert_eq!(seen(ready(authorize_read(&berth, &caller, WORKSPACE))), expected, "pillars, {status:?}");
        assert!(!seen(ready(get(&berth, &caller, Uuid::from_u128(9))).map(drop)), "one that is not there");
    }
}

#[rstest]
#[case(WorkspaceStatus::Active, "token of the workspace")]
#[case(WorkspaceStatus::Provisioning, "token of the account")]
fn a_row_is_read_as_fresh_as_its_token_and_the_audit_log_fully_consistent(#[case] status: WorkspaceStatus, #[case] token: &str) {
    let world = World::new();
    world.account(AccountStatus::Active);
    world.workspace(status);
    world.grant([on_workspace("read"), on_account("read_workspaces")]);
    ready(get(&world.berth(), &caller(USER), WORKSPACE)).unwrap();
    ready(of_workspace(&world.berth(), &caller(USER), WORKSPACE, &AuditFilter::default(), ENTRIES)).unwrap();
    let expected = [Consistency::AtLeastAsFresh(token.to_owned()), Consistency::FullyConsistent];
    assert_eq!(*world.asked.lock().unwrap(), expected);
}

#[rstest]
#[case::reads(&["read_workspaces"], false, &["read", "audit"])]
#[case::administers(&["read_workspaces", "administer"], false, &["read", "audit", "update", "cancel", "freeze"])]
#[case::operates(&["read_workspaces", "administer"], true, &["read", "audit", "update", "cancel", "abandon", "freeze"])]
fn allowed_actions_are_those_that_the_caller_may_and_the_run_takes(
    #[case] rights: &[&'static str],
    #[case] operator: bool,
    #[case] expected: &[&str],
) {
    let world = World::new();
    world.account(AccountStatus::Active);
    world.workspace(WorkspaceStatus::Provisioning);
    world.run(live_run(&world));
    world.grant(rights.iter().map(|right| on_account(right)));
    world.grant(operator.then(|| (Object::platform(), "administer")));
    let view = ready(get(&world.berth(), &caller(USER), WORKSPACE)).unwrap();
    assert_eq!(view.allowed_actions, expected);
    assert!(view.run.is_some());
}

/// Three rows: one active, one provisioning, one failed; ids 1, 2 and 3.
fn three_rows() -> std::sync::Arc<World> {
    let world = World::new();
    world.account(AccountStatus::Active);
    for (id, status) in [(1, WorkspaceStatus::Active), (2, WorkspaceStatus::Provisioning), (3, WorkspaceStatus::Failed)] {
        world.workspace_of(Uuid::from_u128(id), status);
    }
    world
}

fn ids(listed: &domain::paging::Listed<domain::model::Workspace>) -> Vec<u128> {
    listed.items.iter().map(|w| w.id.as_u128()).collect()
}

#[rstest]
#[case::only_the_row(&[], &[])]
#[case::a_member(&[(Object::workspace(Uuid::from_u128(1)), "membership")], &[1])]
#[case::an_operator_without_membership(&[(Object::workspace(Uuid::from_u128(1)), "read")], &[])]
#[case::the_accounts_admin(&[(Object::workspace(Uuid::from_u128(1)), "membership"), on_account("read_workspaces")], &[1, 2, 3])]
fn my_workspaces_are_those_whose_membership_still_holds(#[case] rights: &[(Object, &'static str)], #[case] expected: &[u128]) {
    let world = three_rows();
    world.grant(rights.iter().cloned());
    let listed = ready(mine(&world.berth(), &caller(USER), &WorkspaceFilter::default(), PAGE)).unwrap();
    assert_eq!(ids(&listed), expected);
    assert!(world.asked.lock().unwrap().iter().all(|c| *c == Consistency::FullyConsistent));
}

#[rstest]
#[case::all(&[on_account("read"), on_account("read_workspaces")], &[1, 2, 3])]
#[case::a_plain_member_sees_his_own(&[on_account("read"), (Object::workspace(Uuid::from_u128(1)), "read")], &[1])]
#[case::a_plain_member_without_any(&[on_account("read")], &[])]
fn an_accounts_workspaces_are_all_or_the_callers_own(#[case] rights: &[(Object, &'static str)], #[case] expected: &[u128]) {
    let world = three_rows();
    world.grant(rights.iter().cloned());
    let listed = ready(by_account(&world.berth(), &caller(USER), ACCOUNT, &WorkspaceFilter::default(), PAGE)).unwrap();
    assert_eq!(ids(&listed), expected);
}

#[rstest]
#[case::a_stranger(AccountStatus::Active, crate::world::OTHER, false)]
#[case::its_creator_without_rights(AccountStatus::Active, USER, false)]
#[case::a_stranger_to_an_account_in_the_making(AccountStatus::Provisioning, crate::world::OTHER, false)]
#[case::the_creator_of_an_account_in_the_making(AccountStatus::Provisioning, USER, true)]
fn an_account_that_the_caller_may_not_read_is_not_found(
    #[case] status: AccountStatus,
    #[case] created_by: domain::Principal,
    #[case] found: bool,
) {
    let world = World::new();
    world.account_of(ACCOUNT, status, created_by);
    match ready(by_account(&world.berth(), &caller(USER), ACCOUNT, &WorkspaceFilter::default(), PAGE)) {
        Ok(listed) => assert!(found && listed.items.is_empty()),
        Err(Error::NotFound { what: "account" }) => assert!(!found),
        Err(other) => panic!("{other:?}"),
    }
}

#[rstest]
#[case::of_the_account_admin(FreezeSource::AccountAdmin, false, &["read", "audit", "delete", "freeze", "unfreeze"])]
#[case::of_the_platform(FreezeSource::Legal, false, &["read", "audit", "freeze"])]
#[case::of_the_platform_for_an_operator(FreezeSource::Legal, true, &["read", "audit", "freeze", "unfreeze"])]
#[case::of_the_deletion(FreezeSource::Deletion, true, &["read", "audit", "delete", "freeze"])]
fn only_who_could_set_a_freeze_is_offered_to_lift_it(#[case] source: FreezeSource, #[case] operator: bool, #[case] expected: &[&str]) {
    let world = World::new();
    world.account(AccountStatus::Active);
    world.workspace(WorkspaceStatus::Active);
    world.freeze(source, FreezeMode::ReadOnly);
    world.grant([on_workspace("read"), on_workspace("administer")]);
    world.grant(operator.then(|| (Object::platform(), "administer")));
    let view = ready(get(&world.berth(), &caller(USER), WORKSPACE)).unwrap();
    assert_eq!(view.allowed_actions, expected);
}
