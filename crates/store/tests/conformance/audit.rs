//! The audit log: chains that verify, pages in both directions, the platform's own chain.

use domain::audit::{Personal, verify};
use domain::ports::AuditLog;
use rstest::rstest;
use saga::journal::Ending;
use serde_json::json;
use testkit::Backend::{self, Postgres, Sqlite};
use uuid::Uuid;

use crate::world::{World, draft};

#[rstest]
#[tokio::test]
async fn entries_come_back_as_they_were_sealed(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(3).await;
    let mut draft = draft(account, None, "odd");
    draft.user_agent = Some(Personal::new("curl/8 \u{1F980}", [7; 32]));
    draft.after = Some(json!({"float": 1e21, "small": 1.0e-7, "text": "\u{0000}\u{FFFF}\"", "z": 1, "a": 2}));
    let sealed = world.store.append(draft).await.unwrap();
    let entries = world.store.of_account(account, 0, 100).await.unwrap();
    assert_eq!(entries.last(), Some(&sealed));
    verify(&entries).unwrap();
}

#[rstest]
#[tokio::test]
async fn an_accounts_chain_is_paged_forwards_and_a_workspaces_entries_backwards(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(3).await;
    let (workspace, _) = world.workspace(account, "data").await;
    for n in 0..5 {
        world.store.append(draft(account, (n % 2 == 0).then_some(workspace), &format!("a{n}"))).await.unwrap();
    }
    let of_account = |after, limit| world.store.of_account(account, after, limit);
    let seqs = |entries: &[domain::audit::Entry]| entries.iter().map(|e| e.seq).collect::<Vec<_>>();
    assert_eq!(seqs(&of_account(0, 3).await.unwrap()), [1, 2, 3]);
    assert_eq!(seqs(&of_account(3, 100).await.unwrap()), [4, 5, 6, 7, 8]);
    assert_eq!(seqs(&world.store.of_workspace(workspace, None, 2).await.unwrap()), [8, 6]);
    assert_eq!(seqs(&world.store.of_workspace(workspace, Some(6), 10).await.unwrap()), [4, 3]);
    assert_eq!(world.store.of_workspace(Uuid::now_v7(), None, 10).await.unwrap(), []);
}

#[rstest]
#[tokio::test]
async fn the_platform_has_a_chain_of_its_own(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    for seq in 1..=3 {
        assert_eq!(world.store.append(draft(Uuid::nil(), None, "denied")).await.unwrap().seq, seq);
    }
    verify(&world.store.of_account(Uuid::nil(), 0, 10).await.unwrap()).unwrap();
}

#[rstest]
#[tokio::test]
async fn a_run_that_ended_leaves_an_entry_over_its_journal(#[values(Sqlite, Postgres)] backend: Backend) {
    use sha2::Digest as _;
    let world = World::new(backend).await;
    let account = world.account(3).await;
    let (workspace, run) = world.workspace(account, "data").await;
    world.end(workspace, Ending::Cancelled).await;
    let entry = world.store.of_workspace(workspace, None, 1).await.unwrap().remove(0);
    assert_eq!((entry.action.as_str(), entry.outcome.as_str()), ("run.end", "cancelled"));
    assert_eq!((entry.run_id, entry.request_id.as_deref()), (Some(run), Some("r-1")));
    let journal = domain::ports::ProvisioningRuns::get(&world.store, run).await.unwrap().unwrap().journal;
    assert_eq!(journal.len(), 1, "the ended record is part of what is digested");
    let mut hash = sha2::Sha256::new();
    for record in journal {
        hash.update(serde_json_canonicalizer::to_vec(&record).unwrap());
        hash.update(b"\n");
    }
    let hex: Vec<String> = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(entry.journal_sha256, Some(hex.concat()));
    verify(&world.store.of_account(account, 0, 100).await.unwrap()).unwrap();
}
