//! Exports: who may start one, and what it leaves.

use std::sync::Mutex;

use async_trait::async_trait;
use domain::Error;
use domain::exports::{Abort, Wanted, Written, authorize, end, receipt, start};
use domain::model::{AccountStatus, Export, ExportFormat, ExportSection, Freeze, FreezeMode, FreezeSource, WorkspaceStatus};
use domain::permissions::{Consistency, Object};
use domain::ports::{ExportEnd, ExportPlan, ExportSink, Exports, NewExport, Place, Reading};
use rstest::rstest;
use saga::{StoreError, Time};
use serde_json::json;
use uuid::Uuid;

use crate::world::{ACCOUNT, OTHER, USER, WORKSPACE, World, caller, ready};

/// What the use cases put on record.
#[derive(Default)]
pub struct Receipts {
    /// All places are taken.
    is_busy: Mutex<bool>,
    is_away: Mutex<bool>,
    begun: Mutex<Vec<NewExport>>,
    ended: Mutex<Vec<ExportEnd>>,
    stored: Mutex<Option<Export>>,
}

#[async_trait]
impl Exports for World {
    fn place(&self) -> Option<Place> {
        (!*self.exports.is_busy.lock().unwrap()).then(|| Place::new(()))
    }

    async fn begin(&self, new: NewExport) -> Result<Time, StoreError> {
        if *self.exports.is_away.lock().unwrap() {
            return Err(StoreError::Unavailable("away".to_owned()));
        }
        self.exports.begun.lock().unwrap().push(new);
        Ok(Time::from_micros(7))
    }

    async fn read(&self, _: &ExportPlan, _: &mut dyn ExportSink) -> Result<Reading, StoreError> {
        panic!("no use case reads an export")
    }

    async fn end(&self, end: ExportEnd) -> Result<(), StoreError> {
        self.exports.ended.lock().unwrap().push(end);
        Ok(())
    }

    async fn get(&self, _: Uuid) -> Result<Option<Export>, StoreError> {
        Ok(self.exports.stored.lock().unwrap().clone())
    }
}

fn wanted() -> Wanted {
    Wanted { format: ExportFormat::Ndjson, include: vec![ExportSection::Audit, ExportSection::Runs], csv_safe: true }
}

fn world() -> std::sync::Arc<World> {
    let world = World::new();
    world.account(AccountStatus::Active);
    world.workspace(WorkspaceStatus::Active);
    world
}

fn freeze(mode: FreezeMode) -> Freeze {
    Freeze {
        source: FreezeSource::Billing,
        mode,
        code: "unpaid".to_owned(),
        note: None,
        created_by: OTHER,
        created_at: Time::from_micros(0),
        expires_at: None,
    }
}

#[test]
fn an_export_is_on_record_before_anything_is_read_and_when_it_has_ended() {
    let world = world();
    world.grant([(Object::workspace(WORKSPACE), "read")]);
    let (berth, caller) = (world.berth(), caller(USER));
    let started = ready(start(&berth, &caller, WORKSPACE, wanted())).unwrap();
    assert_eq!(*world.asked.lock().unwrap(), [Consistency::FullyConsistent]);
    let begun = world.exports.begun.lock().unwrap()[0].clone();
    assert_eq!((begun.id, begun.account_id, begun.workspace_id), (started.export.id, ACCOUNT, WORKSPACE));
    assert_eq!((begun.audit.action.as_str(), begun.audit.outcome.as_str()), ("workspace.export", "accepted"));
    assert_eq!(begun.audit.after, Some(json!({"format": "ndjson", "include": ["audit", "runs"], "csv_safe": true})));
    assert_eq!(begun.audit.actor.unwrap().principal, USER);
    assert_eq!((started.export.started_at, started.export.complete), (Time::from_micros(7), false));

    let written = Written { rows: 3, bytes: 70, sha256: "abc".to_owned() };
    for (abort, outcome, why) in [(None, "succeeded", json!(null)), (Some(Abort::ReaderTooSlow), "aborted", json!("reader_too_slow"))] {
        ready(end(&berth, &caller, &started, written.clone(), abort)).unwrap();
        let ended = world.exports.ended.lock().unwrap().pop().unwrap();
        assert_eq!((ended.id, ended.complete, ended.rows, ended.bytes, ended.sha256.as_str()), (begun.id, abort.is_none(), 3, 70, "abc"));
        assert_eq!((ended.audit.action.as_str(), ended.audit.outcome.as_str()), ("workspace.export.end", outcome));
        let expected = json!({"rows": 3, "bytes": 70, "sha256": "abc", "complete": abort.is_none(), "aborted": why});
        assert_eq!(ended.audit.after, Some(expected));
    }
}

/// Catches an export that is read although nobody will know of it.
#[test]
fn without_its_entry_there_is_no_export() {
    let world = world();
    world.grant([(Object::workspace(WORKSPACE), "read")]);
    *world.exports.is_away.lock().unwrap() = true;
    let refused = ready(start(&world.berth(), &caller(USER), WORKSPACE, wanted())).unwrap_err();
    assert!(matches!(refused, Error::Store(StoreError::Unavailable(_))), "{refused:?}");
}

#[test]
fn who_may_not_read_or_finds_no_place_leaves_nothing() {
    let world = world();
    let refused = ready(start(&world.berth(), &caller(USER), WORKSPACE, wanted())).unwrap_err();
    assert!(matches!(refused, Error::NotFound { what: "workspace" }), "{refused:?}");
    world.grant([(Object::workspace(WORKSPACE), "read")]);
    *world.exports.is_busy.lock().unwrap() = true;
    let refused = ready(start(&world.berth(), &caller(USER), WORKSPACE, wanted())).unwrap_err();
    assert!(matches!(refused, Error::ExportBusy), "{refused:?}");
    assert!(world.exports.begun.lock().unwrap().is_empty());
}

#[rstest]
#[case(FreezeMode::ReadOnly, true)]
#[case(FreezeMode::Blocked, false)]
fn a_blocked_workspace_is_not_exported(#[case] mode: FreezeMode, #[case] is_exported: bool) {
    let world = world();
    world.grant([(Object::workspace(WORKSPACE), "read"), (Object::workspace(WORKSPACE), "administer")]);
    world.workspaces.lock().unwrap().get_mut(&WORKSPACE).unwrap().freezes = vec![freeze(mode)];
    match ready(authorize(&world.berth(), &caller(USER), WORKSPACE)) {
        Ok(_) => assert!(is_exported),
        Err(Error::Frozen { freezes }) => assert_eq!((is_exported, freezes), (false, vec![freeze(mode)])),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn a_receipt_is_seen_by_who_may_read_the_workspace() {
    let world = world();
    let (berth, caller) = (world.berth(), caller(USER));
    let hidden = ready(receipt(&berth, &caller, Uuid::from_u128(1))).unwrap_err().to_string();
    let stored = Export {
        id: Uuid::from_u128(1),
        account_id: ACCOUNT,
        workspace_id: WORKSPACE,
        format: ExportFormat::Csv,
        include: vec![ExportSection::Runs],
        csv_safe: false,
        created_by: OTHER,
        started_at: Time::from_micros(0),
        ended_at: None,
        complete: false,
        rows: None,
        bytes: None,
        sha256: None,
    };
    *world.exports.stored.lock().unwrap() = Some(stored.clone());
    assert_eq!(ready(receipt(&berth, &caller, stored.id)).unwrap_err().to_string(), hidden, "what may not be seen is not there");
    world.grant([(Object::workspace(WORKSPACE), "read")]);
    assert_eq!(ready(receipt(&berth, &caller, stored.id)).unwrap(), stored);
    assert_eq!(*world.asked.lock().unwrap(), [Consistency::FullyConsistent, Consistency::FullyConsistent]);
}
