use super::*;
use crate::model::ScopeRef;

const ACCOUNT: Uuid = Uuid::from_u128(0xaa);
const WORKSPACE: Uuid = Uuid::from_u128(0x11);
const MADE_BY: Uuid = Uuid::from_u128(0x99);

fn user(n: u128) -> Principal {
    Principal { kind: PrincipalKind::User, id: Uuid::from_u128(n) }
}

fn robot(n: u128) -> Principal {
    Principal { kind: PrincipalKind::ServiceAccount, id: Uuid::from_u128(n) }
}

fn workspace(intended: Intended) -> Intent {
    Intent {
        on: ScopeRef { scope: Scope::Workspace, id: WORKSPACE, account_id: ACCOUNT },
        intended,
        made_by: MADE_BY,
        members: vec![(user(1), Role::Owner), (robot(2), Role::Admin)],
        unsettled: Vec::new(),
        sealed: vec![MADE_BY],
        environments: vec![Uuid::from_u128(0xe1), Uuid::from_u128(0xe2)],
    }
}

fn on(relation: &str, subject: Object) -> Relationship {
    Relationship::new(Object::workspace(WORKSPACE), relation, subject)
}

/// As the workspace is to have it.
fn right() -> Vec<Relationship> {
    vec![
        on("account", Object::account(ACCOUNT)),
        on("owner", user(1).into()),
        on("admin", robot(2).into()),
        seal(Object::workspace(WORKSPACE), MADE_BY),
        // Of something that has been forgotten: stays for ever.
        seal(Object::workspace(WORKSPACE), Uuid::from_u128(0x77)),
    ]
}

/// Class, whose role, and how many are missing and too many.
fn classes(intent: &Intent, held: &[Relationship]) -> Vec<(Class, Option<Principal>, usize, usize)> {
    let found = compare(intent, held, &vec![true; intent.environments.len()]);
    found.iter().map(|d| (d.class, d.member, d.missing.len(), d.surplus.len())).collect()
}

#[test]
fn what_is_as_meant_is_no_drift() {
    assert_eq!(classes(&workspace(Intended::Granted), &right()), []);
    let purged = Intent { members: Vec::new(), environments: Vec::new(), ..workspace(Intended::Purged) };
    assert_eq!(classes(&purged, &[seal(Object::workspace(WORKSPACE), MADE_BY)]), []);
    let failed = Intent { sealed: Vec::new(), ..workspace(Intended::Nothing) };
    assert_eq!(classes(&failed, &[]), []);
}

#[test]
fn each_relationship_that_is_gone_is_missed_and_each_in_its_class() {
    let intent = workspace(Intended::Granted);
    let wanted = [(Class::Missing, None), (Class::Missing, Some(user(1))), (Class::Missing, Some(robot(2))), (Class::SealMissing, None)];
    for (gone, (class, member)) in wanted.into_iter().enumerate() {
        let mut held = right();
        held.remove(gone);
        assert_eq!(classes(&intent, &held), [(class, member, 1, 0)]);
    }
    let found = compare(&intent, &right(), &[true, false]);
    assert_eq!(found, [Drift::missing(Class::Missing, environment(WORKSPACE, Uuid::from_u128(0xe2)))]);
}

#[test]
fn another_role_or_a_second_one_is_a_wrong_role() {
    let intent = workspace(Intended::Granted);
    let mut other = right();
    other[1] = on("viewer", user(1).into());
    assert_eq!(classes(&intent, &other), [(Class::WrongRole, Some(user(1)), 1, 1)]);
    let second = [right(), vec![on("admin", user(1).into()), on("member", user(1).into())]].concat();
    assert_eq!(classes(&intent, &second), [(Class::WrongRole, Some(user(1)), 0, 2)]);
}

#[test]
fn what_nobody_meant_is_too_much() {
    let intent = workspace(Intended::Granted);
    let stranger = [right(), vec![on("viewer", user(8).into())]].concat();
    assert_eq!(classes(&intent, &stranger), [(Class::Surplus, Some(user(8)), 0, 1)]);
    for odd in [
        on("account", Object::account(Uuid::from_u128(0xbb))),
        on("owner", Object::new("user", "ann")),
        on("owner", Object::new("user", user(1).id.simple())),
    ] {
        assert_eq!(classes(&intent, &[right(), vec![odd.clone()]].concat()), [(Class::Surplus, None, 0, 1)], "{odd:?}");
    }
    for intended in [Intended::Nothing, Intended::Purged] {
        assert_eq!(classes(&workspace(intended), &right()), vec![(Class::Surplus, None, 0, 1); 3]);
    }
}

#[test]
fn what_is_on_its_way_is_left_alone() {
    assert_eq!(classes(&workspace(Intended::InFlight), &[on("viewer", user(8).into())]), []);
    // The owner's role changed lately, and so did that of a stranger; the robot's did not.
    let intent = Intent { unsettled: vec![user(1), user(8)], ..workspace(Intended::Granted) };
    let held = [on("account", Object::account(ACCOUNT)), on("viewer", user(8).into()), seal(Object::workspace(WORKSPACE), MADE_BY)];
    assert_eq!(classes(&intent, &held), [(Class::Missing, Some(robot(2)), 1, 0)]);
}

#[test]
fn an_account_hangs_below_the_platform_and_has_no_viewers() {
    let account = Intent {
        on: ScopeRef { scope: Scope::Account, id: ACCOUNT, account_id: ACCOUNT },
        members: vec![(user(1), Role::Owner)],
        sealed: Vec::new(),
        environments: Vec::new(),
        ..workspace(Intended::Granted)
    };
    let owner = Relationship::new(Object::account(ACCOUNT), "owner", user(1).into());
    let parent = Relationship::new(Object::account(ACCOUNT), "platform", Object::platform());
    assert_eq!(classes(&account, &[owner.clone(), parent.clone()]), []);
    assert_eq!(compare(&account, std::slice::from_ref(&owner), &[]), [Drift::missing(Class::Missing, parent)]);
    let other = Relationship::new(Object::account(ACCOUNT), "platform", Object::new("platform", "other"));
    assert_eq!(classes(&account, &[owner, other]), [(Class::Missing, None, 1, 0), (Class::Surplus, None, 0, 1)]);
}
