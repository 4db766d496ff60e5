//! MNIST through burn-dataset.

use super::images::ImageFormat;
use super::{DatasetError, LabelledImages};
use burn_dataset::Dataset as _;
use burn_dataset::vision::{MnistDataset, MnistItem};
use std::panic::catch_unwind;

/// 70,000 handwritten digits of 28 × 28 pixels from 0 to 255, in 10 classes; needs the Cargo feature `mnist`.
///
/// The files are downloaded by `burn-dataset` on first use (11 MB, from the CVDF mirror) and kept in the user's cache directory; later
/// uses need no network.
///
/// # References
///
/// Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, Gradient-based learning applied to document recognition, Proc. IEEE 86 (1998).
///
/// ```no_run
/// use ravine_model::datasets::{Dataset, Mnist};
///
/// assert_eq!(Mnist::train()?.len(), 60_000);
/// # Ok::<(), ravine_model::datasets::DatasetError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Mnist;

const FORMAT: ImageFormat = ImageFormat {
    height: 28,
    width: 28,
    maximum: 255,
    classes: 10,
};

impl Mnist {
    /// The 60,000 training images, raw.
    ///
    /// # Errors
    ///
    /// [`DatasetError::Download`] when the files cannot be downloaded or read.
    pub fn train() -> Result<LabelledImages, DatasetError> {
        load(MnistDataset::train)
    }

    /// The 10,000 test images, raw.
    ///
    /// # Errors
    ///
    /// [`DatasetError::Download`] when the files cannot be downloaded or read.
    pub fn test() -> Result<LabelledImages, DatasetError> {
        load(MnistDataset::test)
    }
}

fn load(open: fn() -> MnistDataset) -> Result<LabelledImages, DatasetError> {
    // burn-dataset panics where the network or the disk fails, which is nothing that a program should die of.
    let dataset = catch_unwind(open).map_err(|panic| failed(message(panic.as_ref())))?;
    let items: Result<Vec<MnistItem>, _> = (0..dataset.len()).map(|i| dataset.get(i)).collect();
    from_items(&items.map_err(|error| failed(error.to_string()))?)
}

fn from_items(items: &[MnistItem]) -> Result<LabelledImages, DatasetError> {
    // Burn holds the bytes as f32, which is exact.
    let pixels = items
        .iter()
        .flat_map(|item| item.image.as_flattened())
        .map(|pixel| *pixel as u8)
        .collect();
    let labels = items.iter().map(|item| item.label).collect();
    LabelledImages::new(pixels, labels, FORMAT)
}

fn failed(reason: String) -> DatasetError {
    DatasetError::Download {
        name: "MNIST",
        reason,
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no reason given")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::{Dataset, Standardisation};
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn items_become_rows_of_pixels() {
        let mut image = [[0.0; 28]; 28];
        image[1][2] = 255.0;
        let items = [MnistItem { image, label: 7 }];
        let images = from_items(&items)
            .unwrap()
            .standardised(Standardisation::UnitInterval);
        let (pixels, labels) = images.full_batch(&Device::flex());
        let pixels: Vec<f64> = pixels.into_data().iter::<f64>().collect();
        assert_eq!((pixels[30], pixels.iter().sum::<f64>()), (1.0, 1.0));
        assert_eq!(labels.into_data().iter::<i64>().collect::<Vec<_>>(), [7]);
    }

    #[test]
    fn a_panic_becomes_an_error_with_its_reason() {
        let error = load(|| panic!("no network")).unwrap_err();
        assert_eq!(error, failed("no network".into()));
    }
}
