//! Members over HTTP, and what becomes of a change while the permission system is away.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use domain::PrincipalKind;
use domain::housekeeping::deliver_membership_changes;
use domain::permissions::{Cause, Check, Consistency, Filter, Object, Permissions, PermissionsError, Precondition, Relationship, Update};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::outages::rebuilt;
use crate::world::{Answer, Call, User, World};

type Write = (Vec<Update>, Vec<Precondition>);

/// A permission system whose writes may be cut off: it answers what it is asked, and keeps what it was told.
struct CutOff {
    inner: Arc<dyn Permissions>,
    how: AtomicU8,
    /// Every write that came this far.
    told: Mutex<Vec<Write>>,
    arrived: Notify,
}

const OPEN: u8 = 0;
/// Nothing arrives.
const AWAY: u8 = 1;
/// What arrives is done, and nobody hears of it.
const LOSES_REPLIES: u8 = 2;
/// What arrives is neither done nor answered.
const HANGS: u8 = 3;

impl CutOff {
    fn set(&self, how: u8) {
        self.how.store(how, Ordering::SeqCst);
    }
}

#[async_trait]
impl Permissions for CutOff {
    async fn check(&self, checks: &[Check], consistency: &Consistency) -> Result<Vec<bool>, PermissionsError> {
        self.inner.check(checks, consistency).await
    }

    async fn write(&self, updates: &[Update], preconditions: &[Precondition], cause: &Cause) -> Result<String, PermissionsError> {
        self.told.lock().unwrap().push((updates.to_vec(), preconditions.to_vec()));
        self.arrived.notify_one();
        match self.how.load(Ordering::SeqCst) {
            AWAY => Err(PermissionsError::Unavailable("away".to_owned())),
            HANGS => std::future::pending().await,
            LOSES_REPLIES => {
                self.inner.write(updates, preconditions, cause).await?;
                Err(PermissionsError::Unknown("lost".to_owned()))
            }
            _ => self.inner.write(updates, preconditions, cause).await,
        }
    }

    async fn read(&self, filter: &Filter) -> Result<Vec<Relationship>, PermissionsError> {
        self.inner.read(filter).await
    }

    async fn lookup(&self, kind: &str, permission: &str, subject: &Object, at: &Consistency) -> Result<Vec<String>, PermissionsError> {
        self.inner.lookup(kind, permission, subject, at).await
    }

    async fn ready(&self) -> Result<(), PermissionsError> {
        self.inner.ready().await
    }
}

/// An account with a workspace, their owner ada, and bob.
struct Cast {
    world: World,
    system: Arc<CutOff>,
    ada: User,
    bob: User,
    account: String,
    workspace: String,
}

impl Cast {
    async fn new() -> Self {
        let mut world = World::new().await;
        let (ada, bob) = (world.user("ada").await, world.user("bob").await);
        let account = world.account(&ada).await;
        let workspace = world.workspace(&ada, account, "Sales").await;
        let system = Arc::new(CutOff {
            inner: world.berth.permissions.clone(),
            how: AtomicU8::new(OPEN),
            told: Mutex::default(),
            arrived: Notify::new(),
        });
        world.berth.permissions = system.clone();
        rebuilt(&mut world);
        Self { account: format!("/v1/accounts/{account}"), workspace: format!("/v1/workspaces/{workspace}"), world, system, ada, bob }
    }

    async fn add(&self, scope: &str, user: &User, role: &str) -> Answer {
        let body = json!({"type": "user", "id": user.principal.id, "role": role});
        self.world.post(&format!("{scope}/members"), &self.ada, body).await
    }

    async fn set(&self, scope: &str, user: &User, role: &str) -> Answer {
        self.world.send(self.setting(scope, user, role)).await
    }

    fn setting(&self, scope: &str, user: &User, role: &str) -> Call {
        let call = Call::post(&format!("{scope}/members/{}", user.principal.id), &json!({"role": role}));
        Call { method: "PATCH".to_owned(), ..call }.user(&self.ada)
    }

    async fn remove(&self, scope: &str, user: &User) -> Answer {
        self.world.send(Call::new("DELETE", &format!("{scope}/members/{}", user.principal.id)).user(&self.ada)).await
    }

    async fn list(&self, scope: &str) -> Vec<Value> {
        self.world.get(&format!("{scope}/members"), &self.ada).await.json.as_array().unwrap().clone()
    }

    /// What housekeeping does once the change is due.
    async fn keep_house(&self) {
        self.world.advance(Duration::from_mins(2));
        while deliver_membership_changes(&self.world.berth).await.unwrap().next == Some(Duration::ZERO) {}
    }

    /// Status and code of what bob is answered.
    async fn bobs(&self, path: &str) -> (u16, String) {
        let answer = self.world.get(path, &self.bob).await;
        (answer.status.as_u16(), answer.json["code"].as_str().unwrap_or_default().to_owned())
    }

    /// Bob's relations on the workspace.
    async fn relations(&self) -> Vec<String> {
        let filter = Filter {
            resource_kind: "workspace".to_owned(),
            resource_id: self.workspace.rsplit('/').next().map(str::to_owned),
            relation: None,
            subject: Some(self.bob.principal.into()),
        };
        self.system.inner.read(&filter).await.unwrap().into_iter().map(|tuple| tuple.relation).collect()
    }
}

const NOT_FOUND: (u16, &str) = (404, "not_found");
const PENDING: (u16, &str) = (503, "removal_pending");

fn is(found: &(u16, String), wanted: (u16, &str)) -> bool {
    (found.0, found.1.as_str()) == wanted
}

#[tokio::test]
async fn a_member_comes_changes_and_goes() {
    let cast = Cast::new().await;
    assert!(is(&cast.bobs(&cast.workspace).await, NOT_FOUND));
    let added = cast.add(&cast.workspace, &cast.bob, "viewer").await;
    assert_eq!((added.status, &added.json["state"], &added.json["name"]), (StatusCode::CREATED, &json!("active"), &json!("bob")));
    assert_eq!(cast.bobs(&cast.workspace).await.0, 200);
    assert_eq!(cast.add(&cast.workspace, &cast.bob, "admin").await.code(), (409, "member_exists"));
    let changed = cast.set(&cast.workspace, &cast.bob, "admin").await;
    assert_eq!((changed.status.as_u16(), &changed.json["role"], &changed.json["state"]), (200, &json!("admin"), &json!("active")));
    let actions = cast.world.get(&cast.workspace, &cast.bob).await.json["allowed_actions"].clone();
    assert!(actions.as_array().unwrap().contains(&json!("manage_members")), "{actions}");
    let listed = cast.list(&cast.workspace).await;
    assert_eq!(
        listed.iter().map(|m| (&m["name"], &m["role"])).collect::<Vec<_>>(),
        [(&json!("ada"), &json!("owner")), (&json!("bob"), &json!("admin"))]
    );
    let removed = cast.remove(&cast.workspace, &cast.bob).await;
    assert_eq!((removed.status.as_u16(), &removed.json["state"]), (200, &json!("removed")));
    assert!(is(&cast.bobs(&cast.workspace).await, NOT_FOUND), "at once, not soon");
    assert_eq!(cast.remove(&cast.workspace, &cast.bob).await.code(), NOT_FOUND);
    let audit = cast.world.get(&format!("{}/audit?limit=3", cast.workspace), &cast.ada).await;
    let actions: Vec<_> = audit.json.as_array().unwrap().iter().map(|e| e["action"].clone()).collect();
    assert_eq!(actions, [json!("member.remove"), json!("member.change_role"), json!("member.add")]);
}

#[tokio::test]
async fn requests_that_break_a_rule_are_refused_where_they_do() {
    let cast = Cast::new().await;
    let members = format!("{}/members", cast.account);
    for (body, status, pointers) in [
        (json!({"type": "user", "role": "member"}), 422, vec![""]),
        (json!({"type": "user", "id": cast.bob.principal.id, "name": "bob", "role": "member"}), 422, vec!["/name"]),
        (json!({"type": "user", "name": "nobody", "role": "member"}), 422, vec!["/name"]),
        (json!({"type": "service_account", "id": cast.bob.principal.id, "role": "member"}), 422, vec!["/id"]),
        (json!({"type": "user", "name": "bob", "role": "viewer"}), 422, vec!["/role"]),
        (json!({"type": "service_account", "name": "robot", "role": "owner"}), 422, vec!["/role"]),
        (json!({"type": "group", "id": "7", "role": "boss", "since": 1}), 400, vec!["/type", "/id", "/role", "/since"]),
        (json!({}), 400, vec!["/type", "/role"]),
    ] {
        let answer = cast.world.post(&members, &cast.ada, body.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.pointers()), (status, pointers), "{body}");
    }
    assert_eq!(cast.remove(&cast.account, &cast.ada).await.code(), (409, "last_owner"));
    assert_eq!(cast.set(&cast.account, &cast.ada, "admin").await.code(), (409, "last_owner"));
    assert_eq!(cast.set(&cast.account, &cast.bob, "member").await.code(), NOT_FOUND);
    let answer = cast.world.get(&format!("{members}/7"), &cast.ada).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    let answer = cast.world.send(Call::new("DELETE", &format!("{members}/7")).user(&cast.ada)).await;
    assert_eq!((answer.status.as_u16(), answer.pointers()), (400, vec!["{principal_id}"]));
}

#[tokio::test]
async fn a_service_account_is_a_member_like_others() {
    let cast = Cast::new().await;
    let robot = cast.world.principal(PrincipalKind::ServiceAccount, "robot", None).await;
    let body = json!({"type": "service_account", "name": "robot", "role": "admin"});
    assert_eq!(cast.world.post(&format!("{}/members", cast.account), &cast.ada, body).await.status, StatusCode::CREATED);
    let robot = User { principal: robot, token: cast.world.token(robot) };
    assert_eq!(cast.world.get(&cast.workspace, &robot).await.status, 200);
    assert_eq!(cast.set(&cast.account, &robot, "owner").await.code(), (422, "invalid_values"));
    assert_eq!(cast.remove(&cast.account, &robot).await.status, 200);
    assert_eq!(cast.world.get(&cast.workspace, &robot).await.code(), NOT_FOUND);
}

#[tokio::test]
async fn members_are_paged() {
    let cast = Cast::new().await;
    for name in ["c", "d", "e"] {
        let user = cast.world.user(name).await;
        assert_eq!(cast.add(&cast.account, &user, "member").await.status, StatusCode::CREATED);
    }
    let (mut names, mut next) = (Vec::new(), Some(format!("{}/members?limit=3", cast.account)));
    while let Some(path) = next {
        let page = cast.world.get(&path, &cast.ada).await;
        names.extend(page.json.as_array().unwrap().iter().map(|m| m["name"].as_str().unwrap().to_owned()));
        next = page.next();
    }
    assert_eq!(names, ["ada", "c", "d", "e"]);
}

#[tokio::test]
async fn an_addition_while_the_permission_system_is_away_holds_when_it_is_back() {
    let cast = Cast::new().await;
    cast.system.set(AWAY);
    let added = cast.add(&cast.workspace, &cast.bob, "viewer").await;
    assert_eq!((added.status, &added.json["state"]), (StatusCode::ACCEPTED, &json!("pending")));
    assert!(!added.header("retry-after").is_empty());
    assert!(is(&cast.bobs(&cast.workspace).await, NOT_FOUND), "it takes nothing away, and is no reason for a 503");
    assert_eq!(cast.list(&cast.workspace).await[1]["state"], "pending");
    cast.keep_house().await;
    assert!(is(&cast.bobs(&cast.workspace).await, NOT_FOUND));
    cast.system.set(OPEN);
    cast.keep_house().await;
    assert_eq!(cast.bobs(&cast.workspace).await.0, 200);
    assert_eq!(cast.list(&cast.workspace).await[1]["state"], "active");
}

#[tokio::test]
async fn who_is_removed_while_the_permission_system_is_away_is_refused_until_it_knows() {
    let cast = Cast::new().await;
    cast.add(&cast.account, &cast.bob, "admin").await;
    let other = cast.world.account(&cast.bob).await;
    let runs = "/v1/provisioning-runs".to_owned();
    let below = [
        cast.account.clone(),
        format!("{}/members", cast.account),
        cast.workspace.clone(),
        format!("{}/environments", cast.workspace),
        cast.account.replace("/accounts/", "/workspaces/by-account/"),
        runs.clone(),
    ];
    for path in &below {
        assert_eq!(cast.bobs(path).await.0, 200, "{path}");
    }
    cast.system.set(AWAY);
    let removed = cast.remove(&cast.account, &cast.bob).await;
    assert_eq!((removed.status, &removed.json["state"]), (StatusCode::ACCEPTED, &json!("pending")));
    for path in &below {
        let answer = cast.world.get(path, &cast.bob).await;
        assert_eq!(answer.code(), PENDING, "{path}");
        assert!(!answer.header("retry-after").is_empty());
    }
    let create = json!({"account_id": cast.account.rsplit('/').next(), "name": "n", "region": "local"});
    assert_eq!(cast.world.post("/v1/workspaces", &cast.bob, create).await.code(), PENDING);
    assert_eq!(cast.bobs(&format!("/v1/accounts/{other}")).await.0, 200, "elsewhere he is who he was");
    assert_eq!(cast.world.get(&cast.workspace, &cast.ada).await.status, 200, "others are not concerned");
    cast.keep_house().await;
    assert!(is(&cast.bobs(&cast.workspace).await, PENDING), "it is away still");
    cast.system.set(OPEN);
    cast.keep_house().await;
    for path in &below {
        let expected = if *path == runs { 200 } else { 404 };
        assert_eq!(cast.bobs(path).await.0, expected, "{path}");
    }
}

/// A lost reply is no acceptance, although the change has happened; it is told again, and changes nothing more.
#[tokio::test]
async fn a_demotion_whose_reply_is_lost_is_pending_until_it_is_told_again() {
    let cast = Cast::new().await;
    cast.add(&cast.workspace, &cast.bob, "admin").await;
    cast.system.set(LOSES_REPLIES);
    assert_eq!(cast.set(&cast.workspace, &cast.bob, "viewer").await.status, StatusCode::ACCEPTED);
    assert_eq!(cast.relations().await, ["viewer"]);
    assert!(is(&cast.bobs(&cast.workspace).await, PENDING));
    assert_eq!(cast.set(&cast.workspace, &cast.bob, "viewer").await.status, StatusCode::ACCEPTED, "asked again, told again");
    cast.system.set(OPEN);
    assert_eq!(cast.set(&cast.workspace, &cast.bob, "viewer").await.status, 200);
    assert_eq!((cast.relations().await, cast.bobs(&cast.workspace).await.0), (vec!["viewer".to_owned()], 200));
}

/// The process dies, or its client goes away, between the commit and the delivery.
#[tokio::test]
async fn a_change_that_was_committed_is_delivered_whoever_is_gone() {
    let cast = Cast::new().await;
    cast.add(&cast.workspace, &cast.bob, "admin").await;
    cast.system.arrived.notified().await;
    cast.system.set(HANGS);
    tokio::select! {
        answer = cast.world.send(cast.setting(&cast.workspace, &cast.bob, "viewer")) => panic!("answered {}", answer.text()),
        () = cast.system.arrived.notified() => {}
    }
    assert!(is(&cast.bobs(&cast.workspace).await, PENDING));
    cast.system.set(OPEN);
    cast.keep_house().await;
    assert_eq!((cast.relations().await, cast.bobs(&cast.workspace).await.0), (vec!["viewer".to_owned()], 200));
}

/// Whatever was on its way when it was told again arrives in the end, in any order.
#[tokio::test]
async fn late_copies_of_what_was_told_change_nothing() {
    let cast = Cast::new().await;
    cast.add(&cast.workspace, &cast.bob, "admin").await;
    cast.remove(&cast.workspace, &cast.bob).await;
    cast.add(&cast.workspace, &cast.bob, "viewer").await;
    cast.system.set(LOSES_REPLIES);
    cast.set(&cast.workspace, &cast.bob, "member").await;
    cast.system.set(OPEN);
    cast.keep_house().await;
    let told = cast.system.told.lock().unwrap().clone();
    assert_eq!(told.len(), 5, "four changes, one of them twice");
    for (updates, preconditions) in told.iter().chain(told.iter().rev()) {
        let _refused = cast.system.inner.write(updates, preconditions, &Cause::Hand("late")).await;
        assert_eq!(cast.relations().await, ["member"]);
    }
    cast.remove(&cast.workspace, &cast.bob).await;
    for (updates, preconditions) in told.iter().chain(told.iter().rev()) {
        let refused = cast.system.inner.write(updates, preconditions, &Cause::Hand("late")).await;
        assert_eq!(refused, Err(PermissionsError::PreconditionFailed { index: 0 }));
    }
    assert_eq!(cast.relations().await, Vec::<String>::new());
}

/// A removal does not overtake the addition that the permission system was not told of.
#[tokio::test]
async fn a_line_of_changes_is_told_in_its_order() {
    let cast = Cast::new().await;
    cast.system.set(AWAY);
    assert_eq!(cast.add(&cast.workspace, &cast.bob, "viewer").await.status, StatusCode::ACCEPTED);
    assert_eq!(cast.set(&cast.workspace, &cast.bob, "admin").await.status, StatusCode::ACCEPTED);
    assert_eq!(cast.remove(&cast.workspace, &cast.bob).await.status, StatusCode::ACCEPTED);
    cast.system.set(OPEN);
    cast.system.told.lock().unwrap().clear();
    let again = cast.remove(&cast.workspace, &cast.bob).await;
    assert_eq!((again.status.as_u16(), &again.json["state"]), (200, &json!("removed")), "all three at once");
    assert_eq!(cast.system.told.lock().unwrap().len(), 3);
    assert_eq!(cast.relations().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_repeated_addition_is_answered_like_the_first() {
    let cast = Cast::new().await;
    let path = format!("{}/members", cast.workspace);
    let body = json!({"type": "user", "name": "bob", "role": "viewer"});
    let send = |key: &'static str| cast.world.send(Call::post(&path, &body).user(&cast.ada).header("idempotency-key", key));
    let (first, second) = (send("k").await, send("k").await);
    assert_eq!((first.status, second.status, &first.json), (StatusCode::CREATED, StatusCode::CREATED, &second.json));
    assert_eq!(second.header("idempotency-replayed"), "true");
    assert_eq!(send("other").await.code(), (409, "member_exists"));
    let stranger = format!("/v1/workspaces/{}/members", Uuid::now_v7());
    assert_eq!(cast.world.post(&stranger, &cast.ada, body).await.code(), NOT_FOUND);
}
