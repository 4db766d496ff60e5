//! Grey images with a class each.

use super::standardisation::Range;
use super::{
    Dataset, DatasetError, LabelledBatch, Scaler, Standardisation, labels, matrix, split, subset,
};
use crate::random::stream;
use burn::tensor::TensorCreationOptions;
use rand::RngExt;
use rand::seq::SliceRandom;
use std::sync::Arc;

/// Images of one size, a byte a pixel, with a class each.
///
/// Subsets share the pixels, so that splitting costs nothing. A batch is `(images [n, height · width], labels [n])`, the pixels of a
/// row of the image next to each other; [`image_batch`](LabelledImages::image_batch) gives `[n, 1, height, width]`.
#[derive(Clone, Debug)]
pub struct LabelledImages {
    store: Arc<Store>,
    /// The class of each row of the store.
    labels: Arc<Vec<u8>>,
    rows: Vec<usize>,
    scaler: Arc<Scaler>,
}

#[derive(Debug)]
struct Store {
    pixels: Vec<u8>,
    height: usize,
    width: usize,
    /// The largest value that a pixel can have.
    maximum: u8,
    classes: usize,
}

impl Store {
    fn pixels(&self) -> usize {
        self.height * self.width
    }

    fn image(&self, row: usize) -> impl Iterator<Item = f64> + '_ {
        let start = row * self.pixels();
        self.pixels[start..start + self.pixels()]
            .iter()
            .map(|pixel| f64::from(*pixel))
    }
}

/// What all images of a dataset have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ImageFormat {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) maximum: u8,
    pub(super) classes: usize,
}

impl LabelledImages {
    /// All of `pixels`, raw.
    ///
    /// # Errors
    ///
    /// [`DatasetError::Shape`] when pixels and labels do not make the same number of images, or there is none.
    pub(super) fn new(
        pixels: Vec<u8>,
        labels: Vec<u8>,
        format: ImageFormat,
    ) -> Result<Self, DatasetError> {
        let ImageFormat {
            height,
            width,
            maximum,
            classes,
        } = format;
        let expected = labels.len().max(1) * height * width;
        if pixels.len() != expected {
            return Err(DatasetError::Shape {
                what: "pixels",
                found: pixels.len(),
                expected,
            });
        }
        let store = Store {
            pixels,
            height,
            width,
            maximum,
            classes,
        };
        let rows: Vec<usize> = (0..labels.len()).collect();
        let scaler = fit(&store, &rows, Standardisation::Raw);
        Ok(LabelledImages {
            store: Arc::new(store),
            labels: Arc::new(labels),
            rows,
            scaler: Arc::new(scaler),
        })
    }

    /// A random partition into (train, test), `test_fraction` of the examples in the latter. The scale of the features stays as it is.
    ///
    /// # Errors
    ///
    /// [`DatasetError::Fraction`] when a part would be empty.
    pub fn split(&self, test_fraction: f64, seed: u64) -> Result<(Self, Self), DatasetError> {
        let (train, test) = split(&self.rows, test_fraction, seed)?;
        Ok((self.with_rows(train), self.with_rows(test)))
    }

    /// `size` examples at random.
    ///
    /// # Errors
    ///
    /// [`DatasetError::Subset`] when `size` is zero or more than there are.
    pub fn subset(&self, size: usize, seed: u64) -> Result<Self, DatasetError> {
        Ok(self.with_rows(subset(&self.rows, size, seed)?))
    }

    /// The same examples, scaled by their own statistics.
    pub fn standardised(mut self, standardisation: Standardisation) -> Self {
        self.scaler = Arc::new(fit(&self.store, &self.rows, standardisation));
        self
    }

    /// The same examples, scaled as those of `other`: what a test set needs.
    ///
    /// # Errors
    ///
    /// [`DatasetError::Shape`] when the images differ in size.
    pub fn scaled_like(mut self, other: &Self) -> Result<Self, DatasetError> {
        other.scaler.check(self.features())?;
        self.scaler = Arc::clone(&other.scaler);
        Ok(self)
    }

    /// The same images, where `fraction` of them (rounded down, chosen at random) have a class drawn uniformly from all: noise that no network can explain.
    ///
    /// # Errors
    ///
    /// [`DatasetError::RandomLabels`] when the fraction is not in 0..=1.
    ///
    /// # References
    ///
    /// C. Zhang et al., Understanding deep learning requires rethinking generalization, ICLR 2017, section 2.
    pub fn with_random_labels(mut self, fraction: f64, seed: u64) -> Result<Self, DatasetError> {
        if !(0.0..=1.0).contains(&fraction) {
            return Err(DatasetError::RandomLabels { fraction });
        }
        let mut rng = stream(seed, "random labels");
        let mut rows = self.rows.clone();
        rows.shuffle(&mut rng);
        rows.truncate((fraction * rows.len() as f64) as usize);
        let labels = Arc::make_mut(&mut self.labels);
        for row in rows {
            labels[row] = rng.random_range(0..self.store.classes) as u8;
        }
        Ok(self)
    }

    /// Pixels of an image.
    pub fn features(&self) -> usize {
        self.store.pixels()
    }

    /// Height and width of an image.
    pub fn image_size(&self) -> [usize; 2] {
        [self.store.height, self.store.width]
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.store.classes
    }

    /// The class of each example.
    pub fn labels(&self) -> Vec<u8> {
        self.rows.iter().map(|r| self.labels[*r]).collect()
    }

    /// How the features are scaled.
    pub fn scaler(&self) -> &Scaler {
        &self.scaler
    }

    /// The batch of the given examples with images as `[n, 1, height, width]`.
    ///
    /// # Errors
    ///
    /// [`DatasetError::Row`] when a row is not below the number of examples.
    pub fn image_batch(
        &self,
        rows: &[usize],
        options: impl Into<TensorCreationOptions>,
    ) -> Result<LabelledBatch<4>, DatasetError> {
        let (pixels, labels) = self.batch(rows, options)?;
        let [height, width] = self.image_size();
        Ok((pixels.reshape([rows.len(), 1, height, width]), labels))
    }

    fn with_rows(&self, rows: Vec<usize>) -> Self {
        LabelledImages {
            rows,
            ..self.clone()
        }
    }
}

fn fit(store: &Store, rows: &[usize], standardisation: Standardisation) -> Scaler {
    let range = Range::Pixels {
        maximum: f64::from(store.maximum),
    };
    let images = rows.iter().map(|row| store.image(*row));
    Scaler::fit(standardisation, range, store.pixels(), images)
}

impl Dataset for LabelledImages {
    type Batch = LabelledBatch<2>;

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn gather(&self, rows: &[usize], options: &TensorCreationOptions) -> LabelledBatch<2> {
        let rows: Vec<usize> = rows.iter().map(|row| self.rows[*row]).collect();
        let images = rows
            .iter()
            .flat_map(|row| self.scaler.apply(self.store.image(*row)))
            .collect();
        let classes = rows.iter().map(|row| i64::from(self.labels[*row]));
        (
            matrix(images, [rows.len(), self.features()], options),
            labels(classes.collect(), options),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{DType, Device, Tensor};

    const FORMAT: ImageFormat = ImageFormat {
        height: 1,
        width: 2,
        maximum: 10,
        classes: 3,
    };

    fn images() -> LabelledImages {
        let pixels = vec![0, 10, 2, 10, 4, 10, 6, 10];
        LabelledImages::new(pixels, vec![2, 1, 0, 1], FORMAT).unwrap()
    }

    fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
        tensor.into_data().iter::<f64>().collect()
    }

    #[test]
    fn a_batch_holds_the_examples_asked_for_in_their_order() {
        let options = (&Device::flex(), DType::F64);
        let (pixels, labels) = images().batch(&[3, 0], options).unwrap();
        assert_eq!(values(pixels.clone()), [6.0, 10.0, 0.0, 10.0]);
        assert_eq!((pixels.dims(), pixels.dtype()), ([2, 2], DType::F64));
        let labels: Vec<i64> = labels.into_data().iter::<i64>().collect();
        assert_eq!(labels, [1, 2]);
        let (image, _) = images().image_batch(&[1], &Device::flex()).unwrap();
        assert_eq!(image.dims(), [1, 1, 1, 2]);
        assert!(images().batch(&[4], &Device::flex()).is_err());
    }

    #[test]
    fn random_labels_are_of_the_fraction_and_leave_the_original_alone() {
        let digits = crate::datasets::Digits::load();
        let before = digits.labels();
        let noisy = digits.clone().with_random_labels(0.5, 3).unwrap();
        let pairs = before.iter().zip(noisy.labels());
        let changed = pairs.filter(|(a, b)| **a != *b).count() as f64 / before.len() as f64;
        // of those drawn anew, a tenth stays what it was
        assert!((changed - 0.45).abs() < 0.03, "{changed}");
        assert_eq!(digits.labels(), before);
        let again = digits.clone().with_random_labels(0.5, 3).unwrap();
        assert_eq!(again.labels(), noisy.labels());
        let none = digits.clone().with_random_labels(0.0, 3).unwrap();
        assert_eq!(none.labels(), before);
        assert!(digits.with_random_labels(1.5, 0).is_err());
    }

    #[test]
    fn a_test_set_takes_the_scale_of_its_training_set() {
        let all = images();
        let train = all
            .with_rows(vec![0, 1])
            .standardised(Standardisation::Standardised);
        let test = all.with_rows(vec![2, 3]).scaled_like(&train).unwrap();
        // Train: pixel 0 is 0 and 2, mean 1 and deviation 1; pixel 1 is constant.
        let options = (&Device::flex(), DType::F64);
        assert_eq!(values(train.full_batch(options).0), [-1.0, 0.0, 1.0, 0.0]);
        let options = (&Device::flex(), DType::F64);
        assert_eq!(values(test.full_batch(options).0), [3.0, 0.0, 5.0, 0.0]);
        assert_eq!(test.labels(), [0, 1]);
    }

    #[test]
    fn pixels_and_labels_must_fit() {
        for (pixels, labels) in [(vec![0; 3], vec![0; 2]), (vec![], vec![])] {
            let error = LabelledImages::new(pixels, labels, FORMAT).unwrap_err();
            assert!(matches!(error, DatasetError::Shape { .. }));
        }
    }
}
