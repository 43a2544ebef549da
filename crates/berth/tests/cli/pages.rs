//! What the README tells one to type, typed. That every other command in the documents is one is a unit test beside the reference.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::server::{PATIENCE, Server, text};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The fenced blocks of a page: what stands behind the fence, and the text.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let inside = page.split("\n```").skip(1).step_by(2);
    inside.filter_map(|block| block.split_once('\n')).collect()
}

/// Lines of a shell, those that go on in the next one put together.
fn statements(block: &str) -> Vec<String> {
    block.replace("\\\n", " ").lines().map(str::to_owned).filter(|line| !line.trim().is_empty()).collect()
}

/// Text without what is another one each time: ids, digests, numbers, and how wide a column is.
fn shape(line: &str) -> String {
    let is_id = |word: &&str| uuid::Uuid::try_parse(word).is_ok();
    let is_digest = |word: &&str| word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let word = |word: &str| {
        if is_id(&word) {
            return "ID".to_owned();
        }
        let digits = |part: &str| part.split(|c: char| c.is_ascii_digit()).filter(|rest| !rest.is_empty()).collect::<Vec<_>>().join("N");
        let parts: Vec<String> = word
            .split_inclusive(['/', ':', '"', ',', '`'])
            .map(|part| {
                let bare = part.trim_end_matches(['/', ':', '"', ',', '`']);
                let end = &part[bare.len()..];
                if is_id(&bare) || is_digest(&bare) { format!("ID{end}") } else { digits(bare) + end }
            })
            .collect();
        parts.concat()
    };
    line.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn the_walkthrough_of_the_readme_does_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let _server = Server::start(&folder.path().join("berth-data"), &[]).await;
    std::fs::create_dir_all(folder.path().join("target/debug")).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_berth"), folder.path().join("target/debug/berth")).unwrap();

    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let section = readme.split("\n## ").find(|section| section.starts_with("A walkthrough\n")).unwrap();
    let (typed, shown): (Vec<_>, Vec<_>) = blocks(section).into_iter().partition(|(kind, _)| *kind == "sh");
    let typed: Vec<String> = typed.iter().flat_map(|(_, block)| statements(block)).collect();
    assert!(typed.len() > 12, "{typed:?}");
    let script = typed.iter().fold(String::new(), |script, line| script + line + "\necho \"exit $?\" >> codes\n");
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(script).current_dir(folder.path()).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
    let output = tokio::time::timeout(PATIENCE, shell.stdin(Stdio::null()).kill_on_drop(true).output()).await.expect("it ends").unwrap();
    let said = text(&output.stdout) + "\n" + &text(&output.stderr);

    let codes = std::fs::read_to_string(folder.path().join("codes")).unwrap();
    assert_eq!(codes.lines().count(), typed.len(), "{said}");
    for (line, code) in typed.iter().zip(codes.lines()) {
        let wanted = line.split("exit code ").nth(1).unwrap_or("0").trim();
        assert_eq!(code, format!("exit {wanted}"), "{line}\n{said}");
    }
    let seen: Vec<String> = said.lines().map(shape).collect();
    for line in shown.iter().flat_map(|(_, block)| block.lines()).filter(|line| !line.is_empty() && *line != "…") {
        assert!(seen.contains(&shape(line)), "README shows what was not seen: {line}\n{}\n{said}", shape(line));
    }
}
