//! Square roots of the Hessian of the loss by the outputs, example by example.

use crate::error::CurvatureError;
use crate::point::{Map, Point};
use crate::seed::Seed;
use crate::vector::{dot_f64, from_f64, standard_normal, to_f64};
use burn::backend::Dispatch;
use burn::backend::ops::FloatTensorOps;
use burn::prelude::Shape;
use burn::tensor::DType;
use faer::linalg::solvers::SelfAdjointEigen;
use faer::{Mat, Side};
use rand::RngExt;
use ravine_graph::Array;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::Range;

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
    Empirical {
        /// How the loss sums over examples.
        reduction: Reduction,
    },
}

/// How a loss sums over examples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduction {
    /// The mean of the losses of the examples.
    #[default]
    Mean,
    /// Their sum.
    Sum,
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
    /// One square root `[block, block]` (row-major) for each run of `block` outputs, and the columns of an example that are not zero
    /// for every example.
    Blocks {
        block: usize,
        roots: Vec<f64>,
        nonzero: Vec<usize>,
    },
    /// Vectors of the shape of the outputs, one for all examples each.
    Vectors(Vec<Vec<f64>>),
}

/// Most numbers in all blocks together: 1 GB.
const LARGEST: usize = 1 << 27;

impl OutputFactors {
    /// The vectors that the options ask for.
    pub(crate) fn of(point: &Point, factors: &Factors) -> Result<Self, CurvatureError> {
        match *factors {
            Factors::Exact => Self::exact(point),
            Factors::MonteCarlo { samples, seed } => Self::monte_carlo(point, samples, seed),
            Factors::Empirical { reduction } => Self::empirical(point, reduction),
        }
    }

    /// All columns of a square root of H_L, which is block diagonal by examples.
    ///
    /// Where the outputs of an example are independent in the loss (squared error, words of a sentence), so are the blocks: the
    /// smallest that explain a random product are found.
    pub(crate) fn exact(point: &Point) -> Result<Self, CurvatureError> {
        let (shape, examples) = outputs_of(point)?;
        let (block, roots) = roots(point, &shape, examples)?;
        let outputs = shape.iter().product::<usize>() / examples;
        let nonzero = (0..outputs)
            .filter(|&column| {
                let (first, inner) = (column / block, column % block);
                (0..examples).any(|example| {
                    let start = (example * outputs + first * block) * block;
                    (0..block).any(|row| roots[start + row * block + inner] != 0.0)
                })
            })
            .collect();
        Ok(Self {
            shape,
            examples,
            columns: Columns::Blocks {
                block,
                roots,
                nonzero,
            },
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

    fn empirical(point: &Point, reduction: Reduction) -> Result<Self, CurvatureError> {
        let (shape, examples) = outputs_of(point)?;
        let mut gradient = point.loss_gradient()?;
        if reduction == Reduction::Mean {
            // (1/n) Σ g gᵀ of gradients that hold 1/n each
            let scale = (examples as f64).sqrt();
            gradient.iter_mut().for_each(|x| *x *= scale);
        }
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
            Columns::Blocks { nonzero, .. } => nonzero.len(),
            Columns::Vectors(vectors) => vectors.len(),
        }
    }

    /// Vector number `column` of all examples, of the shape of the outputs.
    pub(crate) fn column(&self, column: usize) -> Vec<f64> {
        let (block, roots, column) = match &self.columns {
            Columns::Vectors(vectors) => return vectors[column].clone(),
            Columns::Blocks {
                block,
                roots,
                nonzero,
            } => (*block, roots, nonzero[column]),
        };
        let outputs = self.elements() / self.examples;
        let (first, inner) = (column / block * block, column % block);
        let mut vector = vec![0.0; self.elements()];
        for example in 0..self.examples {
            let start = example * outputs + first;
            for row in 0..block {
                vector[start + row] = roots[(start + row) * block + inner];
            }
        }
        vector
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
            Columns::Blocks { block, roots, .. } => {
                let signs: Vec<f64> = (0..self.elements()).map(|_| sign()).collect();
                let rows = roots.chunks_exact(*block).enumerate();
                rows.map(|(row, root)| dot_f64(root, &signs[row / block * block..][..*block]))
                    .collect()
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
    let shape = point.output_shape()?;
    let mut examples = (point.examples().max(1), shape.first().copied().unwrap_or(1));
    while examples.1 != 0 {
        examples = (examples.1, examples.0 % examples.1);
    }
    Ok((shape, examples.0.max(1)))
}

/// The smallest blocks that explain a random product, as square roots.
fn roots(
    point: &Point,
    shape: &[usize],
    examples: usize,
) -> Result<(usize, Vec<f64>), CurvatureError> {
    let total: usize = shape.iter().product();
    let mut rng = Seed::new(0).stream("block structure").rng();
    let probe = standard_normal(total, &mut rng);
    let product = products(point, shape, vec![probe.clone()])?;
    if let Some(&value) = product.iter().find(|x| !x.is_finite()) {
        return Err(CurvatureError::NonFinite {
            what: "the Hessian of the loss by the outputs",
            value,
        });
    }
    let size = dot_f64(&product, &product).sqrt();
    let mut left = f64::INFINITY;
    for block in block_sizes(shape, total / examples) {
        if total * block > LARGEST {
            return Err(CurvatureError::LossHessianTooLarge {
                blocks: total / block,
                dim: block,
                gigabytes: 8.0 * (total * block) as f64 / 1e9,
            });
        }
        let blocks = blocks(point, shape, block)?;
        let rows = blocks.chunks_exact(block).enumerate();
        let difference: f64 = rows
            .map(|(row, entries)| {
                let explained = dot_f64(entries, &probe[row / block * block..][..block]);
                (product[row] - explained).powi(2)
            })
            .sum();
        left = difference.sqrt() / size.max(f64::MIN_POSITIVE);
        if left <= tolerance(point.dtype()) {
            return Ok((block, square_roots(blocks, block, point.dtype())?));
        }
    }
    Err(CurvatureError::ExamplesCoupled { relative: left })
}

/// Products of the last dimensions up to all outputs of an example, ascending.
fn block_sizes(shape: &[usize], outputs: usize) -> Vec<usize> {
    let mut sizes = vec![1];
    for &length in shape.iter().rev() {
        let next = sizes.last().copied().unwrap_or(1) * length;
        if length > 1 && next < outputs {
            sizes.push(next);
        }
    }
    if outputs > 1 {
        sizes.push(outputs);
    }
    sizes
}

/// What counts as rounding in the products of a loss Hessian.
fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => 1e-8,
        DType::F32 => 1e-4,
        _ => 3e-2,
    }
}

/// H_L w for several w, one after the other.
fn products(
    point: &Point,
    shape: &[usize],
    rows: Vec<Vec<f64>>,
) -> Result<Vec<f64>, CurvatureError> {
    let (products, shared) = point.shared_by(Map::LossHessian)?;
    let found = products.apply_block(shared, &directions(point, shape, rows)?)?;
    Ok(to_f64(&point.engine().vector(found.as_vector())))
}

/// The diagonal blocks of H_L, `[total / block, block, block]`, by one product for each column of a block.
fn blocks(point: &Point, shape: &[usize], block: usize) -> Result<Vec<f64>, CurvatureError> {
    let total: usize = shape.iter().product();
    let (maps, _) = point.shared_by(Map::LossHessian)?;
    let at_once = maps.preferred().max(1);
    let mut blocks = vec![0.0; total * block];
    for first in (0..block).step_by(at_once) {
        let columns: Range<usize> = first..(first + at_once).min(block);
        let basis = columns.clone().map(|column| {
            let mut vector = vec![0.0; total];
            vector[column..]
                .iter_mut()
                .step_by(block)
                .for_each(|x| *x = 1.0);
            vector
        });
        let found = products(point, shape, basis.collect())?;
        for (column, product) in columns.zip(found.chunks_exact(total)) {
            for (row, &x) in product.iter().enumerate() {
                blocks[row * block + column] = x;
            }
        }
    }
    Ok(blocks)
}

/// S with S Sᵀ = H for each block, its columns in ascending order of their norms.
fn square_roots(
    mut blocks: Vec<f64>,
    block: usize,
    dtype: DType,
) -> Result<Vec<f64>, CurvatureError> {
    let largest = blocks.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
    let convex = |value: f64| match value < -tolerance(dtype) * largest * block as f64 {
        true => Err(CurvatureError::LossNotConvex { eigenvalue: value }),
        false => Ok(value.max(0.0)),
    };
    if block == 1 {
        for x in &mut blocks {
            *x = convex(*x)?.sqrt();
        }
        return Ok(blocks);
    }
    let unit = match dtype {
        DType::F64 => f64::EPSILON,
        _ => f64::from(f32::EPSILON),
    };
    let root = |entries: &mut [f64]| {
        let matrix = Mat::from_fn(block, block, |i, j| {
            0.5 * (entries[i * block + j] + entries[j * block + i])
        });
        let eigen = SelfAdjointEigen::new(matrix.as_ref(), Side::Lower)
            .map_err(|_| CurvatureError::Decomposition { dim: block })?;
        let values: Vec<f64> = eigen.S().column_vector().iter().copied().collect();
        let zero = block as f64 * unit * values.last().copied().unwrap_or(0.0).abs();
        for (column, &value) in values.iter().enumerate() {
            let value = convex(value)?;
            let scale = if value > zero { value.sqrt() } else { 0.0 };
            for row in 0..block {
                entries[row * block + column] = scale * eigen.U()[(row, column)];
            }
        }
        Ok::<(), CurvatureError>(())
    };
    (blocks.par_chunks_exact_mut(block * block)).try_for_each(root)?;
    Ok(blocks)
}
