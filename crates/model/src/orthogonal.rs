//! Random matrices with orthonormal columns.

use crate::random::normals;
use faer::Mat;
use rand_chacha::ChaCha8Rng;

/// `columns` orthonormal vectors of length `rows ≥ columns`, uniform (Haar) over all such frames.
///
/// QR of a Gaussian matrix, with the signs of R's diagonal moved into Q. Without them the distribution would depend on the
/// sign convention of the factorisation (Mezzadri, Notices of the AMS 54, 2007). Cost: O(rows · columns²).
pub(crate) fn orthonormal_columns(rows: usize, columns: usize, rng: &mut ChaCha8Rng) -> Mat<f64> {
    debug_assert!(rows >= columns);
    let draws = normals(rng, rows * columns);
    let gaussian = Mat::from_fn(rows, columns, |i, j| draws[i * columns + j]);
    let qr = gaussian.qr();
    let r = qr.thin_R();
    let mut q = qr.compute_thin_Q();
    for j in 0..columns {
        if r[(j, j)] < 0.0 {
            for i in 0..rows {
                q[(i, j)] = -q[(i, j)];
            }
        }
    }
    q
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;

    #[test]
    fn columns_are_orthonormal() {
        for (rows, columns) in [(1, 1), (5, 5), (40, 40), (30, 7)] {
            let q = orthonormal_columns(rows, columns, &mut stream(0, "test"));
            let gram = q.transpose() * &q;
            for i in 0..columns {
                for j in 0..columns {
                    let expected = if i == j { 1.0 } else { 0.0 };
                    assert!((gram[(i, j)] - expected).abs() < 1e-13, "{rows}x{columns}");
                }
            }
        }
    }

    #[test]
    fn no_direction_is_preferred() {
        // For a Haar frame each entry has mean 0 and variance 1/rows; a fixed sign convention would shift the diagonal.
        let (rows, draws) = (4, 4000);
        let mut rng = stream(1, "test");
        let mut mean = 0.0;
        for _ in 0..draws {
            mean += orthonormal_columns(rows, rows, &mut rng)[(0, 0)] / f64::from(draws);
        }
        assert!(mean.abs() < 5.0 / f64::from(draws * 4).sqrt(), "{mean}");
    }
}
