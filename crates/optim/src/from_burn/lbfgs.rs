use burn::optim::{GradientsParams, LBFGS, LBFGSConfig, LineSearchFn};
use burn::prelude::*;
use burn::tensor::Bytes;

use super::parameters::{Blueprint, Parameters};
use crate::error::in_range;
use crate::method::{Move, Start};
use crate::schedule::Rates;
use crate::state::broken;
use crate::{Method, MethodState, OptimError, Oracle, Quantity, Schedule, Step, StepEnding};

/// L-BFGS of Burn as a [`Method`]: one step is one call of Burn's step, which runs up to `max_iter` iterations.
///
/// Burn asks for loss and gradient where it likes; each is answered and counted by the oracle. With
/// [`BurnLbfgs::by_iterations`] a step is one iteration, so that rows compare with other methods'. A method that sees one batch
/// per step mixes the curvature of different batches: L-BFGS is meant for the whole data.
///
/// The rate scales the first trial of each line search (the step itself without one). There is no promise of a change: Burn does
/// not hand out its quadratic model.
///
/// # Cost
///
/// Without a line search one gradient per iteration and one at the start; with strong Wolfe conditions one gradient per
/// trial. The gradient at the start of a step is free where the last step evaluated it last.
///
/// # References
///
/// D. C. Liu and J. Nocedal, On the limited memory BFGS method for large scale optimization, 1989.
///
/// # Example
///
/// ```
/// use burn::optim::LineSearchFn;
/// use ravine_optim::{BurnLbfgs, Method};
///
/// let method = BurnLbfgs::by_iterations(10, LineSearchFn::StrongWolfe, 1.0);
/// assert_eq!(method.name(), "l-bfgs");
/// ```
pub struct BurnLbfgs {
    name: String,
    config: LBFGSConfig,
    optimizer: LBFGS,
    schedule: Schedule,
    rates: Option<Rates>,
    blueprint: Option<Blueprint>,
}

impl BurnLbfgs {
    /// L-BFGS with Burn's configuration.
    pub fn new(config: LBFGSConfig, schedule: impl Into<Schedule>) -> Self {
        Self {
            name: "l-bfgs".to_string(),
            optimizer: config.init(),
            config,
            schedule: schedule.into(),
            rates: None,
            blueprint: None,
        }
    }

    /// L-BFGS with one iteration per step, a memory of `history` pairs and at most 25 trials of a line search.
    pub fn by_iterations(
        history: usize,
        line_search: LineSearchFn,
        schedule: impl Into<Schedule>,
    ) -> Self {
        let config = LBFGSConfig::new()
            .with_max_iter(1)
            .with_max_eval(Some(26))
            .with_history_size(history)
            .with_tolerance_grad(0.0)
            .with_tolerance_change(0.0)
            .with_line_search_fn(line_search);
        Self::new(config, schedule)
    }

    /// With another name for tables and plots.
    pub fn named(self, name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..self
        }
    }

    /// Refuses numbers for which Burn would do nothing or count below zero.
    fn check(&self) -> Result<(), OptimError> {
        let iterations = self.config.max_iter;
        in_range("max_iter", iterations as f64, "at least 1", iterations > 0)?;
        let history = self.config.history_size;
        in_range("history_size", history as f64, "at least 1", history > 0)?;
        let evaluations = self.config.max_eval.unwrap_or(iterations * 5 / 4);
        in_range(
            "max_eval",
            evaluations as f64,
            "at least 2: one gradient at the start and one after the step",
            evaluations > 1,
        )
    }
}

impl Method for BurnLbfgs {
    fn name(&self) -> &str {
        &self.name
    }

    fn step(&mut self, oracle: &mut Oracle, theta: &Tensor<1>) -> Result<Step, OptimError> {
        self.check()?;
        let start = Start::at(oracle, theta)?;
        if let Some(obstacle) = start.obstacle() {
            return Ok(start.stay(oracle, obstacle));
        }
        let rates = match &mut self.rates {
            Some(rates) => rates,
            None => self.rates.insert(self.schedule.start()?),
        };
        let rate = rates.next_rate(start.loss);
        let blueprint = match self.blueprint.take() {
            Some(blueprint) => blueprint,
            None => Blueprint::new(oracle.layout())?,
        };
        if blueprint.dim() != oracle.dim() {
            return Err(OptimError::Dimension {
                expected: blueprint.dim(),
                found: oracle.dim(),
            });
        }
        let mut failure = None;
        let answer = |module: Parameters| -> (f64, GradientsParams) {
            let at = module.flat();
            match oracle.gradient(&at) {
                Ok((loss, gradient)) => {
                    let gradient = gradient.cast(at.dtype());
                    (loss, blueprint.gradients(&gradient, |_| true))
                }
                // Burn's closure cannot fail: a zero gradient ends its iterations.
                Err(error) => {
                    failure.get_or_insert(error);
                    (f64::NAN, blueprint.gradients(&at.zeros_like(), |_| true))
                }
            }
        };
        let module = blueprint.module(theta);
        let (module, _) = self.optimizer.step(rate, module, answer);
        if let Some(error) = failure {
            return Err(error);
        }
        self.blueprint = Some(blueprint);
        let theta_after = module.flat();
        let to = match ending(theta, &theta_after) {
            StepEnding::Accepted => Move {
                theta: theta_after,
                learning_rate: Some(rate),
                predicted_change: None,
                ending: StepEnding::Accepted,
            },
            stayed => {
                // Pairs with NaN would spoil every later direction.
                self.optimizer = self.config.init();
                Move::nowhere(&start, stayed)
            }
        };
        Ok(start.finish(oracle, to))
    }

    fn state(&self) -> Result<MethodState, OptimError> {
        let record = self
            .optimizer
            .into_bytes()
            .map_err(|error| broken(KIND, &error))?;
        MethodState::new(KIND, &(record.to_vec(), &self.rates))
    }

    fn load_state(&mut self, state: &MethodState) -> Result<(), OptimError> {
        let (record, rates): (Vec<u8>, Option<Rates>) = state.memory(KIND)?;
        self.optimizer = self
            .config
            .init()
            .from_bytes(Bytes::from_bytes_vec(record))
            .map_err(|error| broken(KIND, &error))?;
        self.rates = rates;
        Ok(())
    }
}

/// What its states are called.
const KIND: &str = "burn-l-bfgs";

/// Accepted when Burn moved θ, and to a place that is finite.
fn ending(before: &Tensor<1>, after: &Tensor<1>) -> StepEnding {
    let moved = ravine_curvature::vector::norm(&(after.clone() - before.clone()));
    match moved {
        _ if !moved.is_finite() => StepEnding::NonFinite {
            quantity: Quantity::Theta,
            value: moved,
        },
        0.0 => StepEnding::NoDecrease {
            trials: 0,
            slope: 0.0,
        },
        _ => StepEnding::Accepted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_problems::{
        Coordinates, ToVec, coupled_in_f64, logistic, quadratic, rosenbrock, vector32,
    };
    use burn::module::Module;

    #[test]
    fn converges_on_rosenbrock_with_strong_wolfe() {
        let mut oracle = Oracle::new(rosenbrock());
        let mut method = BurnLbfgs::by_iterations(10, LineSearchFn::StrongWolfe, 1.0);
        let mut theta = vector32(&[-1.2, 1.0]);
        let mut steps = 0;
        while oracle.loss(&theta).unwrap() > 1e-8 {
            let step = method.step(&mut oracle, &theta).unwrap();
            assert!(step.ending.moved(), "{:?}", step.ending);
            theta = step.theta;
            steps += 1;
            assert!(steps < 100);
        }
        assert!((theta.to_vec_f32()[0] - 1.0).abs() < 1e-3);
    }

    #[test]
    fn does_what_burn_does_alone() {
        let (eigenvalues, begin) = ([1.0f32, 10.0, 100.0], [1.0f32, -1.0, 0.5]);
        let config = LBFGSConfig::new()
            .with_max_iter(8)
            .with_line_search_fn(LineSearchFn::StrongWolfe);

        let device = Device::flex().autodiff();
        let model = Coordinates::new(&begin).train();
        let weights = Tensor::<1>::from_data(eigenvalues, &device);
        let (model, _) = config.init().step(1.0, model, |model: Coordinates| {
            let theta = model.theta.val();
            let loss = (theta.clone() * theta * weights.clone()).sum() * 0.5;
            let gradients = GradientsParams::from_grads(loss.backward(), &model);
            (loss.inner().into_scalar::<f64>(), gradients)
        });
        let expected = model.theta.val().inner().to_vec_f32();

        let mut oracle = Oracle::new(quadratic(&eigenvalues, &[0.0; 3]));
        let step = BurnLbfgs::new(config, 1.0)
            .step(&mut oracle, &vector32(&begin))
            .unwrap();
        for (x, e) in step.theta.to_vec_f32().iter().zip(&expected) {
            assert!((x - e).abs() < 1e-5, "{x} {e}");
        }
    }

    #[test]
    fn runs_in_f64() {
        let problem = coupled_in_f64();
        let mut theta = problem.theta().clone();
        let mut oracle = Oracle::new(problem);
        let mut method = BurnLbfgs::by_iterations(10, LineSearchFn::StrongWolfe, 1.0);
        let mut steps = 0;
        while oracle.loss(&theta).unwrap() > 1e-20 {
            theta = method.step(&mut oracle, &theta).unwrap().theta;
            steps += 1;
            assert!(steps < 30);
        }
    }

    #[test]
    fn costs_are_exact_and_the_last_gradient_is_kept() {
        let problem = logistic();
        let theta = problem.theta().clone();
        let mut oracle = Oracle::new(problem);
        let mut method = BurnLbfgs::by_iterations(5, LineSearchFn::None, 0.5);
        let first = method.step(&mut oracle, &theta).unwrap();
        assert_eq!((first.cost.gradients, first.cost.losses), (2, 0));
        let second = method.step(&mut oracle, &first.theta).unwrap();
        assert_eq!((second.cost.gradients, second.cost.losses), (1, 0));
    }

    #[test]
    fn settings_that_do_nothing_are_errors() {
        let mut oracle = Oracle::new(quadratic(&[1.0], &[0.0]));
        let config = LBFGSConfig::new().with_max_iter(1);
        let step = BurnLbfgs::new(config, 1.0).step(&mut oracle, &vector32(&[1.0]));
        assert!(matches!(
            step,
            Err(OptimError::Option {
                option: "max_eval",
                ..
            })
        ));
    }
}
