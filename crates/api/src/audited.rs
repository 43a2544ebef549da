//! What each operation leaves in the audit log, in one table; and the recording of denials, in one place.
//!
//! Mutations leave their entries themselves, in their own transactions; the table says which, and tests hold every
//! operation to it. Denials are recorded here, around all routes: 403, and 404 `not_found` to an authenticated caller.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use axum::response::Response;
use domain::audit::Target;
use domain::audit::denials::{Book, Denial, Told, write};
use domain::{Berth, Caller};
use http::{Extensions, Method, StatusCode, Uri};
use tokio_util::sync::CancellationToken;
use utoipa::openapi::OpenApi;
use uuid::Uuid;

use crate::State;
use crate::problem::{Code, Problem};
use crate::query::parse_id;
use crate::scope::Operation;
use crate::tokens::Clock;

/// Operation; the action that its denial is recorded as; the actions that its success leaves an entry of. A mutation and a
/// sensitive read leave at least one.
#[rustfmt::skip]
pub const OPERATIONS: &[(&str, &str, &[&str])] = &[
    ("getIndex",                "index.read",       &[]),
    ("getLiveness",             "health.read",      &[]),
    ("getReadiness",            "health.read",      &[]),
    ("getOpenApi",              "document.read",    &[]),
    ("listSigningKeys",         "signing_key.list", &[]),
    ("getProblemPage",          "document.read",    &[]),
    ("getMe",                   "me.read",          &[]),
    ("listRegions",             "region.list",      &[]),
    ("listAccounts",            "account.list",     &[]),
    ("createAccount",           "account.create",   &["account.create"]),
    ("getAccount",              "account.read",     &[]),
    ("listAccountMembers",      "member.list",      &[]),
    ("addAccountMember",        "member.add",       &["member.add"]),
    ("changeAccountMember",     "member.change_role", &["member.change_role"]),
    ("removeAccountMember",     "member.remove",    &["member.remove"]),
    ("createServiceAccount",    "service_account.create", &["service_account.create"]),
    ("listServiceAccounts",     "service_account.list", &[]),
    ("disableServiceAccount",   "service_account.disable", &["service_account.disable"]),
    ("addClientSecret",         "service_account.add_secret", &["service_account.add_secret"]),
    ("listClientSecrets",       "service_account.list_secrets", &[]),
    ("deleteClientSecret",      "service_account.delete_secret", &["service_account.delete_secret"]),
    ("issueToken",              "token.issue",      &["token.issue"]),
    ("getOwnToken",             "token.read",       &[]),
    ("issueWorkspaceToken",     "token.issue",      &["token.issue"]),
    ("issueWorkspaceTokenByName", "token.issue",    &["token.issue"]),
    ("createApiToken",          "api_token.create", &["api_token.create"]),
    ("listApiTokens",           "api_token.list",   &[]),
    ("revokeApiToken",          "api_token.revoke", &["api_token.revoke"]),
    ("registerUser",            "user.register",    &["user.register"]),
    ("revokeUser",              "user.revoke",      &["user.revoke"]),
    ("restoreUser",             "user.restore",     &["user.restore"]),
    ("getAccountSettings",      "account.read",     &[]),
    ("changeAccountSettings",   "account.update",   &["account.update"]),
    ("listWorkspaces",          "workspace.list",   &[]),
    ("listWorkspacesByAccount", "workspace.list",   &[]),
    ("createWorkspace",         "workspace.create", &["workspace.create", "workspace.plan"]),
    ("getWorkspace",            "workspace.read",   &[]),
    ("updateWorkspace",         "workspace.update", &["workspace.update"]),
    ("deleteWorkspace",         "workspace.delete", &["workspace.delete"]),
    ("restoreWorkspace",        "workspace.restore", &["workspace.restore"]),
    ("getWorkspaceByName",      "workspace.read",   &[]),
    ("changeWorkspaceStatus",   "workspace.status", &["workspace.freeze", "workspace.unfreeze"]),
    ("listEnvironments",        "environment.list", &[]),
    ("listWorkspaceMembers",    "member.list",      &[]),
    ("addWorkspaceMember",      "member.add",       &["member.add"]),
    ("changeWorkspaceMember",   "member.change_role", &["member.change_role"]),
    ("removeWorkspaceMember",   "member.remove",    &["member.remove"]),
    ("listAuditEntries",        "audit.list",       &[]),
    ("listAccountAuditEntries", "audit.list",       &[]),
    ("exportWorkspace",         "workspace.export", &["workspace.export", "workspace.export.end"]),
    ("getExport",               "export.read",      &[]),
    ("getSecrets",              "pillar.secrets",   &[]),
    ("getFiles",                "pillar.files",     &[]),
    ("getVault",                "pillar.vault",     &[]),
    ("getLogs",                 "pillar.logs",      &[]),
    ("getApps",                 "pillar.apps",      &[]),
    ("getCoderunners",          "pillar.coderunners", &[]),
    ("listProvisioningRuns",    "run.list",         &[]),
    ("getProvisioningRun",      "run.read",         &[]),
    ("followProvisioningRun",   "run.read",         &[]),
    ("cancelProvisioningRun",   "run.cancel",       &["run.cancel"]),
    ("retryProvisioningRun",    "run.retry",        &["run.retry"]),
    ("skipProvisioningRun",     "run.skip",         &["run.skip"]),
    ("abandonProvisioningRun",  "run.abandon",      &["run.abandon"]),
    ("listPauses",              "pause.list",       &[]),
    ("setPause",                "pause.set",        &["pause.set"]),
    ("liftPause",               "pause.lift",       &["pause.lift"]),
];

/// Targets of one denial that are kept.
const TARGETS_MAX: usize = 8;
/// How often minutes that have ended are looked for.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// Who tries what in one request, as its extractors find out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attempt(Arc<Mutex<Tried>>);

#[derive(Debug, Default)]
struct Tried {
    caller: Option<Caller>,
    targets: Vec<Target>,
}

impl Attempt {
    /// That of the request with these extensions; one that nobody reads outside of a route.
    pub fn of(extensions: &Extensions) -> Self {
        extensions.get::<Self>().cloned().unwrap_or_default()
    }

    fn tried(&self) -> MutexGuard<'_, Tried> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on a refusal is this caller's denial.
    pub fn by(&self, caller: &Caller) {
        self.tried().caller = Some(caller.clone());
    }

    /// Whether the request names a workspace that the token is not for.
    pub fn strays(&self, name: &str, id: Uuid) -> bool {
        let only = self.tried().caller.as_ref().and_then(|caller| caller.workspace);
        name == "workspace_id" && only.is_some_and(|only| only != id)
    }

    /// The request names an account, a workspace or a run in its query or body: `name` is the field's.
    pub fn about(&self, name: &str, id: Uuid) {
        if let Some(kind) = name.strip_suffix("_id").filter(|kind| ["account", "workspace", "run", "principal"].contains(kind)) {
            self.target(kind, id);
        }
    }

    fn target(&self, kind: &str, id: Uuid) {
        let target = Target { kind: kind.to_owned(), id };
        let targets = &mut self.tried().targets;
        if targets.len() < TARGETS_MAX && !targets.contains(&target) {
            targets.push(target);
        }
    }

    /// The ids in the path, each called by what stands before it: `workspaces/{id}` is a workspace.
    fn in_path(&self, template: &str, uri: &Uri) {
        let mut before = "";
        for (template, part) in template.split('/').zip(uri.path().split('/')) {
            let name = template.strip_prefix('{').and_then(|t| t.strip_suffix('}'));
            if let (Some(name), Some(id)) = (name, parse_id(part)) {
                self.target(name.strip_suffix("_id").unwrap_or_else(|| singular(before)), id);
            }
            before = part;
        }
    }
}

/// What one of those that a path's part names is called.
fn singular(part: &str) -> &str {
    match part {
        "provisioning-runs" => "run",
        "api-tokens" => "api_token",
        other => other.strip_suffix('s').unwrap_or(other),
    }
}

/// Which action each route's denials are recorded as.
#[derive(Clone)]
pub(crate) struct Actions(Arc<Vec<(Method, String, &'static str, &'static str)>>);

impl Actions {
    pub fn of(document: &OpenApi) -> Self {
        let mut actions = Vec::new();
        for (path, item) in &document.paths.paths {
            let operations = [
                (Method::GET, &item.get),
                (Method::POST, &item.post),
                (Method::PUT, &item.put),
                (Method::PATCH, &item.patch),
                (Method::DELETE, &item.delete),
            ];
            for (method, operation) in operations {
                let id = operation.as_ref().and_then(|o| o.operation_id.as_deref());
                if let Some((id, action, _)) = OPERATIONS.iter().find(|(known, ..)| Some(*known) == id) {
                    actions.push((method, path.clone(), *id, *action));
                }
            }
        }
        Self(Arc::new(actions))
    }

    /// The operation and its action. Below a pillar's path everything is the pillar's.
    fn of_route(&self, method: &Method, template: &str) -> Option<(&'static str, &'static str)> {
        let (method, template) = match template.strip_suffix("/{*rest}") {
            Some(pillar) => (&Method::GET, pillar),
            None if method == Method::HEAD => (&Method::GET, template),
            None => (method, template),
        };
        self.0.iter().find(|(m, path, ..)| m == method && path == template).map(|(.., id, action)| (*id, *action))
    }

    fn action(&self, method: &Method, template: &str) -> &'static str {
        self.of_route(method, template).map_or("request", |(_, action)| action)
    }
}

/// Goes around each route: a refusal for want of a right is taken down before it is answered.
pub(crate) async fn watch(state: &State, actions: &Actions, mut request: Request, next: impl AsyncFnOnce(Request) -> Response) -> Response {
    let Some(route) = request.extensions().get::<MatchedPath>().cloned() else { return next(request).await };
    let attempt = Attempt::default();
    request.extensions_mut().insert(attempt.clone());
    let operation = Operation(actions.of_route(request.method(), route.as_str()).map(|(id, _)| id));
    request.extensions_mut().insert(operation);
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let response = next(request).await;
    if let Some(problem) = response.extensions().get::<Problem>().filter(|problem| is_denial(problem.code())) {
        attempt.in_path(route.as_str(), &uri);
        let Tried { caller, targets } = std::mem::take(&mut *attempt.tried());
        if let Some(caller) = caller {
            let action = actions.action(&method, route.as_str()).to_owned();
            state.denials.note(Denial { caller, action, targets, problem_type: problem.code().uri() }).await;
        }
    }
    response
}

/// Whether the caller lacks a right. A 404 counts whether the thing exists or not: a log that told the two apart would tell
/// its readers what exists elsewhere.
fn is_denial(code: Code) -> bool {
    code.status() == StatusCode::FORBIDDEN || code == Code::NotFound
}

/// Takes denials down and writes their entries; cheap to clone.
#[derive(Clone)]
pub struct Denials(Arc<Shared>);

struct Shared {
    berth: Berth,
    clock: Clock,
    book: Mutex<Book>,
}

impl Denials {
    #[must_use]
    pub fn new(berth: Berth, clock: Clock) -> Self {
        Self(Arc::new(Shared { berth, clock, book: Mutex::default() }))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns once the entry is written, if there is one to write; never fails the request.
    pub(crate) async fn note(&self, denial: Denial) {
        metrics::counter!("audit_denials_total").increment(1);
        let told = self.book().note(denial, (self.0.clock)());
        if told.is_empty() {
            return;
        }
        // In a task of its own: a client that hangs up must not take its denial with it.
        let denials = self.clone();
        let _ = tokio::spawn(async move { denials.tell(told).await }).await;
    }

    /// Writes what was counted in minutes that have ended.
    pub async fn flush(&self) {
        let told = self.book().due((self.0.clock)());
        self.tell(told).await;
    }

    /// Writes all that was counted: the last thing before the process ends.
    pub async fn drain(&self) {
        let told = self.book().all();
        self.tell(told).await;
    }

    /// Flushes until `stop` fires; requests may still be served after that, and [`Denials::drain`] ends it.
    pub async fn run(self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(FLUSH_EVERY)).await.is_some() {
            self.flush().await;
        }
    }

    async fn tell(&self, told: Vec<Told>) {
        for told in told {
            if let Err(error) = write(&self.0.berth, &told).await {
                tracing::error!(cause = %error, count = told.counted.count, "denials could not be recorded; they are counted on");
                self.book().put_back(told, (self.0.clock)());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_in_a_path_are_called_by_what_they_are() {
        let id = Uuid::from_u128(7);
        let named = |template: &str| {
            let attempt = Attempt::default();
            let path = template.replace("{id}", &id.to_string()).replace("{account_id}", &id.to_string());
            let path = path.replace("{principal_id}", &Uuid::from_u128(8).to_string()).replace("{kind}", "account");
            attempt.in_path(template, &path.parse().unwrap());
            attempt.tried().targets.iter().map(|t| t.kind.clone()).collect::<Vec<_>>()
        };
        assert_eq!(named("/v1/workspaces/{id}"), ["workspace"]);
        assert_eq!(named("/v1/workspaces/by-account/{account_id}"), ["account"]);
        assert_eq!(named("/v1/provisioning-runs/{id}/cancel"), ["run"]);
        assert_eq!(named("/v1/accounts/{id}/members/{principal_id}"), ["account", "principal"]);
        assert_eq!(named("/v1/pauses/{kind}/{id}"), ["account"]);
        assert_eq!(named("/v1/workspaces"), Vec::<String>::new());
    }

    #[test]
    fn what_a_pillar_answers_below_its_path_is_the_pillars() {
        let (_, document) = crate::routes::routes().split_for_parts();
        let actions = Actions::of(&document);
        assert_eq!(actions.action(&Method::PUT, "/v1/workspaces/{id}/vault/{*rest}"), "pillar.vault");
        assert_eq!(actions.action(&Method::HEAD, "/v1/workspaces/{id}"), "workspace.read");
    }
}
