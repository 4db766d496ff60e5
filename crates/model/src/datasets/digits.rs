//! Handwritten digits, 8 × 8.

use super::images::ImageFormat;
use super::{LabelledImages, numbers};
use std::sync::LazyLock;

/// 1,797 handwritten digits of 8 × 8 pixels from 0 to 16, in 10 classes of 174 to 183 examples.
///
/// Small enough for second-order methods on a laptop, real enough to be hard: the pixels in the corners are almost constant, which makes the raw
/// features badly conditioned.
///
/// # References
///
/// E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository (1998), CC BY 4.0; the test
/// part, as scikit-learn ships it.
///
/// ```
/// use ravine_model::datasets::{Dataset, Digits};
///
/// let digits = Digits::load();
/// assert_eq!((digits.len(), digits.features(), digits.classes()), (1797, 64, 10));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Digits;

const FORMAT: ImageFormat = ImageFormat {
    height: 8,
    width: 8,
    maximum: 16,
    classes: 10,
};

static DIGITS: LazyLock<LabelledImages> = LazyLock::new(|| {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for line in include_str!("../../data/digits.csv").lines().skip(1) {
        pixels.extend(numbers(line).map(|value| value as u8));
        labels.extend(pixels.pop());
    }
    LabelledImages::new(pixels, labels, FORMAT).expect("the file has 64 pixels and a label a line")
});

impl Digits {
    /// All digits, raw. The file is parsed on the first call only.
    pub fn load() -> LabelledImages {
        DIGITS.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Dataset, Standardisation};
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn the_file_is_read_as_it_is() {
        let digits = Digits::load();
        assert_eq!(digits.len(), 1797);
        let mut counts = [0; 10];
        for label in digits.labels() {
            counts[usize::from(label)] += 1;
        }
        assert_eq!(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
        let (images, _) = digits.batch(&[0], &Device::flex()).unwrap();
        let first: Vec<f64> = images.into_data().iter::<f64>().collect();
        assert_eq!(first[..8], [0.0, 0.0, 5.0, 13.0, 9.0, 1.0, 0.0, 0.0]);
        let (images, labels) = digits.full_batch(&Device::flex());
        let pixels: Vec<f64> = images.into_data().iter::<f64>().collect();
        assert_eq!(pixels.iter().sum::<f64>(), 561_718.0);
        assert_eq!(pixels.iter().fold(0.0, |m: f64, p| m.max(*p)), 16.0);
        assert_eq!(labels.dims(), [1797]);
    }

    #[test]
    fn standardised_pixels_have_mean_zero_and_deviation_one_or_zero() {
        let digits = Digits::load().standardised(Standardisation::Standardised);
        let (images, _) = digits.full_batch((&Device::flex(), burn::tensor::DType::F64));
        let values: Vec<f64> = images.into_data().iter::<f64>().collect();
        let mut constant = 0;
        for k in 0..64 {
            let column = || values.iter().skip(k).step_by(64);
            let mean = column().sum::<f64>() / 1797.0;
            let square = column().map(|v| v * v).sum::<f64>() / 1797.0;
            assert!(mean.abs() < 1e-13);
            assert!(square == 0.0 || (square - 1.0).abs() < 1e-12);
            constant += usize::from(square == 0.0);
        }
        assert_eq!(constant, 3);
    }
}
