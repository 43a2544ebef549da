//! Exports: one moment whatever happens meanwhile, batch by batch, and connections that come back.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use domain::audit::verify;
use domain::ids::bucket;
use domain::model::{Export, ExportFormat, ExportSection, Role, Scope, ScopeRef};
use domain::ports::{
    AuditLog, ChangeAnswer, ExportBatch, ExportEnd, ExportPlan, ExportSink, Exports, Members, NewExport, Reading, RoleChange, Stopped,
    Workspaces, Written,
};
use rstest::rstest;
use saga::StoreError;
use saga::journal::Ending;
use store::Store;
use store::db::Statement;
use testkit::Backend::{self, Postgres, Sqlite};
use testkit::bulk::append_entries;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::world::{World, draft, role_change, user};

fn new_export(account: Uuid, workspace: Uuid) -> NewExport {
    NewExport {
        id: domain::ids::within(account, Uuid::now_v7()),
        account_id: account,
        workspace_id: workspace,
        format: ExportFormat::Csv,
        include: vec![ExportSection::Runs, ExportSection::BackendWorkspaces],
        csv_safe: false,
        created_by: user(),
        audit: draft(account, Some(workspace), "workspace.export"),
    }
}

fn plan(account: Uuid, workspace: Uuid, include: &[ExportSection]) -> ExportPlan {
    let patience = Duration::from_mins(1);
    ExportPlan { account_id: account, workspace_id: workspace, include: include.to_vec(), whole_chain: false, patience }
}

/// Keeps what it is given; may do something at its first batch, or want no more after some.
#[derive(Default)]
struct Kept {
    sections: Vec<ExportSection>,
    batches: Vec<ExportBatch>,
    at_first: Option<(Store, Uuid, Uuid)>,
    stop_after: Option<usize>,
}

#[async_trait]
impl ExportSink for Kept {
    fn begin(&mut self, section: ExportSection) {
        self.sections.push(section);
    }

    async fn take(&mut self, batch: ExportBatch) -> Result<(), Stopped> {
        self.batches.push(batch);
        if let Some((store, account, workspace)) = self.at_first.take() {
            // Entries, and what the sections still to come would show.
            append_entries(store.db(), account, Some(workspace), 3).await;
            let on = ScopeRef { scope: Scope::Workspace, id: workspace, account_id: account };
            let added = Members::change(&store, role_change(on, user(), RoleChange::Add(Role::Viewer))).await.unwrap();
            assert!(matches!(added, Written::Done(ChangeAnswer::Made(_))), "{added:?}");
        }
        if self.stop_after == Some(self.batches.len()) { Err(Stopped) } else { Ok(()) }
    }
}

impl Kept {
    fn entries(&self) -> Vec<(u64, bool)> {
        let seq = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap()["seq"].as_u64().unwrap();
        let mut entries = Vec::new();
        for batch in &self.batches {
            match batch {
                ExportBatch::Audit(texts) => entries.extend(texts.iter().map(|text| (seq(text), true))),
                ExportBatch::Chain(chain) => entries.extend(chain.iter().map(|entry| (entry.seq, entry.is_own))),
                _ => {}
            }
        }
        entries
    }

    fn members(&self) -> usize {
        self.batches.iter().map(|batch| if let ExportBatch::Members(members) = batch { members.len() } else { 0 }).sum()
    }
}

/// Returns once no connection is in use: a pool gets a dropped one back in its own time.
async fn all_free(world: &World) {
    while world.test.db.in_use() > 0 {
        tokio::task::yield_now().await;
    }
}

#[rstest]
#[tokio::test]
async fn a_receipt_is_incomplete_until_its_export_has_ended_and_both_are_audited(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(3).await;
    let (workspace, _) = world.workspace(account, "data").await;
    let exports = world.store.exports(1);
    let new = new_export(account, workspace);
    let started_at = exports.begin(new.clone()).await.unwrap();
    let open = Export {
        id: new.id,
        account_id: account,
        workspace_id: workspace,
        format: ExportFormat::Csv,
        include: new.include.clone(),
        csv_safe: false,
        created_by: new.created_by,
        started_at,
        ended_at: None,
        complete: false,
        rows: None,
        bytes: None,
        sha256: None,
    };
    assert_eq!(exports.get(new.id).await.unwrap(), Some(open.clone()));
    let audit = draft(account, Some(workspace), "workspace.export.end");
    let end = ExportEnd { id: new.id, complete: true, rows: 7, bytes: 1 << 40, sha256: "ab".repeat(32), audit };
    exports.end(end.clone()).await.unwrap();
    let ended = exports.get(new.id).await.unwrap().unwrap();
    assert!(ended.ended_at >= Some(started_at));
    let expected =
        Export { complete: true, rows: Some(7), bytes: Some(1 << 40), sha256: Some("ab".repeat(32)), ended_at: ended.ended_at, ..open };
    assert_eq!(ended, expected);
    let again = exports.end(ExportEnd { complete: false, ..end }).await.unwrap_err();
    assert!(matches!(again, StoreError::Broken(_)), "a receipt does not change any more: {again:?}");
    assert_eq!(exports.get(new.id).await.unwrap(), Some(expected));
    let entries = world.store.of_account(account, 0, 100).await.unwrap();
    let actions: Vec<_> = entries.iter().rev().take(2).map(|e| e.action.as_str()).collect();
    assert_eq!(actions, ["workspace.export.end", "workspace.export"]);
    verify(&entries).unwrap();
    assert_eq!(exports.get(Uuid::now_v7()).await.unwrap(), None);
}

/// Catches an export whose sections are read at different moments.
#[rstest]
#[tokio::test]
async fn what_is_written_during_an_export_is_not_in_it(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(3).await;
    let workspace = world.active_workspace(account, "data").await.id;
    append_entries(&world.test.db, account, Some(workspace), 1_200).await;
    let exports = world.store.exports(1);
    let plan = plan(account, workspace, &[ExportSection::Audit, ExportSection::Members]);
    let mut sink = Kept { at_first: Some((world.store.clone(), account, workspace)), ..Kept::default() };
    assert_eq!(exports.read(&plan, &mut sink).await.unwrap(), Reading::Whole);
    let sizes: Vec<_> = sink.batches.iter().map(|b| if let ExportBatch::Audit(texts) = b { texts.iter().count() } else { 0 }).collect();
    assert_eq!(sizes, [500, 500, 202, 0], "with the creation of the workspace and the end of its run");
    assert!(sink.entries().is_sorted_by(|one, next| one < next), "each behind the one before it, from batch to batch too");
    assert_eq!(sink.members(), 1);
    let mut later = Kept::default();
    exports.read(&plan, &mut later).await.unwrap();
    assert_eq!((later.entries().len(), later.members()), (1_206, 2), "they are there afterwards");
}

#[rstest]
#[tokio::test]
async fn sections_come_in_the_order_of_the_plan_whatever_is_in_them(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(3).await;
    let (workspace, run) = world.workspace(account, "data").await;
    world.end(workspace, Ending::Succeeded).await;
    let (_, _) = world.workspace(account, "other").await;
    let order = [
        ExportSection::Connections,
        ExportSection::Audit,
        ExportSection::Runs,
        ExportSection::Members,
        ExportSection::BackendWorkspaces,
        ExportSection::Environments,
        ExportSection::Workspace,
    ];
    let mut sink = Kept::default();
    world.store.exports(1).read(&plan(account, workspace, &order), &mut sink).await.unwrap();
    assert_eq!(sink.sections, order);
    let runs: Vec<_> = sink.batches.iter().filter_map(|b| if let ExportBatch::Run(detail) = b { Some(detail) } else { None }).collect();
    assert_eq!(runs.len(), 1, "of this workspace only");
    assert_eq!((runs[0].run.id, runs[0].journal.len()), (run, 1));
    let stored = Workspaces::get(&world.store, workspace).await.unwrap().unwrap();
    assert_eq!(sink.batches.last(), Some(&ExportBatch::Workspace(Box::new(stored))));
}

#[rstest]
#[tokio::test]
async fn a_whole_chain_tells_the_workspaces_entries_from_the_accounts_others(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(3).await;
    let (workspace, _) = world.workspace(account, "data").await;
    append_entries(&world.test.db, account, None, 1).await;
    append_entries(&world.test.db, account, Some(workspace), 1).await;
    let mut plan = plan(account, workspace, &[ExportSection::Audit]);
    let (mut own, mut whole) = (Kept::default(), Kept::default());
    let exports = world.store.exports(1);
    exports.read(&plan, &mut own).await.unwrap();
    plan.whole_chain = true;
    exports.read(&plan, &mut whole).await.unwrap();
    assert_eq!(own.entries(), [(3, true), (5, true)]);
    assert_eq!(whole.entries(), [(1, false), (2, false), (3, true), (4, false), (5, true)]);
}

#[rstest]
#[tokio::test]
async fn many_members_are_read_page_by_page(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(3).await;
    let on = world.active_workspace(account, "data").await;
    for _ in 0..501 {
        Members::change(&world.store, role_change(on, user(), RoleChange::Add(Role::Member))).await.unwrap();
    }
    let mut sink = Kept::default();
    world.store.exports(1).read(&plan(account, on.id, &[ExportSection::Members]), &mut sink).await.unwrap();
    let [ExportBatch::Members(first), ExportBatch::Members(second)] = sink.batches.as_slice() else { panic!("{:?}", sink.batches) };
    let found: HashSet<_> = first.iter().chain(second).map(|m| (m.principal, m.role)).collect();
    assert_eq!(first.len(), 500);
    let expected =
        Workspaces::memberships(&world.store, Scope::Workspace, on.id).await.unwrap().into_iter().map(|m| (m.principal, m.role)).collect();
    assert_eq!(found, expected);
}

#[rstest]
#[tokio::test]
async fn a_sink_that_wants_no_more_ends_the_reading_and_frees_the_connection(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(3).await;
    let (workspace, _) = world.workspace(account, "data").await;
    append_entries(&world.test.db, account, Some(workspace), 1_000).await;
    let mut sink = Kept { stop_after: Some(1), ..Kept::default() };
    let reading = world.store.exports(1).read(&plan(account, workspace, ExportSection::ALL), &mut sink).await.unwrap();
    assert_eq!((reading, sink.batches.len()), (Reading::Stopped, 1));
    all_free(&world).await;
}

/// Catches a text that would be taken for two: whoever wrote it is not Berth.
#[rstest]
#[tokio::test]
async fn an_entry_that_is_no_json_ends_the_export(#[values(Sqlite, Postgres)] backend: Backend) {
    static FORGE: Statement =
        Statement::shared("forge", "update audit_entries set entry = $3 where bucket = $1 and account_id = $2 and seq = 4");
    let world = World::new(backend).await;
    let account = world.account(3).await;
    let (workspace, _) = world.workspace(account, "data").await;
    append_entries(&world.test.db, account, Some(workspace), 6).await;
    let mut tx = world.test.db.write().await.unwrap();
    let forged = tx.query(&FORGE).bind(bucket(account)).bind(account).bind("{\"seq\":4}\u{1e}{\"seq\":4}").execute().await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(forged, 1);
    let read = world.store.exports(1).read(&plan(account, workspace, &[ExportSection::Audit]), &mut Kept::default()).await;
    assert!(matches!(read, Err(StoreError::Broken(_))), "{read:?}");
}

/// Waits in `take` until it is told to go on.
struct Held {
    taken: Arc<AtomicUsize>,
    begun: Arc<Notify>,
    go: Arc<Notify>,
}

#[async_trait]
impl ExportSink for Held {
    fn begin(&mut self, _: ExportSection) {}

    async fn take(&mut self, _: ExportBatch) -> Result<(), Stopped> {
        self.taken.fetch_add(1, Ordering::SeqCst);
        self.begun.notify_one();
        self.go.notified().await;
        Ok(())
    }
}

/// As many exports as there are places are held in mid-read; everybody else goes on, and a dropped one gives everything back.
#[rstest]
#[tokio::test]
async fn held_exports_leave_room_for_others_and_a_dropped_one_gives_its_connection_back(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(3).await;
    let (workspace, _) = world.workspace(account, "data").await;
    append_entries(&world.test.db, account, Some(workspace), 1_200).await;
    let exports = world.store.exports(2);
    all_free(&world).await;
    let (taken, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let mut held = Vec::new();
    for _ in 0..2 {
        let place = exports.place().expect("a place is free");
        let begun = Arc::new(Notify::new());
        let mut sink = Held { taken: taken.clone(), begun: begun.clone(), go: go.clone() };
        let (exports, plan) = (exports.clone(), plan(account, workspace, &[ExportSection::Audit]));
        held.push(tokio::spawn(async move {
            let _place = place;
            exports.read(&plan, &mut sink).await
        }));
        begun.notified().await;
    }
    assert!(exports.place().is_none(), "both are taken");
    assert_eq!(world.test.db.in_use(), 2);
    for _ in 0..20 {
        let (read, now) = tokio::join!(Workspaces::get(&world.store, workspace), domain::ports::Health::now(&world.store));
        assert!(read.unwrap().is_some() && now.is_ok());
        world.store.append(draft(account, None, "meanwhile")).await.unwrap();
    }
    assert_eq!(taken.load(Ordering::SeqCst), 2, "no batch is read before the last one was taken");
    for task in held {
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }
    all_free(&world).await;
    assert!(exports.place().is_some());
}
