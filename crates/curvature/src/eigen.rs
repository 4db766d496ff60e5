//! Eigenpairs of symmetric operators that are known by their products only.
//!
//! | | |
//! |---|---|
//! | [`lanczos_top_k`] | the ends of the spectrum, one product at a time: the fewest products; the first choice |
//! | [`lobpcg`] | one end, a block of products at a time, with a preconditioner where there is one; multiple eigenvalues with all copies |
//! | [`interior_eigenpairs`] | those nearest to a target inside the spectrum |
//! | [`power_iteration`] | the largest in magnitude, as a yardstick: many more products than Lanczos |
//! | [`Tracker`], [`SavedEigenpairs`] | pairs along a training run, and in files |
//!
//! All of them measure ‖Av − λv‖ of every pair with a product of its own vector, take earlier vectors to start from, end with a reason, and
//! count their products.

pub(crate) mod basis;
mod block;
mod file;
#[cfg(test)]
mod hard_spectra_tests;
mod interior;
pub(crate) mod kernels;
pub(crate) mod krylov;
mod lanczos;
mod lobpcg;
mod pairs;
mod power;
mod tracking;

pub use block::{EigenEnding, Eigenpairs};
pub use file::{FileProblem, SavedEigenpairs};
pub use interior::{
    InteriorMethod, InteriorOptions, interior_eigenpairs, interior_eigenpairs_observed,
};
pub use lanczos::{
    LanczosEnding, LanczosOptions, Multiplicity, Reorthogonalisation, TopEigenpairs, lanczos_top_k,
    lanczos_top_k_observed,
};
pub use lobpcg::{LobpcgKnowledge, LobpcgOptions, SpectrumEnd, lobpcg, lobpcg_observed};
pub use pairs::{Eigenpair, Which};
pub use power::{PowerOptions, power_iteration, power_iteration_observed};
pub use tracking::{
    Continuity, Direction, Exchange, LevelCrossing, LostDirection, Tracked, TrackedSummary,
    Tracker, TrackerOptions, TrackerStart,
};
