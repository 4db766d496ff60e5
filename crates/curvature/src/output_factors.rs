//! Square roots of the Hessian of the loss by the outputs, example by example.

mod root;
mod structure;
#[cfg(test)]
mod tests;

use crate::error::CurvatureError;
use crate::point::Point;
use crate::seed::Seed;
use crate::vector::from_f64;
use burn::backend::Dispatch;
use burn::backend::ops::FloatTensorOps;
use burn::prelude::Shape;
use rand::RngExt;
use ravine_graph::Array;
use root::Root;
use serde::{Deserialize, Serialize};

/// Which vectors u stand for the loss: Σ u uᵀ is (an estimate of) its Hessian by the outputs of an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Factors {
    /// All columns of a square root S of the Hessian, S Sᵀ = H_L: no chance in it. As many backward passes as an example has outputs.
    #[default]
    Exact,
    /// u = S ξ with independent random signs ξ: E[u uᵀ] = H_L.
    ///
    /// The general form of labels drawn from the model (Martens and Grosse 2015, section 5): as unbiased, for every convex loss.
    MonteCarlo {
        /// Vectors for each example.
        samples: usize,
        /// Where the signs come from.
        seed: Seed,
    },
    /// The gradient of an example's loss by its outputs: the empirical Fisher matrix in place of the Gauss-Newton matrix.
    Empirical,
}

impl Factors {
    /// The same with signs of their own for a batch of several.
    pub(crate) fn of_batch(self, index: usize) -> Self {
        match self {
            Self::MonteCarlo { samples, seed } => Self::MonteCarlo {
                samples,
                seed: seed.index(index as u64),
            },
            without_chance => without_chance,
        }
    }
}

/// Vectors u for each example n, with H_L,n = Σ_c u_nc u_ncᵀ exactly, in expectation, or in the sense of the empirical Fisher matrix.
#[derive(Clone, Debug)]
pub(crate) struct OutputFactors {
    shape: Vec<usize>,
    examples: usize,
    columns: Columns,
}

#[derive(Clone, Debug)]
enum Columns {
    /// Those of a square root of H_L.
    Root(Root),
    /// Vectors of the shape of the outputs, one for all examples each.
    Vectors(Vec<Vec<f64>>),
}

impl OutputFactors {
    /// The vectors that the options ask for.
    pub(crate) fn of(point: &Point, factors: &Factors) -> Result<Self, CurvatureError> {
        match *factors {
            Factors::Exact => Self::exact(point),
            Factors::MonteCarlo { samples, seed } => Self::monte_carlo(point, samples, seed),
            Factors::Empirical => Self::empirical(point),
        }
    }

    /// All columns of a square root of H_L, which is block diagonal by examples.
    pub(crate) fn exact(point: &Point) -> Result<Self, CurvatureError> {
        let (shape, examples) = outputs_of(point)?;
        let root = structure::find(point, &shape, examples)?;
        Ok(Self {
            shape,
            examples,
            columns: Columns::Root(root),
        })
    }

    fn monte_carlo(point: &Point, samples: usize, seed: Seed) -> Result<Self, CurvatureError> {
        if samples == 0 {
            return Err(CurvatureError::Argument {
                name: "the number of samples",
                value: 0.0,
                requirement: "at least one is needed",
            });
        }
        let exact = Self::exact(point)?;
        let scale = 1.0 / (samples as f64).sqrt();
        let vectors = (0..samples).map(|sample| {
            let seed = seed.stream("output factors").index(sample as u64);
            let mut vector = exact.signed(seed);
            vector.iter_mut().for_each(|x| *x *= scale);
            vector
        });
        Ok(Self {
            columns: Columns::Vectors(vectors.collect()),
            ..exact
        })
    }

    fn empirical(point: &Point) -> Result<Self, CurvatureError> {
        let (shape, examples) = outputs_of(point)?;
        let mut gradient = point.loss_gradient()?;
        let scale = point.reduction().of_outer_products(examples);
        gradient.iter_mut().for_each(|x| *x *= scale);
        Ok(Self {
            shape,
            examples,
            columns: Columns::Vectors(vec![gradient]),
        })
    }

    /// Number of examples.
    pub(crate) fn examples(&self) -> usize {
        self.examples
    }

    /// Outputs of all examples.
    pub(crate) fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Vectors for each example.
    pub(crate) fn columns(&self) -> usize {
        match &self.columns {
            Columns::Root(root) => root.columns(self.elements() / self.examples),
            Columns::Vectors(vectors) => vectors.len(),
        }
    }

    /// Vector number `column` of all examples, of the shape of the outputs.
    pub(crate) fn column(&self, column: usize) -> Vec<f64> {
        match &self.columns {
            Columns::Vectors(vectors) => vectors[column].clone(),
            Columns::Root(root) => {
                let columns = self.columns();
                let mut basis = vec![0.0; self.examples * columns];
                let own = basis[column..].iter_mut().step_by(columns);
                own.for_each(|x| *x = 1.0);
                root.apply(&basis)
            }
        }
    }

    /// Vector number `column` of one example, zero for all others.
    pub(crate) fn column_of(&self, column: usize, example: usize) -> Vec<f64> {
        let mut vector = self.column(column);
        let outputs = vector.len() / self.examples;
        let own = example * outputs..(example + 1) * outputs;
        for (place, x) in vector.iter_mut().enumerate() {
            if !own.contains(&place) {
                *x = 0.0;
            }
        }
        vector
    }

    /// Σ_c ξ_nc u_nc with independent random signs: its outer product has the expectation H_L, of all examples together.
    pub(crate) fn signed(&self, seed: Seed) -> Vec<f64> {
        let mut rng = seed.stream("signs").rng();
        let mut sign = || if rng.random::<bool>() { 1.0 } else { -1.0 };
        match &self.columns {
            Columns::Root(root) => {
                let count = self.examples * self.columns();
                let signs: Vec<f64> = (0..count).map(|_| sign()).collect();
                root.apply(&signs)
            }
            Columns::Vectors(vectors) => {
                let mut sum = vec![0.0; self.elements()];
                let outputs = sum.len() / self.examples;
                for vector in vectors {
                    let parts = sum.chunks_mut(outputs).zip(vector.chunks(outputs));
                    for (sum, part) in parts {
                        let sign = sign();
                        sum.iter_mut().zip(part).for_each(|(s, x)| *s += sign * x);
                    }
                }
                sum
            }
        }
    }
}

/// Vectors of the shape of the outputs as directions, a row each.
pub(crate) fn directions(
    point: &Point,
    shape: &[usize],
    rows: Vec<Vec<f64>>,
) -> Result<Array, CurvatureError> {
    let mut dims = vec![rows.len()];
    dims.extend_from_slice(shape);
    let flat = from_f64(&rows.concat(), point.device(), point.dtype()).into_dispatch();
    let tensor = Dispatch::float_reshape(flat, Shape::from(dims));
    Ok(point.engine().bring(tensor)?)
}

impl OutputFactors {
    /// Some vectors as directions, a row each.
    pub(crate) fn directions(
        &self,
        point: &Point,
        rows: Vec<Vec<f64>>,
    ) -> Result<Array, CurvatureError> {
        directions(point, &self.shape, rows)
    }
}

/// The shape of the outputs, and how many examples they hold: what the first dimension and the batch have in common.
fn outputs_of(point: &Point) -> Result<(Vec<usize>, usize), CurvatureError> {
    let shape = point.outputs_shape()?.to_vec();
    let mut examples = (point.examples().max(1), shape.first().copied().unwrap_or(1));
    while examples.1 != 0 {
        examples = (examples.1, examples.0 % examples.1);
    }
    Ok((shape, examples.0.max(1)))
}
