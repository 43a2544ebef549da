//! How a command ended, as a number that scripts can tell apart: the one table of exit codes.

use std::fmt::Write as _;
use std::process::ExitCode;

/// The exit codes; a number never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    Denied = 4,
    Conflict = 5,
    Unavailable = 6,
    RunFailed = 7,
    Unverified = 8,
    Interrupted = 130,
}

const TABLE: &[(Exit, &str)] = &[
    (Exit::Done, "done"),
    (Exit::Failed, "refused or failed for another reason; with several runs, one of them was"),
    (Exit::Usage, "the command line is wrong, or something that it needs is not set"),
    (Exit::NotFound, "there is no such thing, or you may not see it"),
    (Exit::Denied, "no valid token, or you may not do this"),
    (Exit::Conflict, "the state does not allow it: frozen, taken, ambiguous, changed meanwhile, or another run is at work"),
    (Exit::Unavailable, "Berth, or a part of it, cannot be reached; try again"),
    (Exit::RunFailed, "a watched run failed, was cancelled or abandoned, or did not end in the time given"),
    (Exit::Unverified, "a check failed: an export is not what its receipt says, an audit chain is broken, or permissions have drifted"),
    (Exit::Interrupted, "interrupted: Ctrl-C, SIGTERM, or the terminal was closed"),
];

impl Exit {
    /// What a refusal by the server comes to.
    pub fn of_status(status: u16) -> Self {
        match status {
            401 | 403 => Self::Denied,
            404 | 410 => Self::NotFound,
            409 | 412 | 423 | 428 => Self::Conflict,
            429 | 502..=504 => Self::Unavailable,
            _ => Self::Failed,
        }
    }

    /// A word for programs that read problems as JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::NotFound => "not_found",
            Self::Denied => "denied",
            Self::Conflict => "conflict",
            Self::Unavailable => "unreachable",
            Self::RunFailed => "run_failed",
            Self::Unverified => "unverified",
            Self::Interrupted => "interrupted",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What stands below `--help`: who asks, and the table.
pub fn help() -> String {
    let mut text = "Who you are and where Berth is: BERTH_URL and BERTH_TOKEN, or --profile NAME of ~/.config/berth/config.toml. BERTH_ACCOUNT_ID is the\n\
        account that names are looked up in. For `berth dev`, `. berth-data/dev.env` sets all three.\n\nExit codes:\n"
        .to_owned();
    for (exit, about) in TABLE {
        let _ = writeln!(text, "  {:>3}  {about}", *exit as u8);
    }
    text
}

/// The table, for the reference.
pub fn markdown() -> String {
    let mut text = "| code | |\n|---|---|\n".to_owned();
    for (exit, about) in TABLE {
        let _ = writeln!(text, "| {} | {about} |", *exit as u8);
    }
    text
}
