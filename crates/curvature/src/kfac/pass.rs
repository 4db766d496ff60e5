//! Activations and gradients of all layers at a point, in f64, example by example.

use super::entries::Entries;
use super::patches::Patches;
use super::rows::Order;
use crate::error::CurvatureError;
use crate::output_factors::OutputFactors;
use crate::point::Point;
use crate::products::{Products, Shared};
use crate::vector::to_f64;
use faer::MatRef;
use ravine_graph::{Array, Layer};
use std::ops::Range;

/// Numbers of activations that are unfolded at once: 16 MB.
const CHUNK: usize = 1 << 21;

/// Numbers of gradients that are computed at once: 128 MB.
const IN_FLIGHT: usize = 1 << 24;

/// All layers of a model at a point.
pub(crate) struct LayerPass<'p> {
    pub(super) point: &'p Point,
    gradients: Option<(&'p Products, Shared)>,
    pub(super) layers: Vec<LayerAt<'p>>,
    /// Numbers of a gradient by all products.
    pub(super) width: usize,
}

/// A layer at a point.
pub(super) struct LayerAt<'p> {
    pub(super) layer: &'p Layer,
    pub(super) entries: Vec<Entries>,
    pub(super) uses: Vec<UseAt>,
    /// Examples that can be told apart: one if they cannot.
    pub(super) examples: usize,
    /// Whether the outputs of an example depend on its own rows only.
    pub(super) independent: bool,
}

/// A use of a layer at a point.
pub(super) struct UseAt {
    activation: Vec<f64>,
    pub(super) rows: usize,
    pub(super) positions: usize,
    patches: Patches,
    pub(super) order: Order,
    /// Place of the first number in a gradient by all products.
    pub(super) start: usize,
}

/// A number for each entry of a matrix `[rows, columns]` within wider rows.
pub(super) fn part(numbers: &[f64], columns: Range<usize>, stride: usize) -> MatRef<'_, f64> {
    let rows = numbers.len() / stride;
    if rows == 0 {
        return MatRef::from_row_major_slice(&[], 0, columns.len());
    }
    let numbers = &numbers[columns.start..numbers.len() - (stride - columns.end)];
    MatRef::from_row_major_slice_with_stride(numbers, rows, columns.len(), stride)
}

impl<'p> LayerPass<'p> {
    /// Evaluates the activations, and finds out which rows belong to which of `examples` examples.
    pub(crate) fn new(point: &'p Point, examples: usize) -> Result<Self, CurvatureError> {
        let engine = point.engine();
        let layers = engine.layers()?;
        let mut pass = Self {
            point,
            gradients: None,
            layers: Vec::with_capacity(layers.len()),
            width: 0,
        };
        let Some(products) = engine.layer_gradients()? else {
            return Ok(pass);
        };
        let (shared, activations) = point.prepare_products(products)?;
        pass.gradients = Some((products, shared));
        let mut activations = activations.into_iter();
        for layer in layers {
            let uses = layer.uses.iter().zip(&mut activations);
            let uses = uses.map(|(layer_use, activation)| {
                let activation = numbers(point, activation);
                check_finite("an activation of a layer", &activation)?;
                let start = pass.width;
                let (rows, positions) = (layer_use.rows, layer_use.positions());
                pass.width += rows * positions * layer.groups * layer.outputs;
                Ok(UseAt {
                    activation,
                    rows,
                    positions,
                    patches: Patches::of(&layer_use.window),
                    order: Order::Together,
                    start,
                })
            });
            let uses = uses.collect::<Result<_, CurvatureError>>()?;
            pass.layers.push(LayerAt {
                layer,
                entries: Entries::of(layer, point.layout()),
                uses,
                examples: 1,
                independent: false,
            });
        }
        pass.tell_examples(examples)?;
        Ok(pass)
    }

    /// How many directions to take at once.
    pub(super) fn at_once(&self) -> usize {
        let preferred = self.gradients.as_ref().map_or(1, |(p, _)| p.preferred());
        preferred.min(IN_FLIGHT / self.width.max(1)).max(1)
    }

    /// The gradients by all products for several vectors u, a row each.
    pub(super) fn gradients(&self, directions: &Array) -> Result<Vec<f64>, CurvatureError> {
        let Some((products, shared)) = &self.gradients else {
            return Ok(Vec::new());
        };
        let found = products.apply_block(shared, directions)?;
        Ok(numbers(self.point, found))
    }

    /// Hands the gradients of all vectors of the factors on, some vectors at a time.
    pub(super) fn for_each(
        &self,
        factors: &OutputFactors,
        mut handle: impl FnMut(&[&[f64]]),
    ) -> Result<(), CurvatureError> {
        if self.gradients.is_none() {
            return Ok(());
        }
        let (count, at_once) = (factors.columns(), self.at_once());
        for first in (0..count).step_by(at_once) {
            let columns = first..(first + at_once).min(count);
            let rows = columns.map(|column| factors.column(column)).collect();
            let gradients = self.gradients(&factors.directions(self.point, rows)?)?;
            let each: Vec<&[f64]> = gradients.chunks_exact(self.width).collect();
            handle(&each);
        }
        Ok(())
    }

    /// Refuses layers in which examples are not independent.
    pub(super) fn check_independent(&self) -> Result<(), CurvatureError> {
        match self.layers.iter().find(|at| !at.independent) {
            Some(at) => Err(CurvatureError::ExamplesMixed {
                layer: self.point.layout().entries()[at.layer.weight].name.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Whether the gradients of single examples are known in all layers.
    pub(crate) fn is_independent(&self) -> bool {
        self.layers.iter().all(|at| at.independent)
    }

    /// The parameters of each block.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entries> {
        self.layers.iter().flat_map(|at| &at.entries)
    }

    /// Positions of the parameters that belong to no layer.
    pub(crate) fn others(&self) -> Vec<usize> {
        let of_layers = |parameter: &usize| {
            let mut layers = self.layers.iter().map(|at| at.layer);
            layers.any(|layer| layer.weight == *parameter || layer.bias == Some(*parameter))
        };
        let all = 0..self.point.layout().entries().len();
        all.filter(|parameter| !of_layers(parameter)).collect()
    }
}

impl LayerAt<'_> {
    /// Positions of an example, of all uses together.
    pub(super) fn positions(&self) -> usize {
        let uses = self.uses.iter();
        uses.map(|layer_use| layer_use.rows * layer_use.positions)
            .sum::<usize>()
            / self.examples
    }

    /// Numbers of the activations of a position.
    pub(super) fn input_width(&self) -> usize {
        self.layer.groups * self.entries[0].inputs
    }

    /// Numbers of the gradients of a position.
    pub(super) fn output_width(&self) -> usize {
        self.layer.groups * self.layer.outputs
    }

    /// Runs of examples whose activations fit together.
    pub(super) fn chunks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let width = self.input_width().max(self.output_width());
        let size = (CHUNK / (self.positions() * width).max(1)).max(1);
        let examples = self.examples;
        (0..examples)
            .step_by(size)
            .map(move |first| first..(first + size).min(examples))
    }

    /// `[examples, positions, groups, inputs]`, with a one at the end of each group where there is a bias.
    pub(super) fn activations(&self, examples: Range<usize>) -> Vec<f64> {
        let numbers = examples.len() * self.positions() * self.input_width();
        let mut out = Vec::with_capacity(numbers);
        self.for_each_row(examples, |layer_use, row| {
            let width = layer_use.activation.len() / layer_use.rows;
            let row = &layer_use.activation[row * width..(row + 1) * width];
            layer_use.patches.write(self.layer, row, &mut out);
        });
        out
    }

    /// `[examples, positions, groups, outputs]` of a gradient by all products.
    pub(super) fn gradients(&self, gradient: &[f64], examples: Range<usize>) -> Vec<f64> {
        let mut out = Vec::with_capacity(examples.len() * self.positions() * self.output_width());
        self.for_each_row(examples, |layer_use, row| {
            let width = layer_use.positions * self.output_width();
            let start = layer_use.start + row * width;
            out.extend_from_slice(&gradient[start..start + width]);
        });
        out
    }

    fn for_each_row(&self, examples: Range<usize>, mut handle: impl FnMut(&UseAt, usize)) {
        for example in examples {
            for layer_use in &self.uses {
                for index in 0..layer_use.rows / self.examples {
                    let (order, rows) = (layer_use.order, layer_use.rows);
                    handle(layer_use, order.row(example, index, rows, self.examples));
                }
            }
        }
    }
}

/// The numbers of an array in f64.
fn numbers(point: &Point, array: Array) -> Vec<f64> {
    to_f64(&point.engine().vector(array.as_vector()))
}

/// Refuses numbers that are not finite.
pub(super) fn check_finite(what: &'static str, numbers: &[f64]) -> Result<(), CurvatureError> {
    match numbers.iter().find(|x| !x.is_finite()) {
        Some(&value) => Err(CurvatureError::NonFinite { what, value }),
        None => Ok(()),
    }
}
