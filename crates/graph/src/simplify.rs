//! Rewrites that change no result: small passes, each about one thing, until none of them finds anything.
//!
//! A pass either moves data only, and then changes no bit, or uses an algebraic identity that holds for all finite numbers
//! up to rounding (the sign of a zero is not kept). Nothing is multiplied by zero to zero: 0 · ∞ and 0 · NaN stay what they
//! are. Since identities hold as functions, they hold for derivatives too, and graphs are simplified before they are
//! differentiated again. What depends on constants only is left to the executions, which compute it once.

mod broadcasts;
mod identities;
mod indexing;
mod layouts;
mod negations;
mod parts;
mod products;
mod repeated;
mod rewrite;
mod scalars;
mod shifts;
mod sums;
#[cfg(test)]
mod tests;
mod uniform;

use crate::graph::Graph;
use std::fmt;

pub(crate) use shifts::with_shifts_detached;

/// One rewrite of a graph.
struct Pass {
    name: &'static str,
    run: fn(Graph) -> Graph,
}

const fn pass(name: &'static str, run: fn(Graph) -> Graph) -> Pass {
    Pass { name, run }
}

/// All passes, in the order of their turns.
const PASSES: [Pass; 11] = [
    pass("repeated computations", repeated::run),
    pass("uniform tensors", uniform::run),
    pass("identities", identities::run),
    pass("negations", negations::run),
    pass("numbers in a row", scalars::run),
    pass("layouts in a row", layouts::run),
    pass("broadcasts", broadcasts::run),
    pass("sums", sums::run),
    pass("indexing", indexing::run),
    pass("parts", parts::run),
    pass("transposed products", products::run),
];

/// Rounds after which no more is looked for: each round shortens chains, and few are longer than three.
const ROUNDS: usize = 12;

/// Applies all passes again and again until none finds anything, and drops what nothing needs.
pub fn simplify(graph: Graph) -> Graph {
    simplify_reported(graph).0
}

/// As [`simplify`], with an account of what each pass removed.
pub fn simplify_reported(graph: Graph) -> (Graph, Report) {
    let mut report = Report {
        before: graph.nodes.len(),
        after: 0,
        dead: 0,
        passes: PASSES.iter().map(|pass| (pass.name, 0)).collect(),
    };
    let mut graph = graph.without_dead_code();
    report.dead = report.before - graph.nodes.len();
    for _ in 0..ROUNDS {
        let (nodes, outputs) = (graph.nodes.clone(), graph.outputs.clone());
        for (pass, (_, removed)) in PASSES.iter().zip(&mut report.passes) {
            let before = graph.nodes.len();
            graph = (pass.run)(graph).without_dead_code();
            *removed += before as isize - graph.nodes.len() as isize;
        }
        if graph.nodes == nodes && graph.outputs == outputs {
            break;
        }
    }
    report.after = graph.nodes.len();
    (graph, report)
}

/// What the passes removed from a graph.
///
/// A pass may add nodes, when it moves work to smaller tensors or prepares what a later one removes: then its number is
/// negative.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Nodes at first.
    pub before: usize,
    /// Nodes that are left.
    pub after: usize,
    /// Nodes that no output needed from the start.
    pub dead: usize,
    /// Nodes that each pass removed, by its name, in the order of the passes.
    pub passes: Vec<(&'static str, isize)>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} operations of {} are left", self.after, self.before)?;
        let dead = ("not needed", self.dead as isize);
        let all = std::iter::once(&dead).chain(&self.passes);
        for (name, removed) in all.filter(|(_, removed)| *removed != 0) {
            write!(f, "; {name}: {removed}")?;
        }
        Ok(())
    }
}
