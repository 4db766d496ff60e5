use super::*;
use crate::estimate::Estimate;
use crate::test_coverage::{Judge, coverages};
use crate::vector::standard_normal;
use crate::{Objective, Precision};
use burn::nn::{Linear, LinearConfig};
use burn::prelude::Device;
use burn::tensor::TensorData;
use burn::tensor::activation::log_softmax;

type Pair = (Tensor<2>, Tensor<2>);

/// Softmax regression with three classes on 12 examples: 12 parameters.
fn point() -> Point {
    let device = Device::flex();
    let tensor = |numbers: Vec<f64>, shape: [usize; 2]| {
        Tensor::<2>::from_data(TensorData::new(numbers, shape), &device)
    };
    let x = standard_normal(12 * 4, &mut Seed::new(61).rng());
    let y = (0..36).map(|k| f64::from(u8::from(k % 3 == (k / 3) % 3)));
    let batch = (tensor(x, [12, 4]), tensor(y.collect(), [12, 3]));
    let mut model = LinearConfig::new(4, 3).init(&device);
    let weight = standard_normal(12, &mut Seed::new(62).rng());
    model.weight = burn::module::Param::from_tensor(tensor(weight, [4, 3]));
    model.bias = None;
    let objective = Objective::new(
        |model: &Linear, (x, _): &Pair| model.forward(x.clone()),
        |z: Tensor<2>, (_, y): &Pair| (log_softmax(z, 1) * y.clone()).sum() / -12.0,
    )
    .precision(Precision::F64);
    objective.at(&model, &batch).unwrap()
}

#[test]
fn sampled_entries_are_unbiased_and_their_intervals_honest() {
    let point = point();
    let exact = to_f64(&point.gauss_newton_diagonal().unwrap());
    let mut judge = Judge::default();
    for samples in [4, 10, 30, 100] {
        let found = coverages(|seed| {
            let found = point.gauss_newton_diagonal_sampled(samples, seed).unwrap();
            let (values, errors) = (to_f64(&found.values), to_f64(&found.standard_errors));
            let entry = |index: usize| {
                let estimate = Estimate {
                    value: values[index],
                    standard_error: errors[index],
                    samples,
                    ..Estimate::exact(0.0, 0)
                };
                (format!("entry {index}"), exact[index], estimate)
            };
            [0, 4, 7, 11].map(entry).to_vec()
        });
        let setting = format!("{samples} samples");
        // samples as skewed as χ² with one degree of freedom: see `gauss_newton_diagonal_sampled`
        match samples {
            4 | 10 => judge.covering(&setting, &found, 0.78),
            30 => judge.covering(&setting, &found, 0.87),
            _ => judge.honest(&setting, &found),
        }
    }
    judge.finish();
}
