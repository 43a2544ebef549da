//! A definition as people look at it: Mermaid for documents, plain text for a terminal.
//!
//! Both are generated files in the tree, so both are stable: the same definition gives the same text.

use std::fmt::Write as _;

use super::{Definition, Pivot, StepDefinition, Undo};

/// Steps of one stage, in file order, with their indices.
fn stages(definition: &Definition) -> Vec<Vec<(usize, &StepDefinition)>> {
    let mut stages: Vec<Vec<(usize, &StepDefinition)>> = Vec::new();
    for (i, step) in definition.steps.iter().enumerate() {
        if stages.last().is_none_or(|last| last[0].1.stage != step.stage) {
            stages.push(Vec::new());
        }
        stages.last_mut().expect("a stage was pushed for the first step").push((i, step));
    }
    stages
}

fn is_pivot(definition: &Definition, index: usize) -> bool {
    definition.pivot == Pivot::Step(index)
}

/// A Mermaid flowchart: stages from top to bottom, parallel steps side by side in a box, compensations dotted.
#[must_use]
pub fn mermaid(definition: &Definition) -> String {
    let mut out = String::from("flowchart TD\n");
    let mut before = if definition.pivot == Pivot::Start {
        let _ = writeln!(out, "    start([\"start: only forward from here\"])");
        "start".to_owned()
    } else {
        let _ = writeln!(out, "    start([\"start\"])");
        "start".to_owned()
    };
    for (number, stage) in stages(definition).iter().enumerate() {
        let parallel = stage.len() > 1;
        let node = if parallel { format!("stage{}", number + 1) } else { format!("s{}", stage[0].0 + 1) };
        if parallel {
            let _ = writeln!(out, "    subgraph {node} [\"at once\"]");
        }
        for (i, step) in stage {
            let indent = if parallel { "        " } else { "    " };
            let title = if step.name == step.action { step.name.clone() } else { format!("{}<br/>{}", step.name, step.action) };
            if is_pivot(definition, *i) {
                let _ = writeln!(out, "{indent}s{}{{{{\"{title}<br/>pivot\"}}}}", i + 1);
            } else {
                let _ = writeln!(out, "{indent}s{}[\"{title}\"]", i + 1);
            }
        }
        if parallel {
            let _ = writeln!(out, "    end");
        }
        let _ = writeln!(out, "    {before} --> {node}");
        for (i, step) in stage {
            if let Undo::Action(undo) = &step.undo {
                let _ = writeln!(out, "    s{n} -. undo .-> u{n}([\"{undo}\"])", n = i + 1);
            }
        }
        before = node;
    }
    let _ = writeln!(out, "    {before} --> done([\"succeeded\"])");
    out
}

/// The same for a terminal: one line a step, with what undoes it or why nothing does.
#[must_use]
pub fn text(definition: &Definition) -> String {
    let mut out = format!("{} version {}\n", definition.id.name, definition.id.version);
    for line in definition.summary.lines() {
        let _ = writeln!(out, "  {line}");
    }
    out.push('\n');
    if definition.pivot == Pivot::Start {
        out.push_str("  ── pivot: a run only goes forward from its start ──\n");
    }
    let width = definition.steps.iter().map(|s| s.name.chars().count()).max().unwrap_or(0);
    for (number, stage) in stages(definition).iter().enumerate() {
        for (place, (i, step)) in stage.iter().enumerate() {
            let stage_number = if place == 0 { format!("{:>2}", number + 1) } else { "  ".to_owned() };
            let bar = match (stage.len(), place) {
                (1, _) => ' ',
                (_, 0) => '┌',
                (n, p) if p + 1 == n => '└',
                _ => '│',
            };
            let does = if step.name == step.action { String::new() } else { format!("does {}; ", step.action) };
            let undo = match &step.undo {
                Undo::Action(undo) => format!("undo: {undo}"),
                Undo::None { reason } => format!("no undo: {reason}"),
            };
            let _ = writeln!(out, "  {stage_number} {bar} {:width$}  {does}{undo}", step.name);
            if is_pivot(definition, *i) {
                out.push_str("  ── pivot: once this step has succeeded a run only goes forward ──\n");
            }
        }
    }
    out
}
