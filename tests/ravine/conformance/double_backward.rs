//! What burn-autodiff's own operations are under two derivatives, on concrete nested autodiff backends: the reason why they are
//! lowered before they are differentiated twice.

use burn::backend::ops::{ActivationOps, ConvOptions, ConvTransposeOptions, FloatTensorOps};
use burn::backend::ops::{IntTensorOps, InterpolateMode, InterpolateOptions, ModuleOps};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Flex, TensorMetadata};
use burn::tensor::{FloatDType, IntDType, Shape, TensorData};
use std::panic::{AssertUnwindSafe, catch_unwind};

type First = Autodiff<Flex>;
type Second = Autodiff<First>;
type Run<B> = fn(FloatTensor<B>) -> FloatTensor<B>;

/// An operation with the shape of its argument, which also holds its weights where it has some.
struct Operation {
    name: &'static str,
    shape: &'static [usize],
    /// For one derivative: nested, many operations fail in the first already.
    first: Run<First>,
    second: Run<Second>,
}

/// An operation of `x` on backend `B`, for both.
macro_rules! operation {
    ($name:expr, $shape:expr, $backend:ident, $x:ident => $body:expr $(,)?) => {
        Operation {
            name: $name,
            shape: &$shape,
            first: {
                type $backend = First;
                |$x| $body
            },
            second: {
                type $backend = Second;
                |$x| $body
            },
        }
    };
}

/// Relative errors of burn-autodiff's derivatives of one operation against central differences, or why it has none.
pub(super) struct Derivatives {
    pub(super) operation: &'static str,
    pub(super) first: Result<f64, String>,
    pub(super) second: Result<f64, String>,
}

/// The derivatives of all operations that are of interest.
pub(super) fn all() -> Vec<Derivatives> {
    operations().iter().map(measure).collect()
}

fn measure(operation: &Operation) -> Derivatives {
    let count = operation.shape.iter().product();
    let (x, v) = (scattered(0.4, count), scattered(2.1, count));
    let at = |step: f64| {
        let moved: Vec<f64> = x.iter().zip(&v).map(|(x, v)| x + step * v).collect();
        evaluate(operation, &moved)
    };
    let first = caught(|| {
        let slope = difference(|step| vec![at(step).0]);
        let found: f64 = at(0.0).1.iter().zip(&v).map(|(g, v)| g * v).sum();
        Some(relative(&[found], &slope))
    });
    let second = caught(|| {
        let found = product(operation, &x, &v)?;
        Some(relative(&found, &difference(|step| at(step).1)))
    });
    Derivatives {
        operation: operation.name,
        first,
        second,
    }
}

/// The fourth-order central difference at zero.
fn difference(function: impl Fn(f64) -> Vec<f64>) -> Vec<f64> {
    let h = 1e-4;
    let [one, minus_one, two, minus_two] = [h, -h, 2.0 * h, -2.0 * h].map(&function);
    (0..one.len())
        .map(|i| (8.0 * (one[i] - minus_one[i]) - (two[i] - minus_two[i])) / (12.0 * h))
        .collect()
}

/// The message of a panic as an error; nothing is a derivative that was lost.
fn caught<T>(run: impl FnOnce() -> Option<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err("its backward is silently a constant".to_string()),
        Err(payload) => Err(match payload.downcast::<String>() {
            Ok(text) => *text,
            Err(payload) => payload.downcast_ref::<&str>().unwrap_or(&"").to_string(),
        }),
    }
}

/// Loss and gradient by one derivative.
fn evaluate(operation: &Operation, x: &[f64]) -> (f64, Vec<f64>) {
    let leaf = First::from_inner(constant(x, operation.shape));
    let leaf = First::float_set_require_grad(leaf, true);
    let loss = loss::<First>(operation.first, leaf.clone(), First::from_inner);
    let gradients = First::backward(loss.clone());
    let gradient = First::grad(&leaf, &gradients).expect("the loss depends on the argument");
    (numbers(First::inner(loss))[0], numbers(gradient))
}

/// The product of the Hessian with v by a second derivative, if the first is tracked.
fn product(operation: &Operation, x: &[f64], v: &[f64]) -> Option<Vec<f64>> {
    let inner = First::from_inner(constant(x, operation.shape));
    let inner = First::float_set_require_grad(inner, true);
    let leaf = Second::float_set_require_grad(Second::from_inner(inner.clone()), true);
    let twice = |tensor| Second::from_inner(First::from_inner(tensor));
    let gradients = Second::backward(loss::<Second>(operation.second, leaf.clone(), twice));
    let gradient = Second::grad(&leaf, &gradients)?;
    let v = First::from_inner(constant(v, operation.shape));
    let slope = First::float_sum(First::float_mul(gradient, v));
    let product = First::grad(&inner, &First::backward(slope))?;
    Some(numbers(product))
}

/// ½ Σ wᵢ yᵢ², so that linear operations have a Hessian as well.
fn loss<B: Backend>(
    run: Run<B>,
    x: FloatTensor<B>,
    lift: impl Fn(FloatTensor<Flex>) -> FloatTensor<B>,
) -> FloatTensor<B> {
    let y = run(x);
    let shape = y.shape();
    let w = lift(constant(&scattered(3.3, shape.num_elements()), &shape));
    let weighted = B::float_mul(B::float_mul(y.clone(), y), w);
    B::float_mul_scalar(B::float_sum(weighted), 0.5.into())
}

fn constant(values: &[f64], shape: &[usize]) -> FloatTensor<Flex> {
    let data = TensorData::new(values.to_vec(), Shape::from(shape.to_vec()));
    Flex::float_from_data(data, &Default::default())
}

fn numbers(x: FloatTensor<Flex>) -> Vec<f64> {
    let data = burn::tensor::try_read_sync(Flex::float_into_data(x));
    let data = data.expect("the device answers at once");
    data.expect("the tensor has data").iter::<f64>().collect()
}

fn scattered(phase: f64, count: usize) -> Vec<f64> {
    (0..count)
        .map(|k| (phase + 12.9898 * k as f64).sin() * 43758.5453)
        .map(|x| 2.0 * (x - x.floor()) - 1.0)
        .collect()
}

fn relative(a: &[f64], b: &[f64]) -> f64 {
    let norm = |values: &[f64]| values.iter().map(|x| x * x).sum::<f64>().sqrt();
    let difference: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    norm(&difference) / norm(b)
}

fn operations() -> Vec<Operation> {
    let mut all = functions();
    all.extend(layers());
    all.extend(poolings());
    all
}

fn functions() -> Vec<Operation> {
    vec![
        operation!("tanh", [2, 3], B, x => B::float_tanh(x)),
        operation!("erf", [2, 3], B, x => B::float_erf(x)),
        operation!("div_scalar", [2, 3], B, x => {
            B::float_div_scalar(x, 3.0.into())
        }),
        operation!("relu", [2, 3], B, x => B::relu(x)),
        operation!("gelu", [2, 3], B, x => B::gelu(x)),
        operation!("sigmoid", [2, 3], B, x => B::sigmoid(x)),
        operation!("log_sigmoid", [2, 3], B, x => B::log_sigmoid(x)),
        operation!("softmax", [2, 3], B, x => B::softmax(x, 1)),
        operation!("log_softmax", [2, 3], B, x => B::log_softmax(x, 1)),
    ]
}

/// All of the argument again, as the weight of an operation.
fn weight<B: Backend>(x: &FloatTensor<B>, shape: [usize; 3]) -> FloatTensor<B> {
    B::float_reshape(x.clone(), Shape::new(shape))
}

fn layers() -> Vec<Operation> {
    vec![
        operation!("linear", [2, 3], B, x => {
            let weight = B::float_reshape(x.clone(), Shape::new([3, 2]));
            B::linear(x, weight, None)
        }),
        operation!("embedding", [3, 2], B, x => {
            let places = TensorData::new(vec![2i64, 0, 2], [1, 3]);
            let places = B::int_from_data(places, &Default::default());
            B::embedding(x, places)
        }),
        operation!("layer_norm", [3, 4], B, x => {
            let ones = B::float_ones(Shape::new([4]), &Default::default(), FloatDType::F64);
            B::layer_norm(x, ones, None, 1e-5)
        }),
        operation!("batch_norm_train", [4, 3], B, x => {
            let filled = |value: f64| {
                let shape = Shape::new([3]);
                B::float_full(shape, value.into(), &Default::default(), FloatDType::F64)
            };
            B::batch_norm_train(x, filled(1.0), filled(0.0), 1e-5).output
        }),
        operation!("conv1d", [2, 2, 4], B, x => {
            let kernel = weight::<B>(&x, [4, 2, 2]);
            B::conv1d(x, kernel, None, ConvOptions::new([1], [1], [1], 1))
        }),
        operation!("conv1d, stride 3, groups 2, elements unread", [1, 2, 9], B, x => {
            let kernel = weight::<B>(&x, [6, 1, 3]);
            B::conv1d(x, kernel, None, ConvOptions::new([3], [1], [1], 2))
        }),
        operation!("conv_transpose1d", [2, 2, 4], B, x => {
            let kernel = weight::<B>(&x, [2, 4, 2]);
            let options = ConvTransposeOptions::new([1], [0], [0], [1], 1);
            B::conv_transpose1d(x, kernel, None, options)
        }),
        operation!("conv_transpose1d, stride 2, groups 2, output padding", [2, 2, 4], B, x => {
                let kernel = weight::<B>(&x, [2, 2, 4]);
                let options = ConvTransposeOptions::new([2], [1], [1], [1], 2);
                B::conv_transpose1d(x, kernel, None, options)
            },
        ),
    ]
}

fn poolings() -> Vec<Operation> {
    vec![
        operation!("max_pool1d", [1, 2, 6], B, x => {
            B::max_pool1d(x, 2, 2, 0, 1, false)
        }),
        operation!("max_pool1d_with_indices", [1, 2, 6], B, x => {
            B::max_pool1d_with_indices(x, 2, 2, 0, 1, false, IntDType::I64).output
        }),
        operation!("max_pool2d", [1, 1, 4, 4], B, x => {
            B::max_pool2d(x, [2, 2], [2, 2], [0, 0], [1, 1], false)
        }),
        operation!("avg_pool1d", [1, 2, 6], B, x => {
            B::avg_pool1d(x, 2, 2, 0, true, false)
        }),
        operation!("avg_pool2d", [1, 1, 4, 4], B, x => {
            B::avg_pool2d(x, [2, 2], [2, 2], [0, 0], true, false)
        }),
        operation!("adaptive_avg_pool1d", [1, 2, 7], B, x => {
            B::adaptive_avg_pool1d(x, 3)
        }),
        operation!("adaptive_avg_pool2d", [1, 1, 5, 4], B, x => {
            B::adaptive_avg_pool2d(x, [3, 2])
        }),
        operation!("adaptive_avg_pool3d", [1, 1, 3, 4, 3], B, x => {
            B::adaptive_avg_pool3d(x, [2, 2, 2])
        }),
        operation!("interpolate, nearest", [1, 1, 2, 3], B, x => {
            B::interpolate(x, [3, 5], InterpolateOptions::new(InterpolateMode::Nearest))
        }),
        operation!("interpolate, bilinear", [1, 1, 2, 3], B, x => {
            B::interpolate(
                x,
                [3, 5],
                InterpolateOptions::new(InterpolateMode::Bilinear),
            )
        }),
    ]
}

#[test]
fn a_smooth_function_has_both_derivatives() {
    let tanh = measure(&operation!("tanh", [2, 3], B, x => B::float_tanh(x)));
    for found in [tanh.first, tanh.second] {
        assert!(found.is_ok_and(|error| error < 1e-9));
    }
}
