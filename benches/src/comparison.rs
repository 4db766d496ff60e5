//! Ratios of the peers' times to ours, from rows of several rounds.

mod provenance;
mod rig;
mod tables;

pub use provenance::Provenance;
pub use rig::{Rig, Timed};
pub use tables::{Statistic, report};

use crate::row::Row;
use serde::{Deserialize, Serialize};

/// Ours, in the executions that are timed.
pub const OURS: [&str; 2] = ["ravine", "ravine_tape"];

/// The peers that are timed unless others are asked for: the fastest ways of JAX and PyTorch, and the libraries for curvature.
pub const PEERS: [&str; 9] = [
    "jax_lin",
    "jax_fr",
    "torch_rr_rebuild",
    "torch_rr_retain",
    "torch_func_lin",
    "torch_compile_fr",
    "curvlinops",
    "pyhessian",
    "hessian_eigenthings",
];

/// Operations that are compared, and what they are called in reports.
pub const OPERATIONS: [(&str, &str); 7] = [
    ("grad", "Gradient"),
    ("hvp", "Hessian-vector product"),
    ("ggn", "Gauss-Newton product"),
    ("eig10", "Ten largest eigenvalues"),
    ("slq", "Spectral density, 4 vectors and 50 steps"),
    ("trace100", "Trace from 100 probe vectors"),
    ("diag100", "Diagonal from 100 probe vectors"),
];

/// A line of a file of measurements.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// Where the rows below it come from.
    Provenance {
        /// Machine, versions and settings.
        provenance: Provenance,
    },
    /// A measurement.
    Row(Box<Row>),
}

/// Puts a text between the lines `<!-- results -->` and `<!-- /results -->` of a document; none if it lacks them.
pub fn between_markers(document: &str, text: &str) -> Option<String> {
    const OPENING: &str = "<!-- results -->";
    const CLOSING: &str = "<!-- /results -->";
    let (before, rest) = document.split_once(OPENING)?;
    let (_, after) = rest.split_once(CLOSING)?;
    let text = text.trim();
    Some(format!("{before}{OPENING}\n\n{text}\n\n{CLOSING}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_replaces_what_stands_between_the_markers() {
        let document = "a\n<!-- results -->\nold\n<!-- /results -->\nb\n";
        let written = between_markers(document, "new\n").unwrap();
        assert_eq!(
            written,
            "a\n<!-- results -->\n\nnew\n\n<!-- /results -->\nb\n"
        );
        assert_eq!(between_markers(&written, "new").unwrap(), written);
        assert_eq!(between_markers("no markers", "new"), None);
    }

    #[test]
    fn lines_are_told_apart() {
        let row: Line =
            serde_json::from_str(r#"{"workload":"w","op":"hvp","omp_passive":false}"#).unwrap();
        assert!(matches!(row, Line::Row(row) if row.op == "hvp"));
        let provenance = Line::Provenance {
            provenance: Provenance::default(),
        };
        let text = serde_json::to_string(&provenance).unwrap();
        assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), provenance);
    }
}
