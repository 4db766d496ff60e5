//! Activation functions by name.

use burn::tensor::{Tensor, activation};
use serde::{Deserialize, Serialize};

/// An elementwise activation function.
///
/// All but [`Relu`](Activation::Relu) and [`LeakyRelu`](Activation::LeakyRelu) are smooth, so that second derivatives exist everywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Activation {
    /// x
    Identity,
    /// tanh x
    #[default]
    Tanh,
    /// max(x, 0)
    Relu,
    /// x for x ≥ 0, `slope` · x below.
    LeakyRelu {
        /// The slope on the negative side.
        slope: f64,
    },
    /// x Φ(x) with the normal distribution function Φ (exact, not the tanh approximation).
    Gelu,
    /// x σ(x), also known as swish.
    Silu,
    /// σ(x) = 1 / (1 + e⁻ˣ)
    Sigmoid,
    /// log(1 + eˣ)
    Softplus,
}

impl Activation {
    /// The function applied to each element.
    ///
    /// # Shapes
    ///
    /// - input and output: any, the same
    ///
    /// ```
    /// use burn::prelude::*;
    /// use ravine_model::models::Activation;
    ///
    /// let x = Tensor::<1>::from_data([-1.0, 2.0], &Device::flex());
    /// let y: Vec<f64> = Activation::Relu.apply(x).into_data().iter::<f64>().collect();
    /// assert_eq!(y, [0.0, 2.0]);
    /// ```
    pub fn apply<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Activation::Identity => x,
            Activation::Tanh => x.tanh(),
            Activation::Relu => activation::relu(x),
            Activation::LeakyRelu { slope } => activation::leaky_relu(x, slope),
            Activation::Gelu => activation::gelu(x),
            Activation::Silu => activation::silu(x),
            Activation::Sigmoid => activation::sigmoid(x),
            // Burn's softplus turns into the identity above 20, where its second derivative jumps from 2e-9 to 0.
            Activation::Softplus => activation::log_sigmoid(x.neg()).neg(),
        }
    }

    /// The gain by which the field scales initial weights for this activation: 5/3 for tanh, √2 for ReLU, √(2/(1+slope²)) for
    /// leaky ReLU, √2 for the ReLU-like GELU and SiLU, 1 otherwise.
    ///
    /// # References
    ///
    /// K. He et al., Delving deep into rectifiers, ICCV 2015; the values for tanh, ReLU and leaky ReLU are those of PyTorch's
    /// `calculate_gain`.
    pub fn gain(self) -> f64 {
        match self {
            Activation::Tanh => 5.0 / 3.0,
            Activation::Relu | Activation::Gelu | Activation::Silu => 2f64.sqrt(),
            Activation::LeakyRelu { slope } => (2.0 / (1.0 + slope * slope)).sqrt(),
            Activation::Identity | Activation::Sigmoid | Activation::Softplus => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{f64_device, values};
    use super::*;

    fn at(activation: Activation, x: &[f64]) -> Vec<f64> {
        values(activation.apply(Tensor::<1>::from_data(x, f64_device())))
    }

    #[test]
    fn values_are_those_of_the_formulas() {
        let x = [-3.0, -0.5, 0.0, 0.25, 2.0];
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        type Formula = fn(f64, f64) -> f64;
        let cases: [(Activation, Formula); 7] = [
            (Activation::Identity, |x, _| x),
            (Activation::Tanh, |x, _| x.tanh()),
            (Activation::Relu, |x, _| x.max(0.0)),
            (Activation::LeakyRelu { slope: 0.1 }, |x, _| x.max(0.1 * x)),
            (Activation::Silu, |x, s| x * s),
            (Activation::Sigmoid, |_, s| s),
            (Activation::Softplus, |x, _| x.exp().ln_1p()),
        ];
        for (activation, formula) in cases {
            for (found, x) in at(activation, &x).iter().zip(x) {
                let expected = formula(x, sigmoid(x));
                assert!((found - expected).abs() < 1e-15, "{activation:?} at {x}");
            }
        }
        // Φ(1) = 0.841344746068543 and Φ(−1) = 1 − Φ(1)
        let gelu = at(Activation::Gelu, &[1.0, -1.0]);
        assert!((gelu[0] - 0.841_344_746_068_543).abs() < 1e-7);
        assert!((gelu[1] + 0.158_655_253_931_457).abs() < 1e-7);
    }

    #[test]
    fn softplus_is_exact_in_both_tails() {
        let found = at(Activation::Softplus, &[30.0, 1000.0, -40.0, -1000.0]);
        assert_eq!(found[0], 30.0 + (-30f64).exp());
        assert_eq!(found[1], 1000.0);
        assert!((found[2] / (-40f64).exp() - 1.0).abs() < 1e-15);
        assert_eq!(found[3], 0.0);
    }

    #[test]
    fn names_are_snake_case() {
        let text = serde_json::to_string(&Activation::LeakyRelu { slope: 0.1 }).unwrap();
        assert_eq!(text, r#"{"leaky_relu":{"slope":0.1}}"#);
        let tanh: Activation = serde_json::from_str("\"tanh\"").unwrap();
        assert_eq!(tanh, Activation::default());
    }
}
