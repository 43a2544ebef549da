//! Audit entries on the wire, and what their lists take.

use axum::response::Response;
use domain::audit::read::Found;
use domain::ports::{ActionFilter, AuditFilter, AuditPage};
use saga::RunId;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::cursor::Key;
use crate::me::PrincipalType;
use crate::pages;
use crate::problem::Problem;
use crate::query::{Listing, Query};
use crate::timestamp::Timestamp;

const LIMIT_DEFAULT: u32 = 50;
/// The longest action or outcome that is looked for.
const WORD_MAX: usize = 100;

/// An audit entry, as it stands in its account's chain. `hash` is SHA-256 over `berth.audit.v1\n`, the account's id (16 bytes),
/// `seq` (8 bytes, big-endian), `previous` (32 bytes), and the SHA-256 (32 bytes) of the entry's RFC 8785 form without
/// `previous` and `hash`, each personal value replaced by its `hmac`. `berth audit verify` proves a chain.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents `domain::audit::Entry`, which goes out as it is so that its hash can be checked")]
pub struct AuditEntry {
    id: Uuid,
    /// Whose chain it stands in; the nil UUID is the platform's.
    account_id: Uuid,
    /// The workspace that it is about, whatever has become of it.
    #[schema(required)]
    workspace_id: Option<Uuid>,
    /// Counts an account's entries from 1, without gaps, in the order in which they were committed.
    seq: u64,
    /// Never before the time of the entry before it.
    #[schema(value_type = String, format = DateTime)]
    occurred_at: Timestamp,
    /// Null for what Berth does by itself, such as ending a run.
    #[schema(required)]
    actor: Option<AuditActor>,
    /// The id of the token that was used.
    #[schema(required)]
    credential_id: Option<String>,
    #[schema(required)]
    source_ip: Option<AuditPersonal>,
    #[schema(required)]
    user_agent: Option<AuditPersonal>,
    /// What was done, or in a denial, what was tried.
    #[schema(examples("workspace.create"))]
    action: String,
    schema_version: u32,
    /// What it was done to.
    targets: Vec<AuditTarget>,
    /// `accepted` where a run does the rest, `succeeded`, `denied`; of a run's end `succeeded`, `failed`, `cancelled` or `abandoned`.
    #[schema(examples("accepted"))]
    outcome: String,
    /// Of a denial: the `type` of the problem that it was answered with.
    #[schema(required)]
    problem_type: Option<String>,
    #[schema(required)]
    request_id: Option<String>,
    #[schema(required)]
    trace_id: Option<String>,
    #[schema(required)]
    run_id: Option<Uuid>,
    #[schema(required)]
    step: Option<String>,
    /// What it was before; any JSON.
    #[schema(required, value_type = Value)]
    before: Option<Value>,
    /// What it is now; any JSON. Of denials that were counted: `count`, and the times of the first and the last, `from` and `to`.
    #[schema(required, value_type = Value)]
    after: Option<Value>,
    /// What the caller gave as the reason.
    #[schema(required)]
    reason: Option<AuditPersonal>,
    /// SHA-256 over a run's journal, in the entry that closes it.
    #[schema(required)]
    journal_sha256: Option<String>,
    /// The hash of the entry before; 64 zeros for the first.
    previous: String,
    hash: String,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "documents `domain::audit::Actor`")]
pub struct AuditActor {
    #[schema(inline)]
    r#type: PrincipalType,
    id: Uuid,
    #[schema(required)]
    on_behalf_of: Option<crate::me::PrincipalBody>,
}

/// A value about a person. Once erased, `value` and `key` are null; `hmac` stays, and with it every hash.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents `domain::audit::Personal`")]
pub struct AuditPersonal {
    #[schema(required)]
    value: Option<String>,
    #[schema(required)]
    key: Option<String>,
    hmac: String,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "documents `domain::audit::Target`")]
pub struct AuditTarget {
    #[schema(examples("workspace"))]
    r#type: String,
    id: Uuid,
}

/// What the audit log can be asked for; all that is given has to hold.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what `Asked` takes")]
pub struct Filters {
    /// Only what this user or service account did or tried.
    #[param(nullable = false, required = false)]
    actor: Option<Uuid>,
    /// Only this action, or with `.*` at its end all that begin so: `run.*`.
    #[param(
        min_length = 1,
        max_length = 100,
        pattern = r"^[a-z_]+(\.[a-z_]+)*(\.\*)?$",
        nullable = false,
        required = false,
        example = "run.*"
    )]
    action: Option<String>,
    /// Only entries with this outcome.
    #[param(min_length = 1, max_length = 100, pattern = r"^[a-z_]+$", nullable = false, required = false, example = "denied")]
    outcome: Option<String>,
    /// Only entries that name this among their targets.
    #[param(nullable = false, required = false)]
    target: Option<Uuid>,
    /// Only entries about this run.
    #[param(nullable = false, required = false)]
    run_id: Option<Uuid>,
    /// Only entries written after this time.
    #[param(value_type = String, format = DateTime, nullable = false, required = false)]
    occurred_after: Option<String>,
    /// Only entries written before this time.
    #[param(value_type = String, format = DateTime, nullable = false, required = false)]
    occurred_before: Option<String>,
    /// `desc`: newest first. `asc`: in the order of the chain.
    #[param(inline, default = "desc", nullable = false, required = false)]
    order: Option<Order>,
    /// With `order=asc`: only entries with a greater `seq`. Who follows the log keeps the last `seq` seen and asks from there: no
    /// entry is ever put in before it.
    #[param(minimum = 0, nullable = false, required = false)]
    after_seq: Option<u64>,
    /// The most entries of a page.
    #[param(minimum = 1, maximum = 1000, default = 50, nullable = false, required = false, example = 50)]
    limit: Option<u32>,
    /// Where the page starts; taken from the `Link` header of the page before, and good for the same filters only.
    #[param(nullable = false, required = false)]
    cursor: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents what `Asked` takes")]
pub enum Order {
    Asc,
    Desc,
}

/// What a request asks of the log.
pub struct Asked {
    pub filter: AuditFilter,
    pub page: AuditPage,
    listing: Listing,
}

impl Asked {
    /// # Errors
    /// Everything that is wrong with the query.
    pub fn read(mut query: Query) -> Result<Self, Problem> {
        let filter = AuditFilter {
            actor: query.id("actor"),
            action: query.parsed("action", "an action such as `workspace.create`, or the beginning of some such as `run.*`", action),
            outcome: query.parsed("outcome", "a word such as `denied`", |text| is_word(text).then(|| text.to_owned())),
            target: query.id("target"),
            run: query.id("run_id").map(RunId),
            occurred_after: query.time("occurred_after"),
            occurred_before: query.time("occurred_before"),
        };
        let order = |text: &str| match text {
            "asc" => Some(true),
            "desc" => Some(false),
            _ => None,
        };
        let oldest_first = query.parsed("order", "`asc` or `desc`", order).unwrap_or(false);
        let expected = if oldest_first { "a number from 0 on" } else { "taken without `order=asc`" };
        let seq = |text: &str| (oldest_first && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten();
        let after = query.parsed("after_seq", expected, seq);
        let limit = query.limit(LIMIT_DEFAULT);
        let cursor = query.after_seq();
        let page = if oldest_first {
            AuditPage { above: cursor.or(after), below: None, oldest_first, limit }
        } else {
            AuditPage { above: None, below: cursor, oldest_first, limit }
        };
        Ok(Self { filter, page, listing: query.finish()? })
    }

    pub fn answer(&self, found: Found) -> Response {
        let next = found.entries.last().filter(|_| found.is_more).map(|entry| Key::Seq(entry.seq));
        pages::items(found.entries, next, &self.listing)
    }
}

fn is_word(text: &str) -> bool {
    (1..=WORD_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

fn action(text: &str) -> Option<ActionFilter> {
    let (words, filter) = match text.strip_suffix(".*") {
        Some(words) => (words, ActionFilter::Prefix(format!("{words}."))),
        None => (text, ActionFilter::Exactly(text.to_owned())),
    };
    (text.len() <= WORD_MAX && words.split('.').all(is_word)).then_some(filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_whole_or_the_beginning_of_some() {
        assert_eq!(action("run.cancel"), Some(ActionFilter::Exactly("run.cancel".to_owned())));
        assert_eq!(action("run.*"), Some(ActionFilter::Prefix("run.".to_owned())));
        for wrong in ["", "*", ".*", "run.", "run*", "Run.cancel", "run..cancel", "run.*.*", "run%", &"a".repeat(101)] {
            assert_eq!(action(wrong), None, "{wrong}");
        }
    }
}
