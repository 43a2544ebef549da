//! A whole Berth for one test: the real router, store, permissions and worker over SQLite; only the data platform is
//! played. Every answer that the client of this world gets is held against `openapi.yaml`.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use api::{Clock, Denials, Issuer, Issuers, Limits, OutsideIssuer, PerMinute, PrivateKey, Rates, State};
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use domain::audit::{Draft, Entry};
use domain::berth::{DefaultWorkspace, Region, Settings};
use domain::model::{Role, Scope, ScopeRef};
use domain::permissions::{Cause, Object, Relationship, RelationshipPages, Update};
use domain::{Berth, Change, Principal, PrincipalKind};
use http::Request;
use saga::worker::{Options, Worker};
use saga::{Registry, Time};
use serde_json::{Value, json};
use testkit::contract::{Contract, Exchange};
use testkit::world::Lagging;
use testkit::{Backend, TestDb};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use uuid::Uuid;

pub use crate::answer::Answer;
use crate::inner::{RandomIds, WakeWorker};
pub use crate::platform::Platform;

pub static CONTRACT: LazyLock<Contract> = LazyLock::new(|| Contract::new(include_str!("../../../../openapi.yaml")));

pub struct World {
    pub router: Router,
    pub berth: Berth,
    pub issuer: Arc<Issuer>,
    pub key: Vec<u8>,
    pub now: Arc<AtomicI64>,
    pub clock: Clock,
    pub denials: Denials,
    pub platform: Arc<Platform>,
    pub draining: CancellationToken,
    stop: CancellationToken,
    pub test: TestDb,
    /// What answers late, where that was wished for, and where it keeps what it knows; then what the permission system holds.
    pub lagging: Option<(Arc<Lagging>, TestDb)>,
    pub held: Arc<dyn RelationshipPages>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What a test wants to be different.
pub struct Wish {
    pub self_serve_accounts: bool,
    pub workspaces_max: i64,
    pub default_workspace: Option<DefaultWorkspace>,
    pub purge_after: Duration,
    pub limits: Limits,
    pub mint_creates: bool,
    /// How many exports may run at once.
    pub exports: usize,
    /// Whether the permission system's quickest answers are old.
    pub lagging: bool,
    /// The endpoint and key of a SpiceDB, instead of the embedded permission system.
    pub spicedb: Option<(String, String)>,
    /// Who is trusted besides the world's own issuer.
    pub issuers: Vec<OutsideIssuer>,
    pub rates: PerMinute,
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            self_serve_accounts: true,
            workspaces_max: 1000,
            purge_after: Duration::from_hours(720),
            limits: Limits::default(),
            default_workspace: None,
            mint_creates: true,
            exports: 2,
            lagging: false,
            spicedb: None,
            issuers: Vec::new(),
            rates: PerMinute::default(),
        }
    }
}

impl World {
    pub async fn new() -> Self {
        Self::with(Wish::default()).await
    }

    pub async fn with(wish: Wish) -> Self {
        let db = TestDb::new(Backend::Sqlite).await;
        let store = Arc::new(db.store());
        let (mut permissions, held) = crate::system::open(&store, wish.spicedb).await;
        let lagging = if wish.lagging { Some(crate::stale::lagging(&mut permissions).await) } else { None };
        let platform = Arc::new(Platform::open());
        let steps = domain::steps::all(&domain::steps::Outside {
            permissions: permissions.clone(),
            backends: platform.clone(),
            freezes: store.clone(),
            tokens: store.clone(),
        });
        let mut registry: Registry<Change> = Registry::default();
        for (file, text) in domain::steps::DEFINITIONS {
            registry.add(saga::definition::load(file, text).unwrap(), &steps, domain::steps::on_end).unwrap();
        }
        let registry = Arc::new(registry);
        let (worker, handle) = Worker::new(store.clone(), registry.clone(), Options::default());
        let stop = CancellationToken::new();
        tokio::spawn(worker.run(stop.clone()));
        let berth = Berth {
            accounts: store.clone(),
            workspaces: store.clone(),
            freezes: store.clone(),
            edits: store.clone(),
            deletions: store.clone(),
            members: store.clone(),
            runs: store.clone(),
            audit: store.clone(),
            exports: Arc::new(store.exports(wish.exports)),
            retention: store.clone(),
            principals: store.clone(),
            service_accounts: store.clone(),
            api_tokens: store.clone(),
            tokens: store.clone(),
            account_settings: store.clone(),
            identities: store.clone(),
            pauses: store.clone(),
            health: store,
            permissions,
            ids: Arc::new(RandomIds),
            wake: Arc::new(WakeWorker(handle)),
            timer: Arc::new(testkit::RealTimer),
            sagas: registry,
            settings: Arc::new(Settings {
                regions: vec![Region { name: "local".to_owned(), backend: "local".to_owned() }],
                workspaces_max: wish.workspaces_max,
                default_workspace: wish.default_workspace,
                self_serve_accounts: wish.self_serve_accounts,
                mint_creates: wish.mint_creates,
                purge_after: wish.purge_after,
            }),
        };
        let now = Arc::new(AtomicI64::new(1_800_000_000_000_000));
        let ticking = now.clone();
        let clock: Clock = Arc::new(move || Time::from_micros(ticking.load(Ordering::SeqCst)));
        let key = PrivateKey::generate().unwrap();
        let issuer = Arc::new(Issuer::new(key.clone(), "https://berth.test", clock.clone()).unwrap());
        let trusted = Issuers::new(berth.clone(), issuer.clone(), wish.issuers, clock.clone());
        let mut state = State::new(berth.clone(), Arc::new(trusted), clock.clone());
        state.issuer = Some(issuer.clone());
        state.limits = wish.limits;
        state.rates = Rates::new(wish.rates, berth.clone(), clock.clone());
        let (draining, denials) = (state.draining.clone(), state.denials.clone());
        let key = key.pkcs8().to_vec();
        Self { router: api::router(state), berth, issuer, key, now, clock, denials, platform, draining, stop, test: db, lagging, held }
    }

    /// Moves the database's time.
    pub fn advance(&self, by: Duration) {
        self.test.db.advance(by);
    }

    pub fn token(&self, principal: Principal) -> String {
        self.issuer.sign(principal, Uuid::now_v7(), Duration::from_hours(1)).unwrap()
    }

    pub async fn principal(&self, kind: PrincipalKind, name: &str, account: Option<Uuid>) -> Principal {
        self.berth.principals.ensure(kind, name, account, Uuid::now_v7()).await.unwrap().principal
    }

    /// A stored user with a token.
    pub async fn user(&self, name: &str) -> User {
        let principal = self.principal(PrincipalKind::User, name, None).await;
        User { principal, token: self.token(principal) }
    }

    pub async fn relate(&self, object: Object, relation: &str, principal: Principal) {
        let tuple = Relationship::new(object, relation, principal.into());
        self.berth.permissions.write(&[Update::Touch(tuple)], &[], &Cause::Hand("test")).await.unwrap();
    }

    /// Membership row and relationship, as `berth dev token` makes them.
    pub async fn grant(&self, scope: Scope, id: Uuid, principal: Principal, role: Role) {
        let account_id = match scope {
            Scope::Account => id,
            Scope::Workspace => self.berth.workspaces.get(id).await.unwrap().unwrap().account_id,
        };
        let audit = Draft::by_berth(&*self.berth.ids, account_id, None, "membership.grant");
        let member = domain::members::assign(&self.berth, ScopeRef { scope, id, account_id }, principal, role, audit).await.unwrap();
        assert!(!member.pending);
    }

    /// An active account of `owner`.
    pub async fn account(&self, owner: &User) -> Uuid {
        let answer = self.post("/v1/accounts", owner, json!({"name": "Acme"})).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        assert_eq!(self.ended(owner, &answer.location()).await.json["outcome"], "succeeded");
        answer.id("account_id")
    }

    /// An active workspace in `account`, made by `owner`.
    pub async fn workspace(&self, owner: &User, account: Uuid, name: &str) -> Uuid {
        let answer = self.create_workspace(owner, account, name).await;
        assert_eq!(self.ended(owner, &answer.location()).await.json["outcome"], "succeeded");
        answer.id("workspace_id")
    }

    pub async fn create_workspace(&self, owner: &User, account: Uuid, name: &str) -> Answer {
        let answer = self.post("/v1/workspaces", owner, json!({"account_id": account, "name": name, "region": "local"})).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        answer
    }

    /// A run of `POST /v1/workspaces` once it stands at the held platform: as it is then.
    pub async fn held(&self, user: &User, run: &str) -> Answer {
        loop {
            let answer = self.get(run, user).await;
            let steps = answer.json["steps"].as_array().unwrap();
            if steps.iter().filter(|s| s["state"] == "running").count() == 3 {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Follows a run by long polls until it has ended.
    pub async fn ended(&self, user: &User, run: &str) -> Answer {
        self.until(user, run, |run| run["terminal"] == true).await
    }

    /// Follows a run by long polls until it is as it should be.
    pub async fn until(&self, user: &User, run: &str, is_so: fn(&Value) -> bool) -> Answer {
        let mut tag = None::<String>;
        loop {
            let mut call = Call::get(&format!("{run}?wait=30s")).user(user);
            if let Some(tag) = &tag {
                call = call.header("if-none-match", tag);
            }
            let answer = self.send(call).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            if is_so(&answer.json) {
                return answer;
            }
            tag = Some(answer.header("etag").to_owned());
        }
    }

    /// An account's audit entries, in the order of their chain.
    pub async fn chain(&self, account: Uuid) -> Vec<Entry> {
        self.berth.audit.of_account(account, 0, 100_000).await.unwrap()
    }

    pub async fn get(&self, path: &str, user: &User) -> Answer {
        self.send(Call::get(path).user(user)).await
    }

    pub async fn post(&self, path: &str, user: &User, body: Value) -> Answer {
        self.send(Call::post(path, &body).user(user)).await
    }

    /// The answer as it begins to come; not held against the document.
    pub async fn raw(&self, call: Call) -> axum::response::Response {
        let mut request = Request::builder().method(call.method.as_str()).uri(&call.path);
        for (name, value) in &call.headers {
            request = request.header(name, value.as_slice());
        }
        let mut request = request.body(call.body).unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([192, 0, 2, 7], 4711))));
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub async fn send(&self, call: Call) -> Answer {
        let (method, path) = (call.method.clone(), call.path.clone());
        let response = self.raw(call).await;
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let headers: Vec<(String, String)> =
            parts.headers.iter().map(|(n, v)| (n.to_string(), String::from_utf8_lossy(v.as_bytes()).into_owned())).collect();
        if parts.status.as_u16() >= 400 {
            testkit::output::keep("problem", &body);
        }
        CONTRACT.hold(&Exchange { method: &method, path: &path, status: parts.status.as_u16(), headers: &headers, body: &body });
        Answer {
            status: parts.status,
            json: serde_json::from_slice(&body).unwrap_or_default(),
            headers: parts.headers,
            body: body.to_vec(),
        }
    }
}

/// Somebody with a token.
#[derive(Debug, Clone)]
pub struct User {
    pub principal: Principal,
    pub token: String,
}

/// A request to be sent.
pub struct Call {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Body,
}

impl Call {
    pub fn new(method: &str, path: &str) -> Self {
        Self { method: method.to_owned(), path: path.to_owned(), headers: Vec::new(), body: Body::empty() }
    }

    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    pub fn post(path: &str, body: &Value) -> Self {
        Self::new("POST", path).header("content-type", "application/json").body(body.to_string())
    }

    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    pub fn user(self, user: &User) -> Self {
        self.bearer(&user.token)
    }
}
