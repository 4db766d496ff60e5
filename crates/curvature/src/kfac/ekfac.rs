//! Eigenvalue-corrected K-FAC.

use super::factors::{Accumulation, KfacFactors, blend, blend_all, weight_of};
use super::moments::second_moments;
use super::operator::KroneckerOperator;
use super::pass::LayerPass;
use super::spectrum::{Spectrum, check_sign};
use super::{Kfac, KfacOptions, ascending};
use crate::error::CurvatureError;
use crate::operator::{Definiteness, LinearOperator};
use crate::operators::forward::forward_operator;
use crate::output_factors::OutputFactors;
use crate::point::Point;
use faer::Mat;

/// The eigenvalue-corrected Kronecker-factored approximation (EK-FAC) of the Gauss-Newton matrix.
///
/// It keeps the eigenbases of K-FAC's factors, and has the second moments Λ = Σ (U_Aᵀ G U_B)∘² of the gradients G of single
/// examples on the diagonal: the best diagonal in these bases, so that its error in the Frobenius norm is never larger than K-FAC's.
///
/// # Shapes
///
/// Vectors `[n]` in the order of the point's [`ParameterLayout`](crate::ParameterLayout).
///
/// # Cost
///
/// K-FAC's factors and their eigendecompositions, and the same backward passes once more; weights that are used at several positions
/// need the gradient matrix of each example.
///
/// # References
///
/// George et al. (2018), Fast approximate natural gradient descent in a Kronecker-factored eigenbasis, section 3.
///
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::prelude::*;
/// use ravine_curvature::{KfacOptions, LinearOperator, Objective};
///
/// let device = Device::flex();
/// let model = LinearConfig::new(3, 2).init(&device);
/// let objective = Objective::new(
///     |model: &Linear, (x, _): &(Tensor<2>, Tensor<2>)| model.forward(x.clone()).tanh(),
///     |outputs, (_, y)| (outputs - y.clone()).powi_scalar(2).mean(),
/// );
/// let batch = (Tensor::<2>::ones([5, 3], &device), Tensor::<2>::zeros([5, 2], &device));
/// let point = objective.at(&model, &batch)?;
/// let ekfac = point.ekfac(&KfacOptions::default())?;
/// // the trace is that of the Gauss-Newton matrix
/// let trace = point.gauss_newton_diagonal()?.sum().into_scalar::<f32>();
/// assert!((ekfac.trace() - f64::from(trace)).abs() < 1e-5);
/// let step = ekfac.inverse(1e-3)?.apply(&point.gradient()?)?;
/// assert_eq!(step.dims(), [8]);
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
#[derive(Clone, Debug)]
pub struct EkFac {
    spectrum: Spectrum,
    operator: KroneckerOperator,
    options: KfacOptions,
    examples: f64,
}

impl EkFac {
    /// Bases and eigenvalues at one point.
    ///
    /// # Errors
    ///
    /// As [`KfacFactors::at`], and [`CurvatureError::ExamplesMixed`] for all kinds of factors.
    pub fn at(point: &Point, options: &KfacOptions) -> Result<Self, CurvatureError> {
        let factors = OutputFactors::of(point, &options.factors)?;
        let pass = LayerPass::new(point, factors.examples())?;
        let kfac = Kfac::new(KfacFactors::with(&pass, point, &factors, options)?);
        let values = eigenvalues(&pass, &kfac, &factors)?;
        Self::of(&kfac, values, options, weight_of(point))
    }

    /// Eigenvalues at a point in the bases of other factors, such as of many batches, or of an earlier point.
    ///
    /// # Errors
    ///
    /// As [`at`](EkFac::at); [`CurvatureError::Dimension`] for the factors of another model.
    pub fn in_bases_of(
        kfac: &Kfac,
        point: &Point,
        options: &KfacOptions,
    ) -> Result<Self, CurvatureError> {
        let values = Self::eigenvalues_at(kfac, point, options)?;
        Self::of(kfac, values, options, weight_of(point))
    }

    /// Eigenvalues of all blocks at a point, in the bases of other factors.
    pub(crate) fn eigenvalues_at(
        kfac: &Kfac,
        point: &Point,
        options: &KfacOptions,
    ) -> Result<Vec<Mat<f64>>, CurvatureError> {
        let factors = OutputFactors::of(point, &options.factors)?;
        let pass = LayerPass::new(point, factors.examples())?;
        let space = super::factors::space(&pass, point);
        kfac.factors.space.check(&space)?;
        eigenvalues(&pass, kfac, &factors)
    }

    /// The bases of `kfac` with eigenvalues of so many examples.
    pub(crate) fn of(
        kfac: &Kfac,
        values: Vec<Mat<f64>>,
        options: &KfacOptions,
        examples: f64,
    ) -> Result<Self, CurvatureError> {
        let spectrum = Spectrum {
            values,
            ..kfac.spectrum()?.clone()
        };
        Ok(Self {
            operator: itself(&spectrum),
            spectrum,
            options: *options,
            examples,
        })
    }

    /// Takes in the eigenvalues of another batch, or of a later point, in the same bases.
    ///
    /// Sampled factors draw with the seed of the options each time; over a dataset [`Dataset::ekfac`](crate::Dataset::ekfac) gives each
    /// batch its own.
    ///
    /// # Errors
    ///
    /// As [`in_bases_of`](EkFac::in_bases_of); [`CurvatureError::Argument`] for a decay outside of 0 to 1.
    pub fn accumulate(
        &mut self,
        point: &Point,
        accumulation: Accumulation,
    ) -> Result<(), CurvatureError> {
        let factors = OutputFactors::of(point, &self.options.factors)?;
        let pass = LayerPass::new(point, factors.examples())?;
        let space = super::factors::space(&pass, point);
        self.spectrum.space.check(&space)?;
        let examples = weight_of(point);
        let (weights, _) = accumulation.weights(self.examples, examples)?;
        let new = second_moments(&pass, &factors, Some(&self.spectrum.bases))?;
        let others = super::factors::others(point, &factors, &space, self.options.others)?;
        for (old, new) in self.spectrum.values.iter_mut().zip(&new) {
            blend(old, new, weights);
        }
        blend_all(&mut self.spectrum.others, &others, weights);
        self.examples += examples;
        self.operator = itself(&self.spectrum);
        Ok(())
    }

    /// (F + λ I)⁻¹.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Argument`] for a negative damping, or for none if F is singular.
    pub fn inverse(&self, damping: f64) -> Result<KroneckerOperator, CurvatureError> {
        self.spectrum.damped_power(damping, -1.0)
    }

    /// F^½, the positive semidefinite root.
    pub fn square_root(&self) -> KroneckerOperator {
        let definiteness = Definiteness::PositiveSemidefinite;
        self.spectrum.function(definiteness, f64::sqrt)
    }

    /// (F + λ I)^−½.
    ///
    /// # Errors
    ///
    /// As [`inverse`](EkFac::inverse).
    pub fn inverse_square_root(&self, damping: f64) -> Result<KroneckerOperator, CurvatureError> {
        self.spectrum.damped_power(damping, -0.5)
    }

    /// ln det(F + λ I): −∞ for a singular matrix.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Argument`] for a negative damping.
    pub fn log_determinant(&self, damping: f64) -> Result<f64, CurvatureError> {
        check_sign(damping)?;
        Ok(self.spectrum.log_determinant(damping))
    }

    /// All eigenvalues, in ascending order.
    pub fn eigenvalues(&self) -> Vec<f64> {
        ascending(&self.spectrum)
    }

    /// The sum of the eigenvalues: the trace of the Gauss-Newton matrix over the layers.
    pub fn trace(&self) -> f64 {
        self.operator.trace()
    }

    /// ‖F‖ = (Σ Fᵢⱼ²)^½.
    pub fn frobenius_norm(&self) -> f64 {
        self.operator.frobenius_norm()
    }
}

fn eigenvalues(
    pass: &LayerPass<'_>,
    kfac: &Kfac,
    factors: &OutputFactors,
) -> Result<Vec<Mat<f64>>, CurvatureError> {
    second_moments(pass, factors, Some(&kfac.spectrum()?.bases))
}

fn itself(spectrum: &Spectrum) -> KroneckerOperator {
    spectrum.function(Definiteness::PositiveSemidefinite, |x| x)
}

impl LinearOperator for EkFac {
    forward_operator!(self => self.operator);
}
