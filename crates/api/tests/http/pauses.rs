//! Pauses through the API, with a worker at work.

use domain::permissions::Object;
use serde_json::{Value, json};

use crate::world::{Answer, Call, User, World};

async fn operator(world: &World) -> User {
    let operator = world.user("operator").await;
    world.relate(Object::platform(), "operator", operator.principal).await;
    operator
}

async fn pause(world: &World, operator: &User, scope: &str, body: Value) -> Answer {
    let path = format!("/v1/pauses/{}", scope.replacen(':', "/", 1));
    world.send(Call::new("PUT", &path).user(operator).header("content-type", "application/json").body(body.to_string())).await
}

async fn resume(world: &World, operator: &User, scope: &str) -> Answer {
    world.send(Call::new("DELETE", &format!("/v1/pauses/{}", scope.replacen(':', "/", 1))).user(operator)).await
}

/// Follows a run by long polls until it is as wanted.
async fn seen(world: &World, user: &User, run: &str, wanted: impl Fn(&Value) -> bool) -> Answer {
    let mut answer = world.get(run, user).await;
    while !wanted(&answer.json) {
        let tag = answer.header("etag").to_owned();
        answer = world.send(Call::get(&format!("{run}?wait=30s")).user(user).header("if-none-match", tag)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    answer
}

fn step<'a>(run: &'a Answer, name: &str) -> &'a Value {
    run.json["steps"].as_array().unwrap().iter().find(|step| step["name"] == name).unwrap()
}

#[tokio::test]
async fn a_run_waits_for_a_paused_backend_and_goes_on_when_it_is_resumed() {
    let world = World::new().await;
    let (ada, operator) = (world.user("ada").await, operator(&world).await);
    let account = world.account(&ada).await;
    assert_eq!(pause(&world, &operator, "backend:local", json!({"comment": "disk"})).await.status, 201);
    let created = world.create_workspace(&ada, account, "Sales").await;
    let run = seen(&world, &ada, &created.location(), |run| run["waiting_for"] == "backend").await;
    assert_eq!(run.json["paused_by"], json!(["backend:local"]));
    assert_eq!(
        (&step(&run, "create-environments")["state"], &step(&run, "backend-dev")["state"]),
        (&json!("succeeded"), &json!("pending"))
    );
    let listed = world.get("/v1/provisioning-runs?state=waiting", &ada).await;
    assert_eq!(listed.json[0]["paused_by"], json!(["backend:local"]));
    assert_eq!(resume(&world, &operator, "backend:local").await.status, 204);
    let run = world.ended(&ada, &created.location()).await;
    assert_eq!((&run.json["outcome"], &run.json["paused_by"]), (&json!("succeeded"), &json!([])));
}

#[tokio::test]
async fn a_run_at_work_finishes_its_attempts_and_then_waits() {
    for scope in ["saga:create-workspace", "account"] {
        let world = World::new().await;
        let (ada, operator) = (world.user("ada").await, operator(&world).await);
        let account = world.account(&ada).await;
        let scope = if scope == "account" { format!("account:{account}") } else { scope.to_owned() };
        world.platform.hold().await;
        let created = world.create_workspace(&ada, account, "Sales").await;
        world.held(&ada, &created.location()).await;
        assert_eq!(pause(&world, &operator, &scope, json!({"comment": "why"})).await.status, 201);
        // Another run that waits shows that the worker has heard of it.
        let other = world.create_workspace(&ada, account, "Other").await;
        seen(&world, &ada, &other.location(), |run| run["waiting_for"] == "operator").await;
        world.platform.release();
        let run = seen(&world, &ada, &created.location(), |run| run["waiting_for"] == "operator").await;
        assert_eq!(run.json["paused_by"], json!([scope]));
        assert_eq!(step(&run, "backend-dev")["state"], "succeeded");
        assert_eq!(step(&run, "write-relationships")["state"], "pending");
        assert_eq!(resume(&world, &operator, &scope).await.status, 204);
        assert_eq!(world.ended(&ada, &created.location()).await.json["outcome"], "succeeded");
    }
}

#[tokio::test]
async fn a_paused_run_can_be_cancelled_and_taken_back_unless_undo_is_paused_too() {
    let world = World::new().await;
    let (ada, operator) = (world.user("ada").await, operator(&world).await);
    let account = world.account(&ada).await;
    let cancelled = async |undo: bool| {
        world.platform.hold().await;
        let created = world.create_workspace(&ada, account, "Sales").await;
        world.held(&ada, &created.location()).await;
        // Whoever hears of the cancellation has heard of the pause.
        assert_eq!(pause(&world, &operator, "backend:local", json!({"comment": "disk", "undo": undo})).await.status, 201);
        assert_eq!(world.post(&format!("{}/cancel", created.location()), &ada, json!({})).await.status, 202);
        world.platform.release();
        created.location()
    };
    let run = cancelled(false).await;
    assert_eq!(world.ended(&ada, &run).await.json["outcome"], "cancelled");
    assert_eq!(resume(&world, &operator, "backend:local").await.status, 204);

    let run = cancelled(true).await;
    let paused = seen(&world, &ada, &run, |run| run["paused_by"] == json!(["backend:local"])).await;
    assert_eq!((&paused.json["state"], &step(&paused, "backend-dev")["compensation"]), (&json!("compensating"), &Value::Null));
    // The same pause, but undo may go on.
    assert_eq!(pause(&world, &operator, "backend:local", json!({"comment": "disk", "undo": false})).await.status, 200);
    assert_eq!(world.ended(&ada, &run).await.json["outcome"], "cancelled");
}

#[tokio::test]
async fn a_pause_stands_in_the_list_until_it_is_lifted_and_the_log_tells_of_both() {
    let world = World::new().await;
    let (ada, operator) = (world.user("ada").await, operator(&world).await);
    let account = world.account(&ada).await;
    let scope = format!("account:{account}");
    let first = pause(&world, &operator, &scope, json!({"comment": "unpaid"})).await;
    assert_eq!((first.status.as_u16(), &first.json["undo"], &first.json["scope"]), (201, &json!(false), &json!(scope)));
    let again = pause(&world, &operator, &scope, json!({"comment": "unpaid"})).await;
    assert_eq!((again.status.as_u16(), &again.json), (200, &first.json), "nothing is changed");
    assert_eq!(world.get("/v1/pauses", &operator).await.json, json!([first.json]));
    let lifted = world.send(Call::new("DELETE", &format!("/v1/pauses/account/{account}?comment=paid")).user(&operator)).await;
    assert_eq!((lifted.status.as_u16(), lifted.body.len()), (204, 0));
    assert_eq!(world.get("/v1/pauses", &operator).await.json, json!([]));
    assert_eq!(resume(&world, &operator, &scope).await.code(), (404, "not_found"));
    let entries = world.berth.audit.of_account(account, 0, 100).await.unwrap();
    let told: Vec<(&str, Option<&str>)> = entries
        .iter()
        .filter(|e| e.action.starts_with("pause."))
        .map(|e| (e.action.as_str(), e.reason.as_ref().and_then(|r| r.value.as_deref())))
        .collect();
    assert_eq!(told, [("pause.set", Some("unpaid")), ("pause.lift", Some("paid"))]);
}

#[tokio::test]
async fn what_cannot_be_paused_is_said() {
    let world = World::new().await;
    let operator = operator(&world).await;
    let why = json!({"comment": "why"});
    for scope in ["backend:postgres", "saga:make-coffee", "account:acme", "account:00000000-0000-0000-0000-000000000000"] {
        assert_eq!(pause(&world, &operator, scope, why.clone()).await.code(), (404, "not_found"), "{scope}");
    }
    assert_eq!(pause(&world, &operator, "region:local", why.clone()).await.pointers(), ["{kind}"]);
    assert_eq!(pause(&world, &operator, "backend:local", json!({"undo": "yes"})).await.pointers(), ["/undo", "/comment"]);
    assert_eq!(pause(&world, &operator, "backend:local", json!({"comment": " "})).await.code(), (422, "invalid_values"));
    let blank = world.send(Call::new("DELETE", "/v1/pauses/backend/local?comment=+").user(&operator)).await;
    assert_eq!((blank.status.as_u16(), blank.pointers()), (400, vec!["?comment"]));
}
