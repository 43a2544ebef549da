use rstest::rstest;
use saga::Time;
use uuid::Uuid;

use super::*;
use crate::Principal;
use crate::model::ScopeRef;
use crate::steps::fakes::{Loss, Permissions as Fake, ready};

const ACCOUNT: Uuid = Uuid::from_u128(0xaa);
const WORKSPACE: Uuid = Uuid::from_u128(0x11);
const RUN: u128 = 0x99;

fn user() -> Principal {
    Principal { kind: PrincipalKind::User, id: Uuid::from_u128(0x55) }
}

/// A permission system that knows the account and its workspace, of which the user is the creator.
fn system() -> Fake {
    let fake = Fake::default();
    fake.put(Relationship::new(Object::account(ACCOUNT), "platform", Object::platform()));
    fake.put(Relationship::new(Object::workspace(WORKSPACE), "account", Object::account(ACCOUNT)));
    fake
}

/// The `n`th change of the user's role on the workspace.
fn change(n: u128, before: Option<Role>, after: Option<Role>) -> MembershipChange {
    MembershipChange {
        id: Uuid::from_u128(n),
        on: ScopeRef { scope: Scope::Workspace, id: WORKSPACE, account_id: ACCOUNT },
        principal: user(),
        role_before: before,
        role_after: after,
        predecessor: Uuid::from_u128(if n == 1 { RUN } else { n - 1 }),
        created_at: Time::from_micros(0),
        attempts: 0,
    }
}

fn roles(fake: &Fake) -> Vec<String> {
    fake.relationships().into_iter().filter(|r| r.subject == user().into()).map(|r| r.relation).collect()
}

#[test]
fn a_change_leaves_the_one_role_and_the_seal_of_what_wrote_before() {
    let fake = system();
    for (n, before, after) in [(1, None, Some(Role::Viewer)), (2, Some(Role::Viewer), Some(Role::Admin))] {
        assert_eq!(ready(tell(&fake, &change(n, before, after))), Ok(Some(fake.token())));
        assert_eq!(roles(&fake), [after.unwrap().as_str()]);
        let seal = Object::new("saga", change(n, before, after).predecessor);
        assert!(fake.relationships().contains(&Relationship::new(Object::workspace(WORKSPACE), "sealed", seal)));
    }
    ready(tell(&fake, &change(3, Some(Role::Admin), None))).unwrap();
    assert_eq!(roles(&fake), Vec::<String>::new());
}

/// Both orders: the copies of an addition and of a removal, each late by one.
#[rstest]
#[case::of_an_addition_after_a_removal(None, Some(Role::Admin), None)]
#[case::of_a_removal_after_an_addition(Some(Role::Admin), None, Some(Role::Viewer))]
fn a_late_copy_changes_nothing(#[case] first: Option<Role>, #[case] second: Option<Role>, #[case] third: Option<Role>) {
    let fake = system();
    let (one, two) = (change(1, first, second), change(2, second, third));
    ready(tell(&fake, &one)).unwrap();
    ready(tell(&fake, &two)).unwrap();
    let before = fake.relationships();
    assert_eq!(ready(tell(&fake, &one)), Ok(None), "refused, and known to have been delivered");
    assert_eq!(fake.relationships(), before);
}

/// Two processes, or one that was not sure: the same change again is no other change.
#[test]
fn a_change_may_be_told_twice() {
    let fake = system();
    let one = change(1, None, Some(Role::Member));
    fake.lose(Loss::Reply);
    assert!(matches!(ready(tell(&fake, &one)), Err(PermissionsError::Unknown(_))));
    let before = fake.relationships();
    assert!(ready(tell(&fake, &one)).unwrap().is_some());
    assert_eq!(fake.relationships(), before);
}

/// Catches a removal of the creator that a late copy of the run's own grant takes back.
#[test]
fn the_first_change_of_a_line_seals_the_grant_of_the_run_that_made_the_workspace() {
    let fake = system();
    ready(tell(&fake, &change(1, Some(Role::Owner), None))).unwrap();
    let seal = Relationship::new(Object::workspace(WORKSPACE), "sealed", Object::new("saga", Uuid::from_u128(RUN)));
    assert!(fake.relationships().contains(&seal));
}

#[test]
fn what_the_permission_system_has_no_more_is_told_nothing() {
    let fake = system();
    fake.remove(&Relationship::new(Object::workspace(WORKSPACE), "account", Object::account(ACCOUNT)));
    assert_eq!(ready(tell(&fake, &change(1, None, Some(Role::Member)))), Ok(None));
    assert_eq!(roles(&fake), Vec::<String>::new());
}

/// The schema knows no such tuples, and a real permission system refuses even to delete them.
#[rstest]
#[case::a_service_account_that_owns(PrincipalKind::ServiceAccount, Scope::Workspace, &["admin", "member", "viewer", "sealed"])]
#[case::a_viewer_of_an_account(PrincipalKind::User, Scope::Account, &["owner", "admin", "member", "sealed"])]
fn tuples_that_cannot_be_are_not_named(#[case] kind: PrincipalKind, #[case] scope: Scope, #[case] named: &[&str]) {
    let mut one = change(1, None, Some(Role::Admin));
    one.principal.kind = kind;
    one.on.scope = scope;
    let relations: Vec<String> = updates(&one)
        .into_iter()
        .map(|update| match update {
            Update::Create(r) | Update::Touch(r) | Update::Delete(r) => r.relation,
        })
        .collect();
    assert_eq!(relations, named);
}

#[test]
fn a_change_rests_longer_after_each_attempt_up_to_half_a_minute() {
    let rests: Vec<u64> = (1..9).map(|attempts| back_off(attempts).as_secs()).collect();
    assert_eq!(rests, [1, 2, 4, 8, 16, 30, 30, 30]);
}
