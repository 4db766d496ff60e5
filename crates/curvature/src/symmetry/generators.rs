//! Continuous symmetries by their generators: the directions in which parameters can move without changing the network.

use super::layers::{HiddenLayers, UnitActivation, shape_error};
use crate::error::CurvatureError;
use crate::layout::ParameterLayout;
use crate::vector::{from_f64, to_f64};
use burn::prelude::Tensor;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The generator of a one-parameter family of symmetries: the tangent of its orbit at θ is Aθ, or constant for a shift.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Generator {
    /// Unit `to` takes up what comes into unit `from`, and what leaves unit `from` loses what leaves unit `to`. With `from` = `to`, the scale of
    /// one unit: A is +1 on what comes in, −1 on what goes out. With `from` ≠ `to`, a mixture of linear units.
    Mix {
        /// The hidden layer, from 0.
        layer: usize,
        /// The unit that is added.
        from: usize,
        /// The unit that it is added to.
        to: usize,
    },
    /// The same constant is added to all of these parameters.
    Shift {
        /// Their places in the flat vector.
        range: Range<usize>,
    },
}

/// Generators of the continuous symmetries of a network.
///
/// At every θ each generator A satisfies gᵀ(Aθ) = 0 and H(Aθ) = −Aᵀg, so that Aθ is an eigenvector of H with eigenvalue zero at
/// a stationary point; a shift is one everywhere. [`forced_null_space`](Generators::forced_null_space) counts these zeros.
///
/// # References
///
/// D. Kunin et al., Neural mechanics: symmetry and broken conservation laws in deep learning dynamics, ICLR 2021, section 3;
/// L. Dinh et al., Sharp minima can generalize for deep nets, ICML 2017, section 4.
#[derive(Clone, Debug)]
pub struct Generators {
    layers: HiddenLayers,
    list: Vec<Generator>,
}

impl Generators {
    /// The scale of each homogeneous unit, and all m² mixtures of each linear layer (the Lie algebra of GL(m)).
    pub fn of(layers: &HiddenLayers) -> Self {
        let of_layer = |(layer, described): (usize, &super::HiddenLayer)| {
            let units = described.units;
            let mixes = match described.activation {
                UnitActivation::Linear => units * units,
                UnitActivation::PositivelyHomogeneous => units,
                UnitActivation::Odd | UnitActivation::Other => 0,
            };
            let linear = described.activation == UnitActivation::Linear;
            (0..mixes).map(move |index| {
                let (from, to) = match linear {
                    true => (index / units, index % units),
                    false => (index, index),
                };
                Generator::Mix { layer, from, to }
            })
        };
        let list = layers.layers().iter().enumerate().flat_map(of_layer);
        Self {
            list: list.collect(),
            layers: layers.clone(),
        }
    }

    /// Adds the shifts of all logits at once, which softmax does not see: a constant on all biases of the last linear layer, and one on the
    /// weights `[in, out]` from each of its inputs.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::UnknownParameter`] or [`CurvatureError::ParameterShape`] for parameters that are not those of a linear layer of
    /// this network.
    pub fn with_logit_shift(
        mut self,
        layout: &ParameterLayout,
        weight: &str,
        bias: Option<&str>,
    ) -> Result<Self, CurvatureError> {
        let entry = layout.entry(weight)?;
        let &[_, outputs] = entry.shape.as_slice() else {
            let requirement = "the weight of the last layer is [in, out]";
            return Err(shape_error(entry, requirement.to_owned()));
        };
        let rows = entry.range.clone().step_by(outputs.max(1));
        let mut ranges: Vec<Range<usize>> = rows.map(|first| first..first + outputs).collect();
        if let Some(bias) = bias {
            let entry = layout.entry(bias)?;
            if entry.shape.as_slice() != [outputs] {
                let requirement = format!("the bias of {outputs} logits is [{outputs}]");
                return Err(shape_error(entry, requirement));
            }
            ranges.push(entry.range.clone());
        }
        let shifts = ranges.into_iter().map(|range| Generator::Shift { range });
        self.list.extend(shifts);
        Ok(self)
    }

    /// The generators.
    pub fn list(&self) -> &[Generator] {
        &self.list
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Number n of parameters of the network.
    pub fn dim(&self) -> usize {
        self.layers.dim()
    }

    /// Aθ of a generator (the shift itself for a shift), a flat vector `[n]`, not normalised.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Dimension`] for a vector of another length, [`CurvatureError::Argument`] for an index that there is not.
    pub fn tangent(&self, index: usize, theta: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
        self.layers.check(theta)?;
        let Some(generator) = self.list.get(index) else {
            return Err(CurvatureError::Argument {
                name: "the index of a generator",
                value: index as f64,
                requirement: "there are fewer",
            });
        };
        let tangent = self.tangent_of(generator, &to_f64(theta));
        Ok(from_f64(&tangent, &theta.device(), theta.dtype()))
    }

    pub(super) fn layers(&self) -> &HiddenLayers {
        &self.layers
    }

    pub(super) fn check(&self, theta: &Tensor<1>) -> Result<(), CurvatureError> {
        self.layers.check(theta)
    }

    /// Aθ.
    pub(super) fn tangent_of(&self, generator: &Generator, theta: &[f64]) -> Vec<f64> {
        let mut tangent = vec![0.0; self.dim()];
        match generator {
            Generator::Shift { range } => tangent[range.clone()].fill(1.0),
            &Generator::Mix { layer, from, to } => {
                self.mix(&mut tangent, theta, layer, from, to);
            }
        }
        tangent
    }

    /// Aᵀg: a mixture's transpose exchanges its units, and a shift has no linear part.
    pub(super) fn transposed_of(&self, generator: &Generator, gradient: &[f64]) -> Vec<f64> {
        let mut product = vec![0.0; self.dim()];
        if let &Generator::Mix { layer, from, to } = generator {
            self.mix(&mut product, gradient, layer, to, from);
        }
        product
    }

    fn mix(&self, result: &mut [f64], v: &[f64], layer: usize, from: usize, to: usize) {
        let places = &self.layers.places()[layer];
        for view in places.incoming() {
            for (read, write) in view.runs(from).zip(view.runs(to)) {
                let pairs = result[write].iter_mut().zip(&v[read]);
                pairs.for_each(|(out, x)| *out += x);
            }
        }
        let outgoing = places.outgoing;
        for (read, write) in outgoing.runs(to).zip(outgoing.runs(from)) {
            let pairs = result[write].iter_mut().zip(&v[read]);
            pairs.for_each(|(out, x)| *out -= x);
        }
    }
}
