//! Kronecker factors at rest.

use std::ops::Range;

use super::KfacFactors;
use super::entries::Entries;
use super::factors::Pair;
use super::operator::Space;
use crate::error::{CurvatureError, check_dimension};
use crate::layout::ParameterLayout;
use crate::point::Point;
use faer::Mat;
use serde::{Deserialize, Serialize};

/// The numbers of [`KfacFactors`] with their places among the parameters, to be kept in a file: bitwise those that were saved.
///
/// # Shapes
///
/// One pair of matrices for each layer (or group of a grouped convolution), column by column.
///
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::prelude::*;
/// use ravine_curvature::{KfacFactors, KfacOptions, Objective};
///
/// let device = Device::flex();
/// let model = LinearConfig::new(3, 2).init(&device);
/// let objective = Objective::new(
///     |model: &Linear, (x, _): &(Tensor<2>, Tensor<2>)| model.forward(x.clone()),
///     |outputs, (_, y)| (outputs - y.clone()).powi_scalar(2).mean(),
/// );
/// let batch = (Tensor::<2>::ones([5, 3], &device), Tensor::<2>::zeros([5, 2], &device));
/// let point = objective.at(&model, &batch)?;
/// let factors = KfacFactors::at(&point, &KfacOptions::default())?;
/// let again = factors.save().on(&point)?;
/// let [a, b] = [&factors, &again].map(|f| f.layers().next().expect("one layer").activations.clone());
/// assert_eq!(a, b);
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedFactors {
    dim: usize,
    /// Names and shapes of the parameters, in their order.
    parameters: Vec<(String, Vec<usize>)>,
    entries: Vec<Entries>,
    other_ranges: Vec<Range<usize>>,
    /// A and B of each block.
    pairs: Vec<[Vec<f64>; 2]>,
    others: Vec<Vec<f64>>,
    examples: f64,
    passes: usize,
}

impl KfacFactors {
    /// Their numbers.
    pub fn save(&self) -> SavedFactors {
        let numbers = |matrix: &Mat<f64>| -> Vec<f64> {
            matrix.col_iter().flat_map(|c| c.iter().copied()).collect()
        };
        SavedFactors {
            dim: self.space.dim,
            parameters: parameters(&self.layout),
            entries: self.space.entries.to_vec(),
            other_ranges: self.space.others.to_vec(),
            pairs: (self.pairs.iter())
                .map(|pair| [numbers(&pair.a), numbers(&pair.b)])
                .collect(),
            others: self.others.clone(),
            examples: self.examples,
            passes: self.passes,
        }
    }
}

impl SavedFactors {
    /// Parameters of the model that they belong to.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The factors for the model, the device and the dtype of a point.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Dimension`] for a model of another size or with other parameters, or for matrices that do not have the sizes of
    /// their layers.
    pub fn on(&self, point: &Point) -> Result<KfacFactors, CurvatureError> {
        check_dimension("saved Kronecker factors", self.dim, point.dim())?;
        let known = parameters(point.layout());
        let same = self.parameters.iter().zip(&known);
        let same = same.take_while(|(saved, known)| saved == known).count();
        let count = self.parameters.len().max(known.len());
        check_dimension(
            "parameters that saved Kronecker factors share with the model",
            same,
            count,
        )?;
        let layers = self.entries.len();
        check_dimension(
            "layers with saved Kronecker factors",
            self.pairs.len(),
            layers,
        )?;
        let lengths = |ranges: &[Range<usize>]| ranges.iter().map(|range| range.len()).sum();
        let others = self.others.iter().map(Vec::len).sum();
        check_dimension("saved diagonals", others, lengths(&self.other_ranges))?;
        let blocks = self.entries.iter().zip(&self.pairs);
        let pairs = blocks.map(|(entries, [a, b])| {
            Ok(Pair {
                a: square(a, entries.inputs)?,
                b: square(b, entries.outputs)?,
            })
        });
        Ok(KfacFactors {
            layout: point.layout().clone(),
            space: Space {
                dim: self.dim,
                device: point.device().clone(),
                dtype: point.dtype(),
                entries: self.entries.clone().into(),
                others: self.other_ranges.clone().into(),
            },
            pairs: pairs.collect::<Result<_, CurvatureError>>()?,
            others: self.others.clone(),
            examples: self.examples,
            passes: self.passes,
        })
    }
}

/// Names and shapes in their order.
fn parameters(layout: &ParameterLayout) -> Vec<(String, Vec<usize>)> {
    let entries = layout.entries().iter();
    entries
        .map(|entry| (entry.name.clone(), entry.shape.to_vec()))
        .collect()
}

fn square(numbers: &[f64], size: usize) -> Result<Mat<f64>, CurvatureError> {
    check_dimension("a saved Kronecker factor", numbers.len(), size * size)?;
    Ok(Mat::from_fn(size, size, |i, j| numbers[j * size + i]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KfacOptions, Objective};
    use burn::nn::{Linear, LinearConfig};
    use burn::prelude::*;

    fn point(inputs: usize) -> Point {
        let device = Device::flex();
        let model = LinearConfig::new(inputs, 2).init(&device);
        let objective = Objective::new(
            |model: &Linear, (x, _): &(Tensor<2>, Tensor<2>)| model.forward(x.clone()),
            |outputs, (_, y)| (outputs - y.clone()).powi_scalar(2).mean(),
        );
        let x = Tensor::<1, Int>::arange(0..5 * inputs as i64, &device).float();
        let batch = (
            x.sin().reshape([5, inputs]),
            Tensor::<2>::zeros([5, 2], &device),
        );
        objective.at(&model, &batch).unwrap()
    }

    #[test]
    fn what_is_read_is_what_was_saved() {
        let point = point(3);
        let factors = KfacFactors::at(&point, &KfacOptions::default()).unwrap();
        let saved = factors.save();
        let again = saved.on(&point).unwrap();
        for (old, new) in factors.layers().zip(again.layers()) {
            assert_eq!((old.weight, old.bias), (new.weight, new.bias));
            assert_eq!(old.activations, new.activations);
            assert_eq!(old.gradients, new.gradients);
        }
        assert_eq!(again.save(), saved);
        assert_eq!((factors.passes(), again.passes()), (3, 3));
    }

    #[test]
    fn another_model_and_broken_numbers_are_refused() {
        let factors = KfacFactors::at(&point(3), &KfacOptions::default()).unwrap();
        let mut saved = factors.save();
        let refused = |saved: &SavedFactors, point: &Point| {
            matches!(saved.on(point), Err(CurvatureError::Dimension { .. }))
        };
        assert!(refused(&saved, &point(4)));
        saved.pairs[0][1].pop();
        assert!(refused(&saved, &point(3)));
    }

    #[test]
    fn factors_of_another_model_of_the_same_size_are_refused() {
        // 3 · 2 + 2 parameters as 1 · 4 + 4
        let factors = KfacFactors::at(&point(3), &KfacOptions::default()).unwrap();
        let device = Device::flex();
        let model = LinearConfig::new(1, 4).init(&device);
        let objective = Objective::new(
            |model: &Linear, (x, _): &(Tensor<2>, Tensor<2>)| model.forward(x.clone()),
            |outputs, (_, y)| (outputs - y.clone()).powi_scalar(2).mean(),
        );
        let batch = (
            Tensor::ones([5, 1], &device),
            Tensor::zeros([5, 4], &device),
        );
        let other = objective.at(&model, &batch).unwrap();
        let refused = factors.save().on(&other);
        assert!(matches!(refused, Err(CurvatureError::Dimension { .. })));
        let mut torn = factors.save();
        torn.pairs.pop();
        assert!(torn.on(&point(3)).is_err());
    }
}
