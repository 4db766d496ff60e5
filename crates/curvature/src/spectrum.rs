//! Spectral densities of symmetric operators, and what follows from them: traces of functions, log-determinants, effective dimension,
//! inertia.
//!
//! Two estimators of the same thing, the eigenvalue density φ(t) = 1/n Σ δ(t − λᵢ): [`slq`] (Lanczos quadrature, which resolves outliers
//! and both ends) and [`kpm`] (Chebyshev moments, a fixed resolution everywhere). All bands are over independent random vectors; traces of functions have the
//! error of the quadrature beside the standard error, and intervals that hold both.

mod condition;
mod density;
mod functions;
mod kpm;
mod outliers;
mod quadrature;
#[cfg(test)]
mod quadrature_tests;
mod slq;
#[cfg(test)]
mod tests;

pub use condition::{ConditionNumber, condition_number, condition_number_observed};
pub use density::{Curve, Scale};
pub use functions::InertiaEstimate;
pub use kpm::{ChebyshevDensity, Interval, KpmOptions, kpm, kpm_observed};
pub use outliers::Outlier;
pub use slq::{LanczosVectors, ProbeMeasure, SlqOptions, SpectralMeasure, slq, slq_observed};
