//! What a blocking freeze leaves of the reads.

use domain::Error;
use domain::audit::read::of_workspace;
use domain::model::{AccountStatus, FreezeMode, FreezeSource, ProvisioningRun, RunDetail, WorkspaceStatus};
use domain::permissions::Object;
use domain::ports::{AuditFilter, AuditPage, Page, RunFilter, WorkspaceFilter};
use domain::workspaces::read::{authorize_read, by_account, environments, get};
use domain::{Berth, Caller};
use rstest::rstest;
use saga::RunId;
use uuid::Uuid;

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

/// The ids of all the runs that the caller is shown, page by page.
fn runs_shown(berth: &Berth, caller: &Caller, filter: &RunFilter, limit: u32) -> Vec<u128> {
    let (mut shown, mut after) = (Vec::new(), None);
    loop {
        let page = ready(domain::runs::list(berth, caller, filter, Page { after, limit })).unwrap();
        assert!(page.items.len() <= usize::try_from(limit).unwrap());
        shown.extend(page.items.iter().map(|run| run.id.0.as_u128()));
        match page.next {
            Some(next) => after = Some(next),
            None => return shown,
        }
    }
}

#[rstest]
#[case::a_reader(&["read", "read_workspaces"], &[4, 1])]
#[case::an_administrator(&["read", "read_workspaces", "administer"], &[5, 4, 3, 2, 1])]
fn lists_show_runs_of_a_blocked_workspace_to_its_administrators_and_miss_no_other(
    #[case] rights: &[&'static str],
    #[case] expected: &[u128],
    #[values(None, Some(ACCOUNT))] account_id: Option<Uuid>,
    #[values(1, 2, 3, 10)] limit: u32,
) {
    let world = World::new();
    world.account(AccountStatus::Active);
    let open = Uuid::from_u128(0x0e51_0042);
    world.workspace(WorkspaceStatus::Provisioning);
    world.workspace_of(open, WorkspaceStatus::Provisioning);
    world.freeze(FreezeSource::Security, FreezeMode::Blocked);
    let run = live_run(&world);
    // Of both, and one of the account's own.
    for (id, workspace_id) in [(5, Some(WORKSPACE)), (4, Some(open)), (3, Some(WORKSPACE)), (2, Some(WORKSPACE)), (1, None)] {
        let run = ProvisioningRun { id: RunId(Uuid::from_u128(id)), workspace_id, ..run.run.clone() };
        world.run(RunDetail { run, journal: Vec::new(), pending_verbs: Vec::new() });
    }
    world.grant(rights.iter().map(|right| (Object::account(ACCOUNT), *right)));
    let filter = RunFilter { account_id, ..RunFilter::default() };
    assert_eq!(runs_shown(&world.berth(), &caller(USER), &filter, limit), expected);
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
