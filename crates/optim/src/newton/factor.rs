//! Symmetric indefinite systems in f64: P A Pᵀ = L B Lᵀ, with the signs of the eigenvalues.

use faer::linalg::solvers::{Lblt, Solve};
use faer::{Mat, MatRef, Side};

/// A factorised symmetric matrix, definite or not.
pub(super) struct Factored {
    lblt: Lblt<f64>,
    blocks: Vec<Block>,
}

/// A diagonal block of B: one row, or two that were pivoted together, with its most negative eigenvalue.
struct Block {
    row: usize,
    /// Eigenvalues, ascending; equal for a block of one row.
    eigenvalues: [f64; 2],
    /// Eigenvector of the smaller eigenvalue; its second component belongs to row + 1 and is 0 for a block of one row.
    lowest: [f64; 2],
}

impl Factored {
    /// Factorises `matrix` + `shift` I.
    pub(super) fn new(matrix: MatRef<'_, f64>, shift: f64) -> Self {
        let mut shifted = matrix.to_owned();
        for i in 0..shifted.nrows() {
            shifted[(i, i)] += shift;
        }
        let lblt = shifted.lblt(Side::Lower);
        let blocks = blocks(&lblt);
        Self { lblt, blocks }
    }

    /// Smallest over largest absolute eigenvalue of the blocks: 0 for a singular matrix.
    pub(super) fn pivot_ratio(&self) -> f64 {
        let sizes = || {
            self.blocks
                .iter()
                .flat_map(|block| block.eigenvalues)
                .map(f64::abs)
        };
        let largest = sizes().fold(0.0, f64::max);
        let smallest = sizes().fold(f64::INFINITY, f64::min);
        match largest > 0.0 {
            true => smallest / largest,
            false => 0.0,
        }
    }

    /// Whether all eigenvalues are positive, by Sylvester's law of inertia.
    pub(super) fn is_positive_definite(&self) -> bool {
        self.blocks.iter().all(|block| block.eigenvalues[0] > 0.0)
    }

    /// A v with vᵀAv < 0, unless there is none: Lᵀ(P v) = u with u the eigenvector of the most negative block.
    pub(super) fn downward_direction(&self) -> Option<Vec<f64>> {
        let block = self
            .blocks
            .iter()
            .min_by(|a, b| a.eigenvalues[0].total_cmp(&b.eigenvalues[0]))
            .filter(|block| block.eigenvalues[0] < 0.0)?;
        let dim = self.lblt.L().nrows();
        let mut u = Mat::<f64>::zeros(dim, 1);
        u[(block.row, 0)] = block.lowest[0];
        if block.lowest[1] != 0.0 {
            u[(block.row + 1, 0)] = block.lowest[1];
        }
        self.lblt
            .L()
            .transpose()
            .solve_unit_upper_triangular_in_place(u.as_mut());
        let (forward, _) = self.lblt.P().arrays();
        let mut v = vec![0.0; dim];
        for (row, &original) in forward.iter().enumerate() {
            v[original] = u[(row, 0)];
        }
        Some(v)
    }

    /// A⁻¹ b.
    pub(super) fn solve(&self, b: &[f64]) -> Vec<f64> {
        let rhs = Mat::from_fn(b.len(), 1, |row, _| b[row]);
        let solution = self.lblt.solve(&rhs);
        (0..b.len()).map(|row| solution[(row, 0)]).collect()
    }
}

fn blocks(lblt: &Lblt<f64>) -> Vec<Block> {
    let (diagonal, subdiagonal) = (lblt.B_diag(), lblt.B_subdiag());
    let dim = lblt.L().nrows();
    let mut blocks = Vec::with_capacity(dim);
    let mut row = 0;
    while row < dim {
        let coupling = subdiagonal[row];
        let block = match coupling == 0.0 || row + 1 == dim {
            true => Block {
                row,
                eigenvalues: [diagonal[row]; 2],
                lowest: [1.0, 0.0],
            },
            false => Block::of_two(row, diagonal[row], coupling, diagonal[row + 1]),
        };
        row += match block.lowest[1] == 0.0 {
            true => 1,
            false => 2,
        };
        blocks.push(block);
    }
    blocks
}

impl Block {
    /// Eigenvalues of [[a, c], [c, b]] with c ≠ 0, and the eigenvector of the smaller.
    fn of_two(row: usize, a: f64, c: f64, b: f64) -> Self {
        let middle = 0.5 * (a + b);
        let radius = (0.5 * (a - b)).hypot(c);
        let lower = middle - radius;
        // The rows of the block minus the eigenvalue are parallel; the larger one is the safer to turn by a right angle.
        let lowest = match a > b {
            true => [c, lower - a],
            false => [lower - b, c],
        };
        let length = lowest[0].hypot(lowest[1]);
        Self {
            row,
            eigenvalues: [lower, middle + radius],
            lowest: lowest.map(|component| component / length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symmetric<const N: usize>(rows: [[f64; N]; N]) -> Mat<f64> {
        Mat::from_fn(N, N, |i, j| rows[i][j])
    }

    fn times(matrix: &Mat<f64>, v: &[f64]) -> Vec<f64> {
        (0..v.len())
            .map(|i| (0..v.len()).map(|j| matrix[(i, j)] * v[j]).sum())
            .collect()
    }

    #[test]
    fn solves_definite_and_indefinite_systems() {
        let matrices = [
            symmetric([[4.0, 1.0, 0.0], [1.0, 3.0, -1.0], [0.0, -1.0, 2.0]]),
            // No pivot on the diagonal: needs a block of two rows.
            symmetric([[0.0, 2.0, 0.0], [2.0, 0.0, 1.0], [0.0, 1.0, 5.0]]),
        ];
        for matrix in matrices {
            let expected = [1.0, -2.0, 0.5];
            let factored = Factored::new(matrix.as_ref(), 0.0);
            let solution = factored.solve(&times(&matrix, &expected));
            for (x, e) in solution.iter().zip(expected) {
                assert!((x - e).abs() < 1e-13, "{solution:?}");
            }
        }
    }

    #[test]
    fn finds_definiteness_and_a_direction_that_curves_downwards() {
        let definite = symmetric([[4.0, 1.0], [1.0, 3.0]]);
        let factored = Factored::new(definite.as_ref(), 0.0);
        assert!(factored.is_positive_definite());
        assert!(factored.downward_direction().is_none());
        let indefinite = [
            symmetric([[0.0, 2.0, 0.0], [2.0, 0.0, 1.0], [0.0, 1.0, 5.0]]),
            symmetric([[1.0, 0.0, 0.0], [0.0, -3.0, 0.5], [0.0, 0.5, 2.0]]),
            symmetric([[1.0, 4.0, 2.0], [4.0, 1.0, 0.3], [2.0, 0.3, 0.1]]),
        ];
        for matrix in indefinite {
            let factored = Factored::new(matrix.as_ref(), 0.0);
            assert!(!factored.is_positive_definite());
            let v = factored.downward_direction().unwrap();
            let curvature: f64 = times(&matrix, &v).iter().zip(&v).map(|(a, b)| a * b).sum();
            assert!(curvature < 0.0, "{curvature} {v:?}");
            assert!(Factored::new(matrix.as_ref(), 6.0).is_positive_definite());
        }
    }

    #[test]
    fn singular_matrices_show_in_the_pivots() {
        let singular = symmetric([[1.0, 1.0], [1.0, 1.0]]);
        assert!(Factored::new(singular.as_ref(), 0.0).pivot_ratio() < 1e-15);
        let zero = symmetric([[0.0, 0.0], [0.0, 0.0]]);
        assert_eq!(Factored::new(zero.as_ref(), 0.0).pivot_ratio(), 0.0);
        let scaled = symmetric([[1e-6, 0.0], [0.0, 1.0]]);
        let ratio = Factored::new(scaled.as_ref(), 0.0).pivot_ratio();
        assert!((ratio - 1e-6).abs() < 1e-18, "{ratio}");
    }
}
