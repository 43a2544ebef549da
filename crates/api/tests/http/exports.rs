//! Exports: what is in them, in each format; what they leave behind; and what is refused.

mod broken;
mod streaming;

use std::sync::Arc;

use async_compression::tokio::write::{GzipDecoder, ZstdDecoder};
use async_trait::async_trait;
use domain::audit::Verifier;
use domain::model::{Export, Role, Scope};
use domain::ports::{ExportEnd, ExportPlan, ExportSink, Exports, NewExport, Place, Reading};
use saga::{StoreError, Time};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use testkit::bulk::append_entries;
use tokio::io::AsyncWriteExt as _;
use uuid::Uuid;

use crate::world::{Answer, Call, User, Wish, World};

/// An account with a workspace, and who made them.
struct Scene {
    world: World,
    ada: User,
    account: Uuid,
    workspace: Uuid,
}

impl Scene {
    async fn new() -> Self {
        Self::named(World::new().await, "Sales").await
    }

    async fn named(world: World, name: &str) -> Self {
        let ada = world.user("ada").await;
        let account = world.account(&ada).await;
        let workspace = world.workspace(&ada, account, name).await;
        Self { world, ada, account, workspace }
    }

    fn path(&self, query: &str) -> String {
        format!("/v1/workspaces/{}/export{query}", self.workspace)
    }

    async fn export(&self, query: &str) -> Answer {
        let answer = self.world.get(&self.path(query), &self.ada).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer
    }

    async fn receipt(&self, id: &str) -> Value {
        let answer = self.world.get(&format!("/v1/exports/{id}"), &self.ada).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json
    }

    /// The receipt of an export once it has ended.
    async fn ended(&self, id: &str) -> Value {
        loop {
            let receipt = self.receipt(id).await;
            if !receipt["ended_at"].is_null() {
                return receipt;
            }
            tokio::task::yield_now().await;
        }
    }

    /// The workspace's newest audit entries.
    async fn audit(&self, count: usize) -> Vec<Value> {
        self.world.get(&format!("/v1/workspaces/{}/audit?limit={count}", self.workspace), &self.ada).await.json.as_array().unwrap().clone()
    }
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().concat()
}

fn lines(answer: &Answer) -> Vec<Value> {
    answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A CSV as another program reads it: each line as column and cell, empty ones left out.
fn table(text: &str) -> Vec<std::collections::BTreeMap<String, String>> {
    let mut reader = csv::ReaderBuilder::new().from_reader(text.as_bytes());
    let header = reader.headers().unwrap().clone();
    let named = |record: csv::StringRecord| {
        header.iter().zip(&record).filter(|(_, c)| !c.is_empty()).map(|(n, c)| (n.to_owned(), c.to_owned())).collect()
    };
    reader.records().map(|record| named(record.unwrap())).collect()
}

#[tokio::test]
async fn json_holds_every_section_in_order_and_its_end() {
    let scene = Scene::new().await;
    let answer = scene.export("?format=json").await;
    assert_eq!(answer.header("content-type"), "application/json");
    let sections = ["workspace", "environments", "backend_workspaces", "members", "connections", "runs", "audit", "end"];
    let text = answer.text();
    let places: Vec<_> = sections.iter().map(|name| text.find(&format!("\"{name}\":")).unwrap_or_else(|| panic!("no {name}"))).collect();
    assert!(places.is_sorted(), "{places:?}");
    let count = |name: &str| answer.json[name].as_array().unwrap().len();
    assert_eq!(sections[..7].iter().map(|name| count(name)).collect::<Vec<_>>(), [1, 3, 3, 1, 0, 1, 3]);
    assert_eq!(answer.json["workspace"][0]["id"], json!(scene.workspace));
    let member = &answer.json["members"][0];
    assert_eq!((&member["name"], &member["role"], &member["type"]), (&json!("ada"), &json!("owner"), &json!("user")));
    let run = &answer.json["runs"][0];
    let read = scene.world.get(&format!("/v1/provisioning-runs/{}", run["id"].as_str().unwrap()), &scene.ada).await;
    assert_eq!(*run, read.json, "a run is what a read of it answers, its steps included");
    let actions: Vec<_> = answer.json["audit"].as_array().unwrap().iter().map(|e| e["action"].as_str().unwrap()).collect();
    assert_eq!((actions.len(), actions[0], actions[2]), (3, "workspace.create", "workspace.export"), "its own start is the last entry");
    assert_eq!(answer.json["end"], json!({"complete": true, "rows": 12}));
}

#[tokio::test]
async fn ndjson_is_a_record_a_line_and_ends_with_the_digest_of_all_before() {
    let scene = Scene::new().await;
    let answer = scene.export("?format=ndjson").await;
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    let text = answer.text();
    let last = text.lines().last().unwrap();
    let before = &text[..text.len() - last.len() - 1];
    assert_eq!(
        serde_json::from_str::<Value>(last).unwrap(),
        json!({"type": "end", "rows": text.lines().count() - 1, "sha256": hex(before.as_bytes())})
    );
    let records = lines(&answer);
    let whole = scene.export("?format=json&include=environments").await;
    let environments: Vec<_> = records.iter().filter(|r| r["type"] == "environment").map(|r| r["record"].clone()).collect();
    assert_eq!(json!(environments), whole.json["environments"]);
}

#[tokio::test]
async fn the_chain_of_the_account_can_be_followed_through_a_workspaces_export() {
    let scene = Scene::new().await;
    scene.world.workspace(&scene.ada, scene.account, "Other").await;
    let answer = scene.export("?format=ndjson&include=audit").await;
    let records = lines(&answer);
    let links: Vec<_> = records.iter().filter(|r| r["type"] == "audit_link").collect();
    assert_eq!(links.len(), 4, "the account's own two entries, and the other workspace's two");
    assert!(links.iter().all(|link| link["record"].as_object().unwrap().keys().eq(["body_sha256", "hash", "seq"])), "{links:?}");
    assert!(!answer.text().contains("Other"));
    let verified = |text: &str| {
        let mut verifier = Verifier::new().among(vec![scene.account]);
        text.lines().try_for_each(|line| verifier.line(line.as_bytes())).and_then(|()| verifier.finish())
    };
    let proven = verified(&answer.text()).unwrap();
    assert_eq!((proven.entries, proven.links, proven.is_ended), (3, 4, true));
    let forged = answer.text().replacen("workspace.create", "workspace.delete", 1);
    assert_eq!(verified(&forged).unwrap_err().seq, 3);
    let own = scene.export("?format=json&include=audit").await;
    assert_eq!(own.json["audit"].as_array().unwrap().len(), 5, "only NDJSON has the links");
}

#[tokio::test]
async fn csv_has_a_line_for_each_record_and_each_step() {
    let scene = Scene::named(World::new().await, "=cmd|' /C calc'!A0, \"quoted\"").await;
    let answer = scene.export("").await;
    assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8; header=present");
    let text = answer.text();
    let rows = table(&text);
    let count = |kind: &str| rows.iter().filter(|row| row["record_type"] == kind).count();
    let kinds = ["workspace", "environment", "backend_workspace", "member", "run", "run_step", "audit_entry"];
    assert_eq!(kinds.map(count), [1, 3, 3, 1, 1, 7, 3]);
    assert_eq!(rows[0]["name"], "'=cmd|' /C calc'!A0, \"quoted\"", "a spreadsheet must not execute it");
    let run = rows.iter().find(|row| row["record_type"] == "run").unwrap();
    assert!(
        rows.iter().filter(|row| row["record_type"] == "run_step").all(|step| step["run_id"] == run["id"] && step["state"] == "succeeded")
    );
    assert_eq!((run["outcome"].as_str(), run["steps_done"].as_str(), run["terminal"].as_str()), ("succeeded", "7", "true"));
    let entry = rows.iter().find(|row| row.get("action").is_some_and(|action| action == "workspace.create")).unwrap();
    assert_eq!((entry["actor_type"].as_str(), entry["source_ip"].as_str()), ("user", "192.0.2.7"));
    let receipt = scene.receipt(answer.header("export-id")).await;
    assert_eq!(receipt["rows"], json!(rows.len()));
    let machine = scene.export("?csv_safe=false&include=workspace").await;
    assert_eq!(table(&machine.text())[0]["name"], "=cmd|' /C calc'!A0, \"quoted\"");
    let header = |text: &str| text.split("\r\n").next().unwrap().to_owned();
    assert_eq!(header(&machine.text()), header(&text), "one header for every file");
    assert!(text.ends_with("\r\n"));
}

#[tokio::test]
async fn the_caller_chooses_sections_and_their_order() {
    let scene = Scene::new().await;
    let answer = scene.export("?format=json&include=members,connections,workspace,members").await;
    let text = answer.text();
    assert!(text.find("\"members\"") < text.find("\"connections\"") && text.find("\"connections\"") < text.find("\"workspace\":["));
    assert_eq!(answer.json.as_object().unwrap().len(), 4, "these and the end: {text}");
    let receipt = scene.receipt(answer.header("export-id")).await;
    assert_eq!(receipt["include"], json!(["members", "connections", "workspace"]));
    for (query, pointer) in [
        ("?include=", "?include"),
        ("?include=secrets", "?include"),
        ("?include=runs&include=audit", "?include"),
        ("?format=xml", "?format"),
        ("?format=CSV", "?format"),
        ("?csv_safe=1", "?csv_safe"),
        ("?limit=1", "?limit"),
    ] {
        let refused = scene.world.get(&scene.path(query), &scene.ada).await;
        assert_eq!((refused.code(), refused.pointers()), ((400, "invalid_request"), vec![pointer]), "{query}");
    }
}

#[tokio::test]
async fn accept_chooses_the_format_where_the_query_does_not() {
    let scene = Scene::new().await;
    for (accept, query, expected) in [
        ("application/x-ndjson", "?include=workspace", "application/x-ndjson"),
        ("application/json", "?include=workspace", "application/json"),
        ("text/html, */*;q=0.1", "?include=workspace", "text/csv; charset=utf-8; header=present"),
        ("application/json", "?include=workspace&format=ndjson", "application/x-ndjson"),
    ] {
        let answer = scene.world.send(Call::get(&scene.path(query)).user(&scene.ada).header("accept", accept)).await;
        assert_eq!(answer.header("content-type"), expected, "{accept} {query}");
        assert_eq!(answer.header("vary"), "Accept, Accept-Encoding");
    }
    let mut scene = scene;
    let mut state = api::State::new(scene.world.berth.clone(), scene.world.issuer.clone(), scene.world.clock.clone());
    state.exports.default_format = domain::model::ExportFormat::Ndjson;
    scene.world.router = api::router(state);
    assert_eq!(scene.export("?include=workspace").await.header("content-type"), "application/x-ndjson");
}

#[tokio::test]
async fn a_compressed_export_is_the_same_one_and_so_is_its_receipt() {
    let scene = Scene::new().await;
    let query = "?format=json&include=workspace,environments,runs";
    let plain = scene.export(query).await;
    assert!(!plain.headers.contains_key("content-encoding"));
    for (accept, coding) in [("gzip", "gzip"), ("gzip, zstd", "zstd")] {
        let mut response = scene.world.raw(Call::get(&scene.path(query)).user(&scene.ada).header("accept-encoding", accept)).await;
        assert_eq!(response.headers()["content-encoding"], coding);
        let id = response.headers()["export-id"].to_str().unwrap().to_owned();
        let body = axum::body::to_bytes(std::mem::take(response.body_mut()), usize::MAX).await.unwrap();
        let mut out = Vec::new();
        if coding == "gzip" {
            let mut decoder = GzipDecoder::new(&mut out);
            decoder.write_all(&body).await.unwrap();
            decoder.shutdown().await.unwrap();
        } else {
            let mut decoder = ZstdDecoder::new(&mut out);
            decoder.write_all(&body).await.unwrap();
            decoder.shutdown().await.unwrap();
        }
        assert_eq!(out, plain.body, "{coding}");
        assert!(body.len() < out.len());
        let receipt = scene.receipt(&id).await;
        assert_eq!((&receipt["bytes"], &receipt["sha256"]), (&json!(out.len()), &json!(hex(&out))));
    }
}

#[tokio::test]
async fn an_export_leaves_its_receipt_and_two_entries() {
    let scene = Scene::new().await;
    let answer = scene.export("?format=csv&include=audit,runs").await;
    let id = answer.header("export-id").to_owned();
    let receipt = scene.receipt(&id).await;
    let expected = json!({"id": id, "account_id": scene.account, "workspace_id": scene.workspace, "format": "csv", "include": ["audit", "runs"],
        "csv_safe": true, "created_by": {"type": "user", "id": scene.ada.principal.id}, "started_at": receipt["started_at"],
        "ended_at": receipt["ended_at"], "complete": true, "rows": 11, "bytes": answer.body.len(), "sha256": hex(&answer.body)});
    assert_eq!(receipt, expected);
    let entries = scene.audit(2).await;
    let targets = json!([{"type": "workspace", "id": scene.workspace}, {"type": "export", "id": id}]);
    for (entry, action, outcome) in [(&entries[1], "workspace.export", "accepted"), (&entries[0], "workspace.export.end", "succeeded")] {
        assert_eq!((&entry["action"], &entry["outcome"], &entry["targets"]), (&json!(action), &json!(outcome), &targets));
        assert_eq!(entry["actor"]["id"], json!(scene.ada.principal.id));
    }
    assert_eq!(entries[0]["after"]["sha256"], json!(hex(&answer.body)));
}

#[tokio::test]
async fn the_files_name_is_safe_and_tells_the_workspace() {
    let scene = Scene::named(World::new().await, "../Zoë \"x\" 🚢").await;
    let answer = scene.export("?include=workspace&format=ndjson").await;
    let disposition = answer.header("content-disposition");
    let (plain, own) = disposition.split_once("; filename*=UTF-8''").unwrap();
    let plain = plain.strip_prefix("attachment; filename=\"").unwrap().strip_suffix(".ndjson\"").unwrap();
    assert!(plain.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'), "{plain}");
    assert!(own.starts_with("_Zo%C3%AB%20_x_%20%F0%9F%9A%A2%20") && own.ends_with("Z.ndjson"), "{own}");
    assert_eq!((answer.header("cache-control"), answer.header("x-content-type-options")), ("no-store", "nosniff"));
}

#[tokio::test]
async fn head_exports_nothing() {
    let scene = Scene::new().await;
    let before = scene.audit(1).await;
    let answer = scene.world.send(Call::new("HEAD", &scene.path("?format=json")).user(&scene.ada)).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type"), answer.header("export-id")), (200, "application/json", ""));
    assert_eq!(scene.audit(1).await, before);
}

#[tokio::test]
async fn where_no_place_is_free_the_answer_says_when_to_ask_again() {
    let scene = Scene::named(World::with(Wish { exports: 0, ..Wish::default() }).await, "Sales").await;
    let before = scene.audit(1).await;
    let refused = scene.world.get(&scene.path(""), &scene.ada).await;
    assert_eq!((refused.code(), refused.header("retry-after")), ((503, "export_busy"), "10"));
    assert_eq!(scene.audit(1).await, before);
}

#[tokio::test]
async fn a_receipt_shows_itself_to_who_may_read_the_workspace() {
    let scene = Scene::new().await;
    let id = scene.export("?include=workspace").await.header("export-id").to_owned();
    let (viewer, stranger) = (scene.world.user("vera").await, scene.world.user("sam").await);
    scene.world.grant(Scope::Workspace, scene.workspace, viewer.principal, Role::Viewer).await;
    assert_eq!(scene.world.get(&format!("/v1/exports/{id}"), &viewer).await.json["complete"], true);
    assert_eq!(scene.world.get(&format!("/v1/exports/{id}"), &stranger).await.code(), (404, "not_found"));
    assert_eq!(scene.world.get(&format!("/v1/exports/{}", Uuid::now_v7()), &viewer).await.code(), (404, "not_found"));
}

#[tokio::test]
async fn a_long_log_comes_whole() {
    let scene = Scene::new().await;
    append_entries(&scene.world.test.db, scene.account, Some(scene.workspace), 1_100).await;
    let answer = scene.export("?format=json&include=audit").await;
    let seqs: Vec<_> = answer.json["audit"].as_array().unwrap().iter().map(|e| e["seq"].as_u64().unwrap()).collect();
    assert!(seqs.is_sorted() && seqs.len() == 1_103, "{}", seqs.len());
    assert_eq!(table(&scene.export("?include=audit").await.text()).len(), 1_105);
}

/// Exports in a database that fails as it is told.
struct Failing {
    inner: Arc<dyn Exports>,
    begin: bool,
}

#[async_trait]
impl Exports for Failing {
    fn place(&self) -> Option<Place> {
        self.inner.place()
    }
    async fn begin(&self, new: NewExport) -> Result<Time, StoreError> {
        if self.begin { Err(StoreError::Unavailable("away".to_owned())) } else { self.inner.begin(new).await }
    }
    async fn read(&self, _: &ExportPlan, _: &mut dyn ExportSink) -> Result<Reading, StoreError> {
        Err(StoreError::Unavailable("away".to_owned()))
    }
    async fn end(&self, end: ExportEnd) -> Result<(), StoreError> {
        self.inner.end(end).await
    }
    async fn get(&self, id: Uuid) -> Result<Option<Export>, StoreError> {
        self.inner.get(id).await
    }
}

/// Fail-closed: what cannot be audited is not exported; and an outage before the first byte is a 503, not a broken 200.
#[tokio::test]
async fn an_outage_before_the_first_byte_is_503() {
    let mut scene = Scene::new().await;
    let inner = scene.world.berth.exports.clone();
    for begin in [true, false] {
        scene.world.berth.exports = Arc::new(Failing { inner: inner.clone(), begin });
        scene.world.router = api::router(api::State::new(scene.world.berth.clone(), scene.world.issuer.clone(), scene.world.clock.clone()));
        let refused = scene.world.get(&scene.path(""), &scene.ada).await;
        assert_eq!(refused.code(), (503, "unavailable"), "{}", refused.text());
    }
    let newest = loop {
        let newest = scene.audit(1).await.remove(0);
        if newest["action"] == "workspace.export.end" {
            break newest;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((&newest["outcome"], &newest["after"]["aborted"]), (&json!("aborted"), &json!("failed")));
}
