//! Which seeds a run repeats its measurements with.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};

/// More seeds than this are a slip of the keyboard.
const MOST_SEEDS: u64 = 10_000;

/// The seeds of a run, in the order given: `0..5`, `0..=4`, `3`, `0,2,7` or a mixture such as `0..3,7`.
///
/// ```
/// let seeds: ravine_experiments::Seeds = "0..3,7".parse().unwrap();
/// assert_eq!(seeds.values(), [0, 1, 2, 7]);
/// assert_eq!(seeds.to_string(), "0..3,7");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Seeds(Vec<u64>);

impl Seeds {
    /// The seeds, at least one, none twice.
    pub fn values(&self) -> &[u64] {
        &self.0
    }

    /// The first seed alone, for a run that only has to show that it works.
    pub(crate) fn first(&self) -> Self {
        Self(self.0[..1].to_vec())
    }
}

impl Default for Seeds {
    /// The seed 0 alone.
    fn default() -> Self {
        Self(vec![0])
    }
}

impl From<std::ops::Range<u64>> for Seeds {
    /// The seeds of a range; the seed 0 of an empty one.
    fn from(range: std::ops::Range<u64>) -> Self {
        match range.is_empty() {
            true => Self::default(),
            false => Self(range.collect()),
        }
    }
}

impl<'a> IntoIterator for &'a Seeds {
    type Item = u64;
    type IntoIter = std::iter::Copied<std::slice::Iter<'a, u64>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter().copied()
    }
}

impl FromStr for Seeds {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut seeds = Vec::new();
        for part in text.split(',') {
            let (first, last) = inclusive_range(part.trim())
                .map_err(|error| anyhow!("seeds `{text}`: {error}; want `0..5`, `3` or `0,2,7`"))?;
            ensure!(
                last - first < MOST_SEEDS,
                "seeds `{text}`: more than {MOST_SEEDS} seeds"
            );
            seeds.extend(first..=last);
        }
        let mut sorted = seeds.clone();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            bail!("seeds `{text}`: {} is there twice", pair[0]);
        }
        Ok(Self(seeds))
    }
}

/// First and last seed of `3`, `0..5` or `0..=4`.
fn inclusive_range(part: &str) -> anyhow::Result<(u64, u64)> {
    let number = |text: &str| {
        let number = text.trim().parse::<u64>().ok();
        number.with_context(|| format!("`{text}` is no whole number from 0"))
    };
    let Some((first, last)) = part.split_once("..") else {
        let seed = number(part)?;
        return Ok((seed, seed));
    };
    let first = number(first)?;
    let last = match last.strip_prefix('=') {
        Some(last) => number(last)?,
        None => number(last)?
            .checked_sub(1)
            .with_context(|| format!("`{part}` is empty"))?,
    };
    ensure!(first <= last, "`{part}` is empty");
    Ok((first, last))
}

impl fmt::Display for Seeds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_slice();
        let mut separator = "";
        while let Some(&first) = rest.first() {
            let consecutive = (first..=u64::MAX)
                .zip(rest)
                .take_while(|(expected, seed)| expected == *seed)
                .count();
            formatter.write_str(separator)?;
            if consecutive > 1 {
                let last = rest[consecutive - 1];
                match last.checked_add(1) {
                    Some(end) => write!(formatter, "{first}..{end}")?,
                    None => write!(formatter, "{first}..={last}")?,
                }
            } else {
                write!(formatter, "{first}")?;
            }
            separator = ",";
            rest = &rest[consecutive..];
        }
        Ok(())
    }
}

impl TryFrom<String> for Seeds {
    type Error = anyhow::Error;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Seeds> for String {
    fn from(seeds: Seeds) -> Self {
        seeds.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<u64> {
        text.parse::<Seeds>().unwrap().0
    }

    #[test]
    fn every_way_of_writing_them() {
        assert_eq!(parsed("0..5"), [0, 1, 2, 3, 4]);
        assert_eq!(parsed("0..=4"), [0, 1, 2, 3, 4]);
        assert_eq!(parsed("3"), [3]);
        assert_eq!(parsed("0,2,7"), [0, 2, 7]);
        assert_eq!(parsed(" 7, 0..2 "), [7, 0, 1]);
        assert_eq!(parsed("18446744073709551615"), [u64::MAX]);
    }

    #[test]
    fn mistakes_are_named() {
        for text in ["", "x", "-1", "5..5", "5..2", "0..", "1,,2", "1.5", "0..0"] {
            let error = text.parse::<Seeds>().unwrap_err().to_string();
            assert!(error.contains(&format!("seeds `{text}`")), "{error}");
        }
        let twice = "0..3,1".parse::<Seeds>().unwrap_err().to_string();
        assert!(twice.contains("1 is there twice"), "{twice}");
        let many = "0..1000000000000".parse::<Seeds>().unwrap_err().to_string();
        assert!(many.contains("10000"), "{many}");
    }

    #[test]
    fn shown_seeds_parse_back() {
        for text in [
            "0..5",
            "3",
            "0,2,7",
            "0..3,7",
            "7,0..2",
            "18446744073709551614..=18446744073709551615",
        ] {
            let seeds: Seeds = text.parse().unwrap();
            assert_eq!(seeds.to_string(), text);
        }
    }
}
