use super::model::Model;
use super::*;
use crate::test_network::{
    DIM, Matrix, Twin, assert_close, axpy, damped, dot, half_net, inverse, net, net32, product,
    times,
};
use crate::test_problems::{least_squares, quadratic};
use crate::{Budget, LevenbergMarquardt, Oracle, Silent, run};
use ravine_curvature::{CurvatureError, Others, Point};

const EXACT: KfacOptions = KfacOptions {
    factors: Factors::Exact,
    sharing: ravine_curvature::WeightSharing::Expand,
    others: Others::Identity,
};

const ALONE: KfacLength = KfacLength::Model {
    momentum: ModelMomentum::None,
};

fn fixed(lambda: f64, form: Damping) -> KfacDamping {
    KfacDamping::Fixed { lambda, form }
}

fn adaptive(initial: f64, every: u64, gamma: KfacGamma) -> KfacDamping {
    let lambda = LevenbergMarquardt {
        initial,
        increase: 20.0 / 19.0,
        decrease: 19.0 / 20.0,
        ..LevenbergMarquardt::default()
    };
    KfacDamping::Adaptive {
        lambda,
        every,
        gamma,
    }
}

#[test]
fn on_a_linear_layer_with_squared_errors_it_is_the_gauss_newton_step() {
    let point = least_squares();
    for form in [Damping::Exact, Damping::Factored] {
        let mut method = KfacDescent::new()
            .options(EXACT)
            .length(ALONE)
            .damping(fixed(1e-18, form));
        let mut oracle = Oracle::new(point.clone());
        let step = method.step(&mut oracle, point.theta()).unwrap();
        // The model is quadratic: the Gauss-Newton step ends at its minimum.
        let (loss, gradient) = oracle.gradient(&step.theta).unwrap();
        assert!(vector::norm(&gradient) < 1e-7, "{form:?} {gradient}");
        assert!((step.learning_rate.unwrap() - 1.0).abs() < 1e-7);
        let change = loss - step.loss_before;
        assert!((change - step.predicted_change.unwrap()).abs() < 1e-9);
    }
}

/// The algorithm in plain f64.
struct Plain {
    theta: Vec<f64>,
    k: u64,
    lambda: f64,
    gamma: f64,
    previous: Option<Vec<f64>>,
    factors: Option<[[Matrix; 2]; 2]>,
    /// Factors and γ of the last inverse.
    inverse: Option<([[Matrix; 2]; 2], f64)>,
}

/// T₁, T₂, T₃.
const EVERY: [u64; 3] = [2, 5, 4];

impl Plain {
    fn new(lambda: f64) -> Self {
        Self {
            theta: Twin::theta(),
            k: 0,
            lambda,
            gamma: lambda.sqrt(),
            previous: None,
            factors: None,
            inverse: None,
        }
    }

    fn gather(&mut self, twin: &Twin) {
        let mut new = twin.factors(&self.theta);
        if let Some(old) = &self.factors {
            let keep = (1.0 - 1.0 / self.k as f64).min(0.95);
            for (new, old) in new.iter_mut().flatten().zip(old.iter().flatten()) {
                for (new, old) in new.iter_mut().flatten().zip(old.iter().flatten()) {
                    *new = keep * old + (1.0 - keep) * *new;
                }
            }
        }
        self.factors = Some(new);
    }

    /// −F̆⁻¹g.
    fn direction(factors: &[[Matrix; 2]; 2], gamma: f64, gradient: &[f64]) -> Vec<f64> {
        let mean =
            |m: &Matrix| m.iter().enumerate().map(|(i, row)| row[i]).sum::<f64>() / m.len() as f64;
        let layers = factors.iter().zip(Twin::layers(gradient));
        let parts = layers.flat_map(|([a, b], v)| {
            let pi = (mean(a) / mean(b)).sqrt();
            let a = inverse(&damped(a, pi * gamma));
            let b = inverse(&damped(b, gamma / pi));
            product(&product(&a, &v), &b).into_iter().flatten()
        });
        parts.map(|x| -x).collect()
    }

    /// The paper's step.
    fn step(&mut self, twin: &Twin) {
        self.k += 1;
        self.gather(twin);
        let (f, g) = (twin.loss(&self.theta), twin.gradient(&self.theta));
        let matrix = damped(&twin.gauss_newton(&self.theta), self.lambda);
        let omega = 0.95_f64.sqrt().powi(EVERY[1] as i32);
        let gammas = match self.k % EVERY[1] {
            0 => vec![self.gamma, omega * self.gamma, self.gamma / omega],
            _ => vec![self.gamma],
        };
        let due = self.k <= 3 || self.k.is_multiple_of(EVERY[2]) || gammas.len() > 1;
        let mut best: Option<(f64, Vec<f64>, f64)> = None;
        let factors = self.factors.clone().unwrap();
        let tried: Vec<([[Matrix; 2]; 2], f64)> = match due {
            true => gammas
                .iter()
                .map(|&gamma| (factors.clone(), gamma))
                .collect(),
            false => vec![self.inverse.clone().unwrap()],
        };
        for (factors, gamma) in tried {
            let d = Self::direction(&factors, gamma, &g);
            let md = times(&matrix, &d);
            let (a, p) = (dot(&d, &md), dot(&g, &d));
            let (mut alpha, mut mu) = (-p / a, 0.0);
            let zero = vec![0.0; DIM];
            let before = self.previous.as_ref().unwrap_or(&zero);
            if self.previous.is_some() {
                let (b, c) = (dot(&md, before), dot(before, &times(&matrix, before)));
                let q = dot(&g, before);
                let determinant = a * c - b * b;
                alpha = (b * q - c * p) / determinant;
                mu = (b * p - a * q) / determinant;
            }
            let mut step = vec![0.0; DIM];
            axpy(&mut step, alpha, &d);
            axpy(&mut step, mu, before);
            let change = dot(&g, &step) + 0.5 * dot(&step, &times(&matrix, &step));
            if best.as_ref().is_none_or(|(least, ..)| change < *least) {
                best = Some((change, step, gamma));
                self.inverse = Some((factors, gamma));
            }
        }
        let (change, step, gamma) = best.unwrap();
        self.gamma = gamma;
        axpy(&mut self.theta, 1.0, &step);
        self.previous = Some(step);
        if self.k.is_multiple_of(EVERY[0]) {
            let rho = (twin.loss(&self.theta) - f) / change;
            let omega = 0.95_f64.powi(EVERY[0] as i32);
            match rho {
                _ if rho > 0.75 => self.lambda *= omega,
                _ if rho < 0.25 => self.lambda /= omega,
                _ => {}
            }
        }
    }
}

#[test]
fn forty_steps_are_those_of_the_plain_algorithm() {
    for lambda in [10.0, 0.1] {
        let [t1, t2, t3] = EVERY;
        let mut method = KfacDescent::new()
            .options(EXACT)
            .damping(adaptive(lambda, t1, KfacGamma::Search { every: t2 }))
            .inverse_every(t3);
        let (twin, mut plain) = (Twin::new(), Plain::new(lambda));
        let problem = net();
        let mut theta = problem.theta().clone();
        let mut oracle = Oracle::new(problem);
        for k in 1..=40 {
            plain.step(&twin);
            theta = method.step(&mut oracle, &theta).unwrap().theta;
            let what = format!("step {k} from {lambda}");
            assert_close(&vector::to_f64(&theta), &plain.theta, 1e-8, &what);
            assert!(
                (method.lambda() / plain.lambda - 1.0).abs() < 1e-12,
                "{what}"
            );
            assert!(
                (method.gamma().unwrap() / plain.gamma - 1.0).abs() < 1e-12,
                "{what}"
            );
        }
        assert!(method.lambda() < lambda && method.gamma().unwrap() != lambda.sqrt());
        assert!(twin.loss(&plain.theta) < 0.8 * twin.loss(&Twin::theta()));
    }
}

#[test]
fn a_rate_with_momentum_and_clipping_is_the_plain_loop() {
    let (rate, momentum, kappa, lambda) = (0.2, 0.9, 1e-3, 0.01_f64);
    let mut method = KfacDescent::plain(rate, lambda)
        .options(EXACT)
        .length(KfacLength::Rate {
            schedule: rate.into(),
            momentum,
            clipping: Some(kappa),
        })
        .inverse_every(1);
    let (twin, mut plain) = (Twin::new(), Plain::new(lambda));
    let problem = net();
    let mut theta = problem.theta().clone();
    let mut oracle = Oracle::new(problem);
    let mut velocity = vec![0.0; DIM];
    let mut clipped = 0;
    for k in 1..=25 {
        plain.k = k;
        plain.gather(&twin);
        let g = twin.gradient(&plain.theta);
        let d = Plain::direction(plain.factors.as_ref().unwrap(), lambda.sqrt(), &g);
        let nu = (kappa / (rate * rate * dot(&g, &d).abs())).sqrt().min(1.0);
        clipped += usize::from(nu < 1.0);
        velocity.iter_mut().for_each(|v| *v *= momentum);
        axpy(&mut velocity, nu, &d);
        axpy(&mut plain.theta, rate, &velocity);
        let step = method.step(&mut oracle, &theta).unwrap();
        assert_eq!(step.learning_rate, Some(rate));
        theta = step.theta;
        assert_close(
            &vector::to_f64(&theta),
            &plain.theta,
            1e-10,
            &format!("step {k}"),
        );
    }
    assert!(clipped > 0, "{clipped}");
    assert_eq!(oracle.cost().gauss_newton_products, 0);
}

#[test]
fn exact_damping_adds_to_the_kronecker_product() {
    let (lambda, twin, point) = (0.05, Twin::new(), net());
    let mut method = KfacDescent::new()
        .options(EXACT)
        .damping(fixed(lambda, Damping::Exact))
        .length(KfacLength::Rate {
            schedule: 1.0.into(),
            momentum: 0.0,
            clipping: None,
        });
    let step = method
        .step(&mut Oracle::new(point.clone()), point.theta())
        .unwrap();
    let moved: Vec<f64> = vector::to_f64(&(step.theta - point.theta().clone()));
    // (A ⊗ B + λI) Δ = A Δ B + λΔ = −g.
    let factors = twin.factors(&Twin::theta());
    let back = factors
        .iter()
        .zip(Twin::layers(&moved))
        .flat_map(|([a, b], v)| {
            let mut image = product(&product(a, &v), b);
            image
                .iter_mut()
                .zip(&v)
                .for_each(|(row, v)| axpy(row, lambda, v));
            image.into_iter().flatten()
        });
    let back: Vec<f64> = back.map(|x| -x).collect();
    assert_close(
        &back,
        &twin.gradient(&Twin::theta()),
        1e-12,
        "the equations",
    );
}

#[test]
fn a_step_costs_what_its_documentation_says() {
    let point = net();
    let mut oracle = Oracle::new(point.clone());
    let mut method = KfacDescent::new();
    let (mut theta, mut costs) = (point.theta().clone(), Vec::new());
    for _ in 0..20 {
        let step = method.step(&mut oracle, &theta).unwrap();
        let cost = step.cost;
        assert_eq!(
            (cost.gradients, cost.factor_passes, cost.products),
            (1, 2, 0)
        );
        costs.push((cost.gauss_newton_products, cost.losses));
        theta = step.theta;
    }
    assert_eq!(
        (costs[0], costs[1], costs[4], costs[19]),
        ((1, 0), (2, 0), (2, 1), (4, 1))
    );
    let mut rates = KfacDescent::plain(0.1, 1e-2).factors_every(3);
    let passes: Vec<u64> = (0..4)
        .map(|_| rates.step(&mut oracle, &theta).unwrap().cost.factor_passes)
        .collect();
    assert_eq!(passes, [2, 0, 0, 2]);
}

fn losses(mut method: KfacDescent, point: &Point, steps: usize) -> Vec<f64> {
    let run = run(
        &mut method,
        point,
        point.theta(),
        &Budget::steps(steps),
        &mut Silent,
    )
    .unwrap();
    run.rows
        .iter()
        .map(|row| row.loss)
        .chain(run.final_loss)
        .collect()
}

#[test]
fn in_f32_the_losses_are_nearly_those_in_f64() {
    let method = || {
        KfacDescent::new()
            .options(EXACT)
            .damping(adaptive(1.0, 5, KfacGamma::Root))
    };
    let (single, double) = (losses(method(), &net32(), 30), losses(method(), &net(), 30));
    for (single, double) in single.iter().zip(&double) {
        assert!((single - double).abs() < 1e-2 * double, "{single} {double}");
    }
    assert!(double[30] < 0.7 * double[0], "{double:?}");
}

#[test]
fn random_vectors_descend_as_well() {
    for seed in 0..3 {
        let factors = Factors::MonteCarlo {
            samples: 1,
            seed: Seed::new(seed),
        };
        let options = KfacOptions { factors, ..EXACT };
        let method = KfacDescent::new().options(options).damping(adaptive(
            1.0,
            5,
            KfacGamma::Search { every: 20 },
        ));
        let found = losses(method, &net(), 60);
        assert!(found[60] < 0.5 * found[0], "{found:?}");
        let other = KfacOptions {
            factors: Factors::MonteCarlo {
                samples: 1,
                seed: Seed::new(seed + 100),
            },
            ..EXACT
        };
        let plain = |options| losses(KfacDescent::plain(0.1, 1e-2).options(options), &net(), 3);
        assert_ne!(plain(options), plain(other));
    }
}

#[test]
fn an_adaptive_damping_goes_with_a_rate() {
    let method = KfacDescent::plain(0.3, 1.0)
        .options(EXACT)
        .damping(adaptive(1.0, 2, KfacGamma::Search { every: 4 }));
    let point = net();
    let mut theta = point.theta().clone();
    let mut oracle = Oracle::new(point);
    let mut method = method;
    let mut products = Vec::new();
    for _ in 0..8 {
        let step = method.step(&mut oracle, &theta).unwrap();
        products.push(step.cost.gauss_newton_products);
        theta = step.theta;
    }
    assert_eq!(products, [0, 1, 0, 3, 0, 1, 0, 3]);
    assert!(
        (method.lambda() / 0.95_f64.powi(8) - 1.0).abs() < 1e-9,
        "{}",
        method.lambda()
    );
}

#[test]
fn a_run_that_was_cut_goes_on_bitwise() {
    let methods = || {
        let momentum = KfacLength::Rate {
            schedule: crate::Schedule::Exponential {
                initial: 0.2,
                factor: 0.9,
            },
            momentum: 0.9,
            clipping: None,
        };
        let search = KfacGamma::Search { every: 6 };
        [
            KfacDescent::new()
                .damping(adaptive(1.0, 2, search))
                .inverse_every(5),
            KfacDescent::plain(0.1, 1e-2)
                .length(momentum)
                .inverse_every(7),
        ]
    };
    let go = |method: &mut KfacDescent, theta: &Tensor<1>, steps: usize| {
        let mut oracle = Oracle::new(net());
        (0..steps).fold(theta.clone(), |theta, _| {
            method.step(&mut oracle, &theta).unwrap().theta
        })
    };
    let begin = net().theta().clone();
    for index in 0..2 {
        let method = || methods()[index].clone();
        let expected = vector::to_f64(&go(&mut method(), &begin, 12));
        let mut cut = method();
        // The inverse in use is older than the factors.
        let middle = go(&mut cut, &begin, 4);
        let bytes = cut.state().unwrap().to_bytes().unwrap();
        let state = MethodState::from_bytes(&bytes).unwrap();
        let mut resumed = method();
        resumed.load_state(&state).unwrap();
        let saved_again = resumed.state().unwrap();
        assert_eq!(
            vector::to_f64(&go(&mut resumed, &middle, 8)),
            expected,
            "{index}"
        );
        let mut once_more = method();
        once_more.load_state(&saved_again).unwrap();
        assert_eq!(
            vector::to_f64(&go(&mut once_more, &middle, 8)),
            expected,
            "{index}"
        );
        assert_ne!(vector::to_f64(&go(&mut method(), &middle, 8)), expected);
        let mut other = method();
        other.load_state(&state).unwrap();
        let smaller = least_squares();
        assert!(matches!(
            other.step(&mut Oracle::new(smaller.clone()), smaller.theta()),
            Err(OptimError::StateDimension {
                expected: 8,
                found: DIM
            })
        ));
    }
}

#[test]
fn ends_are_told_and_misuse_is_refused() {
    let of_loss = quadratic(&[1.0, 2.0], &[0.0, 0.0]);
    let theta = of_loss.theta().clone() + 1.0;
    let mut oracle = Oracle::new(of_loss);
    assert!(matches!(
        KfacDescent::new().step(&mut oracle, &theta),
        Err(OptimError::Curvature(CurvatureError::NoOutputs))
    ));
    let still = KfacDescent::new()
        .step(&mut oracle, &(theta.clone() - 1.0))
        .unwrap();
    assert!(matches!(still.ending, StepEnding::Stationary));
    let lost = KfacDescent::new()
        .step(&mut oracle, &(theta.clone() * f64::NAN))
        .unwrap();
    assert!(matches!(lost.ending, StepEnding::NonFinite { .. }));
    let rate = |momentum, clipping| KfacLength::Rate {
        schedule: 0.1.into(),
        momentum,
        clipping,
    };
    let refused = [
        ("decay", KfacDescent::new().decay(1.0)),
        ("factors_every", KfacDescent::new().factors_every(0)),
        ("inverse_every", KfacDescent::new().inverse_every(0)),
        ("lambda", KfacDescent::plain(0.1, -1.0)),
        ("momentum", KfacDescent::new().length(rate(1.0, None))),
        ("clipping", KfacDescent::new().length(rate(0.0, Some(0.0)))),
        (
            "every",
            KfacDescent::new().damping(adaptive(1.0, 0, KfacGamma::Root)),
        ),
        (
            "every",
            KfacDescent::new().damping(adaptive(1.0, 1, KfacGamma::Search { every: 0 })),
        ),
    ];
    for (name, mut method) in refused {
        let error = method.step(&mut oracle, &theta);
        assert!(
            matches!(error, Err(OptimError::Option { option, .. }) if option == name),
            "{name}"
        );
    }
}

#[test]
fn configurations_are_readable() {
    let damping = KfacDamping::default();
    let text = serde_json::to_string(&damping).unwrap();
    assert_eq!(serde_json::from_str::<KfacDamping>(&text).unwrap(), damping);
    let length = KfacLength::default();
    let text = serde_json::to_string(&length).unwrap();
    assert_eq!(serde_json::from_str::<KfacLength>(&text).unwrap(), length);
}

#[test]
fn the_quadratic_model_is_least_at_alpha_and_mu() {
    let point = net();
    let (theta, gradient) = (point.theta().clone(), point.gradient().unwrap());
    let matrix = point.gauss_newton().unwrap();
    let model = Model {
        matrix: &matrix,
        gradient: &gradient,
        lambda: 0.1,
    };
    let (d, before) = (-gradient.clone(), theta * 0.01);
    let previous = model.previous(before.clone()).unwrap();
    let best = model.best(&d, Some(&previous)).unwrap();
    let at = |alpha: f64, mu: f64| {
        model
            .change(&(d.clone() * alpha + before.clone() * mu))
            .unwrap()
    };
    assert!((at(best.alpha, best.mu) - best.change).abs() < 1e-12);
    for (da, dm) in [
        (0.01, 0.0),
        (-0.01, 0.0),
        (0.0, 0.01),
        (0.0, -0.01),
        (0.01, 0.01),
    ] {
        assert!(at(best.alpha + da, best.mu + dm) > best.change);
    }
    // δ₀ along Δ: the system is singular.
    let along = model.previous(d.clone() * 2.0).unwrap();
    let single = model.best(&d, Some(&along)).unwrap();
    assert_eq!(single, model.best(&d, None).unwrap());
}

#[test]
fn batches_may_change_from_step_to_step() {
    let (whole, half) = (net(), half_net());
    let mut oracle = Oracle::new(whole.clone());
    let mut method = KfacDescent::new().damping(adaptive(1.0, 5, KfacGamma::Root));
    let mut theta = whole.theta().clone();
    for k in 0..40 {
        oracle.set_batch(if k % 2 == 0 {
            half.clone()
        } else {
            whole.clone()
        });
        theta = method.step(&mut oracle, &theta).unwrap().theta;
    }
    let after = whole.move_to(theta).unwrap().loss().unwrap();
    assert!(after < 0.7 * whole.loss().unwrap(), "{after}");
}
