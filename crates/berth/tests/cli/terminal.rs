//! What a person at a terminal sees: a pseudo-terminal stands for it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::caller::Caller;
use crate::server::{PATIENCE, Server};

/// A terminal of 120 columns: our end and the program's.
fn terminal() -> (File, OwnedFd) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let theirs = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    tcsetwinsize(&theirs, Winsize { ws_row: 40, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    (File::from(ours), theirs)
}

/// Types a command at a terminal, and `typed` after it; returns how it ended and all that the terminal was sent.
async fn typed(caller: &Caller, arguments: &[&str], typed: &str) -> (i32, String) {
    let (mut ours, theirs) = terminal();
    let end = || Stdio::from(theirs.try_clone().unwrap());
    let mut child = caller.command(arguments).stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
    drop(theirs);
    ours.write_all(typed.as_bytes()).unwrap();
    let seen = tokio::task::spawn_blocking(move || {
        let (mut seen, mut piece) = (Vec::new(), [0; 4096]);
        // The last of the program's ends that is closed is an error here.
        while let Ok(n @ 1..) = ours.read(&mut piece) {
            seen.extend_from_slice(&piece[..n]);
        }
        String::from_utf8_lossy(&seen).into_owned()
    });
    let status = tokio::time::timeout(PATIENCE, child.wait()).await.expect("the command ends").unwrap();
    (status.code().unwrap_or(-1), seen.await.unwrap())
}

#[tokio::test]
async fn a_run_is_drawn_in_place_and_its_last_picture_stays() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &[]).await;
    let caller = Caller::of(&server).with("TERM", "xterm-256color");

    let (code, seen) = typed(&caller, &["workspaces", "create", "Drawn", "--wait"], "").await;
    assert_eq!(code, 0, "{seen}");
    for step in ["create-environments", "backend-dev", "verify-access", "activate-workspace"] {
        assert!(seen.contains(step), "{step}: {seen}");
    }
    assert!(seen.contains('✓') && seen.contains("\u{1b}[32m"), "done, and green: {seen}");
    assert!(seen.contains("\u{1b}[1A"), "the cursor goes up: {seen}");
    assert!(seen.contains("succeeded: 7/7 steps") && seen.contains("Status      active"), "{seen}");

    let (code, seen) = typed(&caller.clone().with("NO_COLOR", "1"), &["workspaces", "create", "Grey", "--wait"], "").await;
    assert_eq!(code, 0, "{seen}");
    assert!(seen.contains('✓') && !seen.contains("\u{1b}[32m"), "{seen}");

    let (code, seen) = typed(&caller.with("TERM", "dumb"), &["workspaces", "create", "Plain", "--wait"], "").await;
    assert_eq!(code, 0, "{seen}");
    assert!(!seen.contains('\u{1b}') && seen.contains("  verify-access        succeeded\r\n"), "{seen}");
}

#[tokio::test]
async fn a_person_is_asked_before_many_runs_are_touched() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &[]).await;
    let caller = Caller::of(&server).with("TERM", "xterm");
    caller.says(&["pause", "saga:create-workspace", "--comment", "so that it waits"]).await.ended(0);
    let created = caller.says(&["workspaces", "create", "Waits", "-o", "json"]).await.ended(0).json();
    let run = created["provisioning_run_id"].as_str().unwrap();

    let (code, seen) = typed(&caller, &["runs", "cancel", "--all"], "n\n").await;
    assert_eq!(code, 1, "{seen}");
    assert!(seen.contains(run) && seen.contains("Cancel 1 run? [y/N]") && seen.contains("nothing was done"), "{seen}");
    let (code, seen) = typed(&caller, &["runs", "cancel", "--all"], "y\n").await;
    assert_eq!(code, 0, "{seen}");
    assert!(seen.contains("accepted  cancel"), "{seen}");
}
