//! Symmetries of networks in the space of their parameters.
//!
//! Hidden units can change places, units with an odd activation (tanh) can change sign, and units with a positively homogeneous one
//! (ReLU) can trade scale between what comes in and what goes out: the network stays the same function, so that each of its minima is
//! one of many. [`HiddenLayers`] describes where the units of a network lie in its flat parameter vector; on it stand
//!
//! | | |
//! |---|---|
//! | [`Transformation`] | permutations, sign flips and scales of units, applied to parameters, gradients and eigenvectors |
//! | [`EquivalentMinima`], [`discrete_transformations`] | how many equivalent minima there are, and all of them for a tiny network |
//! | [`align`], [`align_with_barrier`], [`distance_modulo_symmetry`] | the transformation that brings one network closest to another |
//! | [`canonical`], [`balanced`] | one representative of all equivalent parameters |
//! | [`Generators`] | continuous symmetries, and the zero eigenvalues of the Hessian that they force |
//!
//! ```
//! use burn::nn::LinearConfig;
//! use burn::prelude::*;
//! use ravine_curvature::ParameterLayout;
//! use ravine_curvature::symmetry::{EquivalentMinima, HiddenLayers, UnitActivation};
//!
//! let device = Device::flex();
//! let layers = vec![LinearConfig::new(4, 3).init(&device), LinearConfig::new(3, 2).init(&device)];
//! let layout = ParameterLayout::of(&layers)?;
//! let hidden = HiddenLayers::of_layout(&layout, UnitActivation::Odd)?;
//! assert_eq!(EquivalentMinima::of(&hidden).exact, Some(6 * 8)); // 3! permutations, 2³ signs
//! # Ok::<(), ravine_curvature::CurvatureError>(())
//! ```

mod alignment;
mod assignment;
mod balance;
mod canonical;
mod counting;
mod generators;
mod layers;
mod null_space;
mod transformation;

pub use alignment::{
    AlignedBarriers, Alignment, AlignmentEnding, AlignmentOptions, align, align_observed,
    align_with_barrier, distance_modulo_symmetry,
};
pub use assignment::assignment;
pub use balance::balanced;
pub use canonical::canonical;
pub use counting::{EquivalentMinima, discrete_transformations};
pub use generators::{Generator, Generators};
pub use layers::{HiddenLayer, HiddenLayers, UnitActivation};
pub use null_space::{ForcedNullSpace, SymmetryDefects};
pub use transformation::{Transformation, UnitMap};

#[cfg(test)]
mod tests;
