use crate::error::CurvatureError;
use crate::operator::LinearOperator;
use crate::point::Point;
use crate::vector::{dot_f64, to_f64};
use serde::{Deserialize, Serialize};

/// How ill-conditioned a loss is along its own gradient.
///
/// A gradient step of size ε changes the loss by −ε gᵀg + ½ ε² gᵀHg + O(ε³). When the second term is larger, the step goes uphill
/// although the gradient is exact: ill-conditioning is detrimental.
///
/// g and H are those of the loss with its own reduction; all reductions here are in f64.
///
/// # Cost
///
/// One gradient and one Hessian-vector product.
///
/// # References
///
/// Goodfellow, Bengio and Courville (2016), Deep Learning, section 8.2.1, equations 8.9 and 8.10, figure 8.1; section 4.3.1 for the best step.
///
/// ```
/// use burn::module::Param;
/// use burn::prelude::*;
/// use ravine_curvature::{Monitor, Objective};
///
/// #[derive(Module, Debug)]
/// struct Bowl { x: Param<Tensor<1>> }
///
/// let device = Device::flex();
/// // L = ½ (1 · x₀² + 100 · x₁²)
/// let bowl = Bowl { x: Param::from_data([1.0, 1.0], &device) };
/// let curvatures = Tensor::<1>::from_data([1.0, 100.0], &device);
/// let objective = Objective::of_loss(|bowl: &Bowl, h: &Tensor<1>| {
///     (bowl.x.val().powi_scalar(2) * h.clone()).sum() * 0.5
/// });
/// let monitor = Monitor::at(&objective.at(&bowl, &curvatures)?)?;
/// assert_eq!(monitor.gtg, 10_001.0);
/// assert_eq!(monitor.gthg, 1_000_001.0);
/// assert!(monitor.is_detrimental(0.03) && !monitor.is_detrimental(0.01));
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Monitor {
    /// The loss.
    pub loss: f64,
    /// ‖g‖.
    pub gradient_norm: f64,
    /// gᵀg.
    pub gtg: f64,
    /// gᵀHg.
    pub gthg: f64,
    /// ‖Hg‖.
    pub hg_norm: f64,
    /// gᵀHg / gᵀg: the curvature along the gradient; NaN where the gradient is zero.
    pub rayleigh: f64,
    /// ε* = gᵀg / gᵀHg, the step that the quadratic model likes best; none where the curvature is not positive.
    pub best_step: Option<f64>,
    /// 2 ε*, the step beyond which the quadratic model goes uphill; none where the curvature is not positive.
    pub uphill_step: Option<f64>,
}

impl Monitor {
    /// Measures at a point.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Graph`] if the evaluation fails. Values that are not finite are no error: they show.
    pub fn at(point: &Point) -> Result<Self, CurvatureError> {
        point.prepare()?;
        let gradient = point.gradient()?;
        let product = point.hessian().apply(&gradient)?;
        let (g, hg) = (to_f64(&gradient), to_f64(&product));
        Ok(Self::of(point.loss()?, &g, &hg))
    }

    fn of(loss: f64, g: &[f64], hg: &[f64]) -> Self {
        let (gtg, gthg) = (dot_f64(g, g), dot_f64(g, hg));
        let best_step = (gthg > 0.0).then(|| gtg / gthg);
        Self {
            loss,
            gradient_norm: gtg.sqrt(),
            gtg,
            gthg,
            hg_norm: dot_f64(hg, hg).sqrt(),
            rayleigh: gthg / gtg,
            best_step,
            uphill_step: best_step.map(|step| 2.0 * step),
        }
    }

    /// −ε gᵀg + ½ ε² gᵀHg: what the quadratic model says of a gradient step of size ε.
    pub fn predicted_change(&self, epsilon: f64) -> f64 {
        -epsilon * self.gtg + 0.5 * epsilon * epsilon * self.gthg
    }

    /// Whether ½ ε² gᵀHg > ε gᵀg: the curvature term alone undoes the step.
    pub fn is_detrimental(&self, epsilon: f64) -> bool {
        0.5 * epsilon * epsilon * self.gthg > epsilon * self.gtg
    }
}

/// What a gradient step of one size was predicted to do, and what it did.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaylorCheck {
    /// The step size ε.
    pub epsilon: f64,
    /// −ε gᵀg: the first order alone.
    pub first_order: f64,
    /// −ε gᵀg + ½ ε² gᵀHg.
    pub predicted: f64,
    /// L(θ − ε g) − L(θ).
    pub measured: f64,
    /// measured − predicted, of third order in ε for a smooth loss.
    pub residual: f64,
}

/// Compares the Taylor prediction with the measured change of the loss for each step size.
///
/// # Cost
///
/// One gradient and one product, and one loss for each step size.
///
/// # Errors
///
/// [`CurvatureError::Graph`] if the evaluation fails.
pub fn taylor_check(point: &Point, epsilons: &[f64]) -> Result<Vec<TaylorCheck>, CurvatureError> {
    let monitor = Monitor::at(point)?;
    let gradient = point.gradient()?;
    epsilons
        .iter()
        .map(|&epsilon| {
            let moved = point.theta().clone() - gradient.clone().mul_scalar(epsilon);
            let measured = point.move_to(moved)?.loss()? - monitor.loss;
            let predicted = monitor.predicted_change(epsilon);
            Ok(TaylorCheck {
                epsilon,
                first_order: -epsilon * monitor.gtg,
                predicted,
                measured,
                residual: measured - predicted,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_a_parabola() {
        // L = ½ h x² at x = 1: g = h, Hg = h²
        let monitor = Monitor::of(2.0, &[4.0], &[16.0]);
        assert_eq!(monitor.best_step, Some(0.25));
        assert_eq!(monitor.uphill_step, Some(0.5));
        assert_eq!(monitor.predicted_change(0.5), 0.0);
        assert!(!monitor.is_detrimental(0.5));
        assert!(monitor.is_detrimental(0.6));
    }

    #[test]
    fn negative_curvature_has_no_best_step() {
        let monitor = Monitor::of(0.0, &[1.0], &[-3.0]);
        assert_eq!((monitor.best_step, monitor.uphill_step), (None, None));
        assert!(!monitor.is_detrimental(10.0));
    }
}
