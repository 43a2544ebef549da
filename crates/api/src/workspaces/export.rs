//! `GET /v1/workspaces/{id}/export`.

use axum::Extension;
use axum::body::Body;
use axum::extract::State as Extracted;
use axum::response::{IntoResponse as _, Response};
use domain::exports::Wanted;
use domain::model::{ExportFormat, ExportSection};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use utoipa::IntoParams;

use crate::State;
use crate::caller::Authenticated;
use crate::exports::{self, Delivery, ExportDocument, get};
use crate::path::PathId;
use crate::problem::Problem;
use crate::query::Query;
use crate::serve::Hangup;

const EXPORT_ID: HeaderName = HeaderName::from_static("export-id");

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what `export` takes")]
pub struct Options {
    /// The format; without it what `Accept` likes best, or what this installation is set to: CSV, unless configured otherwise.
    #[param(inline, nullable = false, required = false)]
    format: Option<get::ExportFormat>,
    /// The sections, with commas between them, in the order in which they are to come; one that is named again is there once.
    /// Without it all of them.
    #[param(
        nullable = false,
        required = false,
        example = "workspace,runs,audit",
        pattern = "^(workspace|environments|backend_workspaces|members|connections|runs|audit)(,(workspace|environments|backend_workspaces|members|connections|runs|audit))*$"
    )]
    include: Option<String>,
    /// Whether a text in CSV that begins like a formula gets a `'` before it. Machines want `false`.
    #[param(nullable = false, required = false, default = true)]
    csv_safe: Option<bool>,
}

/// Export a workspace
///
/// Everything there is about the workspace, as it is at one moment: itself, its environments, backend workspaces (without
/// secrets), members, connections, runs with their steps, and audit entries. Streamed as fast as it is read. An export that
/// cannot be finished breaks the connection off, so that an answer that ends is whole; the receipt under the `Export-Id`
/// (`getExport`) proves it. `Accept-Encoding` chooses gzip or zstd. Needs `read` on the workspace, and is audited when it
/// starts and when it ends. In NDJSON a line is `{"type", "record"}`, the last one `{"type": "end", "rows", "sha256"}`, and
/// the audit entries hold what proves their chain. `docs/export.md` tells the columns of CSV.
#[utoipa::path(get, path = "/v1/workspaces/{id}/export", operation_id = "exportWorkspace", tag = "Workspaces",
    params(("id" = uuid::Uuid, Path, description = "The workspace's id"), Options),
    responses((status = 200, description = "The export",
            content((ExportDocument = "application/json", example = json!({"environments": [], "connections": [], "end": {"complete": true, "rows": 0}})),
                (String = "text/csv", example = json!("record_type,id,account_id\r\n")),
                (String = "application/x-ndjson", example = json!("{\"type\":\"end\",\"rows\":0,\"sha256\":\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"}\n"))),
            headers(("Export-Id" = String, description = "Names the receipt; not in an answer to HEAD"),
                ("Content-Disposition" = String, description = "A name for the file"),
                ("Content-Encoding" = String, description = "`gzip` or `zstd`, if the answer is compressed"))),
        (status = 404, description = "There is no such workspace, or you may not see it"),
        (status = 423, description = "A freeze blocks the workspace")))]
pub async fn export(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathId(id): PathId,
    mut query: Query,
    method: Method,
    headers: HeaderMap,
    hangup: Option<Extension<Hangup>>,
) -> Result<Response, Problem> {
    let format = query.parsed("format", "one of `csv`, `json`, `ndjson`", ExportFormat::parse);
    let all = || ExportSection::ALL.to_vec();
    let names: Vec<_> = ExportSection::ALL.iter().map(|section| section.as_str()).collect();
    let expected = format!("a list of {}, with commas between them", names.join(", "));
    let include = query.parsed("include", &expected, exports::sections).unwrap_or_else(all);
    let csv_safe = query.parsed("csv_safe", "`true` or `false`", |text| text.parse().ok()).unwrap_or(true);
    query.finish()?;
    let format = format.unwrap_or_else(|| exports::format(&headers, state.exports.default_format));
    let encoding = exports::encoding(&headers);
    if method == Method::HEAD {
        // Nobody will read it: nothing is exported, nothing is on record.
        domain::exports::authorize(&state.berth, &caller, id).await?;
        return Ok((head(format, encoding), Body::empty()).into_response());
    }
    let delivery = Delivery { encoding, patience: state.exports.slow_reader_timeout, hangup: hangup.map(|Extension(hangup)| hangup) };
    let opened = exports::open(state.berth.clone(), caller, id, Wanted { format, include, csv_safe }, delivery).await?;
    let mut head = head(format, encoding);
    head.insert(header::CONTENT_DISPOSITION, exports::disposition(&opened.workspace, opened.export.started_at, format));
    if let Ok(id) = HeaderValue::from_str(&opened.export.id.to_string()) {
        head.insert(EXPORT_ID, id);
    }
    Ok((head, opened.body).into_response())
}

fn head(format: ExportFormat, encoding: exports::Encoding) -> HeaderMap {
    let mut head = HeaderMap::new();
    head.insert(header::CONTENT_TYPE, HeaderValue::from_static(exports::media_type(format)));
    head.insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if let Some(word) = encoding.word() {
        head.insert(header::CONTENT_ENCODING, HeaderValue::from_static(word));
    }
    head
}
