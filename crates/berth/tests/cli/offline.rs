//! What needs no server, and what is said when there is none.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::caller::Caller;

#[tokio::test]
async fn a_server_that_is_not_there_is_told_at_once() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let caller = Caller::default().with("BERTH_URL", &format!("http://{nobody}")).with("BERTH_TOKEN", "x");
    let said = caller.says(&["workspaces", "list"]).await.ended(6);
    assert!(said.err.starts_with(&format!("berth: cannot reach http://{nobody}: Connection refused")), "{said}");
    assert!(said.err.contains("is BERTH_URL right?"), "{said}");
    let said = caller.says(&["workspaces", "list", "-o", "json"]).await.ended(6);
    assert_eq!(serde_json::from_str::<Value>(&said.err).unwrap()["code"], "unreachable");
}

#[tokio::test]
async fn what_is_not_set_or_cannot_be_used_is_told_with_what_to_do() {
    let nothing = Caller::default().says(&["workspaces", "list"]).await.ended(2);
    assert!(nothing.err.contains("BERTH_URL") && nothing.err.contains("[profiles.default]"), "{nothing}");
    for (url, token, words) in [
        ("http://a", "", "BERTH_TOKEN is not"),
        ("", "x", "BERTH_URL is not"),
        ("ftp://a", "x", "neither http nor https"),
        ("no address", "x", "does not begin with http:// or https://"),
        ("localhost:7700", "x", "does not begin with http:// or https://"),
        ("http://me:secret@a", "x", "more than a host"),
        ("http://a", "two words", "blanks"),
    ] {
        let said = Caller::default().with("BERTH_URL", url).with("BERTH_TOKEN", token).says(&["accounts", "list"]).await.ended(2);
        assert!(said.err.contains(words), "{said}");
    }
    for wrong in
        [&["workspaces"][..], &["workspaces", "create"], &["runs", "list", "--state", "no"], &["workspaces", "list", "--limit", "0"]]
    {
        Caller::default().says(wrong).await.ended(2);
    }
    let flag = Caller::default().says(&["accounts", "list", "--token", "x"]).await.ended(2);
    assert!(flag.err.contains("unexpected argument '--token'"), "{flag}");
}

#[tokio::test]
async fn exit_codes_stand_in_the_help_and_in_the_man_page() {
    let caller = Caller::default();
    let help = caller.says(&["--help"]).await.ended(0);
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("man");
    caller.says(&["man", "--dir", dir.to_str().unwrap()]).await.ended(0);
    let page = std::fs::read_to_string(dir.join("berth.1")).unwrap();
    for code in [0, 1, 2, 3, 4, 5, 6, 7, 8, 130] {
        assert!(help.out.contains(&format!("\n  {code:>3}  ")), "{code}: {help}");
        assert!(page.contains(&format!("{code}  ")), "{code}: {page}");
    }
    for page in ["berth-workspaces-create.1", "berth-runs-watch.1", "berth-accounts-list.1"] {
        assert!(dir.join(page).is_file(), "{page}");
    }
}

#[tokio::test]
async fn completions_are_made_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = Caller::default().says(&["completions", shell]).await.ended(0);
        assert!(script.out.contains("workspaces") && script.out.contains("abandon"), "{shell}");
    }
    // Those that are here read it without a complaint.
    for shell in ["bash", "zsh", "fish"] {
        let script = Caller::default().says(&["completions", shell]).await.out;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), script).unwrap();
        if let Ok(read) = tokio::process::Command::new(shell).arg("-n").arg(file.path()).output().await {
            assert!(read.status.success(), "{shell}: {}", String::from_utf8_lossy(&read.stderr));
        }
    }
}

#[tokio::test]
async fn a_reader_that_goes_is_no_failure() {
    let mut command = Caller::default().command(&["reference"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next_line().await.unwrap().is_some());
    drop(lines);
    let ended = child.wait_with_output().await.unwrap();
    assert_eq!(ended.status.code(), Some(0));
    assert!(ended.stderr.is_empty(), "{}", String::from_utf8_lossy(&ended.stderr));
}
