use burn::prelude::*;

use crate::{Descent, Gradient, LearningRate, Method, MethodState, OptimError, Oracle, Step};

/// Gradient descent, θ ← θ − ε ∇loss(θ), with a rate that can shrink; on batches it is SGD.
///
/// The model it promises by is −ε gᵀg + ½ ε² gᵀHg where a curvature cap has paid for the product, −ε gᵀg otherwise. Where
/// the cap meets gᵀHg ≤ 0 the step of the schedule is taken and ends with [`StepEnding::NegativeCurvature`](crate::StepEnding::NegativeCurvature). Momentum
/// is another direction: [`crate::HeavyBall`], [`crate::Nesterov`] with [`Descent`].
///
/// # Cost
///
/// One gradient per step; with a cap one product more, with backtracking one loss more for each trial.
///
/// # Example
///
/// ```
/// use ravine_optim::{Armijo, GradientDescent, LearningRate, Method};
///
/// let fixed = GradientDescent::new(0.1);
/// let searching = GradientDescent::new(LearningRate::from(1.0).backtracking(Armijo::default()));
/// assert_eq!([fixed.name(), searching.name()], ["gradient-descent", "gradient-descent"]);
/// assert_eq!(searching.named("backtracking").name(), "backtracking");
/// ```
#[derive(Clone, Debug)]
pub struct GradientDescent(Descent<Gradient>);

/// Stochastic gradient descent: [`GradientDescent`] on batches that change.
pub type Sgd = GradientDescent;

impl GradientDescent {
    /// Gradient descent with a rate, a [`crate::Schedule`] or a [`LearningRate`].
    pub fn new(rate: impl Into<LearningRate>) -> Self {
        Self(Descent::new(Gradient, rate))
    }

    /// With another name for tables and plots.
    pub fn named(self, name: impl Into<String>) -> Self {
        Self(self.0.named(name))
    }
}

impl Method for GradientDescent {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn step(&mut self, oracle: &mut Oracle, theta: &Tensor<1>) -> Result<Step, OptimError> {
        self.0.step(oracle, theta)
    }

    fn state(&self) -> Result<MethodState, OptimError> {
        self.0.state()
    }

    fn load_state(&mut self, state: &MethodState) -> Result<(), OptimError> {
        self.0.load_state(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_problems::{quadratic, saddle, vector32};
    use crate::{Armijo, Cost, CurvatureCap, Quantity, StepEnding};
    use ravine_curvature::vector;

    #[test]
    fn the_best_fixed_rate_contracts_by_its_formula() {
        // From e₁/λ₁ ± e_n/λ_n the error contracts by (κ − 1)/(κ + 1) in every step at ε = 2/(λ₁ + λ_n).
        let [low, high] = [1.0f32, 9.0];
        let mut oracle = Oracle::new(quadratic(&[low, high], &[0.0, 0.0]));
        let mut method = GradientDescent::new(f64::from(2.0 / (low + high)));
        let mut theta = vector32(&[1.0 / low, 1.0 / high]);
        let mut error = vector::norm(&theta);
        for _ in 0..20 {
            theta = method.step(&mut oracle, &theta).unwrap().theta;
            let contraction = vector::norm(&theta) / error;
            assert!((contraction - 8.0 / 10.0).abs() < 1e-5, "{contraction}");
            error *= contraction;
        }
    }

    #[test]
    fn a_fixed_rate_beyond_two_over_lambda_goes_uphill_and_a_cap_never_does() {
        let problem = || Oracle::new(quadratic(&[1.0, 100.0], &[0.0, 0.0]));
        let begin = vector32(&[1.0, 1.0]);
        let step = |oracle: &mut Oracle, method: &mut GradientDescent, theta: &Tensor<1>| {
            method.step(oracle, theta).unwrap()
        };
        let mut oracle = problem();
        let fixed = step(&mut oracle, &mut GradientDescent::new(0.1), &begin);
        assert!(oracle.loss(&fixed.theta).unwrap() > fixed.loss_before);

        let mut oracle = problem();
        let rate = LearningRate::from(10.0).capped(CurvatureCap { fraction: 1.9 });
        let mut capped = GradientDescent::new(rate);
        let mut theta = begin;
        let mut before = oracle.loss(&theta).unwrap();
        for _ in 0..50 {
            let taken = step(&mut oracle, &mut capped, &theta);
            assert!(matches!(taken.ending, StepEnding::Accepted));
            theta = taken.theta;
            let after = oracle.loss(&theta).unwrap();
            assert!(after < before, "{after} {before}");
            let predicted = taken.predicted_change.unwrap();
            assert!(
                (after - before - predicted).abs() < 1e-4 * before,
                "{predicted}"
            );
            before = after;
        }
    }

    #[test]
    fn costs_are_exact() {
        let cost = |losses, gradients, products| Cost {
            losses,
            gradients,
            products,
            ..Cost::default()
        };
        let theta = vector32(&[1.0, 1.0]);
        let rates = [
            (LearningRate::from(0.01), cost(0, 1, 0)),
            (
                LearningRate::from(0.01).capped(CurvatureCap::default()),
                cost(0, 1, 1),
            ),
            // ε = 1 and ½ go uphill on λ = 4, ¼ goes to the minimum.
            (
                LearningRate::from(1.0).backtracking(Armijo::default()),
                cost(3, 1, 0),
            ),
        ];
        for (rate, expected) in rates {
            let mut oracle = Oracle::new(quadratic(&[4.0, 4.0], &[0.0, 0.0]));
            let step = GradientDescent::new(rate)
                .step(&mut oracle, &theta)
                .unwrap();
            assert_eq!(step.cost, expected, "{rate:?}");
            assert_eq!(oracle.cost(), expected);
        }
    }

    #[test]
    fn a_line_search_ends_at_a_loss_it_has_paid_for() {
        let mut oracle = Oracle::new(quadratic(&[4.0, 4.0], &[0.0, 0.0]));
        let rate = LearningRate::from(0.2).backtracking(Armijo::default());
        let step = GradientDescent::new(rate)
            .step(&mut oracle, &vector32(&[1.0, 1.0]))
            .unwrap();
        let before = oracle.cost();
        oracle.loss(&step.theta).unwrap();
        assert_eq!(oracle.cost(), before);
    }

    #[test]
    fn endings_are_data() {
        let mut oracle = Oracle::new(saddle());
        let mut capped =
            GradientDescent::new(LearningRate::from(0.1).capped(CurvatureCap::default()));
        let step = capped.step(&mut oracle, &vector32(&[0.0, 1.0])).unwrap();
        assert!(
            matches!(step.ending, StepEnding::NegativeCurvature { rayleigh, .. } if rayleigh < 0.0)
        );
        assert_eq!(step.learning_rate, Some(0.1));
        assert!(vector::to_f64(&step.theta)[1] > 1.0);

        let stationary = capped.step(&mut oracle, &vector32(&[0.0, 0.0])).unwrap();
        assert!(matches!(stationary.ending, StepEnding::Stationary));

        let nan = capped
            .step(&mut oracle, &vector32(&[f32::NAN, 0.0]))
            .unwrap();
        assert!(matches!(
            nan.ending,
            StepEnding::NonFinite {
                quantity: Quantity::Loss,
                ..
            }
        ));
    }

    #[test]
    fn a_wrong_rate_is_an_error() {
        let mut oracle = Oracle::new(saddle());
        let step = GradientDescent::new(-0.1).step(&mut oracle, &vector32(&[1.0, 1.0]));
        assert!(matches!(step, Err(OptimError::Option { .. })));
    }
}
