//! Initial parameters of any module as a function of a seed.

use super::initialisation::Fans;
use super::{Initialisation, ModelError};
use crate::random::stream;
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Tensor, TensorData};

/// The module with the parameters of its linear and convolution layers drawn anew from `seed`.
///
/// Works for any Burn module made of such layers. Each parameter has a stream of random numbers of its own, chosen by its path in the
/// module (`layers.0.weight`), so that adding a layer does not change the values of the others; draws are f64, rounded once to the
/// parameter's dtype. Parameters of normalisation layers keep their values. Device, dtype and whether a parameter is trainable stay.
///
/// # Errors
///
/// [`ModelError::NoRule`] for a parameter of any other layer, since leaving it alone would leave it to Burn's global
/// generator; [`ModelError::Scale`] for a gain or deviation that is negative or not finite.
///
/// # References
///
/// X. Glorot and Y. Bengio, AISTATS 2010 (Xavier). K. He et al., ICCV 2015 (Kaiming). A. Saxe et al., ICLR 2014 (orthogonal).
///
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::prelude::*;
/// use ravine_model::models::{Initialisation, initialise};
///
/// let device = Device::flex();
/// let layer = |seed| initialise(LinearConfig::new(3, 2).init(&device), Initialisation::FanIn, seed);
/// let data = |layer: Linear| layer.weight.val().into_data();
/// assert_eq!(data(layer(7)?), data(layer(7)?));
/// assert_ne!(data(layer(7)?), data(layer(8)?));
/// # Ok::<(), ravine_model::models::ModelError>(())
/// ```
pub fn initialise<M: Module>(
    module: M,
    initialisation: Initialisation,
    seed: u64,
) -> Result<M, ModelError> {
    fill(module, initialisation, seed, Target::Kept)
}

/// As [`initialise`], with the parameters in another dtype.
pub(super) fn initialise_as<M: Module>(
    module: M,
    initialisation: Initialisation,
    seed: u64,
    dtype: DType,
) -> Result<M, ModelError> {
    fill(module, initialisation, seed, Target::Dtype(dtype))
}

#[derive(Clone, Copy)]
enum Target {
    Kept,
    Dtype(DType),
}

fn fill<M: Module>(
    module: M,
    initialisation: Initialisation,
    seed: u64,
    target: Target,
) -> Result<M, ModelError> {
    initialisation.check()?;
    let mut filler = Filler {
        initialisation,
        seed,
        target,
        path: Vec::new(),
        fans: None,
        failure: None,
    };
    let module = module.map(&mut filler);
    match filler.failure {
        Some(error) => Err(error),
        None => Ok(module),
    }
}

struct Filler {
    initialisation: Initialisation,
    seed: u64,
    target: Target,
    /// Names and container types from the root to the current field.
    path: Vec<(String, String)>,
    /// Of the layer whose weight was seen last: its bias follows and needs them.
    fans: Option<Fans>,
    failure: Option<ModelError>,
}

impl ModuleMapper for Filler {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.push((name.to_owned(), container_type.to_owned()));
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let layer = self.path.last().map_or("", |(_, container)| container);
        let layer = layer.strip_prefix("Struct:").unwrap_or(layer).to_owned();
        if NORMALISATION.contains(&layer.as_str()) {
            return param;
        }
        if !FILLED.contains(&layer.as_str()) {
            self.failure.get_or_insert_with(|| ModelError::NoRule {
                path: path_name(&self.path),
                layer,
            });
            return param;
        }
        let (id, old, mapper) = param.consume();
        let data = TensorData::new(self.draw(&old.dims()), old.shape());
        let dtype = match self.target {
            Target::Kept => old.dtype(),
            Target::Dtype(dtype) => dtype,
        };
        let new = Tensor::from_data(data, (&old.device(), dtype));
        let new = if old.is_require_grad() {
            new.require_grad()
        } else {
            new
        };
        Param::from_mapped_value(id, new, mapper)
    }
}

const FILLED: [&str; 4] = ["Linear", "Conv1d", "Conv2d", "Conv3d"];
const NORMALISATION: [&str; 5] = [
    "BatchNorm",
    "LayerNorm",
    "GroupNorm",
    "InstanceNorm",
    "RmsNorm",
];

fn path_name(path: &[(String, String)]) -> String {
    let names: Vec<&str> = path.iter().map(|(name, _)| name.as_str()).collect();
    names.join(".")
}

impl Filler {
    /// Values for the parameter at the current path. In the layers of [`FILLED`] only biases have rank 1.
    fn draw(&mut self, dims: &[usize]) -> Vec<f64> {
        let mut rng = stream(self.seed, &path_name(&self.path));
        if let [size] = *dims {
            let inputs = self.fans.take().map_or(size, |fans| fans.inputs);
            return self.initialisation.bias(size, inputs, &mut rng);
        }
        let fans = fans(dims);
        self.fans = Some(fans);
        self.initialisation.weight(dims, fans, &mut rng)
    }
}

/// A linear weight is `[in, out]`, a convolution kernel `[out, in, kernel …]`.
fn fans(dims: &[usize]) -> Fans {
    match dims {
        [inputs, outputs] => Fans {
            inputs: *inputs,
            outputs: *outputs,
        },
        [outputs, inputs, kernel @ ..] => {
            let size: usize = kernel.iter().product();
            Fans {
                inputs: inputs * size,
                outputs: outputs * size,
            }
        }
        _ => Fans {
            inputs: 1,
            outputs: 1,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::parameters;
    use super::*;
    use burn::nn::{EmbeddingConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig};
    use burn::tensor::Device;

    #[derive(Module, Debug)]
    struct Normed {
        first: Linear,
        norm: LayerNorm,
        second: Linear,
    }

    fn normed(device: &Device) -> Normed {
        Normed {
            first: LinearConfig::new(4, 3).init(device),
            norm: LayerNormConfig::new(3).init(device),
            second: LinearConfig::new(3, 2).init(device),
        }
    }

    #[test]
    fn values_depend_on_the_seed_and_the_path_alone() {
        let device = Device::flex();
        let fill =
            |seed| parameters(&initialise(normed(&device), Initialisation::FanIn, seed).unwrap());
        let first = fill(5);
        device.seed(99);
        assert_eq!(first, fill(5));
        assert_ne!(first, fill(6));
        // The norm's scale and shift keep their ones and zeros: 12 + 3 parameters come before them.
        assert_eq!(first[15..18], [1.0; 3]);
        assert_eq!(first[18..21], [0.0; 3]);
    }

    #[test]
    fn trainable_stays_trainable_and_frozen_stays_frozen() {
        let device = Device::flex().autodiff();
        let mut module = normed(&device);
        module.second = module.second.no_grad();
        let module = initialise(module, Initialisation::FanIn, 0).unwrap();
        assert!(module.first.weight.val().is_require_grad());
        assert!(!module.second.weight.val().is_require_grad());
        let plain = initialise(normed(&Device::flex()), Initialisation::FanIn, 0).unwrap();
        assert!(plain.train().first.weight.val().is_require_grad());
    }

    #[test]
    fn layers_without_a_rule_are_named() {
        let layer = EmbeddingConfig::new(3, 2).init(&Device::flex());
        let error = initialise(layer, Initialisation::FanIn, 0).unwrap_err();
        let expected = ModelError::NoRule {
            path: "weight".into(),
            layer: "Embedding".into(),
        };
        assert_eq!(error, expected);
    }

    #[test]
    fn unusable_scales_are_errors() {
        let layer = || LinearConfig::new(2, 2).init(&Device::flex());
        for scale in [-1.0, f64::NAN, f64::INFINITY] {
            let normal = Initialisation::Normal { std: scale };
            assert!(matches!(
                initialise(layer(), normal, 0),
                Err(ModelError::Scale { .. })
            ));
        }
    }
}
