//! `berth workspaces export`: the file is there whole and proven, or not at all.

mod file;

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reqwest::Response;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use self::file::Target;
use crate::cli::client::Client;
use crate::cli::exit::Exit;
use crate::cli::names;
use crate::cli::output::say;
use crate::cli::session::{InAccount, Who};
use crate::cli::stop::Stop;
use crate::cli::table::plain;
use crate::config::Environment;

#[derive(Debug, Args)]
pub struct Export {
    /// The workspace's name or id.
    #[arg(value_name = "NAME|ID")]
    workspace: String,
    /// The format; without it that of the file's ending, or CSV.
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// The file that is written, for you alone to read; `-` is standard output.
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Only these sections, in this order, with commas between them: workspace, environments, `backend_workspaces`, members,
    /// connections, runs, audit.
    #[arg(long, value_name = "SECTIONS")]
    include: Option<String>,
    /// Leaves texts in CSV that begin like a formula as they are; for machines, not for spreadsheets.
    #[arg(long)]
    raw: bool,
    /// Does not hold the digest against the receipt.
    #[arg(long)]
    no_check: bool,
    #[command(flatten)]
    account: InAccount,
    #[command(flatten)]
    who: Who,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Csv,
    Json,
    Ndjson,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::Csv => "CSV",
            Self::Json => "JSON",
            Self::Ndjson => "NDJSON",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Ndjson => "ndjson",
        }
    }
}

/// What came over the wire.
struct Received {
    bytes: u64,
    sha256: String,
}

impl Export {
    pub async fn run(&self, environment: &Environment) -> Result<(), Stop> {
        let client = self.who.client(environment)?;
        let id = names::workspace(&client, &self.workspace, self.account.account.as_deref()).await?;
        let mut target = Target::open(&self.output)?;
        let mut request =
            client.get(format!("/v1/workspaces/{id}/export")).query("format", self.format().word()).maybe("include", self.include.as_ref());
        if self.raw {
            request = request.query("csv_safe", false);
        }
        let response = request.stream().await?;
        let export = response.headers().get("export-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        let received = receive(response, &mut target).await?;
        let mut checked = "not checked";
        if !self.no_check {
            check(&client, export.as_deref(), &received, &target).await?;
            checked = "checked against the receipt";
        }
        target.finish()?;
        say(&format!(
            "Exported {} bytes of {}{}, {checked}: sha256 {}\n",
            received.bytes,
            self.format().name(),
            target.shown(),
            received.sha256
        ));
        Ok(())
    }

    fn format(&self) -> Format {
        self.format.unwrap_or_else(|| match self.output.extension().and_then(|ending| ending.to_str()) {
            Some("json") => Format::Json,
            Some("ndjson" | "jsonl") => Format::Ndjson,
            _ => Format::Csv,
        })
    }
}

/// Takes the bytes as they come, after decompression: it is what the receipt is about.
async fn receive(mut response: Response, target: &mut Target) -> Result<Received, Stop> {
    let bar = bar();
    let (mut digest, mut bytes) = (Sha256::new(), 0_u64);
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                target.write(&chunk)?;
                digest.update(&chunk);
                bytes += chunk.len() as u64;
                bar.set_position(bytes);
            }
            Ok(None) => break,
            Err(_) => {
                bar.finish_and_clear();
                return Err(Stop::new(
                    Exit::Unavailable,
                    format!("the export broke off after {bytes} bytes"),
                    format!("What was received is no export{}. Try again.", target.fate()),
                ));
            }
        }
    }
    bar.finish_and_clear();
    let mut sha256 = String::with_capacity(64);
    for byte in digest.finalize() {
        let _ = write!(sha256, "{byte:02x}");
    }
    Ok(Received { bytes, sha256 })
}

/// Drawn on a terminal only.
fn bar() -> ProgressBar {
    let bar = ProgressBar::no_length();
    if !std::io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    if let Ok(style) = ProgressStyle::with_template("{spinner} exporting {bytes} {bytes_per_sec} {elapsed}") {
        bar.set_style(style);
    }
    bar
}

/// Holds what came against the receipt of what was sent.
async fn check(client: &Client, export: Option<&str>, received: &Received, target: &Target) -> Result<(), Stop> {
    let unproven = |why: &str| {
        let advice = format!("What was received is no export{}. Try again.", target.fate());
        Stop::new(Exit::Unverified, format!("the export is not proven: {why}"), advice)
    };
    let id = export.ok_or_else(|| unproven("the answer names no receipt (Export-Id)"))?;
    let receipt = client.get(format!("/v1/exports/{id}")).send().await?.body;
    if receipt["complete"] != true {
        return Err(unproven("its receipt says that it is not complete"));
    }
    if receipt["bytes"] != json!(received.bytes) || receipt["sha256"] != json!(received.sha256) {
        return Err(unproven(&format!(
            "{} bytes with sha256 {} were received, {} with {} were sent",
            received.bytes,
            received.sha256,
            plain(&receipt["bytes"]),
            plain(&receipt["sha256"])
        )));
    }
    Ok(())
}
