//! What the pages for people tell one to type.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::caller::Caller;
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
    let script: String = typed.iter().map(|line| format!("{line}\necho \"exit $?\" >> codes\n")).collect();
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{script}exec 2>&1")).current_dir(folder.path()).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
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

/// What a page has one type: lines of its shell blocks, and commands within a sentence, which may leave out what they are given.
fn commands(page: &str) -> Vec<(bool, String)> {
    let in_blocks = blocks(page).into_iter().filter(|(kind, _)| *kind == "sh").flat_map(|(_, block)| statements(block));
    let prose: String = page.split("\n```").step_by(2).collect::<Vec<_>>().join("\n");
    let in_prose: Vec<String> = prose.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    let is_one = |line: &String| line.starts_with("berth ") && !line.starts_with("berth dev") && !line.contains(['|', '…', '{']);
    let whole = in_blocks.filter(is_one).map(|line| (true, line));
    whole.chain(in_prose.into_iter().filter(is_one).map(|line| (false, line))).collect()
}

fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            pages(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "md") {
            found.push(path);
        }
    }
}

#[tokio::test]
async fn every_command_of_a_page_is_one_that_there_is() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let bin = Path::new(env!("CARGO_BIN_EXE_berth")).parent().unwrap();
    let mut found = vec![root().join("README.md")];
    pages(&root().join("docs"), &mut found);
    // Made from the commands themselves.
    found.retain(|page| !page.ends_with("docs/cli.md"));
    let mut typed = Vec::new();
    for page in found {
        let text = std::fs::read_to_string(&page).unwrap();
        typed.extend(commands(&text).into_iter().map(|(is_whole, line)| (page.clone(), is_whole, line)));
    }
    assert!(typed.len() > 50, "{}", typed.len());

    let runs = typed.into_iter().map(|(page, is_whole, line)| {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(&line).current_dir(folder.path()).env_clear().env("HOME", folder.path()).env("BERTH_TOKEN", "x");
        shell.env("PATH", format!("{}:/usr/bin:/bin", bin.display())).env("BERTH_URL", format!("http://{nobody}"));
        shell.env("BERTH_ACCOUNT_ID", uuid::Uuid::nil().to_string()).stdin(Stdio::null()).kill_on_drop(true);
        tokio::spawn(async move {
            let output = tokio::time::timeout(PATIENCE, shell.output()).await.expect("it ends").unwrap();
            (page, is_whole, line, output)
        })
    });
    let mut wrong = Vec::new();
    for run in runs.collect::<Vec<_>>() {
        let (page, is_whole, line, output) = run.await.unwrap();
        let err = text(&output.stderr);
        let is_short = !is_whole && err.contains("required arguments were not provided");
        // 2 is a mistyped command, 127 none at all.
        if matches!(output.status.code(), Some(2 | 127) | None) && !is_short {
            wrong.push(format!("{}: {line}\n{err}", page.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Caller::default().says(&["workspaces", "freez", "x"]).await.ended(2);
}
