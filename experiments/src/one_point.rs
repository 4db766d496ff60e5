//! From one point, the steps that different models of the loss would take.

use std::cmp::Ordering;

use ravine_curvature::{CurvatureError, DenseSymmetric, Eigen};
use serde::{Deserialize, Serialize};

/// How a step is made from gradient and curvature.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Rule {
    /// d = −g/λ_max: what gradient descent can afford in every direction.
    Gradient,
    /// d = −(gᵀg/gᵀHg) g: the best along the gradient by the quadratic model; as [`Rule::Gradient`] where gᵀHg ≤ 0.
    Cauchy,
    /// d = −H⁻¹g, without the eigenvalues that are zero to working precision: to the stationary point of the quadratic model.
    Newton,
    /// d = −(H + (|λ_min| + δ λ_max) I)⁻¹g: damped above the most negative eigenvalue.
    DampedNewton {
        /// δ.
        floor: f64,
    },
    /// d = −|H|⁻¹g with |λ| at least δ λ_max: saddle-free Newton.
    AbsoluteNewton {
        /// δ.
        floor: f64,
    },
    /// The minimiser of gᵀd + ½dᵀHd + M/6 ‖d‖³.
    Cubic {
        /// M, a Lipschitz constant of the Hessian.
        lipschitz: f64,
    },
    /// The minimiser of gᵀd + ½dᵀHd with ‖d‖ ≤ Δ.
    TrustRegion {
        /// Δ.
        radius: f64,
    },
    /// d = −(G + δ λ_max(G) I)⁻¹g with the Gauss-Newton matrix G.
    GaussNewton {
        /// δ.
        damping: f64,
    },
}

impl Rule {
    /// Name for tables and plots.
    pub fn name(&self) -> String {
        match self {
            Self::Gradient => "gradient, 1/λ_max".to_string(),
            Self::Cauchy => "gradient, gᵀg/gᵀHg".to_string(),
            Self::Newton => "Newton".to_string(),
            Self::DampedNewton { .. } => "damped Newton".to_string(),
            Self::AbsoluteNewton { .. } => "|H|⁻¹".to_string(),
            Self::Cubic { lipschitz } => format!("cubic, M = {lipschitz}"),
            Self::TrustRegion { radius } => format!("trust region, Δ = {radius}"),
            Self::GaussNewton { .. } => "Gauss-Newton".to_string(),
        }
    }
}

/// Gradient and a symmetric matrix in its eigenbasis.
pub struct LocalModel {
    eigen: Eigen,
    gradient: Vec<f64>,
    /// Uᵀg.
    coefficients: Vec<f64>,
}

/// What a step is, before it is tried.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Geometry {
    /// ‖d‖.
    pub length: f64,
    /// gᵀd + ½dᵀHd.
    pub quadratic: f64,
    /// Angle between d and −g, in degrees.
    pub angle: f64,
    /// Share of ‖d‖² in eigenvectors of negative eigenvalues.
    pub negative_share: f64,
}

impl LocalModel {
    /// Decomposes a matrix.
    ///
    /// # Errors
    ///
    /// When the eigenvalues cannot be computed.
    pub fn new(matrix: &DenseSymmetric, gradient: Vec<f64>) -> Result<Self, CurvatureError> {
        let eigen = matrix.eigen()?;
        let coefficients = in_basis(&eigen, &gradient);
        Ok(Self {
            eigen,
            gradient,
            coefficients,
        })
    }

    /// λ₁ ≤ … ≤ λₙ.
    pub fn eigenvalues(&self) -> &[f64] {
        self.eigen.values()
    }

    /// The largest eigenvalue in absolute value.
    fn scale(&self) -> f64 {
        self.eigenvalues()
            .iter()
            .fold(0.0, |m: f64, v| m.max(v.abs()))
    }

    fn smallest(&self) -> f64 {
        self.eigenvalues().first().copied().unwrap_or(0.0)
    }

    /// The step by a rule on this matrix, which is the Hessian, or the Gauss-Newton matrix for [`Rule::GaussNewton`].
    ///
    /// # Errors
    ///
    /// For a radius or a Lipschitz constant that is not positive.
    pub fn step(&self, rule: Rule) -> Result<Vec<f64>, CurvatureError> {
        let scale = self.scale();
        let zero = scale * f64::EPSILON * self.gradient.len() as f64;
        Ok(match rule {
            Rule::Gradient => self.along_gradient(1.0 / scale),
            Rule::Cauchy => {
                let squares = || self.coefficients.iter().map(|c| c * c);
                let gtg: f64 = squares().sum();
                let gthg: f64 = squares().zip(self.eigenvalues()).map(|(s, v)| s * v).sum();
                match gthg > 0.0 {
                    true => self.along_gradient(gtg / gthg),
                    false => self.along_gradient(1.0 / scale),
                }
            }
            Rule::Newton => self.scaled(|v| if v.abs() > zero { 1.0 / v } else { 0.0 }),
            Rule::DampedNewton { floor } => {
                let shift = (-self.smallest()).max(0.0) + floor * scale;
                self.scaled(|v| 1.0 / (v + shift))
            }
            Rule::AbsoluteNewton { floor } => self.scaled(|v| 1.0 / v.abs().max(floor * scale)),
            Rule::GaussNewton { damping } => self.scaled(|v| 1.0 / (v + damping * scale)),
            Rule::TrustRegion { radius } => {
                self.eigen.trust_region_step(&self.gradient, radius)?.step
            }
            Rule::Cubic { lipschitz } => {
                let sigma = 0.5 * lipschitz;
                self.eigen.cubic_step(&self.gradient, sigma)?.step
            }
        })
    }

    fn along_gradient(&self, rate: f64) -> Vec<f64> {
        self.gradient.iter().map(|g| -rate * g).collect()
    }

    fn scaled(&self, scale: impl Fn(f64) -> f64) -> Vec<f64> {
        self.eigen.apply_function(|v| -scale(v), &self.gradient)
    }

    /// Length, promise by this matrix, angle, and share of negative curvature.
    pub fn geometry(&self, step: &[f64]) -> Geometry {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let in_basis = in_basis(&self.eigen, step);
        let square = dot(step, step);
        let slope = dot(&self.gradient, step);
        let terms = || in_basis.iter().zip(self.eigenvalues());
        let curvature: f64 = terms().map(|(s, v)| v * s * s).sum();
        let negative: f64 = terms().filter(|(_, v)| **v < 0.0).map(|(s, _)| s * s).sum();
        let cosine = -slope / (square.sqrt() * dot(&self.gradient, &self.gradient).sqrt());
        Geometry {
            length: square.sqrt(),
            quadratic: slope + 0.5 * curvature,
            angle: cosine.clamp(-1.0, 1.0).acos().to_degrees(),
            negative_share: match square.partial_cmp(&0.0) {
                Some(Ordering::Greater) => negative / square,
                _ => 0.0,
            },
        }
    }
}

fn in_basis(eigen: &Eigen, vector: &[f64]) -> Vec<f64> {
    let columns = 0..vector.len();
    columns
        .map(|index| {
            let column = eigen.vectors().col(index);
            column.iter().zip(vector).map(|(u, x)| u * x).sum()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{DType, Device};
    use ravine_model::problems::QuadraticConfig;

    /// A matrix with these eigenvalues in a random basis, and a gradient.
    fn model(eigenvalues: &[f64], gradient: &[f64]) -> LocalModel {
        let quadratic = QuadraticConfig::from_eigenvalues(eigenvalues)
            .with_seed(4)
            .init((&Device::flex(), DType::F64))
            .unwrap();
        let entries: Vec<f64> = quadratic.matrix().into_data().iter::<f64>().collect();
        let device = Device::flex();
        let dense = ravine_curvature::dense(&Entries {
            rows: entries,
            dim: eigenvalues.len(),
            device,
        });
        LocalModel::new(&dense.unwrap(), gradient.to_vec()).unwrap()
    }

    struct Entries {
        rows: Vec<f64>,
        dim: usize,
        device: Device,
    }

    impl ravine_curvature::LinearOperator for Entries {
        fn dim(&self) -> usize {
            self.dim
        }
        fn device(&self) -> Device {
            self.device.clone()
        }
        fn dtype(&self) -> DType {
            DType::F64
        }
        fn apply(
            &self,
            v: &burn::tensor::Tensor<1>,
        ) -> Result<burn::tensor::Tensor<1>, CurvatureError> {
            let v = ravine_curvature::vector::to_f64(v);
            let rows = self.rows.chunks(self.dim);
            let product: Vec<f64> = rows
                .map(|row| row.iter().zip(&v).map(|(a, b)| a * b).sum())
                .collect();
            Ok(ravine_curvature::vector::from_f64(
                &product,
                &self.device,
                DType::F64,
            ))
        }
    }

    fn norm(v: &[f64]) -> f64 {
        v.iter().map(|x| x * x).sum::<f64>().sqrt()
    }

    /// ∇ of the quadratic model at a step, g + Hd.
    fn residual(model: &LocalModel, step: &[f64]) -> Vec<f64> {
        let hd = model.eigen.apply_function(|v| v, step);
        hd.iter().zip(&model.gradient).map(|(a, g)| a + g).collect()
    }

    #[test]
    fn newton_is_stationary_and_gauss_newton_shrinks() {
        let model = model(&[-1.0, 0.5, 3.0], &[1.0, -2.0, 0.5]);
        let step = model.step(Rule::Newton).unwrap();
        assert!(norm(&residual(&model, &step)) < 1e-12);
        let damped = model.step(Rule::DampedNewton { floor: 0.1 }).unwrap();
        assert!(model.geometry(&damped).angle < 90.0);
        assert!(norm(&damped) < norm(&model.step(Rule::DampedNewton { floor: 0.01 }).unwrap()));
    }

    #[test]
    fn saddle_free_newton_leaves_the_saddle() {
        let model = model(&[-2.0, 1.0], &[0.3, 0.4]);
        let step = model.step(Rule::AbsoluteNewton { floor: 1e-6 }).unwrap();
        let geometry = model.geometry(&step);
        assert!(geometry.quadratic < 0.0 && geometry.angle < 90.0);
        assert!(geometry.negative_share > 0.0 && geometry.negative_share < 1.0);
    }

    #[test]
    fn the_trust_region_is_optimal() {
        let model = model(&[-1.0, 0.5, 3.0], &[1.0, -2.0, 0.5]);
        for radius in [0.1, 1.0, 30.0] {
            let step = model.step(Rule::TrustRegion { radius }).unwrap();
            assert!((norm(&step) - radius).abs() < 1e-6 * radius, "{radius}");
            // (H + σI)d = −g with one σ ≥ 1 in every component
            let residual = residual(&model, &step);
            let shift =
                -residual.iter().zip(&step).map(|(r, s)| r * s).sum::<f64>() / norm(&step).powi(2);
            assert!(shift >= 1.0 - 1e-6);
            let rest: Vec<f64> = residual
                .iter()
                .zip(&step)
                .map(|(r, s)| r + shift * s)
                .collect();
            assert!(norm(&rest) < 1e-6, "{radius} {}", norm(&rest));
        }
        let inside = super::tests::model(&[1.0, 2.0], &[0.1, 0.1]);
        let step = inside.step(Rule::TrustRegion { radius: 10.0 }).unwrap();
        assert!(norm(&residual(&inside, &step)) < 1e-13);
    }

    #[test]
    fn the_cubic_model_is_stationary_at_its_step() {
        let model = model(&[-1.0, 0.5, 3.0], &[1.0, -2.0, 0.5]);
        for lipschitz in [0.1, 1.0, 50.0] {
            let step = model.step(Rule::Cubic { lipschitz }).unwrap();
            let shift = 0.5 * lipschitz * norm(&step);
            let residual = residual(&model, &step);
            let rest: Vec<f64> = residual
                .iter()
                .zip(&step)
                .map(|(r, s)| r + shift * s)
                .collect();
            assert!(shift >= 1.0 - 1e-12 && norm(&rest) < 1e-10, "{lipschitz}");
        }
    }

    #[test]
    fn the_hard_case_goes_along_the_lowest_eigenvector() {
        let saddle = model(&[-1.0, 2.0], &[0.0, 0.0]);
        let direction: Vec<f64> = saddle.eigen.vectors().col(1).iter().copied().collect();
        let hard = model(&[-1.0, 2.0], &direction);
        let step = hard.step(Rule::TrustRegion { radius: 2.0 }).unwrap();
        assert!((norm(&step) - 2.0).abs() < 1e-9);
        assert!(hard.geometry(&step).negative_share > 0.9);
    }

    #[test]
    fn gradient_steps_have_no_angle() {
        let model = model(&[0.5, 4.0], &[1.0, 2.0]);
        let cauchy = model.geometry(&model.step(Rule::Cauchy).unwrap());
        let plain = model.geometry(&model.step(Rule::Gradient).unwrap());
        assert!(cauchy.angle < 1e-5 && plain.angle < 1e-5);
        assert!(cauchy.quadratic <= plain.quadratic);
    }
}
