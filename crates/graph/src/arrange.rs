//! Graphs in the form that runs best, on every device.

use crate::commute::commute_convolutions;
use crate::graph::Graph;
use crate::simplify::simplify;

/// Puts convolutions into their natural form, and simplifies what that leaves; changes results by rounding at most.
pub fn arrange(graph: Graph) -> Graph {
    simplify(commute_convolutions(graph))
}
