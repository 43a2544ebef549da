//! A real `OpenID` Connect provider for tests, on a free port of this machine. It ends with the test process, whatever happens to that,
//! because it reads from a pipe whose other end is held here. No test is skipped where it is missing: it fails.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tools/oidc-provider-9.13.3");
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/oidc/provider.mjs");

/// How often a provider was asked for what it publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    pub configuration: u64,
    pub keys: u64,
}

/// A running provider, whose clients are `ada` and `bob`. Dropping it ends it.
pub struct OidcProvider {
    pub issuer: String,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl OidcProvider {
    /// Starts one with a key of each algorithm.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start() -> Self {
        assert!(Path::new(FOLDER).exists(), "the provider is missing: scripts/tools.sh oidc-provider installs it");
        let mut child = Command::new("node")
            .args(["--no-warnings", PROGRAM, FOLDER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Node.js can be started");
        let input = child.stdin.take().expect("its input is piped");
        let output = BufReader::new(child.stdout.take().expect("its output is piped"));
        let mut provider = Self { issuer: String::new(), child, input, output };
        provider.issuer = provider.line();
        provider
    }

    fn line(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).is_ok_and(|n| n > 0), "the provider has ended");
            let line = line.trim();
            // It warns on its output of settings that are for tests.
            if line.starts_with("http") || line.starts_with('{') || ["rotate", "withdraw", "away", "back"].contains(&line) {
                return line.to_owned();
            }
        }
    }

    fn order(&mut self, order: &str) -> String {
        writeln!(self.input, "{order}").expect("the provider runs");
        self.line()
    }

    /// Makes new keys and signs with them; the old ones stay published.
    pub fn rotate(&mut self) {
        self.order("rotate");
    }

    /// Publishes the newest keys only.
    pub fn withdraw(&mut self) {
        self.order("withdraw");
    }

    /// Ends every connection without an answer from now on, or no longer.
    pub fn be_away(&mut self, away: bool) {
        self.order(if away { "away" } else { "back" });
    }

    /// # Panics
    /// If it answers nonsense.
    pub fn asked(&mut self) -> Asked {
        let asked: Value = serde_json::from_str(&self.order("asked")).expect("it answers in JSON");
        let count = |name: &str| asked[name].as_u64().expect("a number");
        Asked { configuration: count("configuration"), keys: count("keys") }
    }
}

impl Drop for OidcProvider {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
