//! Losses that can be differentiated twice, and accuracies.
//!
//! The losses are plain tensor operations: no data is read and nothing branches on values, so that a recorded loss holds
//! for any batch of the same shapes. Every loss is a **mean**, and its doc says over what.

use burn::tensor::activation::{log_sigmoid, log_softmax};
use burn::tensor::{Int, Tensor};

/// Softmax cross entropy −(1/n) Σᵢ log softmax(zᵢ)_yᵢ, the mean over the n examples.
///
/// Its Hessian in the logits of one example is diag(p) − ppᵀ with p = softmax(z), positive semidefinite. The largest logit is subtracted
/// first, so that no exponential overflows.
///
/// # Shapes
///
/// - logits: `[n, classes]`
/// - labels: `[n]`, each from 0 to classes − 1
/// - output: `[1]`
///
/// # Panics
///
/// When the numbers of examples differ. A label outside the classes panics on some devices and gives a wrong loss on others, as
/// in `Tensor::gather`.
///
/// ```
/// use burn::prelude::*;
/// use ravine_model::losses::cross_entropy;
///
/// let device = Device::flex();
/// let logits = Tensor::<2>::zeros([4, 10], &device);
/// let labels = Tensor::<1, Int>::from_data([3, 1, 4, 1], &device);
/// let loss: f64 = cross_entropy(logits, labels).into_scalar();
/// assert!((loss - 10f64.ln()).abs() < 1e-6);
/// ```
pub fn cross_entropy(logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
    let ([rows, _], [count]) = (logits.dims(), labels.dims());
    assert_eq!(rows, count, "logits of {rows} examples, labels of {count}");
    let log_probabilities = log_softmax(logits, 1);
    let picked = log_probabilities.gather(1, labels.unsqueeze_dim::<2>(1));
    picked.mean().neg()
}

/// Mean squared error (1/N) Σ (a − b)², the mean over all N elements (examples times outputs).
///
/// Its Hessian in the outputs is (2/N) I.
///
/// # Shapes
///
/// - outputs and targets: any, the same
/// - output: `[1]`
///
/// # Panics
///
/// When the shapes differ: Burn would broadcast `[n, 1]` against `[1, n]` to n² differences.
///
/// ```
/// use burn::prelude::*;
/// use ravine_model::losses::mse;
///
/// let device = Device::flex();
/// let outputs = Tensor::<2>::from_data([[1.0, 2.0], [3.0, 5.0]], &device);
/// let loss: f64 = mse(outputs, Tensor::zeros([2, 2], &device)).into_scalar();
/// assert_eq!(loss, 39.0 / 4.0);
/// ```
pub fn mse<const D: usize>(outputs: Tensor<D>, targets: Tensor<D>) -> Tensor<1> {
    assert_same_shape(outputs.dims(), targets.dims());
    let difference = outputs - targets;
    (difference.clone() * difference).mean()
}

/// Binary cross entropy −(1/N) Σ [y log σ(z) + (1 − y) log σ(−z)], the mean over all N elements.
///
/// Its second derivative in a logit is σ(z) σ(−z) / N, whatever the target. log σ is evaluated without overflow and, unlike the
/// widespread max(z, 0) − zy + log(1 + e^−|z|), without a kink at z = 0, where automatic differentiation of the latter
/// depends on what the framework takes for the slope of max and |·|. Targets between 0 and 1 are allowed.
///
/// # Shapes
///
/// - logits and targets: any, the same; targets in [0, 1]
/// - output: `[1]`
///
/// # Panics
///
/// When the shapes differ.
///
/// ```
/// use burn::prelude::*;
/// use ravine_model::losses::binary_cross_entropy_with_logits;
///
/// let device = Device::flex();
/// let logits = Tensor::<1>::from_data([0.0, 200.0], &device);
/// let targets = Tensor::<1>::from_data([1.0, 0.0], &device);
/// let loss: f64 = binary_cross_entropy_with_logits(logits, targets).into_scalar();
/// assert!((loss - (2f64.ln() + 200.0) / 2.0).abs() < 1e-5);
/// ```
pub fn binary_cross_entropy_with_logits<const D: usize>(
    logits: Tensor<D>,
    targets: Tensor<D>,
) -> Tensor<1> {
    assert_same_shape(logits.dims(), targets.dims());
    let negatives = targets.clone().neg().add_scalar(1.0);
    let likelihood = targets * log_sigmoid(logits.clone()) + negatives * log_sigmoid(logits.neg());
    likelihood.mean().neg()
}

/// The share of examples whose largest logit is at their label. Reads data, so it has no place in a loss.
///
/// # Shapes
///
/// - logits: `[n, classes]`
/// - labels: `[n]`
///
/// # Panics
///
/// When the numbers of examples differ.
///
/// ```
/// use burn::prelude::*;
/// use ravine_model::losses::accuracy;
///
/// let device = Device::flex();
/// let logits = Tensor::<2>::from_data([[0.1, 0.9], [0.8, 0.2]], &device);
/// let labels = Tensor::<1, Int>::from_data([1, 1], &device);
/// assert_eq!(accuracy(logits, labels), 0.5);
/// ```
pub fn accuracy(logits: Tensor<2>, labels: Tensor<1, Int>) -> f64 {
    let ([rows, _], [count]) = (logits.dims(), labels.dims());
    assert_eq!(rows, count, "logits of {rows} examples, labels of {count}");
    let (predicted, labels) = (logits.argmax(1).into_data(), labels.into_data());
    let hits = predicted.iter::<i64>().zip(labels.iter::<i64>());
    share(hits.map(|(p, y)| p == y))
}

/// The share of elements whose logit is positive exactly when their target is above ½. Reads data, so it has no place in a
/// loss.
///
/// # Shapes
///
/// - logits and targets: any, the same
///
/// # Panics
///
/// When the shapes differ.
pub fn binary_accuracy<const D: usize>(logits: Tensor<D>, targets: Tensor<D>) -> f64 {
    assert_same_shape(logits.dims(), targets.dims());
    let (logits, targets) = (logits.into_data(), targets.into_data());
    let hits = logits.iter::<f64>().zip(targets.iter::<f64>());
    share(hits.map(|(z, y)| (z > 0.0) == (y > 0.5)))
}

/// The share of hits, NaN for none at all.
fn share(hits: impl Iterator<Item = bool>) -> f64 {
    let (count, hits) = hits.fold((0u64, 0u64), |(n, sum), hit| (n + 1, sum + u64::from(hit)));
    hits as f64 / count as f64
}

fn assert_same_shape<const D: usize>(outputs: [usize; D], targets: [usize; D]) {
    assert_eq!(outputs, targets, "outputs and targets differ in shape");
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{DType, Device, TensorCreationOptions};

    fn options() -> TensorCreationOptions {
        (&Device::flex().autodiff(), DType::F64).into()
    }

    fn scalar(loss: Tensor<1>) -> f64 {
        assert_eq!(loss.dims(), [1]);
        loss.into_scalar()
    }

    /// The loss of one element and its derivative, by automatic differentiation.
    fn at<const D: usize>(z: Tensor<D>, loss: impl Fn(Tensor<D>) -> Tensor<1>) -> (f64, Vec<f64>) {
        let z = z.require_grad();
        let value = loss(z.clone());
        let gradients = value.backward();
        let gradient = z.grad(&gradients).unwrap();
        (scalar(value), gradient.into_data().iter::<f64>().collect())
    }

    #[test]
    fn cross_entropy_and_its_gradient_are_those_of_the_formula() {
        let z: [[f64; 3]; 2] = [[0.2, -1.0, 3.0], [0.0, 0.5, -0.5]];
        let labels = [1usize, 0];
        let logits = Tensor::<2>::from_data(z, options());
        let device = Device::flex().autodiff();
        let (loss, gradient) = at(logits, |logits| {
            cross_entropy(logits, Tensor::from_data([1, 0], &device))
        });
        let mut expected = 0.0;
        let mut slopes = Vec::new();
        for (row, label) in z.iter().zip(labels) {
            let sum: f64 = row.iter().map(|v| v.exp()).sum();
            expected += (sum.ln() - row[label]) / 2.0;
            let hit = |k| if k == label { 1.0 } else { 0.0 };
            slopes.extend((0..3).map(|k| (row[k].exp() / sum - hit(k)) / 2.0));
        }
        assert!((loss - expected).abs() < 1e-15);
        for (found, expected) in gradient.iter().zip(slopes) {
            assert!((found - expected).abs() < 1e-15);
        }
    }

    #[test]
    fn cross_entropy_does_not_overflow() {
        let logits = Tensor::<2>::from_data([[1e4, 0.0]], options());
        let device = Device::flex().autodiff();
        let loss = |label: i64| {
            let labels = Tensor::<1, Int>::from_data([label], &device);
            scalar(cross_entropy(logits.clone(), labels))
        };
        assert_eq!((loss(0), loss(1)), (0.0, 1e4));
    }

    #[test]
    fn mse_is_a_mean_over_all_elements() {
        let outputs = Tensor::<2>::from_data([[1.0, -1.0, 0.5]], options());
        let targets = Tensor::<2>::from_data([[0.0, 1.0, 0.5]], options());
        let (loss, gradient) = at(outputs, |outputs| mse(outputs, targets.clone()));
        assert_eq!(loss, 5.0 / 3.0);
        for (found, expected) in gradient.iter().zip([2.0 / 3.0, -4.0 / 3.0, 0.0]) {
            assert!((found - expected).abs() < 1e-15);
        }
    }

    #[test]
    #[should_panic(expected = "differ in shape")]
    fn mse_refuses_to_broadcast() {
        let column = Tensor::<2>::zeros([3, 1], &Device::flex());
        let _ = mse(column.clone(), column.transpose());
    }

    /// Loss and slope for one logit and target.
    fn binary(z: f64, y: f64) -> (f64, f64) {
        let target = Tensor::<1>::from_data([y], options());
        let logit = Tensor::<1>::from_data([z], options());
        let (loss, slope) = at(logit, |z| {
            binary_cross_entropy_with_logits(z, target.clone())
        });
        (loss, slope[0])
    }

    #[test]
    fn binary_cross_entropy_is_exact_where_the_naive_form_is_not() {
        let naive = |z: f64, y: f64| z.max(0.0) - z * y + (-z.abs()).exp().ln_1p();
        for z in [-3.0, -0.1, 0.0, 0.4, 7.0] {
            for y in [0.0, 0.3, 1.0] {
                let (loss, slope) = binary(z, y);
                assert!((loss - naive(z, y)).abs() < 1e-14, "{z} {y}");
                assert!((slope - (1.0 / (1.0 + (-z).exp()) - y)).abs() < 1e-14);
            }
        }
        assert_eq!(binary(800.0, 0.0).0, 800.0);
        assert_eq!(binary(-800.0, 1.0).0, 800.0);
        assert!((binary(40.0, 1.0).0 / (-40f64).exp() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_second_derivative_at_a_logit_of_zero_is_a_quarter() {
        // Central differences of the slope: a kink at 0 would show as 0 or ∞.
        for y in [0.0, 0.5, 1.0] {
            let h = 1e-5;
            let curvature = (binary(h, y).1 - binary(-h, y).1) / (2.0 * h);
            assert!((curvature - 0.25).abs() < 1e-9, "{curvature}");
            assert_eq!(binary(0.0, y).1, 0.5 - y);
        }
    }

    #[test]
    fn accuracies_count_hits() {
        let device = Device::flex();
        let logits = Tensor::<2>::from_data([[3.0, 1.0], [0.0, 1.0], [5.0, 4.0]], &device);
        let labels = Tensor::<1, Int>::from_data([0, 0, 0], &device);
        assert_eq!(accuracy(logits, labels), 2.0 / 3.0);
        let z = Tensor::<2>::from_data([[0.1], [-2.0], [3.0], [-1.0]], &device);
        let y = Tensor::<2>::from_data([[1.0], [0.0], [0.0], [1.0]], &device);
        assert_eq!(binary_accuracy(z, y), 0.5);
    }
}
