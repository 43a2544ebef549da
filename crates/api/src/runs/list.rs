//! `GET /v1/provisioning-runs`.

use axum::extract::State as Extracted;
use axum::response::Response;
use domain::ports::{Page, RunFilter};
use saga::ports::State as RunWord;
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error as WordError, StrDeserializer};
use utoipa::IntoParams;

use super::{Run, RunState};
use crate::State;
use crate::caller::Authenticated;
use crate::pages;
use crate::problem::Problem;
use crate::query::Query;

/// The filters of runs.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what `list` takes")]
pub struct Filters {
    /// Only runs of this account.
    #[param(nullable = false, required = false)]
    account_id: Option<uuid::Uuid>,
    /// Only runs of this workspace.
    #[param(nullable = false, required = false)]
    workspace_id: Option<uuid::Uuid>,
    /// Only runs in this state.
    #[param(inline, nullable = false, required = false)]
    state: Option<RunState>,
}

fn state(text: &str) -> Option<RunWord> {
    let words: StrDeserializer<'_, WordError> = text.into_deserializer();
    RunWord::deserialize(words).ok()
}

/// Provisioning runs
///
/// Newest first, of the workspaces and accounts that the caller may read. The steps are shown by the run itself.
#[utoipa::path(get, path = "/v1/provisioning-runs", operation_id = "listProvisioningRuns", tag = "Provisioning runs",
    params(pages::Paging, Filters),
    responses((status = 200, description = "A page of runs", body = [Run], headers(("Link" = String, description = "Leads to the next page, if there is one")),
            example = json!([])),
        (status = 403, description = "`read_workspaces` on the account of the filter is missing"),
        (status = 404, description = "There is no such account or workspace, or you may not see it"),
        (status = 423, description = "A freeze blocks the workspace, and you do not administer it")))]
pub async fn list(Extracted(app): Extracted<State>, Authenticated(caller): Authenticated, mut query: Query) -> Result<Response, Problem> {
    let page = Page { limit: query.limit(pages::LIMIT_DEFAULT), after: query.after_id() };
    let filter = RunFilter {
        account_id: query.id("account_id"),
        workspace_id: query.id("workspace_id"),
        state: query.parsed("state", "a state of a run", state),
    };
    let listing = query.finish()?;
    let listed = domain::runs::list(&app.berth, &caller, &filter, page).await?;
    Ok(pages::answer::<_, Run>(listed, &listing))
}
