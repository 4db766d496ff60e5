//! Traces, diagonals and norms from products with random vectors, each with its standard error.
//!
//! | | products | best where |
//! |---|---|---|
//! | [`hutchinson_trace`] | one per probe | the spectrum is flat, n is huge: it holds no vectors but one block |
//! | [`xtrace`], [`hutch_plus_plus`] | a fixed number | the spectrum decays |
//! | [`diagonal_estimate`], [`xdiag`], [`exact_diagonal`] | one per probe, a fixed number, n | |
//! | [`frobenius_norm`], [`stable_rank`], [`intrinsic_dimension`] | one per probe | |

#[cfg(test)]
mod coverage_tests;
mod diagonal;
mod hutch_plus_plus;
mod hutchinson;
mod moments;
mod norms;
mod probe;
mod sampling;
mod sketch;
#[cfg(test)]
mod tests;
mod xdiag;
mod xtrace;

pub use diagonal::{
    DiagonalEstimate, ExactDiagonal, diagonal_estimate, diagonal_estimate_observed, exact_diagonal,
    exact_diagonal_observed,
};
pub use hutch_plus_plus::{hutch_plus_plus, hutch_plus_plus_observed};
pub use hutchinson::{
    HutchinsonOptions, TraceEstimate, hutchinson_trace, hutchinson_trace_observed,
};
pub use norms::{frobenius_norm, frobenius_norm_observed, intrinsic_dimension, stable_rank};
pub use probe::Probe;
pub use sampling::{SamplingEnding, StoppingRule};
pub use xdiag::{XDiagOptions, xdiag, xdiag_observed};
pub use xtrace::{SketchOptions, xtrace, xtrace_observed};
