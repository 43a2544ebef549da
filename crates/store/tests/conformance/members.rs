//! Memberships: what a change leaves, what it is refused for, and lists.

use domain::model::{NamedMember, Role, Scope, ScopeRef, WorkspaceStatus};
use domain::ports::{
    Accounts, Answer, AuditLog, ChangeAnswer, Idempotency, MemberReplay, Members, Page, RoleChange, WorkspaceFilter, Workspaces, Written,
};
use domain::{Principal, PrincipalKind};
use rstest::rstest;
use saga::journal::Ending;
use serde_json::json;
use store::db::Statement;
use testkit::Backend::{self, Postgres, Sqlite};
use uuid::Uuid;

use crate::world::{World, idempotency, new_account, role_change, user};

static SET_STATUS: Statement = Statement::shared("set status", "update workspaces set status = $1 where id = $2");
static FREEZE: Statement = Statement::shared("freeze", "update workspaces set freeze_revision = freeze_revision + 1 where id = $1");
static INSERT_FREEZE: Statement = Statement::shared(
    "insert freeze",
    "insert into workspace_freezes (bucket, workspace_id, source, mode, reason_code, note, created_by_kind, created_by_id, created_at, expires_at)
     select bucket, id, 'billing', 'read_only', 'unpaid', null, created_by_kind, created_by_id, created_at, null from workspaces where id = $1",
);

const ALL: Page = Page { after: None, limit: 100 };

pub fn account_ref(id: Uuid) -> ScopeRef {
    ScopeRef { scope: Scope::Account, id, account_id: id }
}

/// The creator, who is the one owner.
async fn owner(world: &World, on: ScopeRef) -> Principal {
    let members = Members::list(&world.store, on, ALL).await.unwrap();
    members.into_iter().find(|m| m.role == Role::Owner).expect("an owner").principal
}

pub async fn frozen(world: &World, workspace: Uuid) {
    let mut tx = world.test.db.write().await.unwrap();
    tx.query(&FREEZE).bind(workspace).execute().await.unwrap();
    tx.query(&INSERT_FREEZE).bind(workspace).execute().await.unwrap();
    tx.commit().await.unwrap();
}

#[rstest]
#[tokio::test]
async fn a_change_leaves_row_outbox_and_audit_entry(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(3).await;
    let on = world.active_workspace(account, "data").await;
    let made_by = Workspaces::get(&world.store, on.id).await.unwrap().unwrap().made_by;
    let ada = user();

    let line = world.role_changed(on, ada, RoleChange::Add(Role::Viewer)).await;
    assert_eq!(line.len(), 1);
    assert_eq!((line[0].role_before, line[0].role_after, line[0].predecessor), (None, Some(Role::Viewer), made_by.0));
    let line = world.role_changed(on, ada, RoleChange::Change(Role::Admin)).await;
    assert_eq!(line.iter().map(|c| c.role_after).collect::<Vec<_>>(), [Some(Role::Viewer), Some(Role::Admin)]);
    assert_eq!(line[1].predecessor, line[0].id);
    let found = Members::list(&world.store, on, ALL).await.unwrap().into_iter().find(|m| m.principal == ada).unwrap();
    assert_eq!((found.role, found.pending), (Role::Admin, true));

    let line = world.role_changed(on, ada, RoleChange::Remove).await;
    assert_eq!((line.len(), line[2].role_before, line[2].role_after), (3, Some(Role::Admin), None));
    assert!(Members::list(&world.store, on, ALL).await.unwrap().iter().all(|m| m.principal != ada));
    let entries = world.store.of_workspace(on.id, None, 3).await.unwrap();
    let roles: Vec<_> = entries.iter().rev().map(|e| (e.before.clone(), e.after.clone())).collect();
    let role = |word: &str| Some(json!({ "role": word }));
    assert_eq!(roles, [(None, role("viewer")), (role("viewer"), role("admin")), (role("admin"), None)]);
}

#[rstest]
#[tokio::test]
async fn a_change_that_changes_nothing_leaves_nothing(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(3).await;
    let on = account_ref(account);
    let ada = user();
    assert_eq!(world.role_change(on, ada, RoleChange::Change(Role::Admin)).await, ChangeAnswer::NotMember);
    assert_eq!(world.role_change(on, ada, RoleChange::Remove).await, ChangeAnswer::NotMember);
    let line = world.role_changed(on, ada, RoleChange::Set(Role::Member)).await;
    let entries = world.store.of_account(account, 0, 100).await.unwrap().len();
    assert_eq!(world.role_change(on, ada, RoleChange::Add(Role::Admin)).await, ChangeAnswer::MemberAlready);
    let ChangeAnswer::Unchanged(same) = world.role_change(on, ada, RoleChange::Change(Role::Member)).await else { panic!("changed") };
    assert_eq!((same.member.map(|m| m.pending), &same.undelivered), (Some(true), &line), "what is not delivered is told again");
    world.role_changed(on, ada, RoleChange::Remove).await;
    let ChangeAnswer::Unchanged(gone) = world.role_change(on, ada, RoleChange::Remove).await else { panic!("changed") };
    assert_eq!((gone.member, gone.undelivered.len()), (None, 2));
    assert_eq!(world.store.of_account(account, 0, 100).await.unwrap().len(), entries + 1);
}

#[rstest]
#[tokio::test]
async fn what_has_an_owner_keeps_one(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(3).await;
    let workspace = world.active_workspace(account, "data").await;
    for on in [account_ref(account), workspace] {
        let (ada, first) = (user(), owner(&world, on).await);
        assert_eq!(world.role_change(on, first, RoleChange::Remove).await, ChangeAnswer::LastOwner);
        assert_eq!(world.role_change(on, first, RoleChange::Set(Role::Admin)).await, ChangeAnswer::LastOwner);
        world.role_changed(on, ada, RoleChange::Add(Role::Owner)).await;
        world.role_changed(on, first, RoleChange::Change(Role::Member)).await;
        assert_eq!(world.role_change(on, ada, RoleChange::Remove).await, ChangeAnswer::LastOwner);
        world.role_changed(on, first, RoleChange::Remove).await;
    }
}

/// A workspace that a service account made has no owner to keep.
#[rstest]
#[tokio::test]
async fn what_has_no_owner_may_lose_all_its_members(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let on = world.active_workspace(world.account(3).await, "data").await;
    let robot = Principal { kind: PrincipalKind::ServiceAccount, id: Uuid::now_v7() };
    world.role_changed(on, user(), RoleChange::Add(Role::Owner)).await;
    world.role_changed(on, robot, RoleChange::Add(Role::Admin)).await;
    world.role_changed(on, robot, RoleChange::Remove).await;
}

#[rstest]
#[tokio::test]
async fn what_is_not_active_takes_no_members(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let new = new_account(3);
    let provisioning = account_ref(new.id);
    Accounts::create(&world.store, new).await.unwrap();
    let add = RoleChange::Add(Role::Member);
    assert_eq!(world.role_change(provisioning, user(), add).await, ChangeAnswer::NotActive { status: Some("provisioning") });
    let account = world.account(3).await;
    let (id, _) = world.workspace(account, "data").await;
    let on = ScopeRef { scope: Scope::Workspace, id, account_id: account };
    assert_eq!(world.role_change(on, user(), add).await, ChangeAnswer::NotActive { status: Some("provisioning") });
    let claimed = world.worker().await;
    let run = Workspaces::get(&world.store, id).await.unwrap().unwrap().run_id;
    let run = world.claim(claimed).await.into_iter().find(|r| r.facts.run == run).unwrap();
    world.committed(crate::world::ended(&run, domain::change::Subject::Workspace(id), Ending::Failed)).await;
    assert_eq!(world.role_change(on, user(), add).await, ChangeAnswer::NotActive { status: Some("failed") });
    assert_eq!(world.role_change(on, user(), RoleChange::Remove).await, ChangeAnswer::NotActive { status: Some("failed") });
    let nowhere = ScopeRef { id: domain::ids::within(account, Uuid::now_v7()), ..on };
    assert_eq!(world.role_change(nowhere, user(), add).await, ChangeAnswer::NotActive { status: None });
}

#[rstest]
#[tokio::test]
async fn roles_may_be_taken_away_from_what_is_frozen_or_deleted_and_none_given(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let on = world.active_workspace(world.account(3).await, "data").await;
    let (ada, bob) = (user(), user());
    world.role_changed(on, ada, RoleChange::Add(Role::Member)).await;
    world.role_changed(on, bob, RoleChange::Add(Role::Member)).await;
    frozen(&world, on.id).await;
    for change in [RoleChange::Change(Role::Admin), RoleChange::Set(Role::Owner)] {
        let answer = world.role_change(on, ada, change).await;
        assert!(matches!(&answer, ChangeAnswer::Frozen(freezes) if freezes.len() == 1), "{answer:?}");
    }
    assert!(matches!(world.role_change(on, user(), RoleChange::Add(Role::Viewer)).await, ChangeAnswer::Frozen(_)));
    world.role_changed(on, ada, RoleChange::Change(Role::Viewer)).await;
    let mut tx = world.test.db.write().await.unwrap();
    tx.query(&SET_STATUS).bind(WorkspaceStatus::Deleted.as_str()).bind(on.id).execute().await.unwrap();
    tx.commit().await.unwrap();
    world.role_changed(on, ada, RoleChange::Remove).await;
    let mut tx = world.test.db.write().await.unwrap();
    tx.query(&SET_STATUS).bind(WorkspaceStatus::Purging.as_str()).bind(on.id).execute().await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(world.role_change(on, bob, RoleChange::Remove).await, ChangeAnswer::NotActive { status: Some("purging") });
}

fn words(member: &NamedMember) -> Answer {
    Answer {
        status: if member.member.pending { 202 } else { 201 },
        location: None,
        body: json!({ "name": member.name, "created_at": member.member.created_at }),
    }
}

#[rstest]
#[tokio::test]
async fn a_repeated_addition_is_answered_as_the_first_was_in_the_end(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(3).await;
    let on = account_ref(account);
    let Idempotency { key, .. } = idempotency(account, user(), "k", b"f");
    let replay = MemberReplay { key, name: "ada".to_owned(), words };
    let mut new = role_change(on, user(), RoleChange::Add(Role::Member));
    new.replay = Some(replay.clone());
    let Written::Done(ChangeAnswer::Made(made)) = Members::change(&world.store, new.clone()).await.unwrap() else { panic!("not made") };
    let member = made.member.unwrap();
    let answered = |pending| {
        let member = NamedMember { member: domain::model::Member { pending, ..member }, name: "ada".to_owned() };
        Written::Replayed(words(&member))
    };
    assert_eq!(Members::change(&world.store, new.clone()).await.unwrap(), answered(true));
    let told = replay.keep(domain::model::Member { pending: false, ..member });
    world.store.delivered(&made.undelivered[0], Some("7".to_owned()), Some(told)).await.unwrap();
    assert_eq!(Members::change(&world.store, new.clone()).await.unwrap(), answered(false));
    new.replay.as_mut().unwrap().key.on_behalf_of = Some(user());
    assert_eq!(Members::change(&world.store, new).await.unwrap(), Written::Done(ChangeAnswer::MemberAlready), "another key");
}

#[rstest]
#[tokio::test]
async fn members_are_listed_by_id_page_by_page(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(3).await;
    let on = world.active_workspace(account, "data").await;
    let mut ids = vec![owner(&world, on).await.id];
    for role in [Role::Admin, Role::Member, Role::Viewer] {
        let kind = if role == Role::Admin { PrincipalKind::ServiceAccount } else { PrincipalKind::User };
        let principal = Principal { kind, id: Uuid::new_v4() };
        world.role_changed(on, principal, RoleChange::Add(role)).await;
        ids.push(principal.id);
    }
    ids.sort();
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = Members::list(&world.store, on, Page { after, limit: 3 }).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.principal.id);
        listed.extend(page.iter().map(|m| m.principal.id));
    }
    assert_eq!(listed, ids);
    let pending: Vec<_> = Members::list(&world.store, on, ALL).await.unwrap().into_iter().map(|m| m.pending).collect();
    assert_eq!(pending.iter().filter(|p| **p).count(), 3, "the creator's role is the run's");
    assert_eq!(Members::list(&world.store, account_ref(account), ALL).await.unwrap().len(), 1, "each scope has its own");
}

#[rstest]
#[tokio::test]
async fn of_two_members_the_workspaces_of_both_are_listed(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(5).await;
    let (ada, robot) = (user(), Principal { kind: PrincipalKind::ServiceAccount, id: Uuid::now_v7() });
    let (one, two) = (world.active_workspace(account, "one").await, world.active_workspace(account, "two").await);
    for (on, member) in [(one, ada), (two, ada), (two, robot)] {
        world.role_changed(on, member, RoleChange::Add(Role::Member)).await;
    }
    let any = WorkspaceFilter::default();
    let of = |members: Vec<Principal>| {
        let (store, any) = (world.store.clone(), any.clone());
        async move { store.list_by_member(&members, &any, ALL).await.unwrap().into_iter().map(|w| w.id).collect::<Vec<_>>() }
    };
    assert_eq!(of(vec![ada]).await.len(), 2);
    assert_eq!(of(vec![ada, robot]).await, [two.id]);
    assert_eq!(of(vec![robot, ada]).await, [two.id]);
}
