//! Regressions through the origin, one for every entry of a diagonal, updated block by block.

use super::diagonal::DiagonalEstimate;
use super::sampling::SamplingEnding;
use crate::eigen::basis::Numbers;
use crate::rows::Rows;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Columns that a thread takes at once: what belongs to them stays in its first cache.
const COLUMNS: usize = 1024;

/// Independent sums: enough to fill the pipelines.
const LANES: usize = 8;

/// Sums of a regression of y on x through the origin, for every entry; updated so that nothing cancels.
pub(super) struct Moments {
    slopes: Vec<f64>,
    weights: Vec<f64>,
    residuals: Vec<f64>,
    samples: usize,
    totals: Totals,
}

/// Sums over all entries.
#[derive(Clone, Copy, Default)]
struct Totals {
    /// Of the slopes' sizes.
    sizes: f64,
    /// Of the squared slopes.
    squares: f64,
    /// Of residuals over weights: of the squared standard errors, times samples less one.
    errors: f64,
}

impl Moments {
    pub(super) fn new(dim: usize) -> Self {
        Self {
            slopes: vec![0.0; dim],
            weights: vec![0.0; dim],
            residuals: vec![0.0; dim],
            samples: 0,
            totals: Totals::default(),
        }
    }

    /// One sample (x, y) of each entry.
    pub(super) fn add(&mut self, entries: impl Iterator<Item = (f64, f64)>) {
        let (x, y): (Vec<f64>, Vec<f64>) = entries.unzip();
        self.add_rows(&[&x[..]], &[&y[..]]);
        self.samples += 1;
    }

    /// A sample (x, y) of each entry for each row of some blocks.
    pub(super) fn add_blocks(&mut self, blocks: &[(Rows, Rows)]) {
        let x: Vec<&Numbers> = blocks.iter().map(|(x, _)| &x.numbers).collect();
        let y: Vec<&Numbers> = blocks.iter().map(|(_, y)| &y.numbers).collect();
        let dim = self.slopes.len();
        match (f32s(&x, dim), f32s(&y, dim)) {
            (Some(x), Some(y)) => self.add_rows(&x, &y),
            (Some(x), None) => self.add_rows(&x, &f64s(&y, dim)),
            (None, Some(y)) => self.add_rows(&f64s(&x, dim), &y),
            (None, None) => self.add_rows(&f64s(&x, dim), &f64s(&y, dim)),
        }
        self.samples += blocks.iter().map(|(x, _)| x.count).sum::<usize>();
    }

    fn add_rows<X, Y>(&mut self, x: &[&[X]], y: &[&[Y]])
    where
        X: Copy + Into<f64> + Sync,
        Y: Copy + Into<f64> + Sync,
    {
        let arch = Arch::new();
        let parts = self.slopes.par_chunks_mut(COLUMNS);
        let parts = parts.zip(self.weights.par_chunks_mut(COLUMNS));
        let parts = parts.zip(self.residuals.par_chunks_mut(COLUMNS));
        let part = |(part, ((slopes, weights), residuals))| {
            arch.dispatch(Part {
                x,
                y,
                first: part * COLUMNS,
                slopes,
                weights,
                residuals,
            })
        };
        // added in the order of the parts, so that the totals do not depend on the threads
        let totals: Vec<Totals> = parts.enumerate().map(part).collect();
        self.totals = Totals::default();
        for part in totals {
            self.totals.sizes += part.sizes;
            self.totals.squares += part.squares;
            self.totals.errors += part.errors;
        }
    }

    pub(super) fn samples(&self) -> usize {
        self.samples
    }

    /// The sum of the entries' sizes; not finite if a product was not.
    pub(super) fn size(&self) -> f64 {
        self.totals.sizes
    }

    fn standard_error(&self, index: usize) -> f64 {
        match self.samples {
            0 | 1 => f64::INFINITY,
            count => (self.residuals[index] / (count - 1) as f64 / self.weights[index]).sqrt(),
        }
    }

    /// The length of all standard errors relative to that of the diagonal.
    pub(super) fn relative_error(&self) -> Option<f64> {
        let Totals {
            squares, errors, ..
        } = self.totals;
        match errors {
            _ if self.samples < 2 => None,
            0.0 => Some(0.0),
            _ => Some((errors / (self.samples - 1) as f64 / squares).sqrt()),
        }
    }

    pub(super) fn estimate(self, applications: usize, ending: SamplingEnding) -> DiagonalEstimate {
        let errors = (0..self.slopes.len()).map(|i| self.standard_error(i));
        DiagonalEstimate {
            standard_errors: errors.collect(),
            values: self.slopes,
            samples: self.samples,
            applications,
            ending,
        }
    }
}

/// All rows, if they are in f32.
fn f32s<'a>(blocks: &[&'a Numbers], dim: usize) -> Option<Vec<&'a [f32]>> {
    let mut rows = Vec::new();
    for block in blocks {
        match block {
            Numbers::F32(numbers) => rows.extend(numbers.chunks_exact(dim)),
            Numbers::F64(_) => return None,
        }
    }
    Some(rows)
}

/// All rows of blocks in f64; an operator has one precision.
fn f64s<'a>(blocks: &[&'a Numbers], dim: usize) -> Vec<&'a [f64]> {
    let mut rows = Vec::new();
    for block in blocks {
        if let Numbers::F64(numbers) = block {
            rows.extend(numbers.chunks_exact(dim));
        }
    }
    rows
}

/// Some columns of all rows. A closure would be compiled for the common vector instructions only.
struct Part<'a, X, Y> {
    x: &'a [&'a [X]],
    y: &'a [&'a [Y]],
    first: usize,
    slopes: &'a mut [f64],
    weights: &'a mut [f64],
    residuals: &'a mut [f64],
}

impl<X: Copy + Into<f64>, Y: Copy + Into<f64>> WithSimd for Part<'_, X, Y> {
    type Output = Totals;

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) -> Totals {
        let rows = self.x.len();
        let mut row = 0;
        while row + 4 <= rows {
            self.add::<4>(row);
            row += 4;
        }
        if row + 2 <= rows {
            self.add::<2>(row);
            row += 2;
        }
        if row < rows {
            self.add::<1>(row);
        }
        self.totals()
    }
}

impl<X: Copy + Into<f64>, Y: Copy + Into<f64>> Part<'_, X, Y> {
    /// The regressions with `R` more samples, by their deviations e = y − slope · x from the slopes so far.
    #[inline(always)]
    fn add<const R: usize>(&mut self, row: usize) {
        let count = self.slopes.len();
        let xs: [&[X]; R] = std::array::from_fn(|of| &self.x[row + of][self.first..][..count]);
        let ys: [&[Y]; R] = std::array::from_fn(|of| &self.y[row + of][self.first..][..count]);
        let slopes = &mut self.slopes[..count];
        let weights = &mut self.weights[..count];
        let residuals = &mut self.residuals[..count];
        for i in 0..count {
            let slope = slopes[i];
            let (mut xx, mut xe, mut ee) = (0.0, 0.0, 0.0);
            for of in 0..R {
                let (x, y): (f64, f64) = (xs[of][i].into(), ys[of][i].into());
                let e = y - slope * x;
                xx += x * x;
                xe += x * e;
                ee += e * e;
            }
            let weight = weights[i] + xx;
            let change = if weight > 0.0 { xe / weight } else { 0.0 };
            let left = ee - change * xe;
            weights[i] = weight;
            slopes[i] = slope + change;
            // a NaN stays one
            residuals[i] += if left < 0.0 { 0.0 } else { left };
        }
    }

    #[inline(always)]
    fn totals(&self) -> Totals {
        let (mut sizes, mut squares, mut errors) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
        let (slopes, slopes_rest) = self.slopes.as_chunks::<LANES>();
        let (weights, weights_rest) = self.weights.as_chunks::<LANES>();
        let (residuals, residuals_rest) = self.residuals.as_chunks::<LANES>();
        for ((s, w), r) in slopes.iter().zip(weights).zip(residuals) {
            for lane in 0..LANES {
                sizes[lane] += s[lane].abs();
            }
            for lane in 0..LANES {
                squares[lane] += s[lane] * s[lane];
            }
            for lane in 0..LANES {
                errors[lane] += r[lane] / w[lane];
            }
        }
        let mut totals = Totals::default();
        for lane in 0..LANES {
            totals.sizes += sizes[lane];
            totals.squares += squares[lane];
            totals.errors += errors[lane];
        }
        let rest = slopes_rest.iter().zip(weights_rest).zip(residuals_rest);
        for ((s, w), r) in rest {
            totals.sizes += s.abs();
            totals.squares += s * s;
            totals.errors += r / w;
        }
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regressions_in_blocks_are_those_of_all_samples() {
        let (dim, count) = (2100, 11);
        let number = |i: usize| ((i * 7919 + i / 13) % 997) as f32 / 300.0 - 1.0;
        let x: Vec<f32> = (0..dim * count).map(number).collect();
        let y: Vec<f64> = (0..dim * count)
            .map(|i| 2.0 * f64::from(x[i]) + f64::from(number(3 * i + 1)))
            .collect();
        let mut moments = Moments::new(dim);
        for rows in [0..1, 1..4, 4..6, 6..11] {
            let range = rows.start * dim..rows.end * dim;
            let block = |numbers| Rows {
                numbers,
                count: rows.len(),
                dim,
            };
            moments.add_blocks(&[(
                block(Numbers::F32(x[range.clone()].to_vec())),
                block(Numbers::F64(y[range].to_vec())),
            )]);
        }
        let (mut sizes, mut squares, mut errors) = (0.0, 0.0, 0.0);
        for i in 0..dim {
            let sample = |row: usize| (f64::from(x[row * dim + i]), y[row * dim + i]);
            let xx: f64 = (0..count).map(|r| sample(r).0.powi(2)).sum();
            let xy: f64 = (0..count).map(|r| sample(r).0 * sample(r).1).sum();
            let slope = xy / xx;
            let left = (0..count).map(|r| (sample(r).1 - slope * sample(r).0).powi(2));
            let error = left.sum::<f64>() / (count - 1) as f64 / xx;
            assert!((moments.slopes[i] - slope).abs() < 1e-13);
            // an x near zero in front makes a slope whose deviations cancel later
            assert!((moments.standard_error(i).powi(2) / error - 1.0).abs() < 1e-9);
            sizes += slope.abs();
            squares += slope * slope;
            errors += error;
        }
        assert_eq!(moments.samples(), count);
        assert!((moments.size() / sizes - 1.0).abs() < 1e-12);
        let relative = moments.relative_error().unwrap();
        assert!((relative / (errors / squares).sqrt() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn what_is_not_finite_shows_in_the_size() {
        let mut moments = Moments::new(3);
        moments.add([(1.0, 1.0), (1.0, f64::NAN), (1.0, 2.0)].into_iter());
        assert!(moments.size().is_nan());
    }
}
