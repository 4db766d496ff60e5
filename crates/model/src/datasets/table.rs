//! Tables of real features with a real target.

use super::standardisation::Range;
use super::{Dataset, DatasetError, Scaler, Standardisation, TargetBatch, matrix, split, subset};
use burn::tensor::TensorCreationOptions;
use faer::Mat;
use std::sync::Arc;

/// Examples with real features and one real target each.
///
/// Subsets share the values, so that splitting costs nothing. A batch is `(features [n, columns], targets [n, 1])`; for two classes
/// the targets are 0 and 1.
#[derive(Clone, Debug)]
pub struct Table {
    store: Arc<Store>,
    rows: Vec<usize>,
    scaler: Arc<Scaler>,
}

#[derive(Debug)]
struct Store {
    features: Vec<f64>,
    targets: Vec<f64>,
    names: Vec<String>,
}

impl Store {
    fn row(&self, row: usize) -> impl Iterator<Item = f64> + '_ {
        let columns = self.names.len();
        self.features[row * columns..(row + 1) * columns]
            .iter()
            .copied()
    }
}

/// Whether a design has a column of ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intercept {
    /// A column of ones after the features: a model with a bias.
    Included,
    /// The features alone.
    Absent,
}

impl Table {
    /// A table of the caller's own: `features` row by row, with a name for each column, and a target for each row.
    ///
    /// # Errors
    ///
    /// [`DatasetError::Shape`] when the numbers of features, targets and names do not fit or are zero, [`DatasetError::Value`] when
    /// a value is not finite.
    ///
    /// ```
    /// use ravine_model::datasets::{Dataset, Table};
    ///
    /// let table = Table::new(["height", "width"], vec![1.0, 2.0, 3.0, 4.0], vec![0.5, 0.7])?;
    /// assert_eq!((table.len(), table.features()), (2, 2));
    /// # Ok::<(), ravine_model::datasets::DatasetError>(())
    /// ```
    pub fn new(
        names: impl IntoIterator<Item = impl Into<String>>,
        features: Vec<f64>,
        targets: Vec<f64>,
    ) -> Result<Self, DatasetError> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        let expected = names.len().max(1) * targets.len().max(1);
        if features.len() != expected {
            return Err(DatasetError::Shape {
                what: "features",
                found: features.len(),
                expected,
            });
        }
        for (what, values) in [("features", &features), ("targets", &targets)] {
            if let Some(position) = values.iter().position(|value| !value.is_finite()) {
                let value = values[position];
                return Err(DatasetError::Value {
                    what,
                    position,
                    value,
                });
            }
        }
        if names.is_empty() || targets.is_empty() {
            return Err(DatasetError::Shape {
                what: "columns or rows",
                found: 0,
                expected: 1,
            });
        }
        let rows: Vec<usize> = (0..targets.len()).collect();
        let store = Store {
            features,
            targets,
            names,
        };
        let scaler = fit(&store, &rows, Standardisation::Raw);
        Ok(Table {
            store: Arc::new(store),
            rows,
            scaler: Arc::new(scaler),
        })
    }

    /// A random partition into (train, test), `test_fraction` of the examples in the latter. The scale of the features stays as it is.
    ///
    /// # Errors
    ///
    /// [`DatasetError::Fraction`] when a part would be empty.
    pub fn split(&self, test_fraction: f64, seed: u64) -> Result<(Self, Self), DatasetError> {
        let (train, test) = split(&self.rows, test_fraction, seed)?;
        Ok((self.with_rows(train), self.with_rows(test)))
    }

    /// `size` examples at random.
    ///
    /// # Errors
    ///
    /// [`DatasetError::Subset`] when `size` is zero or more than there are.
    pub fn subset(&self, size: usize, seed: u64) -> Result<Self, DatasetError> {
        Ok(self.with_rows(subset(&self.rows, size, seed)?))
    }

    /// The same examples, scaled by their own statistics. Targets are never scaled.
    pub fn standardised(mut self, standardisation: Standardisation) -> Self {
        self.scaler = Arc::new(fit(&self.store, &self.rows, standardisation));
        self
    }

    /// The same examples, scaled as those of `other`: what a test set needs.
    ///
    /// # Errors
    ///
    /// [`DatasetError::Shape`] when the numbers of columns differ.
    pub fn scaled_like(mut self, other: &Self) -> Result<Self, DatasetError> {
        other.scaler.check(self.features())?;
        self.scaler = Arc::clone(&other.scaler);
        Ok(self)
    }

    /// The number of columns.
    pub fn features(&self) -> usize {
        self.store.names.len()
    }

    /// The names of the columns.
    pub fn names(&self) -> &[String] {
        &self.store.names
    }

    /// The target of each example.
    pub fn targets(&self) -> Vec<f64> {
        self.rows.iter().map(|r| self.store.targets[*r]).collect()
    }

    /// How the features are scaled.
    pub fn scaler(&self) -> &Scaler {
        &self.scaler
    }

    /// The condition number of the second-moment matrix (1/n) [X 1]ᵀ[X 1] of the scaled features with an intercept.
    ///
    /// It is what a linear model on these features has to deal with: the Hessian of mean squared error is twice this matrix, and that
    /// of logistic regression at zero a quarter of it. From the singular values of the design in f64, so that figures up to
    /// about 1e28 can be trusted; dependent columns show as more than that, or as infinity.
    ///
    /// # Errors
    ///
    /// [`DatasetError::Decomposition`] when the singular values could not be computed.
    ///
    /// ```
    /// use ravine_model::datasets::{BreastCancer, Standardisation};
    ///
    /// let raw = BreastCancer::load();
    /// assert_eq!(format!("{:.1e}", raw.second_moment_condition_number()?), "2.4e12");
    /// let standardised = raw.standardised(Standardisation::Standardised);
    /// assert_eq!(format!("{:.1e}", standardised.second_moment_condition_number()?), "1.0e5");
    /// # Ok::<(), ravine_model::datasets::DatasetError>(())
    /// ```
    pub fn second_moment_condition_number(&self) -> Result<f64, DatasetError> {
        let eigenvalues = self.second_moment_eigenvalues(Intercept::Included)?;
        let largest = eigenvalues.first().copied().unwrap_or(0.0);
        let smallest = eigenvalues.last().copied().unwrap_or(0.0);
        Ok(largest / smallest)
    }

    /// The eigenvalues of the second-moment matrix (1/n) XᵀX of the scaled features, the largest first.
    ///
    /// Computed as squared singular values of X/√n, so that small ones are not lost in forming XᵀX. O(n · columns²) in f64. With fewer examples
    /// than columns the remaining eigenvalues are the zeros that they must be.
    ///
    /// # Errors
    ///
    /// [`DatasetError::Decomposition`] when the singular values could not be computed.
    pub fn second_moment_eigenvalues(
        &self,
        intercept: Intercept,
    ) -> Result<Vec<f64>, DatasetError> {
        let features = self.features();
        let columns = match intercept {
            Intercept::Included => features + 1,
            Intercept::Absent => features,
        };
        let values = self.scaled(&self.rows);
        let rows = self.rows.len();
        let root = (rows as f64).sqrt();
        let design = Mat::from_fn(rows, columns, |i, j| {
            let value = if j < features {
                values[i * features + j]
            } else {
                1.0
            };
            value / root
        });
        let singular = design
            .singular_values()
            .map_err(|_| DatasetError::Decomposition { rows, columns })?;
        let mut eigenvalues: Vec<f64> = singular.iter().map(|sigma| sigma * sigma).collect();
        eigenvalues.resize(columns, 0.0);
        Ok(eigenvalues)
    }

    fn scaled(&self, rows: &[usize]) -> Vec<f64> {
        rows.iter()
            .flat_map(|row| self.scaler.apply(self.store.row(*row)))
            .collect()
    }

    fn with_rows(&self, rows: Vec<usize>) -> Self {
        Table {
            rows,
            ..self.clone()
        }
    }
}

fn fit(store: &Store, rows: &[usize], standardisation: Standardisation) -> Scaler {
    let rows = rows.iter().map(|row| store.row(*row));
    Scaler::fit(standardisation, Range::Columns, store.names.len(), rows)
}

impl Dataset for Table {
    type Batch = TargetBatch;

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn gather(&self, rows: &[usize], options: &TensorCreationOptions) -> TargetBatch {
        let rows: Vec<usize> = rows.iter().map(|row| self.rows[*row]).collect();
        let targets = rows.iter().map(|row| self.store.targets[*row]).collect();
        (
            matrix(self.scaled(&rows), [rows.len(), self.features()], options),
            matrix(targets, [rows.len(), 1], options),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{DType, Device};

    fn table() -> Table {
        let features = vec![1.0, 10.0, 2.0, 30.0, 3.0, 20.0];
        Table::new(["a", "b"], features, vec![0.0, 1.0, 0.5]).unwrap()
    }

    #[test]
    fn a_batch_holds_the_examples_asked_for() {
        let (features, targets) = table()
            .batch(&[2, 0], (&Device::flex(), DType::F64))
            .unwrap();
        assert_eq!((features.dims(), targets.dims()), ([2, 2], [2, 1]));
        let features: Vec<f64> = features.into_data().iter::<f64>().collect();
        let targets: Vec<f64> = targets.into_data().iter::<f64>().collect();
        assert_eq!(features, [3.0, 20.0, 1.0, 10.0]);
        assert_eq!(targets, [0.5, 0.0]);
    }

    #[test]
    fn eigenvalues_are_those_of_the_second_moment_matrix() {
        let found = table()
            .second_moment_eigenvalues(Intercept::Absent)
            .unwrap();
        // XᵀX / 3 = [[14, 130], [130, 1400]] / 3
        let (trace, determinant) = (1414.0 / 3.0, (14.0 * 1400.0 - 130.0 * 130.0) / 9.0);
        let root = f64::sqrt(trace * trace - 4.0 * determinant);
        let expected = [(trace + root) / 2.0, (trace - root) / 2.0];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found / expected - 1.0).abs() < 1e-12);
        }
        // Three columns with the intercept, of which centring makes the last orthogonal to the others.
        let centred = table().standardised(Standardisation::Centred);
        let with = centred
            .second_moment_eigenvalues(Intercept::Included)
            .unwrap();
        assert_eq!(with.len(), 3);
        assert!(with.iter().any(|value| (value - 1.0).abs() < 1e-14));
    }

    #[test]
    fn fewer_rows_than_columns_have_zero_eigenvalues() {
        let table = table().with_rows(vec![0]);
        let found = table
            .second_moment_eigenvalues(Intercept::Included)
            .unwrap();
        assert_eq!(found.len(), 3);
        assert_eq!(found[1..], [0.0, 0.0]);
        assert_eq!(table.second_moment_condition_number(), Ok(f64::INFINITY));
    }

    #[test]
    fn tables_that_do_not_fit_are_errors() {
        let shape = Table::new(["a"], vec![1.0, 2.0], vec![1.0]);
        assert!(matches!(shape, Err(DatasetError::Shape { .. })));
        let empty = Table::new(Vec::<String>::new(), vec![], vec![]);
        assert!(matches!(empty, Err(DatasetError::Shape { .. })));
        let nan = Table::new(["a"], vec![f64::NAN], vec![1.0]);
        assert!(matches!(nan, Err(DatasetError::Value { .. })));
    }
}
