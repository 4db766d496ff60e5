//! What a user sees when something is not as it should be, and that the caller's model stays as it was.

use crate::support::{cross_entropy, direction, labels, relative, tensor};
use burn::module::{Module, Param};
use burn::nn::conv::{DeformConv2d, DeformConv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Linear, LinearConfig};
use burn::prelude::*;
use burn::tensor::{DType, activation};
use ravine_curvature::{
    CurvatureError, GraphError, LinearOperator, Mode, Monitor, Objective, Precision, Seed,
    Unreached, dense, vector,
};

type Labelled = (Tensor<2>, Tensor<1, Int>);

fn data(rows: usize, device: &Device) -> Labelled {
    let x = tensor([rows, 4], device, DType::F32, |k| {
        (0.7 + 3.1 * k as f64).sin()
    });
    (x, labels(rows, 3, device))
}

fn linear(device: &Device) -> Linear {
    crate::support::cosines(LinearConfig::new(4, 3).init(device), DType::F32)
}

fn error<M: Module>(objective: &Objective<M, Labelled>, model: &M) -> CurvatureError {
    let batch = data(6, &Device::flex());
    match objective.at(model, &batch) {
        Err(error) => error,
        Ok(_) => panic!("an error was expected"),
    }
}

#[test]
fn reading_a_computed_value_is_explained() {
    let objective = Objective::of_loss(|model: &Linear, (x, y): &Labelled| {
        let logits = model.forward(x.clone());
        let largest: f32 = logits.clone().max().into_scalar();
        cross_entropy(logits / largest, y)
    });
    let error = error(&objective, &linear(&Device::flex()));
    assert!(
        matches!(
            error,
            CurvatureError::Graph(GraphError::ReadsComputedData { .. })
        ),
        "{error}"
    );
    assert!(error.to_string().contains("into_scalar"), "{error}");
}

#[test]
fn reading_the_batch_is_found_out() {
    let objective = Objective::of_loss(|model: &Linear, (x, y): &Labelled| {
        let first: f32 = x.clone().into_data().iter::<f32>().next().unwrap();
        cross_entropy(model.forward(x.clone()) * first, y)
    });
    let number = error(&objective, &linear(&Device::flex()));
    assert!(
        matches!(
            number,
            CurvatureError::Graph(GraphError::DependsOnData { .. })
        ),
        "{number}"
    );
    // labels as a constant one-hot matrix
    let objective = Objective::of_loss(|model: &Linear, (x, y): &Labelled| {
        let rows = y.dims()[0];
        let mut one_hot = vec![0.0f32; rows * 3];
        for (row, label) in y.clone().into_data().iter::<i64>().enumerate() {
            one_hot[row * 3 + label as usize] = 1.0;
        }
        let targets = Tensor::<2>::from_data(TensorData::new(one_hot, [rows, 3]), &x.device());
        (activation::log_softmax(model.forward(x.clone()), 1) * targets)
            .sum()
            .neg()
    });
    let matrix = error(&objective, &linear(&Device::flex()));
    assert!(matrix.to_string().contains("gather"), "{matrix}");
}

#[test]
fn a_panic_in_the_closure_is_an_error() {
    let objective = Objective::of_loss(|model: &Linear, (x, y): &Labelled| {
        cross_entropy(model.forward(x.clone().reshape([3, 8])), y)
    });
    let error = error(&objective, &linear(&Device::flex()));
    assert!(
        matches!(
            error,
            CurvatureError::Graph(GraphError::ClosurePanicked { .. })
        ),
        "{error}"
    );
}

#[test]
fn a_loss_of_many_numbers_is_refused() {
    let objective = Objective::of_loss(|model: &Linear, (x, _): &Labelled| {
        model.forward(x.clone()).flatten::<1>(0, 1)
    });
    let error = error(&objective, &linear(&Device::flex()));
    assert!(error.to_string().contains("[18]"), "{error}");
}

#[derive(Module, Debug)]
struct TwoLinear {
    first: Linear,
    second: Linear,
}

fn two(device: &Device) -> TwoLinear {
    crate::support::cosines(
        TwoLinear {
            first: LinearConfig::new(4, 5).init(device),
            second: LinearConfig::new(5, 3).init(device),
        },
        DType::F64,
    )
}

fn data_f64(device: &Device) -> Labelled {
    let x = tensor([6, 4], device, DType::F64, |k| (0.7 + 3.1 * k as f64).sin());
    (x, labels(6, 3, device))
}

#[test]
fn a_detached_value_counts_as_a_constant() {
    let device = Device::flex();
    // the second layer sees the first one's output, but sends no gradient back
    let detached = Objective::of_loss(|model: &TwoLinear, (x, y): &Labelled| {
        let hidden = activation::tanh(model.first.forward(x.clone()));
        cross_entropy(model.second.forward(hidden.detach()), y)
    });
    let (model, batch) = (two(&device), data_f64(&device));
    let point = detached.at(&model, &batch).unwrap();
    let first = point.layout().range("first.weight").unwrap();
    let gradient = vector::to_f64(&point.gradient().unwrap());
    assert!(gradient[first.clone()].iter().all(|g| *g == 0.0));
    let v = direction(&point, 0.4);
    let hv = vector::to_f64(&point.hessian().apply(&v).unwrap());
    assert!(hv[first].iter().all(|x| *x == 0.0));
    assert!(hv.iter().any(|x| x.abs() > 1e-3));
    assert!(
        detached.explain().contains("detached"),
        "{}",
        detached.explain()
    );
}

#[test]
fn an_account_names_what_each_pass_removed() {
    let device = Device::flex();
    let objective = Objective::of_loss(|model: &TwoLinear, (x, y): &Labelled| {
        let hidden = activation::tanh(model.first.forward(x.clone()));
        cross_entropy(model.second.forward(hidden), y)
    });
    objective.at(&two(&device), &data_f64(&device)).unwrap();
    let account = objective.explain();
    let lines: Vec<&str> = account.lines().collect();
    let first = lines
        .iter()
        .position(|line| line.starts_with("simplified to"));
    let passes = &lines[first.unwrap() + 1..];
    for pass in [
        "  repeated computations: ",
        "  uniform tensors: ",
        "  broadcasts: ",
    ] {
        let line = passes.iter().find(|line| line.starts_with(pass));
        let line = line.unwrap_or_else(|| panic!("{pass} is not in\n{account}"));
        assert!(line.contains(" of the gradient, ") && line.ends_with(" of the product"));
    }
    // the maximum of the softmax is a constant and counts as no detached value of the model
    assert!(!account.contains("detached:"), "{account}");
}

#[test]
fn a_value_detached_for_one_reader_only_is_followed() {
    let device = Device::flex();
    // h · detach(h): the gradient is half of that of h²
    let objective = Objective::of_loss(|model: &TwoLinear, (x, _): &Labelled| {
        let hidden = model.first.forward(x.clone());
        (hidden.clone() * hidden.detach()).mean() + model.second.weight.val().powi_scalar(2).sum()
    });
    let (model, batch) = (two(&device), data_f64(&device));
    let point = objective.at(&model, &batch).unwrap();
    let whole = Objective::of_loss(|model: &TwoLinear, (x, _): &Labelled| {
        model.first.forward(x.clone()).powi_scalar(2).mean()
    });
    let range = point.layout().range("first.weight").unwrap();
    let half = vector::to_f64(&point.gradient().unwrap());
    let full = vector::to_f64(&whole.at(&model, &batch).unwrap().gradient().unwrap());
    for (half, full) in half[range.clone()].iter().zip(&full[range]) {
        assert!((2.0 * half - full).abs() < 1e-12);
    }
}

#[derive(Module, Debug)]
struct WithDropout {
    first: Linear,
    dropout: Dropout,
    second: Linear,
}

#[test]
fn dropout_draws_its_masks_from_the_seed() {
    let device = Device::flex();
    let model = crate::support::cosines(
        WithDropout {
            first: LinearConfig::new(4, 32).init(&device),
            dropout: DropoutConfig::new(0.5).init(),
            second: LinearConfig::new(32, 3).init(&device),
        },
        DType::F32,
    );
    let batch = data(6, &device);
    let objective = |mode| {
        Objective::of_loss(|model: &WithDropout, (x, y): &Labelled| {
            let hidden = activation::tanh(model.first.forward(x.clone()));
            cross_entropy(model.second.forward(model.dropout.forward(hidden)), y)
        })
        .mode(mode)
    };
    let loss = |mode| objective(mode).at(&model, &batch).unwrap().loss().unwrap();
    let training = |seed| Mode::Training {
        seed: Seed::new(seed),
    };
    assert_eq!(loss(training(1)), loss(training(1)));
    assert_ne!(loss(training(1)), loss(training(2)));
    assert_ne!(loss(training(1)), loss(Mode::Evaluation));
    // the operator is the same for every product at a point
    let point = objective(training(1)).at(&model, &batch).unwrap();
    let v = direction(&point, 0.2);
    let (a, b) = (
        point.hessian().apply(&v).unwrap(),
        point.hessian().apply(&v).unwrap(),
    );
    assert_eq!(vector::to_f64(&a), vector::to_f64(&b));
}

#[test]
fn frozen_parameters_are_inputs_but_no_unknowns() {
    let device = Device::flex();
    let mut model = two(&device);
    model.first = model.first.no_grad();
    let objective = Objective::of_loss(|model: &TwoLinear, (x, y): &Labelled| {
        cross_entropy(
            model
                .second
                .forward(activation::tanh(model.first.forward(x.clone()))),
            y,
        )
    });
    let batch = data_f64(&device);
    let point = objective.at(&model, &batch).unwrap();
    assert_eq!(point.dim(), 18);
    assert!(point.layout().range("first.weight").is_none());
    let before = point.loss().unwrap();
    // other frozen values: the same recording, another loss
    let weight = model.first.weight.val() * 2.0;
    model.first.weight = Param::initialized(model.first.weight.id, weight);
    model.first = model.first.no_grad();
    assert_ne!(
        objective.at(&model, &batch).unwrap().loss().unwrap(),
        before
    );
}

#[test]
fn a_parameter_without_influence_has_a_zero_gradient_or_is_an_error() {
    let device = Device::flex();
    let model = two(&device);
    let objective = || {
        Objective::of_loss(|model: &TwoLinear, (x, _): &Labelled| {
            model.first.forward(x.clone()).powi_scalar(2).mean()
        })
    };
    let batch = data_f64(&device);
    let point = objective().at(&model, &batch).unwrap();
    let second = point.layout().range("second.weight").unwrap();
    let gradient = vector::to_f64(&point.gradient().unwrap());
    assert!(gradient[second.clone()].iter().all(|g| *g == 0.0));
    let product = point.hessian().apply(&direction(&point, 0.1)).unwrap();
    assert!(vector::to_f64(&product)[second].iter().all(|x| *x == 0.0));
    let strict = objective().unreached(Unreached::Error).at(&model, &batch);
    let error = strict.expect_err("strict mode refuses").to_string();
    assert!(
        error.contains("second.weight") && error.contains("second.bias"),
        "{error}"
    );
}

#[derive(Module, Debug)]
struct Deformable {
    conv: DeformConv2d,
    offsets: Param<Tensor<4>>,
}

#[test]
fn an_operation_without_second_derivative_is_named() {
    let device = Device::flex();
    let model = Deformable {
        conv: DeformConv2dConfig::new([1, 1], [2, 2]).init(&device),
        offsets: Param::from_tensor(Tensor::zeros([1, 8, 3, 3], &device)),
    };
    let objective = Objective::of_loss(|model: &Deformable, x: &Tensor<4>| {
        model
            .conv
            .forward(x.clone(), model.offsets.val(), None)
            .mean()
    });
    let x = Tensor::<4>::ones([1, 1, 4, 4], &device);
    let error = objective
        .at(&model, &x)
        .expect_err("no second derivative")
        .to_string();
    assert!(error.contains("deform_conv2d"), "{error}");
}

#[test]
fn a_batch_of_another_shape_is_recorded_anew() {
    let device = Device::flex();
    let objective = Objective::of_loss(|model: &Linear, (x, y): &Labelled| {
        cross_entropy(model.forward(x.clone()), y)
    });
    let model = linear(&device);
    let loss = |rows| {
        objective
            .at(&model, &data(rows, &device))
            .unwrap()
            .loss()
            .unwrap()
    };
    let (six, nine) = (loss(6), loss(9));
    assert_ne!(six, nine);
    assert_eq!(loss(6), six);
}

#[test]
fn nan_in_the_parameters_shows_and_stops_solvers() {
    let device = Device::flex();
    let objective = Objective::of_loss(|model: &Linear, (x, y): &Labelled| {
        cross_entropy(model.forward(x.clone()), y)
    });
    let point = objective.at(&linear(&device), &data(6, &device)).unwrap();
    let mut theta = vector::to_f64(point.theta());
    theta[2] = f64::NAN;
    let theta = vector::from_f64(&theta, &device, DType::F32);
    let broken = point.move_to(theta).unwrap();
    assert!(broken.loss().unwrap().is_nan());
    assert!(Monitor::at(&broken).unwrap().gtg.is_nan());
    let error = dense(&broken.hessian()).unwrap_err();
    assert!(matches!(error, CurvatureError::NonFinite { .. }), "{error}");
}

#[test]
fn a_model_on_an_autodiff_device_works_and_gives_the_same() {
    let objective = || {
        Objective::of_loss(|model: &Linear, (x, y): &Labelled| {
            cross_entropy(model.forward(x.clone()), y)
        })
    };
    let (plain, autodiff) = (Device::flex(), Device::flex().autodiff());
    let a = objective().at(&linear(&plain), &data(6, &plain)).unwrap();
    let b = objective()
        .at(&linear(&autodiff), &data(6, &autodiff))
        .unwrap();
    assert_eq!(a.loss().unwrap(), b.loss().unwrap());
    let v = direction(&a, 0.5);
    assert_eq!(
        relative(
            &b.hessian().apply(&v).unwrap(),
            &a.hessian().apply(&v).unwrap()
        ),
        0.0
    );
    let model = LinearConfig::new(4, 3).init(&autodiff);
    let point = objective().at(&model, &data(6, &autodiff)).unwrap();
    let trained = point.write_back(model).unwrap();
    assert!(trained.weight.val().is_autodiff() && trained.weight.val().is_require_grad());
}

#[derive(Module, Debug)]
struct Normalised {
    linear: Linear,
    norm: BatchNorm,
}

#[test]
fn the_callers_model_is_never_changed() {
    let device = Device::flex();
    let model = Normalised {
        linear: linear(&device),
        norm: BatchNormConfig::new(3).init(&device),
    };
    let state = |model: &Normalised| {
        [
            model.norm.running_mean.value().into_data(),
            model.norm.running_var.value().into_data(),
            model.norm.gamma.val().into_data(),
            model.linear.weight.val().into_data(),
        ]
    };
    let before = state(&model);
    let objective = Objective::of_loss(|model: &Normalised, (x, y): &Labelled| {
        cross_entropy(model.norm.forward(model.linear.forward(x.clone())), y)
    })
    .mode(Mode::Training { seed: Seed::new(0) });
    let point = objective.at(&model, &data(6, &device)).unwrap();
    point.hessian().apply(&direction(&point, 0.3)).unwrap();
    point.write_back(model.clone()).unwrap();
    assert_eq!(before, state(&model));
    assert!(!model.linear.weight.val().is_autodiff());
}

#[test]
fn curvature_of_an_f32_model_in_f64() {
    let device = Device::flex();
    let objective = |precision| {
        Objective::of_loss(|model: &Linear, (x, y): &Labelled| {
            cross_entropy(model.forward(x.clone()), y)
        })
        .precision(precision)
    };
    let (model, batch) = (linear(&device), data(6, &device));
    let single = objective(Precision::Model).at(&model, &batch).unwrap();
    let double = objective(Precision::F64).at(&model, &batch).unwrap();
    assert_eq!((single.dtype(), double.dtype()), (DType::F32, DType::F64));
    let difference = (single.loss().unwrap() - double.loss().unwrap()).abs();
    assert!(difference > 0.0 && difference < 1e-6, "{difference:e}");
    let asymmetry = dense(&double.hessian()).unwrap().asymmetry();
    assert!(asymmetry < 1e-14, "{asymmetry:e}");
}
