//! Pages, cursors and filters.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::world::{User, World};

/// All items of a list, page by page along the links.
async fn all(world: &World, user: &User, first: &str) -> Vec<Vec<Value>> {
    let (mut pages, mut next) = (Vec::new(), Some(first.to_owned()));
    while let Some(path) = next {
        let page = world.get(&path, user).await;
        assert_eq!(page.status, 200, "{}", page.text());
        pages.push(page.json.as_array().unwrap().clone());
        next = page.next();
    }
    pages
}

#[tokio::test]
async fn pages_are_linked_and_hold_each_item_once() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    for n in 0..5 {
        world.workspace(&ada, account, &format!("W{n}")).await;
    }
    let by_account = format!("/v1/workspaces/by-account/{account}");
    for list in ["/v1/workspaces", by_account.as_str(), "/v1/provisioning-runs"] {
        let pages = all(&world, &ada, &format!("{list}?limit=2")).await;
        let ids: Vec<_> = pages.iter().flatten().map(|i| i["id"].as_str().unwrap()).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{list}: no item twice");
        assert!(pages.iter().all(|p| p.len() <= 2), "{list}");
        assert_eq!(ids.len(), if list == "/v1/provisioning-runs" { 6 } else { 5 }, "{list}");
    }
    let audit = format!("/v1/workspaces/{}/audit", all(&world, &ada, "/v1/workspaces").await[0][0]["id"].as_str().unwrap());
    let entries = all(&world, &ada, &format!("{audit}?limit=1")).await;
    assert_eq!(entries.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1], "the last page has no link to an empty one");
    assert!(entries[0][0]["seq"].as_u64() > entries[1][0]["seq"].as_u64(), "newest first");
}

#[tokio::test]
async fn filters_choose_and_travel_with_the_cursor() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    for name in ["Sales DE", "Sales FR", "Ops"] {
        world.workspace(&ada, account, name).await;
    }
    let pages = all(&world, &ada, "/v1/workspaces?name_contains=sAlEs&limit=1").await;
    let names: Vec<_> = pages.iter().flatten().map(|w| w["name"].clone()).collect();
    assert_eq!(names, [json!("Sales DE"), json!("Sales FR")]);
    assert_eq!(world.get("/v1/workspaces?status=failed", &ada).await.json, json!([]));
    assert_eq!(world.get("/v1/workspaces?region=local&status=active", &ada).await.json.as_array().unwrap().len(), 3);
    let created = world.get("/v1/workspaces?limit=1", &ada).await.json[0]["created_at"].as_str().unwrap().to_owned();
    assert_eq!(world.get(&format!("/v1/workspaces?created_before={created}"), &ada).await.json, json!([]));
    assert_eq!(world.get(&format!("/v1/workspaces?created_after={created}"), &ada).await.json.as_array().unwrap().len(), 2);
    assert_eq!(world.get("/v1/provisioning-runs?state=succeeded", &ada).await.json.as_array().unwrap().len(), 4);
    assert_eq!(world.get(&format!("/v1/provisioning-runs?account_id={account}&state=failed"), &ada).await.json, json!([]));
}

#[tokio::test]
async fn labels_are_set_at_creation_shown_and_chosen_by() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    for (name, labels) in [("A", json!({"env": "prod", "team": "sales"})), ("B", json!({"env": "dev"})), ("C", json!({}))] {
        let body = json!({"account_id": account, "name": name, "region": "local", "labels": labels, "termination_protection": name == "A"});
        assert_eq!(world.post("/v1/workspaces?dry_run=true", &ada, body.clone()).await.status, 200);
        let created = world.post("/v1/workspaces", &ada, body).await;
        let shown = world.get(&format!("/v1/workspaces/{}", created.id("workspace_id")), &ada).await;
        assert_eq!((&shown.json["labels"], &shown.json["termination_protection"]), (&labels, &json!(name == "A")));
        assert_eq!(shown.json["freezes"], json!([]));
    }
    let by_account = format!("/v1/workspaces/by-account/{account}");
    for list in ["/v1/workspaces", by_account.as_str()] {
        for (query, names) in [
            ("label=env", &["A", "B"][..]),
            ("label=env:prod", &["A"]),
            ("label=env&label=team:sales", &["A"]),
            ("label=env:prod&label=env:dev", &[]),
            ("label=env%3Adev", &["B"]),
        ] {
            let pages = all(&world, &ada, &format!("{list}?limit=1&{query}")).await;
            let found: Vec<_> = pages.iter().flatten().map(|w| w["name"].as_str().unwrap().to_owned()).collect();
            assert_eq!(found, names, "{list}?{query}");
        }
        for bad in ["label=", "label=Env", "label=:x", &["label=a"; 17].join("&")] {
            let answer = world.get(&format!("{list}?{bad}"), &ada).await;
            assert_eq!((answer.code(), answer.pointers()), ((400, "invalid_request"), vec!["?label"]), "{bad}");
        }
    }
    let body = json!({"account_id": account, "name": "D", "region": "local", "labels": {"Up": "x", "ok": "y".repeat(64)}});
    for path in ["/v1/workspaces", "/v1/workspaces?dry_run=true"] {
        let refused = world.post(path, &ada, body.clone()).await;
        assert_eq!((refused.code(), refused.pointers()), ((422, "invalid_values"), vec!["/labels/Up", "/labels/ok"]));
    }
    let shape = json!({"account_id": account, "name": "D", "region": "local", "labels": {"a": null}, "termination_protection": "yes"});
    let refused = world.post("/v1/workspaces", &ada, shape).await;
    assert_eq!((refused.code(), refused.pointers()), ((400, "invalid_request"), vec!["/labels/a", "/termination_protection"]));
}

#[tokio::test]
async fn a_cursor_of_another_list_or_filter_is_refused() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    for name in ["A", "B"] {
        world.workspace(&ada, account, name).await;
    }
    let next = world.get("/v1/workspaces?limit=1", &ada).await.next().unwrap();
    for path in [
        next.replace("/v1/workspaces", "/v1/accounts"),
        next.replace("limit=1", "status=active"),
        "/v1/workspaces?cursor=AAAA".to_owned(),
        "/v1/workspaces?cursor=".to_owned(),
    ] {
        let answer = world.get(&path, &ada).await;
        assert_eq!((answer.code(), answer.pointers()), ((400, "invalid_request"), vec!["?cursor"]), "{path}");
    }
    assert_eq!(world.get(&next.replace("limit=1", "limit=9"), &ada).await.json.as_array().unwrap().len(), 1, "another limit is fine");
}

#[tokio::test]
async fn parameters_that_are_wrong_or_unknown_are_refused() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    for (path, pointers) in [
        ("/v1/workspaces?limit=0&status=purging&color=red", vec!["?limit", "?status", "?color"]),
        ("/v1/accounts?limit=1001", vec!["?limit"]),
        ("/v1/provisioning-runs?state=bored&account_id=7", vec!["?account_id", "?state"]),
        ("/v1/workspaces?name_contains=%00", vec!["?name_contains"]),
        ("/v1/workspaces?name_contains=%ff", vec!["?name_contains"]),
        ("/v1/me?verbose", vec!["?verbose"]),
        ("/livez?x=1", vec!["?x"]),
    ] {
        let answer = world.get(path, &ada).await;
        assert_eq!((answer.code(), answer.pointers()), ((400, "invalid_request"), pointers), "{path}");
    }
}
