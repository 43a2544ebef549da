//! What a blocking freeze leaves of the reads.

use domain::Error;
use domain::audit::read::of_workspace;
use domain::model::{AccountStatus, FreezeMode, FreezeSource, WorkspaceStatus};
use domain::permissions::Object;
use domain::ports::{AuditFilter, AuditPage, Page, RunFilter, WorkspaceFilter};
use domain::workspaces::read::{authorize_read, by_account, environments, get};
use domain::{Berth, Caller};
use rstest::rstest;

use crate::runs::live_run;
use crate::world::{ACCOUNT, RUN, USER, WORKSPACE, World, caller, ready};

const ENTRIES: AuditPage = AuditPage { above: None, below: None, oldest_first: false, limit: 9 };
const PAGE: Page = Page { after: None, limit: 10 };

/// How each read answers: `.` for an answer, `F` for frozen, `-` for not found. In order: the workspace, its run, its runs,
/// its audit entries, its environments, a pillar.
fn answers(berth: &Berth, caller: &Caller) -> String {
    let runs = RunFilter { workspace_id: Some(WORKSPACE), ..RunFilter::default() };
    [
        ready(get(berth, caller, WORKSPACE)).map(drop),
        ready(domain::runs::get(berth, caller, RUN)).map(drop),
        ready(domain::runs::list(berth, caller, &runs, PAGE)).map(drop),
        ready(of_workspace(berth, caller, WORKSPACE, &AuditFilter::default(), ENTRIES)).map(drop),
        ready(environments(berth, caller, WORKSPACE)).map(drop),
        ready(authorize_read(berth, caller, WORKSPACE)),
    ]
    .into_iter()
    .map(|answer| match answer {
        Ok(()) => '.',
        Err(Error::Frozen { freezes }) => {
            assert!(freezes.iter().all(|f| f.mode == FreezeMode::Blocked), "only what blocks is named: {freezes:?}");
            'F'
        }
        Err(Error::NotFound { .. }) => '-',
        Err(other) => panic!("{other:?}"),
    })
    .collect()
}

#[rstest]
#[case::a_stranger(&[], "------", "------")]
#[case::a_reader(&["read", "read_workspaces"], "......", "FFFFFF")]
#[case::an_administrator(&["read", "read_workspaces", "administer"], "......", "....FF")]
fn a_blocking_freeze_leaves_workspace_runs_and_audit_to_its_administrators(
    #[case] rights: &[&'static str],
    #[case] read_only: &str,
    #[case] blocked: &str,
    #[values(WorkspaceStatus::Active, WorkspaceStatus::Provisioning)] status: WorkspaceStatus,
) {
    let world = World::new();
    world.account(AccountStatus::Active);
    world.workspace(status);
    world.run(live_run(&world));
    let object = if status == WorkspaceStatus::Active { Object::workspace(WORKSPACE) } else { Object::account(ACCOUNT) };
    world.grant(rights.iter().map(|right| (object.clone(), *right)));
    let (berth, caller) = (world.berth(), caller(USER));
    world.freeze(FreezeSource::Billing, FreezeMode::ReadOnly);
    assert_eq!(answers(&berth, &caller), read_only);
    world.freeze(FreezeSource::Security, FreezeMode::Blocked);
    assert_eq!(answers(&berth, &caller), blocked);
}

#[test]
fn lists_show_a_blocked_workspace() {
    let world = World::new();
    world.account(AccountStatus::Active);
    world.workspace(WorkspaceStatus::Active);
    world.freeze(FreezeSource::Legal, FreezeMode::Blocked);
    world.grant([(Object::account(ACCOUNT), "read"), (Object::workspace(WORKSPACE), "read")]);
    let listed = ready(by_account(&world.berth(), &caller(USER), ACCOUNT, &WorkspaceFilter::default(), PAGE)).unwrap();
    assert_eq!(listed.items.iter().map(|w| w.id).collect::<Vec<_>>(), [WORKSPACE]);
}
