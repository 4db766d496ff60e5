use super::*;
use crate::direction::plain::{Twin, network, shaped, twins};
use crate::test_problems::{quadratic, vector32};
use crate::{Cost, CurvatureCap, Descent, LearningRate, Method, StepEnding};
use ravine_curvature::Probe;

/// Signs that differ from step to step, as tensors and as numbers.
fn signs(dim: usize, count: usize) -> (HutchinsonProbes, Vec<Vec<f64>>) {
    let sign = |k: usize, i: usize| match (k * 5 + i * i * 3 + i * k) % 7 < 3 {
        true => 1.0,
        false => -1.0,
    };
    let rows: Vec<Vec<f64>> = (0..count)
        .map(|k| (0..dim).map(|i| sign(k, i)).collect())
        .collect();
    let tensor = |row: &Vec<f64>| Tensor::<1>::from_data(&row[..], &Device::flex());
    (
        HutchinsonProbes::Given(rows.iter().map(tensor).collect()),
        rows,
    )
}

/// The paper's step on plain numbers.
struct Plain {
    power: f64,
    epsilon: f64,
    decay: f64,
    m: Vec<f64>,
    v: Vec<f64>,
}

impl Plain {
    fn new(dim: usize) -> Self {
        Self {
            power: 1.0,
            epsilon: 1e-8,
            decay: 0.0,
            m: vec![0.0; dim],
            v: vec![0.0; dim],
        }
    }

    fn step(&mut self, t: usize, theta: &[f64], g: &[f64], d: &[f64], rate: f64) -> Vec<f64> {
        let mut next = theta.to_vec();
        for i in 0..theta.len() {
            self.m[i] = 0.9 * self.m[i] + 0.1 * g[i];
            self.v[i] = 0.999 * self.v[i] + 0.001 * d[i] * d[i];
            let m = self.m[i] / (1.0 - 0.9_f64.powi(t as i32));
            let v = self.v[i] / (1.0 - 0.999_f64.powi(t as i32));
            let scale = v.sqrt().powf(self.power) + self.epsilon;
            next[i] -= rate * (m / scale + self.decay * theta[i]);
        }
        next
    }
}

/// z ⊙ Hz.
fn estimate(twin: &Twin, theta: &[f64], z: &[f64]) -> Vec<f64> {
    let product = (twin.product)(theta, z);
    product.iter().zip(z).map(|(p, z)| p * z).collect()
}

#[test]
fn it_takes_the_steps_of_the_paper() {
    for twin in twins() {
        let (probes, rows) = signs(twin.dim(), 12);
        let direction = AdaHessian::new()
            .averaging(SpatialAveraging::Off)
            .probes(probes);
        let mut plain = Plain::new(twin.dim());
        twin.compare(&mut Descent::new(direction, 0.05), 12, |t, theta| {
            let d = estimate(&twin, theta, &rows[t - 1]);
            plain.step(t, theta, &(twin.gradient)(theta), &d, 0.05)
        });
    }
}

#[test]
fn kernels_and_blocks_share_their_means() {
    let twin = shaped();
    // Kernel entries by fours; the rest apart.
    let kernels = |d: &[f64]| -> Vec<f64> {
        let mut means = d.to_vec();
        for block in 0..4 {
            let sum: f64 = d[4 * block..4 * block + 4].iter().sum();
            means[4 * block..4 * block + 4].fill(sum / 4.0);
        }
        means
    };
    // Blocks of five within each parameter of 16, 9 and 2 numbers.
    let blocks = |d: &[f64]| -> Vec<f64> {
        let mut means = Vec::new();
        for part in [&d[..16], &d[16..25], &d[25..]] {
            for block in part.chunks(5) {
                let mean = block.iter().sum::<f64>() / block.len() as f64;
                means.extend(block.iter().map(|_| mean));
            }
        }
        means
    };
    let magnitudes = |d: Vec<f64>| -> Vec<f64> { d.iter().map(|x| x.abs()).collect() };
    for averaged in [Averaged::Magnitudes, Averaged::Signed] {
        for averaging in [
            SpatialAveraging::Kernels,
            SpatialAveraging::Blocks { size: 5 },
        ] {
            let (probes, rows) = signs(twin.dim(), 10);
            let direction = AdaHessian::new()
                .averaging(averaging)
                .averaged(averaged)
                .probes(probes);
            let mut plain = Plain::new(twin.dim());
            twin.compare(&mut Descent::new(direction, 0.02), 10, |t, theta| {
                let mut d = estimate(&twin, theta, &rows[t - 1]);
                if averaged == Averaged::Magnitudes {
                    d = magnitudes(d);
                }
                let d = match averaging {
                    SpatialAveraging::Kernels => kernels(&d),
                    _ => blocks(&d),
                };
                plain.step(t, theta, &(twin.gradient)(theta), &d, 0.02)
            });
        }
    }
}

#[test]
fn samples_intervals_powers_and_decay_enter_as_documented() {
    let twin = network();
    let (probes, rows) = signs(twin.dim(), 8);
    let direction = AdaHessian::new()
        .samples(2)
        .every(3)
        .hessian_power(0.5)
        .epsilon(1e-4)
        .weight_decay(0.1)
        .probes(probes);
    let mut plain = Plain {
        power: 0.5,
        epsilon: 1e-4,
        decay: 0.1,
        ..Plain::new(twin.dim())
    };
    let mut method = Descent::new(direction, 0.05);
    let mut d = Vec::new();
    twin.compare(&mut method, 12, |t, theta| {
        if (t - 1) % 3 == 0 {
            let k = (t - 1) / 3 * 2;
            let first = estimate(&twin, theta, &rows[k]);
            let second = estimate(&twin, theta, &rows[k + 1]);
            d = first
                .iter()
                .zip(&second)
                .map(|(a, b)| 0.5 * (a + b))
                .collect();
        }
        plain.step(t, theta, &(twin.gradient)(theta), &d, 0.05)
    });
}

#[test]
fn a_diagonal_quadratic_is_solved_at_the_rate_of_one() {
    // z ⊙ Hz = λ exactly, so that the first step is Newton's, but for ϵ.
    let twin = crate::direction::plain::ravine();
    let mut oracle = Oracle::new(twin.point.clone());
    let theta = twin.point.theta().clone();
    let step = Descent::new(AdaHessian::new(), 1.0)
        .step(&mut oracle, &theta)
        .unwrap();
    assert!(vector::norm(&step.theta) < 1e-7);
    let cost = Cost {
        gradients: 1,
        products: 1,
        ..Cost::default()
    };
    assert_eq!(step.cost, cost);
}

#[test]
fn it_composes_with_warm_up_and_a_cap() {
    let twin = shaped();
    let rate = LearningRate::from(1.0)
        .warmed_up(4)
        .capped(CurvatureCap::default());
    let mut method = Descent::new(AdaHessian::new(), rate);
    let mut oracle = Oracle::new(twin.point.clone());
    let mut theta = twin.point.theta().clone();
    let first = oracle.loss(&theta).unwrap();
    let mut rates = Vec::new();
    for _ in 0..40 {
        let step = method.step(&mut oracle, &theta).unwrap();
        rates.push(step.learning_rate.unwrap());
        theta = step.theta;
    }
    assert!((rates[0] - 0.2).abs() < 1e-12, "{rates:?}");
    assert!(oracle.loss(&theta).unwrap() < first);
}

#[test]
fn in_f32_it_follows_the_steps_in_f64() {
    use crate::direction::plain::network_point;
    use ravine_curvature::Precision;
    let run = |precision| {
        let point = network_point(precision);
        let mut theta = point.theta().clone();
        let mut oracle = Oracle::new(point);
        let mut method = Descent::new(AdaHessian::new(), 0.02);
        for _ in 0..10 {
            theta = method.step(&mut oracle, &theta).unwrap().theta;
        }
        vector::to_f64(&theta)
    };
    let (single, double) = (run(Precision::Model), run(Precision::F64));
    crate::direction::plain::assert_close(&single, &double, 1e-3);
}

#[test]
fn a_zero_gradient_is_stationary_and_nan_is_reported() {
    let mut oracle = Oracle::new(quadratic(&[1.0, 2.0], &[0.0, 0.0]));
    let mut method = Descent::new(AdaHessian::new(), 0.1);
    let step = method.step(&mut oracle, &vector32(&[0.0, 0.0])).unwrap();
    assert!(matches!(step.ending, StepEnding::Stationary));
    let step = method
        .step(&mut oracle, &vector32(&[f32::NAN, 0.0]))
        .unwrap();
    assert!(matches!(step.ending, StepEnding::NonFinite { .. }));
    let infinite = HutchinsonProbes::Given(vec![vector32(&[f32::INFINITY, 1.0])]);
    let mut method = Descent::new(AdaHessian::new().probes(infinite), 0.1);
    let step = method.step(&mut oracle, &vector32(&[1.0, 1.0])).unwrap();
    assert!(matches!(
        step.ending,
        StepEnding::NonFinite {
            quantity: Quantity::Hessian,
            ..
        }
    ));
    assert_eq!(method.direction().memory.t, 0);
}

#[test]
fn options_out_of_range_are_named() {
    let wrong = [
        AdaHessian::new().betas(1.0, 0.999),
        AdaHessian::new().betas(0.9, -0.1),
        AdaHessian::new().hessian_power(1.5),
        AdaHessian::new().epsilon(0.0),
        AdaHessian::new().weight_decay(f64::NAN),
        AdaHessian::new().every(0),
        AdaHessian::new().samples(0),
        AdaHessian::new().averaging(SpatialAveraging::Blocks { size: 0 }),
        AdaHessian::new().probes(HutchinsonProbes::Given(Vec::new())),
    ];
    for direction in wrong {
        let mut oracle = Oracle::new(quadratic(&[1.0], &[0.0]));
        let step = Descent::new(direction, 0.1).step(&mut oracle, &vector32(&[1.0]));
        assert!(matches!(step, Err(OptimError::Option { .. })), "{step:?}");
    }
    let gaussian = HutchinsonProbes::gaussian(Seed::new(1));
    assert!(matches!(
        gaussian,
        HutchinsonProbes::Seeded {
            probe: Probe::Gaussian,
            ..
        }
    ));
}
