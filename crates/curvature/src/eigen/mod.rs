//! Eigenpairs of symmetric operators that are known by their products only.

pub(crate) mod basis;
mod kernels;
pub(crate) mod krylov;
mod lanczos;
mod pairs;

pub use lanczos::{
    LanczosEnding, LanczosOptions, Multiplicity, Reorthogonalisation, TopEigenpairs, lanczos_top_k,
    lanczos_top_k_observed,
};
pub use pairs::{Eigenpair, Which};
