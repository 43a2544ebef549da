//! Reads a definition file: shape and policy of a saga, checked so that the engine need not check again.
//!
//! Everything wrong is named with its line and column and with what would be right. There are no built-in defaults:
//! every timeout and budget stands in the file, so that its digest pins behaviour.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::fields::{Fields, count, duration, name};
use super::tree::{At, Node, Raw, Wrong, parse};
use super::{Backoff, Definition, DefinitionId, Pivot, Retry, StepDefinition, Undo};

/// A definition file that cannot be used; names the line and column.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct LoadError {
    pub file: String,
    pub line: u64,
    pub column: u64,
    pub message: String,
}

/// Reads a definition without asking which code is registered; [`Registry::add`](crate::Registry::add) asks that, but
/// cannot name a line.
///
/// # Errors
/// The first thing in the file that breaks a rule, with its line and column.
pub fn load(file: &str, text: &str) -> Result<Definition, LoadError> {
    read(text, None).map_err(|wrong| located(file, wrong))
}

/// As [`load`], and also names the line and column of a `do` or `undo` that is not among `known`: pairs of an action
/// and what undoes it.
///
/// # Errors
/// The first thing in the file that breaks a rule, with its line and column.
pub fn load_checked(file: &str, text: &str, known: &[(&str, Option<&str>)]) -> Result<Definition, LoadError> {
    read(text, Some(known)).map_err(|wrong| located(file, wrong))
}

fn located(file: &str, wrong: Wrong) -> LoadError {
    LoadError { file: file.to_owned(), line: wrong.at.line, column: wrong.at.column, message: wrong.message }
}

type Known<'a> = Option<&'a [(&'a str, Option<&'a str>)]>;

const TOP: &[&str] = &["saga", "version", "start_within", "deadline", "hold_for", "pivot", "defaults", "stages"];
const DEFAULTS: &[&str] = &["timeout", "undo_timeout", "undo_for", "retry", "undo_retry"];
const STEP: &[&str] = &["name", "do", "with", "undo", "timeout", "undo_timeout", "undo_for", "retry", "undo_retry", "pivot"];

fn read(text: &str, known: Known<'_>) -> Result<Definition, Wrong> {
    let root = parse(text)?;
    let top = Fields::of(&root, "a saga definition", TOP)?;
    let id = DefinitionId {
        name: name(top.need("saga", "create-workspace")?, "saga")?,
        version: count(top.need("version", "1")?, "version", "")?,
        digest: digest(text),
    };
    let start_within = duration(top.need("start_within", "1h")?, "start_within")?;
    let deadline = duration(top.need("deadline", "30m")?, "deadline")?;
    let hold_for = duration(top.need("hold_for", "7d")?, "hold_for")?;
    let from_start = match top.get("pivot") {
        None => None,
        Some(Node { raw: Raw::Text(t), at }) if t == "start" => Some(*at),
        Some(node) => {
            return Wrong::new(
                node.at,
                format!(
                    "the saga's own `pivot` can only be `start`, but {} stands here: a step is the pivot with `pivot: true`",
                    node.kind()
                ),
            );
        }
    };
    let defaults = Policy::defaults(top.need("defaults", "{ timeout: 5s, … }")?)?;
    let drafts = stages(top.need("stages", "[{ do: … }]")?, &defaults)?;
    let pivot = find_pivot(&drafts, from_start)?;
    let mut steps = Vec::with_capacity(drafts.len());
    for draft in &drafts {
        let after = match pivot {
            Pivot::None => false,
            Pivot::Start => true,
            Pivot::Step(i) => draft.stage > drafts[i].stage,
        };
        let step = draft.finish(after)?;
        if let Some(known) = known {
            draft.check_code(&step, known)?;
        }
        steps.push(step);
    }
    Ok(Definition { id, summary: summary(text), start_within, deadline, hold_for, pivot, steps })
}

fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn summary(text: &str) -> String {
    let lines = text.lines().map_while(|line| line.strip_prefix('#')).map(str::trim);
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

// ---- Policy --------------------------------------------------------------------------------------------------------

/// Timeouts and budgets: those under `defaults`, or what a step makes of them.
#[derive(Clone, Copy)]
struct Policy {
    timeout: Duration,
    undo_timeout: Duration,
    undo_for: Duration,
    retry: Retry,
    undo_retry: Backoff,
}

impl Policy {
    fn defaults(node: &Node) -> Result<Self, Wrong> {
        let fields = Fields::of(node, "`defaults`", DEFAULTS)?;
        let retry = Fields::of(fields.need("retry", "{ attempts: 8, first: 200ms, max: 10s }")?, "`retry`", &["attempts", "first", "max"])?;
        let undo = Fields::of(fields.need("undo_retry", "{ first: 200ms, max: 5m }")?, "`undo_retry`", &["first", "max"])?;
        Ok(Self {
            timeout: duration(fields.need("timeout", "5s")?, "timeout")?,
            undo_timeout: duration(fields.need("undo_timeout", "5s")?, "undo_timeout")?,
            undo_for: duration(fields.need("undo_for", "24h")?, "undo_for")?,
            retry: Retry { attempts: attempts(retry.need("attempts", "8")?)?, backoff: backoff(&retry, None)? },
            undo_retry: backoff(&undo, None)?,
        })
    }

    /// This policy with what the step says of its own.
    fn overridden(mut self, step: &Fields<'_>) -> Result<Self, Wrong> {
        for (key, value) in [("timeout", &mut self.timeout), ("undo_timeout", &mut self.undo_timeout), ("undo_for", &mut self.undo_for)] {
            if let Some(node) = step.get(key) {
                *value = duration(node, key)?;
            }
        }
        if let Some(node) = step.get("retry") {
            let retry = Fields::of(node, "`retry`", &["attempts", "first", "max"])?;
            if let Some(node) = retry.get("attempts") {
                self.retry.attempts = attempts(node)?;
            }
            self.retry.backoff = backoff(&retry, Some(self.retry.backoff))?;
        }
        if let Some(node) = step.get("undo_retry") {
            self.undo_retry = backoff(&Fields::of(node, "`undo_retry`", &["first", "max"])?, Some(self.undo_retry))?;
        }
        Ok(self)
    }
}

fn attempts(node: &Node) -> Result<Option<u32>, Wrong> {
    match &node.raw {
        Raw::Text(text) if text == "unlimited" => Ok(None),
        _ => count(node, "attempts", " or `unlimited`").map(Some),
    }
}

fn backoff(fields: &Fields<'_>, inherited: Option<Backoff>) -> Result<Backoff, Wrong> {
    let first = match (fields.get("first"), inherited) {
        (None, Some(inherited)) => inherited.first,
        _ => duration(fields.need("first", "200ms")?, "first")?,
    };
    let max = match (fields.get("max"), inherited) {
        (None, Some(inherited)) => inherited.max,
        _ => duration(fields.need("max", "10s")?, "max")?,
    };
    if first > max {
        let at = fields.get("first").or(fields.get("max")).map_or(fields.at, |n| n.at);
        return Wrong::new(at, format!("`first` ({first:?}) is longer than `max` ({max:?}): the back-off grows from `first` to `max`"));
    }
    Ok(Backoff { first, max })
}

// ---- Stages and steps ----------------------------------------------------------------------------------------------

/// A step as it is written, before it is known whether it comes after the pivot.
struct Draft<'a> {
    fields: Fields<'a>,
    name: String,
    action: String,
    stage: usize,
    policy: Policy,
    pivot: Option<At>,
}

fn stages<'a>(node: &'a Node, defaults: &Policy) -> Result<Vec<Draft<'a>>, Wrong> {
    let mut drafts: Vec<Draft<'a>> = Vec::new();
    for (stage, node) in items(node, "stages")?.iter().enumerate() {
        let is_parallel = matches!(&node.raw, Raw::Map(entries) if entries.iter().any(|(key, _)| key.name == "parallel"));
        let steps = if is_parallel {
            let fields = Fields::of(node, "a parallel stage", &["parallel"])?;
            items(fields.need("parallel", "[…]")?, "parallel")?
        } else {
            std::slice::from_ref(node)
        };
        for step in steps {
            let draft = Draft::read(step, stage, defaults)?;
            if let (true, Some(at)) = (is_parallel, draft.pivot) {
                return Wrong::new(at, "the pivot cannot be inside a parallel stage: give it a stage of its own");
            }
            if let Some(first) = drafts.iter().find(|d| d.name == draft.name) {
                let line = first.name_at().line;
                return Wrong::new(
                    draft.name_at(),
                    format!("the step of line {line} is named `{}` too: give this one a `name` of its own", draft.name),
                );
            }
            drafts.push(draft);
        }
    }
    Ok(drafts)
}

fn items<'a>(node: &'a Node, key: &str) -> Result<&'a [Node], Wrong> {
    match &node.raw {
        Raw::List(items) if !items.is_empty() => Ok(items),
        _ => Wrong::new(node.at, format!("`{key}` must be a list of at least one step, but {} stands here", empty(node))),
    }
}

fn empty(node: &Node) -> String {
    if matches!(&node.raw, Raw::List(_)) { "an empty list".to_owned() } else { node.kind() }
}

fn find_pivot(drafts: &[Draft<'_>], from_start: Option<At>) -> Result<Pivot, Wrong> {
    let mut pivots = drafts.iter().enumerate().filter_map(|(i, d)| d.pivot.map(|at| (i, at)));
    let first = pivots.next();
    match (from_start, first, pivots.next()) {
        (Some(start), Some((_, at)), _) => {
            Wrong::new(at, format!("line {} says `pivot: start`, so that no step can be the pivot: remove one of the two", start.line))
        }
        (None, Some((first, _)), Some((_, at))) => {
            Wrong::new(at, format!("a saga has one pivot, and `{}` is it already: remove one of the two", drafts[first].name))
        }
        (Some(_), None, _) => Ok(Pivot::Start),
        (None, Some((i, _)), None) => Ok(Pivot::Step(i)),
        (None, None, _) => Ok(Pivot::None),
    }
}

impl<'a> Draft<'a> {
    fn read(node: &'a Node, stage: usize, defaults: &Policy) -> Result<Self, Wrong> {
        let fields = Fields::of(node, "a step", STEP)?;
        let action = name(fields.need("do", "create-environments")?, "do")?;
        let own = fields.get("name").map(|node| name(node, "name")).transpose()?;
        let pivot = match fields.get("pivot") {
            None => None,
            Some(Node { raw: Raw::Bool(true), at }) => Some(*at),
            Some(node) => {
                return Wrong::new(
                    node.at,
                    format!("a step's `pivot` can only be `true`, but {} stands here: leave it out otherwise", node.kind()),
                );
            }
        };
        let policy = defaults.overridden(&fields)?;
        Ok(Self { name: own.unwrap_or_else(|| action.clone()), action, stage, policy, pivot, fields })
    }

    fn name_at(&self) -> At {
        self.fields.get("name").or(self.fields.get("do")).map_or(self.fields.at, |n| n.at)
    }

    fn finish(&self, after_pivot: bool) -> Result<StepDefinition, Wrong> {
        let undo = self.undo(after_pivot)?;
        if matches!(undo, Undo::None { .. })
            && let Some((key, at)) = ["undo_timeout", "undo_for", "undo_retry"].into_iter().find_map(|k| Some((k, self.fields.key_at(k)?)))
        {
            return Wrong::new(at, format!("`{key}` has no effect here, the step has no undo: remove it"));
        }
        if after_pivot && self.policy.retry.attempts.is_some() {
            let written = self.fields.get("retry").and_then(|n| match &n.raw {
                Raw::Map(entries) => entries.iter().find(|(key, _)| key.name == "attempts").map(|(_, node)| node.at),
                _ => None,
            });
            return Wrong::new(
                written.unwrap_or(self.fields.at),
                format!(
                    "`{}` comes after the pivot, where a run only goes forward, and its attempts{} are finite: write `retry: {{attempts: unlimited}}`",
                    self.name,
                    if written.is_some() { "" } else { ", inherited from `defaults`," },
                ),
            );
        }
        Ok(StepDefinition {
            name: self.name.clone(),
            action: self.action.clone(),
            with: self.fields.get("with").map(Node::json).transpose()?.unwrap_or(Value::Null),
            stage: self.stage,
            undo,
            timeout: self.policy.timeout,
            undo_timeout: self.policy.undo_timeout,
            undo_for: self.policy.undo_for,
            retry: self.policy.retry,
            undo_retry: self.policy.undo_retry,
        })
    }

    fn undo(&self, after_pivot: bool) -> Result<Undo, Wrong> {
        let Some(node) = self.fields.get("undo") else {
            return if after_pivot {
                Ok(Undo::None { reason: "comes after the pivot".to_owned() })
            } else if self.pivot.is_some() {
                Ok(Undo::None { reason: "the pivot".to_owned() })
            } else {
                Wrong::new(
                    self.fields.at,
                    format!("`{}` can be taken back and has no `undo`: write `undo: NAME`, or `undo: {{ none: REASON }}`", self.name),
                )
            };
        };
        if after_pivot {
            let at = self.fields.key_at("undo").unwrap_or(node.at);
            return Wrong::new(at, format!("`{}` comes after the pivot, so that its `undo` would never run: remove it", self.name));
        }
        let Raw::Map(_) = &node.raw else {
            return name(node, "undo").map(Undo::Action);
        };
        let fields = Fields::of(node, "an `undo` without code", &["none"])?;
        match fields.need("none", "reads only")? {
            Node { raw: Raw::Text(reason), .. } if !reason.trim().is_empty() => Ok(Undo::None { reason: reason.trim().to_owned() }),
            node => Wrong::new(node.at, format!("`none` must say in words why there is nothing to undo, but {} stands here", node.kind())),
        }
    }

    fn check_code(&self, step: &StepDefinition, known: &[(&str, Option<&str>)]) -> Result<(), Wrong> {
        let at = |key| self.fields.get(key).map_or(self.fields.at, |n| n.at);
        let Some((_, undone_by)) = known.iter().find(|(action, _)| *action == step.action) else {
            let known = known.iter().map(|(action, _)| *action).collect::<Vec<_>>().join(", ");
            return Wrong::new(at("do"), format!("no code is registered for `do: {}`; known: {known}", step.action));
        };
        match (&step.undo, undone_by) {
            (Undo::Action(found), Some(right)) if found == right => Ok(()),
            (Undo::Action(found), Some(right)) => {
                Wrong::new(at("undo"), format!("`{}` is undone by `{right}`, not by `{found}`: write `undo: {right}`", step.action))
            }
            (Undo::Action(found), None) => Wrong::new(
                at("undo"),
                format!("`{}` has no undo, and none is called `{found}`: write `undo: {{ none: REASON }}`", step.action),
            ),
            (Undo::None { .. }, _) => Ok(()),
        }
    }
}
