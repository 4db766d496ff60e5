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
//! | [`Objective`] | a loss of a module on a batch, recorded as a graph with its derivatives |
//! | [`Point`] | loss, gradient and Hessian at certain parameters |
//! | [`Hessian`], [`LinearOperator`] | products with the Hessian; what algorithms take |
//! | [`Monitor`], [`taylor_check`] | how ill-conditioned the loss is along its gradient, and whether the Taylor model holds |
//! | [`lanczos_top_k`], [`dense`], [`solve`] | eigenpairs with residuals, the whole matrix of a small model, solves |
//! | [`operators`], [`verify()`] | sums, parts, inverses of operators; whether an operator can be trusted |
//! | [`ParameterLayout`] | which entries of the flat vectors belong to which parameter |
//!
//! Vectors are flat `Tensor<1>`; reductions that decide something are in f64, whatever the model's dtype; every random choice comes
//! from a [`Seed`].

mod blocks;
mod dense;
mod engine;
mod error;
mod estimate;
mod examples;
mod explain;
mod gauss_newton;
mod hessian;
mod lanczos;
mod layout;
mod matrix_functions;
mod monitor;
mod objective;
mod operator;
pub mod operators;
mod point;
mod products;
mod progress;
mod rounding;
mod rows;
mod seed;
pub mod solve;
#[cfg(test)]
mod test_operators;
pub mod vector;
mod verify;

pub use dense::{DENSE_LIMIT, DenseOperator, DenseSymmetric, Eigen, dense, dense_up_to};
pub use error::CurvatureError;
pub use estimate::Estimate;
pub use examples::PerExample;
pub use gauss_newton::GaussNewton;
pub use hessian::{Hessian, HvpMethod};
pub use lanczos::{Eigenpair, LanczosEnding, LanczosOptions, TopEigenpairs, Which, lanczos_top_k};
pub use layout::{LayoutEntry, ParameterLayout};
pub use matrix_functions::{DenseTrustRegionStep, Inertia};
pub use monitor::{Monitor, TaylorCheck, taylor_check};
pub use objective::{Mode, Objective, Precision, Unreached};
pub use operator::{Definiteness, LinearMap, LinearOperator};
pub use operators::{
    BlockDiagonal, Damped, Diagonal, DirectSum, Inverse, InverseMethod, LogDeterminant,
    LowRankPlusDiagonal, Projected, Restricted, Scaled, Shift, Subset, Sum, Unconverged,
};
pub use point::Point;
pub use progress::{Observer, Progress, unobserved};
pub use seed::Seed;
pub use solve::{
    CgEnding, CgIterate, CgOptions, CgProgress, CgResult, CgStop, Iterates, LsmrEnding,
    LsmrOptions, LsmrResult, MinresCurvature, MinresEnding, MinresOptions, MinresResult,
    conjugate_gradient, conjugate_gradient_many, conjugate_gradient_observed, lsmr, minres,
    steihaug, true_residual,
};
pub use verify::{
    Check, Outcome, Property, Verification, VerifyOptions, verify, verify_derivative,
    verify_hessian,
};

pub use ravine_graph::{Batch, Execution, GraphError, Keep, TensorMap};
