//! Reading the audit log: filters, both orders, following it, an account's chain.

use domain::audit::{Place, Verifier};
use domain::ids::PLATFORM;
use domain::permissions::Object;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{User, World};

fn seqs(entries: &Value) -> Vec<u64> {
    entries.as_array().unwrap().iter().map(|e| e["seq"].as_u64().unwrap()).collect()
}

fn actions(entries: &Value) -> Vec<&str> {
    entries.as_array().unwrap().iter().map(|e| e["action"].as_str().unwrap()).collect()
}

async fn get(world: &World, user: &User, path: &str) -> Value {
    let answer = world.get(path, user).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json
}

#[tokio::test]
async fn filters_choose_what_an_account_or_a_workspace_tells() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    let created = world.create_workspace(&ada, account, "Sales").await;
    world.ended(&ada, &created.location()).await;
    let (workspace, run) = (created.id("workspace_id"), created.id("provisioning_run_id"));
    let (of_account, of_workspace) = (format!("/v1/accounts/{account}/audit"), format!("/v1/workspaces/{workspace}/audit"));
    let by_ada = ada.principal.id;
    for (query, expected) in [
        ("order=asc".to_owned(), vec!["account.create", "run.end", "workspace.create", "run.end"]),
        (String::new(), vec!["run.end", "workspace.create", "run.end", "account.create"]),
        (format!("actor={by_ada}"), vec!["workspace.create", "account.create"]),
        ("action=workspace.create".to_owned(), vec!["workspace.create"]),
        ("action=run.*&outcome=succeeded".to_owned(), vec!["run.end", "run.end"]),
        ("outcome=denied".to_owned(), vec![]),
        (format!("target={workspace}"), vec!["run.end", "workspace.create"]),
        (format!("run_id={run}"), vec!["run.end", "workspace.create"]),
        ("occurred_before=2000-01-01T00:00:00Z".to_owned(), vec![]),
        (format!("occurred_after=2000-01-01T00:00:00Z&target={account}&order=asc"), vec!["account.create", "run.end"]),
    ] {
        assert_eq!(actions(&get(&world, &ada, &format!("{of_account}?{query}")).await), expected, "{query}");
    }
    assert_eq!(actions(&get(&world, &ada, &of_workspace).await), ["run.end", "workspace.create"]);
    assert_eq!(actions(&get(&world, &ada, &format!("{of_workspace}?actor={by_ada}")).await), ["workspace.create"]);
    assert_eq!(get(&world, &ada, &format!("{of_workspace}?target={account}")).await, json!([]), "a workspace tells of itself only");
}

#[tokio::test]
async fn pages_go_in_both_orders_and_keep_their_filters() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    for n in 0..3 {
        world.workspace(&ada, account, &format!("W{n}")).await;
    }
    for (query, expected) in [("order=asc&action=run.*", [2, 4, 6, 8]), ("action=run.*", [8, 6, 4, 2])] {
        let mut next = Some(format!("/v1/accounts/{account}/audit?limit=1&{query}"));
        let mut found = Vec::new();
        while let Some(path) = next {
            let page = world.get(&path, &ada).await;
            found.extend(seqs(&page.json));
            next = page.next();
        }
        assert_eq!(found, expected, "{query}");
    }
}

#[tokio::test]
async fn a_follower_reads_on_from_the_last_it_saw_and_nothing_twice() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    let path = format!("/v1/accounts/{account}/audit?order=asc");
    let mut verifier = Verifier::new();
    let mut last = 0;
    for n in 0..3 {
        world.workspace(&ada, account, &format!("W{n}")).await;
        let new = get(&world, &ada, &format!("{path}&after_seq={last}")).await;
        assert_eq!(seqs(&new)[0], last + 1);
        for entry in new.as_array().unwrap() {
            verifier.line(entry.to_string().as_bytes()).unwrap();
        }
        last = *seqs(&new).last().unwrap();
        assert_eq!(get(&world, &ada, &format!("{path}&after_seq={last}")).await, json!([]));
    }
    let place: Place = verifier.finish().unwrap().last.unwrap();
    assert_eq!(place.seq, 8, "what the API tells proves itself");
}

#[tokio::test]
async fn the_platforms_chain_is_its_readers_to_read() {
    let world = World::new().await;
    let (ada, auditor) = (world.user("ada").await, world.user("auditor").await);
    world.relate(Object::platform(), "auditor", auditor.principal).await;
    assert_eq!(world.get(&format!("/v1/accounts/{}/audit", Uuid::new_v4()), &ada).await.code(), (404, "not_found"));
    let path = format!("/v1/accounts/{PLATFORM}/audit");
    let denied = get(&world, &auditor, &format!("{path}?outcome=denied&actor={}", ada.principal.id)).await;
    assert_eq!(actions(&denied), ["audit.list"]);
    assert_eq!(world.get(&path, &ada).await.code(), (404, "not_found"));
}

/// Nobody holds a right on it yet: its creator sees what becomes of it.
#[tokio::test]
async fn an_account_in_the_making_shows_its_log_to_its_creator() {
    let world = World::new().await;
    let (ada, eve) = (world.user("ada").await, world.user("eve").await);
    let operator = world.user("operator").await;
    world.relate(Object::platform(), "operator", operator.principal).await;
    let pause = crate::world::Call::new("PUT", "/v1/pauses/saga/create-account")
        .header("content-type", "application/json")
        .body(json!({"comment": "held"}).to_string());
    assert_eq!(world.send(pause.user(&operator)).await.status, 201);
    let created = world.post("/v1/accounts", &ada, json!({"name": "Acme"})).await;
    let path = format!("/v1/accounts/{}/audit", created.id("account_id"));
    assert_eq!(actions(&get(&world, &ada, &path).await), ["account.create"]);
    assert_eq!(actions(&get(&world, &operator, &path).await), ["account.create"]);
    assert_eq!(world.get(&path, &eve).await.status, 404);
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_refused() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    let path = format!("/v1/accounts/{account}/audit");
    for (query, pointers) in [
        (
            "actor=7&action=Run&outcome=%25&target=x&run_id=y&order=up",
            vec!["?actor", "?action", "?outcome", "?target", "?run_id", "?order"],
        ),
        ("occurred_after=soon&occurred_before=late", vec!["?occurred_after", "?occurred_before"]),
        ("after_seq=3", vec!["?after_seq"]),
        ("after_seq=-1&order=asc", vec!["?after_seq"]),
        ("limit=1001&colour=red", vec!["?limit", "?colour"]),
    ] {
        let answer = world.get(&format!("{path}?{query}"), &ada).await;
        assert_eq!((answer.code(), answer.pointers()), ((400, "invalid_request"), pointers), "{query}");
    }
    assert_eq!(get(&world, &ada, &format!("{path}?order=asc&after_seq=18446744073709551615")).await, json!([]));
}
