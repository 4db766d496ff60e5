//! The Lanczos recurrence, a step at a time, with the products coming from outside.

use crate::eigen::basis::{Basis, HostVector};
use crate::error::{CurvatureError, finite};
use crate::tridiagonal::Tridiagonal;
use burn::prelude::{Device, Tensor};
use burn::tensor::DType;
use faer::{Mat, MatRef};

/// What a new vector of the recurrence is made orthogonal to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Orthogonality {
    /// The two vectors before it, by which alone it is computed; only those are kept. Copies of converged Ritz values turn up.
    Local,
    /// All vectors before it, in the steps for which Simon's recurrence foretells a loss of orthogonality beyond √u; in every step beside
    /// vectors of earlier spaces.
    Partial,
    /// All vectors before it.
    Full,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// There is a next vector to multiply with.
    Extended,
    /// The space is invariant: its Ritz pairs are exact, and no direction is left. [`Krylov::enter`] starts afresh.
    Invariant,
}

/// An orthonormal basis V with A V = V T + v bᵀ: T symmetric, v the next vector, b its coupling.
///
/// The user multiplies the vector that [`Krylov::next`] hands out and gives the product to [`Krylov::absorb`], so that many
/// recurrences can go in lockstep through `apply_block`. In an unrestarted recurrence T is tridiagonal and b = β e_j.
///
/// # Cost
///
/// With a basis of k vectors k + 3 vectors in all: the next one beside them, its copy on the device, and the product. The basis is
/// read twice a step where all of it is orthogonalised against.
///
/// # References
///
/// Golub and Van Loan (2013), Matrix Computations, section 10.1 and 10.3; Simon (1984), The Lanczos algorithm with partial
/// reorthogonalization, Mathematics of Computation 42; Wu and Simon (2000), Thick-restart Lanczos method for large symmetric
/// eigenvalue problems, SIAM J. Matrix Anal. Appl. 22.
#[derive(Clone, Debug)]
pub(crate) struct Krylov {
    /// The vectors multiplied so far, and behind them the next one if there is one. With [`Orthogonality::Local`] the last two.
    basis: Basis,
    /// Row i of T up to its diagonal.
    rows: Vec<Vec<f64>>,
    /// b, as long as T; nothing when there is no next vector.
    coupling: Option<Vec<f64>>,
    orthogonality: Orthogonality,
    foretold: Foretold,
    /// Whether there are vectors of earlier spaces: eigenvectors to a tolerance only, whose residuals the recurrence knows nothing of.
    joined: bool,
    /// β below this times the scale of T is rounding.
    negligible: f64,
    scale: f64,
}

impl Krylov {
    /// An empty basis of vectors of `dim` elements with room for `capacity` of them.
    ///
    /// A coupling below `negligible` times the size of the operator counts as none, at least 32 units of rounding.
    pub(crate) fn new(
        dim: usize,
        dtype: DType,
        capacity: usize,
        orthogonality: Orthogonality,
        negligible: f64,
    ) -> Self {
        let capacity = match orthogonality {
            Orthogonality::Local => 3,
            _ => capacity + 1,
        };
        let basis = Basis::new(dim, dtype, capacity);
        let unit = basis.unit();
        Self {
            basis,
            rows: Vec::new(),
            coupling: None,
            orthogonality,
            foretold: Foretold::new(unit),
            joined: false,
            negligible: negligible.max(32.0 * unit),
            scale: 0.0,
        }
    }

    /// Takes a direction of the caller's (of any length) as the next vector; `false` if nothing of it is new to the basis.
    ///
    /// For the first vector, or after [`Step::Invariant`]; a next vector that is there is given up for it.
    pub(crate) fn enter(&mut self, mut direction: HostVector) -> bool {
        self.drop_next();
        let before = direction.norm();
        let (_, after) = self.basis.orthogonalise(0, &mut direction);
        // nothing but rounding is left, or the direction was zero or not finite
        let new = after > 1e3 * self.basis.unit() * before && before.is_finite();
        if !new {
            return false;
        }
        direction.scale(1.0 / after);
        // what was left may have been small: once more, now against its new length
        let (_, length) = self.basis.orthogonalise(0, &mut direction);
        direction.scale(1.0 / length);
        self.basis.push(&direction);
        self.coupling = Some(vec![0.0; self.size()]);
        self.foretold.entered(self.size());
        self.joined = self.size() > 0;
        true
    }

    /// Vectors multiplied so far: the order of T.
    pub(crate) fn size(&self) -> usize {
        self.rows.len()
    }

    /// The vectors: those multiplied, and the next one behind them.
    pub(crate) fn basis(&self) -> &Basis {
        &self.basis
    }

    /// Gives the vectors away, with no room for more.
    pub(crate) fn into_basis(mut self) -> Basis {
        self.drop_next();
        self.basis.shrink();
        self.basis
    }

    /// The next vector to multiply.
    pub(crate) fn next(&self, device: &Device) -> Option<Tensor<1>> {
        self.coupling.as_ref()?;
        Some(self.basis.tensor(self.basis.len() - 1, device))
    }

    /// Upper bound of |λ| of T so far, by Gershgorin's discs.
    pub(crate) fn scale(&self) -> f64 {
        self.scale
    }

    /// The diagonal of T.
    pub(crate) fn alpha(&self) -> Vec<f64> {
        diagonal(&self.rows)
    }

    /// The entries beside the diagonal of T, one fewer than [`Krylov::alpha`]; 0 where a new direction began.
    pub(crate) fn beta(&self) -> Vec<f64> {
        beside_diagonal(self.rows.get(1..).unwrap_or_default())
    }

    /// T from row and column `first`.
    pub(crate) fn projected(&self, first: usize) -> Mat<f64> {
        let size = self.size() - first;
        Mat::from_fn(size, size, |i, j| {
            self.rows[first + i.max(j)][first + i.min(j)]
        })
    }

    /// T from row and column `first` in tridiagonal form: after a restart the vectors that were kept are combined anew for it.
    pub(crate) fn tridiagonal(&self, first: usize) -> Tridiagonal {
        let rows = &self.rows[first..];
        let beside = |row: &Vec<f64>| row[first..row.len() - 1].iter().any(|x| *x != 0.0);
        match rows.iter().position(beside) {
            Some(point) if point > 1 => Tridiagonal::behind_arrow(
                &diagonal(&rows[..point]),
                &rows[point][first..first + point],
                &diagonal(&rows[point..]),
                &beside_diagonal(&rows[point + 1..]),
            ),
            _ => Tridiagonal::new(
                diagonal(rows),
                beside_diagonal(rows.get(1..).unwrap_or_default()),
            ),
        }
    }

    /// b from entry `first`; zeros when the space is invariant.
    pub(crate) fn coupling(&self, first: usize) -> Vec<f64> {
        match &self.coupling {
            Some(coupling) => coupling[first..].to_vec(),
            None => vec![0.0; self.size() - first],
        }
    }

    /// Takes the product with the next vector: T grows by one.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::NonFinite`] if the product is not finite.
    pub(crate) fn absorb(&mut self, mut w: HostVector) -> Result<Step, CurvatureError> {
        let coupling = self.coupling.take().expect("a next vector was handed out");
        let size = coupling.len();
        let restarted = coupling.len() > 1 && coupling[..size - 1].iter().any(|b| *b != 0.0);
        let everything = match self.orthogonality {
            Orthogonality::Full => true,
            Orthogonality::Partial => {
                restarted || size == 0 || self.joined || self.foretold.forced()
            }
            Orthogonality::Local => false,
        };
        let first = match everything {
            true => 0,
            false => self.basis.len().saturating_sub(2),
        };
        let (overlaps, mut beta) = self.basis.orthogonalise(first, &mut w);
        let alpha = overlaps.last().copied().unwrap_or(0.0);
        finite("vᵀAv in the Lanczos iteration", alpha)?;
        finite("the norm of a product in the Lanczos iteration", beta)?;
        let reach: f64 = coupling.iter().map(|b| b.abs()).sum();
        self.scale = self.scale.max(alpha.abs() + reach + beta);
        let mut row = coupling;
        row.push(alpha);
        self.rows.push(row);
        if beta <= self.negligible * self.scale || self.size() == self.basis.dim() {
            return Ok(Step::Invariant);
        }
        if self.orthogonality == Orthogonality::Partial {
            let lost = self.foretold.step(&self.rows, beta, self.scale, everything);
            if lost && !everything {
                beta = self.basis.orthogonalise(0, &mut w).1;
                self.foretold.reorthogonalised();
            }
        }
        w.scale(1.0 / beta);
        if self.orthogonality == Orthogonality::Local && self.basis.len() == 2 {
            self.basis.drop_front(1);
        }
        self.basis.push(&w);
        let mut coupling = vec![0.0; self.size()];
        coupling[self.size() - 1] = beta;
        self.coupling = Some(coupling);
        Ok(Step::Extended)
    }

    /// Thick restart: the vectors from `first` are replaced by V S, with diagonal `values` for T.
    ///
    /// The columns of S are eigenvectors of [`Krylov::projected`]`(first)`; the next vector and its coupling are kept.
    pub(crate) fn restart(&mut self, first: usize, s: MatRef<'_, f64>, values: &[f64]) {
        let coupling = self.coupling.take();
        let (kept, size) = (s.ncols(), self.size());
        self.basis.rotate(first, s);
        if coupling.is_some() {
            self.basis.copy_within(size, first + kept);
        }
        let next = usize::from(coupling.is_some());
        self.basis.truncate(first + kept + next);
        self.rows.truncate(first);
        for (index, value) in values.iter().enumerate() {
            let mut row = vec![0.0; first + index];
            row.push(*value);
            self.rows.push(row);
        }
        self.coupling = coupling.map(|old| {
            let through = |column: usize| {
                let s = s.col(column);
                s.iter().zip(&old[first..]).map(|(s, b)| s * b).sum::<f64>()
            };
            let mut new = vec![0.0; first];
            new.extend((0..kept).map(through));
            new
        });
        self.foretold.restarted(first + kept);
    }

    fn drop_next(&mut self) {
        if self.coupling.take().is_some() {
            self.basis.truncate(self.basis.len() - 1);
        }
    }
}

/// Entries on the diagonal of these rows, each of which ends there.
fn diagonal(rows: &[Vec<f64>]) -> Vec<f64> {
    rows.iter().map(|row| row[row.len() - 1]).collect()
}

/// Entries one before the diagonal.
fn beside_diagonal(rows: &[Vec<f64>]) -> Vec<f64> {
    rows.iter().map(|row| row[row.len() - 2]).collect()
}

/// Simon's recurrence for the overlaps ω of the next vectors with those before them, driven by T alone.
#[derive(Clone, Debug)]
struct Foretold {
    unit: f64,
    /// |ω| of the last vector and of the one before it with the earlier vectors.
    last: Vec<f64>,
    before: Vec<f64>,
    /// Steps that are to be orthogonalised whatever is foretold: a loss shows in two vectors.
    due: usize,
}

impl Foretold {
    fn new(unit: f64) -> Self {
        Self {
            unit,
            last: Vec::new(),
            before: Vec::new(),
            due: 0,
        }
    }

    fn forced(&self) -> bool {
        self.due > 0
    }

    /// A vector was made orthogonal to `size` others to the last bit.
    fn entered(&mut self, size: usize) {
        self.last = vec![self.unit; size];
        self.before.clear();
        self.due = 1;
    }

    /// The basis was combined anew: the next vector is as orthogonal as it was to the worst.
    fn restarted(&mut self, size: usize) {
        let worst = self.last.iter().fold(self.unit, |m, x| m.max(x.abs()));
        self.last = vec![worst; size];
        self.before.clear();
        self.due = 2;
    }

    fn reorthogonalised(&mut self) {
        self.last.fill(self.unit);
        self.due = 1;
    }

    /// Looks ahead to the vector that the last row of T and β lead to; `true` if its orthogonality is lost.
    ///
    /// β ω(j+1, k) = Σᵢ T(i, k) ω(i, j) − T(j, j) ω(j, k) − T(j, j−1) ω(j−1, k) + rounding.
    fn step(&mut self, rows: &[Vec<f64>], beta: f64, scale: f64, everything: bool) -> bool {
        let j = rows.len() - 1;
        let entry = |i: usize, k: usize| rows[i.max(k)][i.min(k)];
        let omega = |row: &Vec<f64>, k: usize| row.get(k).copied().unwrap_or(self.unit);
        let noise = 2.0 * self.unit * scale;
        let mut next = vec![self.unit; j + 1];
        if !everything {
            for (k, next) in next.iter_mut().enumerate().take(j.saturating_sub(1)) {
                let through: f64 = (0..j).map(|i| entry(i, k) * omega(&self.last, i)).sum();
                let back =
                    entry(j, j) * omega(&self.last, k) + entry(j, j - 1) * omega(&self.before, k);
                let sum = through - back;
                *next = (sum + noise.copysign(sum)) / beta;
            }
        }
        self.due = self.due.saturating_sub(usize::from(everything));
        self.before = std::mem::replace(&mut self.last, next);
        let worst = self.last.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
        worst > self.unit.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::LinearOperator;
    use crate::seed::Seed;
    use crate::test_operators::{operator, with_spectrum};
    use crate::tridiagonal::Row;

    fn run(orthogonality: Orthogonality, steps: usize, dtype: DType) -> (Krylov, Vec<f64>) {
        let values: Vec<f64> = (0..200)
            .map(|i| 1.0 / (1.0 + f64::from(i)).powi(2))
            .collect();
        let device = Device::flex();
        let operator = with_spectrum(&values, 3).operator(&device, dtype);
        let mut krylov = Krylov::new(200, dtype, steps, orthogonality, 0.0);
        assert!(krylov.enter(HostVector::random_unit(200, dtype, Seed::new(1))));
        for _ in 0..steps {
            let product = operator.apply(&krylov.next(&device).unwrap()).unwrap();
            if krylov.absorb(HostVector::read(product, dtype)).unwrap() == Step::Invariant {
                break;
            }
        }
        (krylov, values)
    }

    fn worst_overlap(krylov: &Krylov) -> f64 {
        let gram = krylov.basis().gram(krylov.basis());
        let n = gram.nrows();
        let entries = (0..n * n).map(|index| (index / n, index % n));
        entries
            .map(|(i, j)| (gram[(i, j)] - f64::from(u8::from(i == j))).abs())
            .fold(0.0, f64::max)
    }

    #[test]
    fn full_orthogonality_is_exact_and_partial_within_the_root_of_the_unit() {
        for (dtype, unit) in [(DType::F64, 1.1e-16), (DType::F32, 6e-8_f64)] {
            let (full, _) = run(Orthogonality::Full, 60, dtype);
            assert!(
                worst_overlap(&full) < 20.0 * unit,
                "{}",
                worst_overlap(&full)
            );
            let (partial, _) = run(Orthogonality::Partial, 60, dtype);
            let worst = worst_overlap(&partial);
            assert!(worst < 2.0 * unit.sqrt(), "{worst}");
            // so that it is seen to have saved something
            assert!(worst > 20.0 * unit, "{worst}");
        }
    }

    #[test]
    fn the_tridiagonal_matrix_is_the_projection() {
        let (krylov, values) = run(Orthogonality::Full, 40, DType::F64);
        let matrix = with_spectrum(&values, 3);
        let device = Device::flex();
        let rows = krylov.basis().rows(0..krylov.size(), &device);
        let products = operator(&matrix).apply_block(&rows).unwrap();
        let mut v = krylov.basis().clone();
        v.truncate(krylov.size());
        let projected = v.gram(&Basis::read(products, DType::F64));
        let difference = &projected - krylov.projected(0);
        assert!(difference.norm_max() < 1e-13, "{}", difference.norm_max());
    }

    #[test]
    fn semi_orthogonality_is_enough_for_ritz_values_without_copies() {
        let (krylov, values) = run(Orthogonality::Partial, 60, DType::F64);
        let projected = crate::DenseSymmetric::from_matrix(krylov.projected(0));
        let ritz = projected.eigenvalues().unwrap();
        for (found, expected) in ritz.iter().rev().zip(&values[..6]) {
            assert!((found - expected).abs() < 1e-13, "{found} {expected}");
        }
        // the same steps with local orthogonality have copies of the largest
        let (krylov, _) = run(Orthogonality::Local, 60, DType::F64);
        let projected = crate::DenseSymmetric::from_matrix(krylov.projected(0));
        let ritz = projected.eigenvalues().unwrap();
        assert!((ritz[58] - 1.0).abs() < 1e-10, "{ritz:?}");
    }

    #[test]
    fn local_orthogonality_holds_three_vectors_and_the_same_matrix_at_first() {
        let (local, _) = run(Orthogonality::Local, 6, DType::F64);
        let (full, _) = run(Orthogonality::Full, 6, DType::F64);
        assert_eq!((local.basis().capacity(), local.size()), (3, 6));
        for (a, b) in local.alpha().iter().zip(full.alpha()) {
            assert!((a - b).abs() < 1e-10);
        }
        assert_eq!(local.beta().len(), 5);
    }

    #[test]
    fn memory_is_the_basis_and_the_next_vector() {
        let (krylov, _) = run(Orthogonality::Full, 25, DType::F32);
        // with the copy on the device and the product: 25 + 3
        assert_eq!(krylov.basis().capacity(), 26);
        assert_eq!((krylov.size(), krylov.basis().len()), (25, 26));
    }

    #[test]
    fn a_thick_restart_keeps_the_decomposition() {
        let (mut krylov, values) = run(Orthogonality::Full, 30, DType::F64);
        let eigen = crate::DenseSymmetric::from_matrix(krylov.projected(0))
            .eigen()
            .unwrap();
        let s = eigen.vectors().subcols(20, 10);
        krylov.restart(0, s, &eigen.values()[20..]);
        let device = Device::flex();
        let matrix = operator(&with_spectrum(&values, 3));
        for _ in 0..15 {
            let product = matrix.apply(&krylov.next(&device).unwrap()).unwrap();
            krylov
                .absorb(HostVector::read(product, DType::F64))
                .unwrap();
        }
        let mut v = krylov.basis().clone();
        v.truncate(25);
        let products = matrix.apply_block(&v.rows(0..25, &device)).unwrap();
        let difference = &v.gram(&Basis::read(products, DType::F64)) - krylov.projected(0);
        assert!(difference.norm_max() < 1e-13, "{}", difference.norm_max());
        assert!(worst_overlap(&krylov) < 1e-14);
        // the tridiagonal form has its eigenvalues, and the last entries of its eigenvectors
        let full = crate::DenseSymmetric::from_matrix(krylov.projected(0));
        let full = full.eigen().unwrap();
        let short = krylov.tridiagonal(0).eigen([Row::Last]).unwrap();
        for (index, (value, last)) in short.values.iter().zip(&short.rows[0]).enumerate() {
            assert!((value - full.values()[index]).abs() < 1e-14);
            assert!((last.abs() - full.vectors()[(24, index)].abs()).abs() < 1e-12);
        }
    }

    #[test]
    fn an_invariant_space_is_seen_and_left() {
        let device = Device::flex();
        let matrix = crate::test_operators::diagonal(&[2.0, 2.0, 2.0, 1.0, 1.0]);
        let mut krylov = Krylov::new(5, DType::F64, 5, Orthogonality::Full, 0.0);
        let mut invariant = Vec::new();
        for index in 0..3 {
            let direction = HostVector::random_unit(5, DType::F64, Seed::new(5).index(index));
            assert!(krylov.enter(direction));
            while let Some(next) = krylov.next(&device) {
                let product = matrix.apply(&next).unwrap();
                if krylov
                    .absorb(HostVector::read(product, DType::F64))
                    .unwrap()
                    == Step::Invariant
                {
                    invariant.push(krylov.size());
                }
            }
        }
        assert_eq!(invariant, [2, 4, 5]);
        assert!(!krylov.enter(HostVector::random_unit(5, DType::F64, Seed::new(9))));
    }
}
