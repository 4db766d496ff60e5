//! Scaling of features, column by column.

use super::DatasetError;
use serde::{Deserialize, Serialize};

/// What is done to the features before a model sees them.
///
/// The choice decides the conditioning of everything that follows. Statistics are those of the examples that the dataset holds when it is
/// [`standardised`](super::LabelledImages::standardised), so split first and give the test part the training part's scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Standardisation {
    /// x as it is in the source.
    #[default]
    Raw,
    /// To [0, 1]: pixels over the largest possible value, columns of a table by their range, (x − min) / (max − min).
    UnitInterval,
    /// The mean of each column taken away; pixels are divided by the largest possible value as well.
    Centred,
    /// (x − mean) / standard deviation of each column, with the deviation over n. A constant column becomes 0.
    Standardised,
}

/// A map x ↦ (x − shift) · scale for each column.
#[derive(Clone, Debug, PartialEq)]
pub struct Scaler {
    standardisation: Standardisation,
    shift: Vec<f64>,
    scale: Vec<f64>,
}

/// Whether the features share a known range.
#[derive(Clone, Copy, Debug)]
pub(super) enum Range {
    /// All features lie in [0, maximum].
    Pixels { maximum: f64 },
    /// Each column has a range of its own.
    Columns,
}

impl Scaler {
    /// The map for `standardisation`, from the statistics of `rows`, which are all `columns` long. O(rows · columns).
    pub(super) fn fit<R: Iterator<Item = f64>>(
        standardisation: Standardisation,
        range: Range,
        columns: usize,
        rows: impl Iterator<Item = R> + Clone,
    ) -> Self {
        let statistics = Statistics::of(columns, rows);
        let unit = match range {
            Range::Pixels { maximum } => 1.0 / maximum,
            Range::Columns => 1.0,
        };
        let map = |column: &Column| match (standardisation, range) {
            (Standardisation::Raw, _) => (0.0, 1.0),
            (Standardisation::UnitInterval, Range::Pixels { .. }) => (0.0, unit),
            (Standardisation::UnitInterval, Range::Columns) => {
                (column.smallest, inverse(column.largest - column.smallest))
            }
            (Standardisation::Centred, _) => (column.mean, unit),
            (Standardisation::Standardised, _) => (column.mean, inverse(column.deviation)),
        };
        let (shift, scale) = statistics.iter().map(map).unzip();
        Scaler {
            standardisation,
            shift,
            scale,
        }
    }

    /// Which standardisation the map was made for.
    pub fn standardisation(&self) -> Standardisation {
        self.standardisation
    }

    /// The number of columns.
    pub fn columns(&self) -> usize {
        self.shift.len()
    }

    /// What is taken from each column.
    pub fn shift(&self) -> &[f64] {
        &self.shift
    }

    /// What each column is multiplied with afterwards.
    pub fn scale(&self) -> &[f64] {
        &self.scale
    }

    /// The scaled values of one row.
    pub(super) fn apply<'a>(
        &'a self,
        row: impl Iterator<Item = f64> + 'a,
    ) -> impl Iterator<Item = f64> + 'a {
        let maps = self.shift.iter().zip(&self.scale);
        row.zip(maps).map(|(x, (shift, scale))| (x - shift) * scale)
    }

    pub(super) fn check(&self, columns: usize) -> Result<(), DatasetError> {
        if self.columns() == columns {
            return Ok(());
        }
        Err(DatasetError::Shape {
            what: "columns of a scale",
            found: self.columns(),
            expected: columns,
        })
    }
}

/// 1/x, and 1 for a constant column, which the shift alone makes 0.
fn inverse(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { 1.0 / x }
}

#[derive(Clone, Copy)]
struct Column {
    mean: f64,
    deviation: f64,
    smallest: f64,
    largest: f64,
}

struct Statistics;

impl Statistics {
    /// Two passes, so that the deviation of a column far from zero is not lost in cancellation.
    fn of<R: Iterator<Item = f64>>(
        columns: usize,
        rows: impl Iterator<Item = R> + Clone,
    ) -> Vec<Column> {
        let empty = Column {
            mean: 0.0,
            deviation: 0.0,
            smallest: f64::INFINITY,
            largest: f64::NEG_INFINITY,
        };
        let mut statistics = vec![empty; columns];
        let mut count = 0.0;
        for row in rows.clone() {
            count += 1.0;
            for (column, x) in statistics.iter_mut().zip(row) {
                column.mean += x;
                column.smallest = column.smallest.min(x);
                column.largest = column.largest.max(x);
            }
        }
        for column in &mut statistics {
            column.mean /= count;
            // Rounding must not give a constant column a deviation.
            if column.smallest == column.largest {
                column.mean = column.smallest;
            }
        }
        for row in rows {
            for (column, x) in statistics.iter_mut().zip(row) {
                column.deviation += (x - column.mean).powi(2);
            }
        }
        for column in &mut statistics {
            column.deviation = (column.deviation / count).sqrt();
        }
        statistics
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: [[f64; 3]; 3] = [[1.0, 8.0, 0.1], [3.0, 8.0, 0.1], [8.0, 8.0, 0.1]];

    fn scaled(standardisation: Standardisation, range: Range) -> Vec<Vec<f64>> {
        let rows = ROWS.iter().map(|row| row.iter().copied());
        let scaler = Scaler::fit(standardisation, range, 3, rows.clone());
        assert_eq!(scaler.standardisation(), standardisation);
        rows.map(|row| scaler.apply(row).collect()).collect()
    }

    fn column(rows: &[Vec<f64>], k: usize) -> Vec<f64> {
        rows.iter().map(|row| row[k]).collect()
    }

    #[test]
    fn columns_of_a_table() {
        let range = Range::Columns;
        assert_eq!(
            scaled(Standardisation::Raw, range),
            ROWS.map(|r| r.to_vec())
        );
        let unit = scaled(Standardisation::UnitInterval, range);
        assert_eq!(column(&unit, 0), [0.0, 2.0 / 7.0, 1.0]);
        let centred = scaled(Standardisation::Centred, range);
        assert_eq!(column(&centred, 0), [-3.0, -1.0, 4.0]);
        let standardised = scaled(Standardisation::Standardised, range);
        let deviation = (26f64 / 3.0).sqrt();
        for (found, raw) in column(&standardised, 0).iter().zip([-3.0, -1.0, 4.0]) {
            assert!((found - raw / deviation).abs() < 1e-15);
        }
        // Constant columns, one of them not exactly representable.
        for scaled in [unit, centred, standardised] {
            assert_eq!(column(&scaled, 1), [0.0; 3]);
            assert_eq!(column(&scaled, 2), [0.0; 3]);
        }
    }

    #[test]
    fn pixels_share_their_range() {
        let range = Range::Pixels { maximum: 16.0 };
        let unit = scaled(Standardisation::UnitInterval, range);
        assert_eq!(unit[0], [1.0 / 16.0, 0.5, 0.1 / 16.0]);
        let centred = scaled(Standardisation::Centred, range);
        assert_eq!(column(&centred, 0), [-3.0 / 16.0, -1.0 / 16.0, 0.25]);
    }
}
