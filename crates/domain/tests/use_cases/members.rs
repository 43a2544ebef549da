//! Members: who may see and change them, what is asked of the store, and what of it the permission system is told in time.

use std::collections::VecDeque;
use std::future::{pending, ready as at_once};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use domain::berth::Reply;
use domain::housekeeping::{deliver_membership_changes, forget_membership_changes};
use domain::members::{NewMember, add, change_role, list, remove};
use domain::model::{AccountStatus, Member, MembershipChange, Role, Scope, ScopeRef, WorkspaceStatus};
use domain::permissions::{Cause, Check, Consistency, Filter, Object, Permissions, PermissionsError, Precondition, Relationship, Update};
use domain::ports::{
    Backlog, ChangeAnswer, Changed, Due, Idempotency, Members, NewMembershipChange, Page, RoleChange, Standing, Timer, Written,
};
use domain::{Berth, Error, Principal, PrincipalKind};
use rstest::rstest;
use saga::{StoreError, Time};
use uuid::Uuid;

use crate::world::{ACCOUNT, OTHER, ROBOT, USER, WORKSPACE, World, caller, ready};

/// The members' port in memory: answers what a test sets, and keeps what it was asked.
#[derive(Default)]
pub struct Outbox {
    pub standing: Mutex<Option<Standing>>,
    /// The principals and scopes of each question about a standing.
    pub asked: Mutex<Vec<(Vec<Principal>, Vec<Uuid>)>>,
    pub answer: Mutex<Option<ChangeAnswer>>,
    pub changes: Mutex<Vec<NewMembershipChange>>,
    pub due: Mutex<Vec<MembershipChange>>,
    pub delivered: Mutex<Vec<(Uuid, Option<String>)>>,
    pub postponed: Mutex<Vec<(Uuid, Duration)>>,
    /// How many there are to be forgotten.
    pub settled: Mutex<u64>,
}

#[async_trait]
impl Members for Outbox {
    async fn list(&self, _: ScopeRef, page: Page) -> Result<Vec<Member>, StoreError> {
        let member = |principal| Member { principal, role: Role::Member, created_at: Time::from_micros(0), pending: false };
        let after = [USER, OTHER].into_iter().filter(|p| page.after.is_none_or(|after| p.id > after));
        Ok(after.take(usize::try_from(page.limit).unwrap()).map(member).collect())
    }

    async fn change(&self, new: NewMembershipChange) -> Result<Written<ChangeAnswer>, StoreError> {
        let answer = self.answer.lock().unwrap().clone();
        let made = made(&new);
        self.changes.lock().unwrap().push(new);
        Ok(Written::Done(answer.unwrap_or(made)))
    }

    async fn take_due(&self, _: u32, _: Duration) -> Result<Due, StoreError> {
        Ok(Due { changes: std::mem::take(&mut *self.due.lock().unwrap()), next: None })
    }

    async fn undelivered(&self, _: ScopeRef, _: Principal) -> Result<Vec<MembershipChange>, StoreError> {
        Ok(Vec::new())
    }

    async fn delivered(&self, change: &MembershipChange, token: Option<String>, _: Option<Idempotency>) -> Result<(), StoreError> {
        self.delivered.lock().unwrap().push((change.id, token));
        Ok(())
    }

    async fn postpone(&self, change: &MembershipChange, _: &str, again_in: Duration) -> Result<(), StoreError> {
        self.postponed.lock().unwrap().push((change.id, again_in));
        Ok(())
    }

    async fn forget(&self, limit: u32, _: Duration) -> Result<u64, StoreError> {
        let mut settled = self.settled.lock().unwrap();
        let forgotten = u64::from(limit).min(*settled);
        *settled -= forgotten;
        Ok(forgotten)
    }

    async fn standing(&self, principals: &[Principal], scopes: &[Uuid]) -> Result<Standing, StoreError> {
        self.asked.lock().unwrap().push((principals.to_vec(), scopes.to_vec()));
        Ok(self.standing.lock().unwrap().unwrap_or(Standing::Settled))
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        Ok(Backlog { undelivered: 0, oldest_at: None, now: Time::from_micros(0) })
    }
}

fn undelivered(n: u128, on: ScopeRef, principal: Principal, role: Option<Role>) -> MembershipChange {
    MembershipChange {
        id: Uuid::from_u128(n),
        on,
        principal,
        role_before: None,
        role_after: role,
        predecessor: Uuid::from_u128(n + 1000),
        created_at: Time::from_micros(0),
        attempts: u32::try_from(n).unwrap(),
    }
}

fn made(new: &NewMembershipChange) -> ChangeAnswer {
    let role = match new.change {
        RoleChange::Add(role) | RoleChange::Change(role) | RoleChange::Set(role) => Some(role),
        RoleChange::Remove | RoleChange::Tell => None,
    };
    let member = role.map(|role| Member { principal: new.principal, role, created_at: Time::from_micros(0), pending: true });
    ChangeAnswer::Made(Changed { member, undelivered: vec![undelivered(1, new.on, new.principal, role)] })
}

/// Time that is over at once: what is not ready when it is asked for comes too late.
pub struct AtOnce;

impl Timer for AtOnce {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(at_once(()))
    }
}

/// How the permission system takes a write.
#[derive(Clone)]
enum Taken {
    Yes,
    Never,
    Fails(PermissionsError),
}

/// A permission system that takes one write after the other as it is told, and allows everything.
struct Told(Mutex<VecDeque<Taken>>);

#[async_trait]
impl Permissions for Told {
    async fn check(&self, checks: &[Check], _: &Consistency) -> Result<Vec<bool>, PermissionsError> {
        Ok(vec![true; checks.len()])
    }

    async fn write(&self, _: &[Update], _: &[Precondition], _: &Cause) -> Result<String, PermissionsError> {
        let how = self.0.lock().unwrap().pop_front();
        match how.expect("a write that the test expects") {
            Taken::Yes => Ok("token".to_owned()),
            Taken::Never => pending().await,
            Taken::Fails(error) => Err(error),
        }
    }

    async fn read(&self, _: &Filter) -> Result<Vec<Relationship>, PermissionsError> {
        panic!("no use case reads relationships")
    }

    async fn lookup(&self, _: &str, _: &str, _: &Object, _: &Consistency) -> Result<Vec<String>, PermissionsError> {
        Ok(Vec::new())
    }

    async fn ready(&self) -> Result<(), PermissionsError> {
        Ok(())
    }
}

fn told(writes: impl IntoIterator<Item = Taken>) -> (Arc<Outbox>, Berth) {
    let (world, outbox) = (World::new(), Arc::new(Outbox::default()));
    world.account(AccountStatus::Active);
    world.workspace(WorkspaceStatus::Active);
    let permissions = Arc::new(Told(Mutex::new(writes.into_iter().collect())));
    (outbox.clone(), Berth { members: outbox, permissions, ..world.berth() })
}

fn new_member(kind: PrincipalKind, role: Role) -> NewMember {
    let id = if kind == PrincipalKind::User { OTHER.id } else { ROBOT.id };
    NewMember { kind, id: Some(id), name: None, role }
}

/// How each operation answers: `.` for an answer, `-` for not found, `F` for forbidden. In order: list, add, change, remove.
fn answers(berth: &Berth, scope: Scope, id: Uuid) -> String {
    let caller = caller(USER);
    let page = Page { after: None, limit: 10 };
    [
        ready(list(berth, &caller, scope, id, page)).map(drop),
        ready(add(berth, &caller, scope, id, new_member(PrincipalKind::User, Role::Member), None)).map(drop),
        ready(change_role(berth, &caller, scope, id, OTHER.id, Role::Admin)).map(drop),
        ready(remove(berth, &caller, scope, id, OTHER.id)).map(drop),
    ]
    .into_iter()
    .map(|answer| match answer {
        Ok(()) => '.',
        Err(Error::NotFound { what: "account" | "workspace" }) => '-',
        Err(Error::Forbidden { permission: "administer", .. }) => 'F',
        Err(other) => panic!("{other:?}"),
    })
    .collect()
}

#[rstest]
#[case::a_stranger(&[], "----")]
#[case::a_reader(&["read"], ".FFF")]
#[case::an_administrator(&["read", "administer"], "....")]
fn members_are_seen_by_readers_and_changed_by_administrators(
    #[case] rights: &[&'static str],
    #[case] answered: &str,
    #[values(Scope::Account, Scope::Workspace)] scope: Scope,
) {
    let world = World::new();
    world.account(AccountStatus::Active);
    world.workspace(WorkspaceStatus::Active);
    let (id, object) = match scope {
        Scope::Account => (ACCOUNT, Object::account(ACCOUNT)),
        Scope::Workspace => (WORKSPACE, Object::workspace(WORKSPACE)),
    };
    world.grant(rights.iter().map(|right| (object.clone(), *right)));
    let outbox = Arc::new(Outbox::default());
    // Delivery is not what this is about.
    let nothing = Changed { member: Some(member(OTHER)), undelivered: Vec::new() };
    *outbox.answer.lock().unwrap() = Some(ChangeAnswer::Made(nothing));
    let berth = Berth { members: outbox.clone(), ..world.berth() };
    assert_eq!(answers(&berth, scope, id), answered);
    assert_eq!(outbox.changes.lock().unwrap().len(), answered.matches('.').count().saturating_sub(1), "refused means not asked");
}

fn member(principal: Principal) -> Member {
    Member { principal, role: Role::Member, created_at: Time::from_micros(0), pending: true }
}

#[test]
fn a_page_of_members_has_names_and_leads_to_the_next() {
    let (_, berth) = told([]);
    let page = ready(list(&berth, &caller(USER), Scope::Account, ACCOUNT, Page { after: None, limit: 1 })).unwrap();
    assert_eq!((page.items.len(), page.items[0].name.as_str(), page.next), (1, "ada", Some(USER.id)));
    let page = ready(list(&berth, &caller(USER), Scope::Account, ACCOUNT, Page { after: page.next, limit: 1 })).unwrap();
    assert_eq!((page.items[0].member.principal, page.next), (OTHER, None));
}

#[rstest]
#[case::a_viewer_of_an_account(Scope::Account, new_member(PrincipalKind::User, Role::Viewer), "/role")]
#[case::a_service_account_that_owns(Scope::Workspace, new_member(PrincipalKind::ServiceAccount, Role::Owner), "/role")]
#[case::nobody(Scope::Account, NewMember { id: None, ..new_member(PrincipalKind::User, Role::Member) }, "")]
#[case::id_and_name(Scope::Account, NewMember { name: Some("ada".to_owned()), ..new_member(PrincipalKind::User, Role::Member) }, "/name")]
#[case::an_unknown_name(Scope::Account, NewMember { id: None, name: Some("eve".to_owned()), ..new_member(PrincipalKind::User, Role::Member) }, "/name")]
fn an_addition_that_breaks_a_rule_is_refused_where_it_does(#[case] scope: Scope, #[case] new: NewMember, #[case] pointer: &str) {
    let (outbox, berth) = told([]);
    let id = if scope == Scope::Account { ACCOUNT } else { WORKSPACE };
    match ready(add(&berth, &caller(USER), scope, id, new, None)) {
        Err(Error::Invalid(invalid)) => assert_eq!(invalid[0].pointer, pointer),
        other => panic!("{other:?}"),
    }
    assert!(outbox.changes.lock().unwrap().is_empty());
}

#[test]
fn a_role_that_the_member_cannot_have_is_refused() {
    let (_, berth) = told([]);
    let owner = ready(change_role(&berth, &caller(USER), Scope::Workspace, WORKSPACE, ROBOT.id, Role::Owner));
    assert!(matches!(owner, Err(Error::Invalid(invalid)) if invalid[0].pointer == "/role"));
    let stranger = ready(remove(&berth, &caller(USER), Scope::Workspace, WORKSPACE, Uuid::from_u128(1)));
    assert!(matches!(stranger, Err(Error::NotFound { what: "member" })));
}

#[rstest]
#[case(ChangeAnswer::MemberAlready, |e: &Error| matches!(e, Error::MemberExists))]
#[case(ChangeAnswer::NotMember, |e: &Error| matches!(e, Error::NotFound { what: "member" }))]
#[case(ChangeAnswer::LastOwner, |e: &Error| matches!(e, Error::LastOwner { scope: "workspace" }))]
#[case(ChangeAnswer::NotActive { status: Some("failed") }, |e: &Error| matches!(e, Error::WorkspaceNotActive { status: "failed" }))]
#[case(ChangeAnswer::NotActive { status: None }, |e: &Error| matches!(e, Error::NotFound { what: "workspace" }))]
#[case(ChangeAnswer::Frozen(Vec::new()), |e: &Error| matches!(e, Error::Frozen { .. }))]
fn what_the_store_refuses_is_told(#[case] answer: ChangeAnswer, #[case] is_expected: fn(&Error) -> bool) {
    let (outbox, berth) = told([]);
    *outbox.answer.lock().unwrap() = Some(answer);
    let refused = ready(remove(&berth, &caller(USER), Scope::Workspace, WORKSPACE, OTHER.id)).unwrap_err();
    assert!(is_expected(&refused), "{refused:?}");
}

/// Only what is known to be accepted is in force: a lost reply is not, nor is one that takes too long.
#[rstest]
#[case::taken(Taken::Yes, false, Some("token"))]
#[case::done_before(Taken::Fails(PermissionsError::PreconditionFailed { index: 0 }), false, None)]
#[case::away(Taken::Fails(PermissionsError::Unavailable("away".to_owned())), true, None)]
#[case::a_lost_reply(Taken::Fails(PermissionsError::Unknown("lost".to_owned())), true, None)]
#[case::too_slow(Taken::Never, true, None)]
fn a_change_is_pending_unless_the_permission_system_is_known_to_have_it(
    #[case] how: Taken,
    #[case] pending: bool,
    #[case] token: Option<&str>,
) {
    let (outbox, berth) = told(vec![how; 3]);
    let (caller, scope) = (caller(USER), Scope::Account);
    let Reply::Fresh(added) = ready(add(&berth, &caller, scope, ACCOUNT, new_member(PrincipalKind::User, Role::Member), None)).unwrap()
    else {
        panic!("replayed")
    };
    let changed = ready(change_role(&berth, &caller, scope, ACCOUNT, OTHER.id, Role::Admin)).unwrap();
    let removed = ready(remove(&berth, &caller, scope, ACCOUNT, OTHER.id)).unwrap();
    assert_eq!([added.member.pending, changed.member.pending, removed.pending], [pending; 3]);
    let delivered = outbox.delivered.lock().unwrap().clone();
    assert_eq!(delivered.len(), if pending { 0 } else { 3 });
    assert!(delivered.iter().all(|(_, kept)| kept.as_deref() == token));
}

/// Catches a removal that overtakes the addition before it.
#[test]
fn a_line_is_told_in_its_order_up_to_the_first_that_is_not_taken() {
    let away = Taken::Fails(PermissionsError::Unavailable("away".to_owned()));
    for (writes, delivered, pending) in
        [(vec![Taken::Yes, Taken::Yes], 2, false), (vec![Taken::Yes, away.clone()], 1, true), (vec![away], 0, true)]
    {
        let (outbox, berth) = told(writes);
        let on = ScopeRef { scope: Scope::Account, id: ACCOUNT, account_id: ACCOUNT };
        let line = vec![undelivered(1, on, OTHER, Some(Role::Member)), undelivered(2, on, OTHER, None)];
        *outbox.answer.lock().unwrap() = Some(ChangeAnswer::Made(Changed { member: None, undelivered: line }));
        assert_eq!(ready(remove(&berth, &caller(USER), Scope::Account, ACCOUNT, OTHER.id)).unwrap().pending, pending);
        let told: Vec<_> = outbox.delivered.lock().unwrap().iter().map(|(id, _)| id.as_u128()).collect();
        assert_eq!(told, (1..=delivered).collect::<Vec<_>>());
    }
}

#[test]
fn housekeeping_tells_what_was_not_told_and_rests_where_that_fails() {
    let (away, lost) = (PermissionsError::Unavailable("away".to_owned()), PermissionsError::Unknown("lost".to_owned()));
    let (outbox, berth) = told([Taken::Fails(lost), Taken::Yes, Taken::Fails(away)]);
    let on = ScopeRef { scope: Scope::Account, id: ACCOUNT, account_id: ACCOUNT };
    *outbox.due.lock().unwrap() = (1..=5).map(|n| undelivered(n, on, OTHER, None)).collect();
    let done = ready(deliver_membership_changes(&berth)).unwrap();
    assert_eq!(*outbox.delivered.lock().unwrap(), [(Uuid::from_u128(2), Some("token".to_owned()))]);
    let seconds: Vec<_> = outbox.postponed.lock().unwrap().iter().map(|(id, rest)| (id.as_u128(), rest.as_secs())).collect();
    assert_eq!(seconds, [(1, 1), (3, 4), (4, 4), (5, 4)], "the last two were not tried: the permission system is away");
    let troubled: Vec<_> = done.trouble.iter().map(|trouble| (trouble.id.as_u128(), trouble.attempts)).collect();
    assert_eq!((troubled, done.next), (vec![(1, 1), (3, 3)], Some(Duration::ZERO)), "the next of the line that went on may be due");
}

#[test]
fn the_audit_entry_names_ids_and_nothing_about_a_person() {
    let (outbox, berth) = told([Taken::Yes]);
    ready(remove(&berth, &caller(USER), Scope::Workspace, WORKSPACE, OTHER.id)).unwrap();
    let changes = outbox.changes.lock().unwrap();
    let entry = &changes[0].audit;
    assert_eq!((entry.action.as_str(), entry.account_id, entry.workspace_id), ("member.remove", ACCOUNT, Some(WORKSPACE)));
    let targets: Vec<_> = entry.targets.iter().map(|t| (t.kind.as_str(), t.id)).collect();
    assert_eq!(targets, [("workspace", WORKSPACE), ("user", OTHER.id)]);
    assert!(!format!("{entry:?}").contains("ada"));
}

#[test]
fn what_is_to_be_forgotten_is_taken_in_batches_one_after_the_other() {
    let world = World::new();
    let outbox = Arc::new(Outbox::default());
    *outbox.settled.lock().unwrap() = 700;
    let berth = Berth { members: outbox.clone(), ..world.berth() };
    assert_eq!(ready(forget_membership_changes(&berth)).unwrap().next, Some(Duration::ZERO));
    assert_eq!(ready(forget_membership_changes(&berth)).unwrap().next, None);
    assert_eq!(*outbox.settled.lock().unwrap(), 0);
}
