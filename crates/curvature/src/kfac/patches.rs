//! The inputs of a layer at each position: rows of its activations, or patches under a convolution's windows.

use ravine_graph::{Axis, Layer, Window};

/// Where the numbers of a position stand in a row of activations.
#[derive(Clone, Debug)]
pub(super) enum Patches {
    /// The row is the only position.
    Row,
    /// Elements `[positions, kernel elements]` of a channel; padding has none.
    Windows {
        places: Vec<Option<usize>>,
        kernel: usize,
        /// Elements of a channel.
        spatial: usize,
    },
}

impl Patches {
    pub(super) fn of(window: &Window) -> Self {
        let axes = match window {
            Window::Row => return Self::Row,
            Window::Patches(axes) => axes,
        };
        let kernel = axes.iter().map(|axis| axis.kernel).product();
        let positions: usize = axes.iter().map(|axis| axis.positions).product();
        let places = (0..positions)
            .flat_map(|position| (0..kernel).map(move |element| (position, element)))
            .map(|(position, element)| place(axes, position, element));
        Self::Windows {
            places: places.collect(),
            kernel,
            spatial: axes.iter().map(|axis| axis.length).product(),
        }
    }

    /// The inputs at all positions of a row, `[positions, groups, inputs]`, each group with a one at its end where there is a bias.
    pub(super) fn write(&self, layer: &Layer, row: &[f64], out: &mut Vec<f64>) {
        let (places, kernel, spatial) = match self {
            Self::Row => {
                out.extend_from_slice(row);
                out.extend(layer.bias.map(|_| 1.0));
                return;
            }
            Self::Windows {
                places,
                kernel,
                spatial,
            } => (places, *kernel, *spatial),
        };
        let channels = layer.inputs / kernel;
        for places in places.chunks_exact(kernel) {
            for group in 0..layer.groups {
                for channel in 0..channels {
                    let start = (group * channels + channel) * spatial;
                    let numbers = places.iter().map(|place| match place {
                        Some(place) => row[start + place],
                        None => 0.0,
                    });
                    out.extend(numbers);
                }
                out.extend(layer.bias.map(|_| 1.0));
            }
        }
    }
}

/// The element of a channel under an element of the kernel, with both counted row-major.
fn place(axes: &[Axis], mut position: usize, mut element: usize) -> Option<usize> {
    let (mut place, mut step) = (0, 1);
    for axis in axes.iter().rev() {
        let at = position % axis.positions * axis.stride + element % axis.kernel * axis.dilation;
        position /= axis.positions;
        element /= axis.kernel;
        let inside = at.checked_sub(axis.padding)?;
        if inside >= axis.length {
            return None;
        }
        place += inside * step;
        step *= axis.length;
    }
    Some(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ravine_graph::LayerUse;

    fn layer(groups: usize, inputs: usize, bias: Option<usize>, axis: Axis) -> Layer {
        Layer {
            weight: 0,
            bias,
            groups,
            inputs,
            outputs: 1,
            strides: [inputs, 1, inputs],
            uses: vec![LayerUse {
                rows: 1,
                window: Window::Patches(vec![axis]),
            }],
        }
    }

    #[test]
    fn patches_are_the_numbers_under_the_windows() {
        let axis = Axis {
            length: 4,
            positions: 2,
            kernel: 3,
            stride: 2,
            padding: 1,
            dilation: 1,
        };
        let layer = layer(2, 3, Some(1), axis);
        let patches = Patches::of(&layer.uses[0].window);
        let row = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        let mut found = Vec::new();
        patches.write(&layer, &row, &mut found);
        let first = [0.0, 1.0, 2.0, 1.0, 0.0, 5.0, 6.0, 1.0];
        let second = [2.0, 3.0, 4.0, 1.0, 6.0, 7.0, 8.0, 1.0];
        assert_eq!(found, [first, second].concat());
    }

    #[test]
    fn dilated_windows_of_two_dimensions() {
        let axis = |length, positions, dilation| Axis {
            length,
            positions,
            kernel: 2,
            stride: 1,
            padding: 0,
            dilation,
        };
        // rows 0 and 2, columns 1 and 2 of a 3 × 4 image
        let axes = [axis(3, 1, 2), axis(4, 3, 1)];
        let found: Vec<_> = (0..4).map(|element| place(&axes, 1, element)).collect();
        assert_eq!(found, [Some(1), Some(2), Some(9), Some(10)]);
    }
}
