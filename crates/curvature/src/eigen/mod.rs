//! Eigenpairs of symmetric operators that are known by their products only.

mod basis;
mod kernels;
mod krylov;
mod lanczos;

pub use lanczos::{Eigenpair, LanczosEnding, LanczosOptions, TopEigenpairs, Which, lanczos_top_k};
