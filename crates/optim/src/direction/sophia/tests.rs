#![expect(
    clippy::needless_range_loop,
    reason = "indices as the formulas have them"
)]

use super::*;
use crate::direction::HutchinsonProbes;
use crate::direction::plain::{
    EXAMPLES, Twin, assert_close, network, network_point, ravine, shaped, twins,
};
use crate::test_problems::{quadratic, vector32};
use crate::{Cost, Descent, Direction, Method, MethodState, OptimError, Oracle, StepEnding};
use burn::tensor::DType;
use ravine_curvature::{CurvatureError, Likelihood, Precision, Seed};

fn probes(dim: usize, count: usize) -> (HutchinsonProbes, Vec<Vec<f64>>) {
    let rows: Vec<Vec<f64>> = (0..count)
        .map(|k| {
            (0..dim)
                .map(|i| ((k * 3 + i * 5 + 1) as f64).sin() * 1.5)
                .collect()
        })
        .collect();
    let tensor = |row: &Vec<f64>| vector::from_f64(row, &Device::flex(), DType::F64);
    (
        HutchinsonProbes::Given(rows.iter().map(tensor).collect()),
        rows,
    )
}

/// The paper's step on plain numbers.
struct Plain {
    gamma: f64,
    decay: f64,
    m: Vec<f64>,
    h: Vec<f64>,
}

impl Plain {
    fn new(dim: usize, gamma: f64) -> Self {
        Self {
            gamma,
            decay: 0.0,
            m: vec![0.0; dim],
            h: vec![0.0; dim],
        }
    }

    fn step(&mut self, theta: &[f64], g: &[f64], h: Option<Vec<f64>>, rate: f64) -> Vec<f64> {
        let mut next = theta.to_vec();
        for i in 0..theta.len() {
            self.m[i] = 0.96 * self.m[i] + 0.04 * g[i];
            if let Some(h) = &h {
                self.h[i] = 0.99 * self.h[i] + 0.01 * h[i];
            }
            let ratio = self.m[i] / (self.gamma * self.h[i]).max(1e-12);
            next[i] -= rate * self.decay * theta[i];
            next[i] -= rate * ratio.clamp(-1.0, 1.0);
        }
        next
    }
}

fn hutchinson(twin: &Twin, theta: &[f64], z: &[f64]) -> Vec<f64> {
    let product = (twin.product)(theta, z);
    product.iter().zip(z).map(|(p, z)| p * z).collect()
}

#[test]
fn sophia_h_takes_the_steps_of_the_paper() {
    for twin in twins() {
        // A large γ, so that some entries are clipped and some are not.
        for (gamma, every, decay) in [(0.01, 10, 0.0), (20.0, 3, 0.2)] {
            let (probes, rows) = probes(twin.dim(), 5);
            let direction = SophiaH::new()
                .gamma(gamma)
                .every(every as u64)
                .weight_decay(decay)
                .probes(probes);
            let mut plain = Plain::new(twin.dim(), gamma);
            plain.decay = decay;
            twin.compare(&mut Descent::new(direction, 0.02), 14, |t, theta| {
                let due = (t - 1) % every == 0;
                let h = due.then(|| hutchinson(&twin, theta, &rows[(t - 1) / every]));
                plain.step(theta, &(twin.gradient)(theta), h, 0.02)
            });
        }
    }
}

/// The outputs of the network of [`network`], by hand: θ is hidden `[3, 3]`, bias `[3]`, output `[3, 3]`.
fn bartlett(theta: &[f64], labels: &[f64]) -> Vec<f64> {
    let input = |n: usize, i: usize| ((n * 3 + i) * 7 + 2) as f64 % 13.0 / 8.0 - 0.75;
    let (hidden, bias, output) = (&theta[..9], &theta[9..12], &theta[12..]);
    let mut gradient = [0.0; 21];
    for n in 0..EXAMPLES {
        let activity: Vec<f64> = (0..3)
            .map(|j| {
                let sum: f64 = (0..3).map(|i| input(n, i) * hidden[3 * i + j]).sum();
                (sum + bias[j]).tanh()
            })
            .collect();
        let z: Vec<f64> = (0..3)
            .map(|c| (0..3).map(|j| activity[j] * output[3 * j + c]).sum())
            .collect();
        let sum: f64 = z.iter().map(|z| z.exp()).sum();
        let score: Vec<f64> = (0..3)
            .map(|c| z[c].exp() / sum - f64::from(u8::from(labels[n] == c as f64)))
            .collect();
        for j in 0..3 {
            let back: f64 = (0..3).map(|c| output[3 * j + c] * score[c]).sum();
            let slope = back * (1.0 - activity[j] * activity[j]);
            for c in 0..3 {
                gradient[12 + 3 * j + c] += activity[j] * score[c] / EXAMPLES as f64;
                gradient[3 * c + j] += input(n, c) * slope / EXAMPLES as f64;
            }
            gradient[9 + j] += slope / EXAMPLES as f64;
        }
    }
    gradient.iter().map(|g| EXAMPLES as f64 * g * g).collect()
}

#[test]
fn sophia_g_takes_the_steps_of_the_paper_with_given_labels() {
    let twin = network();
    let labels: Vec<Vec<f64>> = (0..4)
        .map(|r| (0..EXAMPLES).map(|n| ((n * n + r) % 3) as f64).collect())
        .collect();
    for (gamma, decay) in [(0.05, 0.0), (50.0, 0.2)] {
        let direction = SophiaG::new(Likelihood::Categorical)
            .gamma(gamma)
            .every(4)
            .weight_decay(decay)
            .labels(SampledLabels::Given(labels.clone()));
        let mut plain = Plain::new(twin.dim(), gamma);
        plain.decay = decay;
        twin.compare(&mut Descent::new(direction, 0.05), 14, |t, theta| {
            let due = (t - 1) % 4 == 0;
            let h = due.then(|| bartlett(theta, &labels[(t - 1) / 4]));
            plain.step(theta, &(twin.gradient)(theta), h, 0.05)
        });
    }
}

#[test]
fn drawn_labels_cost_a_gradient_in_every_kth_step_and_depend_on_the_seed() {
    let run = |seed: u64| {
        let point = network_point(Precision::F64);
        let mut theta = point.theta().clone();
        let mut oracle = Oracle::new(point);
        let labels = SampledLabels::Seeded(Seed::new(seed));
        let direction = SophiaG::new(Likelihood::Categorical)
            .gamma(50.0)
            .every(5)
            .labels(labels);
        let mut method = Descent::new(direction, 0.02);
        for _ in 0..11 {
            theta = method.step(&mut oracle, &theta).unwrap().theta;
        }
        let cost = Cost {
            losses: 1,
            gradients: 14,
            ..Cost::default()
        };
        assert_eq!(oracle.cost(), cost);
        vector::to_f64(&theta)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn outputs_that_become_certain_do_not_end_a_run() {
    let point = network_point(Precision::Model);
    let begin = point.theta().clone();
    // Outputs a million times as large, whose curvature vanishes in f32.
    let certain = begin.clone() * 1e6;
    let mut oracle = Oracle::new(point);
    assert!(
        oracle
            .label_weight(&certain, Likelihood::Categorical)
            .is_err()
    );
    let mut method = Descent::new(SophiaG::new(Likelihood::Categorical).every(1), 0.01);
    method.step(&mut oracle, &begin).unwrap();
    let step = method.step(&mut oracle, &certain).unwrap();
    assert!(vector::norm(&step.theta).is_finite());
}

#[test]
fn products_are_asked_for_in_every_kth_step_alone() {
    let twin = ravine();
    let mut oracle = Oracle::new(twin.point.clone());
    let mut theta = twin.point.theta().clone();
    let mut method = Descent::new(SophiaH::new().every(3).samples(2), 0.001);
    let mut products = Vec::new();
    for _ in 0..7 {
        let step = method.step(&mut oracle, &theta).unwrap();
        products.push(step.cost.products);
        theta = step.theta;
    }
    assert_eq!(products, [2, 0, 0, 2, 0, 0, 2]);
}

#[test]
fn in_f32_both_follow_the_steps_in_f64() {
    let run = |direction: Box<dyn Direction>, precision| {
        let point = network_point(precision);
        let mut theta = point.theta().clone();
        let mut oracle = Oracle::new(point);
        let mut method = Descent::new(direction, 0.02);
        for _ in 0..12 {
            theta = method.step(&mut oracle, &theta).unwrap().theta;
        }
        vector::to_f64(&theta)
    };
    let directions: [fn() -> Box<dyn Direction>; 2] = [
        || Box::new(SophiaH::new().gamma(20.0)),
        || {
            // Labels that are given, since a drawn one may differ in the last bit of its probability.
            let labels = vec![vec![0.0, 1.0, 2.0, 0.0, 1.0, 1.0]; 2];
            let direction = SophiaG::new(Likelihood::Categorical).gamma(50.0);
            Box::new(direction.labels(SampledLabels::Given(labels)))
        },
    ];
    for direction in directions {
        let single = run(direction(), Precision::Model);
        let double = run(direction(), Precision::F64);
        assert_close(&single, &double, 1e-3);
    }
}

#[test]
fn a_cut_run_of_sophia_g_goes_on_bitwise() {
    let make = || Descent::new(SophiaG::new(Likelihood::Categorical).every(3), 0.02);
    let go_on = |method: &mut dyn Method, theta: Tensor<1>, steps: usize| {
        let mut oracle = Oracle::new(network_point(Precision::Model));
        (0..steps).fold(theta, |theta, _| {
            method.step(&mut oracle, &theta).unwrap().theta
        })
    };
    let begin = network_point(Precision::Model).theta().clone();
    let expected = go_on(&mut make(), begin.clone(), 11);
    let mut cut = make();
    let middle = go_on(&mut cut, begin, 5);
    let bytes = cut.state().unwrap().to_bytes().unwrap();
    let mut resumed = make();
    resumed
        .load_state(&MethodState::from_bytes(&bytes).unwrap())
        .unwrap();
    let found = go_on(&mut resumed, middle, 6);
    assert_eq!(vector::to_f64(&found), vector::to_f64(&expected));
}

#[test]
fn zero_gradients_nan_and_other_losses_are_said() {
    let mut oracle = Oracle::new(quadratic(&[1.0, 2.0], &[0.0, 0.0]));
    let mut method = Descent::new(SophiaH::new(), 0.1);
    let step = method.step(&mut oracle, &vector32(&[0.0, 0.0])).unwrap();
    assert!(matches!(step.ending, StepEnding::Stationary));
    let step = method
        .step(&mut oracle, &vector32(&[f32::NAN, 0.0]))
        .unwrap();
    assert!(matches!(step.ending, StepEnding::NonFinite { .. }));
    let infinite = HutchinsonProbes::Given(vec![vector32(&[f32::INFINITY, 1.0])]);
    let mut method = Descent::new(SophiaH::new().probes(infinite), 0.1);
    let step = method.step(&mut oracle, &vector32(&[1.0, 1.0])).unwrap();
    assert!(matches!(step.ending, StepEnding::NonFinite { .. }));

    let mut no_outputs = Descent::new(SophiaG::new(Likelihood::Gaussian), 0.1);
    let step = no_outputs.step(&mut oracle, &vector32(&[1.0, 1.0]));
    assert!(matches!(
        step,
        Err(OptimError::Curvature(CurvatureError::NoOutputs))
    ));
    let point = network_point(Precision::Model);
    let theta = point.theta().clone();
    let mut oracle = Oracle::new(point);
    let step = no_outputs.step(&mut oracle, &theta);
    assert!(matches!(
        step,
        Err(OptimError::Curvature(
            CurvatureError::NotThisLikelihood { .. }
        ))
    ));
}

#[test]
fn options_out_of_range_are_named() {
    let wrong: Vec<Box<dyn Direction>> = vec![
        Box::new(SophiaH::new().betas(1.0, 0.99)),
        Box::new(SophiaH::new().betas(0.9, f64::NAN)),
        Box::new(SophiaH::new().gamma(0.0)),
        Box::new(SophiaH::new().epsilon(-1.0)),
        Box::new(SophiaH::new().weight_decay(-1.0)),
        Box::new(SophiaH::new().every(0)),
        Box::new(SophiaH::new().samples(0)),
        Box::new(SophiaH::new().probes(HutchinsonProbes::Given(Vec::new()))),
        Box::new(SophiaG::new(Likelihood::Gaussian).every(0)),
        Box::new(SophiaG::new(Likelihood::Gaussian).labels(SampledLabels::Given(Vec::new()))),
    ];
    for direction in wrong {
        let twin = shaped();
        let mut oracle = Oracle::new(twin.point.clone());
        let theta = twin.point.theta().clone();
        let step = Descent::new(direction, 0.1).step(&mut oracle, &theta);
        assert!(matches!(step, Err(OptimError::Option { .. })), "{step:?}");
    }
}
