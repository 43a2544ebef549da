//! The sagas that a process can execute: definitions with the code behind them.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use crate::definition::Undo;
use crate::journal::Ending;
use crate::{Definition, DefinitionId, RunId, Step};

/// What a saga wants of the store when a run of it ends, in the transaction that records the end.
pub type OnEnd<C> = fn(run: RunId, input: &Value, ending: Ending) -> Option<C>;

/// One definition and the code of its steps, in the definition's order.
#[derive(Clone)]
pub struct Saga<C: 'static> {
    pub definition: Arc<Definition>,
    pub steps: Vec<Arc<dyn Step<C>>>,
    pub on_end: OnEnd<C>,
}

/// All sagas of a process, by name, version and digest.
#[derive(Clone)]
pub struct Registry<C: 'static> {
    sagas: HashMap<DefinitionId, Saga<C>>,
    newest: HashMap<String, DefinitionId>,
}

/// A definition names code that is not registered, or pairs a `do` with the wrong `undo`.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("{saga}: step {step}: no code is registered for `do: {action}`; known: {known}")]
    UnknownAction { saga: String, step: String, action: String, known: String },
    #[error("{saga}: step {step}: `{action}` is undone by {expected}, the file says {found}")]
    WrongUndo { saga: String, step: String, action: String, expected: String, found: String },
}

impl<C: 'static> Default for Registry<C> {
    fn default() -> Self {
        Self { sagas: HashMap::new(), newest: HashMap::new() }
    }
}

impl<C: 'static> Registry<C> {
    /// Binds `definition` to the code among `steps` that it names.
    ///
    /// # Errors
    /// Names the first step whose code is missing or whose `undo` is not that of its `do`.
    pub fn add(&mut self, definition: Definition, steps: &[Arc<dyn Step<C>>], on_end: OnEnd<C>) -> Result<(), RegistryError> {
        let mut bound = Vec::with_capacity(definition.steps.len());
        for step in &definition.steps {
            let code = steps.iter().find(|s| s.action() == step.action).ok_or_else(|| RegistryError::UnknownAction {
                saga: definition.id.name.clone(),
                step: step.name.clone(),
                action: step.action.clone(),
                known: steps.iter().map(|s| s.action()).collect::<Vec<_>>().join(", "),
            })?;
            let named = match &step.undo {
                Undo::Action(name) => Some(name.as_str()),
                Undo::None { .. } => None,
            };
            if named.is_some() && named != code.undo_action() {
                return Err(RegistryError::WrongUndo {
                    saga: definition.id.name.clone(),
                    step: step.name.clone(),
                    action: step.action.clone(),
                    expected: code.undo_action().unwrap_or("nothing").to_owned(),
                    found: named.unwrap_or("nothing").to_owned(),
                });
            }
            bound.push(code.clone());
        }
        let id = definition.id.clone();
        let newer = self.newest.get(&id.name).is_none_or(|n| n.version < id.version);
        if newer {
            self.newest.insert(id.name.clone(), id.clone());
        }
        self.sagas.insert(id, Saga { definition: Arc::new(definition), steps: bound, on_end });
        Ok(())
    }

    #[must_use]
    pub fn get(&self, id: &DefinitionId) -> Option<&Saga<C>> {
        self.sagas.get(id)
    }

    /// The version that a new run of this saga is pinned to.
    #[must_use]
    pub fn newest(&self, name: &str) -> Option<&Saga<C>> {
        self.newest.get(name).and_then(|id| self.sagas.get(id))
    }

    pub fn all(&self) -> impl Iterator<Item = &Saga<C>> {
        self.sagas.values()
    }
}
