//! The search of Jacobi and Davidson with a target, on columns in f64 on the host.

use super::InteriorOptions;
use crate::eigen::block::{
    EigenEnding, Products, Stall, beside, chosen, gaussian, orthonormalised, rounding_floor, start,
};
use crate::eigen::lanczos::{LanczosOptions, lanczos_top_k};
use crate::eigen::pairs::{Which, small_eigen};
use crate::error::CurvatureError;
use crate::operator::LinearOperator;
use crate::operators::{Damped, Projected};
use crate::progress::{Observer, Progress};
use crate::row_blocks::block_from_f64;
use crate::seed::Seed;
use crate::solve::{MinresOptions, minres};
use crate::vector::{from_f64, to_f64};
use burn::prelude::Tensor;
use faer::{Mat, MatRef};

/// How a search ended, with the max |λ| that its tolerance was relative to.
pub(super) struct Ended {
    pub(super) ending: EigenEnding,
    pub(super) scale: f64,
}

/// The pair that is nearest to the target as far as the basis knows.
struct Candidate {
    /// θ − σ.
    shifted: f64,
    /// u.
    vector: Mat<f64>,
    /// (A − θI) u without its part along the pairs found.
    residual: Mat<f64>,
    /// ‖r‖.
    size: f64,
    /// Orthonormal coefficients in the basis: u first, then all others, the nearest to the target first.
    coefficients: Mat<f64>,
}

pub(super) struct Davidson<'a> {
    operator: &'a dyn LinearOperator,
    options: &'a InteriorOptions,
    room: usize,
    solve_products: usize,
    /// Products kept for the residuals at the end.
    reserve: usize,
    seed: Seed,
    drawn: u64,
    products: Products<'a>,
    /// Products that the basis did not ask for: those of solves and of the estimate of max |λ|.
    other_products: usize,
    /// max |λ|, nearly.
    scale: f64,
    /// The pairs found: orthonormal columns, and θ − σ of each.
    found: Mat<f64>,
    shifted: Vec<f64>,
    /// An orthonormal basis V beside them.
    v: Mat<f64>,
    /// (I − XXᵀ)(A − σI) V.
    w: Mat<f64>,
    stall: Stall,
    solves: usize,
}

/// Products of the shortest estimate of max |λ|: a step of Lanczos, and the residual of its pair.
pub(super) const ESTIMATE: usize = 2;

/// Vectors of the first basis.
pub(super) fn first_block(wanted: usize, room: usize) -> usize {
    wanted.saturating_add(2).min(room)
}

/// MINRES takes a residual of the correction equation to this part: more would be lost with the next candidate.
const SOLVE_TO: f64 = 0.1;

/// A residual below this part of |θ − σ| lets the shift follow θ. Earlier, the pair that is at hand would converge, and a nearer one
/// that the basis has hardly seen (isolated, beside a crowded part of the spectrum) be missed.
const SETTLED: f64 = 0.01;

impl<'a> Davidson<'a> {
    pub(super) fn new(
        operator: &'a dyn LinearOperator,
        options: &'a InteriorOptions,
        room: usize,
        solve_products: usize,
        earlier: &[Tensor<1>],
        seed: Seed,
    ) -> Result<Self, CurvatureError> {
        let seed = seed.stream("interior");
        let reserve = options.pairs.min(operator.dim());
        let first = first_block(reserve, room);
        let spare = options.max_applications.saturating_sub(first + reserve);
        let top = LanczosOptions {
            pairs: 1,
            which: Which::LargestMagnitude,
            tolerance: 0.1,
            // one product more measures the residual
            max_iterations: 20.min(spare / 2).max(1),
            ..Default::default()
        };
        let top = lanczos_top_k(operator, &top, seed.stream("largest"))?;
        let first = start(operator, earlier, first, seed)?;
        let mut search = Self {
            operator,
            options,
            room,
            solve_products,
            reserve,
            seed,
            drawn: 0,
            products: Products::new(operator),
            other_products: top.applications,
            scale: top
                .pairs
                .iter()
                .fold(0.0, |m, pair| m.max(pair.value.abs())),
            found: Mat::zeros(operator.dim(), 0),
            shifted: Vec::new(),
            v: Mat::zeros(operator.dim(), 0),
            w: Mat::zeros(operator.dim(), 0),
            stall: Stall::default(),
            solves: 0,
        };
        search.append(first)?;
        Ok(search)
    }

    pub(super) fn applications(&self) -> usize {
        self.products.applications + self.other_products
    }

    /// Products that are left for the search.
    fn left(&self) -> usize {
        let spent = self.applications() + self.reserve;
        self.options.max_applications.saturating_sub(spent)
    }

    pub(super) fn iterations(&self) -> usize {
        self.solves
    }

    pub(super) fn run(&mut self, observer: &mut Observer<'_>) -> Result<Ended, CurvatureError> {
        loop {
            let ended = self.step(observer)?;
            if let Some(ending) = ended {
                let scale = self.scale();
                return Ok(Ended { ending, scale });
            }
        }
    }

    fn scale(&self) -> f64 {
        self.scale.max(self.products.scale)
    }

    /// Locks a pair or makes the basis larger.
    fn step(&mut self, observer: &mut Observer<'_>) -> Result<Option<EigenEnding>, CurvatureError> {
        let dim = self.operator.dim();
        if self.settled() {
            return Ok(Some(EigenEnding::Converged));
        }
        if self.v.ncols() == 0 && !self.draw()? {
            return Ok(Some(EigenEnding::MaxIterations));
        }
        let candidate = self.candidate()?;
        self.stall.seen(candidate.size);
        // what is neglected along the other pairs found adds up to as much again at most
        let pairs = self.options.pairs.saturating_add(1) as f64;
        let allowed = 0.5 * self.options.tolerance * self.scale() / pairs.sqrt();
        // what the shift adds and takes away again leaves its rounding
        let allowed = allowed.max(8.0 * f64::EPSILON * self.options.target.abs());
        // a candidate may give way to another and come back: only what is well below counts as stuck
        let floor = 0.1 * rounding_floor(self.operator.dtype(), dim) * self.scale();
        let whole = self.found.ncols() + self.v.ncols() == dim;
        if candidate.size <= allowed || whole || self.stall.stuck(candidate.size <= floor) {
            self.lock(&candidate);
            // copies of an eigenvalue are in no space that grew from the others
            return Ok(match self.settled() || self.draw()? {
                true => None,
                false => Some(EigenEnding::MaxIterations),
            });
        }
        let progress = Progress {
            applications: self.applications(),
            most: Some(self.options.max_applications),
            measure: (self.scale() > 0.0).then(|| candidate.size / self.scale()),
        };
        if observer(&progress).is_break() {
            return Ok(Some(EigenEnding::Stopped));
        }
        // a solve of one product and the product with what it gives
        let left = self.left();
        if left < 2 {
            return Ok(Some(EigenEnding::MaxIterations));
        }
        if self.v.ncols() >= self.room {
            self.keep(&candidate.coefficients, 0, (self.room / 2).max(1));
        }
        let correction = self.correction(&candidate, left - 1)?;
        self.solves += 1;
        let known = beside(&[self.found.as_ref(), self.v.as_ref()]);
        let direction = orthonormalised(known.as_ref(), correction)?;
        if direction.ncols() > 0 {
            self.append(direction)?;
        } else if !self.draw()? {
            return Ok(Some(EigenEnding::MaxIterations));
        }
        Ok(None)
    }

    /// Whether enough pairs are there, and the last one was found to be no nearer than the wanted ones before it.
    fn settled(&self) -> bool {
        let (count, wanted) = (self.shifted.len(), self.options.pairs);
        if count == self.operator.dim() {
            return true;
        }
        let Some((last, before)) = self.shifted.split_last() else {
            return false;
        };
        if before.len() < wanted {
            return false;
        }
        let mut apart: Vec<f64> = before.iter().map(|x| x.abs()).collect();
        apart.sort_by(f64::total_cmp);
        last.abs() >= apart[wanted - 1] - self.options.tolerance * self.scale()
    }

    fn candidate(&self) -> Result<Candidate, CurvatureError> {
        let size = self.v.ncols();
        let failed = |_| CurvatureError::Decomposition { dim: size };
        let svd = self.w.thin_svd().map_err(failed)?;
        let upwards: Vec<usize> = (0..size).rev().collect();
        let right = chosen(svd.V(), &upwards);
        let lengths: Vec<f64> = upwards.iter().map(|&j| svd.S()[j]).collect();
        // what is near the target: half of the basis, all of it once there is nothing beside it
        let near = match self.found.ncols() + size == self.operator.dim() {
            true => size,
            false => size.div_ceil(2).max(2).min(size),
        };
        let span = right.subcols(0, near);
        let projected = self.v.transpose() * &self.w;
        let eigen = small_eigen(span.transpose() * (&projected * span))?;
        // ‖(A − σI) u‖ and not |θ − σ|: a mixture of both sides has θ = σ
        let apart = |column: usize| -> f64 {
            let entries = eigen.vectors().col(column).iter().zip(&lengths);
            entries.map(|(c, length)| (c * length).powi(2)).sum()
        };
        let mut order: Vec<usize> = (0..near).collect();
        order.sort_by(|a, b| apart(*a).total_cmp(&apart(*b)));
        let ritz = span * chosen(eigen.vectors().as_ref(), &order);
        let coefficients = beside(&[ritz.as_ref(), right.subcols(near, size - near)]);
        let shifted = order.first().map_or(0.0, |&j| eigen.values()[j]);
        let u = coefficients.subcols(0, 1);
        let (vector, image) = (&self.v * u, &self.w * u);
        let residual = Mat::from_fn(vector.nrows(), 1, |i, j| {
            image[(i, j)] - shifted * vector[(i, j)]
        });
        Ok(Candidate {
            shifted,
            size: residual.norm_l2(),
            vector,
            residual,
            coefficients,
        })
    }

    /// Moves the candidate from the basis to the pairs found.
    fn lock(&mut self, candidate: &Candidate) {
        let others = candidate.coefficients.ncols() - 1;
        self.keep(&candidate.coefficients, 1, others);
        let x = candidate.vector.as_ref();
        self.w = &self.w - x * (x.transpose() * &self.w);
        self.found = beside(&[self.found.as_ref(), x]);
        self.shifted.push(candidate.shifted);
        self.stall = Stall::default();
        if self.v.ncols() >= self.room {
            self.keep(&Mat::identity(others, others), 0, others - 1);
        }
    }

    /// V ← V C for some columns of C.
    fn keep(&mut self, coefficients: &Mat<f64>, first: usize, count: usize) {
        let c = coefficients.subcols(first, count);
        self.v = &self.v * c;
        self.w = &self.w * c;
    }

    /// A random direction enters the basis, where there is one left; whether there was a product for it.
    fn draw(&mut self) -> Result<bool, CurvatureError> {
        if self.found.ncols() + self.v.ncols() == self.operator.dim() {
            return Ok(true);
        }
        if self.left() == 0 {
            return Ok(false);
        }
        let seed = self.seed.stream("directions").index(self.drawn);
        self.drawn += 1;
        let known = beside(&[self.found.as_ref(), self.v.as_ref()]);
        let random = gaussian(self.operator.dim(), 1, seed);
        let direction = orthonormalised(known.as_ref(), random)?;
        self.append(direction)?;
        Ok(true)
    }

    fn append(&mut self, directions: Mat<f64>) -> Result<(), CurvatureError> {
        let products = self.products.apply(directions.as_ref())?;
        let target = self.options.target;
        let mut w = Mat::from_fn(products.nrows(), products.ncols(), |i, j| {
            products[(i, j)] - target * directions[(i, j)]
        });
        if self.found.ncols() > 0 {
            w = &w - &self.found * (self.found.transpose() * &w);
        }
        self.v = beside(&[self.v.as_ref(), directions.as_ref()]);
        self.w = beside(&[self.w.as_ref(), w.as_ref()]);
        Ok(())
    }

    /// t of the correction equation, by at most `left` products.
    fn correction(
        &mut self,
        candidate: &Candidate,
        left: usize,
    ) -> Result<Mat<f64>, CurvatureError> {
        let known = candidate.size <= SETTLED * candidate.shifted.abs();
        let shift = self.options.target + if known { candidate.shifted } else { 0.0 };
        let aside = beside(&[self.found.as_ref(), candidate.vector.as_ref()]);
        let shifted = Damped::new(self.operator, -shift);
        let equation = Projected::complement(shifted, &self.rows(aside.as_ref()))?;
        let scale = -1.0 / candidate.size;
        let right: Vec<f64> = candidate
            .residual
            .col(0)
            .iter()
            .map(|r| scale * r)
            .collect();
        let right = from_f64(&right, &self.operator.device(), self.operator.dtype());
        let options = MinresOptions {
            max_iterations: Some(self.solve_products.min(left)),
            relative_tolerance: SOLVE_TO,
            ..Default::default()
        };
        let solve = minres(&equation, &right, &options)?;
        self.other_products += solve.applications;
        let t = to_f64(&solve.solution);
        Ok(Mat::from_fn(t.len(), 1, |i, _| t[i]))
    }

    fn rows(&self, columns: MatRef<'_, f64>) -> Tensor<2> {
        let shape = [columns.ncols(), columns.nrows()];
        let numbers = columns.col_iter().flat_map(|column| column.iter().copied());
        let (device, dtype) = (self.operator.device(), self.operator.dtype());
        block_from_f64(numbers.collect(), shape, &device, dtype)
    }

    /// The vectors of the pairs nearest to the target, those that have not converged behind the others.
    pub(super) fn nearest(&self, count: usize) -> Result<Mat<f64>, CurvatureError> {
        let mut order: Vec<usize> = (0..self.shifted.len()).collect();
        order.sort_by(|a, b| self.shifted[*a].abs().total_cmp(&self.shifted[*b].abs()));
        order.truncate(count);
        let found = chosen(self.found.as_ref(), &order);
        let missing = (count - order.len()).min(self.v.ncols());
        if missing == 0 {
            return Ok(found);
        }
        let candidate = self.candidate()?;
        let others = &self.v * candidate.coefficients.subcols(0, missing);
        Ok(beside(&[found.as_ref(), others.as_ref()]))
    }
}
