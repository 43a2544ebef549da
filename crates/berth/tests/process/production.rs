//! `berth migrate`, `bootstrap`, `token`, `serve` and `work`, from an empty PostgreSQL to workspaces, as an operator does it.

use reqwest::StatusCode;
use serde_json::Value;
use tokio::process::Command;

use crate::installation::{APP, Installation, OWNER};
use crate::server::{PATIENCE, answer, is_at_its_backend, text};

/// What a command says that ends with exit code 1.
async fn refused(mut command: Command) -> String {
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends by itself").unwrap();
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("berth: ") && !err.contains("panicked"), "{err}");
    err
}

async fn get(server: &crate::server::Server, path: &str) -> (StatusCode, Value) {
    answer(server.client.get(format!("{}{path}", server.admin)).send().await.unwrap()).await
}

#[tokio::test]
async fn an_operator_goes_from_an_empty_database_to_workspaces_with_a_role_that_cannot_rewrite_the_audit_log() {
    let mut installation = Installation::empty().await;
    // In the wrong order first: each says what comes before it.
    for arguments in [&["serve"][..], &["work"], &["bootstrap", "--operator", "ann"], &["token", "--user", "ann"]] {
        let err = refused(installation.command(arguments, &[])).await;
        assert!(err.contains("run `berth migrate` first"), "{arguments:?}: {err}");
    }
    let migrated = installation.migrate(&["--runtime-role", APP]).await;
    let said = text(&migrated.stdout);
    assert!(migrated.status.success(), "{}", text(&migrated.stderr));
    assert!(said.contains("0001_workspaces") && said.contains("0009_processes") && said.contains(APP), "{said}");
    let again = installation.migrate(&["--runtime-role", APP]).await;
    assert!(text(&again.stdout).contains("up to date"), "{}", text(&again.stdout));

    let begun = installation.says(&["bootstrap", "--operator", "ann"], &[]).await;
    assert!(text(&begun.stdout).contains("ann is the platform's first operator"), "{}", text(&begun.stderr));
    let again = installation.says(&["bootstrap", "--operator", "ann"], &[]).await;
    assert!(again.status.success() && text(&again.stdout).contains("Nothing was changed"), "{}", text(&again.stdout));
    let other = refused(installation.command(&["bootstrap", "--operator", "bob"], &[])).await;
    assert!(other.contains("first operator since") && other.contains(": ann."), "{other}");

    let mut server = installation.serve(&[]).await;
    let (_, me) = server.get("/v1/me").await;
    assert_eq!((me["name"].as_str(), &me["platform_permissions"]), (Some("ann"), &serde_json::json!(["administer", "read"])));
    let worker = installation.work().await;
    Installation::open_account(&mut server).await;
    for name in ["Ledger", "Payroll"] {
        let (status, accepted) = server.create(name).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
        let ended = server.ended(accepted["provisioning_run_id"].as_str().unwrap()).await;
        assert_eq!(ended["state"], "succeeded", "{ended}");
    }
    for process in [&server, &worker] {
        let (status, ready) = get(process, "/readyz").await;
        assert_eq!((status, &ready["audit_log"], &ready["database"]), (StatusCode::OK, &"append-only".into(), &"ok".into()), "{ready}");
        let (_, metrics) = get(process, "/metrics").await;
        assert!(metrics.as_str().unwrap().contains("berth_database_up 1"), "{metrics}");
        assert!(!process.log().contains("may change and remove audit entries"), "{}", process.log());
    }
    assert!(worker.url.is_empty(), "a worker has no public port");

    let entries = installation.psql(APP, "select count(*) from audit_entries").unwrap();
    assert!(entries.trim().parse::<u32>().unwrap() >= 6, "{entries}");
    for statement in
        ["update audit_entries set hash = ''", "delete from audit_entries", "truncate audit_entries", "drop table audit_entries"]
    {
        let refused = installation.psql(APP, statement).unwrap_err();
        assert!(refused.contains("permission denied") || refused.contains("must be owner"), "{statement}: {refused}");
    }

    assert_eq!(server.stop().await.code(), Some(0));
    let log = worker.log.clone();
    assert_eq!(worker.stop().await.code(), Some(0));
    assert!(std::fs::read_to_string(log).unwrap().contains("drained"));
    installation.world().await.assert_whole();

    // As the owner it runs as well, and says what is wrong with that.
    let url = installation.url(OWNER);
    installation.set("BERTH_DATABASE__URL", &url);
    let owner = installation.work().await;
    let (_, ready) = get(&owner, "/readyz").await;
    assert_eq!(ready["audit_log"], "the database's role may change and remove entries");
    assert!(owner.log().contains("may change and remove audit entries"), "{}", owner.log());
    assert!(owner.stop().await.success());
}

#[tokio::test]
async fn a_worker_that_is_told_to_stop_hands_on_what_it_was_at() {
    let mut installation = Installation::begun().await;
    installation.set("BERTH_WORKER__POLL", "50ms");
    let mut server = installation.serve(&["--with-worker"]).await;
    assert!(server.printed.contains("serves on") && server.printed.contains("and works"), "{}", server.printed);
    Installation::open_account(&mut server).await;
    let (token, account) = (server.token.clone(), server.account.clone());
    assert_eq!(server.stop().await.code(), Some(0));

    let mut server = installation.serve(&[]).await;
    (server.token, server.account) = (token, account);
    installation.set("BERTH_DEV__BACKEND_HANG_RATE", "1");
    installation.set("BERTH_WORKER__DRAIN", "200ms");
    let hanging = installation.work().await;
    assert!(hanging.log().contains("settings of `dev` are in force"), "{}", hanging.log());
    let (_, accepted) = server.create("Hangs").await;
    let run = accepted["provisioning_run_id"].as_str().unwrap().to_owned();
    let path = format!("/v1/provisioning-runs/{run}");
    server.until(&path, is_at_its_backend).await;
    assert_eq!(hanging.stop().await.code(), Some(0));

    installation.unset("BERTH_DEV__BACKEND_HANG_RATE");
    let next = installation.work().await;
    assert_eq!(server.ended(&run).await["state"], "succeeded");
    assert!(next.stop().await.success() && server.stop().await.success());
    installation.world().await.assert_whole();
}

#[tokio::test]
async fn starts_that_cannot_succeed_end_with_a_sentence() {
    let installation = Installation::begun().await;
    let start = |arguments: &[&str], environment: &[(&str, &str)]| {
        let mut command = installation.command(arguments, environment);
        command.args(["--admin-listen", "127.0.0.1:0"]);
        command
    };
    for url in ["sqlite://berth.db", "berth-data/berth.db"] {
        let err = refused(start(&["serve", "--database-url", url], &[])).await;
        assert!(err.contains("SQLite is for one process alone") && err.contains("`berth dev`"), "{err}");
    }
    let err = refused(start(
        &["work", "--database-url", "postgres://nobody:hunter2@127.0.0.1:1/none"],
        &[("BERTH_DATABASE__CONNECTION_TIMEOUT", "300ms")],
    ))
    .await;
    assert!(err.contains("cannot be reached") && err.contains("nobody:(hidden)@127.0.0.1:1") && !err.contains("hunter2"), "{err}");
    let err = refused(start(&["serve"], &[("BERTH_ISSUER__KEY_FILE", "/nonexistent/key")])).await;
    assert!(err.contains("berth generate-key FILE"), "{err}");
    let mut command = start(&["serve"], &[]);
    command.env_remove("BERTH_ISSUER__KEY_FILE");
    assert!(refused(command).await.contains("`issuer.key_file`"));
    let mut command = start(&["work"], &[]);
    command.env_remove("BERTH_DATABASE__URL");
    assert!(refused(command).await.contains("BERTH_DATABASE__URL"));
    let err = refused(installation.command(&["generate-key", "issuer.key"], &[])).await;
    assert!(err.contains("is there already"), "{err}");
    let err = refused(installation.command(&["migrate", "--database-url", &installation.url(OWNER), "--runtime-role", OWNER], &[])).await;
    assert!(err.contains("nothing can be kept from it"), "{err}");
    let err = refused(installation.command(&["migrate", "--database-url", &installation.url(OWNER), "--runtime-role", "who"], &[])).await;
    assert!(err.contains("there is no role `who`"), "{err}");
    let pooled = [("BERTH_DATABASE__POOLER", "transaction")];
    assert!(refused(installation.command(&["migrate"], &pooled)).await.contains("`database.direct_url`"));

    installation.psql(OWNER, "insert into schema_compatibility (migration, oldest_binary) values (9999, '7.4.0')").unwrap();
    let err = refused(start(&["serve"], &[])).await;
    assert!(err.contains("install Berth 7.4.0"), "{err}");
}
