//! A short text, character by character.

use super::{Dataset, DatasetError};
use burn::tensor::{Int, Tensor, TensorCreationOptions, TensorData};
use std::sync::Arc;

/// Windows of a text: each character as a unit vector `[n, length, vocabulary]`, and the number of the character that
/// follows it `[n, length]`.
pub type CharacterBatch = (Tensor<3>, Tensor<2, Int>);

/// Windows of a short text for a model that predicts the next character.
///
/// Letters are taken in lower case; line breaks are characters. The vocabulary is that of the whole text, in the order of the
/// code points.
///
/// # References
///
/// L. Carroll, Through the Looking-Glass, and What Alice Found There, 1871: Jabberwocky, and The Walrus and the Carpenter. In the
/// public domain.
///
/// ```
/// use burn::prelude::*;
/// use ravine_model::datasets::{Characters, Dataset};
///
/// let windows = Characters::carroll(16, 8)?;
/// let (inputs, next) = windows.batch(&[0, 1], &Device::flex())?;
/// assert_eq!(inputs.dims(), [2, 16, windows.vocabulary().len()]);
/// assert_eq!(next.dims(), [2, 16]);
/// # Ok::<(), ravine_model::datasets::DatasetError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Characters {
    text: Arc<Text>,
    /// Where each window begins.
    starts: Vec<usize>,
    length: usize,
}

#[derive(Debug)]
struct Text {
    vocabulary: Vec<char>,
    /// The text as numbers of its characters.
    codes: Vec<usize>,
}

impl Characters {
    /// Windows of `length` characters of the text that ships with the crate, `stride` characters apart.
    ///
    /// # Errors
    ///
    /// As [`Characters::of`].
    pub fn carroll(length: usize, stride: usize) -> Result<Self, DatasetError> {
        Self::of(include_str!("../../data/carroll.txt"), length, stride)
    }

    /// Windows of `length` characters of a text, `stride` characters apart.
    ///
    /// # Errors
    ///
    /// [`DatasetError::Shape`] when the text is not longer than a window, or `length` or `stride` is zero.
    pub fn of(text: &str, length: usize, stride: usize) -> Result<Self, DatasetError> {
        let characters: Vec<char> = text.to_lowercase().chars().collect();
        let shape = |what, found, expected| DatasetError::Shape {
            what,
            found,
            expected,
        };
        if length == 0 || stride == 0 {
            return Err(shape("characters in a window or stride", 0, 1));
        }
        if characters.len() <= length {
            return Err(shape("characters", characters.len(), length + 1));
        }
        let mut vocabulary = characters.clone();
        vocabulary.sort_unstable();
        vocabulary.dedup();
        let codes = characters
            .iter()
            .map(|c| vocabulary.partition_point(|known| known < c))
            .collect();
        Ok(Self {
            text: Arc::new(Text { vocabulary, codes }),
            // the last character of a window has one that follows it
            starts: (0..characters.len() - length).step_by(stride).collect(),
            length,
        })
    }

    /// The characters, by their number.
    pub fn vocabulary(&self) -> &[char] {
        &self.text.vocabulary
    }

    /// The first windows, and the last ones for validation: `fraction` of them, of which those that overlap the first part are left
    /// out.
    ///
    /// # Errors
    ///
    /// [`DatasetError::Fraction`] when a part would be empty.
    pub fn split_at_end(&self, fraction: f64) -> Result<(Self, Self), DatasetError> {
        let kept = (self.len() as f64 * (1.0 - fraction)).round() as usize;
        let (first, last) = self.starts.split_at(kept.min(self.len()));
        let end = first.last().map_or(0, |start| start + self.length);
        let last: Vec<usize> = last.iter().copied().filter(|start| *start > end).collect();
        if first.is_empty() || last.is_empty() {
            return Err(DatasetError::Fraction {
                fraction,
                len: self.len(),
            });
        }
        let part = |starts| Self {
            starts,
            ..self.clone()
        };
        Ok((part(first.to_vec()), part(last)))
    }
}

impl Dataset for Characters {
    type Batch = CharacterBatch;

    fn len(&self) -> usize {
        self.starts.len()
    }

    fn gather(&self, rows: &[usize], options: &TensorCreationOptions) -> CharacterBatch {
        let width = self.text.vocabulary.len();
        let mut inputs = vec![0f64; rows.len() * self.length * width];
        let mut next = Vec::with_capacity(rows.len() * self.length);
        for (window, row) in rows.iter().enumerate() {
            let start = self.starts[*row];
            for position in 0..self.length {
                let code = self.text.codes[start + position];
                inputs[(window * self.length + position) * width + code] = 1.0;
                next.push(self.text.codes[start + position + 1] as i64);
            }
        }
        let inputs = TensorData::new(inputs, [rows.len(), self.length, width]);
        let next = TensorData::new(next, [rows.len(), self.length]);
        (
            Tensor::from_data(inputs, options.clone()),
            Tensor::from_data(next, &options.device),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn the_next_character_is_the_target() {
        let windows = Characters::of("abcAB", 2, 1).unwrap();
        assert_eq!(windows.vocabulary(), ['a', 'b', 'c']);
        assert_eq!(windows.len(), 3);
        let (inputs, next) = windows.batch(&[1], &Device::flex()).unwrap();
        let inputs: Vec<f64> = inputs.into_data().iter::<f64>().collect();
        let next: Vec<i64> = next.into_data().iter::<i64>().collect();
        assert_eq!(inputs, [0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
        assert_eq!(next, [2, 0]);
    }

    #[test]
    fn the_text_is_whole_and_plain() {
        let windows = Characters::carroll(16, 16).unwrap();
        let text = &windows.text;
        assert!(text.vocabulary.iter().all(char::is_ascii));
        assert_eq!(
            text.codes.len(),
            include_str!("../../data/carroll.txt").len()
        );
        let letters = text.vocabulary.iter().filter(|c| c.is_ascii_lowercase());
        assert_eq!(letters.count(), 26);
    }

    #[test]
    fn validation_does_not_overlap_training() {
        let windows = Characters::carroll(10, 3).unwrap();
        let (train, test) = windows.split_at_end(0.2).unwrap();
        let end = train.starts.last().unwrap() + 10;
        assert!(test.starts.iter().all(|start| *start > end));
        assert!(test.len() * 6 > train.len());
        assert!(windows.split_at_end(0.0).is_err());
    }

    #[test]
    fn texts_that_are_too_short_are_refused() {
        assert!(Characters::of("abc", 3, 1).is_err());
        assert!(Characters::of("abc", 0, 1).is_err());
        assert!(Characters::of("abc", 1, 0).is_err());
        assert!(Characters::of("", 1, 1).is_err());
    }
}
