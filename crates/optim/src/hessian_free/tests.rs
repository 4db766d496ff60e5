use super::*;
use crate::test_network::{
    Matrix, Twin, assert_close, axpy, damped, dot, half_net, net, net32, times,
};
use crate::test_problems::{ToVec, least_squares, quadratic, rosenbrock, saddle, vector32};
use crate::{Budget, EndingKind, Silent, run};
use ravine_curvature::CurvatureError;

/// No damping, and solves to the end.
fn newton_like() -> HessianFree {
    let damping = LevenbergMarquardt {
        initial: 0.0,
        minimum: 0.0,
        ..LevenbergMarquardt::default()
    };
    HessianFree::new()
        .damping(damping)
        .stop(CgStop::Residual)
        .tolerance(1e-12)
}

#[test]
fn least_squares_takes_one_step() {
    let problem = least_squares();
    let theta = problem.theta().clone();
    let mut oracle = Oracle::new(problem);
    let step = newton_like().step(&mut oracle, &theta).unwrap();
    assert!(matches!(step.ending, StepEnding::Accepted));
    assert_eq!(step.learning_rate, Some(1.0));
    let (loss, gradient) = oracle.gradient(&step.theta).unwrap();
    assert!(vector::norm(&gradient) < 1e-10);
    let change = loss - step.loss_before;
    assert!((change - step.predicted_change.unwrap()).abs() < 1e-10);
    assert_eq!(step.cost.products, 0);
    assert!(step.cost.gauss_newton_products <= 8);
}

/// Where solves beside the plain algorithm end. With a much smaller one the last iterates differ by rounding alone, and so would the choice
/// among them.
const TOLERANCE: f64 = 1e-2;

/// Conjugate gradients in plain f64 from x, with all iterates and φ of each, number 0 being x.
fn conjugate_gradients(
    a: &Matrix,
    b: &[f64],
    x: Vec<f64>,
    inverse: &[f64],
    most: usize,
) -> Vec<(Vec<f64>, f64)> {
    let phi = |x: &[f64]| 0.5 * dot(x, &times(a, x)) - dot(b, x);
    let mut r = b.to_vec();
    axpy(&mut r, -1.0, &times(a, &x));
    let mut iterates = vec![(x.clone(), phi(&x))];
    let mut x = x;
    let scaled = |r: &[f64]| -> Vec<f64> { r.iter().zip(inverse).map(|(r, m)| r * m).collect() };
    let (mut p, mut rz) = (scaled(&r), dot(&r, &scaled(&r)));
    for i in 1..=most {
        if dot(&r, &r).sqrt() <= TOLERANCE * dot(b, b).sqrt() {
            break;
        }
        let ap = times(a, &p);
        let alpha = rz / dot(&p, &ap);
        axpy(&mut x, alpha, &p);
        axpy(&mut r, -alpha, &ap);
        let z = scaled(&r);
        let next = dot(&r, &z);
        let mut direction = z;
        axpy(&mut direction, next / rz, &p);
        (p, rz) = (direction, next);
        let value = phi(&x);
        iterates.push((x.clone(), value));
        let k = 10.max(i.div_ceil(10));
        if i > k && value < 0.0 && (value - iterates[i - k].1) / value < k as f64 * 5e-4 {
            break;
        }
    }
    iterates
}

/// Martens' algorithm in plain f64.
#[derive(Clone)]
struct Plain {
    /// Iterations of a solve.
    most: usize,
    theta: Vec<f64>,
    lambda: f64,
    last: Vec<f64>,
    rate: f64,
}

impl Plain {
    fn step(&mut self, twin: &Twin, curvature: &Twin, preconditioned: bool) {
        let (f, g) = (twin.loss(&self.theta), twin.gradient(&self.theta));
        let b: Vec<f64> = g.iter().map(|g| -g).collect();
        let matrix = curvature.gauss_newton(&self.theta);
        let a = damped(&matrix, self.lambda);
        let mut inverse = vec![1.0; b.len()];
        if preconditioned {
            let diagonal = twin.empirical_fisher_diagonal(&self.theta);
            inverse = diagonal
                .iter()
                .map(|d| (d + self.lambda).powf(-0.75))
                .collect();
        }
        let start = self.last.iter().map(|x| 0.95 * x).collect();
        let iterates = conjugate_gradients(&a, &b, start, &inverse, self.most);
        let at = |d: &[f64], alpha: f64| {
            let mut theta = self.theta.clone();
            axpy(&mut theta, alpha, d);
            theta
        };
        let last = iterates.len() - 1;
        let mut kept: Vec<usize> = (0..40).map(|j| 1.3_f64.powi(j).ceil() as usize).collect();
        kept.retain(|&i| i < last);
        kept.dedup();
        let mut d = &iterates[last].0;
        let mut loss = twin.loss(&at(d, 1.0));
        for &i in kept.iter().rev() {
            let found = twin.loss(&at(&iterates[i].0, 1.0));
            if found > loss {
                break;
            }
            (d, loss) = (&iterates[i].0, found);
        }
        let slope = dot(&g, d);
        let model = slope + 0.5 * dot(d, &times(&matrix, d));
        let rho = if loss > f {
            f64::NEG_INFINITY
        } else {
            (loss - f) / model
        };
        let lambda = match rho {
            _ if rho < 0.25 => self.lambda * 1.5,
            _ if rho > 0.75 => self.lambda * (2.0 / 3.0),
            _ => self.lambda,
        };
        let mut rate = 1.0;
        while twin.loss(&at(d, rate)) > f + 0.01 * rate * slope {
            rate *= 0.8;
        }
        let theta = at(d, rate);
        let last = iterates[last].0.clone();
        *self = Self {
            theta,
            lambda,
            last,
            rate,
            ..*self
        };
    }
}

impl Plain {
    fn new(lambda: f64, most: usize) -> Self {
        let theta = Twin::theta();
        Self {
            most,
            last: vec![0.0; theta.len()],
            lambda,
            theta,
            rate: 0.0,
        }
    }

    /// How far rounding of θ takes the step: solves that end on the way amplify it by their Krylov space.
    fn sensitivity(&self, twin: &Twin, curvature: &Twin, preconditioned: bool) -> f64 {
        let mut here = self.clone();
        here.step(twin, curvature, preconditioned);
        let signs: [fn(usize) -> f64; 3] = [|_| 1.0, |_| -1.0, |i| (i % 2) as f64];
        let distances = signs.map(|sign| {
            let mut other = self.clone();
            let rounded = |(i, x): (usize, &f64)| x * (1.0 + 3e-16 * sign(i));
            other.theta = self.theta.iter().enumerate().map(rounded).collect();
            other.step(twin, curvature, preconditioned);
            distance(&other.theta, &here.theta)
        });
        distances.into_iter().fold(0.0, f64::max)
    }
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, f64::max)
}

/// Fifteen steps beside the plain algorithm, each from the same numbers.
fn beside_the_plain_one(mut method: HessianFree, curvature: &Twin, preconditioned: bool) {
    let twin = Twin::new();
    let mut plain = Plain::new(method.lambda(), 250);
    let problem = net();
    let mut theta = problem.theta().clone();
    let mut oracle = Oracle::new(problem);
    let (mut lambdas, mut exact) = (Vec::new(), 0);
    for k in 0..15 {
        let rounding = plain.sensitivity(&twin, curvature, preconditioned);
        plain.step(&twin, curvature, preconditioned);
        let step = method.step(&mut oracle, &theta).unwrap();
        theta = step.theta;
        let found = vector::to_f64(&theta);
        let defect = distance(&found, &plain.theta);
        assert!(
            defect <= 1e3 * rounding + 1e-12,
            "step {k}: {defect} {rounding}"
        );
        exact += usize::from(defect < 1e-9);
        assert!(
            (step.learning_rate.unwrap() - plain.rate).abs() < 1e-12,
            "step {k}"
        );
        assert!(
            (method.lambda() / plain.lambda - 1.0).abs() < 1e-12,
            "step {k}"
        );
        lambdas.push(plain.lambda);
        plain.theta = found;
        plain.last = vector::to_f64(&method.memory.solution.as_ref().unwrap().on(&theta).unwrap());
    }
    assert!(exact >= 8, "{exact}");
    assert!(
        lambdas.windows(2).any(|pair| pair[1] < pair[0]),
        "{lambdas:?}"
    );
}

fn from(lambda: f64) -> HessianFree {
    let damping = LevenbergMarquardt {
        initial: lambda,
        ..LevenbergMarquardt::default()
    };
    HessianFree::new().damping(damping).tolerance(TOLERANCE)
}

#[test]
fn fifteen_steps_are_those_of_the_plain_algorithm() {
    beside_the_plain_one(from(1.0), &Twin::new(), false);
    beside_the_plain_one(from(1e-3), &Twin::new(), false);
    beside_the_plain_one(from(1e-4), &Twin::new(), false);
}

#[test]
fn a_trajectory_of_short_solves_stays_beside_the_plain_algorithm() {
    let twin = Twin::new();
    for (lambda, most) in [(1.0, 3), (0.03, 4)] {
        let mut plain = Plain::new(lambda, most);
        let problem = net();
        let mut theta = problem.theta().clone();
        let mut oracle = Oracle::new(problem);
        let mut method = from(lambda).max_iterations(most);
        for k in 0..15 {
            plain.step(&twin, &twin, false);
            theta = method.step(&mut oracle, &theta).unwrap().theta;
            let found = vector::to_f64(&theta);
            assert_close(
                &found,
                &plain.theta,
                1e-9,
                &format!("step {k} from {lambda}"),
            );
        }
        assert!(twin.loss(&plain.theta) < 0.7 * twin.loss(&Twin::theta()));
    }
}

#[test]
fn fifteen_preconditioned_steps_are_those_of_the_plain_algorithm() {
    let fisher = Preconditioning::EmpiricalFisher { exponent: 0.75 };
    beside_the_plain_one(from(0.1).preconditioned(fisher), &Twin::new(), true);
}

#[test]
fn curvature_on_half_of_the_examples_costs_half() {
    let method = from(0.1).curvature_batches(vec![half_net()]);
    beside_the_plain_one(method.clone(), &Twin { examples: 4 }, false);
    let problem = net();
    let theta = problem.theta().clone();
    let mut oracle = Oracle::new(problem);
    let mut method = method.max_iterations(6).tolerance(1e-10);
    let step = method.step(&mut oracle, &theta).unwrap();
    assert_eq!(step.ending.kind(), EndingKind::SolverStopped);
    assert_eq!(step.cost.gauss_newton_products, 3);
}

#[test]
fn in_f32_the_losses_are_nearly_those_in_f64() {
    let losses = |problem: Point| {
        let budget = Budget::steps(12);
        let mut method = from(0.1);
        let theta = problem.theta().clone();
        let run = run(&mut method, &problem, &theta, &budget, &mut Silent).unwrap();
        run.rows.iter().map(|row| row.loss).collect::<Vec<_>>()
    };
    let (single, double) = (losses(net32()), losses(net()));
    assert!(double[11] < 0.3 * double[0], "{double:?}");
    for (single, double) in single.iter().zip(&double) {
        assert!((single - double).abs() < 0.02 * double, "{single} {double}");
    }
}

#[test]
fn the_hessian_goes_down_along_its_negative_curvature() {
    let mut oracle = Oracle::new(saddle());
    let damping = LevenbergMarquardt {
        initial: 0.1,
        ..LevenbergMarquardt::default()
    };
    let mut method = HessianFree::new()
        .matrix(CurvatureMatrix::Hessian)
        .damping(damping);
    let step = method.step(&mut oracle, &vector32(&[0.0, 0.1])).unwrap();
    let StepEnding::NegativeCurvature { rayleigh, .. } = step.ending else {
        panic!("{:?}", step.ending);
    };
    // H + λI along θ₁.
    assert!((rayleigh + 0.9).abs() < 1e-6);
    assert_eq!(step.cost.products, 1);
    let change = oracle.loss(&step.theta).unwrap() - step.loss_before;
    assert!(change < 0.0 && (change - step.predicted_change.unwrap()).abs() < 1e-7);
    // A later negative curvature, behind a warm start.
    let step = method.step(&mut oracle, &vector32(&[1.0, 0.1])).unwrap();
    assert!(oracle.loss(&step.theta).unwrap() < step.loss_before);
}

#[test]
fn the_hessian_finds_the_end_of_rosenbrocks_valley() {
    let problem = rosenbrock();
    let budget = Budget::steps(300).target_loss(1e-8);
    let mut method = HessianFree::new().matrix(CurvatureMatrix::Hessian);
    let run = run(&mut method, &problem, problem.theta(), &budget, &mut Silent).unwrap();
    assert!(run.final_loss.unwrap() <= 1e-8, "{:?}", run.ending);
    assert!(
        run.rows
            .iter()
            .all(|row| row.measured_change.unwrap() < 0.0)
    );
}

#[test]
fn a_run_that_was_cut_goes_on_bitwise() {
    let method = || from(0.1).curvature_batches(vec![half_net(), net()]);
    let go = |method: &mut HessianFree, theta: &Tensor<1>, steps: usize| {
        let mut oracle = Oracle::new(net());
        (0..steps).fold(theta.clone(), |theta, _| {
            method.step(&mut oracle, &theta).unwrap().theta
        })
    };
    let begin = net().theta().clone();
    let expected = vector::to_f64(&go(&mut method(), &begin, 8));
    let mut cut = method();
    let middle = go(&mut cut, &begin, 3);
    let bytes = cut.state().unwrap().to_bytes().unwrap();
    let mut resumed = method();
    let state = MethodState::from_bytes(&bytes).unwrap();
    resumed.load_state(&state).unwrap();
    assert_eq!(vector::to_f64(&go(&mut resumed, &middle, 5)), expected);
    assert_ne!(vector::to_f64(&go(&mut method(), &middle, 5)), expected);
    let mut larger = Oracle::new(least_squares());
    resumed.load_state(&state).unwrap();
    let theta = least_squares().theta().clone();
    assert!(matches!(
        resumed.step(&mut larger, &theta),
        Err(OptimError::StateDimension { .. } | OptimError::Curvature(_))
    ));
}

#[test]
fn ends_are_told_and_misuse_is_refused() {
    let problem = quadratic(&[1.0, 2.0], &[0.0, 0.0]);
    let mut oracle = Oracle::new(problem);
    let theta = vector32(&[1.0, 1.0]);
    assert!(matches!(
        HessianFree::new().step(&mut oracle, &theta),
        Err(OptimError::Curvature(CurvatureError::NoOutputs))
    ));
    let mut hessian = HessianFree::new().matrix(CurvatureMatrix::Hessian);
    let still = hessian.step(&mut oracle, &vector32(&[0.0, 0.0])).unwrap();
    assert!(matches!(still.ending, StepEnding::Stationary));
    let lost = hessian
        .step(&mut oracle, &vector32(&[f32::NAN, 0.0]))
        .unwrap();
    assert!(matches!(lost.ending, StepEnding::NonFinite { .. }));
    assert!(lost.theta.to_vec_f32()[0].is_nan());
    let refused = [
        ("decay", HessianFree::new().decay(1.5)),
        ("tolerance", HessianFree::new().tolerance(-1.0)),
        ("iterate_ratio", HessianFree::new().iterate_ratio(f64::NAN)),
        ("max_iterations", HessianFree::new().max_iterations(0)),
        (
            "exponent",
            HessianFree::new().preconditioned(Preconditioning::GaussNewton { exponent: 0.0 }),
        ),
    ];
    for (name, mut method) in refused {
        let error = method.step(&mut oracle, &theta);
        assert!(
            matches!(error, Err(OptimError::Option { option, .. }) if option == name),
            "{name}"
        );
    }
    assert_eq!(oracle.cost().gauss_newton_products, 0);
}

#[test]
fn the_exact_diagonal_preconditions_as_well() {
    let problem = net();
    let theta = problem.theta().clone();
    let budget = Budget::steps(12);
    let mut method = from(0.1).preconditioned(Preconditioning::GaussNewton { exponent: 0.75 });
    let run = run(&mut method, &problem, &theta, &budget, &mut Silent).unwrap();
    assert!(run.final_loss.unwrap() < 0.4 * run.rows[0].loss);
    // The activations and a vector for each of three classes, in every step.
    assert_eq!(run.cost.factor_passes, 12 * 4);
}
