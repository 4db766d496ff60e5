//! Shuffled batches, epoch by epoch.

use super::{Dataset, DatasetError};
use crate::random::stream;
use burn::tensor::TensorCreationOptions;
use rand::seq::SliceRandom;
use std::vec;

/// A plan of batches over a dataset: which examples each batch of each epoch holds.
///
/// Epoch k under seed s is the same wherever and whenever it is asked for, so that a run can be repeated or resumed in the middle.
#[derive(Clone, Debug)]
pub struct Batches<'a, D> {
    dataset: &'a D,
    size: usize,
    seed: u64,
    remainder: Remainder,
    options: TensorCreationOptions,
}

/// What becomes of the examples that do not fill the last batch of an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Remainder {
    /// They are a smaller batch. Every example is seen once an epoch, but there are two batch shapes.
    #[default]
    Keep,
    /// They are left out of this epoch. All batches have one shape, so that a recorded loss fits them all.
    Drop,
}

impl<'a, D: Dataset> Batches<'a, D> {
    pub(super) fn new(
        dataset: &'a D,
        size: usize,
        seed: u64,
        options: TensorCreationOptions,
    ) -> Result<Self, DatasetError> {
        let len = dataset.len();
        if size == 0 || size > len {
            return Err(DatasetError::BatchSize { size, len });
        }
        Ok(Batches {
            dataset,
            size,
            seed,
            remainder: Remainder::default(),
            options,
        })
    }

    /// Sets what becomes of an incomplete last batch; it is kept by default.
    pub fn with_remainder(mut self, remainder: Remainder) -> Self {
        self.remainder = remainder;
        self
    }

    /// The number of batches in an epoch.
    pub fn per_epoch(&self) -> usize {
        match self.remainder {
            Remainder::Keep => self.dataset.len().div_ceil(self.size),
            Remainder::Drop => self.dataset.len() / self.size,
        }
    }

    /// The batches of epoch number `epoch`, made one by one as they are asked for.
    pub fn epoch(&self, epoch: u64) -> Epoch<'a, D> {
        let mut order: Vec<usize> = (0..self.dataset.len()).collect();
        order.shuffle(&mut stream(self.seed, &format!("epoch {epoch}")));
        let mut batches: Vec<Vec<usize>> = order.chunks(self.size).map(<[usize]>::to_vec).collect();
        batches.truncate(self.per_epoch());
        Epoch {
            dataset: self.dataset,
            batches: batches.into_iter(),
            options: self.options.clone(),
        }
    }

    /// The batches of epochs 0, 1, 2 … without end, for training by steps.
    ///
    /// ```
    /// use burn::prelude::*;
    /// use ravine_model::datasets::{Dataset, Digits};
    ///
    /// let digits = Digits::load();
    /// let batches = digits.batches(1000, 0, &Device::flex())?;
    /// let sizes: Vec<usize> = batches.endless().take(3).map(|(x, _)| x.dims()[0]).collect();
    /// assert_eq!(sizes, [1000, 797, 1000]);
    /// # Ok::<(), ravine_model::datasets::DatasetError>(())
    /// ```
    pub fn endless(self) -> impl Iterator<Item = D::Batch> + use<'a, D> {
        (0..).flat_map(move |epoch| self.epoch(epoch))
    }
}

/// The batches of one epoch.
#[derive(Clone, Debug)]
pub struct Epoch<'a, D> {
    dataset: &'a D,
    batches: vec::IntoIter<Vec<usize>>,
    options: TensorCreationOptions,
}

impl<D: Dataset> Iterator for Epoch<'_, D> {
    type Item = D::Batch;

    fn next(&mut self) -> Option<D::Batch> {
        let rows = self.batches.next()?;
        Some(self.dataset.gather(&rows, &self.options))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.batches.size_hint()
    }
}

impl<D: Dataset> ExactSizeIterator for Epoch<'_, D> {}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    /// A dataset whose batch is the list of its rows.
    struct Rows(usize);

    impl Dataset for Rows {
        type Batch = Vec<usize>;

        fn len(&self) -> usize {
            self.0
        }

        fn gather(&self, rows: &[usize], _: &TensorCreationOptions) -> Vec<usize> {
            rows.to_vec()
        }
    }

    fn epoch(seed: u64, number: u64, remainder: Remainder) -> Vec<Vec<usize>> {
        let rows = Rows(23);
        let batches = rows.batches(5, seed, &Device::flex()).unwrap();
        let batches = batches.with_remainder(remainder);
        let epoch: Vec<Vec<usize>> = batches.epoch(number).collect();
        assert_eq!(epoch.len(), batches.per_epoch());
        epoch
    }

    #[test]
    fn an_epoch_holds_every_example_once() {
        let kept = epoch(3, 0, Remainder::Keep);
        let sizes: Vec<usize> = kept.iter().map(Vec::len).collect();
        assert_eq!(sizes, [5, 5, 5, 5, 3]);
        let mut all = kept.concat();
        all.sort_unstable();
        assert_eq!(all, (0..23).collect::<Vec<_>>());
        assert_eq!(epoch(3, 0, Remainder::Drop), kept[..4]);
    }

    #[test]
    fn epochs_repeat_by_seed_and_number() {
        let keep = Remainder::Keep;
        assert_eq!(epoch(3, 7, keep), epoch(3, 7, keep));
        assert_ne!(epoch(3, 7, keep), epoch(3, 8, keep));
        assert_ne!(epoch(3, 7, keep), epoch(4, 7, keep));
    }

    #[test]
    fn endless_runs_through_the_epochs() {
        let rows = Rows(4);
        let batches = rows.batches(2, 1, &Device::flex()).unwrap();
        let expected: Vec<_> = (0..3).flat_map(|k| batches.epoch(k)).collect();
        let found: Vec<_> = batches.endless().take(6).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn impossible_sizes_and_rows_are_errors() {
        let device = Device::flex();
        for size in [0, 24] {
            let error = Rows(23).batches(size, 0, &device).err();
            assert_eq!(error, Some(DatasetError::BatchSize { size, len: 23 }));
        }
        let error = Rows(3).batch(&[0, 3], &device).err();
        assert_eq!(error, Some(DatasetError::Row { row: 3, len: 3 }));
        assert_eq!(Rows(3).batch(&[2, 2], &device), Ok(vec![2, 2]));
    }
}
