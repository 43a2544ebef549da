//! Every route × what it leaves in the audit log. An operation that is not in `api::audited::OPERATIONS`, a mutation or
//! sensitive read without a case here, one that leaves no entry, and a denial that leaves none: each fails.
//!
//! For a new operation: a line in `OPERATIONS`; for each action in its last column a case in `CASES`, which prepares what is
//! needed and returns the request. Denials need nothing more than the row of the authorization table.

use std::collections::BTreeSet;

use api::audited::OPERATIONS;
use domain::PrincipalKind;
use domain::audit::{Entry, Target, verify};
use domain::ids::PLATFORM;
use domain::model::{Role, Scope};
use domain::permissions::Object;
use futures::future::BoxFuture;
use serde_json::json;
use uuid::Uuid;

use crate::authorization::{CALLERS, Cast, TABLE};
use crate::world::{Answer, CONTRACT, Call, User, World};

/// An account, and an operator, who may do everything.
struct Stage {
    world: World,
    operator: User,
    account: Uuid,
}

impl Stage {
    async fn new() -> Self {
        let world = World::new().await;
        let operator = world.user("operator").await;
        world.relate(Object::platform(), "operator", operator.principal).await;
        let account = world.account(&operator).await;
        Self { world, operator, account }
    }

    fn post(&self, path: &str, body: &serde_json::Value) -> Call {
        Call::post(path, body).user(&self.operator)
    }

    fn put(&self, path: &str, body: &serde_json::Value) -> Call {
        Call::new("PUT", path).header("content-type", "application/json").body(body.to_string()).user(&self.operator)
    }

    fn patch(&self, path: &str, body: &serde_json::Value) -> Call {
        Call::new("PATCH", path).header("content-type", "application/json").body(body.to_string()).user(&self.operator)
    }

    fn delete(&self, path: &str) -> Call {
        Call::new("DELETE", path).header("if-match", "*").user(&self.operator)
    }

    /// The URL of an active workspace.
    async fn workspace(&self) -> String {
        format!("/v1/workspaces/{}", self.world.workspace(&self.operator, self.account, "Sales").await)
    }

    fn pause(&self) -> String {
        format!("/v1/pauses/account/{}", self.account)
    }

    /// The URL of a service account with one secret; its credentials, and the secret's id.
    async fn program(&self) -> (String, serde_json::Value, String) {
        let made = self.post(&format!("/v1/accounts/{}/service-accounts", self.account), &json!({"name": "program"}));
        let made = self.world.send(made).await;
        let url = format!("/v1/accounts/{}/service-accounts/{}", self.account, made.id("id"));
        let secret = self.world.send(self.post(&format!("{url}/secrets"), &json!({}))).await;
        let credentials =
            json!({"grant_type": "client_credentials", "client_id": made.json["id"], "client_secret": secret.json["client_secret"]});
        (url, credentials, secret.id("id").to_string())
    }

    async fn export(&self) -> Call {
        let workspace = self.world.workspace(&self.operator, self.account, "Large").await;
        Call::get(&format!("/v1/workspaces/{workspace}/export")).user(&self.operator)
    }

    /// The URL of a run that stands at the held platform.
    async fn held_run(&self) -> String {
        self.world.platform.hold().await;
        let created = self.world.create_workspace(&self.operator, self.account, "Held").await;
        self.world.held(&self.operator, &created.location()).await;
        created.location()
    }

    /// The URL of a run that was cancelled, and whose backend workspaces cannot be dropped.
    async fn stuck_run(&self) -> String {
        let run = self.held_run().await;
        self.world.platform.refuse_drops();
        assert_eq!(self.world.send(self.post(&format!("{run}/cancel"), &json!({}))).await.status, 202);
        self.world.until(&self.operator, &run, |run| run["state"] == "stuck").await;
        run
    }

    /// The URL of a plain member, who is new there.
    async fn member(&self, scope: &str) -> String {
        let bob = self.world.user("bob").await;
        let added = self.post(&format!("{scope}/members"), &json!({"type": "user", "name": "bob", "role": "member"}));
        assert_eq!(self.world.send(added).await.status, 201);
        format!("{scope}/members/{}", bob.principal.id)
    }

    async fn adding(&self, scope: &str) -> Call {
        self.world.user("eve").await;
        self.post(&format!("{scope}/members"), &json!({"type": "user", "name": "eve", "role": "member"}))
    }

    async fn changing(&self, scope: &str) -> Call {
        self.patch(&self.member(scope).await, &json!({"role": "admin"}))
    }

    async fn removing(&self, scope: &str) -> Call {
        Call::new("DELETE", &self.member(scope).await).user(&self.operator)
    }

    async fn cancelled_run(&self) -> String {
        let run = self.held_run().await;
        assert_eq!(self.world.send(self.post(&format!("{run}/cancel"), &json!({}))).await.status, 202);
        self.world.ended(&self.operator, &run).await;
        self.world.platform.release();
        run
    }
}

type Prepare = for<'a> fn(&'a Stage) -> BoxFuture<'a, Call>;

/// Operation, the action of the entry that it leaves, and how to make the request.
const CASES: &[(&str, &str, Prepare)] = &[
    ("createAccount", "account.create", |s| Box::pin(async { s.post("/v1/accounts", &json!({"name": "New"})) })),
    ("createWorkspace", "workspace.create", |s| {
        Box::pin(async { s.post("/v1/workspaces", &json!({"account_id": s.account, "name": "New", "region": "local"})) })
    }),
    ("createWorkspace", "workspace.plan", |s| {
        Box::pin(async { s.post("/v1/workspaces?dry_run=true", &json!({"account_id": s.account, "name": "New", "region": "local"})) })
    }),
    ("updateWorkspace", "workspace.update", |s| Box::pin(async { s.patch(&s.workspace().await, &json!({"labels": {"a": "1"}})) })),
    ("deleteWorkspace", "workspace.delete", |s| Box::pin(async { s.delete(&s.workspace().await) })),
    ("restoreWorkspace", "workspace.restore", |s| {
        Box::pin(async {
            let workspace = s.workspace().await;
            assert_eq!(s.world.send(s.delete(&workspace)).await.status, 200);
            s.post(&format!("{workspace}/restore"), &json!({}))
        })
    }),
    ("exportWorkspace", "workspace.export", |s| Box::pin(s.export())),
    ("exportWorkspace", "workspace.export.end", |s| Box::pin(s.export())),
    ("cancelProvisioningRun", "run.cancel", |s| {
        Box::pin(async { s.post(&format!("{}/cancel", s.held_run().await), &json!({"comment": "why"})) })
    }),
    ("retryProvisioningRun", "run.retry", |s| {
        Box::pin(async { s.post(&format!("{}/retry", s.cancelled_run().await), &json!({"comment": "why"})) })
    }),
    ("skipProvisioningRun", "run.skip", |s| {
        Box::pin(async { s.post(&format!("{}/skip", s.stuck_run().await), &json!({"comment": "why", "step": "backend-dev"})) })
    }),
    ("abandonProvisioningRun", "run.abandon", |s| {
        Box::pin(async { s.post(&format!("{}/abandon", s.stuck_run().await), &json!({"comment": "why"})) })
    }),
    ("changeWorkspaceStatus", "workspace.freeze", |s| {
        Box::pin(async {
            let workspace = s.world.workspace(&s.operator, s.account, "Sales").await;
            s.patch(&format!("/v1/workspaces/{workspace}/status"), &json!({"status": "frozen", "reason": {"code": "why"}}))
        })
    }),
    ("changeWorkspaceStatus", "workspace.unfreeze", |s| {
        Box::pin(async {
            let workspace = s.world.workspace(&s.operator, s.account, "Sales").await;
            let path = format!("/v1/workspaces/{workspace}/status");
            let frozen = s.patch(&path, &json!({"status": "frozen", "reason": {"code": "why"}}));
            assert_eq!(s.world.send(frozen).await.status, 200);
            s.patch(&path, &json!({"status": "active"}))
        })
    }),
    ("addAccountMember", "member.add", |s| Box::pin(async { s.adding(&format!("/v1/accounts/{}", s.account)).await })),
    ("changeAccountMember", "member.change_role", |s| Box::pin(async { s.changing(&format!("/v1/accounts/{}", s.account)).await })),
    ("removeAccountMember", "member.remove", |s| Box::pin(async { s.removing(&format!("/v1/accounts/{}", s.account)).await })),
    ("addWorkspaceMember", "member.add", |s| Box::pin(async { s.adding(&s.workspace().await).await })),
    ("changeWorkspaceMember", "member.change_role", |s| Box::pin(async { s.changing(&s.workspace().await).await })),
    ("removeWorkspaceMember", "member.remove", |s| Box::pin(async { s.removing(&s.workspace().await).await })),
    ("createServiceAccount", "service_account.create", |s| {
        Box::pin(async { s.post(&format!("/v1/accounts/{}/service-accounts", s.account), &json!({"name": "program"})) })
    }),
    ("disableServiceAccount", "service_account.disable", |s| Box::pin(async { s.delete(&s.program().await.0) })),
    ("addClientSecret", "service_account.add_secret", |s| {
        Box::pin(async { s.post(&format!("{}/secrets", s.program().await.0), &json!({})) })
    }),
    ("deleteClientSecret", "service_account.delete_secret", |s| {
        Box::pin(async {
            let (url, _, secret) = s.program().await;
            s.delete(&format!("{url}/secrets/{secret}"))
        })
    }),
    ("issueToken", "token.issue", |s| Box::pin(async { Call::post("/v1/tokens", &s.program().await.1) })),
    ("issueWorkspaceToken", "token.issue", |s| Box::pin(async { s.post(&format!("{}/tokens", s.workspace().await), &json!({})) })),
    ("issueWorkspaceTokenByName", "token.issue", |s| {
        Box::pin(async { s.post(&format!("/v1/accounts/{}/workspace-tokens", s.account), &json!({"name": "New"})) })
    }),
    ("createApiToken", "api_token.create", |s| Box::pin(async { s.post("/v1/api-tokens", &json!({"name": "nightly"})) })),
    ("revokeApiToken", "api_token.revoke", |s| {
        Box::pin(async {
            let made = s.world.send(s.post("/v1/api-tokens", &json!({"name": "nightly"}))).await;
            s.delete(&format!("/v1/api-tokens/{}", made.id("id")))
        })
    }),
    ("registerUser", "user.register", |s| {
        Box::pin(async { s.post("/v1/users", &json!({"name": "ada", "issuer": "https://id.example.com", "subject": "1"})) })
    }),
    ("revokeUser", "user.revoke", |s| {
        Box::pin(async { s.post(&format!("/v1/users/{}/revoke", s.world.user("ada").await.principal.id), &json!({})) })
    }),
    ("restoreUser", "user.restore", |s| {
        Box::pin(async {
            let user = format!("/v1/users/{}", s.world.user("ada").await.principal.id);
            assert_eq!(s.world.send(s.post(&format!("{user}/revoke"), &json!({}))).await.status, 200);
            s.post(&format!("{user}/restore"), &json!({}))
        })
    }),
    ("changeAccountSettings", "account.update", |s| {
        Box::pin(async { s.patch(&format!("/v1/accounts/{}/settings", s.account), &json!({"default_region": "local"})) })
    }),
    ("setPause", "pause.set", |s| Box::pin(async { s.put(&s.pause(), &json!({"comment": "why"})) })),
    ("liftPause", "pause.lift", |s| {
        Box::pin(async {
            assert_eq!(s.world.send(s.put(&s.pause(), &json!({"comment": "why"}))).await.status, 201);
            Call::new("DELETE", &s.pause()).user(&s.operator)
        })
    }),
];

/// The entries that tell of the request that was answered so, in whatever chain they are.
async fn entries_of(world: &World, account: Uuid, answer: &Answer) -> Vec<Entry> {
    let made = answer.json["account_id"].as_str().and_then(|id| id.parse().ok());
    let chains: BTreeSet<Uuid> = [Some(account), Some(PLATFORM), made].into_iter().flatten().collect();
    let mut found = Vec::new();
    for chain in chains {
        let entries = world.chain(chain).await;
        verify(&entries).unwrap();
        found.extend(entries.into_iter().filter(|e| e.request_id.as_deref() == Some(answer.header("x-request-id"))));
    }
    found
}

#[test]
fn every_operation_says_what_it_leaves_and_every_mutation_leaves_something() {
    let documented: BTreeSet<_> = CONTRACT.operations().iter().map(|o| o.id.as_str()).collect();
    let listed: BTreeSet<_> = OPERATIONS.iter().map(|(id, ..)| *id).collect();
    assert_eq!(listed.len(), OPERATIONS.len(), "an operation stands in `OPERATIONS` twice");
    let missing: Vec<_> = documented.symmetric_difference(&listed).collect();
    assert!(missing.is_empty(), "in the document or in `api::audited::OPERATIONS`, but not in both: {missing:?}");
    let cases: BTreeSet<_> = CASES.iter().map(|(operation, action, _)| (*operation, *action)).collect();
    let leaves: BTreeSet<_> = OPERATIONS.iter().flat_map(|(id, _, actions)| actions.iter().map(move |action| (*id, *action))).collect();
    let missing: Vec<_> = leaves.symmetric_difference(&cases).collect();
    assert!(missing.is_empty(), "in `OPERATIONS` or in `CASES`, but not in both: {missing:?}");
    let silent: Vec<_> =
        CONTRACT.operations().iter().filter(|o| o.method != "GET" && leaves.iter().all(|(id, _)| *id != o.id)).map(|o| &o.id).collect();
    assert!(silent.is_empty(), "mutations that leave no entry: {silent:?}");
    let words = |action: &str| action.split('.').all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
    for (_, denied, actions) in OPERATIONS {
        assert!([*denied].iter().chain(*actions).all(|action| words(action) && action.contains('.')), "{denied} {actions:?}");
    }
}

#[tokio::test]
async fn what_succeeds_leaves_its_entry() {
    for (operation, action, prepare) in CASES {
        let stage = Stage::new().await;
        let call = prepare(&stage).await.header("user-agent", "tester/1");
        let path = call.path.split('?').next().unwrap().to_owned();
        assert_eq!(CONTRACT.operation(&call.method, &path).map(|o| o.id.as_str()), Some(*operation), "{path} is another operation");
        let answer = stage.world.send(call).await;
        assert!(answer.status.is_success(), "{operation}: {}", answer.text());
        let entries = entries_of(&stage.world, stage.account, &answer).await;
        let Some(entry) = entries.iter().find(|e| e.action == *action) else {
            panic!("{operation} leaves no `{action}`, but {:?}", entries.iter().map(|e| &e.action).collect::<Vec<_>>())
        };
        let actor = entry.actor.as_ref().map(|a| a.principal).unwrap();
        // Who has credentials only is told by them.
        let is_theirs = *operation == "issueToken" && entry.targets.iter().any(|target| target.id == actor.id);
        assert!(actor == stage.operator.principal || is_theirs, "{operation}: who");
        assert!(["accepted", "succeeded"].contains(&entry.outcome.as_str()), "{operation}: {}", entry.outcome);
        assert!(!entry.targets.is_empty(), "{operation}: what");
        assert!(entry.credential_id.is_some(), "{operation}: with which token");
        let told = |value: &Option<domain::audit::Personal>| value.as_ref().and_then(|v| v.value.clone());
        assert_eq!(told(&entry.source_ip).as_deref(), Some("192.0.2.7"), "{operation}: from where");
        assert_eq!(told(&entry.user_agent).as_deref(), Some("tester/1"), "{operation}: with what");
    }
}

#[tokio::test]
async fn every_denial_leaves_an_entry_in_the_callers_chain() {
    let cast = Cast::new().await;
    let stranger = CALLERS.iter().position(|caller| *caller == "stranger").unwrap();
    let mut denied = 0;
    for (_, method, template, expected) in TABLE.iter().filter(|row| ["403", "404"].contains(&row.3[stranger])) {
        let answer = cast.world.send(cast.call(stranger, method, template)).await;
        assert_eq!(answer.status.as_str(), expected[stranger]);
        let entries = entries_of(&cast.world, cast.account, &answer).await;
        let [entry] = entries.as_slice() else { panic!("{method} {template} leaves {} entries of its denial", entries.len()) };
        assert_eq!((entry.account_id, entry.outcome.as_str()), (PLATFORM, "denied"), "{method} {template}");
        assert_eq!(entry.problem_type.as_deref(), answer.json["type"].as_str());
        assert_eq!(entry.actor.as_ref().unwrap().principal, cast.principals[stranger].unwrap());
        assert!(entry.credential_id.is_some() && entry.source_ip.is_some());
        if let Some(operation) = CONTRACT.operation(method, cast.path(template).split('?').next().unwrap()) {
            let action = OPERATIONS.iter().find(|(id, ..)| *id == operation.id).unwrap().1;
            assert_eq!(entry.action, action, "{method} {template}");
        }
        for (kind, id) in [("account", cast.account), ("workspace", cast.workspace)] {
            let is_named = template.contains(&format!("{{{kind}}}"));
            assert!(!is_named || entry.targets.contains(&Target { kind: kind.to_owned(), id }), "{template}: {:?}", entry.targets);
        }
        // So that the next one of the same kind is a first again.
        cast.world.denials.drain().await;
        denied += 1;
    }
    assert!(denied > 15, "{denied}");
    let chain = cast.world.chain(cast.account).await;
    assert!(chain.iter().all(|e| e.outcome != "denied"), "a stranger writes nothing into the log of whom he tries");
}

#[tokio::test]
async fn a_service_account_is_denied_in_its_own_accounts_log() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let (home, elsewhere) = (world.account(&ada).await, world.account(&ada).await);
    let robot = world.principal(PrincipalKind::ServiceAccount, "robot", Some(home)).await;
    world.grant(Scope::Account, elsewhere, robot, Role::Member).await;
    let robot = User { principal: robot, token: world.token(robot) };
    let body = json!({"account_id": elsewhere, "name": "New", "region": "local"});
    assert_eq!(world.post("/v1/workspaces", &robot, body).await.code(), (403, "permission_denied"));
    let entry = world.chain(home).await.pop().unwrap();
    assert_eq!((entry.action.as_str(), entry.outcome.as_str()), ("workspace.create", "denied"));
    assert_eq!(entry.targets, [Target { kind: "account".to_owned(), id: elsewhere }]);
    assert!(world.chain(elsewhere).await.iter().all(|e| e.outcome != "denied"));
}

#[tokio::test]
async fn equal_denials_of_a_minute_are_one_entry_with_their_number() {
    let world = World::new().await;
    let (ada, eve) = (world.user("ada").await, world.user("eve").await);
    let account = world.account(&ada).await;
    let path = format!("/v1/accounts/{account}");
    for _ in 0..5 {
        assert_eq!(world.get(&path, &eve).await.status, 404);
    }
    world.denials.flush().await;
    assert_eq!(world.chain(PLATFORM).await.len(), 1, "the first at once, the others when their minute is over");
    world.now.fetch_add(61_000_000, std::sync::atomic::Ordering::SeqCst);
    world.denials.flush().await;
    let entries = world.chain(PLATFORM).await;
    assert_eq!((entries.len(), &entries[1].after.as_ref().unwrap()["count"]), (2, &json!(4)));
    assert_eq!((entries[1].action.as_str(), entries[1].outcome.as_str()), ("account.read", "denied"));
    assert_eq!(world.get(&path, &eve).await.status, 404);
    assert_eq!(world.get(&path, &eve).await.status, 404);
    world.denials.drain().await;
    let counts: Vec<_> = world.chain(PLATFORM).await.iter().map(|e| e.after.as_ref().map(|a| a["count"].clone())).collect();
    assert_eq!(counts, [None, Some(json!(4)), None, Some(json!(1))], "a process that ends writes what it has counted");
    verify(&world.chain(PLATFORM).await).unwrap();
}

/// What does not exist is recorded as what is hidden: a log that told them apart would tell its readers which is which.
#[tokio::test]
async fn only_refusals_for_want_of_a_right_are_denials() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    let workspace = world.workspace(&ada, account, "Sales").await;
    assert_eq!(world.send(Call::get(&format!("/v1/accounts/{account}"))).await.status, 401);
    assert_eq!(world.get(&format!("/v1/workspaces/{workspace}/vault"), &ada).await.code(), (404, "pillar_not_configured"));
    assert_eq!(world.get("/v1/nowhere", &ada).await.code(), (404, "route_not_found"));
    assert_eq!(world.get("/v1/accounts/7", &ada).await.status, 400);
    assert!(world.chain(PLATFORM).await.is_empty());
    let nothing = Uuid::now_v7();
    assert_eq!(world.get(&format!("/v1/workspaces/{nothing}"), &ada).await.code(), (404, "not_found"));
    let [entry] = <[Entry; 1]>::try_from(world.chain(PLATFORM).await).unwrap();
    assert_eq!(entry.targets, [Target { kind: "workspace".to_owned(), id: nothing }]);
}
