//! Which parameters form the matrix of a layer.

use crate::layout::ParameterLayout;
use faer::Mat;
use ravine_graph::Layer;
use serde::{Deserialize, Serialize};

/// The weight and bias of one group of a layer as a matrix `[inputs, outputs]` of entries of the flat vector; a bias is the last row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entries {
    pub(super) weight: usize,
    pub(super) bias: Option<usize>,
    /// With the row of the bias.
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    steps: [usize; 2],
}

impl Entries {
    /// One for each group.
    pub(super) fn of(layer: &Layer, layout: &ParameterLayout) -> Vec<Self> {
        let start = |parameter: usize| layout.entries()[parameter].range.start;
        let [of_group, of_input, of_output] = layer.strides;
        (0..layer.groups)
            .map(|group| Self {
                weight: start(layer.weight) + group * of_group,
                bias: layer.bias.map(|bias| start(bias) + group * layer.outputs),
                inputs: layer.inputs + usize::from(layer.bias.is_some()),
                outputs: layer.outputs,
                steps: [of_input, of_output],
            })
            .collect()
    }

    fn index(&self, input: usize, output: usize) -> usize {
        match self.bias {
            Some(bias) if input + 1 == self.inputs => bias + output,
            _ => self.weight + input * self.steps[0] + output * self.steps[1],
        }
    }

    /// Inputs without the row of the bias.
    pub(super) fn weight_rows(&self) -> usize {
        self.inputs - usize::from(self.bias.is_some())
    }

    /// Whether the outputs of an input lie side by side; else the inputs of an output do.
    pub(super) fn is_row_major(&self) -> bool {
        let [of_input, of_output] = self.steps;
        let outputs_together = self.outputs == 1 || of_output == 1;
        outputs_together && (self.weight_rows() == 1 || of_input == self.outputs)
    }

    /// Writes the matrix into a flat vector.
    pub(crate) fn scatter(&self, matrix: &Mat<f64>, vector: &mut [f64]) {
        for output in 0..self.outputs {
            for input in 0..self.inputs {
                vector[self.index(input, output)] = matrix[(input, output)];
            }
        }
    }
}
