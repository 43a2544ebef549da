//! `berth audit verify`: whether the record of who did what was changed, of a file without any server.
//!
//! A file is read twice and never held: once to learn whose chain it is, once to prove it.

use std::path::{Path, PathBuf};

use clap::Args;
use domain::audit::{FirstBad, Place, Verified, Verifier, account_in};
use serde_json::Value;
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use uuid::Uuid;

use crate::cli::client::Client;
use crate::cli::document::Document;
use crate::cli::exit::Exit;
use crate::cli::names;
use crate::cli::output::Output;
use crate::cli::session::Ask;
use crate::cli::stop::Stop;
use crate::cli::table::{card, plain};
use crate::config::Environment;

const PAGE: usize = 1000;
/// No entry comes near it.
const LINE_MAX: u64 = 16 * 1024 * 1024;
/// Accounts that a damaged file may name.
const ACCOUNTS_MAX: usize = 8;

#[derive(Debug, Args)]
pub struct Verify {
    /// An export in NDJSON, or entries one a line in the order of their `seq`; needs no server.
    #[arg(value_name = "FILE", conflicts_with_all = ["account", "workspace"])]
    file: Option<PathBuf>,
    /// The chain of this account, by name or id; without it `BERTH_ACCOUNT_ID`, or the only account that you have.
    #[arg(long, value_name = "NAME|ID")]
    account: Option<String>,
    /// What this workspace's export tells of its account's chain.
    #[arg(long, value_name = "NAME|ID")]
    workspace: Option<String>,
    /// Demands that the chain holds this entry, as an earlier `verify` told it: that nothing up to it was rewritten or cut off.
    #[arg(long, value_name = "SEQ:HASH", value_parser = place)]
    expect: Option<Place>,
    /// The entry that the first one here comes after; without it the first one is the chain's first.
    #[arg(long, value_name = "SEQ:HASH", value_parser = place)]
    after: Option<Place>,
    #[command(flatten)]
    ask: Ask,
}

fn place(text: &str) -> Result<Place, &'static str> {
    text.parse()
}

/// Why a chain is not proven.
enum Bad {
    Chain(FirstBad),
    Stop(Stop),
}

impl From<FirstBad> for Bad {
    fn from(bad: FirstBad) -> Self {
        Self::Chain(bad)
    }
}

impl From<Stop> for Bad {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl Verify {
    pub async fn run(&self, environment: &Environment) -> Result<(), Stop> {
        let proven = match (&self.file, &self.workspace) {
            (Some(file), _) => self.file(file).await,
            (None, Some(workspace)) => self.export(&self.ask.who.client(environment)?, workspace).await,
            (None, None) => self.chain(&self.ask.who.client(environment)?).await,
        };
        match proven {
            Ok(verified) => self.ask.output.item(&told(&verified), shown),
            Err(Bad::Stop(stop)) => Err(stop),
            Err(Bad::Chain(bad)) => Err(self.broken(&bad)),
        }
    }

    fn verifier(&self) -> Verifier {
        let verifier = self.after.map_or_else(Verifier::new, Verifier::after);
        self.expect.map_or(verifier.clone(), |place| verifier.expecting(place))
    }

    async fn file(&self, path: &Path) -> Result<Verified, Bad> {
        let mut accounts: Vec<Uuid> = Vec::new();
        let mut lines = Lines::open(path).await?;
        let mut is_first = true;
        while let Some(line) = lines.next().await? {
            if std::mem::take(&mut is_first) && is_other_format(line) {
                let title = format!("{} is neither an export in NDJSON nor a list of entries", path.display());
                return Err(Stop::usage(title, "Export it anew: `berth workspaces export NAME --format ndjson --output FILE`.").into());
            }
            if let Some(account) = account_in(line).filter(|account| accounts.len() < ACCOUNTS_MAX && !accounts.contains(account)) {
                accounts.push(account);
            }
        }
        let mut verifier = self.verifier().among(accounts);
        let mut lines = Lines::open(path).await?;
        while let Some(line) = lines.next().await? {
            verifier.line(line)?;
        }
        whole(verifier)
    }

    async fn chain(&self, client: &Client) -> Result<Verified, Bad> {
        let account = names::account(client, self.account.as_deref()).await?;
        let mut verifier = self.verifier();
        let mut last = self.after.map_or(0, |place| place.seq);
        loop {
            let request = client.get(format!("/v1/accounts/{account}/audit")).query("order", "asc").query("limit", PAGE);
            let page = request.query("after_seq", last).send().await?.body;
            let entries = page.items();
            for entry in &entries {
                verifier.line(entry.text().as_bytes())?;
            }
            match entries.last().and_then(|entry| entry["seq"].as_u64()) {
                Some(seq) if entries.len() == PAGE => last = seq,
                _ => return Ok(verifier.finish()?),
            }
        }
    }

    async fn export(&self, client: &Client, workspace: &str) -> Result<Verified, Bad> {
        let id = names::workspace(client, workspace, self.account.as_deref()).await?;
        let found = client.get(format!("/v1/workspaces/{id}")).send().await?.body;
        let accounts = found["account_id"].as_str().and_then(|id| id.parse().ok()).into_iter().collect();
        let mut verifier = self.verifier().among(accounts);
        let request = client.get(format!("/v1/workspaces/{id}/export")).query("format", "ndjson").query("include", "audit");
        let mut response = request.stream().await?;
        let broke = |e: reqwest::Error| Stop::new(Exit::Unavailable, format!("the export broke off: {e}"), "Try again in a moment.");
        let mut rest: Vec<u8> = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(broke)? {
            rest.extend_from_slice(&chunk);
            let mut begin = 0;
            while let Some(length) = rest[begin..].iter().position(|byte| *byte == b'\n') {
                verifier.line(&rest[begin..begin + length])?;
                begin += length + 1;
            }
            rest.drain(..begin);
        }
        whole(verifier)
    }

    /// For programs the verdict is the answer; people are told what it means.
    fn broken(&self, bad: &FirstBad) -> Stop {
        let printed = match self.ask.output {
            Output::Table => {
                let detail = "Entries before it are proven. From it on, this is not what was written; compare it with an earlier export.";
                return Stop::new(Exit::Unverified, format!("the chain is broken at entry {}: {}", bad.seq, bad.why), detail);
            }
            output => {
                let verdict = [("verified", false.into()), ("first_bad_seq", bad.seq.into()), ("why", bad.why.as_ref().into())];
                output.item(&verdict.into(), |_| String::new())
            }
        };
        printed.err().unwrap_or(Stop::Told(Exit::Unverified))
    }
}

/// Whether a file that begins with this line is an export in CSV or JSON.
fn is_other_format(line: &[u8]) -> bool {
    line.starts_with(b"record_type,") || line.starts_with(b"{") && line.ends_with(b"[")
}

/// An export that has no end was cut off, whatever its entries say.
fn whole(chain: Verifier) -> Result<Verified, Bad> {
    let due = chain.due().unwrap_or_default();
    let verified = chain.finish()?;
    if verified.is_export && !verified.is_ended {
        return Err(FirstBad { seq: due, why: "the export was cut off here: its last line is missing".into() }.into());
    }
    Ok(verified)
}

fn told(verified: &Verified) -> Document {
    Document::from([
        ("verified", true.into()),
        ("entries", verified.entries.into()),
        ("links", verified.links.into()),
        ("first_seq", verified.first.into()),
        ("last_seq", verified.last.map(|place| place.seq).into()),
        ("place", verified.last.map(|place| place.to_string()).into()),
    ])
}

fn shown(verdict: &Value) -> String {
    if verdict["place"].is_null() {
        return "There are no entries.\n".to_owned();
    }
    let links = if verdict["links"] == 0 { String::new() } else { format!(", {} of them by their links only", verdict["links"]) };
    let count = verdict["entries"].as_u64().unwrap_or_default() + verdict["links"].as_u64().unwrap_or_default();
    let range = format!("{count}, from {} to {}{links}", verdict["first_seq"], verdict["last_seq"]);
    let place = plain(&verdict["place"]);
    card([("Entries", range), ("Last", place)])
        + "Every entry is as it was written, and none is missing between them. Keep the last one's place: `--expect` with it proves\n\
           later that nothing up to it was rewritten or cut off.\n"
}

/// A file's lines, one at a time.
struct Lines {
    reader: BufReader<File>,
    line: Vec<u8>,
    path: PathBuf,
}

impl Lines {
    async fn open(path: &Path) -> Result<Self, Stop> {
        let file = File::open(path).await.map_err(|e| unreadable(path, &e))?;
        Ok(Self { reader: BufReader::with_capacity(1 << 20, file), line: Vec::new(), path: path.to_owned() })
    }

    /// The next line that is not empty, without its end.
    async fn next(&mut self) -> Result<Option<&[u8]>, Stop> {
        loop {
            self.line.clear();
            let read = (&mut self.reader).take(LINE_MAX).read_until(b'\n', &mut self.line).await.map_err(|e| unreadable(&self.path, &e))?;
            if read == 0 {
                return Ok(None);
            }
            let length = self.line.trim_ascii_end().len();
            self.line.truncate(length);
            if length > 0 {
                return Ok(Some(&self.line));
            }
        }
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Stop {
    Stop::new(Exit::Failed, format!("cannot read {}: {error}", path.display()), "Name a file that you may read.")
}
