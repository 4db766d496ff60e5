//! Spectral densities of symmetric operators, and what follows from them: traces of functions, log-determinants, effective dimension,
//! inertia.
//!
//! Two estimators of the same thing, the eigenvalue density φ(t) = 1/n Σ δ(t − λᵢ): [`slq`] (Lanczos quadrature, which resolves outliers
//! and both ends) and [`kpm`] (Chebyshev moments, a fixed resolution everywhere). All bands are over independent random vectors; traces of functions and
//! masses of histograms have the error of the quadrature beside the standard error, and intervals that hold both.

#[cfg(test)]
mod band_tests;
mod condition;
#[cfg(test)]
mod coverage_tests;
#[cfg(test)]
mod cut_off_tests;
mod density;
mod functions;
#[cfg(test)]
mod hard_spectra_tests;
mod kpm;
mod outliers;
mod quadrature;
#[cfg(test)]
mod quadrature_tests;
mod slq;
mod sphere;
#[cfg(test)]
mod tests;

pub use condition::{ConditionNumber, condition_number, condition_number_observed};
pub use density::{Curve, Scale};
pub use functions::InertiaEstimate;
pub use kpm::{ChebyshevDensity, Interval, KpmOptions, kpm, kpm_observed};
pub use outliers::Outlier;
pub use slq::{LanczosVectors, ProbeMeasure, SlqOptions, SpectralMeasure, slq, slq_observed};
