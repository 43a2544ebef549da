//! A service account that acts for a user: what both may, and nothing else; and both are told.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::berth::Reply;
use domain::model::{AccountStatus, WorkspaceStatus};
use domain::permissions::{Cause, Check, Consistency, Filter, Object, Permissions, PermissionsError, Precondition, Relationship, Update};
use domain::ports::{Page, RunFilter, WorkspaceFilter};
use domain::workspaces::read::{by_account, get};
use domain::{Berth, Caller, Error, Principal, accounts, runs};
use rstest::rstest;
use uuid::Uuid;

use crate::runs::live_run;
use crate::world::{ACCOUNT, ROBOT, RUN, USER, WORKSPACE, World, caller, ready};

const PAGE: Page = Page { after: None, limit: 10 };

/// Rights of each subject by itself.
#[derive(Default)]
struct Rights {
    held: BTreeSet<(Uuid, String, &'static str)>,
    /// How many checks each call brought.
    calls: Mutex<Vec<usize>>,
}

impl Rights {
    fn has(&self, check: &Check) -> bool {
        self.held
            .iter()
            .any(|(who, what, right)| check.subject.id == who.to_string() && check.resource.id == *what && check.permission == *right)
    }
}

#[async_trait]
impl Permissions for Rights {
    async fn check(&self, checks: &[Check], _: &Consistency) -> Result<Vec<bool>, PermissionsError> {
        self.calls.lock().unwrap().push(checks.len());
        Ok(checks.iter().map(|check| self.has(check)).collect())
    }

    async fn write(&self, _: &[Update], _: &[Precondition], _: &Cause) -> Result<String, PermissionsError> {
        panic!("nothing is written here")
    }

    async fn read(&self, _: &Filter) -> Result<Vec<Relationship>, PermissionsError> {
        panic!("nothing is read here")
    }

    async fn lookup(&self, _: &str, permission: &str, subject: &Object, _: &Consistency) -> Result<Vec<String>, PermissionsError> {
        let of = self.held.iter().filter(|(who, _, right)| subject.id == who.to_string() && *right == permission);
        Ok(of.map(|(_, what, _)| what.clone()).collect())
    }

    async fn ready(&self) -> Result<(), PermissionsError> {
        Ok(())
    }
}

fn robot_for(user: Principal) -> Caller {
    Caller { on_behalf_of: Some(user), ..caller(ROBOT) }
}

fn world(held: &[(Principal, Object, &'static str)]) -> (Arc<World>, Arc<Rights>, Berth) {
    let world = World::new();
    world.account_of(ACCOUNT, AccountStatus::Active, USER);
    world.workspace(WorkspaceStatus::Active);
    world.run(live_run(&world));
    let held = held.iter().map(|(who, object, right)| (who.id, object.id.clone(), *right)).collect();
    let rights = Arc::new(Rights { held, ..Rights::default() });
    let berth = Berth { permissions: rights.clone(), ..world.berth() };
    (world, rights, berth)
}

fn on_workspace(who: Principal, right: &'static str) -> (Principal, Object, &'static str) {
    (who, Object::workspace(WORKSPACE), right)
}

#[rstest]
#[case::neither(&[], false, false)]
#[case::the_user_alone(&[on_workspace(USER, "read"), on_workspace(USER, "administer")], false, false)]
#[case::the_service_account_alone(&[on_workspace(ROBOT, "read"), on_workspace(ROBOT, "administer")], false, false)]
#[case::both_see(&[on_workspace(ROBOT, "read"), on_workspace(USER, "read"), on_workspace(ROBOT, "administer")], true, false)]
#[case::both(&[on_workspace(ROBOT, "read"), on_workspace(USER, "read"), on_workspace(ROBOT, "administer"), on_workspace(USER, "administer")], true, true)]
fn both_must_hold_a_right(#[case] held: &[(Principal, Object, &'static str)], #[case] sees: bool, #[case] acts: bool) {
    let (world, rights, berth) = world(held);
    let caller = robot_for(USER);
    match ready(get(&berth, &caller, WORKSPACE)) {
        Ok(view) => assert_eq!((sees, view.allowed_actions.contains(&"manage_members")), (true, acts)),
        Err(error) => assert!(!sees && matches!(error, Error::NotFound { .. }), "{error:?}"),
    }
    assert_eq!(*rights.calls.lock().unwrap(), [6], "three rights of two, asked at once");
    match ready(runs::request(&berth, &caller, RUN, saga::Verb::Cancel, None, None, None)) {
        Ok(_) => assert!(acts),
        Err(Error::Forbidden { .. }) => assert!(sees && !acts),
        Err(Error::NotFound { .. }) => assert!(!sees),
        Err(other) => panic!("{other:?}"),
    }
    assert_eq!(world.requests.lock().unwrap().len(), usize::from(acts));
}

#[test]
fn both_stand_in_the_audit_entry_and_in_the_scope_of_a_key() {
    let (world, _, berth) = world(&[]);
    let berth = Berth { settings: Arc::new(domain::berth::Settings { self_serve_accounts: true, ..(*berth.settings).clone() }), ..berth };
    let replay = domain::berth::Replay {
        key: "k".to_owned(),
        method: "POST".to_owned(),
        path: "/v1/accounts".to_owned(),
        fingerprint: Vec::new(),
        answer: |_| domain::ports::Answer { status: 202, location: None, body: serde_json::Value::Null },
    };
    let Reply::Fresh(_) = ready(accounts::create(&berth, &robot_for(USER), "Acme".to_owned(), Some(replay))).unwrap() else {
        panic!("replayed")
    };
    let created = world.created_accounts.lock().unwrap();
    let actor = created[0].audit.actor.clone().unwrap();
    assert_eq!((actor.principal, actor.on_behalf_of), (ROBOT, Some(USER)));
    let key = &created[0].idempotency.as_ref().unwrap().key;
    assert_eq!((key.principal, key.on_behalf_of), (ROBOT, Some(USER)));
}

/// What is being made is its creator's; who acts for somebody else is not alone.
#[test]
fn the_creator_of_what_is_not_active_sees_it_alone_only_for_himself() {
    let (world, _, berth) = world(&[]);
    world.account_of(ACCOUNT, AccountStatus::Provisioning, ROBOT);
    ready(accounts::get(&berth, &caller(ROBOT), ACCOUNT)).unwrap();
    assert!(matches!(ready(accounts::get(&berth, &robot_for(USER), ACCOUNT)), Err(Error::NotFound { .. })));
    assert_eq!(ready(accounts::list(&berth, &caller(ROBOT), PAGE)).unwrap().items.len(), 1);
    assert_eq!(ready(accounts::list(&berth, &robot_for(USER), PAGE)).unwrap().items.len(), 0);
}

/// An operator's service account for a plain member: neither the operator's whole fleet nor nothing.
#[test]
fn lists_hold_what_both_may_see() {
    let elsewhere = Uuid::from_u128(0xe15e_0042);
    let on = |who: Principal, account: Uuid, right: &'static str| (who, Object::account(account), right);
    let (world, _, berth) = world(&[
        (ROBOT, Object::platform(), "read"),
        on(ROBOT, ACCOUNT, "read"),
        on(ROBOT, ACCOUNT, "read_workspaces"),
        on(ROBOT, elsewhere, "read"),
        on_workspace(ROBOT, "read"),
        on(USER, ACCOUNT, "read"),
        on(USER, ACCOUNT, "read_workspaces"),
        on_workspace(USER, "read"),
    ]);
    world.account_of(elsewhere, AccountStatus::Active, ROBOT);
    let caller = robot_for(USER);
    let listed = ready(accounts::list(&berth, &caller, PAGE)).unwrap();
    assert_eq!(listed.items.iter().map(|account| account.id).collect::<Vec<_>>(), [ACCOUNT]);
    let listed = ready(by_account(&berth, &caller, ACCOUNT, &WorkspaceFilter::default(), PAGE)).unwrap();
    assert_eq!(listed.items.len(), 1);
    ready(runs::list(&berth, &caller, &RunFilter::default(), PAGE)).unwrap();
    assert_eq!(*world.listed_accounts.lock().unwrap(), [Some(vec![ACCOUNT])]);
}
