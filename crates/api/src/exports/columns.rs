//! The columns of a CSV export, the same for every file of this format version, and where each kind of record has them.

/// Raised whenever a column is added, moved or means something else.
#[cfg(test)]
pub const FORMAT_VERSION: u32 = 1;

/// What a record is, as `record_type` in CSV and `type` in NDJSON say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Workspace,
    Environment,
    BackendWorkspace,
    Member,
    Run,
    RunStep,
    AuditEntry,
    AuditLink,
}

impl Kind {
    /// In the order of the declaration.
    pub const ALL: [Self; 8] = [
        Self::Workspace,
        Self::Environment,
        Self::BackendWorkspace,
        Self::Member,
        Self::Run,
        Self::RunStep,
        Self::AuditEntry,
        Self::AuditLink,
    ];

    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Workspace => "workspace",
            Self::Environment => "environment",
            Self::BackendWorkspace => "backend_workspace",
            Self::Member => "member",
            Self::Run => "run",
            Self::RunStep => "run_step",
            Self::AuditEntry => "audit_entry",
            Self::AuditLink => "audit_link",
        }
    }

    /// Where the record's columns stand in its JSON: column, path.
    #[must_use]
    pub fn columns(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Workspace => WORKSPACE,
            Self::Environment => ENVIRONMENT,
            Self::BackendWorkspace => BACKEND_WORKSPACE,
            Self::Member => MEMBER,
            Self::Run => RUN,
            Self::RunStep => RUN_STEP,
            Self::AuditEntry => AUDIT_ENTRY,
            // Only NDJSON has them.
            Self::AuditLink => &[],
        }
    }
}

/// How a cell is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// An id, a number, a time, `true` or `false`, or one of a few words: never a formula.
    Plain,
    /// A text that somebody may have chosen; guarded.
    Text,
    /// JSON, which begins like no formula.
    Json,
}

use Cell::{Json, Plain, Text};

/// All columns, in order, behind `record_type`.
pub const COLUMNS: &[(&str, Cell)] = &[
    ("id", Plain),
    ("account_id", Plain),
    ("workspace_id", Plain),
    ("environment_id", Plain),
    ("run_id", Plain),
    ("name", Text),
    ("slug", Text),
    ("status", Plain),
    ("state", Plain),
    ("outcome", Plain),
    ("region", Text),
    ("tenancy_model", Plain),
    ("labels", Json),
    ("termination_protection", Plain),
    ("freezes", Json),
    ("is_default", Plain),
    ("backend", Text),
    ("locator", Text),
    ("principal_type", Plain),
    ("role", Plain),
    ("created_at", Plain),
    ("updated_at", Plain),
    ("deleted_at", Plain),
    ("purge_at", Plain),
    ("saga", Text),
    ("saga_version", Plain),
    ("retry_of", Plain),
    ("retried_by", Plain),
    ("terminal", Plain),
    ("waiting_for", Plain),
    ("paused_by", Json),
    ("steps_done", Plain),
    ("steps_total", Plain),
    ("deadline_at", Plain),
    ("leftovers", Json),
    ("attempts", Plain),
    ("started_at", Plain),
    ("ended_at", Plain),
    ("next_attempt_at", Plain),
    ("error_type", Text),
    ("error_title", Text),
    ("error_detail", Text),
    ("error_step", Text),
    ("error_retryable", Plain),
    ("compensation_state", Plain),
    ("compensation_attempts", Plain),
    ("compensation_started_at", Plain),
    ("compensation_ended_at", Plain),
    ("compensation_next_attempt_at", Plain),
    ("compensation_error_type", Text),
    ("compensation_error_title", Text),
    ("compensation_error_detail", Text),
    ("compensation_error_retryable", Plain),
    ("seq", Plain),
    ("occurred_at", Plain),
    ("actor_type", Plain),
    ("actor_id", Plain),
    ("on_behalf_of_type", Plain),
    ("on_behalf_of_id", Plain),
    ("credential_id", Text),
    ("source_ip", Text),
    ("user_agent", Text),
    ("action", Text),
    ("schema_version", Plain),
    ("targets", Json),
    ("problem_type", Text),
    ("request_id", Text),
    ("trace_id", Text),
    ("step", Text),
    ("before", Json),
    ("after", Json),
    ("reason", Text),
    ("journal_sha256", Plain),
    ("previous", Plain),
    ("hash", Plain),
];

const WORKSPACE: &[(&str, &str)] = &[
    ("id", "id"),
    ("account_id", "account_id"),
    ("name", "name"),
    ("slug", "slug"),
    ("status", "status"),
    ("region", "region"),
    ("tenancy_model", "tenancy_model"),
    ("labels", "labels"),
    ("termination_protection", "termination_protection"),
    ("freezes", "freezes"),
    ("created_at", "created_at"),
    ("updated_at", "updated_at"),
    ("deleted_at", "deleted_at"),
    ("purge_at", "purge_at"),
];

const ENVIRONMENT: &[(&str, &str)] = &[
    ("id", "id"),
    ("workspace_id", "workspace_id"),
    ("name", "name"),
    ("status", "status"),
    ("is_default", "is_default"),
    ("created_at", "created_at"),
];

const BACKEND_WORKSPACE: &[(&str, &str)] = &[
    ("id", "id"),
    ("workspace_id", "workspace_id"),
    ("environment_id", "environment_id"),
    ("backend", "backend"),
    ("locator", "locator"),
    ("created_at", "created_at"),
];

const MEMBER: &[(&str, &str)] =
    &[("id", "id"), ("name", "name"), ("state", "state"), ("principal_type", "type"), ("role", "role"), ("created_at", "created_at")];

const RUN: &[(&str, &str)] = &[
    ("id", "id"),
    ("account_id", "account_id"),
    ("workspace_id", "workspace_id"),
    ("state", "state"),
    ("outcome", "outcome"),
    ("created_at", "created_at"),
    ("updated_at", "updated_at"),
    ("saga", "saga"),
    ("saga_version", "version"),
    ("retry_of", "retry_of"),
    ("retried_by", "retried_by"),
    ("terminal", "terminal"),
    ("waiting_for", "waiting_for"),
    ("paused_by", "paused_by"),
    ("steps_done", "progress/done"),
    ("steps_total", "progress/total"),
    ("deadline_at", "deadline_at"),
    ("leftovers", "leftovers"),
    ("error_type", "reason/type"),
    ("error_title", "reason/title"),
    ("error_detail", "reason/detail"),
    ("error_step", "reason/step"),
    ("error_retryable", "reason/retryable"),
];

/// `run_id` is the id of the run before it.
const RUN_STEP: &[(&str, &str)] = &[
    ("name", "name"),
    ("state", "state"),
    ("attempts", "attempts"),
    ("started_at", "started_at"),
    ("ended_at", "ended_at"),
    ("next_attempt_at", "next_attempt_at"),
    ("error_type", "error/type"),
    ("error_title", "error/title"),
    ("error_detail", "error/detail"),
    ("error_retryable", "error/retryable"),
    ("compensation_state", "compensation/state"),
    ("compensation_attempts", "compensation/attempts"),
    ("compensation_started_at", "compensation/started_at"),
    ("compensation_ended_at", "compensation/ended_at"),
    ("compensation_next_attempt_at", "compensation/next_attempt_at"),
    ("compensation_error_type", "compensation/error/type"),
    ("compensation_error_title", "compensation/error/title"),
    ("compensation_error_detail", "compensation/error/detail"),
    ("compensation_error_retryable", "compensation/error/retryable"),
];

const AUDIT_ENTRY: &[(&str, &str)] = &[
    ("id", "id"),
    ("account_id", "account_id"),
    ("workspace_id", "workspace_id"),
    ("run_id", "run_id"),
    ("outcome", "outcome"),
    ("seq", "seq"),
    ("occurred_at", "occurred_at"),
    ("actor_type", "actor/type"),
    ("actor_id", "actor/id"),
    ("on_behalf_of_type", "actor/on_behalf_of/type"),
    ("on_behalf_of_id", "actor/on_behalf_of/id"),
    ("credential_id", "credential_id"),
    ("source_ip", "source_ip/value"),
    ("user_agent", "user_agent/value"),
    ("action", "action"),
    ("schema_version", "schema_version"),
    ("targets", "targets"),
    ("problem_type", "problem_type"),
    ("request_id", "request_id"),
    ("trace_id", "trace_id"),
    ("step", "step"),
    ("before", "before"),
    ("after", "after"),
    ("reason", "reason/value"),
    ("journal_sha256", "journal_sha256"),
    ("previous", "previous"),
    ("hash", "hash"),
];

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn every_column_is_one_of_the_header_and_is_used() {
        for (at, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, at, "the list is in the order of the declaration");
            for (column, _) in kind.columns() {
                assert!(COLUMNS.iter().any(|(name, _)| name == column), "{}: {column}", kind.word());
            }
        }
        for (name, _) in COLUMNS {
            let users = Kind::ALL.iter().filter(|kind| kind.columns().iter().any(|(column, _)| column == name)).count();
            assert_eq!(COLUMNS.iter().filter(|(other, _)| other == name).count(), 1, "{name}");
            assert!(users > 0, "{name} is empty in every record");
        }
    }

    /// Catches a field that a record has gained and CSV would leave out in silence. A new column is a new format version.
    #[test]
    fn every_field_of_a_record_has_a_column() {
        use crate::audit::AuditEntry;
        use crate::exports::records::ExportedBackendWorkspace;
        use crate::members::Member;
        use crate::runs::{Step, get::RunDetail};
        use crate::workspaces::{Workspace, environments::Environment};
        use utoipa::PartialSchema as _;
        let records = [
            (Kind::Workspace, Workspace::schema()),
            (Kind::Environment, Environment::schema()),
            (Kind::BackendWorkspace, ExportedBackendWorkspace::schema()),
            (Kind::Member, Member::schema()),
            (Kind::Run, RunDetail::schema()),
            (Kind::RunStep, Step::schema()),
            (Kind::AuditEntry, AuditEntry::schema()),
        ];
        for (kind, schema) in records {
            let schema = serde_json::to_value(schema).unwrap();
            for field in schema["properties"].as_object().unwrap().keys() {
                // Its steps are records of their own.
                let is_apart = kind == Kind::Run && field == "steps";
                let has_column = kind.columns().iter().any(|(_, path)| path.split('/').next() == Some(field));
                assert!(is_apart || has_column, "{}: `{field}` has no column", kind.word());
            }
        }
    }

    /// The table in the documentation is what the code does.
    #[test]
    fn the_documented_columns_are_those_of_the_code() {
        let mut table = format!("Format version {FORMAT_VERSION}.\n\n| column | holds | in records |\n|---|---|---|\n");
        table.push_str("| `record_type` | word | all |\n");
        for (name, cell) in COLUMNS {
            let users: Vec<_> = Kind::ALL
                .iter()
                .filter(|kind| kind.columns().iter().any(|(column, _)| column == name) || (**kind == Kind::RunStep && *name == "run_id"))
                .map(|kind| format!("`{}`", kind.word()))
                .collect();
            let holds = match cell {
                Plain => "plain",
                Text => "text",
                Json => "JSON",
            };
            let _ = writeln!(table, "| `{name}` | {holds} | {} |", users.join(", "));
        }
        let page = include_str!("../../../../docs/export.md");
        assert!(page.contains(&table), "docs/export.md does not hold this table:\n\n{table}");
    }
}
