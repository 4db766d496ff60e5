use super::*;
use crate::dense::dense;
use crate::test_operators::{mixed, numbers};
use crate::{Factors, Mode, Objective, Precision, Seed};
use burn::module::{Module, Param};
use burn::nn::conv::{Conv1d, Conv1dConfig, Conv2d, Conv2dConfig};
use burn::nn::{
    BatchNorm, BatchNormConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig, PaddingConfig1d,
    PaddingConfig2d,
};
use burn::prelude::*;
use burn::tensor::{Int, TensorData, activation::log_softmax};

fn device() -> Device {
    Device::flex()
}

fn labels(count: usize, classes: usize) -> Tensor<1, Int> {
    let labels: Vec<i64> = (0..count).map(|k| (k * k % classes) as i64).collect();
    Tensor::from_data(TensorData::new(labels, [count]), &device())
}

fn cross_entropy(logits: Tensor<2>, labels: &Tensor<1, Int>) -> Tensor<1> {
    let [count, _] = logits.dims();
    let chosen = log_softmax(logits, 1).gather(1, labels.clone().reshape([count, 1]));
    chosen.neg().mean()
}

fn exact(sharing: WeightSharing) -> KfacOptions {
    KfacOptions {
        sharing,
        ..Default::default()
    }
}

/// The Gauss-Newton matrix with zeros between the blocks of K-FAC.
fn blocks_of_gauss_newton(point: &Point, kfac: &Kfac) -> Mat<f64> {
    let full = dense(&point.gauss_newton().unwrap()).unwrap();
    let mut of_block = vec![usize::MAX; point.dim()];
    for (block, entries) in kfac.operator.space.entries.iter().enumerate() {
        let numbers = Mat::from_fn(entries.inputs, entries.outputs, |_, _| block as f64);
        let mut flat = vec![-1.0; point.dim()];
        entries.scatter(&numbers, &mut flat);
        for (place, &block) in flat.iter().enumerate() {
            if block >= 0.0 {
                assert_eq!(of_block[place], usize::MAX, "an entry lies in one block");
                of_block[place] = block as usize;
            }
        }
    }
    Mat::from_fn(point.dim(), point.dim(), |i, j| {
        let together = of_block[i] == of_block[j] && of_block[i] != usize::MAX;
        match together || i == j {
            true => full.matrix()[(i, j)],
            false => 0.0,
        }
    })
}

fn difference(found: &Mat<f64>, expected: &Mat<f64>) -> f64 {
    (found - expected).norm_l2() / expected.norm_l2().max(f64::MIN_POSITIVE)
}

fn matrix(operator: &dyn LinearOperator) -> Mat<f64> {
    dense(operator).unwrap().matrix().clone()
}

#[track_caller]
fn assert_exact(point: &Point, options: &KfacOptions, parameters: usize) {
    let kfac = point.kfac(options).unwrap();
    let inside: usize = kfac
        .operator
        .space
        .entries
        .iter()
        .map(|e| e.inputs * e.outputs)
        .sum();
    assert_eq!(inside, parameters, "all layers are found");
    let error = difference(&matrix(&kfac), &blocks_of_gauss_newton(point, &kfac));
    assert!(error < 1e-10, "{error:e}");
}

/// The error of K-FAC must be no rounding, so that an exact case says something.
#[track_caller]
fn assert_inexact(point: &Point, options: &KfacOptions) {
    let kfac = point.kfac(options).unwrap();
    let error = difference(&matrix(&kfac), &blocks_of_gauss_newton(point, &kfac));
    assert!(error > 1e-4, "{error:e}");
}

fn squared<const D: usize>(z: Tensor<D>, y: &Tensor<D>) -> Tensor<1> {
    (z - y.clone()).powi_scalar(2).mean()
}

type Pairs<const A: usize, const B: usize> = (Tensor<A>, Tensor<B>);

fn objective<M: Module + 'static, const A: usize, const B: usize>(
    forward: impl Fn(&M, Tensor<A>) -> Tensor<B> + Send + Sync + 'static,
) -> Objective<M, Pairs<A, B>> {
    Objective::new(
        move |model: &M, (x, _): &Pairs<A, B>| forward(model, x.clone()),
        |z, (_, y)| squared(z, y),
    )
    .precision(Precision::F64)
}

#[derive(Module, Debug)]
struct Stack {
    layers: Vec<Linear>,
}

impl Stack {
    fn new(widths: &[usize]) -> Self {
        let layers = widths.windows(2).map(|w| LinearConfig::new(w[0], w[1]));
        mixed(Self {
            layers: layers.map(|config| config.init(&device())).collect(),
        })
    }

    fn linear<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.layers.iter().fold(x, |x, layer| layer.forward(x))
    }

    fn tanh<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let (last, hidden) = self.layers.split_last().unwrap();
        let h = hidden.iter().fold(x, |x, layer| layer.forward(x).tanh());
        last.forward(h)
    }
}

type Classes = (Tensor<2>, Tensor<1, Int>);

fn classifier() -> Objective<Stack, Classes> {
    Objective::new(
        |model: &Stack, (x, _): &Classes| model.tanh(x.clone()),
        |z, (_, y)| cross_entropy(z, y),
    )
    .precision(Precision::F64)
}

fn classes() -> Classes {
    (numbers([7, 4], 1.0), labels(7, 3))
}

#[test]
fn a_linear_layer_with_a_squared_error_is_exact() {
    for bias in [true, false] {
        let config = LinearConfig::new(4, 3).with_bias(bias);
        let model: Linear = mixed(config.init(&device()));
        let objective = objective(|model: &Linear, x: Tensor<2>| model.forward(x));
        let batch = (numbers([6, 4], 1.0), numbers([6, 3], 2.0));
        let point = objective.at(&model, &batch).unwrap();
        assert_exact(&point, &exact(WeightSharing::Expand), point.dim());
        assert_exact(&point, &exact(WeightSharing::Reduce), point.dim());
    }
}

#[test]
fn a_deep_linear_network_with_a_squared_error_is_exact() {
    let model = Stack::new(&[4, 5, 3, 2]);
    let objective = objective(|model: &Stack, x: Tensor<2>| model.linear(x));
    let batch = (numbers([6, 4], 1.0), numbers([6, 2], 2.0));
    let point = objective.at(&model, &batch).unwrap();
    assert_exact(&point, &exact(WeightSharing::Expand), point.dim());
    assert_exact(&point, &exact(WeightSharing::Reduce), point.dim());
    let bent = super::tests::objective(|model: &Stack, x: Tensor<2>| model.tanh(x));
    assert_inexact(&bent.at(&model, &batch).unwrap(), &KfacOptions::default());
}

#[test]
fn one_example_is_exact_whatever_the_model() {
    let model = Stack::new(&[4, 5, 1]);
    let objective = objective(|model: &Stack, x: Tensor<2>| model.tanh(x));
    let batch = (numbers([1, 4], 1.0), numbers([1, 1], 2.0));
    let point = objective.at(&model, &batch).unwrap();
    assert_exact(&point, &KfacOptions::default(), point.dim());
}

#[test]
fn expand_is_exact_with_a_squared_error_at_every_position() {
    let model: Linear = mixed(LinearConfig::new(4, 3).init(&device()));
    let objective = objective(|model: &Linear, x: Tensor<3>| model.forward(x));
    let batch = (numbers([3, 5, 4], 1.0), numbers([3, 5, 3], 2.0));
    let point = objective.at(&model, &batch).unwrap();
    assert_exact(&point, &exact(WeightSharing::Expand), point.dim());
    assert_inexact(&point, &exact(WeightSharing::Reduce));
}

#[test]
fn reduce_is_exact_with_a_mean_over_positions() {
    let model: Linear = mixed(LinearConfig::new(4, 3).init(&device()));
    let objective = objective(|model: &Linear, x: Tensor<3>| {
        let z: Tensor<3> = model.forward(x);
        z.mean_dim(1).reshape([3, 3])
    });
    let batch = (numbers([3, 5, 4], 1.0), numbers([3, 3], 2.0));
    let point = objective.at(&model, &batch).unwrap();
    assert_exact(&point, &exact(WeightSharing::Reduce), point.dim());
    assert_inexact(&point, &exact(WeightSharing::Expand));
}

#[test]
fn positions_that_lie_before_the_examples_are_told_apart() {
    let model: Linear = mixed(LinearConfig::new(4, 3).init(&device()));
    let objective = objective(|model: &Linear, x: Tensor<3>| {
        let steps: Tensor<3> = model.forward(x.swap_dims(0, 1));
        steps.mean_dim(0).reshape([3, 3])
    });
    let batch = (numbers([3, 5, 4], 1.0), numbers([3, 3], 2.0));
    let point = objective.at(&model, &batch).unwrap();
    assert_exact(&point, &exact(WeightSharing::Reduce), point.dim());
    assert_inexact(&point, &exact(WeightSharing::Expand));
}

#[test]
fn convolutions_as_linear_models_are_exact() {
    let config = Conv2dConfig::new([4, 6], [3, 2])
        .with_stride([2, 1])
        .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
        .with_dilation([1, 2])
        .with_groups(2);
    let model: Conv2d = mixed(config.init(&device()));
    let objective = objective(|model: &Conv2d, x: Tensor<4>| model.forward(x));
    let x = numbers([2, 4, 5, 4], 1.0);
    let dims = model.forward(x.clone()).dims();
    let point = objective.at(&model, &(x, numbers(dims, 2.0))).unwrap();
    assert_exact(&point, &exact(WeightSharing::Expand), point.dim());

    let config = Conv1dConfig::new(3, 2, 3)
        .with_padding(PaddingConfig1d::Explicit(2, 2))
        .with_dilation(2);
    let model: Conv1d = mixed(config.init(&device()));
    let objective = super::tests::objective(|model: &Conv1d, x: Tensor<3>| model.forward(x));
    let x = numbers([3, 3, 6], 1.0);
    let dims = model.forward(x.clone()).dims();
    let point = objective.at(&model, &(x, numbers(dims, 2.0))).unwrap();
    assert_exact(&point, &exact(WeightSharing::Expand), point.dim());
}

#[derive(Module, Debug)]
struct Cnn {
    convolution: Conv2d,
    norm: LayerNorm,
    head: Linear,
}

type Images = (Tensor<4>, Tensor<1, Int>);

impl Cnn {
    fn new() -> Self {
        mixed(Self {
            convolution: Conv2dConfig::new([2, 3], [3, 3]).init(&device()),
            norm: LayerNormConfig::new(12).init(&device()),
            head: LinearConfig::new(12, 3).init(&device()),
        })
    }

    fn objective() -> Objective<Self, Images> {
        Objective::new(
            |model: &Self, (x, _): &Images| {
                let h = model.convolution.forward(x.clone()).tanh();
                let [count, channels, height, width] = h.dims();
                let h: Tensor<2> = h.reshape([count, channels * height * width]);
                model.head.forward(model.norm.forward(h))
            },
            |z, (_, y)| cross_entropy(z, y),
        )
        .precision(Precision::F64)
    }

    fn images() -> Images {
        (numbers([5, 2, 4, 4], 1.0), labels(5, 3))
    }
}

#[test]
fn the_diagonal_of_the_gauss_newton_matrix_is_exact() {
    let model = Stack::new(&[4, 5, 3]);
    let point = classifier().at(&model, &classes()).unwrap();
    assert_diagonal(&point);
    let point = Cnn::objective().at(&Cnn::new(), &Cnn::images()).unwrap();
    assert_diagonal(&point);
}

#[track_caller]
fn assert_diagonal(point: &Point) {
    let expected = dense(&point.gauss_newton().unwrap()).unwrap().diagonal();
    let found = crate::vector::to_f64(&point.gauss_newton_diagonal().unwrap());
    let largest = expected.iter().fold(0.0_f64, |most, x| most.max(*x));
    assert!(largest > 1e-3);
    for (found, expected) in found.iter().zip(&expected) {
        assert!(
            (found - expected).abs() < 1e-12 * largest,
            "{found} {expected}"
        );
    }
}

#[test]
fn sampled_diagonals_are_within_their_errors() {
    let model = Stack::new(&[4, 5, 3]);
    let point = classifier().at(&model, &classes()).unwrap();
    let exact = crate::vector::to_f64(&point.gauss_newton_diagonal().unwrap());
    for seed in 0..3 {
        let found = point.gauss_newton_diagonal_sampled(400, Seed::new(seed));
        let found = found.unwrap();
        let values = crate::vector::to_f64(&found.values);
        let errors = crate::vector::to_f64(&found.standard_errors);
        let scores = (values.iter().zip(&errors).zip(&exact)).map(|((v, e), x)| (v - x) / e);
        let scores: Vec<f64> = scores.collect();
        assert!(scores.iter().all(|z| z.abs() < 5.0), "{scores:?}");
        let square: f64 = scores.iter().map(|z| z * z).sum::<f64>() / scores.len() as f64;
        assert!(square > 0.2 && square < 3.0, "{square}");
        for (error, x) in errors.iter().zip(&exact) {
            assert!(*error <= 1.5 * (2.0_f64 / 400.0).sqrt() * x + 1e-15);
        }
    }
    assert!(
        point
            .gauss_newton_diagonal_sampled(0, Seed::new(0))
            .is_err()
    );
}

#[test]
fn ekfac_has_the_diagonal_of_the_gauss_newton_matrix_in_its_bases() {
    let points = [
        classifier()
            .at(&Stack::new(&[4, 5, 3]), &classes())
            .unwrap(),
        Cnn::objective().at(&Cnn::new(), &Cnn::images()).unwrap(),
    ];
    for point in points {
        let options = KfacOptions {
            others: Others::Diagonal {
                samples: 1000,
                seed: Seed::new(0),
            },
            ..Default::default()
        };
        let kfac = point.kfac(&options).unwrap();
        let ekfac = point.ekfac(&options).unwrap();
        let truth = blocks_of_gauss_newton(&point, &kfac);
        let (of_kfac, of_ekfac) = (matrix(&kfac), matrix(&ekfac));
        // the best diagonal leaves an error that is orthogonal to all matrices that are diagonal in these bases
        let orthogonal = inner(&(&truth - &of_ekfac), &of_ekfac);
        assert!(
            orthogonal.abs() < 1e-10 * truth.norm_l2().powi(2),
            "{orthogonal:e}"
        );
        let orthogonal = inner(&(&truth - &of_ekfac), &of_kfac);
        assert!(
            orthogonal.abs() < 1e-10 * truth.norm_l2().powi(2),
            "{orthogonal:e}"
        );
        let (e, k) = (difference(&of_ekfac, &truth), difference(&of_kfac, &truth));
        assert!(e < 0.99 * k, "{e} {k}");
        let trace: f64 = (0..point.dim()).map(|i| truth[(i, i)]).sum();
        assert!((ekfac.trace() - trace).abs() < 1e-10 * trace);
        let again = EkFac::in_bases_of(&kfac, &point, &options).unwrap();
        assert!(difference(&matrix(&again), &of_ekfac) < 1e-12);
    }
}

fn inner(a: &Mat<f64>, b: &Mat<f64>) -> f64 {
    let columns = a.col_iter().zip(b.col_iter());
    columns
        .map(|(a, b)| a.iter().zip(b.iter()).map(|(x, y)| x * y).sum::<f64>())
        .sum()
}

#[test]
fn functions_of_the_operators_are_those_of_the_matrices() {
    let point = Cnn::objective().at(&Cnn::new(), &Cnn::images()).unwrap();
    let options = KfacOptions::default();
    let (kfac, ekfac) = (
        point.kfac(&options).unwrap(),
        point.ekfac(&options).unwrap(),
    );
    let damping = 1e-2;
    let roots = [
        (
            &kfac as &dyn LinearOperator,
            kfac.inverse(damping, Damping::Exact).unwrap(),
            kfac.square_root().unwrap(),
            kfac.inverse_square_root(damping).unwrap(),
            kfac.log_determinant(damping).unwrap(),
            (
                kfac.trace(),
                kfac.frobenius_norm(),
                kfac.eigenvalues().unwrap(),
            ),
        ),
        (
            &ekfac,
            ekfac.inverse(damping).unwrap(),
            ekfac.square_root(),
            ekfac.inverse_square_root(damping).unwrap(),
            ekfac.log_determinant(damping).unwrap(),
            (ekfac.trace(), ekfac.frobenius_norm(), ekfac.eigenvalues()),
        ),
    ];
    let identity = Mat::<f64>::identity(point.dim(), point.dim());
    for (operator, inverse, root, inverse_root, log_determinant, (trace, norm, values)) in roots {
        let written = dense(operator).unwrap();
        assert!(written.asymmetry() < 1e-13);
        let damped = written.matrix() + &identity * faer::Scale(damping);
        let inverse = matrix(&inverse);
        assert!(difference(&(&inverse * &damped), &identity) < 1e-9);
        let root = matrix(&root);
        assert!(difference(&(&root * &root), written.matrix()) < 1e-10);
        let inverse_root = matrix(&inverse_root);
        assert!(difference(&(&inverse_root * &inverse_root), &inverse) < 1e-10);
        let eigenvalues = written.eigenvalues().unwrap();
        let expected: f64 = eigenvalues.iter().map(|x| (x + damping).ln()).sum();
        assert!((log_determinant - expected).abs() < 1e-9 * expected.abs());
        assert!((trace - written.trace()).abs() < 1e-12 * trace);
        assert!((norm - written.matrix().norm_l2()).abs() < 1e-12 * norm);
        for (a, b) in values.iter().zip(&eigenvalues) {
            assert!((a - b).abs() < 1e-12 * norm);
        }
    }
    // more than a vector at once
    let vs: Tensor<2> = numbers([3, point.dim()], 4.0);
    for operator in [&kfac as &dyn LinearOperator, &ekfac] {
        let block = operator.apply_block(&vs).unwrap();
        for row in 0..3 {
            let v = vs.clone().slice_dim(0, row..row + 1);
            let one = operator.apply(&v.reshape([point.dim()])).unwrap();
            let same = block.clone().slice_dim(0, row..row + 1);
            let difference = one - same.reshape([point.dim()]);
            assert!(difference.abs().max().into_scalar::<f64>() < 1e-14);
        }
        let none = operator.apply_block(&Tensor::zeros([0, point.dim()], &device()));
        assert_eq!(none.unwrap().dims(), [0, point.dim()]);
    }
}

#[test]
fn factored_damping_is_the_product_of_damped_factors() {
    let point = classifier()
        .at(&Stack::new(&[4, 5, 3]), &classes())
        .unwrap();
    let kfac = point.kfac(&KfacOptions::default()).unwrap();
    let damping = 0.04;
    let inverse = kfac.inverse(damping, Damping::Factored).unwrap();
    let mean = |m: &Mat<f64>| (0..m.nrows()).map(|i| m[(i, i)]).sum::<f64>() / m.nrows() as f64;
    let blocks = kfac.factors.pairs.iter().map(|pair| {
        let pi = (mean(&pair.a) / mean(&pair.b)).sqrt();
        let shift = |m: &Mat<f64>, by: f64| {
            Mat::from_fn(m.nrows(), m.ncols(), |i, j| {
                m[(i, j)] + if i == j { by } else { 0.0 }
            })
        };
        Block::Product {
            a: shift(&pair.a, 0.2 * pi),
            b: shift(&pair.b, 0.2 / pi),
        }
    });
    let damped = KroneckerOperator::new(
        kfac.operator.space.clone(),
        blocks.collect(),
        kfac.operator.others.clone(),
        Definiteness::PositiveDefinite,
    );
    let identity = Mat::<f64>::identity(point.dim(), point.dim());
    let product = matrix(&inverse) * matrix(&damped);
    assert!(difference(&product, &identity) < 1e-10);
}

#[test]
fn dampings_without_meaning_are_refused() {
    let point = classifier()
        .at(&Stack::new(&[4, 5, 3]), &classes())
        .unwrap();
    let kfac = point.kfac(&KfacOptions::default()).unwrap();
    for damping in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(kfac.inverse(damping, Damping::Exact).is_err());
        assert!(kfac.log_determinant(damping).is_err());
    }
    // logits have a direction without curvature
    assert!(kfac.inverse(0.0, Damping::Exact).is_err());
    assert!(kfac.inverse(0.0, Damping::Factored).is_err());
    assert!(kfac.apply(&Tensor::ones([3], &device())).is_err());
}

#[test]
fn monte_carlo_factors_are_unbiased() {
    let point = classifier()
        .at(&Stack::new(&[4, 5, 3]), &classes())
        .unwrap();
    let exact = point.kfac(&KfacOptions::default()).unwrap();
    let draws: Vec<Kfac> = (0..200)
        .map(|seed| {
            let factors = Factors::MonteCarlo {
                samples: 1,
                seed: Seed::new(seed),
            };
            let options = KfacOptions {
                factors,
                ..Default::default()
            };
            point.kfac(&options).unwrap()
        })
        .collect();
    for block in 0..2 {
        let truth = &exact.factors.pairs[block].b;
        for i in 0..truth.nrows() {
            for j in 0..=i {
                let samples = draws.iter().map(|kfac| {
                    assert_eq!(kfac.factors.pairs[block].a, exact.factors.pairs[block].a);
                    kfac.factors.pairs[block].b[(i, j)]
                });
                let samples: Vec<f64> = samples.collect();
                let estimate = crate::Estimate::from_samples(&samples, 0);
                let score = (estimate.value - truth[(i, j)]) / estimate.standard_error;
                assert!(score.abs() < 4.5, "{block} {i} {j}: {score}");
            }
        }
    }
}

#[test]
fn empirical_factors_are_those_of_the_gradients_of_the_examples() {
    let objective = classifier();
    let model = Stack::new(&[4, 5, 3]);
    let point = objective.at(&model, &classes()).unwrap();
    let options = KfacOptions {
        factors: Factors::Empirical,
        ..Default::default()
    };
    // the trace of EK-FAC is the mean squared norm of the gradients
    let trace = point.ekfac(&options).unwrap().trace();
    let each = objective.per_example(&model, &classes()).unwrap();
    let squares = each.gradients.powi_scalar(2).sum().into_scalar::<f64>();
    assert!(
        (trace - squares / 7.0).abs() < 1e-12 * trace,
        "{trace} {squares}"
    );
}

/// W tanh(W x + b) + b.
#[derive(Module, Debug)]
struct Tied {
    layer: Linear,
}

#[test]
fn a_weight_that_is_used_twice_is_one_layer() {
    let model = Tied {
        layer: mixed(LinearConfig::new(3, 3).init(&device())),
    };
    let objective = objective(|model: &Tied, x: Tensor<2>| {
        let h = model.layer.forward(x).tanh();
        model.layer.forward(h)
    });
    let batch = (numbers([1, 3], 1.0), numbers([1, 3], 2.0));
    let point = objective.at(&model, &batch).unwrap();
    let kfac = point.kfac(&KfacOptions::default()).unwrap();
    assert_eq!(
        (
            kfac.factors.layers().count(),
            kfac.factors.other_parameters().len()
        ),
        (1, 0)
    );
    assert_diagonal(&point);
}

#[derive(Module, Debug)]
struct Normed {
    first: Linear,
    norm: BatchNorm,
    last: Linear,
}

#[test]
fn batch_norm_in_training_mode_has_monte_carlo_factors_only() {
    let model = mixed(Normed {
        first: LinearConfig::new(4, 3).init(&device()),
        norm: BatchNormConfig::new(3).init(&device()),
        last: LinearConfig::new(3, 2).init(&device()),
    });
    let objective = objective(|model: &Normed, x: Tensor<2>| {
        let h: Tensor<3> = model.first.forward(x).reshape([6, 3, 1]);
        let h: Tensor<2> = model.norm.forward(h).reshape([6, 3]);
        model.last.forward(h.tanh())
    })
    .mode(Mode::Training { seed: Seed::new(0) });
    let batch = (numbers([6, 4], 1.0), numbers([6, 2], 2.0));
    let point = objective.at(&model, &batch).unwrap();
    let error = point.kfac(&KfacOptions::default()).unwrap_err();
    assert!(matches!(&error, CurvatureError::ExamplesMixed { layer } if layer == "first.weight"));
    let options = KfacOptions {
        factors: Factors::MonteCarlo {
            samples: 2,
            seed: Seed::new(1),
        },
        ..Default::default()
    };
    assert_eq!(
        point
            .kfac(&options)
            .unwrap()
            .factors
            .other_parameters()
            .len(),
        2
    );
    assert!(point.ekfac(&options).is_err());
    assert_diagonal(&point);
}

#[test]
fn numbers_that_are_not_finite_are_named() {
    let model = Stack::new(&[4, 5, 2]);
    let objective = objective(|model: &Stack, x: Tensor<2>| model.tanh(x));
    let batch = (numbers([3, 4], 1.0) / 0.0, numbers([3, 2], 2.0));
    let point = objective.at(&model, &batch).unwrap();
    let error = point.kfac(&KfacOptions::default()).unwrap_err();
    assert!(matches!(error, CurvatureError::NonFinite { .. }), "{error}");
    let error = point.ekfac(&KfacOptions::default()).unwrap_err();
    assert!(matches!(error, CurvatureError::NonFinite { .. }), "{error}");
}

#[test]
fn losses_without_factors_say_so() {
    let model: Linear = mixed(LinearConfig::new(4, 3).init(&device()));
    let batch = (numbers([6, 4], 1.0), numbers([6, 3], 2.0));
    type B = Pairs<2, 2>;
    let of_loss =
        Objective::of_loss(|model: &Linear, (x, y): &B| squared(model.forward(x.clone()), y));
    let point = of_loss.at(&model, &batch).unwrap();
    let options = KfacOptions::default();
    assert!(matches!(
        point.kfac(&options),
        Err(CurvatureError::NoOutputs)
    ));
    assert!(matches!(
        point.gauss_newton_diagonal(),
        Err(CurvatureError::NoOutputs)
    ));

    let contrastive = Objective::new(
        |model: &Linear, (x, _): &B| model.forward(x.clone()),
        |z: Tensor<2>, _| {
            let similar = z.clone().matmul(z.transpose());
            log_softmax(similar, 1).neg().powi_scalar(2).mean()
        },
    );
    let point = contrastive.at(&model, &batch).unwrap();
    assert!(matches!(
        point.kfac(&options),
        Err(CurvatureError::ExamplesCoupled { .. })
    ));

    let concave = Objective::new(
        |model: &Linear, (x, _): &B| model.forward(x.clone()),
        |z: Tensor<2>, _| z.cos().mean(),
    );
    let point = concave.at(&model, &batch).unwrap();
    assert!(matches!(
        point.kfac(&options),
        Err(CurvatureError::LossNotConvex { .. })
    ));
    let none = Factors::MonteCarlo {
        samples: 0,
        seed: Seed::new(0),
    };
    let options = KfacOptions {
        factors: none,
        ..options
    };
    assert!(point.kfac(&options).is_err());
}

#[test]
fn factors_of_batches_are_put_together() {
    let objective = classifier();
    let model = Stack::new(&[4, 5, 3]);
    let (x, y) = classes();
    let part = |range: std::ops::Range<usize>| {
        (x.clone().slice([range.clone()]), y.clone().slice([range]))
    };
    let options = KfacOptions::default();
    let at = |batch: &Classes| objective.at(&model, batch).unwrap();
    let whole = KfacFactors::at(&at(&(x.clone(), y.clone())), &options).unwrap();
    let mut parts = KfacFactors::at(&at(&part(0..3)), &options).unwrap();
    let first = parts.clone();
    let second = KfacFactors::at(&at(&part(3..7)), &options).unwrap();
    parts.accumulate(&second, Accumulation::Mean).unwrap();
    let (whole, parts) = (matrix(&Kfac::new(whole)), matrix(&Kfac::new(parts)));
    assert!(difference(&parts, &whole) < 1e-12);

    let mut moving = first.clone();
    moving
        .accumulate(&second, Accumulation::Decay(0.9))
        .unwrap();
    let expected = first.pairs[1].b[(1, 0)] * 0.9 + second.pairs[1].b[(1, 0)] * 0.1;
    assert!((moving.pairs[1].b[(1, 0)] - expected).abs() < 1e-15);
    assert!(
        moving
            .accumulate(&second, Accumulation::Decay(1.5))
            .is_err()
    );
    let other = objective.at(&Stack::new(&[4, 6, 3]), &classes()).unwrap();
    let other = KfacFactors::at(&other, &options).unwrap();
    assert!(moving.accumulate(&other, Accumulation::Sum).is_err());

    // eigenvalues of the batches in the same bases
    let kfac = Kfac::new(first);
    let all = EkFac::in_bases_of(&kfac, &at(&(x.clone(), y.clone())), &options).unwrap();
    let mut parts = EkFac::in_bases_of(&kfac, &at(&part(0..3)), &options).unwrap();
    parts
        .accumulate(&at(&part(3..7)), Accumulation::Mean)
        .unwrap();
    assert!(difference(&matrix(&parts), &matrix(&all)) < 1e-12);
}

#[test]
fn single_precision_is_enough_for_f32() {
    let batch = (numbers([6, 4], 1.0), numbers([6, 2], 2.0));
    let model = Stack::new(&[4, 5, 3, 2]);
    let objective =
        objective(|model: &Stack, x: Tensor<2>| model.linear(x)).precision(Precision::Model);
    let point = objective.at(&model, &batch).unwrap();
    let kfac = point.kfac(&KfacOptions::default()).unwrap();
    let error = difference(&matrix(&kfac), &blocks_of_gauss_newton(&point, &kfac));
    assert!(error < 1e-5, "{error:e}");
    assert_eq!(kfac.dtype(), burn::tensor::DType::F32);
}

/// z = W x + b with the examples as columns.
#[derive(Module, Debug)]
struct Columns {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

#[test]
fn a_weight_on_the_left_is_a_layer() {
    let model = Columns {
        weight: Param::from_tensor(numbers([3, 4], 0.5)),
        bias: Param::from_tensor(numbers([3], 0.7)),
    };
    let objective = objective(|model: &Columns, x: Tensor<2>| {
        let product = model.weight.val().matmul(x.transpose());
        let sum: Tensor<2> = product + model.bias.val().reshape([3, 1]);
        sum.transpose()
    });
    let batch = (numbers([5, 4], 1.0), numbers([5, 3], 2.0));
    let point = objective.at(&model, &batch).unwrap();
    assert_exact(&point, &KfacOptions::default(), point.dim());
}
