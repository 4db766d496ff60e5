//! The zero eigenvalues that continuous symmetries force, and whether the identities behind them hold.

use super::balance::finite_values;
use super::generators::Generators;
use crate::error::CurvatureError;
use crate::operator::LinearOperator;
use crate::point::Point;
use crate::vector::{dot_f64, from_f64, norm, to_f64};
use burn::prelude::Tensor;
use faer::Mat;
use serde::{Deserialize, Serialize};

/// Entries of the matrix of tangents at most: 800 MB.
const MOST_ENTRIES: usize = 100_000_000;

/// What all orbits through a point span there.
#[derive(Clone, Debug)]
pub struct ForcedNullSpace {
    /// Dimension of the orbit, the number of zero eigenvalues that it forces at a stationary point: the rank of the tangents.
    pub rank: usize,
    /// Singular values of the tangents, each scaled to norm one, descending.
    pub singular_values: Vec<f64>,
    /// An orthonormal basis `[rank, n]`.
    pub basis: Tensor<2>,
}

/// By how much the identities of continuous symmetries fail at a point; rounding if the description of the network is right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SymmetryDefects {
    /// max over generators of |gᵀAθ| / (‖g‖ ‖Aθ‖); 0 where the gradient is zero.
    pub gradient: f64,
    /// max over generators of ‖H Aθ + Aᵀg‖ / ‖Aθ‖, in units of H.
    pub hessian: f64,
    /// max over generators of ‖H Aθ‖ / ‖Aθ‖, in units of H: how far the tangents are from null vectors; zero at a stationary point.
    pub null: f64,
    /// ‖g‖.
    pub gradient_norm: f64,
    /// Products with the Hessian.
    pub applications: usize,
}

impl Generators {
    /// The span of all tangents Aθ, by a singular value decomposition.
    ///
    /// The rank counts singular values above max(n, k) u σ_max for k generators, u the rounding unit of the dtype of `theta`.
    ///
    /// # Cost
    ///
    /// O(n k²) operations and 8 n k bytes.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Dimension`] for a vector of another length, [`CurvatureError::NonFinite`] for numbers that are not finite,
    /// [`CurvatureError::Argument`] for a matrix of tangents above 800 MB, [`CurvatureError::Decomposition`] if faer does not converge.
    pub fn forced_null_space(&self, theta: &Tensor<1>) -> Result<ForcedNullSpace, CurvatureError> {
        let values = finite_values(self.layers(), theta)?;
        let (n, count) = (self.dim(), self.len());
        if n.saturating_mul(count) > MOST_ENTRIES {
            return Err(CurvatureError::Argument {
                name: "the number of tangents times parameters",
                value: n as f64 * count as f64,
                requirement: "their decomposition is limited to 1e8 entries: describe fewer layers",
            });
        }
        let (device, dtype) = (theta.device(), theta.dtype());
        let mut tangents = Mat::zeros(n, count);
        for (column, generator) in self.list().iter().enumerate() {
            let tangent = self.tangent_of(generator, &values);
            let size = dot_f64(&tangent, &tangent).sqrt();
            if size > 0.0 {
                let entries = tangent.iter().enumerate();
                entries.for_each(|(row, x)| tangents[(row, column)] = x / size);
            }
        }
        if count == 0 {
            return Ok(ForcedNullSpace {
                rank: 0,
                singular_values: Vec::new(),
                basis: Tensor::zeros([0, n], (&device, dtype)),
            });
        }
        let failed = |_| CurvatureError::Decomposition { dim: count };
        let svd = tangents.thin_svd().map_err(failed)?;
        let singular_values: Vec<f64> = svd.S().column_vector().iter().copied().collect();
        let unit = dtype.finfo().map_or(f64::EPSILON, |info| info.epsilon);
        let least = n.max(count) as f64 * unit * singular_values[0];
        let rank = singular_values.iter().filter(|s| **s > least).count();
        let u = svd.U();
        let basis: Vec<f64> = (0..rank)
            .flat_map(|column| (0..n).map(move |row| u[(row, column)]))
            .collect();
        Ok(ForcedNullSpace {
            rank,
            singular_values,
            basis: from_f64(&basis, &device, dtype).reshape([rank, n]),
        })
    }

    /// Measures gᵀ(Aθ) = 0 and H(Aθ) = −Aᵀg for all generators at a point.
    ///
    /// # Cost
    ///
    /// A gradient and a product with the Hessian for each generator, in blocks.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Dimension`] for a point of another network; what the evaluation reports.
    pub fn defects(&self, point: &Point) -> Result<SymmetryDefects, CurvatureError> {
        self.check(point.theta())?;
        let span = tracing::debug_span!("symmetry defects", generators = self.len());
        let _entered = span.enter();
        let hessian = point.hessian();
        let gradient = to_f64(&point.gradient()?);
        let theta = to_f64(point.theta());
        let mut defects = SymmetryDefects {
            gradient_norm: norm(&point.gradient()?),
            ..Default::default()
        };
        for generators in self.list().chunks(hessian.block_size().max(1)) {
            let tangents: Vec<Vec<f64>> = generators
                .iter()
                .map(|generator| self.tangent_of(generator, &theta))
                .collect();
            let block = from_f64(&tangents.concat(), point.device(), point.dtype());
            let products = hessian.apply_block(&block.reshape([tangents.len(), self.dim()]))?;
            let products = to_f64(&products.flatten::<1>(0, 1));
            defects.applications += tangents.len();
            let rows = tangents.iter().zip(products.chunks(self.dim()));
            for (generator, (tangent, product)) in generators.iter().zip(rows) {
                let expected = self.transposed_of(generator, &gradient);
                defects.add(&gradient, tangent, product, &expected);
            }
        }
        Ok(defects)
    }
}

impl SymmetryDefects {
    /// Takes up one generator; one whose tangent is zero says nothing.
    fn add(&mut self, gradient: &[f64], tangent: &[f64], product: &[f64], transposed: &[f64]) {
        let size = |v: &[f64]| dot_f64(v, v).sqrt();
        let length = size(tangent);
        if length == 0.0 {
            return;
        }
        let sum: Vec<f64> = product.iter().zip(transposed).map(|(p, t)| p + t).collect();
        self.hessian = larger(self.hessian, size(&sum) / length);
        self.null = larger(self.null, size(product) / length);
        if self.gradient_norm > 0.0 {
            let slope = dot_f64(gradient, tangent).abs();
            self.gradient = larger(self.gradient, slope / (self.gradient_norm * length));
        }
    }
}

/// The maximum, which NaN wins.
fn larger(a: f64, b: f64) -> f64 {
    match a.is_nan() || b.is_nan() {
        true => f64::NAN,
        false => a.max(b),
    }
}
