use domain::accounts::{create, get, list};
use domain::berth::Reply;
use domain::ids::bucket;
use domain::me::me;
use domain::model::{AccountStatus, Role};
use domain::permissions::{Consistency, Object};
use domain::ports::Page;
use domain::steps::input::CreateAccountInput;
use domain::{Error, Principal};
use rstest::rstest;
use uuid::Uuid;

use crate::world::{ACCOUNT, OTHER, ROBOT, USER, World, caller, ready};

#[rstest]
#[case::nobody(false, false, false)]
#[case::an_operator(false, true, true)]
#[case::anybody_where_accounts_are_self_served(true, false, true)]
fn an_account_is_made_by_operators_or_by_anybody_if_so_configured(
    #[case] self_serve: bool,
    #[case] operator: bool,
    #[case] accepted: bool,
) {
    let world = World::new();
    world.grant(operator.then(|| (Object::platform(), "administer")));
    match ready(create(&world.berth_with(self_serve), &caller(USER), "Acme".to_owned(), None)) {
        Ok(_) => assert!(accepted),
        Err(Error::Forbidden { what: "platform", permission: "administer" }) => assert!(!accepted),
        Err(other) => panic!("{other:?}"),
    }
    assert_eq!((world.created_accounts.lock().unwrap().len(), world.wakes()), (usize::from(accepted), usize::from(accepted)));
}

#[rstest]
#[case(USER, Role::Owner)]
#[case(ROBOT, Role::Admin)]
fn a_new_account_begins_its_own_audit_chain_with_its_creator_in_the_right_role(#[case] creator: Principal, #[case] role: Role) {
    let world = World::new();
    let Reply::Fresh(accepted) = ready(create(&world.berth_with(true), &caller(creator), " Ünïcorn Ltd ".to_owned(), None)).unwrap()
    else {
        panic!("replayed")
    };
    let created = world.created_accounts.lock().unwrap();
    let new = &created[0];
    assert_eq!((new.name.as_str(), new.slug.as_str(), new.role), ("Ünïcorn Ltd", "unicorn-ltd", role));
    assert_eq!((new.id, new.audit.account_id, new.run.account_id), (accepted.account_id, accepted.account_id, accepted.account_id));
    assert_eq!((new.run.workspace_id, bucket(new.run.id.0)), (None, bucket(new.id)));
    let input: CreateAccountInput = serde_json::from_value(new.run.input.clone()).unwrap();
    assert_eq!((input.account_id, input.creator), (new.id, creator));
}

#[test]
fn an_accounts_name_keeps_the_rules_of_names() {
    let world = World::new();
    let answer = ready(create(&world.berth_with(true), &caller(USER), "a\u{202E}b".to_owned(), None));
    assert!(matches!(answer, Err(Error::Invalid(invalid)) if invalid[0].pointer == "/name"));
}

#[rstest]
#[case::active_without_right(AccountStatus::Active, USER, &[], false)]
#[case::active_with_right(AccountStatus::Active, OTHER, &[(Object::account(ACCOUNT), "read")], true)]
#[case::provisioning_to_its_creator(AccountStatus::Provisioning, USER, &[], true)]
#[case::failed_to_its_creator(AccountStatus::Failed, USER, &[], true)]
#[case::provisioning_to_another(AccountStatus::Provisioning, OTHER, &[(Object::account(ACCOUNT), "read")], false)]
#[case::failed_to_an_auditor(AccountStatus::Failed, OTHER, &[(Object::platform(), "read")], true)]
fn an_account_that_is_not_active_is_seen_by_its_creator_and_the_platforms_readers(
    #[case] status: AccountStatus,
    #[case] created_by: Principal,
    #[case] rights: &[(Object, &'static str)],
    #[case] seen: bool,
) {
    let world = World::new();
    world.account_of(ACCOUNT, status, created_by);
    world.grant(rights.iter().cloned());
    match ready(get(&world.berth(), &caller(USER), ACCOUNT)) {
        Ok(account) => assert!(seen && account.id == ACCOUNT),
        Err(Error::NotFound { what: "account" }) => assert!(!seen),
        Err(other) => panic!("{other:?}"),
    }
}

#[rstest]
#[case::rows_without_rights(&[], &[2])]
#[case::rights_that_still_hold(&[(Object::account(Uuid::from_u128(1)), "read")], &[1, 2])]
#[case::the_platforms_reader(&[(Object::platform(), "read")], &[1, 2, 3])]
fn a_list_of_accounts_shows_what_a_read_of_each_would(#[case] rights: &[(Object, &'static str)], #[case] expected: &[u128]) {
    let world = World::new();
    world.account_of(Uuid::from_u128(1), AccountStatus::Active, USER);
    world.account_of(Uuid::from_u128(2), AccountStatus::Provisioning, USER);
    world.account_of(Uuid::from_u128(3), AccountStatus::Failed, OTHER);
    world.grant(rights.iter().cloned());
    let listed = ready(list(&world.berth(), &caller(USER), Page { after: None, limit: 10 })).unwrap();
    assert_eq!(listed.items.iter().map(|a| a.id.as_u128()).collect::<Vec<_>>(), expected);
    assert!(world.asked.lock().unwrap().iter().all(|c| *c == Consistency::FullyConsistent));
}

#[rstest]
#[case(&[], &[])]
#[case(&["read"], &["read"])]
#[case(&["read", "administer"], &["administer", "read"])]
fn me_tells_the_callers_rights_on_the_platform(#[case] rights: &[&'static str], #[case] told: &[&str]) {
    let world = World::new();
    world.grant(rights.iter().map(|right| (Object::platform(), *right)));
    let me = ready(me(&world.berth(), &caller(USER))).unwrap();
    assert_eq!((me.principal.principal, me.platform_permissions.as_slice()), (USER, told));
}
