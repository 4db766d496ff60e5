use super::{check_dimension, check_length};
use crate::error::CurvatureError;
use crate::layout::{LayoutEntry, ParameterLayout};
use crate::rows::{as_row, as_vector};
use burn::prelude::Tensor;
use std::ops::Range;

/// A choice of entries of flat vectors: a parameter, a layer, ranges.
///
/// S takes the chosen entries out ([`restrict`](Subset::restrict)), Sᵀ puts them back between zeros ([`embed`](Subset::embed)).
///
/// ```
/// use burn::nn::LinearConfig;
/// use burn::prelude::*;
/// use ravine_curvature::ParameterLayout;
/// use ravine_curvature::operators::Subset;
///
/// let layout = ParameterLayout::of(&LinearConfig::new(3, 2).init(&Device::flex()))?;
/// let bias = Subset::of_parameter(&layout, "bias")?;
/// assert_eq!((bias.full_dim(), bias.dim(), bias.ranges()), (8, 2, &[6..8][..]));
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subset {
    full: usize,
    ranges: Vec<Range<usize>>,
}

impl Subset {
    /// The entries of one range of vectors of length `full`.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Argument`] for a range that reaches beyond `full`.
    pub fn of_range(full: usize, range: Range<usize>) -> Result<Self, CurvatureError> {
        Self::of_ranges(full, [range])
    }

    /// The entries of several ranges, in ascending order, whatever the order of the ranges; neighbours are joined.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Argument`] for ranges that overlap, or reach beyond `full`.
    pub fn of_ranges(
        full: usize,
        ranges: impl IntoIterator<Item = Range<usize>>,
    ) -> Result<Self, CurvatureError> {
        let mut sorted: Vec<Range<usize>> = ranges.into_iter().filter(|r| !r.is_empty()).collect();
        sorted.sort_by_key(|range| range.start);
        let mut joined: Vec<Range<usize>> = Vec::new();
        for range in sorted {
            let last = joined.last_mut().filter(|last| last.end >= range.start);
            match last {
                Some(last) if last.end > range.start => {
                    return Err(CurvatureError::Argument {
                        name: "the start of a range of a subset",
                        value: range.start as f64,
                        requirement: "ranges must not overlap",
                    });
                }
                Some(last) => last.end = range.end,
                None => joined.push(range),
            }
        }
        if let Some(last) = joined.last().filter(|last| last.end > full) {
            return Err(CurvatureError::Argument {
                name: "the end of a range of a subset",
                value: last.end as f64,
                requirement: "it must not lie beyond the dimension",
            });
        }
        Ok(Self {
            full,
            ranges: joined,
        })
    }

    /// The entries of a parameter.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::UnknownParameter`] if the layout has none of this name.
    pub fn of_parameter(layout: &ParameterLayout, name: &str) -> Result<Self, CurvatureError> {
        Self::of_parameters(layout, &[name])
    }

    /// The entries of several parameters; one that is named twice counts once.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::UnknownParameter`] if the layout lacks one of the names.
    pub fn of_parameters(layout: &ParameterLayout, names: &[&str]) -> Result<Self, CurvatureError> {
        if let Some(name) = names.iter().find(|name| layout.range(name).is_none()) {
            return Err(unknown(layout, name));
        }
        Self::of_entries(layout, |entry| names.contains(&entry.name.as_str()))
    }

    /// The entries of all parameters below a path, such as `layers.0`.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::UnknownParameter`] if there are none.
    pub fn of_layer(layout: &ParameterLayout, prefix: &str) -> Result<Self, CurvatureError> {
        let below = |entry: &LayoutEntry| {
            let rest = entry.name.strip_prefix(prefix);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let subset = Self::of_entries(layout, below)?;
        match layout.entries().iter().any(below) {
            true => Ok(subset),
            false => Err(unknown(layout, prefix)),
        }
    }

    fn of_entries(
        layout: &ParameterLayout,
        chosen: impl Fn(&LayoutEntry) -> bool,
    ) -> Result<Self, CurvatureError> {
        let entries = layout.entries().iter().filter(|entry| chosen(entry));
        Self::of_ranges(layout.dim(), entries.map(|entry| entry.range.clone()))
    }

    /// All entries that are not chosen here.
    pub fn complement(&self) -> Self {
        let mut ranges = Vec::new();
        let mut start = 0;
        for range in &self.ranges {
            ranges.push(start..range.start);
            start = range.end;
        }
        ranges.push(start..self.full);
        ranges.retain(|range| !range.is_empty());
        Self {
            full: self.full,
            ranges,
        }
    }

    /// Number of chosen entries.
    pub fn dim(&self) -> usize {
        self.ranges.iter().map(ExactSizeIterator::len).sum()
    }

    /// Length of the vectors that are chosen from.
    pub fn full_dim(&self) -> usize {
        self.full
    }

    /// The chosen entries: ascending ranges that neither overlap nor touch.
    pub fn ranges(&self) -> &[Range<usize>] {
        &self.ranges
    }

    /// Whether no entry is chosen in both.
    pub fn is_disjoint(&self, other: &Self) -> bool {
        let apart = |a: &Range<usize>, b: &Range<usize>| a.end <= b.start || b.end <= a.start;
        let all = |a: &Range<usize>| other.ranges.iter().all(|b| apart(a, b));
        self.ranges.iter().all(all)
    }

    /// S v: the chosen entries `[m]` of a vector `[n]`.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Dimension`] for a vector of another length.
    pub fn restrict(&self, v: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
        check_length("a vector to take a subset of", v, self.full)?;
        Ok(as_vector(self.restrict_block(&as_row(v))?))
    }

    /// The chosen entries `[k, m]` of several vectors `[k, n]`.
    ///
    /// # Errors
    ///
    /// As [`restrict`](Subset::restrict).
    pub fn restrict_block(&self, vs: &Tensor<2>) -> Result<Tensor<2>, CurvatureError> {
        let [count, found] = vs.dims();
        check_dimension("a vector to take a subset of", found, self.full)?;
        let part = |range: &Range<usize>| vs.clone().slice([0..count, range.clone()]);
        Ok(match &self.ranges[..] {
            [] => Tensor::zeros([count, 0], (&vs.device(), vs.dtype())),
            [all] if all.len() == self.full => vs.clone(),
            [one] => part(one),
            many => Tensor::cat(many.iter().map(part).collect(), 1),
        })
    }

    /// Sᵀ v: a vector `[n]` with the entries of `v` `[m]` in their places and zeros elsewhere.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Dimension`] for a vector of another length.
    pub fn embed(&self, v: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
        check_length("a vector of a subset", v, self.dim())?;
        Ok(as_vector(self.embed_block(&as_row(v))?))
    }

    /// Several vectors `[k, m]` in their places, `[k, n]`.
    ///
    /// # Errors
    ///
    /// As [`embed`](Subset::embed).
    pub fn embed_block(&self, vs: &Tensor<2>) -> Result<Tensor<2>, CurvatureError> {
        let [count, found] = vs.dims();
        check_dimension("a vector of a subset", found, self.dim())?;
        if found == self.full {
            return Ok(vs.clone());
        }
        let mut full = Tensor::zeros([count, self.full], (&vs.device(), vs.dtype()));
        let mut start = 0;
        for range in &self.ranges {
            let end = start + range.len();
            let part = vs.clone().slice([0..count, start..end]);
            full = full.slice_assign([0..count, range.clone()], part);
            start = end;
        }
        Ok(full)
    }
}

fn unknown(layout: &ParameterLayout, name: &str) -> CurvatureError {
    let known: Vec<&str> = layout
        .entries()
        .iter()
        .map(|entry| entry.name.as_str())
        .collect();
    CurvatureError::UnknownParameter {
        name: name.to_owned(),
        known: known.join(", "),
    }
}
