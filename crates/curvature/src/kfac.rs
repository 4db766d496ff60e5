//! Kronecker-factored approximations of the Gauss-Newton matrix, for every model with linear layers or convolutions.

mod ekfac;
mod entries;
mod factors;
mod moments;
mod operator;
mod options;
mod pass;
mod patches;
mod product;
mod rows;
mod saved;
mod spectrum;
mod tensors;
#[cfg(test)]
mod tests;

pub use ekfac::EkFac;
pub(crate) use factors::blend;
pub use factors::{Accumulation, KfacFactors, LayerFactors};
pub(crate) use moments::second_moments;
pub use operator::KroneckerOperator;
pub use options::{Damping, KfacOptions, Others, WeightSharing};
pub(crate) use pass::LayerPass;
pub(crate) use rows::RowOrders;
pub use saved::SavedFactors;

use crate::error::CurvatureError;
use crate::operator::{Definiteness, LinearOperator};
use crate::operators::forward::forward_operator;
use crate::point::Point;
use faer::Mat;
use operator::{Bases, Block};
use product::product;
use rayon::prelude::*;
use spectrum::{Spectrum, check_sign, eigen};
use std::sync::{Arc, OnceLock};

/// The Kronecker-factored approximate curvature (K-FAC): the Gauss-Newton matrix with the block A ⊗ B for each layer.
///
/// A is the second moment of a layer's inputs, B that of the gradients by its outputs; see [`KfacFactors`] for the formulas. Layers
/// are found in the recorded model: every parameter that multiplies activations, as a matrix or a convolution, with its bias.
///
/// # Shapes
///
/// Vectors `[n]` in the order of the point's [`ParameterLayout`](crate::ParameterLayout).
///
/// # Cost
///
/// Factors as [`KfacFactors::at`]. Products O(inputs · outputs · (inputs + outputs)) a layer; inverses, roots and determinants one
/// eigendecomposition of each factor, kept.
///
/// # References
///
/// Martens and Grosse (2015); Grosse and Martens (2016); Eschenhagen et al. (2023).
///
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::prelude::*;
/// use ravine_curvature::{Damping, KfacOptions, LinearOperator, Objective};
///
/// let device = Device::flex();
/// let model = LinearConfig::new(3, 2).init(&device);
/// let objective = Objective::new(
///     |model: &Linear, (x, _): &(Tensor<2>, Tensor<2>)| model.forward(x.clone()),
///     |outputs, (_, y)| (outputs - y.clone()).powi_scalar(2).mean(),
/// );
/// let batch = (Tensor::<2>::ones([5, 3], &device), Tensor::<2>::zeros([5, 2], &device));
/// let point = objective.at(&model, &batch)?;
/// let kfac = point.kfac(&KfacOptions::default())?;
/// // one linear layer and a squared error: K-FAC is the Gauss-Newton matrix
/// let g = point.gradient()?;
/// let difference = kfac.apply(&g)? - point.gauss_newton()?.apply(&g)?;
/// assert!(difference.abs().max().into_scalar::<f32>() < 1e-5);
/// let step = kfac.inverse(1e-3, Damping::Exact)?.apply(&g)?;
/// assert_eq!(step.dims(), [8]);
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Kfac {
    factors: KfacFactors,
    operator: KroneckerOperator,
    eigen: OnceLock<FactorEigen>,
}

/// Eigenvalues of all factors, and of all blocks.
#[derive(Clone, Debug)]
struct FactorEigen {
    values: Vec<[Vec<f64>; 2]>,
    spectrum: Spectrum,
}

impl Point {
    /// The Kronecker-factored approximation of the Gauss-Newton matrix.
    ///
    /// # Errors
    ///
    /// As [`KfacFactors::at`].
    pub fn kfac(&self, options: &KfacOptions) -> Result<Kfac, CurvatureError> {
        Ok(Kfac::new(KfacFactors::at(self, options)?))
    }

    /// The eigenvalue-corrected Kronecker-factored approximation of the Gauss-Newton matrix.
    ///
    /// # Errors
    ///
    /// As [`EkFac::at`].
    pub fn ekfac(&self, options: &KfacOptions) -> Result<EkFac, CurvatureError> {
        EkFac::at(self, options)
    }
}

impl Kfac {
    /// The operator of these factors.
    pub fn new(factors: KfacFactors) -> Self {
        let blocks = factors.pairs.iter().map(|pair| Block::Product {
            a: pair.a.clone(),
            b: pair.b.clone(),
        });
        let operator = KroneckerOperator::new(
            factors.space.clone(),
            blocks.collect(),
            factors.others.clone(),
            Definiteness::PositiveSemidefinite,
        );
        Self {
            factors,
            operator,
            eigen: OnceLock::new(),
        }
    }

    /// The factors.
    pub fn factors(&self) -> &KfacFactors {
        &self.factors
    }

    /// (F + λ I)⁻¹, or its factored approximation.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Argument`] for a negative damping, or for none if F is singular; [`CurvatureError::Decomposition`].
    pub fn inverse(
        &self,
        damping: f64,
        form: Damping,
    ) -> Result<KroneckerOperator, CurvatureError> {
        let spectrum = self.spectrum()?;
        let exact = spectrum.damped_power(damping, -1.0)?;
        if form == Damping::Exact {
            return Ok(exact);
        }
        let eigen = self.eigen()?.values.iter().zip(&spectrum.bases);
        let blocks = eigen.map(|([a, b], bases)| {
            let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
            let ratio = (mean(a) / mean(b)).sqrt();
            let pi = if ratio.is_normal() { ratio } else { 1.0 };
            Block::Product {
                a: inverse(a, &bases.a, damping.sqrt() * pi),
                b: inverse(b, &bases.b, damping.sqrt() / pi),
            }
        });
        Ok(KroneckerOperator::new(
            exact.space,
            blocks.collect(),
            exact.others,
            Definiteness::PositiveDefinite,
        ))
    }

    /// F^½, the positive semidefinite root.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Decomposition`] if an eigendecomposition does not converge.
    pub fn square_root(&self) -> Result<KroneckerOperator, CurvatureError> {
        let definiteness = Definiteness::PositiveSemidefinite;
        Ok(self.spectrum()?.function(definiteness, f64::sqrt))
    }

    /// (F + λ I)^−½.
    ///
    /// # Errors
    ///
    /// As [`inverse`](Kfac::inverse).
    pub fn inverse_square_root(&self, damping: f64) -> Result<KroneckerOperator, CurvatureError> {
        self.spectrum()?.damped_power(damping, -0.5)
    }

    /// ln det(F + λ I): −∞ for a singular matrix.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Argument`] for a negative damping; [`CurvatureError::Decomposition`].
    pub fn log_determinant(&self, damping: f64) -> Result<f64, CurvatureError> {
        check_sign(damping)?;
        Ok(self.spectrum()?.log_determinant(damping))
    }

    /// All eigenvalues, in ascending order.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Decomposition`] if an eigendecomposition does not converge.
    pub fn eigenvalues(&self) -> Result<Vec<f64>, CurvatureError> {
        Ok(ascending(self.spectrum()?))
    }

    /// The sum of the eigenvalues.
    pub fn trace(&self) -> f64 {
        self.operator.trace()
    }

    /// ‖F‖ = (Σ Fᵢⱼ²)^½.
    pub fn frobenius_norm(&self) -> f64 {
        self.operator.frobenius_norm()
    }

    fn spectrum(&self) -> Result<&Spectrum, CurvatureError> {
        Ok(&self.eigen()?.spectrum)
    }

    fn eigen(&self) -> Result<&FactorEigen, CurvatureError> {
        if let Some(known) = self.eigen.get() {
            return Ok(known);
        }
        let pairs = self.factors.pairs.par_iter();
        let eigen = pairs.map(|pair| {
            let (a, b) = rayon::join(|| eigen(&pair.a), || eigen(&pair.b));
            Ok((a?, b?))
        });
        let (mut values, mut bases, mut grids) = (Vec::new(), Vec::new(), Vec::new());
        for ((a, of_a), (b, of_b)) in eigen.collect::<Result<Vec<_>, CurvatureError>>()? {
            grids.push(Mat::from_fn(a.len(), b.len(), |i, o| a[i] * b[o]));
            values.push([a, b]);
            bases.push(Arc::new(Bases { a: of_a, b: of_b }));
        }
        let spectrum = Spectrum {
            space: self.factors.space.clone(),
            bases,
            values: grids,
            others: self.factors.others.clone(),
        };
        Ok(self.eigen.get_or_init(|| FactorEigen { values, spectrum }))
    }
}

fn ascending(spectrum: &Spectrum) -> Vec<f64> {
    let mut values: Vec<f64> = spectrum.all().collect();
    values.sort_by(f64::total_cmp);
    values
}

/// U (D + λ)⁻¹ Uᵀ.
fn inverse(values: &[f64], vectors: &Mat<f64>, damping: f64) -> Mat<f64> {
    let scaled = Mat::from_fn(vectors.nrows(), values.len(), |i, j| {
        vectors[(i, j)] / (values[j] + damping)
    });
    product(scaled.as_ref(), vectors.transpose())
}

impl LinearOperator for Kfac {
    forward_operator!(self => self.operator);
}
