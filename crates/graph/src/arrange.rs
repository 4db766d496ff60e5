//! Graphs in the form that runs best, on every device.

use crate::commute::commute_convolutions;
use crate::graph::Graph;
use crate::simplify::simplify;
use crate::transpose::transpose_operands;

/// Transposes operands instead of products, and puts convolutions into their natural form; changes results by rounding at most.
pub fn arrange(graph: Graph) -> Graph {
    simplify(commute_convolutions(transpose_operands(graph)))
}
