//! What a watcher is told of a journal.

use std::collections::BTreeMap;

use domain::model::RunDetail;
use domain::runs::events::{RunEvent, events};
use saga::ports::State;
use saga::{Event, Fault, Record, RunState, Time, Verb};
use serde_json::{Value, json};

use crate::runs::run;
use crate::world::World;

/// A journal as the engine writes it: records that are written over are gone.
struct Journal {
    detail: RunDetail,
    state: RunState,
    definition: saga::Definition,
    table: BTreeMap<i64, Record>,
    now: i64,
}

impl Journal {
    fn new(world: &std::sync::Arc<World>) -> Self {
        let detail = run(world, "create-account", None, json!({}), Vec::new());
        let definition = (*world.berth().sagas.get(&detail.run.definition).unwrap().definition).clone();
        let state = RunState::new(&definition, detail.run.created_at, detail.run.on_failure);
        Self { detail, state, definition, table: BTreeMap::new(), now: 0 }
    }

    fn write(&mut self, event: Event) {
        self.now += 1;
        let record = self.state.journal(&self.definition, event, Time::from_micros(self.now));
        self.table.insert(record.seq, record);
        self.detail.journal = self.table.values().cloned().collect();
    }

    fn fail(&mut self, attempt: u32) {
        self.start(attempt);
        let step = self.definition.steps[0].name.clone();
        let fault = Fault::new("away", "It is away").detail("host 10.0.0.7 said so").retryable();
        self.write(Event::StepFailed { step, attempt, fault, retry_at: Some(Time::from_micros(self.now + 1)) });
    }

    fn start(&mut self, attempt: u32) {
        let step = self.definition.steps[0].name.clone();
        self.write(Event::StepStarted { step, attempt, forgiven: 0, unsure: false });
    }
}

#[test]
fn an_event_tells_what_happened_and_nothing_that_is_not_for_everybody() {
    let world = World::new();
    let mut journal = Journal::new(&world);
    journal.write(Event::RunStarted);
    journal.fail(1);
    journal.write(Event::Requested {
        verb: Verb::Cancel,
        step: None,
        actor: json!({"id": "somebody"}),
        comment: Some("private".to_owned()),
    });
    journal.start(2);
    let step = journal.definition.steps[0].name.clone();
    journal.write(Event::StepSucceeded { step: step.clone(), attempt: 2, output: json!({"locator": "secret place"}) });
    let told = events(&world.berth(), &journal.detail);
    let kinds: Vec<(&str, Option<u32>, Option<State>)> = told.iter().map(|e| (e.kind, e.attempt, e.state)).collect();
    assert_eq!(
        kinds,
        [
            ("run_started", None, Some(State::Pending)),
            ("step_started", Some(1), Some(State::Running)),
            ("step_failed", Some(1), Some(State::Waiting)),
            ("requested", None, Some(State::Waiting)),
            ("step_started", Some(2), Some(State::Running)),
            ("step_succeeded", Some(2), Some(State::Pending)),
        ]
    );
    assert_eq!((told[2].step.as_ref(), told[2].error.as_ref().map(|e| e.code.as_str())), (Some(&step), Some("away")));
    let all = format!("{told:?}");
    assert!(["10.0.0.7", "somebody", "private", "secret place"].iter().all(|hidden| !all.contains(hidden)), "{all}");
    // The word of each is the one that stands in the journal.
    for record in &journal.detail.journal {
        let value: Value = serde_json::to_value(&record.event).unwrap();
        assert_eq!(value["type"], record.event.word());
    }
}

#[test]
fn a_step_that_is_tried_again_and_again_has_its_last_attempt_told() {
    let world = World::new();
    let mut journal = Journal::new(&world);
    journal.write(Event::RunStarted);
    for attempt in 1..=30 {
        journal.fail(attempt);
    }
    let before = events(&world.berth(), &journal.detail);
    let last: Vec<&RunEvent> = before.iter().filter(|e| e.passing).collect();
    assert_eq!(last.iter().map(|e| (e.kind, e.attempt)).collect::<Vec<_>>(), [("step_started", Some(30)), ("step_failed", Some(30))]);
    journal.start(31);
    let after = events(&world.berth(), &journal.detail);
    let news: Vec<_> = after.iter().filter(|e| !before.iter().any(|b| b.is(e))).map(|e| (e.kind, e.attempt, e.state)).collect();
    assert_eq!(news, [("step_started", Some(31), Some(State::Running))]);
    let outdated = after.iter().any(|e| e.attempt == Some(30));
    assert!(!outdated, "an outcome that the next attempt has already begun to write over is not told after it");
    assert_eq!(after.last().unwrap().seq, before.last().unwrap().seq - 1, "the pair is written over in place");
}
