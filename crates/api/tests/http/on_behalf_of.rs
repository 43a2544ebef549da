//! `Berth-On-Behalf-Of`: who may send it, and what it comes to.

use domain::PrincipalKind;
use domain::model::{Role, Scope};
use serde_json::json;
use uuid::Uuid;

use crate::world::{Answer, Call, User, World};

struct Cast {
    world: World,
    robot: User,
    ada: User,
    bob: User,
    account: Uuid,
    workspace: Uuid,
}

impl Cast {
    async fn new() -> Self {
        let world = World::new().await;
        let (ada, bob) = (world.user("ada").await, world.user("bob").await);
        let account = world.account(&ada).await;
        let workspace = world.workspace(&ada, account, "Sales").await;
        let robot = world.principal(PrincipalKind::ServiceAccount, "robot", Some(account)).await;
        world.grant(Scope::Account, account, robot, Role::Admin).await;
        let robot = User { principal: robot, token: world.token(robot) };
        Self { world, robot, ada, bob, account, workspace }
    }

    async fn send(&self, sender: &User, call: Call, on_behalf_of: &str) -> Answer {
        self.world.send(call.user(sender).header("berth-on-behalf-of", on_behalf_of)).await
    }
}

#[tokio::test]
async fn only_a_service_account_sends_it_and_only_for_a_user_who_is_known() {
    let cast = Cast::new().await;
    let me = || Call::get("/v1/me");
    let (ada, robot) = (cast.ada.principal.id.to_string(), cast.robot.principal.id.to_string());
    for user in [&ada, "ada"] {
        let answer = cast.send(&cast.robot, me(), user).await;
        assert_eq!((answer.status.as_u16(), &answer.json["on_behalf_of"]["id"]), (200, &json!(ada)), "{user}");
        assert_eq!(answer.json["id"], robot);
        assert_eq!(cast.send(&cast.ada, me(), user).await.code(), (403, "on_behalf_of_refused"), "not even for herself");
    }
    for unknown in ["eve", "robot", robot.as_str(), &Uuid::now_v7().to_string()] {
        assert_eq!(cast.send(&cast.robot, me(), unknown).await.code(), (403, "on_behalf_of_refused"), "{unknown}");
    }
    for malformed in ["", " ", "\u{e9}", &"x".repeat(201)] {
        let answer = cast.send(&cast.robot, me(), malformed).await;
        assert_eq!((answer.code(), answer.pointers()), ((400, "invalid_request"), vec!["Berth-On-Behalf-Of"]), "{malformed:?}");
    }
    assert_eq!(cast.send(&cast.robot, me().header("berth-on-behalf-of", "ada"), "ada").await.status, 400);
    assert_eq!(cast.world.get("/v1/me", &cast.robot).await.json["on_behalf_of"], json!(null));
}

#[tokio::test]
async fn both_must_hold_the_right_and_both_are_audited() {
    let cast = Cast::new().await;
    let workspace = format!("/v1/workspaces/{}", cast.workspace);
    assert_eq!(cast.send(&cast.robot, Call::get(&workspace), "ada").await.status, 200);
    assert_eq!(cast.send(&cast.robot, Call::get(&workspace), "bob").await.code(), (404, "not_found"));
    cast.world.grant(Scope::Workspace, cast.workspace, cast.bob.principal, Role::Viewer).await;
    assert_eq!(cast.send(&cast.robot, Call::get(&workspace), "bob").await.status, 200);
    let members = format!("{workspace}/members");
    let add = || Call::post(&members, &json!({"type": "service_account", "name": "robot", "role": "viewer"}));
    assert_eq!(cast.send(&cast.robot, add(), "bob").await.code(), (403, "permission_denied"));
    assert_eq!(cast.send(&cast.robot, add(), "ada").await.status, 201);
    let entry = cast.world.get(&format!("{workspace}/audit?limit=1"), &cast.ada).await.json[0].clone();
    assert_eq!((&entry["action"], &entry["actor"]["id"]), (&json!("member.add"), &json!(cast.robot.principal.id)));
    assert_eq!(entry["actor"]["on_behalf_of"]["id"], json!(cast.ada.principal.id));
}

#[tokio::test]
async fn lists_hold_what_both_may_see() {
    let cast = Cast::new().await;
    let hidden = cast.world.workspace(&cast.ada, cast.account, "Hidden").await;
    let ids = |answer: Answer| answer.json.as_array().unwrap().iter().map(|w| w["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let by_account = format!("/v1/workspaces/by-account/{}", cast.account);
    assert_eq!(ids(cast.send(&cast.robot, Call::get(&by_account), "ada").await).len(), 2);
    assert_eq!(cast.send(&cast.robot, Call::get(&by_account), "bob").await.code(), (404, "not_found"));
    cast.world.grant(Scope::Account, cast.account, cast.bob.principal, Role::Member).await;
    cast.world.grant(Scope::Workspace, cast.workspace, cast.bob.principal, Role::Viewer).await;
    assert_eq!(ids(cast.send(&cast.robot, Call::get(&by_account), "bob").await), [cast.workspace.to_string()]);
    // The service account is a member of none, and a member of one: what both are members of.
    assert_eq!(ids(cast.send(&cast.robot, Call::get("/v1/workspaces"), "ada").await), Vec::<String>::new());
    cast.world.grant(Scope::Workspace, hidden, cast.robot.principal, Role::Viewer).await;
    assert_eq!(ids(cast.send(&cast.robot, Call::get("/v1/workspaces"), "ada").await), [hidden.to_string()]);
    assert_eq!(ids(cast.send(&cast.robot, Call::get("/v1/workspaces"), "bob").await), Vec::<String>::new());
    assert_eq!(ids(cast.send(&cast.robot, Call::get("/v1/accounts"), "bob").await), [cast.account.to_string()]);
    assert_eq!(cast.send(&cast.robot, Call::get("/v1/provisioning-runs"), "bob").await.json, json!([]));
}

#[tokio::test]
async fn a_key_of_one_users_request_is_not_that_of_anothers() {
    let cast = Cast::new().await;
    cast.world.grant(Scope::Account, cast.account, cast.bob.principal, Role::Admin).await;
    let body = json!({"account_id": cast.account, "name": "Ops", "region": "local"});
    let create = || Call::post("/v1/workspaces", &body).header("idempotency-key", "k");
    let first = cast.send(&cast.robot, create(), "ada").await;
    assert_eq!(cast.send(&cast.robot, create(), "ada").await.json, first.json);
    let other = cast.send(&cast.robot, create(), "bob").await;
    assert_eq!(other.status, 202);
    assert_ne!(other.json["workspace_id"], first.json["workspace_id"]);
}
