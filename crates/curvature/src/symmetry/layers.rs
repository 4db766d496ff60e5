//! Where the hidden units of a network lie in its flat parameter vector.

use crate::axis::AxisView;
use crate::error::CurvatureError;
use crate::layout::{LayoutEntry, ParameterLayout};
use burn::prelude::Tensor;
use serde::{Deserialize, Serialize};

/// What the activation of a hidden layer allows beside permutations of its units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnitActivation {
    /// σ(−x) = −σ(x), such as tanh: a unit can change sign.
    Odd,
    /// σ(c x) = c σ(x) for c > 0, such as ReLU and leaky ReLU: a unit can change scale.
    PositivelyHomogeneous,
    /// σ(x) = c x: units can be mixed by any invertible matrix.
    Linear,
    /// Anything else, such as GELU or the logistic function.
    Other,
}

impl UnitActivation {
    /// Whether a unit can change sign.
    pub fn flips(self) -> bool {
        matches!(self, Self::Odd | Self::Linear)
    }

    /// Whether a unit can change scale.
    pub fn scales(self) -> bool {
        matches!(self, Self::PositivelyHomogeneous | Self::Linear)
    }
}

/// A hidden layer: its units, the parameters that feed them and the weight that reads them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HiddenLayer {
    /// Weight of the layer itself: `[in, units]` of a linear layer, `[units, in, k, ..]` of a convolution.
    pub weight: String,
    /// Bias of the layer itself, `[units]`.
    #[serde(default)]
    pub bias: Option<String>,
    /// Weight of the next layer: `[units, out]`, `[out, units, k, ..]`, or `[units · pixels, out]` after a convolution that is
    /// flattened with the channel first.
    pub outgoing: String,
    /// Number m of units (channels of a convolution).
    pub units: usize,
    /// The activation between the layer and the next.
    pub activation: UnitActivation,
}

/// The hidden layers of a network, found in its layout.
///
/// What stands between a layer and the next must act on each unit alone and treat all alike: activations, pooling, dropout. Normalisation
/// layers with parameters and skip connections are not described; [`invariance_defect`](HiddenLayers::invariance_defect) tells whether
/// a description holds.
#[derive(Clone, Debug)]
pub struct HiddenLayers {
    dim: usize,
    layers: Vec<HiddenLayer>,
    places: Vec<Places>,
}

/// The entries of a layer's units.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    pub(super) weight: AxisView,
    pub(super) bias: Option<AxisView>,
    pub(super) outgoing: AxisView,
}

impl Places {
    pub(super) fn incoming(&self) -> impl Iterator<Item = AxisView> + use<> {
        [Some(self.weight), self.bias].into_iter().flatten()
    }

    pub(super) fn units(&self) -> usize {
        self.weight.units
    }
}

impl HiddenLayers {
    /// Finds described layers in a layout.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::UnknownParameter`] for a name that the layout lacks, [`CurvatureError::ParameterShape`] for a shape that does
    /// not fit its role or a parameter with the same role twice.
    pub fn new(
        layout: &ParameterLayout,
        layers: impl IntoIterator<Item = HiddenLayer>,
    ) -> Result<Self, CurvatureError> {
        let layers: Vec<HiddenLayer> = layers.into_iter().collect();
        let places = layers
            .iter()
            .map(|layer| find(layout, layer))
            .collect::<Result<Vec<_>, _>>()?;
        check_roles(layout, &layers)?;
        Ok(Self {
            dim: layout.dim(),
            layers,
            places,
        })
    }

    /// The chain of layers with these parameters, from the inputs to the outputs: weights of linear layers and convolutions, each followed
    /// by its bias if it has one, with the same activation after each but the last.
    ///
    /// # Errors
    ///
    /// As [`new`](HiddenLayers::new).
    pub fn chain<'a>(
        layout: &ParameterLayout,
        names: impl IntoIterator<Item = &'a str>,
        activation: UnitActivation,
    ) -> Result<Self, CurvatureError> {
        let mut links: Vec<(&LayoutEntry, Option<&LayoutEntry>)> = Vec::new();
        for name in names {
            let entry = layout.entry(name)?;
            match (entry.shape.num_dims(), links.last_mut()) {
                (0 | 1, Some((_, bias @ None))) => *bias = Some(entry),
                (0 | 1, _) => {
                    let requirement = "a chain holds a bias only right after its weight";
                    return Err(shape_error(entry, requirement.to_owned()));
                }
                _ => links.push((entry, None)),
            }
        }
        let layers = links.windows(2).map(|pair| {
            let ((weight, bias), (outgoing, _)) = (pair[0], pair[1]);
            HiddenLayer {
                weight: weight.name.clone(),
                bias: bias.map(|bias| bias.name.clone()),
                outgoing: outgoing.name.clone(),
                units: weight.shape[unit_axis(weight)],
                activation,
            }
        });
        Self::new(layout, layers)
    }

    /// The chain of all parameters of a layout, in its order: a plain perceptron or a stack of convolutions before one.
    ///
    /// # Errors
    ///
    /// As [`new`](HiddenLayers::new).
    pub fn of_layout(
        layout: &ParameterLayout,
        activation: UnitActivation,
    ) -> Result<Self, CurvatureError> {
        let names = layout.entries().iter().map(|entry| entry.name.as_str());
        Self::chain(layout, names, activation)
    }

    /// Number n of parameters of the whole network.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The description.
    pub fn layers(&self) -> &[HiddenLayer] {
        &self.layers
    }

    pub(super) fn places(&self) -> &[Places] {
        &self.places
    }

    pub(super) fn activations(&self) -> impl Iterator<Item = UnitActivation> + use<'_> {
        self.layers.iter().map(|layer| layer.activation)
    }

    /// Checks the dimension of a flat vector.
    pub(super) fn check(&self, v: &Tensor<1>) -> Result<(), CurvatureError> {
        let found = v.dims()[0];
        if found == self.dim {
            return Ok(());
        }
        Err(CurvatureError::Dimension {
            what: "a vector of the network's parameters",
            expected: self.dim,
            found,
        })
    }
}

/// The axis of a weight that counts its own units: columns of a linear layer, output channels of a convolution.
fn unit_axis(weight: &LayoutEntry) -> usize {
    usize::from(weight.shape.num_dims() == 2)
}

fn find(layout: &ParameterLayout, layer: &HiddenLayer) -> Result<Places, CurvatureError> {
    let weight = layout.entry(&layer.weight)?;
    let outgoing = layout.entry(&layer.outgoing)?;
    let bias = layer.bias.as_deref().map(|name| layout.entry(name));
    Ok(Places {
        weight: incoming_view(weight, layer.units)?,
        bias: bias
            .transpose()?
            .map(|bias| bias_view(bias, layer.units))
            .transpose()?,
        outgoing: outgoing_view(weight, outgoing, layer.units)?,
    })
}

fn incoming_view(weight: &LayoutEntry, units: usize) -> Result<AxisView, CurvatureError> {
    let shape = weight.shape.as_slice();
    if shape.len() < 2 {
        let requirement = "the weight of a hidden layer is [in, units] or [units, in, k, ..]";
        return Err(shape_error(weight, requirement.to_owned()));
    }
    let axis = unit_axis(weight);
    if shape[axis] != units {
        let requirement = format!("a layer of {units} units needs that many along axis {axis}");
        return Err(shape_error(weight, requirement));
    }
    Ok(AxisView::along(weight.range.start, shape, axis))
}

fn bias_view(bias: &LayoutEntry, units: usize) -> Result<AxisView, CurvatureError> {
    let shape = bias.shape.as_slice();
    if shape != [units] {
        let requirement = format!("the bias of {units} units is [{units}]");
        return Err(shape_error(bias, requirement));
    }
    Ok(AxisView::along(bias.range.start, shape, 0))
}

fn outgoing_view(
    weight: &LayoutEntry,
    outgoing: &LayoutEntry,
    units: usize,
) -> Result<AxisView, CurvatureError> {
    let shape = outgoing.shape.as_slice();
    let start = outgoing.range.start;
    let flattened = weight.shape.num_dims() > 2;
    match shape {
        [] | [_] => {
            let requirement = "the weight that reads a hidden layer has rank 2 or more";
            Err(shape_error(outgoing, requirement.to_owned()))
        }
        [inputs, outputs] => {
            let pixels = inputs / units.max(1);
            match pixels * units == *inputs && (pixels == 1 || flattened) {
                true => Ok(AxisView::along(start, &[units, pixels * outputs], 0)),
                false => Err(misfit(weight, outgoing, units, 0)),
            }
        }
        [_, inputs, ..] => match *inputs == units {
            true => Ok(AxisView::along(start, shape, 1)),
            false => Err(misfit(weight, outgoing, units, 1)),
        },
    }
}

fn misfit(
    weight: &LayoutEntry,
    outgoing: &LayoutEntry,
    units: usize,
    axis: usize,
) -> CurvatureError {
    let before = &weight.name;
    let requirement = format!("the {units} units of `{before}` must be read along its axis {axis}");
    shape_error(outgoing, requirement)
}

fn check_roles(layout: &ParameterLayout, layers: &[HiddenLayer]) -> Result<(), CurvatureError> {
    let twice = |name: &str, role: &str| -> Result<(), CurvatureError> {
        let requirement = format!("it {role}, which a description cannot say");
        Err(shape_error(layout.entry(name)?, requirement))
    };
    for (index, layer) in layers.iter().enumerate() {
        for other in &layers[..index] {
            if other.weight == layer.weight || layer.bias.is_some() && other.bias == layer.bias {
                twice(&layer.weight, "feeds two hidden layers")?;
            }
            if other.outgoing == layer.outgoing {
                twice(&layer.outgoing, "reads two hidden layers")?;
            }
        }
        if layer.weight == layer.outgoing {
            twice(&layer.weight, "feeds and reads the same units")?;
        }
    }
    Ok(())
}

pub(super) fn shape_error(entry: &LayoutEntry, requirement: String) -> CurvatureError {
    CurvatureError::ParameterShape {
        name: entry.name.clone(),
        found: entry.shape.to_vec(),
        requirement,
    }
}
