//! Which rows of the activations belong to which example.

use super::pass::{LayerAt, LayerPass, UseAt, check_finite};
use crate::error::CurvatureError;
use crate::output_factors::directions;
use crate::seed::Seed;
use crate::vector::standard_normal;

/// How the rows of all uses of all layers belong to examples; none where examples are mixed.
#[derive(Clone, Debug)]
pub(crate) struct RowOrders {
    examples: usize,
    orders: Vec<Vec<Option<Order>>>,
}

/// How rows belong to examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// The rows of an example lie together.
    Together,
    /// The examples of a time step lie together.
    Apart,
}

impl Order {
    pub(super) fn example(self, row: usize, rows: usize, examples: usize) -> usize {
        match self {
            Self::Together => row / (rows / examples),
            Self::Apart => row % examples,
        }
    }

    /// Row number `index` of an example.
    pub(super) fn row(self, example: usize, index: usize, rows: usize, examples: usize) -> usize {
        match self {
            Self::Together => example * (rows / examples) + index,
            Self::Apart => index * examples + example,
        }
    }
}

impl LayerPass<'_> {
    /// Finds out which rows belong to which example, once for a recording where the gradients leave no doubt.
    pub(super) fn tell_examples(&mut self, examples: usize) -> Result<(), CurvatureError> {
        let known = &self.point.engine().row_orders;
        let found = match known.get().filter(|known| known.examples == examples) {
            Some(known) => known.clone(),
            None => {
                let (found, certain) = self.row_orders(examples)?;
                if certain {
                    known.get_or_init(|| found.clone());
                }
                found
            }
        };
        for (at, orders) in self.layers.iter_mut().zip(&found.orders) {
            at.independent = orders.iter().all(Option::is_some);
            at.examples = if at.independent { examples } else { 1 };
            for (layer_use, order) in at.uses.iter_mut().zip(orders) {
                layer_use.order = order.unwrap_or(Order::Together);
            }
        }
        Ok(())
    }

    /// Lets ⟨outputs, u⟩ speak for half of the examples, again and again, and sees which rows have a gradient: also whether enough of
    /// them ever have one (a layer of zeros says nothing of those below).
    fn row_orders(&self, examples: usize) -> Result<(RowOrders, bool), CurvatureError> {
        let shape = self.point.outputs_shape()?.to_vec();
        let total: usize = shape.iter().product();
        let outputs = total / examples;
        let mut rng = Seed::new(0).stream("examples").rng();
        let random = standard_normal(total, &mut rng);
        let bits = (usize::BITS - (examples - 1).leading_zeros()) as usize;
        let halves = (0..bits).map(|bit| {
            let half = random.iter().enumerate().map(|(place, &x)| {
                let chosen = (place / outputs) >> bit & 1 == 1;
                if chosen { x } else { 0.0 }
            });
            half.collect::<Vec<f64>>()
        });
        let halves: Vec<Vec<f64>> = halves.collect();
        let mut found: Vec<Vec<f64>> = Vec::with_capacity(bits);
        for halves in halves.chunks(self.at_once()) {
            let gradients = self.gradients(&directions(self.point, &shape, halves.to_vec())?)?;
            check_finite("a gradient by the product of a layer", &gradients)?;
            found.extend(gradients.chunks_exact(self.width).map(<[f64]>::to_vec));
        }
        let mut certain = true;
        let mut of_layer = |at: &LayerAt<'_>| -> Vec<Option<Order>> {
            let features = at.layer.groups * at.layer.outputs;
            let uses = at.uses.iter();
            uses.map(|layer_use| {
                certain &= layer_use.speaks(features, &found);
                [Order::Together, Order::Apart]
                    .into_iter()
                    .find(|order| layer_use.fits(*order, features, examples, &found))
            })
            .collect()
        };
        let orders = self.layers.iter().map(&mut of_layer).collect();
        Ok((RowOrders { examples, orders }, certain))
    }
}

impl UseAt {
    /// Whether a good part of the rows has a gradient in one of the halves.
    fn speaks(&self, features: usize, found: &[Vec<f64>]) -> bool {
        let width = self.positions * features;
        let own = |row: usize| self.start + row * width..self.start + (row + 1) * width;
        let rows = (0..self.rows).filter(|&row| {
            let mut halves = found.iter();
            halves.any(|gradients| gradients[own(row)].iter().any(|x| *x != 0.0))
        });
        found.is_empty() || 4 * rows.count() >= self.rows
    }

    /// Whether rows have gradients only where their examples were chosen.
    fn fits(&self, order: Order, features: usize, examples: usize, found: &[Vec<f64>]) -> bool {
        if !self.rows.is_multiple_of(examples) {
            return false;
        }
        let width = self.positions * features;
        found.iter().enumerate().all(|(bit, gradients)| {
            let own = &gradients[self.start..self.start + self.rows * width];
            let largest = own.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
            own.chunks_exact(width).enumerate().all(|(row, numbers)| {
                order.example(row, self.rows, examples) >> bit & 1 == 1
                    || numbers.iter().all(|x| x.abs() <= 1e-6 * largest)
            })
        })
    }
}
