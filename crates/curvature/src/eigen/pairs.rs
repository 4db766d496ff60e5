use crate::dense::{DenseSymmetric, Eigen};
use crate::eigen::basis::Basis;
use crate::error::{CurvatureError, argument, finite};
use crate::operator::LinearOperator;
use burn::prelude::Tensor;
use faer::Mat;
use serde::{Deserialize, Serialize};

/// Which part of the spectrum is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Which {
    /// The largest eigenvalues.
    #[default]
    LargestAlgebraic,
    /// The smallest (most negative) eigenvalues.
    SmallestAlgebraic,
    /// The largest in absolute value.
    LargestMagnitude,
    /// The largest, the smallest, the second largest, the second smallest …: of an odd number one more from the top.
    BothEnds,
}

impl Which {
    /// Indices of the `count` most wanted values (fewer where there are fewer), the most wanted first; ties in their order.
    pub(crate) fn select(self, values: &[f64], count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..values.len()).collect();
        let descending = |a: &usize, b: &usize| values[*b].total_cmp(&values[*a]);
        match self {
            Self::LargestAlgebraic => order.sort_by(descending),
            Self::SmallestAlgebraic => order.sort_by(|a, b| descending(b, a)),
            Self::LargestMagnitude => {
                order.sort_by(|a, b| values[*b].abs().total_cmp(&values[*a].abs()));
            }
            Self::BothEnds => {
                order.sort_by(descending);
                let last = order.len().saturating_sub(1);
                let turn = |i: usize| match i.is_multiple_of(2) {
                    true => i / 2,
                    false => last - i / 2,
                };
                order = (0..order.len()).map(|i| order[turn(i)]).collect();
            }
        }
        order.truncate(count);
        order
    }

    /// How many pairs tell that nothing better is left: one from each end that is asked for.
    pub(crate) fn ends(self) -> usize {
        match self {
            Self::BothEnds => 2,
            _ => 1,
        }
    }
}

/// An approximate eigenpair with its residual.
#[derive(Clone, Debug)]
pub struct Eigenpair {
    /// The Rayleigh quotient λ = vᵀAv.
    pub value: f64,
    /// The vector v, of norm one.
    pub vector: Tensor<1>,
    /// ‖Av − λv‖, computed with a product of its own. Some eigenvalue lies within this distance of λ.
    pub residual: f64,
}

/// Pairs of orthonormal vectors, with true products, `block` at a time; sorted by `which`.
pub(crate) fn measured(
    operator: &dyn LinearOperator,
    vectors: &Basis,
    block: usize,
    which: Which,
) -> Result<Vec<Eigenpair>, CurvatureError> {
    let (device, dtype, count) = (operator.device(), operator.dtype(), vectors.len());
    let mut pairs = Vec::with_capacity(count);
    for first in (0..count).step_by(block.max(1)) {
        let range = first..(first + block.max(1)).min(count);
        let products = operator.apply_block(&vectors.rows(range.clone(), &device))?;
        let products = Basis::read(products, dtype);
        for index in range.clone() {
            let mut vector = vectors.vector(index);
            let norm = vector.norm();
            vector.scale(1.0 / norm.max(f64::MIN_POSITIVE));
            let mut product = products.vector(index - range.start);
            product.scale(1.0 / norm.max(f64::MIN_POSITIVE));
            let value = finite("vᵀAv of an eigenvector", vector.dot(&product))?;
            let residual = product.add(-value, &vector);
            pairs.push(Eigenpair {
                value,
                vector: vector.into_tensor(&device, dtype),
                residual,
            });
        }
    }
    Ok(sorted(pairs, which))
}

/// The most wanted first.
pub(crate) fn sorted(pairs: Vec<Eigenpair>, which: Which) -> Vec<Eigenpair> {
    let values: Vec<f64> = pairs.iter().map(|pair| pair.value).collect();
    let mut pairs: Vec<Option<Eigenpair>> = pairs.into_iter().map(Some).collect();
    let order = which.select(&values, values.len());
    order.into_iter().filter_map(|i| pairs[i].take()).collect()
}

/// Eigenvalues and vectors of a small symmetric matrix.
pub(crate) fn small_eigen(matrix: Mat<f64>) -> Result<Eigen, CurvatureError> {
    DenseSymmetric::from_matrix(matrix).eigen()
}

/// Some columns.
pub(crate) fn columns(matrix: &Mat<f64>, chosen: &[usize]) -> Mat<f64> {
    Mat::from_fn(matrix.nrows(), chosen.len(), |i, j| matrix[(i, chosen[j])])
}

/// Checks what all solvers ask for.
pub(crate) fn check(pairs: usize, tolerance: f64) -> Result<(), CurvatureError> {
    if pairs == 0 {
        let requirement = "at least one eigenpair must be asked for";
        return Err(argument("pairs", 0.0, requirement));
    }
    if tolerance.is_nan() || tolerance <= 0.0 {
        return Err(argument("tolerance", tolerance, "it must be positive"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_wanted_come_first() {
        let values = [1.0, -5.0, 3.0, 0.0];
        assert_eq!(Which::LargestAlgebraic.select(&values, 2), [2, 0]);
        assert_eq!(Which::SmallestAlgebraic.select(&values, 2), [1, 3]);
        assert_eq!(Which::LargestMagnitude.select(&values, 3), [1, 2, 0]);
        assert_eq!(Which::BothEnds.select(&values, 3), [2, 1, 0]);
        assert_eq!(Which::BothEnds.select(&values, 9), [2, 1, 0, 3]);
        assert_eq!(Which::BothEnds.select(&[], 2), [0; 0]);
    }
}
