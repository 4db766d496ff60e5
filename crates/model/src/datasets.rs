//! Datasets that ship with the crate, generated ones, and MNIST for those who have it.
//!
//! A dataset keeps its raw values in f64 or bytes. What a batch holds is chosen by [`Standardisation`] and rounded once, when the
//! tensors are made, to the device's default dtype or to that of `(&device, dtype)`. A batch is a tuple of tensors:
//! [`LabelledBatch`] for classification, [`TargetBatch`] for everything with real targets.
//!
//! ```
//! use burn::prelude::*;
//! use ravine_model::datasets::{Dataset, Digits, Standardisation};
//!
//! let device = Device::flex();
//! let (train, test) = Digits::load().split(0.2, 0)?;
//! let train = train.standardised(Standardisation::UnitInterval);
//! let test = test.scaled_like(&train)?;
//!
//! let batches = train.batches(64, 1, &device)?;
//! for epoch in 0..2 {
//!     for (images, labels) in batches.epoch(epoch) {
//!         assert_eq!(images.dims()[0], labels.dims()[0]);
//!     }
//! }
//! let (images, _) = test.full_batch(&device);
//! assert_eq!(images.dims(), [359, 64]);
//! # Ok::<(), ravine_model::datasets::DatasetError>(())
//! ```

mod batches;
mod breast_cancer;
mod characters;
mod digits;
mod images;
#[cfg(feature = "mnist")]
mod mnist;
mod standardisation;
mod synthetic_regression;
mod table;

pub use batches::{Batches, Epoch, Remainder};
pub use breast_cancer::BreastCancer;
pub use characters::{CharacterBatch, Characters};
pub use digits::Digits;
pub use images::LabelledImages;
#[cfg(feature = "mnist")]
pub use mnist::Mnist;
pub use standardisation::{Scaler, Standardisation};
pub use synthetic_regression::{SyntheticRegression, SyntheticRegressionConfig};
pub use table::{Intercept, Table};

use crate::problems::ProblemError;
use crate::random::stream;
use burn::tensor::{Int, Tensor, TensorCreationOptions, TensorData};
use rand::seq::SliceRandom;

/// Inputs and the class of each example, 0 to classes − 1.
pub type LabelledBatch<const D: usize> = (Tensor<D>, Tensor<1, Int>);

/// Inputs `[n, features]` and real targets `[n, outputs]`; 0 and 1 for two classes.
pub type TargetBatch = (Tensor<2>, Tensor<2>);

/// Examples that can be put into batches by their number.
pub trait Dataset {
    /// What a batch is: a tuple of tensors, the number of examples in their first dimension.
    type Batch;

    /// The number of examples, at least one.
    fn len(&self) -> usize;

    /// The batch of the given examples, in that order.
    ///
    /// # Panics
    ///
    /// When a row is not below [`len`](Dataset::len), as indexing a slice does; [`batch`](Dataset::batch) returns an error instead.
    fn gather(&self, rows: &[usize], options: &TensorCreationOptions) -> Self::Batch;

    /// Whether there are no examples; the datasets of this crate always have some.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The batch of the given examples, in that order, on a device.
    ///
    /// # Errors
    ///
    /// [`DatasetError::Row`] when a row is not below [`len`](Dataset::len).
    fn batch(
        &self,
        rows: &[usize],
        options: impl Into<TensorCreationOptions>,
    ) -> Result<Self::Batch, DatasetError> {
        let len = self.len();
        match rows.iter().find(|row| **row >= len) {
            Some(row) => Err(DatasetError::Row { row: *row, len }),
            None => Ok(self.gather(rows, &options.into())),
        }
    }

    /// All examples as one batch, in their order.
    fn full_batch(&self, options: impl Into<TensorCreationOptions>) -> Self::Batch {
        let rows: Vec<usize> = (0..self.len()).collect();
        self.gather(&rows, &options.into())
    }

    /// Batches of `size` examples, shuffled anew in every epoch as a function of `seed` and of the epoch's number.
    ///
    /// # Errors
    ///
    /// [`DatasetError::BatchSize`] when `size` is zero or above [`len`](Dataset::len).
    fn batches(
        &self,
        size: usize,
        seed: u64,
        options: impl Into<TensorCreationOptions>,
    ) -> Result<Batches<'_, Self>, DatasetError>
    where
        Self: Sized,
    {
        Batches::new(self, size, seed, options.into())
    }
}

/// What can be wrong with a request to a dataset.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// No such example.
    #[error("there is no example {row}: the dataset has {len}")]
    Row {
        /// The example asked for, from 0.
        row: usize,
        /// The number of examples.
        len: usize,
    },
    /// A batch size that makes no batch.
    #[error("a batch of {size} from a dataset of {len}")]
    BatchSize {
        /// The size asked for.
        size: usize,
        /// The number of examples.
        len: usize,
    },
    /// A share of random labels that is no share.
    #[error("a fraction of {fraction} random labels: it must be in 0..=1")]
    RandomLabels {
        /// The fraction asked for.
        fraction: f64,
    },
    /// A split that leaves one part empty.
    #[error(
        "a test fraction of {fraction} leaves nothing to train or to test on among {len} examples"
    )]
    Fraction {
        /// The fraction asked for.
        fraction: f64,
        /// The number of examples.
        len: usize,
    },
    /// A subset without examples, or with more than there are.
    #[error("a subset of {size} from a dataset of {len}")]
    Subset {
        /// The size asked for.
        size: usize,
        /// The number of examples.
        len: usize,
    },
    /// Lengths that do not belong together.
    #[error("{found} {what} where {expected} belong")]
    Shape {
        /// What was counted.
        what: &'static str,
        /// The number found.
        found: usize,
        /// The number that fits.
        expected: usize,
    },
    /// A value that is not finite.
    #[error("the {what} hold {value} at position {position}")]
    Value {
        /// Features or targets.
        what: &'static str,
        /// Position in row-major order.
        position: usize,
        /// The value.
        value: f64,
    },
    /// A design whose spectrum is impossible.
    #[error("the design: {0}")]
    Design(#[from] ProblemError),
    /// More features than examples.
    #[error("a design with {features} features needs at least as many examples, not {examples}")]
    Underdetermined {
        /// Examples asked for.
        examples: usize,
        /// Features asked for.
        features: usize,
    },
    /// The singular values of a design could not be computed.
    #[error("the singular value decomposition of a {rows}x{columns} design did not converge")]
    Decomposition {
        /// Examples.
        rows: usize,
        /// Features, the intercept included.
        columns: usize,
    },
    /// A download failed.
    #[error("{name} could not be downloaded or read: {reason}")]
    Download {
        /// The dataset.
        name: &'static str,
        /// What the downloader said.
        reason: String,
    },
}

/// A random partition of `rows` into (train, test), each in the original order.
fn split(
    rows: &[usize],
    fraction: f64,
    seed: u64,
) -> Result<(Vec<usize>, Vec<usize>), DatasetError> {
    let len = rows.len();
    let test = (len as f64 * fraction).round();
    // Written so that NaN is refused as well.
    let usable = test >= 1.0 && test <= len as f64 - 1.0;
    if !usable {
        return Err(DatasetError::Fraction { fraction, len });
    }
    let mut shuffled = rows.to_vec();
    shuffled.shuffle(&mut stream(seed, "dataset split"));
    let mut train = shuffled.split_off(test as usize);
    train.sort_unstable();
    shuffled.sort_unstable();
    Ok((train, shuffled))
}

/// `size` of `rows` at random, in the original order.
fn subset(rows: &[usize], size: usize, seed: u64) -> Result<Vec<usize>, DatasetError> {
    if size == 0 || size > rows.len() {
        return Err(DatasetError::Subset {
            size,
            len: rows.len(),
        });
    }
    let mut shuffled = rows.to_vec();
    shuffled.shuffle(&mut stream(seed, "dataset subset"));
    shuffled.truncate(size);
    shuffled.sort_unstable();
    Ok(shuffled)
}

fn matrix(
    values: Vec<f64>,
    [rows, columns]: [usize; 2],
    options: &TensorCreationOptions,
) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, [rows, columns]), options.clone())
}

/// Labels in the device's default integer dtype; the dtype of `options` is for the features.
fn labels(values: Vec<i64>, options: &TensorCreationOptions) -> Tensor<1, Int> {
    let shape = [values.len()];
    Tensor::from_data(TensorData::new(values, shape), &options.device)
}

/// The fields of a CSV line as numbers; the text is compiled in and covered by tests.
fn numbers(line: &'static str) -> impl Iterator<Item = f64> {
    line.split(',').map(|field| {
        let field = field.trim();
        let message = "the data files are part of the crate and its tests parse them";
        field.parse().expect(message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_is_a_partition_and_depends_on_the_seed() {
        let rows: Vec<usize> = (100..150).collect();
        let (train, test) = split(&rows, 0.3, 1).unwrap();
        assert_eq!((train.len(), test.len()), (35, 15));
        let mut all = [train.clone(), test].concat();
        all.sort_unstable();
        assert_eq!(all, rows);
        assert_eq!(split(&rows, 0.3, 1).unwrap().0, train);
        assert_ne!(split(&rows, 0.3, 2).unwrap().0, train);
    }

    #[test]
    fn neither_part_may_be_empty() {
        let rows = [0, 1, 2];
        for fraction in [0.0, 0.1, 0.9, 1.0, -1.0, 2.0, f64::NAN] {
            let error = split(&rows, fraction, 0);
            assert!(
                matches!(error, Err(DatasetError::Fraction { .. })),
                "{fraction}"
            );
        }
        for size in [0, 4] {
            let error = subset(&rows, size, 0);
            assert!(matches!(error, Err(DatasetError::Subset { .. })));
        }
        assert_eq!(subset(&rows, 3, 0).unwrap(), rows);
    }
}
