//! What a first start leaves behind, what a second one finds, and that one cut off anywhere is completed by the next.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;

use crate::server::{Server, command, environment_file, said, text};
use crate::world::World;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_first_start_makes_a_private_folder_and_says_what_to_type_but_never_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("deep/berth data");
    std::fs::create_dir(folder.path().join("deep")).unwrap();
    let server = Server::start(&dir, &[]).await;

    assert_eq!(mode(&dir), 0o700);
    for entry in std::fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path) & 0o077, 0, "{} is open to others", path.display());
    }
    let names: Vec<String> = environment_file(&dir).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["BERTH_URL", "BERTH_TOKEN", "BERTH_ACCOUNT_ID"]);
    assert!(server.printed.contains(&format!("  . '{}'", dir.join("dev.env").display())), "{}", server.printed);
    assert!(!server.printed.contains(&server.token) && !server.log().contains(&server.token));

    let (_, me) = server.get("/v1/me").await;
    assert_eq!(
        (&me["type"], &me["name"], &me["platform_permissions"]),
        (&json!("user"), &json!("developer"), &json!(["administer", "read"]))
    );
    let (_, account) = server.get(&format!("/v1/accounts/{}", server.account)).await;
    assert_eq!(account["status"], "active", "{account}");
}

#[tokio::test]
async fn the_lines_that_it_prints_work_when_they_are_pasted() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("it's data"), &[]).await;
    let lines: Vec<&str> = server.printed.lines().filter(|line| line.starts_with("  ")).collect();
    assert_eq!(lines.len(), 4, "{}", server.printed);
    let script = lines.iter().map(|line| format!("{line} && echo")).collect::<Vec<_>>().join("\n");
    let output = tokio::process::Command::new("sh").arg("-ec").arg(script).output().await.unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{err}");
    let answers: Vec<serde_json::Value> = out.lines().filter(|l| !l.is_empty()).map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(answers[0]["name"], "developer");
    assert!(answers[1]["workspace_id"].is_string(), "{}", answers[1]);
    assert_eq!(answers[2][0]["id"], answers[1]["provisioning_run_id"]);
}

#[tokio::test]
async fn a_second_start_finds_the_same_account_and_renews_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let first = Server::start(&dir, &[]).await;
    // A younger account of the same user must not take the place of the first.
    let made = first.request(reqwest::Method::POST, "/v1/accounts").json(&json!({"name": "Another"})).send().await.unwrap();
    let (_, made) = crate::server::answer(made).await;
    first.ended(made["provisioning_run_id"].as_str().unwrap()).await;
    let (account, token) = (first.account.clone(), first.token.clone());
    assert!(first.stop().await.success());

    let mut second = Server::start(&dir, &[]).await;
    assert_eq!(second.account, account);
    assert_ne!(second.token, token);
    assert_eq!(second.get("/v1/me").await.0, 200);
    second.token = token;
    assert_eq!(second.get("/v1/me").await.0, 200, "a token outlives a restart");
}

#[tokio::test]
async fn a_first_start_that_was_killed_anywhere_is_completed_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let mut dice = StdRng::seed_from_u64(20_261_122);
    for round in 0..12 {
        let dir = folder.path().join(format!("data-{round}"));
        for _ in 0..dice.random_range(1..=3) {
            let (mut command, _) = command(&dir, &[]);
            let mut child = command.spawn().unwrap();
            tokio::time::sleep(Duration::from_millis(dice.random_range(0..=180))).await;
            child.kill().await.unwrap();
        }
        let server = Server::start(&dir, &[]).await;
        assert_eq!(server.get("/v1/me").await.0, 200);
        assert!(server.stop().await.success());
        let world = World::of(&dir).await;
        assert_eq!(world.accounts().len(), 1, "round {round}");
        world.assert_whole();
    }
}

#[tokio::test]
async fn the_flags_of_the_command_line_go_over_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let server = Server::start(&dir, &[("BERTH_DATA__DIR", "/nonexistent"), ("BERTH_SERVER__LISTEN", "192.0.2.1:1")]).await;
    assert_eq!(server.get("/livez").await.0, 200);
    let other = said(&["config", "check"], &dir).await;
    assert!(!other.status.success(), "--data-dir is a flag of `berth dev` only");
}
