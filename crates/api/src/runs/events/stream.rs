//! One client's stream of a run's events: what it has been told, and when it has to end.

use std::convert::Infallible;
use std::mem;

use bytes::Bytes;
use domain::Caller;
use domain::model::{ProvisioningRun, RunDetail};
use domain::runs::events::{RunEvent, events};
use saga::RunId;
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use crate::State;
use crate::caller::Token;
use crate::runs::RunState;
use crate::streams::Place;
use crate::timestamp::Timestamp;
use crate::watch::Watcher;

/// Milliseconds after which a client that lost its connection is to come back.
const RETRY: &str = "retry: 2000\n\n";
const HEARTBEAT: &str = ":\n\n";

pub(super) struct Stream {
    state: State,
    caller: Caller,
    token: Token,
    /// Given back when the client is gone and this is dropped.
    _place: Place,
    watcher: Watcher,
    /// As last read; whose it is does not change.
    run: Option<ProvisioningRun>,
    version: i64,
    /// The highest sequence number that the client knows of.
    last: i64,
    told: Vec<RunEvent>,
    /// What is to be sent next.
    chunk: String,
    /// Nothing comes after the chunk.
    is_over: bool,
    ends_at: Instant,
    check_at: Instant,
    beat_at: Instant,
}

/// An event on the wire.
#[derive(Serialize)]
struct Told<'a> {
    r#type: &'static str,
    step: Option<&'a str>,
    attempt: Option<u32>,
    state: Option<RunState>,
    at: Timestamp,
    error: Option<ToldError<'a>>,
}

#[derive(Serialize)]
struct ToldError<'a> {
    code: &'a str,
    title: &'a str,
}

/// `id` is left out where the record was told before, and is another by now.
fn write(out: &mut String, event: &RunEvent, id: bool) {
    let told = Told {
        r#type: event.kind,
        step: event.step.as_deref(),
        attempt: event.attempt,
        state: event.state.map(RunState::from),
        at: event.at.into(),
        error: event.error.as_ref().map(|e| ToldError { code: &e.code, title: &e.title }),
    };
    frame(out, None, id.then_some(event.seq), &told);
}

fn frame(out: &mut String, name: Option<&str>, id: Option<i64>, data: &impl Serialize) {
    if let Some(name) = name {
        out.push_str("event: ");
        out.push_str(name);
        out.push('\n');
    }
    if let Some(id) = id {
        out.push_str("id: ");
        out.push_str(&id.to_string());
        out.push('\n');
    }
    out.push_str("data: ");
    // JSON has no line breaks of its own, and these types have nothing that JSON could not say.
    out.push_str(&serde_json::to_string(data).unwrap_or_default());
    out.push_str("\n\n");
}

/// Appends what `now` tells beyond `told`, to a client that knows of records up to `last`.
fn write_news(out: &mut String, told: &[RunEvent], last: i64, now: &[RunEvent]) {
    for event in now {
        let known = told.binary_search_by_key(&event.seq, |e| e.seq).is_ok_and(|i| told[i].is(event));
        if !known {
            write(out, event, event.seq > last);
        }
    }
}

impl Stream {
    pub fn new(state: &State, caller: Caller, token: Token, place: Place, ends_at: Instant, run: RunId, version: i64) -> Self {
        let now = Instant::now();
        Self {
            watcher: state.watch.watch(run, version),
            state: state.clone(),
            caller,
            token,
            _place: place,
            run: None,
            version,
            last: 0,
            told: Vec::new(),
            chunk: RETRY.to_owned(),
            is_over: false,
            ends_at,
            check_at: now + state.streams.pace.recheck,
            beat_at: now + state.streams.pace.heartbeat,
        }
    }

    /// Goes on after `last`. What may have been written over since the client saw it is told again.
    pub fn begin(&mut self, detail: &RunDetail, last: i64) {
        let now = events(&self.state.berth, detail);
        self.told = now.into_iter().filter(|e| e.seq <= last && !e.passing).collect();
        self.last = last;
        self.tell(detail);
    }

    /// The client's id is none of this journal's: it gets the run whole, and goes on from there.
    pub fn reset(&mut self, detail: &RunDetail, body: &impl Serialize) {
        let last = detail.journal.last().map_or(0, |r| r.seq);
        frame(&mut self.chunk, Some("reset"), Some(last), body);
        self.told = events(&self.state.berth, detail);
        self.tell(detail);
    }

    fn tell(&mut self, detail: &RunDetail) {
        let now = events(&self.state.berth, detail);
        write_news(&mut self.chunk, &self.told, self.last, &now);
        self.told = now;
        self.last = self.last.max(detail.journal.last().map_or(0, |r| r.seq));
        self.version = detail.run.version;
        self.is_over = detail.run.ending.is_some();
        self.run = Some(detail.run.clone());
    }

    pub fn chunks(self) -> impl futures::Stream<Item = Result<Bytes, Infallible>> {
        futures::stream::unfold(self, |mut stream| async move { stream.next().await.map(|chunk| (Ok(chunk), stream)) })
    }

    /// The next chunk; `None` at the end, which is a clean one whatever its reason: the client comes back, and is told.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            // A client that reads slowly gets nothing after its time, nor without its right.
            if Instant::now() >= self.ends_at || (Instant::now() >= self.check_at && !self.may_go_on().await) {
                return None;
            }
            if !self.chunk.is_empty() {
                self.beat_at = Instant::now() + self.state.streams.pace.heartbeat;
                return Some(Bytes::from(mem::take(&mut self.chunk)));
            }
            if self.is_over {
                return None;
            }
            tokio::select! {
                biased;
                () = self.state.draining.cancelled() => return None,
                () = self.watcher.newer_than(self.version) => {
                    // An outage ends it; whoever comes back is told of it.
                    let detail = self.watcher.detail(self.version + 1).await.ok().flatten()?;
                    self.tell(&detail);
                }
                () = sleep_until(self.ends_at.min(self.check_at)) => {}
                () = sleep_until(self.beat_at) => self.chunk.push_str(HEARTBEAT),
            }
        }
    }

    /// Whether token and rights still hold; what cannot be asked does not.
    async fn may_go_on(&mut self) -> bool {
        self.check_at = Instant::now() + self.state.streams.pace.recheck;
        let Some(run) = &self.run else { return false };
        self.token.valid_for(&self.state).await.is_some() && domain::runs::still_seen(&self.state.berth, &self.caller, run).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use saga::Time;

    use super::*;

    fn event(seq: i64, at: i64, attempt: u32) -> RunEvent {
        let step = Some("a".to_owned());
        RunEvent {
            seq,
            kind: "step_started",
            step,
            attempt: Some(attempt),
            state: None,
            at: Time::from_micros(at),
            error: None,
            passing: attempt >= 20,
        }
    }

    fn ids(told: &[RunEvent], last: i64, now: &[RunEvent]) -> Vec<(Option<String>, u64)> {
        let mut out = String::new();
        write_news(&mut out, told, last, now);
        let frames = out.split_terminator("\n\n");
        frames
            .map(|frame| {
                let data = frame.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
                let data: serde_json::Value = serde_json::from_str(data).unwrap();
                (frame.lines().find_map(|line| line.strip_prefix("id: ")).map(str::to_owned), data["attempt"].as_u64().unwrap())
            })
            .collect()
    }

    #[test]
    fn what_was_told_is_not_told_again() {
        let journal = [event(1, 1, 1), event(2, 2, 2)];
        assert_eq!(ids(&[], 0, &journal), [(Some("1".to_owned()), 1), (Some("2".to_owned()), 2)]);
        assert_eq!(ids(&journal[..1], 1, &journal), [(Some("2".to_owned()), 2)]);
        assert_eq!(ids(&journal, 2, &journal), []);
    }

    /// Catches a stream that goes by the sequence alone, and falls silent while a step is tried for a day.
    #[test]
    fn a_record_that_was_written_over_is_told_without_an_id() {
        let before = [event(1, 1, 1), event(2, 2, 20), event(3, 3, 20)];
        let after = [event(1, 1, 1), event(2, 9, 21), event(3, 3, 20), event(4, 10, 1)];
        assert_eq!(ids(&before, 3, &after), [(None, 21), (Some("4".to_owned()), 1)]);
    }
}
