//! Every endpoint × every kind of caller, in one table; an operation that is missing from the table fails.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::model::{Role, Scope};
use domain::permissions::Object;
use domain::{Principal, PrincipalKind};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{CONTRACT, Call, User, Wish, World};

/// In the order of the table's columns.
pub const CALLERS: [&str; 16] = [
    "anonymous",
    "stranger",
    "account member",
    "workspace viewer",
    "workspace member",
    "workspace admin",
    "workspace owner",
    "account admin",
    "account owner",
    "operator",
    "auditor",
    "service account",
    "another account's owner",
    "expired token",
    "wrong audience",
    "alg: none",
];

/// Operation, method, path, and what each caller is answered. The service account is a member of the workspace.
/// `404p` is 404 with `pillar_not_configured`: the caller may read the workspace. `{ended}` is the run that made it; `{owner}` and `{lead}` are the
/// only owners of the account and the workspace.
#[rustfmt::skip]
pub const TABLE: &[(&str, &str, &str, [&str; 16])] = &[
    //                                                                                                 anon   stran  acc-m  ws-vi  ws-me  ws-ad  ws-ow  acc-a  acc-o  oper   audit  servi  other  expir  audie  none
    ("getIndex",               "GET",  "/v1",                                                        ["200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200"]),
    ("getLiveness",            "GET",  "/livez",                                                     ["200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200"]),
    ("getReadiness",           "GET",  "/readyz",                                                    ["200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200"]),
    ("getOpenApi",             "GET",  "/openapi.yaml",                                              ["200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200"]),
    ("listSigningKeys",        "GET",  "/.well-known/jwks.json",                                     ["200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200"]),
    ("getProblemPage",         "GET",  "/problems/workspace_frozen",                                 ["200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200"]),
    ("getMe",                  "GET",  "/v1/me",                                                     ["401", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "401", "401", "401"]),
    ("listRegions",            "GET",  "/v1/regions",                                                ["401", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "401", "401", "401"]),
    ("listAccounts",           "GET",  "/v1/accounts",                                               ["401", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "401", "401", "401"]),
    ("createAccount",          "POST", "/v1/accounts",                                               ["401", "403", "403", "403", "403", "403", "403", "403", "403", "202", "403", "403", "403", "401", "401", "401"]),
    ("getAccount",             "GET",  "/v1/accounts/{account}",                                     ["401", "404", "200", "404", "404", "404", "404", "200", "200", "200", "200", "404", "404", "401", "401", "401"]),
    ("listAccountAuditEntries","GET",  "/v1/accounts/{account}/audit",                               ["401", "404", "403", "404", "404", "404", "404", "200", "200", "200", "200", "404", "404", "401", "401", "401"]),
    ("",                       "GET",  "/v1/accounts/00000000-0000-0000-0000-000000000000/audit",   ["401", "404", "404", "404", "404", "404", "404", "404", "404", "200", "200", "404", "404", "401", "401", "401"]),
    ("listAccountMembers",     "GET",  "/v1/accounts/{account}/members",                             ["401", "404", "200", "404", "404", "404", "404", "200", "200", "200", "200", "404", "404", "401", "401", "401"]),
    ("addAccountMember",       "POST", "/v1/accounts/{account}/members",                             ["401", "404", "403", "404", "404", "404", "404", "422", "422", "422", "403", "404", "404", "401", "401", "401"]),
    ("changeAccountMember",    "PATCH","/v1/accounts/{account}/members/{member}",                    ["401", "404", "403", "404", "404", "404", "404", "200", "200", "200", "403", "404", "404", "401", "401", "401"]),
    ("removeAccountMember",    "DELETE","/v1/accounts/{account}/members/{owner}",                    ["401", "404", "403", "404", "404", "404", "404", "409", "409", "409", "403", "404", "404", "401", "401", "401"]),
    ("createServiceAccount",   "POST", "/v1/accounts/{account}/service-accounts",                    ["401", "404", "403", "404", "404", "404", "404", "409", "409", "409", "403", "404", "404", "401", "401", "401"]),
    ("listServiceAccounts",    "GET",  "/v1/accounts/{account}/service-accounts",                    ["401", "404", "403", "404", "404", "404", "404", "200", "200", "200", "403", "404", "404", "401", "401", "401"]),
    ("disableServiceAccount",  "DELETE","/v1/accounts/{account}/service-accounts/{idle}",            ["401", "404", "403", "404", "404", "404", "404", "204", "204", "204", "403", "404", "404", "401", "401", "401"]),
    ("addClientSecret",        "POST", "/v1/accounts/{account}/service-accounts/{program}/secrets",  ["401", "404", "403", "404", "404", "404", "404", "409", "409", "409", "403", "404", "404", "401", "401", "401"]),
    ("listClientSecrets",      "GET",  "/v1/accounts/{account}/service-accounts/{program}/secrets",  ["401", "404", "403", "404", "404", "404", "404", "200", "200", "200", "403", "404", "404", "401", "401", "401"]),
    ("deleteClientSecret",     "DELETE","/v1/accounts/{account}/service-accounts/{program}/secrets/{secret}", ["401", "404", "403", "404", "404", "404", "404", "204", "404", "404", "403", "404", "404", "401", "401", "401"]),
    ("issueToken",             "POST", "/v1/tokens",                                                 ["401", "401", "401", "401", "401", "401", "401", "401", "401", "401", "401", "401", "401", "401", "401", "401"]),
    ("getOwnToken",            "GET",  "/v1/tokens/self",                                            ["401", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "401", "401", "401"]),
    ("issueWorkspaceToken",    "POST", "/v1/workspaces/{workspace}/tokens",                          ["401", "404", "404", "201", "201", "201", "201", "201", "201", "201", "201", "201", "404", "401", "401", "401"]),
    ("issueWorkspaceTokenByName","POST","/v1/accounts/{account}/workspace-tokens",                   ["401", "404", "404", "201", "201", "201", "201", "201", "201", "201", "201", "201", "404", "401", "401", "401"]),
    ("createApiToken",         "POST", "/v1/api-tokens",                                             ["401", "201", "201", "201", "201", "201", "201", "201", "201", "201", "201", "201", "201", "401", "401", "401"]),
    ("listApiTokens",          "GET",  "/v1/api-tokens",                                             ["401", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "401", "401", "401"]),
    ("revokeApiToken",         "DELETE","/v1/api-tokens/{secret}",                                   ["401", "404", "404", "404", "404", "404", "404", "404", "404", "404", "404", "404", "404", "401", "401", "401"]),
    ("registerUser",           "POST", "/v1/users",                                                  ["401", "403", "403", "403", "403", "403", "403", "403", "403", "200", "403", "403", "403", "401", "401", "401"]),
    ("revokeUser",             "POST", "/v1/users/{nobody}/revoke",                                  ["401", "403", "403", "403", "403", "403", "403", "403", "403", "404", "403", "403", "403", "401", "401", "401"]),
    ("restoreUser",            "POST", "/v1/users/{viewer}/restore",                                 ["401", "403", "403", "403", "403", "403", "403", "403", "403", "200", "403", "403", "403", "401", "401", "401"]),
    ("getAccountSettings",     "GET",  "/v1/accounts/{account}/settings",                            ["401", "404", "200", "404", "404", "404", "404", "200", "200", "200", "200", "404", "404", "401", "401", "401"]),
    ("changeAccountSettings",  "PATCH","/v1/accounts/{account}/settings",                            ["401", "404", "403", "404", "404", "404", "404", "200", "200", "200", "403", "404", "404", "401", "401", "401"]),
    ("listWorkspaces",         "GET",  "/v1/workspaces",                                             ["401", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "401", "401", "401"]),
    ("createWorkspace",        "POST", "/v1/workspaces",                                             ["401", "404", "403", "404", "404", "404", "404", "202", "202", "202", "403", "404", "404", "401", "401", "401"]),
    ("getWorkspace",           "GET",  "/v1/workspaces/{workspace}",                                 ["401", "404", "404", "200", "200", "200", "200", "200", "200", "200", "200", "200", "404", "401", "401", "401"]),
    ("updateWorkspace",        "PATCH","/v1/workspaces/{workspace}",                                 ["401", "404", "404", "403", "403", "200", "200", "200", "200", "200", "403", "403", "404", "401", "401", "401"]),
    ("deleteWorkspace",         "DELETE","/v1/workspaces/{workspace}",                                    ["401", "404", "404", "403", "403", "428", "428", "428", "428", "428", "403", "403", "404", "401", "401", "401"]),
    ("restoreWorkspace",        "POST", "/v1/workspaces/{workspace}/restore",                            ["401", "404", "404", "403", "403", "409", "409", "409", "409", "409", "403", "403", "404", "401", "401", "401"]),
    ("getWorkspaceByName",     "GET",  "/v1/accounts/{account}/workspaces/by-name/Sales",            ["401", "404", "404", "200", "200", "200", "200", "200", "200", "200", "200", "200", "404", "401", "401", "401"]),
    ("listWorkspacesByAccount","GET",  "/v1/workspaces/by-account/{account}",                        ["401", "404", "200", "404", "404", "404", "404", "200", "200", "200", "200", "404", "404", "401", "401", "401"]),
    ("changeWorkspaceStatus",  "PATCH","/v1/workspaces/{workspace}/status",                          ["401", "404", "404", "403", "403", "200", "200", "200", "200", "200", "403", "403", "404", "401", "401", "401"]),
    ("listEnvironments",       "GET",  "/v1/workspaces/{workspace}/environments",                    ["401", "404", "404", "200", "200", "200", "200", "200", "200", "200", "200", "200", "404", "401", "401", "401"]),
    ("listWorkspaceMembers",   "GET",  "/v1/workspaces/{workspace}/members",                         ["401", "404", "404", "200", "200", "200", "200", "200", "200", "200", "200", "200", "404", "401", "401", "401"]),
    ("addWorkspaceMember",     "POST", "/v1/workspaces/{workspace}/members",                         ["401", "404", "404", "403", "403", "422", "422", "422", "422", "422", "403", "403", "404", "401", "401", "401"]),
    ("changeWorkspaceMember",  "PATCH","/v1/workspaces/{workspace}/members/{viewer}",                ["401", "404", "404", "403", "403", "200", "200", "200", "200", "200", "403", "403", "404", "401", "401", "401"]),
    ("removeWorkspaceMember",  "DELETE","/v1/workspaces/{workspace}/members/{lead}",                 ["401", "404", "404", "403", "403", "409", "409", "409", "409", "409", "403", "403", "404", "401", "401", "401"]),
    ("listAuditEntries",       "GET",  "/v1/workspaces/{workspace}/audit",                           ["401", "404", "404", "200", "200", "200", "200", "200", "200", "200", "200", "200", "404", "401", "401", "401"]),
    ("exportWorkspace",        "GET",  "/v1/workspaces/{workspace}/export",                          ["401", "404", "404", "200", "200", "200", "200", "200", "200", "200", "200", "200", "404", "401", "401", "401"]),
    ("getExport",              "GET",  "/v1/exports/{export}",                                       ["401", "404", "404", "200", "200", "200", "200", "200", "200", "200", "200", "200", "404", "401", "401", "401"]),
    ("getSecrets",             "GET",  "/v1/workspaces/{workspace}/secrets",                         ["401", "404", "404", "404p","404p","404p","404p","404p","404p","404p","404p","404p","404", "401", "401", "401"]),
    ("getFiles",               "GET",  "/v1/workspaces/{workspace}/files",                           ["401", "404", "404", "404p","404p","404p","404p","404p","404p","404p","404p","404p","404", "401", "401", "401"]),
    ("getVault",               "GET",  "/v1/workspaces/{workspace}/vault",                           ["401", "404", "404", "404p","404p","404p","404p","404p","404p","404p","404p","404p","404", "401", "401", "401"]),
    ("getLogs",                "GET",  "/v1/workspaces/{workspace}/logs",                            ["401", "404", "404", "404p","404p","404p","404p","404p","404p","404p","404p","404p","404", "401", "401", "401"]),
    ("getApps",                "GET",  "/v1/workspaces/{workspace}/apps",                            ["401", "404", "404", "404p","404p","404p","404p","404p","404p","404p","404p","404p","404", "401", "401", "401"]),
    ("getCoderunners",         "GET",  "/v1/workspaces/{workspace}/coderunners",                     ["401", "404", "404", "404p","404p","404p","404p","404p","404p","404p","404p","404p","404", "401", "401", "401"]),
    ("",                       "PUT",  "/v1/workspaces/{workspace}/vault/keys/one",                  ["401", "404", "404", "404p","404p","404p","404p","404p","404p","404p","404p","404p","404", "401", "401", "401"]),
    ("listProvisioningRuns",   "GET",  "/v1/provisioning-runs",                                      ["401", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "401", "401", "401"]),
    ("",                       "GET",  "/v1/provisioning-runs?account_id={account}",                 ["401", "404", "403", "404", "404", "404", "404", "200", "200", "200", "200", "404", "404", "401", "401", "401"]),
    ("",                       "GET",  "/v1/provisioning-runs?workspace_id={workspace}",             ["401", "404", "404", "200", "200", "200", "200", "200", "200", "200", "200", "200", "404", "401", "401", "401"]),
    ("getProvisioningRun",     "GET",  "/v1/provisioning-runs/{ended}",                              ["401", "404", "404", "200", "200", "200", "200", "200", "200", "200", "200", "200", "404", "401", "401", "401"]),
    ("listPauses",             "GET",  "/v1/pauses",                                                 ["401", "403", "403", "403", "403", "403", "403", "403", "403", "200", "200", "403", "403", "401", "401", "401"]),
    ("setPause",               "PUT",  "/v1/pauses/account/{account}",                               ["401", "403", "403", "403", "403", "403", "403", "403", "403", "201", "403", "403", "403", "401", "401", "401"]),
    ("liftPause",              "DELETE","/v1/pauses/account/{account}",                              ["401", "403", "403", "403", "403", "403", "403", "403", "403", "204", "403", "403", "403", "401", "401", "401"]),
    ("followProvisioningRun",  "GET",  "/v1/provisioning-runs/{ended}/events",                       ["401", "404", "404", "200", "200", "200", "200", "200", "200", "200", "200", "200", "404", "401", "401", "401"]),
    ("cancelProvisioningRun",  "POST", "/v1/provisioning-runs/{ended}/cancel",                       ["401", "404", "404", "403", "403", "409", "409", "409", "409", "409", "403", "403", "404", "401", "401", "401"]),
    ("retryProvisioningRun",   "POST", "/v1/provisioning-runs/{ended}/retry",                        ["401", "404", "404", "403", "403", "409", "409", "409", "409", "409", "403", "403", "404", "401", "401", "401"]),
    ("skipProvisioningRun",    "POST", "/v1/provisioning-runs/{ended}/skip",                         ["401", "404", "404", "403", "403", "403", "403", "403", "403", "409", "403", "403", "404", "401", "401", "401"]),
    ("abandonProvisioningRun", "POST", "/v1/provisioning-runs/{ended}/abandon",                      ["401", "404", "404", "403", "403", "403", "403", "403", "403", "409", "403", "403", "404", "401", "401", "401"]),
];

/// The same world for all: an account with a workspace, and one caller of each kind.
pub struct Cast {
    pub world: World,
    /// One per column; `None` sends no token.
    tokens: Vec<Option<String>>,
    pub principals: Vec<Option<Principal>>,
    pub account: Uuid,
    pub workspace: Uuid,
    run: String,
    /// Members that paths name.
    named: Vec<(&'static str, Uuid)>,
    /// An export of the workspace.
    export: String,
}

impl Cast {
    pub async fn new() -> Self {
        Self::with(Wish::default()).await
    }

    pub async fn with(wish: Wish) -> Self {
        let world = World::with(Wish { self_serve_accounts: false, ..wish }).await;
        let operator = world.user("operator").await;
        world.relate(Object::platform(), "operator", operator.principal).await;
        let auditor = world.user("auditor").await;
        world.relate(Object::platform(), "auditor", auditor.principal).await;

        let account = world.account(&operator).await;
        let elsewhere = world.account(&operator).await;
        let other = world.user("another account's owner").await;
        world.grant(Scope::Account, elsewhere, other.principal, Role::Owner).await;
        let mut members = Vec::new();
        for (name, role) in [("account member", Role::Member), ("account admin", Role::Admin), ("account owner", Role::Owner)] {
            let user = world.user(name).await;
            world.grant(Scope::Account, account, user.principal, role).await;
            members.push(user);
        }
        let [account_member, account_admin, account_owner]: [User; 3] = members.try_into().unwrap();
        let created = world.create_workspace(&account_owner, account, "Sales").await;
        let run = created.location().rsplit('/').next().unwrap().to_owned();
        world.ended(&account_owner, &created.location()).await;
        let workspace = created.id("workspace_id");
        let mut roles = Vec::new();
        for role in [Role::Viewer, Role::Member, Role::Admin, Role::Owner] {
            let user = world.user(&format!("workspace {}", role.as_str())).await;
            world.grant(Scope::Workspace, workspace, user.principal, role).await;
            roles.push(user);
        }
        let [viewer, member, admin, owner]: [User; 4] = roles.try_into().unwrap();
        let robot = world.principal(PrincipalKind::ServiceAccount, "robot", Some(account)).await;
        world.grant(Scope::Workspace, workspace, robot, Role::Member).await;
        let stranger = world.user("stranger").await;
        // One owner each: whom nobody may remove.
        world.grant(Scope::Account, account, operator.principal, Role::Member).await;
        world.grant(Scope::Workspace, workspace, account_owner.principal, Role::Member).await;
        let (program, secret) = credentials(&world, &account_owner, account, "program").await;
        credentials(&world, &account_owner, account, "idle").await;
        let idle = world.get(&format!("/v1/accounts/{account}/service-accounts"), &account_owner).await;
        let idle = idle.json.as_array().unwrap().iter().find(|one| one["name"] == "idle").unwrap()["id"].as_str().unwrap().parse().unwrap();
        assert_eq!(world.post(&secrets_of(account, program), &account_owner, json!({})).await.status, 201);
        let named = [("{member}", &account_member), ("{owner}", &account_owner), ("{viewer}", &viewer), ("{lead}", &owner)]
            .map(|(name, user)| (name, user.principal.id))
            .into_iter()
            .chain([("{nobody}", Uuid::now_v7()), ("{program}", program), ("{secret}", secret), ("{idle}", idle)])
            .collect();

        let claims = |aud: &str, exp: i64| json!({"iss": "https://berth.test", "aud": aud, "sub": format!("user:{}", account_owner.principal.id), "exp": exp});
        let valid_until = 1_800_000_000 + 3600;
        let tokens = vec![
            None,
            Some(stranger.token.clone()),
            Some(account_member.token.clone()),
            Some(viewer.token.clone()),
            Some(member.token.clone()),
            Some(admin.token.clone()),
            Some(owner.token.clone()),
            Some(account_admin.token.clone()),
            Some(account_owner.token.clone()),
            Some(operator.token.clone()),
            Some(auditor.token.clone()),
            Some(world.token(robot)),
            Some(other.token.clone()),
            Some(signed(&world.key, &claims("berth", 1_800_000_000 - 60))),
            Some(signed(&world.key, &claims("elsewhere", valid_until))),
            Some(unsigned(&claims("berth", valid_until))),
        ];
        let principals = vec![
            None,
            Some(stranger.principal),
            Some(account_member.principal),
            Some(viewer.principal),
            Some(member.principal),
            Some(admin.principal),
            Some(owner.principal),
            Some(account_admin.principal),
            Some(account_owner.principal),
            Some(operator.principal),
            Some(auditor.principal),
            Some(robot),
            Some(other.principal),
        ];
        let exported = world.get(&format!("/v1/workspaces/{workspace}/export"), &operator).await;
        let export = exported.header("export-id").to_owned();
        Self { world, tokens, principals, account, workspace, run, named, export }
    }

    pub fn path(&self, template: &str) -> String {
        let template = self.named.iter().fold(template.to_owned(), |path, (name, id)| path.replace(name, &id.to_string()));
        template
            .replace("{account}", &self.account.to_string())
            .replace("{workspace}", &self.workspace.to_string())
            .replace("{ended}", &self.run)
            .replace("{export}", &self.export)
    }

    /// The request of the caller in this column of the table.
    pub fn call(&self, column: usize, method: &str, template: &str) -> Call {
        let path = self.path(template);
        let mut call = Call::new(method, &path);
        if let Some(token) = &self.tokens[column] {
            call = call.bearer(token);
        }
        let operation = CONTRACT.operation(method, path.split('?').next().unwrap_or_default());
        if let Some(body) = operation.and_then(|o| self.body(&o.id)) {
            call = call.header("content-type", "application/json").body(body.to_string());
        }
        call
    }

    fn body(&self, operation: &str) -> Option<Value> {
        match operation {
            // Changes nothing, and needs the right all the same.
            "changeWorkspaceStatus" => Some(json!({"status": "active"})),
            "createAccount" => Some(json!({"name": "New"})),
            "createWorkspace" => Some(json!({"account_id": self.account, "name": "New", "region": "local"})),
            // Of one that is there; and nobody's credentials.
            "createApiToken" => Some(json!({"name": "nightly"})),
            "registerUser" => Some(json!({"name": "ada", "issuer": "https://id.example.com", "subject": "248289761001"})),
            "createServiceAccount" => Some(json!({"name": "program"})),
            "addClientSecret" | "issueWorkspaceToken" | "revokeUser" | "restoreUser" => Some(json!({})),
            "issueWorkspaceTokenByName" => Some(json!({"name": "Sales"})),
            "changeAccountSettings" => Some(json!({"default_region": "local"})),
            "issueToken" => Some(json!({"grant_type": "client_credentials", "client_id": self.account, "client_secret": "berth_secret_1"})),
            "updateWorkspace" => Some(json!({"labels": {"a": "1"}})),
            "skipProvisioningRun" | "abandonProvisioningRun" | "setPause" => Some(json!({"comment": "why"})),
            // Who may add is told that there is no such user.
            "addAccountMember" | "addWorkspaceMember" => Some(json!({"type": "user", "name": "nobody", "role": "member"})),
            "changeAccountMember" => Some(json!({"role": "member"})),
            "changeWorkspaceMember" => Some(json!({"role": "viewer"})),
            _ => None,
        }
    }
}

pub fn secrets_of(account: Uuid, service_account: Uuid) -> String {
    format!("/v1/accounts/{account}/service-accounts/{service_account}/secrets")
}

/// A service account and the id of its first secret.
async fn credentials(world: &World, owner: &User, account: Uuid, name: &str) -> (Uuid, Uuid) {
    let made = world.post(&format!("/v1/accounts/{account}/service-accounts"), owner, json!({"name": name})).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let secret = world.post(&secrets_of(account, made.id("id")), owner, json!({})).await;
    assert_eq!(secret.status, 201, "{}", secret.text());
    (made.id("id"), secret.id("id"))
}

fn signed(key: &[u8], claims: &Value) -> String {
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::EdDSA);
    jsonwebtoken::encode(&header, claims, &jsonwebtoken::EncodingKey::from_ed_der(key)).unwrap()
}

fn unsigned(claims: &Value) -> String {
    let part = |v: &Value| URL_SAFE_NO_PAD.encode(v.to_string());
    format!("{}.{}.", part(&json!({"alg": "none", "typ": "JWT"})), part(claims))
}

#[test]
fn the_table_names_every_operation_of_the_document() {
    let documented: BTreeSet<_> = CONTRACT.operations().iter().map(|o| o.id.as_str()).collect();
    let tabled: BTreeSet<_> = TABLE.iter().map(|row| row.0).filter(|id| !id.is_empty()).collect();
    let missing: Vec<_> = documented.symmetric_difference(&tabled).collect();
    assert!(missing.is_empty(), "in the document or in the table, but not in both: {missing:?}");
    for (id, method, path, _) in TABLE.iter().filter(|row| !row.0.is_empty()) {
        let path = path.replace(['{', '}'], "").replace("ended", "x");
        assert_eq!(CONTRACT.operation(method, &path).map(|o| o.id.as_str()), Some(*id), "{method} {path} is another operation");
    }
}

#[tokio::test]
async fn every_caller_is_answered_as_the_table_says() {
    let cast = Cast::new().await;
    let mut wrong = Vec::new();
    for (_, method, template, expected) in TABLE {
        for (column, cell) in expected.iter().enumerate() {
            let answer = cast.world.send(cast.call(column, method, template)).await;
            let pillar = if answer.json["code"] == "pillar_not_configured" { "p" } else { "" };
            let found = format!("{}{pillar}", answer.status.as_u16());
            if found != *cell {
                wrong.push(format!("{method} {template} as {}: {cell} expected, {found} found", CALLERS[column]));
            }
        }
    }
    assert!(wrong.is_empty(), "{} cells are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// An outage or a forged token must not become a way to learn what exists.
#[tokio::test]
async fn what_may_not_be_seen_looks_like_what_does_not_exist() {
    let cast = Cast::new().await;
    let stranger = cast.tokens[1].as_deref().unwrap();
    for template in ["/v1/workspaces/{}", "/v1/accounts/{}", "/v1/provisioning-runs/{}", "/v1/workspaces/{}/secrets"] {
        let known = match template {
            "/v1/accounts/{}" => cast.account.to_string(),
            "/v1/provisioning-runs/{}" => cast.run.clone(),
            _ => cast.workspace.to_string(),
        };
        let hidden = cast.world.send(Call::get(&template.replace("{}", &known)).bearer(stranger)).await;
        let absent = cast.world.send(Call::get(&template.replace("{}", &Uuid::now_v7().to_string())).bearer(stranger)).await;
        let without_id = |mut body: Value| {
            body["request_id"] = Value::Null;
            body
        };
        assert_eq!(without_id(hidden.json), without_id(absent.json), "{template}");
    }
}

#[tokio::test]
async fn a_token_lives_until_its_time_is_over() {
    let world = World::new().await;
    let user = world.user("ada").await;
    assert_eq!(world.get("/v1/me", &user).await.status, 200);
    let hour = i64::try_from(Duration::from_hours(1).as_micros()).unwrap();
    world.now.fetch_add(hour + 10_000_000, std::sync::atomic::Ordering::SeqCst);
    let answer = world.get("/v1/me", &user).await;
    assert_eq!(answer.code(), (401, "invalid_token"));
    assert!(answer.header("www-authenticate").contains("error=\"invalid_token\""));
    assert!(!answer.text().contains(&user.token), "a token never comes back");
}
