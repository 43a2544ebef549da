//! Types commands, as somebody with an environment of his own.

use std::collections::BTreeMap;
use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use crate::server::{PATIENCE, Server, text};

/// What a command said, and how it ended.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    /// Standard output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self}"))
    }

    /// Fails unless it ended with this code.
    #[track_caller]
    pub fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self}");
        assert!(!self.err.contains("panicked"), "{self}");
        self
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit {}\n{}\n--\n{}", self.code, self.out, self.err)
    }
}

/// A shell's environment.
#[derive(Clone, Default)]
pub struct Caller {
    variables: BTreeMap<String, String>,
}

impl Caller {
    /// One who has sourced `dev.env`.
    pub fn of(server: &Server) -> Self {
        Self::default().with("BERTH_URL", &server.url).with("BERTH_TOKEN", &server.token).with("BERTH_ACCOUNT_ID", &server.account)
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.variables.remove(name);
        self
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_berth"));
        command.args(arguments).env_clear().envs(&self.variables).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    pub async fn says(&self, arguments: &[&str]) -> Said {
        let output = tokio::time::timeout(PATIENCE, self.command(arguments).output()).await.expect("the command ends").unwrap();
        Said { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

/// Text with every id, time and address replaced by a word: ids by the order in which they come.
pub fn normal(text: &str) -> String {
    let mut ids: Vec<String> = Vec::new();
    let mut normal = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(id) = rest.get(..36).filter(|id| uuid::Uuid::try_parse(id).is_ok()) {
            let n = ids.iter().position(|known| known == id).unwrap_or_else(|| {
                ids.push(id.to_owned());
                ids.len() - 1
            });
            normal.extend(["ID", &(n + 1).to_string()]);
            rest = &rest[36..];
        } else if rest.get(..20).is_some_and(|t| shape(t, "0000-00-00T00:00:00Z")) {
            normal.push_str("TIME");
            rest = &rest[20..];
        } else if rest.get(..8).is_some_and(|t| shape(t, "00:00:00")) {
            normal.push_str("CLOCK");
            rest = &rest[8..];
        } else {
            normal.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    normal
}

fn shape(text: &str, like: &str) -> bool {
    text.len() == like.len() && text.chars().zip(like.chars()).all(|(c, l)| if l == '0' { c.is_ascii_digit() } else { c == l })
}
