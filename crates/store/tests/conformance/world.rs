//! What the cases start from: a database, accounts in it, and drafts of what is to be made.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::audit::Draft;
use domain::change::{Change, Subject};
use domain::ids::within;
use domain::model::{MembershipChange, Role, Scope, ScopeRef, TenancyModel};
use domain::ports::{
    Accounts, Answer, ChangeAnswer, CreateWorkspace, Idempotency, IdempotencyKey, Members, NewAccount, NewMembershipChange, NewRun,
    NewWorkspace, RoleChange, Slug, Workspaces, Written,
};
use domain::{Principal, PrincipalKind};
use saga::journal::{Ending, Event};
use saga::ports::{Claim, ClaimedRun, Commit, CommitAnswer, Disposition, Head, OnFailure, Runs, Sought, State};
use saga::{DefinitionId, Record, RunId, Time, WorkerId};
use serde_json::json;
use store::{Store, Waits};
use testkit::{Backend, TestDb};
use uuid::Uuid;

pub const LEASE: Duration = Duration::from_secs(10);

pub struct World {
    pub test: TestDb,
    pub store: Store,
}

impl World {
    pub async fn new(backend: Backend) -> Self {
        let test = TestDb::new(backend).await;
        Self { store: test.store(), test }
    }

    pub async fn with_lock_wait(backend: Backend, lock: Duration) -> Self {
        let test = TestDb::with_waits(backend, Waits { lock, ..Waits::default() }).await;
        Self { store: test.store(), test }
    }

    /// An active account.
    pub async fn account(&self, workspaces_max: i64) -> Uuid {
        let new = new_account(workspaces_max);
        let (id, run) = (new.id, new.run.id);
        assert_eq!(Accounts::create(&self.store, new).await.unwrap(), Written::Done(()));
        let worker = self.worker().await;
        let claimed = self.claim(worker).await.into_iter().find(|r| r.facts.run == run).expect("the account's run is due");
        let mut end = ended(&claimed, Subject::Account(id), Ending::Succeeded);
        end.changes.insert(0, Change::ActivateAccount { account_id: id, workspace: None });
        self.committed(end).await;
        Runs::<Change>::retire(&self.store, worker).await.unwrap();
        id
    }

    /// A workspace in `provisioning`, with its run.
    pub async fn workspace(&self, account: Uuid, slug: &str) -> (Uuid, RunId) {
        let new = new_workspace(account, slug);
        let ids = (new.id, new.run.id);
        let answer = Workspaces::create(&self.store, new).await.unwrap();
        assert_eq!(answer, Written::Done(CreateWorkspace::Created { slug: slug.to_owned() }));
        ids
    }

    /// An active workspace.
    pub async fn active_workspace(&self, account: Uuid, slug: &str) -> ScopeRef {
        let (id, _) = self.workspace(account, slug).await;
        self.end(id, Ending::Succeeded).await;
        ScopeRef { scope: Scope::Workspace, id, account_id: account }
    }

    pub async fn role_change(&self, on: ScopeRef, principal: Principal, change: RoleChange) -> ChangeAnswer {
        match Members::change(&self.store, role_change(on, principal, change)).await.unwrap() {
            Written::Done(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    /// A change that is made, and what of its line is to be delivered.
    pub async fn role_changed(&self, on: ScopeRef, principal: Principal, change: RoleChange) -> Vec<MembershipChange> {
        match self.role_change(on, principal, change).await {
            ChangeAnswer::Made(changed) => changed.undelivered,
            other => panic!("{change:?} was answered {other:?}"),
        }
    }

    pub async fn worker(&self) -> WorkerId {
        let worker = WorkerId(Uuid::now_v7());
        Runs::<Change>::register(&self.store, worker, LEASE, &[definition(1)]).await.unwrap();
        worker
    }

    pub async fn claim(&self, worker: WorkerId) -> Vec<ClaimedRun> {
        Runs::<Change>::claim(&self.store, &claim(worker)).await.unwrap().runs
    }

    /// The one run that is due.
    pub async fn claim_one(&self, worker: WorkerId) -> ClaimedRun {
        let mut runs = self.claim(worker).await;
        assert_eq!(runs.len(), 1, "one run is due");
        runs.remove(0)
    }

    pub async fn commit(&self, commit: Commit<Change>) -> CommitAnswer {
        self.store.commit(vec![commit]).await.remove(0)
    }

    /// Commits, and tells whether requests are left.
    pub async fn committed(&self, commit: Commit<Change>) -> bool {
        match self.commit(commit).await {
            CommitAnswer::Committed { requested, .. } => requested,
            other => panic!("not committed: {other:?}"),
        }
    }

    /// Ends a workspace's run in one commit.
    pub async fn end(&self, workspace: Uuid, ending: Ending) {
        let worker = self.worker().await;
        let claimed = self.claim_one(worker).await;
        let mut commit = ended(&claimed, Subject::Workspace(workspace), ending);
        if ending == Ending::Succeeded {
            commit.changes.insert(0, Change::ActivateWorkspace { workspace_id: workspace });
        }
        self.committed(commit).await;
        Runs::<Change>::retire(&self.store, worker).await.unwrap();
    }
}

/// A change of somebody's role there, as a use case would ask for it.
pub fn role_change(on: ScopeRef, principal: Principal, change: RoleChange) -> NewMembershipChange {
    NewMembershipChange {
        id: within(on.account_id, Uuid::now_v7()),
        on,
        principal,
        change,
        audit: draft(on.account_id, (on.scope == Scope::Workspace).then_some(on.id), "member.change"),
        replay: None,
    }
}

pub fn user() -> Principal {
    Principal { kind: PrincipalKind::User, id: Uuid::now_v7() }
}

pub fn definition(version: u32) -> DefinitionId {
    DefinitionId { name: "create-workspace".to_owned(), version, digest: format!("digest-{version}") }
}

pub fn claim(worker: WorkerId) -> Claim {
    Claim { worker, limit: 100, definitions: vec![definition(1)], without: Vec::new(), sought: Sought::All }
}

pub fn new_run(account: Uuid, workspace: Option<Uuid>) -> NewRun {
    NewRun {
        id: RunId(within(account, Uuid::now_v7())),
        definition: definition(1),
        account_id: account,
        workspace_id: workspace,
        retry_of: None,
        exclusive: true,
        input: json!({"text": "as it was \u{1F980}", "number": 1.5, "list": [null, true]}),
        on_failure: OnFailure::Rollback,
        total: 3,
        created_by: user(),
        trace: HashMap::from([("request_id".to_owned(), "r-1".to_owned())]),
    }
}

pub fn draft(account: Uuid, workspace: Option<Uuid>, action: &str) -> Draft {
    Draft {
        id: within(account, Uuid::now_v7()),
        account_id: account,
        workspace_id: workspace,
        actor: None,
        credential_id: None,
        source_ip: None,
        user_agent: None,
        action: action.to_owned(),
        targets: Vec::new(),
        outcome: "accepted".to_owned(),
        problem_type: None,
        request_id: None,
        trace_id: None,
        run_id: None,
        step: None,
        before: None,
        after: None,
        reason: None,
        journal_sha256: None,
    }
}

pub fn new_account(workspaces_max: i64) -> NewAccount {
    let id = Uuid::new_v4();
    NewAccount {
        id,
        name: "Acme".to_owned(),
        slug: "acme".to_owned(),
        created_by: user(),
        role: Role::Owner,
        workspaces_max,
        run: new_run(id, None),
        audit: draft(id, None, "account.create"),
        idempotency: None,
    }
}

pub fn new_workspace(account: Uuid, slug: &str) -> NewWorkspace {
    let id = within(account, Uuid::now_v7());
    NewWorkspace {
        id,
        account_id: account,
        name: slug.to_uppercase(),
        folded_name: slug.to_owned(),
        slug: Slug::Given(slug.to_owned()),
        region: "local".to_owned(),
        tenancy_model: TenancyModel::Shared,
        labels: std::collections::BTreeMap::new(),
        termination_protection: false,
        created_by: user(),
        role: Role::Owner,
        run: new_run(account, Some(id)),
        audit: draft(account, Some(id), "workspace.create"),
        idempotency: None,
    }
}

pub fn idempotency(account: Uuid, principal: Principal, key: &str, fingerprint: &[u8]) -> Idempotency {
    Idempotency {
        key: IdempotencyKey {
            account_id: account,
            principal,
            on_behalf_of: None,
            method: "POST".to_owned(),
            path: "/v1/workspaces".to_owned(),
            key: key.to_owned(),
            fingerprint: fingerprint.to_vec(),
        },
        answer: Answer { status: 202, location: Some("/v1/provisioning-runs/1".to_owned()), body: json!({"n": 1}) },
    }
}

pub fn head(state: State, ending: Option<Ending>) -> Head {
    Head { state, waiting_for: None, ending, turn: None, done: 1, total: 3, deadline_at: None, paused_by: Vec::new() }
}

pub fn record(seq: i64, event: Event) -> Record {
    Record { seq, at: Time::from_micros(1_790_000_000_000_001 + seq), event }
}

pub fn step_started(seq: i64, step: &str, attempt: u32) -> Record {
    record(seq, Event::StepStarted { step: step.to_owned(), attempt, forgiven: 0, unsure: false })
}

/// A commit that journals `records`, keeps the run, and changes nothing else.
pub fn kept(run: &ClaimedRun, records: Vec<Record>) -> Commit<Change> {
    Commit {
        run: run.facts.run,
        epoch: run.epoch,
        records: Arc::new(records),
        changes: Vec::new(),
        requests: Vec::new(),
        head: head(State::Running, None),
        disposition: Disposition::Keep,
        resent: false,
    }
}

pub fn released(run: &ClaimedRun, due_at: Option<Time>) -> Commit<Change> {
    Commit { disposition: Disposition::Release { due_at }, head: head(State::Waiting, None), ..kept(run, Vec::new()) }
}

pub fn ended(run: &ClaimedRun, subject: Subject, ending: Ending) -> Commit<Change> {
    let state = match ending {
        Ending::Succeeded => State::Succeeded,
        Ending::Failed => State::Failed,
        Ending::Cancelled => State::Cancelled,
        Ending::Abandoned => State::Abandoned,
    };
    let seq = run.journal.last().map_or(1, |r| r.seq + 1);
    Commit {
        changes: vec![Change::RunEnded { run: run.facts.run, subject, ending }],
        head: head(state, Some(ending)),
        disposition: Disposition::End,
        ..kept(run, vec![record(seq, Event::Ended { ending })])
    }
}
