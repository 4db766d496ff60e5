//! Steps through ill-conditioned losses, with their bill: gradient descent with shrinking rates, Newton-type methods, and the
//! optimisers of Burn, all in one loop that counts losses, gradients and curvature products.
//!
//! A [`Method`] takes one step at a time and asks an [`Oracle`] for what it needs; the oracle counts ([`Cost`]) and
//! forgets nothing it has just been told. [`Method::state`] takes out what a method remembers, so that a run can be cut and go on. [`run`] repeats the step on the whole data or on a stream of batches until a
//! [`Budget`] ends it, and leaves a [`Trajectory`] with a row per step: loss, rate, the change that the method's model promised and
//! the change that was measured, cost and time. How a step or a run ends is data ([`StepEnding`], [`Ending`]): negative
//! curvature, a singular matrix or NaN are findings, not failures.
//!
//! | first order | per step | for |
//! |---|---|---|
//! | [`GradientDescent`] (on batches: [`Sgd`]) | 1 gradient | rates by [`Schedule`]: constant, steps, exponential, cosine, inverse time, plateau |
//! | [`Descent`] | 1 gradient | any [`Direction`] ([`HeavyBall`], [`Nesterov`], [`Chebyshev`], [`NonlinearCg`], [`Lbfgs`]) with any [`LearningRate`] |
//! | … with [`BurnDirection`] | 1 gradient | the optimisers of Burn with warm-up, caps, rules and searches |
//! | [`BurnOptimizer`] | 1 gradient | momentum, Adam, AdamW, RMSProp, AdaGrad, Adafactor, Adan, LAMB, Lion, Muon as they are |
//! | [`BurnLbfgs`] | 1 gradient an evaluation | L-BFGS of Burn |
//!
//! | learning rates | per step | for |
//! |---|---|---|
//! | [`RateRule`] | | Polyak, Barzilai-Borwein and hypergradient rates |
//! | [`CurvatureCap`] | + 1 product | ε ≤ c · gᵀg / gᵀHg |
//! | [`SharpnessCap`] | + a few products now and then | ε ≤ c / λ_max |
//! | [`Armijo`] backtracking | + 1 loss a trial | a decrease in every step |
//! | [`StrongWolfe`] | + 1 loss, at most 1 gradient a trial | quasi-Newton and conjugate directions |
//!
//! | Newton's method | per step | for |
//! |---|---|---|
//! | [`Newton`] | 1 gradient, dim products | small models; undamped, fixed or adaptive [`Damping`] |
//! | [`NewtonCg`] | 1 gradient, 1 product an iteration | large models; negative curvature is found and reported |
//! | [`SaddleFreeNewton`] | 1 gradient, dim or k products | −\|H\|⁻¹g: saddles repel it |
//! | [`TrustRegion`] | 1 gradient, 1 loss, 1 product an iteration | a radius that follows how well the model foretells the loss |
//! | [`CubicNewton`] | 1 gradient, 1 loss, 1 product an iteration | the same with a cubic term in place of a radius |
//! | [`NewtonMr`] | 1 product an iteration, 1 gradient a trial | singular and indefinite Hessians, by the norm of the gradient or the loss |
//! | [`HessianFree`] | 1 gradient, 1 Gauss-Newton product an iteration, a few losses | deep networks on large batches; the curvature can be on a part of the batch |
//! | [`Descent`] with [`NaturalGradient`] | 1 gradient, 1 Gauss-Newton product an iteration | losses with a likelihood; any [`LearningRate`], or a trust region in KL |
//!
//! | curvature in parts | per step | for |
//! |---|---|---|
//! | [`KfacDescent`] | 1 gradient, 2 passes for factors, at most 2 Gauss-Newton products | networks of linear layers and convolutions, on batches |
//! | [`Descent`] with [`AdaHessian`] | 1 gradient, 1 product, or fewer | Adam with a random estimate of the Hessian's diagonal |
//! | … with [`SophiaH`], [`SophiaG`] | 1 gradient, in every tenth 1 product or 1 gradient more | clipped steps over averaged curvatures |
//! | … with [`Shampoo`] | 1 gradient | a preconditioner for each dimension of each parameter |
//! | … with [`Soap`] | 1 gradient | Adam in the eigenbasis of Shampoo |
//!
//! `tests/ravine/trajectories.rs` holds each against an independent implementation, step by step.
//!
//! # Example
//!
//! A ravine with condition number 1000: gradient descent crawls at the best fixed rate, Newton-CG needs two products.
//!
//! ```
//! use burn::module::{Module, Param};
//! use burn::prelude::*;
//! use ravine_curvature::Objective;
//! use ravine_optim::{Budget, Ending, Forcing, GradientDescent, Method, NewtonCg, Silent, run};
//!
//! #[derive(Module, Debug)]
//! struct Ravine {
//!     theta: Param<Tensor<1>>,
//! }
//!
//! let device = Device::flex();
//! let model = Ravine { theta: Param::from_data([1.0, 0.001], &device) };
//! let curvatures = Tensor::<1>::from_data([1.0, 1000.0], &device);
//! let objective = Objective::of_loss(|model: &Ravine, curvatures: &Tensor<1>| {
//!     (model.theta.val().square() * curvatures.clone()).sum() * 0.5
//! });
//! let point = objective.at(&model, &curvatures)?;
//!
//! let budget = Budget::steps(2000).target_loss(1e-6);
//! let mut solve = |method: &mut dyn Method| run(method, &point, point.theta(), &budget, &mut Silent);
//! let descent = solve(&mut GradientDescent::new(2.0 / 1001.0))?;
//! let newton = solve(&mut NewtonCg::new().forcing(Forcing::Constant { eta: 1e-4 }))?;
//! assert_eq!(newton.rows.len(), 1);
//! assert_eq!(newton.cost.products, 2);
//! assert!(matches!(descent.ending, Ending::BudgetSpent { step: 2000, .. }));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cost;
mod cubic_newton;
mod descent;
mod direction;
mod error;
mod from_burn;
mod gain;
mod gradient_descent;
mod hessian_free;
mod kfac_descent;
mod krylov;
mod learning_rate;
mod levenberg_marquardt;
mod line_search;
mod method;
mod natural_gradient;
mod newton;
mod newton_cg;
mod newton_mr;
mod oracle;
mod pace;
mod quadratic_model;
mod rate_rule;
mod run;
mod saddle_free;
mod schedule;
#[cfg(test)]
mod second_order_tests;
mod state;
mod strong_wolfe;
#[cfg(test)]
mod test_network;
#[cfg(test)]
mod test_problems;
mod trust_region;

pub use cost::{Cost, CostWeights};
pub use cubic_newton::{CubicNewton, CubicStop, CubicSubproblem, CubicWeight};
pub use descent::Descent;
pub use direction::{
    AdaHessian, Averaged, Chebyshev, Direction, Gradient, Grafting, Heading, HeavyBall,
    HutchinsonProbes, Lbfgs, Nesterov, NonlinearCg, Normalisation, Oversized, Place, SampledLabels,
    Shampoo, Soap, SophiaG, SophiaH, SpatialAveraging, Statistics, Vectors,
};
pub use error::OptimError;
pub use from_burn::{BurnDirection, BurnLbfgs, BurnOptimizer, ParameterInfo};
pub use gradient_descent::{GradientDescent, Sgd};
pub use hessian_free::{CurvatureMatrix, HessianFree, Preconditioning};
pub use kfac_descent::{KfacDamping, KfacDescent, KfacGamma, KfacLength, ModelMomentum};
pub use learning_rate::{CurvatureCap, LearningRate, Nonmonotone, Search, SharpnessCap};
pub use levenberg_marquardt::LevenbergMarquardt;
pub use line_search::{Armijo, Line, LineSearch};
pub use method::{EndingKind, Method, Quantity, Step, StepEnding};
pub use natural_gradient::{KlRegion, NaturalGradient};
pub use newton::{AdaptiveDamping, Damping, Newton};
pub use newton_cg::{Forcing, NewtonCg};
pub use newton_mr::{Merit, NewtonMr};
pub use oracle::{Counted, CountedGaussNewton, CountedHessian, Oracle};
pub use rate_rule::{BarzilaiBorwein, PolyakTarget, RateRule};
pub use run::{Batches, Budget, Ending, Limit, Observer, Progress, Row, Silent, Trajectory, run};
pub use saddle_free::{SaddleFreeNewton, Spectrum};
pub use schedule::{Rates, Schedule};
pub use state::{Held, MethodState};
pub use strong_wolfe::StrongWolfe;
pub use trust_region::{RadiusRule, RegionSubproblem, TrustRegion};

/// The Rust snippets of the README, which `cargo test --doc` compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
