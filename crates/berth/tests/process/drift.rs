//! Permissions that have drifted from the database, at processes and commands: `berth permissions diff` and `repair`, the comparison
//! on a timer, and what `berth bootstrap` and `berth token` leave behind when SpiceDB goes away in the middle.

use std::process::Output;
use std::sync::Arc;

use domain::permissions::{Cause, Filter, Object, Permissions as _, Relationship, Update};
use providers::permissions::spicedb::{self, Key, Settings};
use serde_json::{Value, json};
use testkit::spicedb::SpiceDb;
use uuid::Uuid;

use crate::installation::{APP, Installation};
use crate::server::{PATIENCE, Server, text};
use crate::spicedb::{KEYS, settings};

/// Migrated, with its permissions in a SpiceDB that has no schema yet.
async fn migrated(spicedb: &SpiceDb) -> Installation {
    let mut installation = Installation::empty().await;
    for (name, value) in settings(spicedb) {
        installation.set(name, value);
    }
    let migrated = installation.migrate(&["--runtime-role", APP]).await;
    assert!(migrated.status.success(), "{}", text(&migrated.stderr));
    installation
}

/// Exit code, and both outputs.
async fn said(installation: &Installation, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = installation.says(arguments, &[]).await;
    assert!(!text(&stderr).contains("panicked"), "{}", text(&stderr));
    (status.code(), text(&stdout), text(&stderr))
}

async fn done(installation: &Installation, arguments: &[&str]) -> String {
    let (code, out, err) = said(installation, arguments).await;
    assert_eq!(code, Some(0), "{arguments:?}: {out}{err}");
    out
}

/// By hand, past Berth.
struct Hand(spicedb::SpiceDb);

impl Hand {
    async fn on(spicedb: &SpiceDb) -> Self {
        let settings = Settings::new(&spicedb.endpoint, Key::Given(KEYS[0].to_owned()), Arc::new(|| 0.5));
        Self(spicedb::SpiceDb::new(settings).await.unwrap())
    }

    async fn write(&self, update: Update) {
        self.0.write(&[update], &[], &Cause::Hand("test")).await.unwrap();
    }

    async fn holds(&self, relationship: &Relationship) -> bool {
        let Object { kind, id } = relationship.resource.clone();
        let filter = Filter { resource_kind: kind, resource_id: Some(id), relation: None, subject: None };
        self.0.read(&filter).await.unwrap().contains(relationship)
    }
}

fn id(of: &Value) -> Uuid {
    of.as_str().unwrap().parse().unwrap()
}

/// A served installation, its operator's id, and a workspace of theirs.
async fn served(installation: &mut Installation) -> (Server, Uuid, Uuid) {
    done(installation, &["permissions", "schema", "write"]).await;
    done(installation, &["bootstrap", "--operator", "ann"]).await;
    let mut server = installation.serve(&["--with-worker"]).await;
    Installation::open_account(&mut server).await;
    let (_, accepted) = server.create("Ledger").await;
    let ended = server.ended(accepted["provisioning_run_id"].as_str().unwrap()).await;
    assert_eq!(ended["state"], "succeeded", "{ended}");
    let (_, me) = server.get("/v1/me").await;
    (server, id(&me["id"]), id(&accepted["workspace_id"]))
}

#[tokio::test]
async fn drift_is_told_and_repaired_by_commands_with_exit_codes_for_scripts() {
    let spicedb = SpiceDb::in_memory(KEYS);
    let mut installation = migrated(&spicedb).await;
    let (server, ann, workspace) = served(&mut installation).await;
    assert!(done(&installation, &["permissions", "diff"]).await.starts_with("no drift; looked at "));
    let nothing: Value = serde_json::from_str(&done(&installation, &["permissions", "diff", "-o", "json"]).await).unwrap();
    assert_eq!((&nothing["drift"], &nothing["left_alone"]), (&json!([]), &json!(0)));
    assert_eq!(done(&installation, &["permissions", "diff", "--output", "ndjson"]).await, "");

    let hand = Hand::on(&spicedb).await;
    let owner = Relationship::new(Object::workspace(workspace), "owner", Object::new("user", ann));
    let stranger = Relationship::new(Object::workspace(workspace), "viewer", Object::new("user", Uuid::new_v4()));
    let unknown = Relationship::new(Object::workspace(Uuid::new_v4()), "owner", Object::new("user", ann));
    for update in [Update::Delete(owner.clone()), Update::Touch(stranger.clone()), Update::Touch(unknown.clone())] {
        hand.write(update).await;
    }
    let (code, lines, err) = said(&installation, &["permissions", "diff"]).await;
    assert_eq!(code, Some(8), "{err}");
    assert!(err.contains("differs from the database 3 times") && err.contains("berth permissions repair"), "{err}");
    let written = |r: &Relationship| format!("{}:{}#{}@user:{}", r.resource.kind, r.resource.id, r.relation, r.subject.id);
    for line in [
        format!("missing       found       + {}", written(&owner)),
        format!("surplus       found       - {}", written(&stranger)),
        format!("orphaned      found       - {}", written(&unknown)),
        "1 missing, 1 surplus, 1 orphaned; looked at ".to_owned(),
    ] {
        assert!(lines.lines().any(|told| told.starts_with(&line)), "{line}: {lines}");
    }
    let (code, document, _) = said(&installation, &["permissions", "diff", "--output", "json"]).await;
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!((code, document["drift"].as_array().unwrap().len()), (Some(8), 3), "{document}");
    assert_eq!(document["counts"], json!({"missing": 1, "surplus": 1, "orphaned": 1, "wrong_role": 0, "seal_missing": 0}));
    let missing = json!({"class": "missing", "fate": "found", "missing": [written(&owner)], "surplus": []});
    assert!(document["drift"].as_array().unwrap().contains(&missing), "{document}");
    let (code, ndjson, _) = said(&installation, &["permissions", "diff", "-o", "ndjson"]).await;
    let each: Vec<Value> = ndjson.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((code, &Value::from(each)), (Some(8), &document["drift"]), "one a line, the same");
    assert!(!hand.holds(&owner).await && hand.holds(&stranger).await, "looking changes nothing");

    let (code, repaired, err) = said(&installation, &["permissions", "repair"]).await;
    assert!(repaired.contains("missing       repaired    +") && repaired.contains("orphaned      found"), "{repaired}");
    assert!(code == Some(8) && err.contains("1 that the database knows nothing of") && err.contains("--remove-unknown"), "{err}");
    assert!(hand.holds(&owner).await && !hand.holds(&stranger).await && hand.holds(&unknown).await);
    assert!(done(&installation, &["permissions", "repair", "--remove-unknown"]).await.contains("orphaned      repaired"));
    assert!(!hand.holds(&unknown).await);
    assert!(done(&installation, &["permissions", "diff"]).await.starts_with("no drift; "));
    assert!(server.stop().await.success());

    drop(spicedb);
    for arguments in [&["diff"][..], &["repair"], &["schema", "check"]] {
        let (code, _, err) = said(&installation, &[&["permissions"], arguments].concat()).await;
        assert!(code == Some(6) && err.contains("the permission system is not available"), "{arguments:?}: {err}");
    }
    let (_, cut_off, _) = said(&installation, &["permissions", "diff", "-o", "json"]).await;
    let cut_off: Value = serde_json::from_str(&cut_off).unwrap();
    assert!(cut_off["error"].as_str().is_some_and(|error| error.contains("not available")) && cut_off.get("counts").is_none(), "{cut_off}");
}

/// What the process counts, as soon as it is that.
async fn counted(server: &Server, wanted: &str) {
    let counts = async {
        loop {
            let metrics = server.client.get(format!("{}/metrics", server.admin)).send().await.unwrap().text().await.unwrap();
            if metrics.lines().any(|line| line == wanted) {
                return;
            }
        }
    };
    assert!(tokio::time::timeout(PATIENCE, counts).await.is_ok(), "{wanted} does not come:\n{}", server.log());
}

#[tokio::test]
async fn a_process_compares_on_a_timer_and_repairs_where_it_is_told_to() {
    let mut spicedb = SpiceDb::on_postgres(KEYS).await;
    let mut installation = migrated(&spicedb).await;
    let (server, ann, workspace) = served(&mut installation).await;
    assert!(server.stop().await.success());
    let hand = Hand::on(&spicedb).await;
    let owner = Relationship::new(Object::workspace(workspace), "owner", Object::new("user", ann));
    let unknown = Relationship::new(Object::account(Uuid::new_v4()), "owner", Object::new("user", ann));
    hand.write(Update::Delete(owner.clone())).await;
    hand.write(Update::Touch(unknown.clone())).await;

    installation.set("BERTH_PERMISSIONS__COMPARE_EVERY", "500ms");
    installation.set("BERTH_DEV__TIME_SCALE", "0.01");
    let watching = installation.work().await;
    counted(&watching, r#"berth_permissions_drift{class="missing"} 1"#).await;
    counted(&watching, r#"berth_permissions_drift{class="orphaned"} 1"#).await;
    assert!(watching.log().contains("the permission system has drifted") && watching.log().contains(&workspace.to_string()));
    assert!(!hand.holds(&owner).await, "it was to look only");
    // An outage ends nothing but a comparison.
    spicedb.kill();
    let noticed = async {
        while !watching.log().contains("cannot be compared with the database now") {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, noticed).await.is_ok(), "{}", watching.log());
    spicedb.start();
    let hand = Hand::on(&spicedb).await;
    hand.write(Update::Touch(owner.clone())).await;
    counted(&watching, r#"berth_permissions_drift{class="missing"} 0"#).await;
    assert!(watching.stop().await.success());

    hand.write(Update::Delete(owner.clone())).await;
    installation.set("BERTH_PERMISSIONS__REPAIR", "true");
    let repairing = installation.work().await;
    counted(&repairing, r#"berth_permissions_repaired_total{class="missing"} 1"#).await;
    assert!(hand.holds(&owner).await);
    counted(&repairing, r#"berth_permissions_drift{class="missing"} 0"#).await;
    counted(&repairing, r#"berth_permissions_drift{class="orphaned"} 1"#).await;
    assert!(hand.holds(&unknown).await, "what the database does not know is never taken away by itself");
    assert!(repairing.stop().await.success());
}

#[tokio::test]
async fn what_is_begun_while_spicedb_is_away_is_completed_by_doing_it_again() {
    let mut spicedb = SpiceDb::on_postgres(KEYS).await;
    let mut installation = migrated(&spicedb).await;
    let bootstrap = ["bootstrap", "--operator", "ann"];
    let (code, _, err) = said(&installation, &bootstrap).await;
    assert!(code == Some(1) && err.contains("`berth permissions schema check`"), "it has no schema: {err}");
    done(&installation, &["permissions", "schema", "write"]).await;
    spicedb.kill();
    let (code, out, err) = said(&installation, &bootstrap).await;
    assert_eq!((code, out.as_str()), (Some(6), ""), "{err}");
    assert!(
        err.contains("ann was not made the first operator: the permission system is not available") && err.contains("Try again"),
        "{err}"
    );
    spicedb.start();
    let (code, told, _) = said(&installation, &["permissions", "diff"]).await;
    assert!(code == Some(8) && told.contains("missing       found       + platform:main#operator@user:"), "it can be seen: {told}");
    assert!(done(&installation, &bootstrap).await.contains("ann has been the platform's first operator since"));
    done(&installation, &["permissions", "diff"]).await;

    let (mut server, _, workspace) = served(&mut installation).await;
    let (on_account, on_workspace) = (format!("account:{}", server.account), format!("workspace:{workspace}"));
    let grants = [
        ["token", "--user", "olga", "--role", "auditor", "--on", "platform"],
        ["token", "--service-account", "deploy", "--role", "admin", "--on", &on_account],
        ["token", "--user", "bob", "--role", "viewer", "--on", &on_workspace],
    ];
    spicedb.kill();
    for grant in &grants {
        let (code, out, err) = said(&installation, grant).await;
        assert_eq!((code, out.as_str()), (Some(6), ""), "no token without its role: {err}");
        assert!(
            err.contains("the grant was not completed: the permission system is not available") && err.contains("Give it again"),
            "{err}"
        );
    }
    done(&installation, &["token", "--user", "zoe"]).await;
    spicedb.start();
    let path = format!("/v1/workspaces/{workspace}");
    for grant in &grants {
        server.token = done(&installation, grant).await.trim().to_owned();
        let reads = async { while server.get(&path).await.0 != 200 {} };
        assert!(tokio::time::timeout(PATIENCE, reads).await.is_ok(), "{grant:?} gives no right: {:?}", server.get(&path).await);
    }
    assert!(done(&installation, &["permissions", "diff"]).await.starts_with("no drift; "));
    // Of the account that it was made for, wherever else it gets a role.
    server.token = installation.token(&["--user", "ann"]).await;
    Installation::open_account(&mut server).await;
    let elsewhere = format!("account:{}", server.account);
    installation.token(&["--service-account", "deploy", "--role", "member", "--on", &elsewhere]).await;
    assert!(done(&installation, &["permissions", "diff"]).await.starts_with("no drift; "));
    assert!(server.stop().await.success());
}
