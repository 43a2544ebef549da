//! Accounts: creation, who sees which, and what the end of their run makes of them.

use domain::change::{Change, Subject};
use domain::model::{AccountStatus, Scope};
use domain::ports::{Accounts, AuditLog, Page, ProvisioningRuns, Workspaces, Written};
use rstest::rstest;
use saga::journal::Ending;
use testkit::Backend::{self, Postgres, Sqlite};
use uuid::Uuid;

use crate::world::{World, ended, kept, new_account, user};

#[rstest]
#[tokio::test]
async fn a_create_leaves_row_membership_run_and_audit_entry(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let new = new_account(7);
    let wanted = new.clone();
    assert_eq!(Accounts::create(&world.store, new).await.unwrap(), Written::Done(()));
    let account = Accounts::get(&world.store, wanted.id).await.unwrap().unwrap();
    assert_eq!((account.name.as_str(), account.slug.as_str(), account.status), ("Acme", "acme", AccountStatus::Provisioning));
    assert_eq!((account.created_by, account.workspaces_max, account.permissions_token), (wanted.created_by, 7, None));
    let members = world.store.memberships(Scope::Account, wanted.id).await.unwrap();
    assert_eq!(members.iter().map(|m| (m.principal, m.role)).collect::<Vec<_>>(), [(wanted.created_by, wanted.role)]);
    assert!(ProvisioningRuns::get(&world.store, wanted.run.id).await.unwrap().is_some());
    assert_eq!(world.store.of_account(wanted.id, 0, 9).await.unwrap()[0].action, "account.create");
    assert_eq!(Accounts::get(&world.store, Uuid::new_v4()).await.unwrap(), None);
}

#[rstest]
#[tokio::test]
async fn a_creation_may_be_told_in_the_platforms_chain(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let mut new = new_account(7);
    new.audit.account_id = Uuid::nil();
    Accounts::create(&world.store, new).await.unwrap();
    assert_eq!(world.store.of_account(Uuid::nil(), 0, 9).await.unwrap().len(), 1);
}

#[rstest]
#[tokio::test]
async fn the_run_activates_its_account_or_fails_it(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let active = world.account(1).await;
    assert_eq!(Accounts::get(&world.store, active).await.unwrap().unwrap().status, AccountStatus::Active);
    let new = new_account(1);
    let id = new.id;
    Accounts::create(&world.store, new).await.unwrap();
    let worker = world.worker().await;
    let run = world.claim_one(worker).await;
    let mut commit = kept(&run, vec![]);
    commit.changes = vec![Change::KeepPermissionsToken { subject: Subject::Account(id), token: "9".to_owned() }];
    world.committed(commit).await;
    world.committed(ended(&run, Subject::Account(id), Ending::Failed)).await;
    let account = Accounts::get(&world.store, id).await.unwrap().unwrap();
    assert_eq!((account.status, account.permissions_token.as_deref()), (AccountStatus::Failed, Some("9")));
    assert_eq!(world.store.of_account(id, 0, 9).await.unwrap().last().unwrap().outcome, "failed");
}

#[rstest]
#[tokio::test]
async fn lists_hold_what_one_created_or_is_a_member_of_in_key_order(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let me = user();
    let mut mine = Vec::new();
    for n in 0..4 {
        let mut new = new_account(1);
        if n < 3 {
            new.created_by = me;
            mine.push(new.id);
        }
        Accounts::create(&world.store, new).await.unwrap();
    }
    mine.sort();
    let ids = |accounts: Vec<domain::model::Account>| accounts.iter().map(|a| a.id).collect::<Vec<_>>();
    assert_eq!(ids(Accounts::list(&world.store, Some(me), Page { after: None, limit: 2 }).await.unwrap()), mine[..2]);
    assert_eq!(ids(Accounts::list(&world.store, Some(me), Page { after: Some(mine[1]), limit: 2 }).await.unwrap()), mine[2..]);
    let all = ids(Accounts::list(&world.store, None, Page { after: None, limit: 100 }).await.unwrap());
    assert!(all.len() == 4 && all.is_sorted());
    assert_eq!(Accounts::list(&world.store, Some(user()), Page { after: None, limit: 100 }).await.unwrap(), []);
}
