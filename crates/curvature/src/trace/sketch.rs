//! Products with the columns of tall matrices, and what leave-one-out estimators share.

use super::probe::{Probe, Probes};
use crate::error::{CurvatureError, finite};
use crate::operator::LinearOperator;
use crate::progress::{Observer, Progress};
use crate::rows::Rows;
use crate::seed::Seed;
use faer::Mat;
use std::ops::ControlFlow;

/// Counts products, tells the observer of them and remembers whether it wants to stop.
pub(super) struct Products<'a, 'b> {
    operator: &'a dyn LinearOperator,
    observer: &'a mut Observer<'b>,
    pub(super) applications: usize,
    most: usize,
}

/// Products with all columns, or with those before the observer stopped.
pub(super) type Columns = ControlFlow<Mat<f64>, Mat<f64>>;

impl<'a, 'b> Products<'a, 'b> {
    pub(super) fn new(
        operator: &'a dyn LinearOperator,
        observer: &'a mut Observer<'b>,
        most: usize,
    ) -> Self {
        Self {
            operator,
            observer,
            applications: 0,
            most,
        }
    }

    /// A M for a matrix with a vector a column.
    pub(super) fn of(&mut self, columns: &Mat<f64>) -> Result<Columns, CurvatureError> {
        let (dim, count) = (columns.nrows(), columns.ncols());
        let (device, dtype) = (self.operator.device(), self.operator.dtype());
        let block_size = self.operator.block_size().max(1);
        let mut products = Mat::zeros(dim, count);
        let mut row = Vec::new();
        for first in (0..count).step_by(block_size) {
            let size = block_size.min(count - first);
            let block = Rows::from_columns(columns, first, size).to_tensor(&device, dtype);
            let block = Rows::from_tensor(self.operator.apply_block(&block)?);
            for index in 0..size {
                block.read_row(index, &mut row);
                finite(
                    "a product of the operator",
                    row.iter().map(|x| x.abs()).sum(),
                )?;
                write_column(&mut products, first + index, &row);
            }
            self.applications += size;
            let progress = Progress {
                applications: self.applications,
                most: Some(self.most),
                measure: None,
            };
            let done = first + size;
            if (self.observer)(&progress).is_break() && self.applications < self.most {
                let done = products.subcols(0, done).to_owned();
                return Ok(ControlFlow::Break(done));
            }
        }
        Ok(ControlFlow::Continue(products))
    }
}

/// Probes as the columns of a matrix.
pub(super) fn probe_columns(
    operator: &dyn LinearOperator,
    probe: Probe,
    count: usize,
    seed: Seed,
) -> Mat<f64> {
    let block = Probes::new(operator, probe, seed).block(0, count);
    let mut columns = Mat::zeros(operator.dim(), count);
    let mut row = Vec::new();
    for index in 0..count {
        block.read_row(index, &mut row);
        write_column(&mut columns, index, &row);
    }
    columns
}

fn write_column(matrix: &mut Mat<f64>, column: usize, values: &[f64]) {
    let target = matrix.col_mut(column);
    for (target, &value) in target.iter_mut().zip(values) {
        *target = value;
    }
}

/// Column sums Σᵢ Aᵢⱼ Bᵢⱼ.
pub(super) fn column_dots(a: &Mat<f64>, b: &Mat<f64>) -> Vec<f64> {
    let count = a.ncols().min(b.ncols());
    let dot = |j: usize| {
        a.col(j)
            .iter()
            .zip(b.col(j).iter())
            .map(|(x, y)| x * y)
            .sum()
    };
    (0..count).map(dot).collect()
}

/// A sketch Y = A Ω = Q R with Z = A Q, and what each column of Ω adds to the range of the others.
pub(super) struct LeaveOneOut {
    pub(super) omega: Mat<f64>,
    pub(super) q: Mat<f64>,
    pub(super) r: Mat<f64>,
    pub(super) z: Mat<f64>,
    /// Column i is the unit vector s for which Q (I − s sᵀ) Qᵀ projects on the range of Y without its column i.
    pub(super) left_out: Mat<f64>,
}

/// The sketch, or probes and products as far as they came.
pub(super) enum Sketch {
    Whole(LeaveOneOut),
    Stopped { omega: Mat<f64>, y: Mat<f64> },
}

impl LeaveOneOut {
    pub(super) fn sketch(
        omega: Mat<f64>,
        products: &mut Products<'_, '_>,
    ) -> Result<Sketch, CurvatureError> {
        let y = match products.of(&omega)? {
            ControlFlow::Continue(y) => y,
            ControlFlow::Break(y) => return Ok(Sketch::Stopped { omega, y }),
        };
        let qr = y.qr();
        let q = qr.compute_thin_Q();
        let z = match products.of(&q)? {
            ControlFlow::Continue(z) => z,
            ControlFlow::Break(_) => return Ok(Sketch::Stopped { omega, y }),
        };
        let r = qr.thin_R().to_owned();
        let left_out = normalised_inverse_transpose(&r);
        Ok(Sketch::Whole(Self {
            omega,
            q,
            r,
            z,
            left_out,
        }))
    }
}

/// The columns of R⁻ᵀ at length one, for an upper triangular R that may be singular.
///
/// Column i is orthogonal to all columns of R but the i-th. A diagonal entry of zero means that the sketch has found the whole range; it is
/// replaced by rounding, which picks some direction outside of the range, where the operator vanishes.
fn normalised_inverse_transpose(r: &Mat<f64>) -> Mat<f64> {
    let size = r.ncols();
    let diagonal = |j: usize| r[(j, j)];
    let largest = (0..size).fold(0.0_f64, |largest, j| largest.max(diagonal(j).abs()));
    let floor = f64::EPSILON * largest;
    let pivot = |j: usize| match diagonal(j).abs() > floor {
        true => diagonal(j),
        false => floor.max(f64::MIN_POSITIVE),
    };
    let mut inverse = Mat::zeros(size, size);
    let mut x = vec![0.0; size];
    for i in 0..size {
        x.fill(0.0);
        // scaled so that the first entry is one: only the direction matters
        x[i] = 1.0;
        for j in i + 1..size {
            let sum: f64 = (i..j).map(|l| r[(l, j)] * x[l]).sum();
            x[j] = -sum / pivot(j);
            rescale(&mut x[i..=j]);
        }
        let norm = x.iter().map(|x| x * x).sum::<f64>().sqrt();
        for j in i..size {
            inverse[(j, i)] = x[j] / norm;
        }
    }
    inverse
}

/// Keeps the entries far from overflow.
fn rescale(x: &mut [f64]) {
    let last = x[x.len() - 1].abs();
    if last > 1e100 {
        x.iter_mut().for_each(|x| *x /= last);
    }
}
