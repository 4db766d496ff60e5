//! Resizing of images as products with constant matrices, one for each axis: linear in the image, whatever the mode.

use super::Importer;
use crate::error::GraphError;
use burn_ir::{InterpolateBackwardOpIr, InterpolateModeIr, InterpolateOpIr, InterpolateOptionsIr};
use std::f64::consts::PI;

/// Burn's parameter of the cubic convolution kernel.
const CUBIC: f64 = -0.75;

impl Importer {
    pub(super) fn interpolate(&mut self, o: &InterpolateOpIr) -> Result<(), GraphError> {
        let mut value = self.get(&o.x)?;
        for (dim, to) in (2..4).zip(o.output_size) {
            let from = self.shape(value)[dim];
            let matrix = resizing_matrix(from, to, &o.options);
            value = self.along_dim(value, dim, matrix, to);
        }
        self.set(&o.out, value);
        Ok(())
    }

    /// The transposed matrices applied to the gradient of the output.
    pub(super) fn interpolate_backward(
        &mut self,
        o: &InterpolateBackwardOpIr,
    ) -> Result<(), GraphError> {
        let mut value = self.get(&o.grad)?;
        for (dim, to) in (2..4).zip(o.output_size) {
            let from = o.out.shape[dim];
            let matrix = transposed(&resizing_matrix(from, to, &o.options), from, to);
            value = self.along_dim(value, dim, matrix, from);
        }
        self.set(&o.out, value);
        Ok(())
    }
}

fn transposed(matrix: &[f64], rows: usize, columns: usize) -> Vec<f64> {
    (0..rows * columns)
        .map(|k| matrix[(k % rows) * columns + k / rows])
        .collect()
}

/// Entry (i, o) is the weight of element i in element o of the resized axis: `[from, to]`.
fn resizing_matrix(from: usize, to: usize, options: &InterpolateOptionsIr) -> Vec<f64> {
    let axis = Axis {
        from,
        to,
        aligned: options.align_corners,
    };
    let mut matrix = vec![0.0; from * to];
    for output in 0..to {
        for (element, weight) in axis.taps(output, options.mode.clone()) {
            matrix[element * to + output] += weight;
        }
    }
    matrix
}

/// One axis of a resizing.
struct Axis {
    from: usize,
    to: usize,
    /// Whether the first and the last element keep their places.
    aligned: bool,
}

impl Axis {
    /// Which elements make up an element of the result, and their weights.
    fn taps(&self, output: usize, mode: InterpolateModeIr) -> Vec<(usize, f64)> {
        let position = self.position(output);
        let base = position.floor();
        match mode {
            InterpolateModeIr::Nearest => vec![(self.nearest(output as f64), 1.0)],
            InterpolateModeIr::NearestExact => vec![(self.nearest(output as f64 + 0.5), 1.0)],
            InterpolateModeIr::Bilinear => {
                let low = base.max(0.0);
                let weight = (position - low).max(0.0);
                vec![
                    (self.inside(low), 1.0 - weight),
                    (self.inside(low + 1.0), weight),
                ]
            }
            InterpolateModeIr::Bicubic => (-1..=2)
                .map(|offset| base + f64::from(offset))
                .map(|place| (self.inside(place), cubic(position - place)))
                .collect(),
            InterpolateModeIr::Lanczos3 => self.lanczos(position),
        }
    }

    /// Places outside are left out, and the other weights add up to one.
    fn lanczos(&self, position: f64) -> Vec<(usize, f64)> {
        let mut taps: Vec<(usize, f64)> = (-2..=3)
            .map(|offset| position.floor() + f64::from(offset))
            .filter(|&place| place >= 0.0 && place < self.from as f64)
            .map(|place| (place as usize, windowed_sinc(position - place)))
            .collect();
        let sum: f64 = taps.iter().map(|(_, weight)| weight).sum();
        if sum != 0.0 {
            taps.iter_mut().for_each(|(_, weight)| *weight /= sum);
        }
        taps
    }

    /// Where an element of the result lies between the elements.
    fn position(&self, output: usize) -> f64 {
        if self.aligned {
            return output as f64 * (self.from as f64 - 1.0) / (self.to - 1).max(1) as f64;
        }
        (output as f64 + 0.5) * self.from as f64 / self.to as f64 - 0.5
    }

    fn nearest(&self, output: f64) -> usize {
        self.inside((output * self.from as f64 / self.to as f64).floor())
    }

    fn inside(&self, place: f64) -> usize {
        place.clamp(0.0, (self.from - 1) as f64) as usize
    }
}

/// Keys' cubic convolution kernel.
fn cubic(distance: f64) -> f64 {
    let t = distance.abs();
    match t {
        t if t < 1.0 => ((CUBIC + 2.0) * t - (CUBIC + 3.0)) * t * t + 1.0,
        t if t < 2.0 => ((CUBIC * t - 5.0 * CUBIC) * t + 8.0 * CUBIC) * t - 4.0 * CUBIC,
        _ => 0.0,
    }
}

/// sinc(x) sinc(x/3) inside of |x| < 3.
fn windowed_sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    if x.abs() >= 3.0 {
        return 0.0;
    }
    let (wave, window) = (PI * x, PI * x / 3.0);
    wave.sin() * window.sin() / (wave * window)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(mode: InterpolateModeIr, align_corners: bool) -> InterpolateOptionsIr {
        InterpolateOptionsIr {
            mode,
            align_corners,
        }
    }

    #[test]
    fn nearest_copies_elements() {
        let floor = resizing_matrix(2, 4, &options(InterpolateModeIr::Nearest, true));
        assert_eq!(floor, [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
        // 3 to 2: the centres 0.25 and 0.75 of the result lie in elements 0 and 2
        let exact = resizing_matrix(3, 2, &options(InterpolateModeIr::NearestExact, false));
        assert_eq!(exact, [1.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn aligned_corners_keep_their_places() {
        let matrix = resizing_matrix(2, 3, &options(InterpolateModeIr::Bilinear, true));
        assert_eq!(matrix, [1.0, 0.5, 0.0, 0.0, 0.5, 1.0]);
    }

    #[test]
    fn weights_add_up_to_one() {
        for mode in [
            InterpolateModeIr::Bilinear,
            InterpolateModeIr::Bicubic,
            InterpolateModeIr::Lanczos3,
        ] {
            let matrix = resizing_matrix(5, 7, &options(mode, false));
            for output in 0..7 {
                let sum: f64 = (0..5).map(|element| matrix[element * 7 + output]).sum();
                assert!((sum - 1.0).abs() < 1e-12, "{sum}");
            }
        }
    }

    #[test]
    fn transposing_swaps_rows_and_columns() {
        assert_eq!(
            transposed(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 3),
            [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]
        );
    }
}
