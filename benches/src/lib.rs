//! Workloads whose every input is a formula, the operations that are timed on them, and the comparison with other frameworks.
//!
//! | | |
//! |---|---|
//! | [`inputs`] | parameters, data and vectors from formulas |
//! | [`Workload`], [`workloads`] | a loss at a point, in plain Burn: those of the peers' rig and some with other layers |
//! | [`Operation`], [`Repeatable`] | gradient, products, estimates of trace and diagonal |
//! | [`timing`], [`Row`] | repeated measurements, in the rig's own format |
//! | [`comparison`] | ratios of the peers' times to ours, over several rounds |
//!
//! `just bench` runs the benchmarks, `just bench-peers` the comparison; `docs/benchmarks.md` has method and results.

pub mod comparison;
/// The allocator of every binary that links this library: large vectors are kept for the next call.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod flops;
mod gauss_newton;
pub mod inputs;
mod operations;
mod row;
pub mod timing;
pub mod workloads;

pub use flops::Flops;
pub use operations::{Execution, Operation, OperationError, Outcome, PROBES, Repeatable};
pub use row::{Checksum, Row};
pub use workloads::{Workload, WorkloadError};
