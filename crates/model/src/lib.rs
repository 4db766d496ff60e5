//! Models, losses, datasets and ill-conditioned problems, in plain Burn.
//!
//! Everything that an experiment about curvature needs to start from, and nothing about curvature itself: the crate depends on Burn alone and is
//! of use to any Burn project.
//!
//! | module | holds |
//! |---|---|
//! | [`problems`] | functions with a known minimum: [`Quadratic`](problems::Quadratic)s with a chosen spectrum (condition numbers to 1e12 and beyond, in f32 too), [`Rosenbrock`](problems::Rosenbrock), [`Beale`](problems::Beale), a [`Ravine`](problems::Ravine) with a tunable angle |
//! | [`models`] | [`LogisticRegression`](models::LogisticRegression), [`DeepLinear`](models::DeepLinear), [`Mlp`](models::Mlp), [`SmallCnn`](models::SmallCnn), [`Autoencoder`](models::Autoencoder), and reproducible [`initialise`](models::initialise) for any of them |
//! | [`losses`] | [`cross_entropy`](losses::cross_entropy), [`mse`](losses::mse), [`binary_cross_entropy_with_logits`](losses::binary_cross_entropy_with_logits), all means and twice differentiable; accuracies |
//! | [`datasets`] | [`Digits`](datasets::Digits) and [`BreastCancer`](datasets::BreastCancer) and a text as [`Characters`](datasets::Characters), compiled in; [`SyntheticRegression`](datasets::SyntheticRegression); MNIST behind the feature `mnist` |
//!
//! ```
//! use burn::prelude::*;
//! use ravine_model::datasets::{Dataset, Digits, Standardisation};
//! use ravine_model::losses::{accuracy, cross_entropy};
//! use ravine_model::models::{Activation, MlpConfig};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let device = Device::flex();
//! let (train, test) = Digits::load().split(0.2, 0)?;
//! let train = train.standardised(Standardisation::UnitInterval);
//! let test = test.scaled_like(&train)?;
//!
//! let model = MlpConfig::new(train.features(), [32], train.classes())
//!     .with_activation(Activation::Tanh)
//!     .with_seed(1)
//!     .init(&device)?;
//!
//! let (images, labels) = test.full_batch(&device);
//! let logits = model.forward(images);
//! let loss: f64 = cross_entropy(logits.clone(), labels.clone()).into_scalar();
//! let hits = accuracy(logits, labels);
//! // Nothing is learnt yet: a loss near log 10, one digit in ten right.
//! assert!((loss - 10f64.ln()).abs() < 0.2 && hits < 0.4);
//! # Ok(())
//! # }
//! ```
//!
//! # Conventions
//!
//! - **Seeds.** All random choices are functions of the seed in a configuration or argument. Burn's process-wide generator is never
//!   used, and two choices under one seed (a basis and a start, two layers) are independent.
//! - **Dtypes.** Values are f64 until they become tensors, and are rounded once. Whatever makes tensors takes a device, for its default dtype, or
//!   `(&device, DType::F64)`.
//! - **Batches** are tuples of tensors ([`datasets::LabelledBatch`], [`datasets::TargetBatch`]).
//! - **Configurations** are serde structs that refuse unknown keys; every option has a default, and what cannot be built is an error.
//! - **Losses** are means, and never read the data of a tensor.
//!
//! # Features
//!
//! - `mnist`: [`datasets`] gains `Mnist`, which downloads 11 MB on first use.

pub mod datasets;
pub mod losses;
pub mod models;
mod orthogonal;
pub mod problems;
mod random;
mod spectrum;
