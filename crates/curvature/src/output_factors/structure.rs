//! The structure that the Hessian of the loss by the outputs turns out to have, and its square root.

use super::directions;
use super::root::Root;
use crate::error::CurvatureError;
use crate::point::{Map, Point};
use crate::seed::Seed;
use crate::vector::{dot_f64, standard_normal, to_f64};
use burn::tensor::DType;
use faer::linalg::solvers::SelfAdjointEigen;
use faer::{Mat, Side};
use rand::RngExt;
use rayon::prelude::*;

/// Most numbers in all blocks together: 1 GB.
const LARGEST: usize = 1 << 27;

/// Products with H_L at a point, and what is known of it.
struct LossHessian<'p> {
    point: &'p Point,
    shape: &'p [usize],
    /// A random vector, and its product.
    probe: Vec<f64>,
    product: Vec<f64>,
    /// ‖product‖.
    size: f64,
    /// Random signs, and their product.
    signs: Vec<f64>,
    of_signs: Vec<f64>,
}

/// The simplest structure that explains a random product: a diagonal, then blocks over the last dimensions, at most over all outputs
/// of an example; a diagonal less a rank of one in each of them, then anything.
pub(super) fn find(
    point: &Point,
    shape: &[usize],
    examples: usize,
) -> Result<Root, CurvatureError> {
    let hessian = LossHessian::new(point, shape)?;
    let (found, mut left) = hessian.diagonal()?;
    if let Some(root) = found {
        return Ok(root);
    }
    for block in block_sizes(shape, hessian.probe.len() / examples) {
        if let Some(root) = hessian.rank_one(block)? {
            return Ok(root);
        }
        let (found, unexplained) = hessian.dense(block)?;
        if let Some(root) = found {
            return Ok(root);
        }
        left = unexplained;
    }
    Err(CurvatureError::ExamplesCoupled { relative: left })
}

/// Products of the last dimensions up to all outputs of an example, ascending.
fn block_sizes(shape: &[usize], outputs: usize) -> Vec<usize> {
    let mut sizes = Vec::new();
    let mut size = 1;
    for &length in shape.iter().rev() {
        size *= length;
        if length > 1 && size < outputs {
            sizes.push(size);
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

impl<'p> LossHessian<'p> {
    fn new(point: &'p Point, shape: &'p [usize]) -> Result<Self, CurvatureError> {
        let total: usize = shape.iter().product();
        let mut rng = Seed::new(0).stream("structure of the loss").rng();
        let probe = standard_normal(total, &mut rng);
        let sign = |_| if rng.random::<bool>() { 1.0 } else { -1.0 };
        let signs: Vec<f64> = (0..total).map(sign).collect();
        let mut hessian = Self {
            point,
            shape,
            probe: probe.clone(),
            product: Vec::new(),
            size: 0.0,
            signs: signs.clone(),
            of_signs: Vec::new(),
        };
        let mut products = hessian.products(vec![probe, signs])?;
        if let Some(&value) = products.iter().find(|x| !x.is_finite()) {
            return Err(CurvatureError::NonFinite {
                what: "the Hessian of the loss by the outputs",
                value,
            });
        }
        hessian.of_signs = products.split_off(total);
        hessian.size = dot_f64(&products, &products).sqrt();
        hessian.product = products;
        Ok(hessian)
    }

    /// H_L w for several w, one after the other.
    fn products(&self, rows: Vec<Vec<f64>>) -> Result<Vec<f64>, CurvatureError> {
        let (products, shared) = self.point.shared_by(Map::LossHessian)?;
        let found = products.apply_block(shared, &directions(self.point, self.shape, rows)?)?;
        Ok(to_f64(&self.point.engine().vector(found.as_vector())))
    }

    fn total(&self) -> usize {
        self.probe.len()
    }

    fn tolerance(&self) -> f64 {
        tolerance(self.point.dtype())
    }

    /// The part of the random product that is left over.
    fn unexplained(&self, explained: impl Iterator<Item = f64>) -> f64 {
        let differences = self.product.iter().zip(explained);
        let left: f64 = differences.map(|(a, b)| (a - b).powi(2)).sum();
        match left > 0.0 {
            true => left.sqrt() / self.size.max(f64::MIN_POSITIVE),
            false => 0.0,
        }
    }

    /// An eigenvalue without rounding below zero; `largest` is one that is not small.
    fn convex(&self, value: f64, largest: f64) -> Result<f64, CurvatureError> {
        match value < -self.tolerance() * largest {
            true => Err(CurvatureError::LossNotConvex { eigenvalue: value }),
            false => Ok(value.max(0.0)),
        }
    }

    fn diagonal(&self) -> Result<(Option<Root>, f64), CurvatureError> {
        let diagonal = self.of_signs.iter().zip(&self.signs).map(|(x, s)| x * s);
        let mut diagonal: Vec<f64> = diagonal.collect();
        let left = self.unexplained(diagonal.iter().zip(&self.probe).map(|(d, x)| d * x));
        if left > self.tolerance() {
            return Ok((None, left));
        }
        let largest = largest(&diagonal);
        for x in &mut diagonal {
            *x = self.convex(*x, largest)?.sqrt();
        }
        Ok((Some(Root::Diagonal(diagonal)), left))
    }

    /// v from two columns of each block, those of its two largest outputs, and D from the product with signs.
    fn rank_one(&self, block: usize) -> Result<Option<Root>, CurvatureError> {
        if block < 3 {
            return Ok(None);
        }
        let outputs = self.point.flat_outputs()?;
        let top: Vec<[usize; 2]> = outputs.chunks_exact(block).map(two_largest).collect();
        let basis = |which: usize| {
            let mut vector = vec![0.0; self.total()];
            for (start, top) in (0..self.total()).step_by(block).zip(&top) {
                vector[start + top[which]] = 1.0;
            }
            vector
        };
        let columns = self.products(vec![basis(0), basis(1)])?;
        let (first, second) = columns.split_at(self.total());
        let (mut diagonal, mut w) = (vec![0.0; self.total()], vec![0.0; self.total()]);
        let mut gamma = Vec::with_capacity(top.len());
        for (index, top) in top.iter().enumerate() {
            let own = index * block..(index + 1) * block;
            let Some(v) = vector(&first[own.clone()], &second[own.clone()], *top) else {
                return Ok(None);
            };
            let along = dot_f64(&v, &self.signs[own.clone()]);
            for (place, &v) in own.clone().zip(&v) {
                let d = (self.of_signs[place] + v * along) * self.signs[place];
                diagonal[place] = d.max(0.0).sqrt();
                w[place] = if v == 0.0 { 0.0 } else { v / diagonal[place] };
            }
            let norm = dot_f64(&w[own.clone()], &w[own]);
            // more than one is not convex; that is found out, or not confirmed, with all entries of the block
            if !norm.is_finite() || norm > 1.0 + self.tolerance() {
                return Ok(None);
            }
            gamma.push(match norm > 0.0 {
                true => (1.0 - (1.0 - norm).max(0.0).sqrt()) / norm,
                false => 0.0,
            });
        }
        let root = Root::RankOne {
            block,
            diagonal,
            w,
            gamma,
        };
        Ok((self.unexplained_by_root(&root) <= self.tolerance()).then_some(root))
    }

    /// The part of the random product that S Sᵀ does not explain.
    fn unexplained_by_root(&self, root: &Root) -> f64 {
        let Root::RankOne {
            block,
            diagonal,
            w,
            gamma,
        } = root
        else {
            return f64::INFINITY;
        };
        // Sᵀ x = (I − γ w wᵀ) D^½ x
        let mut along: Vec<f64> = self
            .probe
            .iter()
            .zip(diagonal)
            .map(|(x, d)| x * d)
            .collect();
        let blocks = along.chunks_exact_mut(*block).zip(w.chunks_exact(*block));
        for ((own, w), gamma) in blocks.zip(gamma) {
            let part = gamma * dot_f64(w, own);
            own.iter_mut().zip(w).for_each(|(x, w)| *x -= part * w);
        }
        self.unexplained(root.apply(&along).into_iter())
    }

    /// All entries of the blocks, by one product for each column of a block.
    fn dense(&self, block: usize) -> Result<(Option<Root>, f64), CurvatureError> {
        if self.total() * block > LARGEST {
            return Err(CurvatureError::LossHessianTooLarge {
                blocks: self.total() / block,
                dim: block,
                gigabytes: 8.0 * (self.total() * block) as f64 / 1e9,
            });
        }
        let blocks = self.blocks(block)?;
        let rows = blocks.chunks_exact(block).enumerate();
        let probe = &self.probe;
        let explained =
            rows.map(|(row, entries)| dot_f64(entries, &probe[row / block * block..][..block]));
        let left = self.unexplained(explained);
        if left > self.tolerance() {
            return Ok((None, left));
        }
        Ok((Some(self.square_roots(blocks, block)?), left))
    }

    /// `[total / block, block, block]`.
    fn blocks(&self, block: usize) -> Result<Vec<f64>, CurvatureError> {
        let (maps, _) = self.point.shared_by(Map::LossHessian)?;
        let at_once = maps.preferred().min(LARGEST / 8 / self.total()).max(1);
        let mut blocks = vec![0.0; self.total() * block];
        for first in (0..block).step_by(at_once) {
            let columns = first..(first + at_once).min(block);
            let basis = columns.clone().map(|column| {
                let mut vector = vec![0.0; self.total()];
                let own = vector[column..].iter_mut().step_by(block);
                own.for_each(|x| *x = 1.0);
                vector
            });
            let found = self.products(basis.collect())?;
            for (column, product) in columns.zip(found.chunks_exact(self.total())) {
                for (row, &x) in product.iter().enumerate() {
                    blocks[row * block + column] = x;
                }
            }
        }
        Ok(blocks)
    }

    /// S = U Λ^½ of each block, its columns in the ascending order of Λ.
    fn square_roots(&self, mut blocks: Vec<f64>, block: usize) -> Result<Root, CurvatureError> {
        let scale = largest(&blocks) * block as f64;
        let unit = match self.point.dtype() {
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
            let zero = block as f64 * unit * values[block - 1].abs();
            for (column, &value) in values.iter().enumerate() {
                let value = self.convex(value, scale)?;
                let scale = if value > zero { value.sqrt() } else { 0.0 };
                for row in 0..block {
                    entries[row * block + column] = scale * eigen.U()[(row, column)];
                }
            }
            Ok::<usize, CurvatureError>(values.iter().filter(|value| **value > zero).count())
        };
        let ranks = blocks.par_chunks_exact_mut(block * block).map(root);
        let rank = ranks.try_reduce(|| 0, |a, b| Ok(a.max(b)))?;
        Ok(Root::Dense {
            block,
            rows: blocks,
            rank,
        })
    }
}

fn largest(numbers: &[f64]) -> f64 {
    numbers.iter().fold(0.0, |most, x| most.max(x.abs()))
}

/// The places of the two largest numbers.
fn two_largest(numbers: &[f64]) -> [usize; 2] {
    let mut top = [0, 1];
    if numbers[1] > numbers[0] {
        top = [1, 0];
    }
    for (place, x) in numbers.iter().enumerate().skip(2) {
        if *x > numbers[top[0]] {
            top = [place, top[0]];
        } else if *x > numbers[top[1]] {
            top[1] = place;
        }
    }
    top
}

/// v of a block D − v vᵀ from the columns j and k: their entries beside the diagonal are −vᵢ vⱼ and −vᵢ vₖ.
fn vector(of_j: &[f64], of_k: &[f64], [j, k]: [usize; 2]) -> Option<Vec<f64>> {
    let places = (0..of_k.len()).filter(|&i| i != j && i != k);
    let third = places.max_by(|&a, &b| of_k[a].abs().total_cmp(&of_k[b].abs()))?;
    let square = -of_j[k] * of_j[third] / of_k[third];
    if !square.is_finite() || square <= 0.0 {
        return None;
    }
    let v_j = square.sqrt();
    let v = of_j.iter().map(|x| -x / v_j).enumerate();
    Some(v.map(|(i, x)| if i == j { v_j } else { x }).collect())
}
