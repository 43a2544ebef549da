//! Starts that cannot succeed: each ends with exit code 1 and one sentence that names the cause and says what to do.

use std::path::Path;

use tokio::process::Command;

use crate::server::{PATIENCE, Server, berth, text};

/// Runs a start to its end; returns its sentence.
async fn refused(mut command: Command) -> String {
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends by itself").unwrap();
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.starts_with("berth: ") || err.contains("\nberth: "), "{err}");
    assert!(!err.contains("panicked") && !err.contains("backtrace"), "{err}");
    assert!(!text(&output.stdout).contains("ready"));
    err
}

fn dev(dir: &Path) -> Command {
    berth(&["dev", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"], dir)
}

#[tokio::test]
async fn a_folder_that_another_process_holds() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let server = Server::start(&dir, &[]).await;
    let err = refused(dev(&dir)).await;
    assert!(
        err.contains("another process holds the data folder") && err.contains(dir.to_str().unwrap()) && err.contains("--data-dir"),
        "{err}"
    );
    assert_eq!(server.get("/livez").await.0, 200, "the holder is not disturbed");
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn a_port_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let api = refused(berth(&["dev", "--listen", &address, "--admin-listen", "127.0.0.1:0"], &folder.path().join("a"))).await;
    assert!(api.contains(&address) && api.contains("Another process has this port") && api.contains("--listen"), "{api}");
    let admin = refused(berth(&["dev", "--listen", "127.0.0.1:0", "--admin-listen", &address], &folder.path().join("b"))).await;
    assert!(admin.contains(&address) && admin.contains("--admin-listen"), "{admin}");
}

#[tokio::test]
async fn a_folder_that_is_not_writable() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a-file");
    std::fs::write(&file, "").unwrap();
    let err = refused(dev(&file.join("data"))).await;
    assert!(err.contains("cannot make the data folder") && err.contains("choose another folder"), "{err}");
    let err = refused(dev(&file)).await;
    assert!(err.contains("choose another folder"), "{err}");

    // Permissions stop everybody but root: as root, the start is made as nobody, in a folder that nobody may read.
    let closed = folder.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    let mut command = dev(&closed.join("data"));
    if rustix::process::geteuid().is_root() {
        use std::os::unix::fs::PermissionsExt as _;
        for path in [folder.path(), &closed] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let binary = folder.path().join("berth");
        std::fs::copy(env!("CARGO_BIN_EXE_berth"), &binary).unwrap();
        command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(binary);
        command.args(["dev", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"]).arg(closed.join("data"));
    } else {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o555)).unwrap();
    }
    let err = refused(command).await;
    assert!(err.contains("Permission denied") && err.contains("Give the user that runs Berth the right"), "{err}");
}

/// On a file system of its own of 256 KiB, which needs a mount namespace: as root, or where users may have their own.
#[tokio::test]
async fn a_disk_that_is_full() {
    let folder = tempfile::tempdir().unwrap();
    for (size, filled) in [("256k", "true"), ("256k", "head -c 400k /dev/zero > fill || true")] {
        let root = rustix::process::geteuid().is_root();
        let mut command = Command::new("unshare");
        if !root {
            command.arg("--map-root-user");
        }
        let script = format!(
            "mount -t tmpfs -o size={size} none '{dir}' && cd '{dir}' && {{ {filled}; }} 2>/dev/null && \
             exec '{berth}' dev --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --data-dir '{dir}/data'",
            dir = folder.path().display(),
            berth = env!("CARGO_BIN_EXE_berth"),
        );
        command.args(["--mount", "sh", "-c", &script]);
        let err = refused(command).await;
        assert!(err.contains("The disk is full: free some space, then start again"), "{filled}: {err}");
    }
}

#[tokio::test]
async fn a_database_of_a_newer_version() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    assert!(Server::start(&dir, &[]).await.stop().await.success());
    let script = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); \
        db.execute(\"insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (9999, 'later', 1, x'00', 0)\"); \
        db.commit()";
    let made = Command::new("python3").args(["-c", script]).arg(dir.join("berth.db")).output().await.unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    let err = refused(dev(&dir)).await;
    assert!(err.contains("9999") && err.contains("a newer Berth has written it") && err.contains("restore a backup"), "{err}");
}

#[tokio::test]
async fn a_database_that_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("berth.db"), "this is no database, however long one looks at it".repeat(40)).unwrap();
    let err = refused(dev(&dir)).await;
    assert!(err.contains("berth.db cannot be used") && err.contains("restore a backup"), "{err}");
}

#[tokio::test]
async fn a_signing_key_that_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    assert!(Server::start(&dir, &[]).await.stop().await.success());
    std::fs::write(dir.join("issuer.key"), "").unwrap();
    let err = refused(dev(&dir)).await;
    assert!(err.contains("issuer.key is no signing key") && err.contains("Restore it, or delete it"), "{err}");
}

#[tokio::test]
async fn a_saga_file_that_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let sagas = folder.path().join("sagas");
    std::fs::create_dir(&sagas).unwrap();
    let start = |text: &str| {
        std::fs::write(sagas.join("mine.yaml"), text).unwrap();
        let mut command = dev(&folder.path().join("data"));
        command.env("BERTH_DEV__SAGAS", &sagas);
        command
    };
    let whole = include_str!("../../../../sagas/create-account.v1.yaml");
    let err = refused(start(&whole.replace("deadline:", "dedline:"))).await;
    assert!(err.contains("mine.yaml:5:1: ") && err.contains("dedline") && err.contains("berth sagas check"), "{err}");
    let err = refused(start(&whole.replace("version: 1", "version: 2").replace("activate-account", "activate-nothing"))).await;
    assert!(err.contains("activate-nothing"), "{err}");
    let err = refused(start(&format!("{whole}# edited\n"))).await;
    assert!(err.contains("another text of create-account version 1"), "{err}");
}

#[tokio::test]
async fn a_setting_that_nobody_knows() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = dev(&folder.path().join("data"));
    command.env("BERTH_SERVER__LISTN", "127.0.0.1:1");
    let err = refused(command).await;
    assert!(err.contains("did you mean BERTH_SERVER__LISTEN?"), "{err}");
    assert!(!folder.path().join("data").exists(), "nothing is made before the settings are right");
}
