//! Roles that were reduced and that the permission system does not know of yet: nobody is answered by what it still says.

use std::sync::Arc;

use domain::Error;
use domain::model::{AccountStatus, Scope, WorkspaceStatus};
use domain::permissions::{Consistency, Object};
use domain::ports::{Page, RunFilter, Standing, WorkspaceFilter};
use domain::workspaces::read::{by_account, get, mine};
use domain::{Berth, accounts, members, runs};
use rstest::rstest;

use crate::members::Outbox;
use crate::runs::live_run;
use crate::world::{ACCOUNT, RUN, USER, WORKSPACE, World, caller, ready};

const PAGE: Page = Page { after: None, limit: 10 };

/// Somebody who may do everything, as far as the permission system knows; `unsettled` is what the rows say.
fn world(unsettled: bool, standing: Standing) -> (Arc<World>, Arc<Outbox>, Berth) {
    let (world, outbox) = (World::new(), Arc::new(Outbox::default()));
    world.account_of(ACCOUNT, AccountStatus::Active, USER);
    world.workspace(WorkspaceStatus::Active);
    world.accounts.lock().unwrap().get_mut(&ACCOUNT).unwrap().roles_unsettled = unsettled;
    world.workspaces.lock().unwrap().get_mut(&WORKSPACE).unwrap().roles_unsettled = unsettled;
    world.run(live_run(&world));
    let on_account = ["read", "read_workspaces", "administer"].map(|right| (Object::account(ACCOUNT), right));
    let on_workspace = ["read", "membership", "administer"].map(|right| (Object::workspace(WORKSPACE), right));
    world.grant(on_account.into_iter().chain(on_workspace));
    *outbox.standing.lock().unwrap() = Some(standing);
    let berth = Berth { members: outbox.clone(), ..world.berth() };
    (world, outbox, berth)
}

#[test]
fn whatever_is_asked_there_and_below_is_answered_neither_way_until_the_permission_system_knows() {
    let (world, _, berth) = world(true, Standing::RemovalPending);
    let caller = caller(USER);
    let (none, of_account) = (RunFilter::default(), RunFilter { account_id: Some(ACCOUNT), ..RunFilter::default() });
    let workspaces = WorkspaceFilter::default();
    let answers = [
        ("the account", ready(accounts::get(&berth, &caller, ACCOUNT)).map(drop)),
        ("the accounts", ready(accounts::list(&berth, &caller, PAGE)).map(drop)),
        ("the workspace", ready(get(&berth, &caller, WORKSPACE)).map(drop)),
        ("my workspaces", ready(mine(&berth, &caller, &workspaces, PAGE)).map(drop)),
        ("the account's workspaces", ready(by_account(&berth, &caller, ACCOUNT, &workspaces, PAGE)).map(drop)),
        ("the members", ready(members::list(&berth, &caller, Scope::Workspace, WORKSPACE, PAGE)).map(drop)),
        ("a removal", ready(members::remove(&berth, &caller, Scope::Account, ACCOUNT, USER.id)).map(drop)),
        ("a run", ready(runs::get(&berth, &caller, RUN)).map(drop)),
        ("the runs", ready(runs::list(&berth, &caller, &none, PAGE)).map(drop)),
        ("the account's runs", ready(runs::list(&berth, &caller, &of_account, PAGE)).map(drop)),
        ("a verb", ready(runs::request(&berth, &caller, RUN, saga::Verb::Cancel, None, None, None)).map(drop)),
    ];
    for (what, answer) in answers {
        assert!(matches!(answer, Err(Error::RemovalPending)), "{what}: {answer:?}");
    }
    assert!(world.requests.lock().unwrap().is_empty());
    ready(domain::me::me(&berth, &caller)).expect("the platform is neither");
}

/// The row says whether there is anything to ask: a read costs no more than it did.
#[test]
fn where_nothing_has_changed_lately_a_read_asks_no_more_than_its_row() {
    let (_, outbox, berth) = world(false, Standing::RemovalPending);
    ready(get(&berth, &caller(USER), WORKSPACE)).unwrap();
    ready(accounts::get(&berth, &caller(USER), ACCOUNT)).unwrap();
    assert!(outbox.asked.lock().unwrap().is_empty());
}

/// Catches a removal from the account that a workspace's own, older token does not see.
#[rstest]
#[case(Standing::Settled, Consistency::AtLeastAsFresh("token of the workspace".to_owned()))]
#[case(Standing::Changed, Consistency::FullyConsistent)]
fn whose_role_changed_lately_is_read_fully_consistent(#[case] standing: Standing, #[case] consistency: Consistency) {
    let (world, outbox, berth) = world(true, standing);
    ready(get(&berth, &caller(USER), WORKSPACE)).unwrap();
    assert_eq!(*world.asked.lock().unwrap(), [consistency]);
    assert_eq!(*outbox.asked.lock().unwrap(), [(vec![USER], vec![WORKSPACE])]);
}
