//! `GET /v1/provisioning-runs/{id}/events`: a run's journal as it grows, as server-sent events.
//!
//! An event's id is its record's place in the journal. A record that is written over in place is told again without an id,
//! so that the id a client comes back with never falls.

mod stream;

use axum::body::Body;
use axum::extract::State as Extracted;
use axum::response::{IntoResponse as _, Response};
use domain::Invalid;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use saga::RunId;
use tokio::time::Instant;

use super::get::RunDetail;
use crate::State;
use crate::caller::{Authenticated, Token};
use crate::path::PathId;
use crate::problem::{Code, Problem};
use crate::query::NoQuery;
use stream::Stream;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// Digits that are certain to fit.
const DIGITS_MAX: usize = 18;
const RETRY_AFTER_SECONDS: u32 = 5;

fn last_event_id(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let mut values = headers.get_all(LAST_EVENT_ID).iter();
    let refuse =
        || Problem::invalid_request(vec![Invalid::new("Last-Event-ID", "is not the id of an event, a number of at most 18 digits")]);
    let (Some(value), None) = (values.next(), values.next()) else {
        return if headers.contains_key(LAST_EVENT_ID) { Err(refuse()) } else { Ok(None) };
    };
    let text = value.to_str().map_err(|_| refuse())?;
    let right = (1..=DIGITS_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if right { text.parse().map(Some).map_err(|_| refuse()) } else { Err(refuse()) }
}

/// Follow a run
///
/// A stream of server-sent events, one for each record of the run's journal: `data` is a JSON object `{type, step, attempt, state, at,
/// error}`, where `state` is the run's after the event, `error` is `{code, title}`, and what an event has not is null. `id` counts the
/// records; come back with `Last-Event-ID` to go on after it. Where that id is not in the journal, one event of type `reset` comes first,
/// its `data` the run as `getProvisioningRun` answers it. A step that is tried again and again has its last records written over: such an
/// event comes without an `id`. The stream ends after the event `ended`, and 204 tells who comes back that there is nothing more. It also
/// ends when the token expires or the right is gone, when the server stops, and after half an hour. Comments keep it alive. Seen by those
/// who may read the run.
#[utoipa::path(get, path = "/v1/provisioning-runs/{id}/events", operation_id = "followProvisioningRun", tag = "Provisioning runs",
    params(("id" = Uuid, Path, description = "The run's id"),
        ("Last-Event-ID" = Option<String>, Header, nullable = false, description = "The id of the last event that the client has",
            pattern = "^[0-9]{1,18}$", example = json!("7"))),
    responses((status = 200, description = "The events", body = Object, content_type = "text/event-stream",
            headers(("X-Accel-Buffering" = String, description = "`no`: proxies are to pass events on at once")),
            example = json!({"id": "3", "event": "message",
                "data": "{\"type\":\"step_succeeded\",\"step\":\"create-environments\",\"attempt\":1,\"state\":\"running\",\"at\":\"2026-11-22T19:30:00.143456Z\",\"error\":null}"})),
        (status = 204, description = "The run has ended, and the client has seen all of it"),
        (status = 404, description = "There is no such run, or you may not see it")))]
pub async fn events(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathId(id): PathId,
    _: NoQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let after = last_event_id(&headers)?;
    let token = Token::of(&headers)?;
    let view = domain::runs::follow(&state.berth, &caller, RunId(id)).await?;
    let (first, last) = (view.detail.journal.first().map_or(1, |r| r.seq), view.detail.journal.last().map_or(0, |r| r.seq));
    if after == Some(last) && view.detail.run.ending.is_some() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let valid_for = token.valid_for(&state).await.unwrap_or_default();
    let Some(place) = state.streams.enter() else {
        return Err(Problem::of(Code::TooManyStreams).retry_after(RETRY_AFTER_SECONDS));
    };
    let is_kept = after.is_none_or(|id| (first - 1..=last).contains(&id));
    let ends_at = Instant::now() + valid_for.min(state.streams.pace.longest);
    let mut stream = Stream::new(&state, caller, token, place, ends_at, RunId(id), view.detail.run.version);
    if is_kept {
        stream.begin(&view.detail, after.unwrap_or(0));
    } else {
        stream.reset(&view.detail, &RunDetail::from(view.clone()));
    }
    let headers =
        [(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")), (ACCEL_BUFFERING, HeaderValue::from_static("no"))];
    Ok((headers, Body::from_stream(stream.chunks())).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_last_event_id_is_one_number() {
        let of =
            |values: &[&'static str]| last_event_id(&values.iter().map(|v| (LAST_EVENT_ID, HeaderValue::from_static(v))).collect()).ok();
        assert_eq!(of(&[]), Some(None));
        assert_eq!(of(&["0"]), Some(Some(0)));
        assert_eq!(of(&["999999999999999999"]), Some(Some(999_999_999_999_999_999)));
        for bad in [&[""][..], &["x"], &["-1"], &["+1"], &["1.0"], &["1000000000000000000"], &["1", "2"], &["1,2"]] {
            assert_eq!(of(bad), None, "{bad:?}");
        }
    }
}
