//! `berth dev token`: every role form, while the server runs and while it does not.

use reqwest::StatusCode;
use serde_json::json;

use crate::server::{Server, said, text};
use crate::world::World;

/// Asks for a token; returns it with the sentence of a refusal.
async fn token(arguments: &[&str], dir: &std::path::Path) -> Result<String, String> {
    let mut all = vec!["dev", "token"];
    all.extend(arguments);
    let output = said(&all, dir).await;
    if output.status.success() { Ok(text(&output.stdout).trim().to_owned()) } else { Err(text(&output.stderr)) }
}

/// Who, name, role and scope, may read the account, may read the workspace.
type Form<'a> = (&'a str, &'a str, Option<(&'a str, &'a str)>, bool, bool);

#[tokio::test]
async fn every_role_form_gives_the_rights_of_the_role_while_the_server_runs() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let mut server = Server::start(&dir, &[]).await;
    let (_, accepted) = server.create("Shared").await;
    let workspace = accepted["workspace_id"].as_str().unwrap().to_owned();
    server.ended(accepted["provisioning_run_id"].as_str().unwrap()).await;
    let (account_scope, workspace_scope) = (format!("account:{}", server.account), format!("workspace:{workspace}"));
    let (account_path, workspace_path) = (format!("/v1/accounts/{}", server.account), format!("/v1/workspaces/{workspace}"));

    let forms: &[Form] = &[
        ("--user", "stranger", None, false, false),
        ("--service-account", "lonely", None, false, false),
        ("--user", "ao", Some(("owner", &account_scope)), true, true),
        ("--user", "aa", Some(("admin", &account_scope)), true, true),
        ("--user", "am", Some(("member", &account_scope)), true, false),
        ("--service-account", "saa", Some(("admin", &account_scope)), true, true),
        ("--service-account", "sam", Some(("member", &account_scope)), true, false),
        ("--user", "wo", Some(("owner", &workspace_scope)), false, true),
        ("--user", "wa", Some(("admin", &workspace_scope)), false, true),
        ("--user", "wm", Some(("member", &workspace_scope)), false, true),
        ("--user", "wv", Some(("viewer", &workspace_scope)), false, true),
        ("--service-account", "swv", Some(("viewer", &workspace_scope)), false, true),
        ("--user", "op", Some(("operator", "platform")), true, true),
        ("--service-account", "auditor", Some(("auditor", "platform")), true, true),
    ];
    for (kind, name, role, reads_account, reads_workspace) in forms {
        let mut arguments = vec![*kind, *name];
        if let Some((role, on)) = role {
            arguments.extend(["--role", role, "--on", on]);
        }
        server.token = token(&arguments, &dir).await.unwrap();
        let (status, me) = server.get("/v1/me").await;
        assert_eq!((status, &me["name"]), (StatusCode::OK, &json!(name)));
        assert_eq!(me["type"], kind.trim_start_matches("--").replace('-', "_"));
        let may = |yes: &bool| if *yes { StatusCode::OK } else { StatusCode::NOT_FOUND };
        assert_eq!(server.get(&account_path).await.0, may(reads_account), "{name} reads the account");
        assert_eq!(server.get(&workspace_path).await.0, may(reads_workspace), "{name} reads the workspace");
    }

    // A role replaces the one before; giving it again changes nothing.
    for role in ["admin", "admin", "viewer"] {
        server.token = token(&["--user", "wa", "--role", role, "--on", &workspace_scope], &dir).await.unwrap();
    }
    assert!(server.stop().await.success());
    World::of(&dir).await.assert_whole();
}

#[tokio::test]
async fn a_token_is_given_without_a_server_and_taken_by_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let server = Server::start(&dir, &[]).await;
    let account = server.account.clone();
    assert!(server.stop().await.success());
    let given = token(&["--user", "ann", "--role", "member", "--on", &format!("account:{account}")], &dir).await.unwrap();
    let mut server = Server::start(&dir, &[]).await;
    let (_, told) = server.get(&format!("/v1/accounts/{}/audit", uuid::Uuid::nil())).await;
    for (token, whose) in [(&given, "one that was given by hand"), (&server.token, "the one in dev.env")] {
        let id = &claims(token)["jti"];
        let is_its_issue = |e: &&serde_json::Value| e["action"] == "token.issue" && e["credential_id"] == *id;
        assert_eq!(told.as_array().unwrap().iter().filter(is_its_issue).count(), 1, "{whose} is in the audit log: {told}");
    }
    server.token = given;
    assert_eq!(server.get(&format!("/v1/accounts/{account}")).await.0, StatusCode::OK);
    server.token = token(&["--user", "ann", "--expires", "0s"], &dir).await.unwrap();
    let claims = claims(&server.token);
    assert_eq!(claims["exp"], claims["iat"], "--expires is obeyed");
}

fn claims(token: &str) -> serde_json::Value {
    use base64::Engine as _;
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[tokio::test]
async fn what_cannot_be_given_is_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let none = token(&["--user", "ann"], &dir).await.unwrap_err();
    assert!(none.contains("start `berth dev` first"), "{none}");
    assert!(!dir.exists(), "asking makes no folder");

    let server = Server::start(&dir, &[]).await;
    let account = format!("account:{}", server.account);
    let nobody = format!("workspace:{}", uuid::Uuid::nil());
    for (arguments, words) in [
        (vec!["--user", "ann", "--role", "viewer", "--on", &account], "no role on accounts; there are owner, admin, member"),
        (vec!["--user", "ann", "--role", "owner", "--on", "platform"], "there are operator and auditor"),
        (vec!["--service-account", "bot", "--role", "owner", "--on", &account], "an owner is a user"),
        (vec!["--user", "ann", "--role", "viewer", "--on", &nobody], "there is no workspace"),
        (vec!["--user", "developer", "--role", "member", "--on", &account], "the only owner"),
        (vec!["--user", "", "--role", "member", "--on", &account], "1 to 200 characters"),
        (vec!["--user", "ann", "--on", &account], "--role"),
        (vec!["--user", "ann", "--role", "member", "--on", "account:x"], "workspace:ID"),
        (vec!["--user", "ann", "--service-account", "bot"], "cannot be used with"),
        (vec![], "--user"),
    ] {
        let refused = token(&arguments, &dir).await.unwrap_err();
        assert!(refused.contains(words), "{arguments:?}: {refused}");
        assert!(!refused.contains("panicked"), "{refused}");
    }
    assert!(server.stop().await.success());
    World::of(&dir).await.assert_whole();
}
