//! Blocks of vectors in f64 on the host, a vector a column, and what block methods share.

use crate::eigen::pairs::{Eigenpair, small_eigen};
use crate::error::{CurvatureError, check_dimension};
use crate::operator::LinearOperator;
use crate::seed::Seed;
use crate::vector::{from_f64, standard_normal, to_f64};
use burn::prelude::Tensor;
use burn::tensor::{DType, TensorData};
use faer::{Mat, MatRef};
use serde::{Deserialize, Serialize};

/// How a search for eigenpairs ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EigenEnding {
    /// All pairs have true residuals below the tolerance.
    Converged,
    /// The vectors span the whole space: there are fewer pairs than were asked for, and all are there.
    WholeSpace,
    /// The iterations or products allowed were spent first: the residuals say how good the pairs are.
    MaxIterations,
    /// The residuals fall no further: the tolerance is below the rounding of the operator's products.
    Rounding,
    /// The observer asked to stop.
    Stopped,
}

/// Eigenpairs with their residuals, how the search for them ended and what it cost.
#[derive(Clone, Debug)]
pub struct Eigenpairs {
    /// The pairs, the most wanted first. The vectors are orthonormal up to rounding.
    pub pairs: Vec<Eigenpair>,
    /// How the search ended.
    pub ending: EigenEnding,
    /// Operator applications, those for the residuals included.
    pub applications: usize,
    /// Block products of LOBPCG, products of the power iteration, solves of the search for interior pairs (none in the dense way).
    pub iterations: usize,
}

impl Eigenpairs {
    /// The eigenvalues, the most wanted first.
    pub fn values(&self) -> Vec<f64> {
        self.pairs.iter().map(|pair| pair.value).collect()
    }

    /// The vectors, for a warm start.
    pub fn vectors(&self) -> Vec<Tensor<1>> {
        self.pairs.iter().map(|pair| pair.vector.clone()).collect()
    }

    /// The largest residual ‖Av − λv‖.
    pub fn worst_residual(&self) -> f64 {
        worst(&self.pairs)
    }
}

/// The largest residual.
pub(crate) fn worst(pairs: &[Eigenpair]) -> f64 {
    pairs.iter().fold(0.0, |m, pair| m.max(pair.residual))
}

/// The products of an operator with columns, counted.
pub(crate) struct Products<'a> {
    operator: &'a dyn LinearOperator,
    names: &'static Names,
    /// Vectors multiplied so far.
    pub(crate) applications: usize,
    /// The largest ‖Av‖ / ‖v‖ so far: a lower bound of max |λ|.
    pub(crate) scale: f64,
}

/// What errors call the products.
struct Names {
    product: &'static str,
    count: &'static str,
    norm: &'static str,
}

const OPERATOR: Names = Names {
    product: "a product of the operator",
    count: "the number of products of the operator with a block",
    norm: "the norm of a product with the operator",
};

const PRECONDITIONER: Names = Names {
    product: "a product of the preconditioner",
    count: "the number of products of the preconditioner with a block",
    norm: "the norm of a product with the preconditioner",
};

impl<'a> Products<'a> {
    pub(crate) fn new(operator: &'a dyn LinearOperator) -> Self {
        Self::named(operator, &OPERATOR)
    }

    pub(crate) fn of_preconditioner(preconditioner: &'a dyn LinearOperator) -> Self {
        Self::named(preconditioner, &PRECONDITIONER)
    }

    fn named(operator: &'a dyn LinearOperator, names: &'static Names) -> Self {
        Self {
            operator,
            names,
            applications: 0,
            scale: 0.0,
        }
    }

    /// A V, with vectors rounded to the operator's dtype and as many at once as the operator likes.
    pub(crate) fn apply(&mut self, vectors: MatRef<'_, f64>) -> Result<Mat<f64>, CurvatureError> {
        let (n, count) = (vectors.nrows(), vectors.ncols());
        let (device, dtype) = (self.operator.device(), self.operator.dtype());
        let mut products = Mat::zeros(n, count);
        let block = self.operator.block_size().max(1);
        for first in (0..count).step_by(block) {
            let part = vectors.subcols(first, block.min(count - first));
            let data = TensorData::new(elements(part), [part.ncols(), n]).convert_dtype(dtype);
            let rows = Tensor::<2>::from_data(data, (&device, dtype));
            let found = self.operator.apply_block(&rows)?;
            let [rows, length] = found.dims();
            check_dimension(self.names.product, length, n)?;
            check_dimension(self.names.count, rows, part.ncols())?;
            let numbers = to_f64(&found.reshape([part.ncols() * n]));
            for (j, column) in numbers.chunks_exact(n).enumerate() {
                for (i, value) in column.iter().enumerate() {
                    products[(i, first + j)] = *value;
                }
            }
            self.applications += part.ncols();
        }
        for (product, vector) in norms(products.as_ref()).into_iter().zip(norms(vectors)) {
            if !product.is_finite() {
                return Err(CurvatureError::NonFinite {
                    what: self.names.norm,
                    value: product,
                });
            }
            if vector > 0.0 {
                self.scale = self.scale.max(product / vector);
            }
        }
        Ok(products)
    }

    /// Rayleigh quotients and residuals of the columns by true products, with the vectors as they are handed out.
    pub(crate) fn measured(
        &mut self,
        vectors: MatRef<'_, f64>,
    ) -> Result<Vec<Eigenpair>, CurvatureError> {
        let (device, dtype) = (self.operator.device(), self.operator.dtype());
        let tensors: Vec<Tensor<1>> = vectors
            .col_iter()
            .map(|column| {
                let scale = 1.0 / column.norm_l2().max(f64::MIN_POSITIVE);
                let unit: Vec<f64> = column.iter().map(|x| x * scale).collect();
                from_f64(&unit, &device, dtype)
            })
            .collect();
        let rounded = columns_of(&tensors, vectors.nrows());
        let products = self.apply(rounded.as_ref())?;
        let pair = |(index, vector): (usize, Tensor<1>)| {
            let (v, w) = (rounded.col(index), products.col(index));
            let square = v.squared_norm_l2().max(f64::MIN_POSITIVE);
            let value = v.transpose() * w / square;
            let residual: f64 = v
                .iter()
                .zip(w.iter())
                .map(|(v, w)| (w - value * v).powi(2))
                .sum();
            Eigenpair {
                value,
                vector,
                residual: (residual / square).sqrt(),
            }
        };
        Ok(tensors.into_iter().enumerate().map(pair).collect())
    }
}

/// The elements, column after column.
fn elements(block: MatRef<'_, f64>) -> Vec<f64> {
    let columns = block.col_iter();
    columns.flat_map(|column| column.iter().copied()).collect()
}

fn columns_of(tensors: &[Tensor<1>], n: usize) -> Mat<f64> {
    let mut block = Mat::zeros(n, tensors.len());
    for (j, tensor) in tensors.iter().enumerate() {
        for (i, value) in to_f64(tensor).into_iter().enumerate() {
            block[(i, j)] = value;
        }
    }
    block
}

/// Norms of the columns.
pub(crate) fn norms(block: MatRef<'_, f64>) -> Vec<f64> {
    block.col_iter().map(|column| column.norm_l2()).collect()
}

/// Some columns.
pub(crate) fn chosen(block: MatRef<'_, f64>, columns: &[usize]) -> Mat<f64> {
    Mat::from_fn(block.nrows(), columns.len(), |i, j| block[(i, columns[j])])
}

/// Blocks side by side.
pub(crate) fn beside(blocks: &[MatRef<'_, f64>]) -> Mat<f64> {
    let columns = blocks.iter().map(|block| block.ncols()).sum();
    let mut all = Mat::zeros(blocks.first().map_or(0, |block| block.nrows()), columns);
    let mut first = 0;
    for block in blocks {
        all.subcols_mut(first, block.ncols()).copy_from(block);
        first += block.ncols();
    }
    all
}

/// AX − X Θ.
pub(crate) fn residuals(x: MatRef<'_, f64>, ax: MatRef<'_, f64>, values: &[f64]) -> Mat<f64> {
    Mat::from_fn(x.nrows(), x.ncols(), |i, j| {
        ax[(i, j)] - values[j] * x[(i, j)]
    })
}

/// A block of independent standard normal numbers.
pub(crate) fn gaussian(n: usize, columns: usize, seed: Seed) -> Mat<f64> {
    let numbers = standard_normal(n * columns, &mut seed.rng());
    Mat::from_fn(n, columns, |i, j| numbers[j * n + i])
}

/// An orthonormal block of `count` ≤ n columns whose first ones span the earlier vectors; random directions fill it up.
pub(crate) fn start(
    operator: &dyn LinearOperator,
    earlier: &[Tensor<1>],
    count: usize,
    seed: Seed,
) -> Result<Mat<f64>, CurvatureError> {
    let n = operator.dim();
    for vector in earlier {
        if vector.dims()[0] != n {
            return Err(CurvatureError::Dimension {
                what: "an earlier eigenvector",
                expected: n,
                found: vector.dims()[0],
            });
        }
    }
    let nothing = Mat::zeros(n, 0);
    let given = columns_of(&earlier[..earlier.len().min(count)], n);
    let given = orthonormalised(nothing.as_ref(), given)?;
    let random = gaussian(n, count - given.ncols(), seed.stream("start block"));
    let random = orthonormalised(given.as_ref(), random)?;
    Ok(beside(&[given.as_ref(), random.as_ref()]))
}

/// Of a column of norm one, what is left of it below this size is rounding.
const LOST: f64 = 1e-14;

/// An orthonormal basis of what the columns span outside `against` (orthonormal too): fewer columns where they depend on each other.
///
/// Projection and SVQB (Stathopoulos and Wu 2002), three times, so that columns of any condition end orthonormal to rounding.
pub(crate) fn orthonormalised(
    against: MatRef<'_, f64>,
    mut block: Mat<f64>,
) -> Result<Mat<f64>, CurvatureError> {
    block = unit_columns(block, 0.0);
    for _ in 0..3 {
        if block.ncols() == 0 {
            break;
        }
        if against.ncols() > 0 {
            block = &block - against * (against.transpose() * &block);
        }
        block = unit_columns(block, LOST);
        block = svqb(block)?;
    }
    let most = (block.nrows() - against.ncols().min(block.nrows())).min(block.ncols());
    Ok(block.subcols(0, most).to_owned())
}

/// Columns longer than `least` (and finite), scaled to norm one.
fn unit_columns(block: Mat<f64>, least: f64) -> Mat<f64> {
    let norms = norms(block.as_ref());
    let long = |j: &usize| norms[*j] > least && norms[*j].is_finite();
    let kept: Vec<usize> = (0..norms.len()).filter(long).collect();
    Mat::from_fn(block.nrows(), kept.len(), |i, j| {
        block[(i, kept[j])] / norms[kept[j]]
    })
}

/// B U Λ^(-1/2) with BᵀB = U Λ Uᵀ, the largest λ first, without those that are rounding.
fn svqb(block: Mat<f64>) -> Result<Mat<f64>, CurvatureError> {
    if block.ncols() == 0 {
        return Ok(block);
    }
    let eigen = small_eigen(block.transpose() * &block)?;
    let values = eigen.values();
    let largest = values.last().copied().unwrap_or(0.0);
    let least = LOST * block.ncols() as f64 * largest;
    let kept: Vec<usize> = (0..values.len())
        .rev()
        .filter(|&j| values[j] > least)
        .collect();
    let weights = Mat::from_fn(values.len(), kept.len(), |i, j| {
        eigen.vectors()[(i, kept[j])] / values[kept[j]].sqrt()
    });
    Ok(block * weights)
}

/// Residuals below this times max |λ| may be rounding of the products alone.
pub(crate) fn rounding_floor(dtype: DType, n: usize) -> f64 {
    30.0 * crate::rounding::rounding_unit(dtype) * (n as f64).sqrt()
}

/// How long the residuals have not fallen.
#[derive(Default)]
pub(crate) struct Stall {
    best: Option<f64>,
    iterations: usize,
}

/// Iterations without a smaller residual after which small residuals count as rounding, and a preconditioner as of no use.
const PATIENCE: usize = 12;

impl Stall {
    pub(crate) fn seen(&mut self, worst: f64) {
        self.iterations += 1;
        if self.best.is_none_or(|best| worst < 0.9 * best) {
            *self = Self {
                best: Some(worst),
                iterations: 0,
            };
        }
    }

    /// Whether small residuals have not fallen for long.
    pub(crate) fn stuck(&self, small: bool) -> bool {
        small && self.lasts()
    }

    /// Whether residuals of whatever size have not fallen for long.
    pub(crate) fn lasts(&self) -> bool {
        self.iterations >= PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defect(block: &Mat<f64>) -> f64 {
        let gram = block.transpose() * block;
        let size = gram.ncols();
        (gram - Mat::<f64>::identity(size, size)).norm_max()
    }

    #[test]
    fn nearly_dependent_columns_become_orthonormal() {
        let noise = gaussian(80, 6, Seed::new(1));
        for size in [1e-2, 1e-5, 1e-9, 1e-12] {
            let near = Mat::from_fn(80, 6, |i, j| noise[(i, 0)] + size * noise[(i, j)]);
            let nothing = Mat::zeros(80, 0);
            let basis = orthonormalised(nothing.as_ref(), near).unwrap();
            assert!(defect(&basis) < 1e-13, "{size}: {}", defect(&basis));
            assert!(size < 1e-6 || basis.ncols() == 6, "{size}");
            let more = orthonormalised(basis.as_ref(), gaussian(80, 80, Seed::new(2))).unwrap();
            let all = beside(&[basis.as_ref(), more.as_ref()]);
            assert_eq!(all.ncols(), 80);
            assert!(defect(&all) < 1e-12, "{}", defect(&all));
        }
    }

    #[test]
    fn dependent_zero_and_nan_columns_are_left_out() {
        let mut block = Mat::zeros(5, 4);
        (block[(0, 0)], block[(0, 1)], block[(1, 3)]) = (2.0, 3.0, f64::NAN);
        let nothing = Mat::zeros(5, 0);
        let basis = orthonormalised(nothing.as_ref(), block).unwrap();
        assert_eq!((basis.ncols(), basis[(0, 0)].abs()), (1, 1.0));
        let again = orthonormalised(basis.as_ref(), basis.clone()).unwrap();
        assert_eq!(again.ncols(), 0);
    }
}
