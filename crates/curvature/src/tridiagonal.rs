//! Eigenvalues of a tridiagonal matrix with single rows of its eigenvectors, in O(m²) where all of them cost O(m³).
//!
//! A Lanczos iteration asks for the last row (residuals), its quadrature for the first (weights) as well.

use crate::error::CurvatureError;

/// A symmetric tridiagonal matrix.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tridiagonal {
    /// The diagonal.
    alpha: Vec<f64>,
    /// The entries beside it, one fewer.
    beta: Vec<f64>,
}

/// Eigenvalues in ascending order, and of the eigenvectors (as columns) only some rows.
#[derive(Clone, Debug)]
pub(crate) struct EigenRows<const R: usize> {
    pub(crate) values: Vec<f64>,
    pub(crate) rows: [Vec<f64>; R],
}

/// A row of the eigenvectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    First,
    Last,
}

/// QL steps for one eigenvalue; two are usual.
const MOST_STEPS: usize = 60;

impl Tridiagonal {
    /// From its diagonal and the entries beside it, of which those behind the last are ignored.
    pub(crate) fn new(alpha: Vec<f64>, mut beta: Vec<f64>) -> Self {
        beta.truncate(alpha.len().saturating_sub(1));
        assert_eq!(
            beta.len() + 1,
            alpha.len().max(1),
            "an entry between each two"
        );
        Self { alpha, beta }
    }

    /// The matrix that is `diag(nodes)` with the column `coupling` beside it, and `alpha` and `beta` after that, in another basis of the
    /// first vectors: what a thick restart leaves. The last row of the eigenvectors is that of the matrix itself.
    ///
    /// The first part solves an inverse eigenvalue problem: which tridiagonal matrix has these eigenvalues, and these last entries of its
    /// eigenvectors?
    ///
    /// # References
    ///
    /// Gragg and Harwood (1984), The numerically stable reconstruction of Jacobi matrices from spectral data, Numerische Mathematik 44;
    /// Gautschi (2004), Orthogonal Polynomials, section 3.1.1.
    pub(crate) fn behind_arrow(
        nodes: &[f64],
        coupling: &[f64],
        alpha: &[f64],
        beta: &[f64],
    ) -> Self {
        let count = nodes.len();
        let mut diagonal = nodes.to_vec();
        // squares of the entries beside the diagonal, the sum of the weights in front
        let mut squares = vec![0.0; count];
        for new in 0..count {
            let (mut sine, mut cosine, mut carried) = (0.0, 1.0, 0.0);
            let mut entering = coupling[new] * coupling[new];
            for k in 0..=new {
                let sum = squares[k] + entering;
                let square = cosine * sum;
                let last_sine = sine;
                (cosine, sine) = match sum > 0.0 {
                    true => (squares[k] / sum, entering / sum),
                    false => (1.0, 0.0),
                };
                let now = sine * (diagonal[k] - nodes[new]) - cosine * carried;
                diagonal[k] -= now - carried;
                carried = now;
                entering = match sine > 0.0 {
                    true => now * now / sine,
                    false => last_sine * squares[k],
                };
                squares[k] = square;
            }
        }
        diagonal.reverse();
        squares.reverse();
        let mut beside: Vec<f64> = squares.iter().map(|square| square.sqrt()).collect();
        diagonal.extend_from_slice(alpha);
        beside.extend_from_slice(beta);
        Self::new(diagonal, beside)
    }

    /// Order m of the matrix.
    pub(crate) fn order(&self) -> usize {
        self.alpha.len()
    }

    /// The eigenvalues, and these rows of the eigenvectors, by implicit QL steps.
    ///
    /// # Cost
    ///
    /// About 30 m² multiplications, a square root and a division for each m.
    ///
    /// # References
    ///
    /// Golub and Welsch (1969), Calculation of Gauss quadrature rules; Martin and Wilkinson (1968), The implicit QL algorithm.
    pub(crate) fn eigen<const R: usize>(
        &self,
        rows: [Row; R],
    ) -> Result<EigenRows<R>, CurvatureError> {
        let order = self.order();
        let scale = self.scale();
        if !scale.is_finite() {
            return Err(self.unconverged());
        }
        // so that no square under- or overflows
        let divisor = if scale > 0.0 { scale } else { 1.0 };
        let scaled = |x: &f64| x / divisor;
        let mut d: Vec<f64> = self.alpha.iter().map(scaled).collect();
        let mut e: Vec<f64> = self.beta.iter().map(scaled).collect();
        e.push(0.0);
        let mut z: Vec<[f64; R]> = (0..order)
            .map(|index| {
                rows.map(|row| match row {
                    Row::First => f64::from(u8::from(index == 0)),
                    Row::Last => f64::from(u8::from(index + 1 == order)),
                })
            })
            .collect();
        for l in 0..order {
            let mut steps = 0;
            while let Some(m) = coupled_to(&d, &e, l) {
                steps += 1;
                if steps > MOST_STEPS {
                    return Err(self.unconverged());
                }
                implicit_step(&mut d, &mut e, &mut z, l, m);
            }
        }
        let mut ascending: Vec<usize> = (0..order).collect();
        ascending.sort_by(|a, b| d[*a].total_cmp(&d[*b]));
        Ok(EigenRows {
            values: ascending.iter().map(|&i| d[i] * divisor).collect(),
            rows: std::array::from_fn(|row| ascending.iter().map(|&i| z[i][row]).collect()),
        })
    }

    /// The largest entry in magnitude; NaN if there is one.
    fn scale(&self) -> f64 {
        let entries = self.alpha.iter().chain(&self.beta);
        entries.fold(0.0, |m: f64, x| match x.is_nan() || m.is_nan() {
            true => f64::NAN,
            false => m.max(x.abs()),
        })
    }

    fn unconverged(&self) -> CurvatureError {
        CurvatureError::Decomposition { dim: self.order() }
    }
}

/// The end of the block that begins at `l`; `None` where `l` stands alone.
fn coupled_to(d: &[f64], e: &[f64], l: usize) -> Option<usize> {
    let negligible = |m: &usize| {
        *m + 1 == d.len() || e[*m].abs() <= f64::EPSILON * (d[*m].abs() + d[m + 1].abs())
    };
    let end = (l..d.len()).find(negligible)?;
    (end > l).then_some(end)
}

/// One QL step with Wilkinson's shift on rows and columns `l` to `m`.
fn implicit_step<const R: usize>(
    d: &mut [f64],
    e: &mut [f64],
    z: &mut [[f64; R]],
    l: usize,
    m: usize,
) {
    let half = (d[l + 1] - d[l]) / (2.0 * e[l]);
    let root = (half * half + 1.0).sqrt();
    let mut g = d[m] - d[l] + e[l] / (half + root.copysign(half));
    let (mut sine, mut cosine, mut p) = (1.0, 1.0, 0.0);
    for i in (l..m).rev() {
        let f = sine * e[i];
        let b = cosine * e[i];
        let r = (f * f + g * g).sqrt();
        e[i + 1] = r;
        if r == 0.0 {
            // the matrix fell apart here
            d[i + 1] -= p;
            e[m] = 0.0;
            return;
        }
        let inverse = 1.0 / r;
        sine = f * inverse;
        cosine = g * inverse;
        g = d[i + 1] - p;
        let t = (d[i] - g) * sine + 2.0 * cosine * b;
        p = sine * t;
        d[i + 1] = g + p;
        g = cosine * t - b;
        let (uppers, lowers) = (z[i], z[i + 1]);
        z[i] = std::array::from_fn(|row| cosine * uppers[row] - sine * lowers[row]);
        z[i + 1] = std::array::from_fn(|row| sine * uppers[row] + cosine * lowers[row]);
    }
    d[l] -= p;
    e[l] = g;
    e[m] = 0.0;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dense::DenseSymmetric;
    use crate::seed::Seed;
    use faer::Mat;
    use rand::RngExt;

    fn random(order: usize, seed: u64) -> Tridiagonal {
        let mut rng = Seed::new(seed).rng();
        let mut draw = |count: usize| -> Vec<f64> {
            (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
        };
        Tridiagonal::new(draw(order), draw(order.saturating_sub(1)))
    }

    fn written_out(matrix: &Tridiagonal) -> Mat<f64> {
        let order = matrix.order();
        Mat::from_fn(order, order, |i, j| match i.abs_diff(j) {
            0 => matrix.alpha[i],
            1 => matrix.beta[i.min(j)],
            _ => 0.0,
        })
    }

    /// Eigenvalues, and squares of first and last entries of the eigenvectors, by faer.
    fn by_faer(matrix: Mat<f64>) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let last = matrix.nrows() - 1;
        let eigen = DenseSymmetric::from_matrix(matrix).eigen().unwrap();
        let squares = |row: usize| eigen.vectors().row(row).iter().map(|x| x * x).collect();
        (eigen.values().to_vec(), squares(0), squares(last))
    }

    fn close(found: &[f64], expected: &[f64], tolerance: f64) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < tolerance, "{found} {expected}");
        }
    }

    fn squares(row: &[f64]) -> Vec<f64> {
        row.iter().map(|x| x * x).collect()
    }

    #[test]
    fn values_and_rows_are_those_of_the_full_decomposition() {
        for (order, seed) in [(1, 0), (2, 1), (3, 2), (10, 3), (57, 4), (120, 5)] {
            let matrix = random(order, seed);
            let (values, first, last) = by_faer(written_out(&matrix));
            let found = matrix.eigen([Row::First, Row::Last]).unwrap();
            close(&found.values, &values, 1e-13);
            close(&squares(&found.rows[0]), &first, 1e-12);
            close(&squares(&found.rows[1]), &last, 1e-12);
        }
    }

    #[test]
    fn an_empty_a_zero_and_a_split_matrix_are_decomposed() {
        assert!(random(0, 0).eigen([Row::Last]).unwrap().values.is_empty());
        let zero = Tridiagonal::new(vec![0.0; 4], vec![0.0; 3]);
        assert_eq!(zero.eigen([Row::Last]).unwrap().values, [0.0; 4]);
        let split = Tridiagonal::new(vec![2.0, 2.0, 1.0], vec![1.0, 0.0]);
        let found = split.eigen([Row::Last]).unwrap();
        close(&found.values, &[1.0, 1.0, 3.0], 1e-15);
        close(&[squares(&found.rows[0]).iter().sum()], &[1.0], 1e-15);
    }

    #[test]
    fn neither_tiny_nor_huge_entries_are_lost() {
        let matrix = random(20, 7);
        let expected = matrix.eigen([Row::First]).unwrap().values;
        for factor in [1e-200, 1e200] {
            let scaled = |x: &f64| x * factor;
            let other = Tridiagonal::new(
                matrix.alpha.iter().map(scaled).collect(),
                matrix.beta.iter().map(scaled).collect(),
            );
            let found = other.eigen([Row::First]).unwrap().values;
            let back: Vec<f64> = found.iter().map(|x| x / factor).collect();
            close(&back, &expected, 1e-13);
        }
    }

    #[test]
    fn a_matrix_that_is_not_finite_is_an_error() {
        for value in [f64::NAN, f64::INFINITY] {
            let matrix = Tridiagonal::new(vec![1.0, value], vec![0.5]);
            let error = matrix.eigen([Row::First]).unwrap_err();
            assert!(matches!(error, CurvatureError::Decomposition { dim: 2 }));
        }
    }

    /// diag(nodes) with `coupling` beside it, and the rest behind.
    fn arrow(nodes: &[f64], coupling: &[f64], rest: &Tridiagonal) -> Mat<f64> {
        let count = nodes.len();
        let order = count + rest.order();
        let tail = written_out(rest);
        Mat::from_fn(order, order, |i, j| {
            let (low, high) = (i.min(j), i.max(j));
            match (low >= count, high >= count) {
                (true, true) => tail[(i - count, j - count)],
                (false, true) if high == count => coupling[low],
                (false, false) if i == j => nodes[i],
                _ => 0.0,
            }
        })
    }

    #[test]
    fn an_arrow_has_the_values_and_last_entries_of_its_tridiagonal_form() {
        for (count, tail, seed) in [
            (1, 1, 10),
            (2, 1, 11),
            (22, 1, 12),
            (22, 30, 13),
            (40, 5, 14),
        ] {
            let mut rng = Seed::new(seed).rng();
            let mut draw = || rng.random_range(-1.0..1.0);
            let nodes: Vec<f64> = (0..count).map(|_| draw()).collect();
            // converged pairs couple hardly at all
            let coupling: Vec<f64> = (0..count).map(|i| draw() * 0.5_f64.powi(i)).collect();
            let rest = random(tail, seed + 100);
            let full = arrow(&nodes, &coupling, &rest);
            let (values, _, last) = by_faer(full);
            let found = Tridiagonal::behind_arrow(&nodes, &coupling, &rest.alpha, &rest.beta);
            let found = found.eigen([Row::Last]).unwrap();
            close(&found.values, &values, 1e-12);
            close(&squares(&found.rows[0]), &last, 1e-11);
        }
    }

    #[test]
    fn nodes_without_coupling_and_equal_nodes_stay() {
        let rest = Tridiagonal::new(vec![0.3], vec![]);
        for (nodes, coupling) in [
            ([1.0, 2.0, 3.0], [0.0, 0.5, 0.0]),
            ([1.0, 1.0, 3.0], [0.2, 0.5, 0.1]),
            ([1.0, 2.0, 3.0], [0.0, 0.0, 0.0]),
        ] {
            let (values, _, last) = by_faer(arrow(&nodes, &coupling, &rest));
            let found = Tridiagonal::behind_arrow(&nodes, &coupling, &rest.alpha, &rest.beta);
            let found = found.eigen([Row::Last]).unwrap();
            close(&found.values, &values, 1e-14);
            close(&squares(&found.rows[0]), &last, 1e-14);
        }
    }
}
