//! `berth keys`: keys that sign and keys that do not any more, over two processes that serve.

use std::path::Path;

use reqwest::StatusCode;

use crate::installation::{Installation, OWNER};
use crate::server::{PATIENCE, Server, answer, text};

async fn status(server: &Server, token: &str) -> StatusCode {
    server.client.get(format!("{}/v1/me", server.url)).bearer_auth(token).send().await.unwrap().status()
}

async fn published(server: &Server) -> Vec<String> {
    let (status, keys) = answer(server.client.get(format!("{}/.well-known/jwks.json", server.url)).send().await.unwrap()).await;
    assert_eq!(status, StatusCode::OK);
    keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

/// Waits until the server says this to the token.
async fn comes_to(server: &Server, token: &str, wanted: StatusCode) {
    let seen = tokio::time::timeout(PATIENCE, async { while status(server, token).await != wanted {} });
    seen.await.unwrap_or_else(|_| panic!("the token does not come to {wanted}"));
}

async fn says(installation: &Installation, arguments: &[&str]) -> String {
    let output = installation.says(arguments, &[]).await;
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

async fn refused(installation: &Installation, arguments: &[&str]) -> String {
    let output = installation.says(arguments, &[]).await;
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", text(&output.stdout));
    text(&output.stderr)
}

fn holds(folder: &Path, log: &str, secret: &str) -> bool {
    std::fs::read_to_string(folder.join(log)).unwrap().contains(secret)
}

#[tokio::test]
async fn keys_are_changed_while_two_processes_serve() {
    let mut installation = Installation::begun().await;
    assert!(says(&installation, &["keys", "list"]).await.contains("There is no signing key yet"));
    let (one, other) = (installation.serve(&[]).await, installation.serve(&[]).await);
    let old = one.token.clone();
    let first = published(&one).await;
    assert_eq!((first.len(), &first), (1, &published(&other).await), "both have the same first key");

    // At the usual pace: it is known at once, and signs later.
    let next = says(&installation, &["keys", "rotate"]).await;
    assert!(next.contains("5 minutes from now"), "{next}");
    let next = next.split(' ').next().unwrap().to_owned();
    let listed = says(&installation, &["keys", "list"]).await;
    assert!(listed.contains(&format!("{}  ", first[0])) && listed.contains("signs from 2"), "{listed}");
    let still_needed = refused(&installation, &["keys", "revoke", &first[0]]).await;
    assert!(still_needed.contains("berth keys rotate --at-once"), "{still_needed}");

    // At once: a token of the new key is good everywhere, though nobody has looked for new keys.
    says(&installation, &["keys", "rotate", "--at-once"]).await;
    let new = installation.token(&["--user", "ann"]).await;
    for server in [&one, &other] {
        assert_eq!(status(server, &new).await, StatusCode::OK);
        assert_eq!(status(server, &old).await, StatusCode::OK, "a key that signs no more is accepted");
        assert!(published(server).await.contains(&next));
    }

    let revoked = says(&installation, &["keys", "revoke", &first[0]]).await;
    assert!(revoked.contains("is revoked"), "{revoked}");
    assert!(says(&installation, &["keys", "revoke", &first[0]]).await.contains("Nothing was changed"));
    for server in [&one, &other] {
        comes_to(server, &old, StatusCode::UNAUTHORIZED).await;
        assert_eq!(status(server, &new).await, StatusCode::OK);
        assert!(!published(server).await.contains(&first[0]));
    }

    // Another key file: it opens no key, and says what to do.
    let file = installation.folder.path().join("other.key");
    let file = file.to_str().unwrap();
    says(&installation, &["generate-key", file]).await;
    installation.set("BERTH_ISSUER__KEY_FILE", file);
    let err = refused(&installation, &["token", "--user", "ann"]).await;
    assert!(err.contains("opens none of the installation's signing keys") && err.contains("berth keys rotate --at-once"), "{err}");
    assert!(says(&installation, &["keys", "list"]).await.contains("signs, sealed under another key file"));
    says(&installation, &["keys", "rotate", "--at-once"]).await;
    let newest = installation.token(&["--user", "ann"]).await;
    // Who has the old file checks what the new one signs; refusals of a moment ago may have kept it from asking at once.
    comes_to(&one, &newest, StatusCode::OK).await;

    let actions = installation.psql(OWNER, "select action from audit_entries where action like 'signing_key.%' order by id").unwrap();
    let actions: Vec<&str> = actions.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(actions, ["signing_key.add", "signing_key.add", "signing_key.add", "signing_key.revoke", "signing_key.add"]);
    // What is kept is sealed: no private key stands in the database in the clear.
    let rows = installation.psql(OWNER, "select encode(sealed_key, 'hex') from signing_keys").unwrap();
    // How each Ed25519 key in PKCS#8 begins.
    assert!(rows.len() > 200 && !rows.contains("302e020100300506032b6570") && !rows.contains("3051020101300506032b6570"), "{rows}");
    for (number, token) in [("serve-1.log", &old), ("serve-2.log", &new)] {
        assert!(!holds(installation.folder.path(), number, token), "a token is in {number}");
    }
    assert!(one.stop().await.success() && other.stop().await.success());
}
