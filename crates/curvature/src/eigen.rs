//! Eigenpairs of symmetric operators that are known by their products only.

pub(crate) mod basis;
mod file;
mod kernels;
pub(crate) mod krylov;
mod lanczos;
mod pairs;
mod tracking;

pub use file::{FileProblem, SavedEigenpairs};
pub use lanczos::{
    LanczosEnding, LanczosOptions, Multiplicity, Reorthogonalisation, TopEigenpairs, lanczos_top_k,
    lanczos_top_k_observed,
};
pub use pairs::{Eigenpair, Which};
pub use tracking::{
    Continuity, Direction, Exchange, LevelCrossing, LostDirection, Tracked, TrackedSummary,
    Tracker, TrackerOptions, TrackerStart,
};
