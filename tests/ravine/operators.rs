//! Operators made of examples, Jacobians and datasets against dense matrices and against each other, in f64.

use crate::support::{cosines, cross_entropy, direction, labels, relative, tensor};
use burn::nn::loss::{BinaryCrossEntropyLossConfig, MseLoss, Reduction as BurnReduction};
use burn::nn::{Linear, LinearConfig};
use burn::prelude::*;
use burn::tensor::DType;
use ravine_curvature::*;

#[derive(Module, Debug)]
struct Mlp {
    hidden: Linear,
    output: Linear,
}

impl Mlp {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.output.forward(self.hidden.forward(x).tanh())
    }
}

fn mlp(device: &Device) -> Mlp {
    let model = Mlp {
        hidden: LinearConfig::new(4, 5).init(device),
        output: LinearConfig::new(5, 3).init(device),
    };
    // far from zero, so that examples differ
    let model = cosines(model, DType::F32);
    let layout = ParameterLayout::of(&model).unwrap();
    let theta = layout.gather(&model).unwrap().mul_scalar(7.0);
    layout.scatter(&theta, model).unwrap()
}

type Labelled = (Tensor<2>, Tensor<1, Int>);

fn rows(first: usize, count: usize, device: &Device) -> Labelled {
    let x = tensor([count, 4], device, DType::F32, |k| {
        (0.7 + 3.1 * (k + 4 * first) as f64).sin()
    });
    let all = labels(first + count, 3, device);
    (x, all.narrow(0, first, count))
}

fn classify() -> Objective<Mlp, Labelled> {
    Objective::new(
        |model: &Mlp, (x, _): &Labelled| model.forward(x.clone()),
        |outputs: Tensor<2>, (_, y)| cross_entropy(outputs, y),
    )
    .precision(Precision::F64)
}

fn summed() -> Objective<Mlp, Labelled> {
    Objective::new(
        |model: &Mlp, (x, _): &Labelled| model.forward(x.clone()),
        |outputs: Tensor<2>, (x, y)| cross_entropy(outputs, y).mul_scalar(x.dims()[0] as f64),
    )
    .precision(Precision::F64)
    .reduction(Reduction::Sum)
}

/// Largest difference of two operators, entry by entry, relative to the largest entry.
fn apart(a: &dyn LinearOperator, b: &dyn LinearOperator) -> f64 {
    let (a, b) = (dense(a).unwrap(), dense(b).unwrap());
    let n = a.dim();
    let (mut difference, mut size) = (0.0_f64, 0.0_f64);
    for i in 0..n {
        for j in 0..n {
            difference = difference.max((a.matrix()[(i, j)] - b.matrix()[(i, j)]).abs());
            size = size.max(b.matrix()[(i, j)].abs());
        }
    }
    difference / size
}

/// Single products against blocks, which `dense` goes through.
fn singles_are_blocks(operator: &dyn LinearOperator, point: &Point) {
    let (u, v) = (direction(point, 0.3), direction(point, 1.3));
    let block = operator
        .apply_block(&Tensor::stack(vec![u.clone(), v.clone()], 0))
        .unwrap();
    for (row, single) in [u, v].into_iter().enumerate() {
        let of_block: Tensor<1> = block.clone().narrow(0, row, 1).squeeze_dim(0);
        assert!(relative(&operator.apply(&single).unwrap(), &of_block) < 1e-12);
    }
}

#[test]
fn the_jacobian_is_its_transpose_and_the_change_of_the_outputs() {
    let device = Device::flex();
    let point = classify().at(&mlp(&device), &rows(0, 6, &device)).unwrap();
    let jacobian = point.jacobian().unwrap();
    assert_eq!((jacobian.rows(), jacobian.columns()), (18, 43));
    let identity = |n: usize| Tensor::<2>::eye(n, &device).cast(DType::F64);
    let columns = jacobian.apply_block(&identity(43)).unwrap();
    let rows = jacobian.apply_transposed_block(&identity(18)).unwrap();
    let difference = (columns.clone() - rows.transpose()).abs().max();
    assert!(difference.into_scalar::<f64>() < 1e-14);
    let v = direction(&point, 0.5);
    let change = crate::support::difference(&point, &v, 1e-3, |point| {
        Ok(point.outputs::<2>()?.reshape([18]))
    });
    let product = jacobian.apply(&v).unwrap();
    assert!(relative(&product, &change) < 1e-9);
    let wrong = jacobian.apply_transposed(&v);
    assert!(matches!(
        wrong,
        Err(CurvatureError::Dimension {
            expected: 18,
            found: 43,
            ..
        })
    ));
}

#[test]
fn empirical_fisher_and_covariance_are_those_of_the_gradients_of_the_examples() {
    let device = Device::flex();
    let (model, batch) = (mlp(&device), rows(0, 7, &device));
    for (objective, scale) in [(classify(), 1.0), (summed(), 7.0)] {
        let point = objective.at(&model, &batch).unwrap();
        let each = objective.per_example(&model, &batch).unwrap();
        let second = dense(&each.covariance(Centring::Zero)).unwrap();
        // by hand: 1/N Σ ∇ℓᵢ ∇ℓᵢᵀ
        let g = vector::to_f64(&each.gradients.clone().reshape([7 * 43]));
        let by_hand: f64 = (0..7).map(|i| g[i * 43 + 3] * g[i * 43 + 20]).sum::<f64>() / 7.0;
        assert!((second.matrix()[(3, 20)] - by_hand).abs() < 1e-14);

        let fisher = point.empirical_fisher().unwrap();
        let scaled = dense(&fisher).unwrap();
        for i in 0..43 {
            for j in 0..43 {
                let expected = scale * second.matrix()[(i, j)];
                assert!(
                    (scaled.matrix()[(i, j)] - expected).abs() < 1e-12 * second.trace() * scale
                );
            }
        }
        let covariance = point.gradient_covariance().unwrap();
        assert!(apart(&covariance, &each.covariance(Centring::Mean)) < 1e-12);
        singles_are_blocks(&fisher, &point);
        singles_are_blocks(&covariance, &point);
        assert!(dense(&covariance).unwrap().eigen().unwrap().values()[0] > -1e-14);
    }
}

#[test]
fn sampled_fishers_have_the_gauss_newton_matrix_as_their_mean() {
    let device = Device::flex();
    let (model, batch) = (mlp(&device), rows(0, 6, &device));
    let squares = Objective::new(
        |model: &Mlp, (x, _): &Labelled| model.forward(x.clone()),
        |outputs: Tensor<2>, _| {
            MseLoss::new().forward(outputs.clone(), outputs.ones_like(), BurnReduction::Sum)
        },
    )
    .reduction(Reduction::Sum)
    .precision(Precision::F64);
    let binary = Objective::new(
        |model: &Mlp, (x, _): &Labelled| model.forward(x.clone()),
        |outputs: Tensor<2>, _| {
            // −log σ(z), the binary cross entropy of the label 1
            burn::tensor::activation::softplus(-outputs, 1.0).mean()
        },
    )
    .precision(Precision::F64);
    let cases = [
        (classify(), Likelihood::Categorical),
        (summed(), Likelihood::Categorical),
        (squares, Likelihood::Gaussian),
        (binary, Likelihood::Bernoulli),
    ];
    for (objective, likelihood) in cases {
        let point = objective.at(&model, &batch).unwrap();
        let exact = point.gauss_newton().unwrap();
        let v = direction(&point, 0.8);
        let truth = vector::dot(&v, &exact.apply(&v).unwrap());
        let draw = |seed| {
            let options = MonteCarloOptions {
                likelihood,
                samples: 2,
            };
            let fisher = point.monte_carlo_fisher(options, Seed::new(seed)).unwrap();
            vector::dot(&v, &fisher.apply(&v).unwrap())
        };
        let draws: Vec<f64> = (0..400).map(draw).collect();
        let estimate = Estimate::from_samples(&draws, 400);
        // 4 standard errors: once in 16,000
        let error = (estimate.value - truth).abs();
        assert!(
            error < 4.0 * estimate.standard_error,
            "{likelihood:?} {error} {estimate:?} {truth}"
        );
        assert_eq!(draws[0], draw(0), "the same seed draws the same labels");
    }
    // many samples are near in the whole matrix
    let point = classify().at(&model, &batch).unwrap();
    let options = MonteCarloOptions {
        likelihood: Likelihood::Categorical,
        samples: 4000,
    };
    let fisher = point.monte_carlo_fisher(options, Seed::new(1)).unwrap();
    assert!(apart(&fisher, &point.gauss_newton().unwrap()) < 0.1);
    singles_are_blocks(&fisher, &point);
}

#[test]
fn a_likelihood_that_the_loss_is_not_is_refused() {
    let device = Device::flex();
    let point = classify().at(&mlp(&device), &rows(0, 6, &device)).unwrap();
    let options = MonteCarloOptions {
        likelihood: Likelihood::Gaussian,
        samples: 1,
    };
    let error = point.monte_carlo_fisher(options, Seed::new(0)).unwrap_err();
    assert!(matches!(error, CurvatureError::NotThisLikelihood { defect, .. } if defect > 0.1));
    let options = MonteCarloOptions {
        likelihood: Likelihood::Categorical,
        samples: 0,
    };
    let error = point.monte_carlo_fisher(options, Seed::new(0)).unwrap_err();
    assert!(matches!(
        error,
        CurvatureError::Argument {
            name: "samples",
            ..
        }
    ));
    let loss_only = Objective::of_loss(|model: &Mlp, (x, y): &Labelled| {
        cross_entropy(model.forward(x.clone()), y)
    });
    let point = loss_only.at(&mlp(&device), &rows(0, 6, &device)).unwrap();
    assert!(matches!(
        point.empirical_fisher(),
        Err(CurvatureError::NoOutputs)
    ));
    assert!(matches!(point.jacobian(), Err(CurvatureError::NoOutputs)));
    // outputs that are not laid out by examples
    let transposed = Objective::new(
        |model: &Mlp, (x, _): &Labelled| model.forward(x.clone()).transpose(),
        |outputs: Tensor<2>, (_, y)| cross_entropy(outputs.transpose(), y),
    );
    let point = transposed.at(&mlp(&device), &rows(0, 6, &device)).unwrap();
    let error = point.empirical_fisher().unwrap_err();
    assert!(matches!(
        error,
        CurvatureError::OutputsPerExample {
            rows: 3,
            examples: 6
        }
    ));
}

#[test]
fn batches_of_a_dataset_weigh_as_one_batch_of_all_examples() {
    let device = Device::flex();
    let model = mlp(&device);
    let batches = [
        rows(0, 5, &device),
        rows(5, 2, &device),
        rows(7, 5, &device),
    ];
    let whole = rows(0, 12, &device);
    for objective in [classify(), summed()] {
        let point = objective.at(&model, &whole).unwrap();
        let load = |index: usize| Ok::<_, std::io::Error>(batches[index].clone());
        let datasets = [
            objective.over(&model, &batches, Memory::Kept).unwrap(),
            objective
                .over(&model, &batches, Memory::Recomputed)
                .unwrap(),
            objective.streamed(&model, 3, load).unwrap(),
        ];
        for data in datasets {
            assert_eq!((data.examples(), data.batches()), (12, 3));
            let loss = point.loss().unwrap();
            assert!((data.loss().unwrap() / loss - 1.0).abs() < 1e-14);
            assert!(relative(&data.gradient().unwrap(), &point.gradient().unwrap()) < 1e-13);
            assert!(apart(&data.hessian(), &point.hessian()) < 1e-13);
            assert!(apart(&data.gauss_newton(), &point.gauss_newton().unwrap()) < 1e-13);
            assert!(apart(&data.empirical_fisher(), &point.empirical_fisher().unwrap()) < 1e-13);
            let covariance = data.gradient_covariance().unwrap();
            assert!(apart(&covariance, &point.gradient_covariance().unwrap()) < 1e-12);
            singles_are_blocks(&data.hessian(), &point);
            let options = MonteCarloOptions {
                likelihood: Likelihood::Categorical,
                samples: 3000,
            };
            let fisher = data.monte_carlo_fisher(options, Seed::new(2));
            assert!(apart(&fisher, &point.gauss_newton().unwrap()) < 0.1);
            assert_eq!(fisher.definiteness(), Definiteness::PositiveSemidefinite);
            drop(fisher);
            drop(covariance);
            let theta = point.theta().clone().mul_scalar(0.5);
            let (moved, there) = (
                data.move_to(theta.clone()).unwrap(),
                point.move_to(theta).unwrap(),
            );
            assert!(apart(&moved.hessian(), &there.hessian()) < 1e-13);
        }
    }
}

#[test]
fn a_dataset_says_what_is_wrong_with_it() {
    let device = Device::flex();
    let model = mlp(&device);
    let batches = [rows(0, 5, &device)];
    let wrong = classify().reduction(Reduction::Sum);
    let error = wrong.over(&model, &batches, Memory::Kept).err().unwrap();
    assert!(
        matches!(
            error,
            CurvatureError::Reduction {
                reduction: "sum",
                ..
            }
        ),
        "{error}"
    );
    let objective = classify();
    let none = objective.over(&model, &[], Memory::Kept).err().unwrap();
    assert!(matches!(none, CurvatureError::Argument { .. }), "{none}");
    let missing = objective.streamed(&model, 2, |index| match index {
        0 => Ok(rows(0, 5, &device)),
        _ => Err(std::io::Error::other("no such file: part-1.npy")),
    });
    let missing = missing.err().unwrap();
    assert!(
        missing
            .to_string()
            .contains("batch 1 of the dataset could not be loaded: no such file")
    );
}

#[test]
fn binary_cross_entropy_of_burn_is_a_bernoulli_likelihood() {
    let device = Device::flex();
    let loss = BinaryCrossEntropyLossConfig::new()
        .with_logits(true)
        .init(&device);
    let objective = Objective::new(
        |model: &Mlp, (x, _): &Labelled| model.forward(x.clone()),
        move |outputs: Tensor<2>, _| {
            let targets = outputs.clone().zeros_like().int();
            loss.forward(outputs, targets)
        },
    );
    let point = objective.at(&mlp(&device), &rows(0, 4, &device)).unwrap();
    let options = MonteCarloOptions {
        likelihood: Likelihood::Bernoulli,
        samples: 500,
    };
    let fisher = point.monte_carlo_fisher(options, Seed::new(5)).unwrap();
    let v = direction(&point, 0.1);
    let sampled = vector::dot(&v, &fisher.apply(&v).unwrap());
    let exact = vector::dot(&v, &point.gauss_newton().unwrap().apply(&v).unwrap());
    assert!((sampled / exact - 1.0).abs() < 0.2, "{sampled} {exact}");
}

#[test]
fn statistics_of_gradients_are_those_of_the_examples() {
    let device = Device::flex();
    let model = mlp(&device);
    let batches = [rows(0, 9, &device), rows(9, 4, &device)];
    let whole = rows(0, 13, &device);
    for objective in [classify(), summed()] {
        let each = objective.per_example(&model, &whole).unwrap();
        let g = vector::to_f64(&each.gradients.clone().reshape([13 * 43]));
        let statistics = objective.gradient_statistics(&model, &batches).unwrap();
        assert_eq!(statistics.examples(), 13);
        for (row, norm) in g.chunks(43).zip(statistics.norms()) {
            let expected = row.iter().map(|x| x * x).sum::<f64>().sqrt();
            assert!((norm - expected).abs() < 1e-13);
        }
        let variance = statistics.variance();
        for j in [0, 17, 42] {
            let column: Vec<f64> = g.iter().skip(j).step_by(43).copied().collect();
            let mean = column.iter().sum::<f64>() / 13.0;
            let spread = column.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 12.0;
            assert!((statistics.mean()[j] - mean).abs() < 1e-14);
            assert!((variance[j] - spread).abs() < 1e-13);
            let ratio = statistics.signal_to_noise()[j];
            assert!((ratio - mean * mean / spread).abs() < 1e-10 * ratio.max(1.0));
        }
        let trace: f64 = variance.iter().sum();
        assert!((statistics.covariance_trace() - trace).abs() < 1e-12);
        let by_parameter = statistics.signal_to_noise_by_parameter();
        assert_eq!(by_parameter.len(), 4);
        // with the identity, the noise scale with curvature is the simple one
        let one = faer::Mat::from_fn(43, 43, |i, j| f64::from(u8::from(i == j)));
        let one = DenseSymmetric::from_matrix(one).operator(&device, DType::F64);
        let simple = statistics.noise_scale();
        let with_identity = each.curvature_noise_scale(&one).unwrap();
        assert!((simple.value / with_identity - 1.0).abs() < 1e-10);
    }
}

/// Gradients drawn from a normal distribution with known mean and covariance: ℓᵢ = xᵢᵀw has the gradient xᵢ.
#[test]
fn the_noise_scale_covers_the_truth_as_often_as_it_says() {
    let device = Device::flex();
    let model: Linear = LinearConfig::new(6, 1).with_bias(false).init(&device);
    let objective = Objective::new(
        |model: &Linear, x: &Tensor<2>| model.forward(x.clone()),
        |outputs: Tensor<2>, _| outputs.mean(),
    )
    .precision(Precision::F64);
    // Σ = I, G = (1, …, 1): B = 6 / 6
    let covered = (0..200)
        .filter(|&seed| {
            let mut rng = Seed::new(seed).rng();
            let x = vector::standard_normal(60 * 6, &mut rng);
            let x = tensor([60, 6], &device, DType::F32, |k| 1.0 + x[k]);
            let statistics = objective.gradient_statistics(&model, &[x]).unwrap();
            let (low, high) = statistics.noise_scale().interval(0.95);
            low <= 1.0 && 1.0 <= high
        })
        .count();
    assert!((180..=198).contains(&covered), "{covered} of 200");
}

#[test]
fn shares_sum_to_the_total() {
    let device = Device::flex();
    let point = classify().at(&mlp(&device), &rows(0, 6, &device)).unwrap();
    let (hessian, layout) = (point.hessian(), point.layout());
    let g = point.gradient().unwrap();
    let gthg = vector::dot(&g, &hessian.apply(&g).unwrap());
    let matrix = dense(&hessian).unwrap();
    for (grouping, names) in [
        (Grouping::Layer, vec!["hidden", "output"]),
        (
            Grouping::Parameter,
            vec![
                "hidden.weight",
                "hidden.bias",
                "output.weight",
                "output.bias",
            ],
        ),
    ] {
        let shares = quadratic_shares(&hessian, layout, grouping, &g).unwrap();
        assert_eq!(shares.groups, names);
        assert!((shares.total() - gthg).abs() < 1e-13);
        assert!((shares.by_group().iter().sum::<f64>() - gthg).abs() < 1e-13);
        let norm: f64 = shares.norms_squared.iter().sum();
        assert!((norm - vector::dot(&g, &g)).abs() < 1e-13);
        assert!((shares.shares[0][1] - shares.shares[1][0]).abs() < 1e-13);

        let traces = trace_shares(&hessian, layout, grouping, 400, Seed::new(3)).unwrap();
        assert_eq!(traces.groups, names);
        let sum: f64 = traces.traces.iter().map(|trace| trace.value).sum();
        assert!((sum - traces.total.value).abs() < 1e-12);
        for ((_, ranges), trace) in layout.groups(grouping).iter().zip(&traces.traces) {
            let truth: f64 = ranges
                .iter()
                .cloned()
                .flatten()
                .map(|i| matrix.matrix()[(i, i)])
                .sum();
            assert!(
                (trace.value - truth).abs() < 4.0 * trace.standard_error,
                "{truth} {trace:?}"
            );
        }
    }
    // an eigenvector's shares sum to its eigenvalue
    let options = LanczosOptions {
        pairs: 1,
        tolerance: 1e-10,
        ..Default::default()
    };
    let top = lanczos_top_k(&hessian, &options, Seed::new(0)).unwrap();
    let shares = quadratic_shares(&hessian, layout, Grouping::Layer, &top.pairs[0].vector).unwrap();
    assert!((shares.total() - top.pairs[0].value).abs() < 1e-12);
}
