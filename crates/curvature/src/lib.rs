//! Exact Hessian-vector products, curvature operators and monitors for any Burn module.
//!
//! Training gets stuck on ill-conditioned losses: a gradient step of size ε changes the loss by −ε gᵀg + ½ ε² gᵀHg, and when the
//! second term wins, even a tiny step goes uphill. This crate measures both terms, exactly, for models written in plain Burn:
//!
//! ```
//! use burn::nn::{Linear, LinearConfig};
//! use burn::prelude::*;
//! use ravine_curvature::{LanczosOptions, Monitor, Objective, Seed, lanczos_top_k};
//!
//! let device = Device::flex();
//! let model = LinearConfig::new(4, 1).init(&device);
//! let batch = (Tensor::<2>::ones([8, 4], &device), Tensor::<2>::ones([8, 1], &device));
//!
//! let objective = Objective::new(
//!     |model: &Linear, (x, _): &(Tensor<2>, Tensor<2>)| model.forward(x.clone()),
//!     |outputs, (_, y)| (outputs - y.clone()).powi_scalar(2).mean(),
//! );
//! let point = objective.at(&model, &batch)?;          // recorded once, reused for every batch of this shape
//! let monitor = Monitor::at(&point)?;                 // gᵀg, gᵀHg, ε* = gᵀg/gᵀHg, …
//! println!("beyond a step of {:?} a gradient step goes uphill", monitor.uphill_step);
//!
//! let options = LanczosOptions { pairs: 1, ..Default::default() };
//! let top = lanczos_top_k(&point.hessian(), &options, Seed::new(0))?;
//! assert!((top.pairs[0].value - 10.0).abs() < 1e-4);  // L = (w·1 + b − 1)²: λ_max = 2 (4 + 1)
//! # Ok::<(), ravine_curvature::CurvatureError>(())
//! ```
//!
//! | | |
//! |---|---|
//! | [`Objective`], [`Point`] | a loss of a module on a batch, recorded with its derivatives; loss, gradient, matrices at certain parameters |
//! | [`Dataset`] | the same over many batches, in memory or loaded one at a time, weighted by examples |
//! | [`Hessian`], [`GaussNewton`], [`EmpiricalFisher`], [`MonteCarloFisher`], [`GradientCovariance`], [`Kfac`], [`EkFac`], [`Jacobian`] | the matrices, of a batch or of a dataset |
//! | [`operators`] | sums, multiples, damping, projections, restrictions, inverses, low rank plus diagonal |
//! | [`eigen`], [`spectrum`], [`mod@trace`] | eigenpairs at the ends (Lanczos, LOBPCG, power iteration) and inside; densities and traces of functions; traces, diagonals, norms: with errors |
//! | [`solve`] | conjugate gradients, MINRES-QLP, LSMR, trust regions, preconditioners |
//! | [`Monitor`], [`taylor_check`], [`quadratic_shares`], [`GradientStatistics`] | how ill-conditioned the loss is, where, and how noisy its gradient |
//! | [`verify()`] | linearity, symmetry, repeatability, central differences: one verdict |
//! | [`landscape`], [`symmetry`] | slices, barriers, planes; equivalent settings, alignment, forced zeros |
//! | [`ParameterLayout`] | which entries of the flat vectors belong to which parameter |
//!
//! Vectors are flat `Tensor<1>`; reductions that decide something are in f64, whatever the model's dtype; every random choice comes
//! from a [`Seed`].

mod axis;
mod blocks;
mod dataset;
mod dense;
pub mod eigen;
mod engine;
mod error;
mod estimate;
mod examples;
mod explain;
mod fisher;
mod gauss_newton;
mod gauss_newton_diagonal;
mod gradient_statistics;
mod hessian;
mod jacobian;
mod kfac;
pub mod landscape;
mod layout;
mod matrix_functions;
mod monitor;
mod objective;
mod operator;
pub mod operators;
mod output_factors;
mod point;
mod products;
mod progress;
mod rounding;
mod row_blocks;
mod rows;
mod seed;
mod shares;
pub mod solve;
pub mod spectrum;
pub mod symmetry;
#[cfg(test)]
mod test_coverage;
#[cfg(test)]
mod test_operators;
pub mod trace;
mod tridiagonal;
pub mod vector;
mod verify;

pub use dataset::{Dataset, DatasetJacobian, DatasetOperator, Gathered, Memory, PassEnding};
pub use dense::{
    DENSE_LIMIT, DenseOperator, DenseSymmetric, Eigen, dense, dense_observed, dense_up_to,
};
pub use eigen::{
    EigenEnding, Eigenpair, Eigenpairs, InteriorMethod, InteriorOptions, LanczosEnding,
    LanczosOptions, LobpcgKnowledge, LobpcgOptions, Multiplicity, PowerOptions,
    Reorthogonalisation, SpectrumEnd, TopEigenpairs, Which, interior_eigenpairs,
    interior_eigenpairs_observed, lanczos_top_k, lanczos_top_k_observed, lobpcg, lobpcg_observed,
    power_iteration, power_iteration_observed,
};
pub use error::CurvatureError;
pub use estimate::Estimate;
pub use examples::PerExample;
pub use fisher::{
    Centring, EmpiricalFisher, GradientCovariance, Likelihood, MonteCarloFisher, MonteCarloOptions,
    SampleCovariance, SampledGradient,
};
pub use gauss_newton::GaussNewton;
pub use gauss_newton_diagonal::{CurvatureDiagonal, GaussNewtonDiagonal};
pub use gradient_statistics::GradientStatistics;
pub use hessian::{Hessian, HvpMethod};
pub use jacobian::Jacobian;
pub use kfac::{
    Accumulation, Damping, EkFac, Kfac, KfacFactors, KfacOptions, KroneckerOperator, LayerFactors,
    Others, SavedFactors, WeightSharing,
};
pub use layout::{LayoutEntry, ParameterLayout};
pub use matrix_functions::{DenseCubicStep, DenseTrustRegionStep, Inertia};
pub use monitor::{Monitor, TaylorCheck, taylor_check};
pub use objective::{Mode, Objective, Precision, Reduction, Unreached};
pub use operator::{Definiteness, LinearMap, LinearOperator};
pub use operators::{
    BlockDiagonal, Damped, Diagonal, DirectSum, Inverse, InverseMethod, LogDeterminant,
    LowRankPlusDiagonal, Projected, Restricted, Scaled, Shift, Subset, Sum, Unconverged,
};
pub use output_factors::Factors;
pub use point::Point;
pub use progress::{Observer, Progress, unobserved};
pub use seed::Seed;
pub use shares::{
    Grouping, QuadraticShares, TraceShares, quadratic_shares, trace_shares, trace_shares_observed,
};
pub use solve::{
    CgEnding, CgIterate, CgOptions, CgProgress, CgResult, CgStop, Iterates, LsmrEnding,
    LsmrOptions, LsmrResult, MinresCurvature, MinresEnding, MinresOptions, MinresResult,
    conjugate_gradient, conjugate_gradient_many, conjugate_gradient_observed, lsmr, minres,
    steihaug, true_residual,
};
pub use spectrum::{SlqOptions, SpectralMeasure, condition_number, kpm, slq};
pub use trace::{
    DiagonalEstimate, HutchinsonOptions, Probe, SketchOptions, StoppingRule, TraceEstimate,
    XDiagOptions, diagonal_estimate, exact_diagonal, frobenius_norm, hutch_plus_plus,
    hutchinson_trace, intrinsic_dimension, stable_rank, xdiag, xtrace,
};
pub use verify::{
    Check, Outcome, Property, Verification, VerifyOptions, verify, verify_derivative,
    verify_derivative_observed, verify_hessian, verify_hessian_observed, verify_observed,
};

pub use ravine_graph::{Batch, Execution, GraphError, Keep, TensorMap};
