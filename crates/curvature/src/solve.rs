//! Solvers that need products only, and what preconditions them.
//!
//! | | |
//! |---|---|
//! | [`conjugate_gradient`] | A x = b, A positive definite; negative curvature is an ending |
//! | [`minres`] | A x = b, A symmetric of any sign and rank: A⁺b |
//! | [`lsmr`] | min ‖Ax − b‖² + λ² ‖x‖², A rectangular |
//! | [`neumann`] | the truncated series of A⁻¹ |
//! | [`steihaug`], [`lanczos_trust_region`] | min gᵀs + ½ sᵀHs, ‖s‖ ≤ Δ |
//! | [`jacobi`], [`spectral_preconditioner`], [`nystrom`] | approximations of A⁻¹ as operators |
//!
//! Every solve takes recurrences in f64 on the processor whatever the dtype of the products, ends with a reason, and counts its
//! products. [`true_residual`] measures what the recurrence only claims.

mod cg;
mod host;
mod lanczos_trust_region;
mod lsmr;
mod minres;
mod neumann;
mod preconditioner;
mod residual;
#[cfg(test)]
mod scipy_counts;
mod steihaug;

pub use cg::{
    CgEnding, CgIterate, CgOptions, CgProgress, CgResult, CgStop, Iterates, conjugate_gradient,
    conjugate_gradient_many, conjugate_gradient_observed,
};
pub use lanczos_trust_region::{
    LanczosTrustRegionOptions, lanczos_trust_region, lanczos_trust_region_observed,
};
pub use lsmr::{LsmrEnding, LsmrOptions, LsmrResult, lsmr, lsmr_observed};
pub use minres::{
    MinresCurvature, MinresEnding, MinresOptions, MinresResult, minres, minres_observed,
};
pub use neumann::{NeumannEnding, NeumannOptions, NeumannResult, neumann, neumann_observed};
pub use preconditioner::{
    JacobiOptions, Nystrom, NystromOptions, jacobi, nystrom, nystrom_observed,
    spectral_preconditioner,
};
pub use residual::true_residual;
pub use steihaug::{
    SteihaugOptions, TrustRegionEnding, TrustRegionStep, steihaug, steihaug_observed,
};
