//! A parameter seen along one of its axes: the entries that belong to an output unit, a channel, a filter.

use std::ops::Range;

/// Part of a flat vector as `[outer, units, inner]`, row-major from `start`: unit u owns the entries `[.., u, ..]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AxisView {
    pub(crate) start: usize,
    pub(crate) outer: usize,
    pub(crate) units: usize,
    pub(crate) inner: usize,
}

impl AxisView {
    /// The parameter of this shape, seen along an axis; `axis` must be below the rank.
    pub(crate) fn along(start: usize, shape: &[usize], axis: usize) -> Self {
        Self {
            start,
            outer: shape[..axis].iter().product(),
            units: shape[axis],
            inner: shape[axis + 1..].iter().product(),
        }
    }

    /// The whole of a parameter as one unit.
    pub(crate) fn whole(range: &Range<usize>) -> Self {
        Self {
            start: range.start,
            outer: 1,
            units: 1,
            inner: range.len(),
        }
    }

    pub(crate) fn range(&self) -> Range<usize> {
        self.start..self.start + self.outer * self.units * self.inner
    }

    /// The entries of a unit, in runs that lie together.
    pub(crate) fn runs(&self, unit: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let Self {
            start,
            outer,
            units,
            inner,
        } = *self;
        (0..outer).map(move |o| {
            let first = start + (o * units + unit) * inner;
            first..first + inner
        })
    }

    /// Number of entries of a unit.
    pub(crate) fn width(&self) -> usize {
        self.outer * self.inner
    }

    /// Σ xᵢ² of each unit.
    pub(crate) fn squares(&self, values: &[f64]) -> Vec<f64> {
        let mut squares = vec![0.0; self.units];
        if self.inner == 0 {
            return squares;
        }
        // in the order of memory: a column at a time would miss the caches
        for (index, run) in values[self.range()].chunks_exact(self.inner).enumerate() {
            squares[index % self.units] += run.iter().map(|x| x * x).sum::<f64>();
        }
        squares
    }

    /// Multiplies the entries of each unit by its factor.
    pub(crate) fn scale(&self, values: &mut [f64], factors: &[f64]) {
        if self.inner == 0 {
            return;
        }
        for (index, run) in values[self.range()]
            .chunks_exact_mut(self.inner)
            .enumerate()
        {
            let factor = factors[index % self.units];
            run.iter_mut().for_each(|x| *x *= factor);
        }
    }

    /// Puts unit `order[j]` in place of unit j.
    pub(crate) fn reorder(&self, values: &mut [f64], order: &[usize]) {
        let old = values[self.range()].to_vec();
        let block = self.units * self.inner;
        for outer in 0..self.outer {
            for (unit, &from) in order.iter().enumerate() {
                let to = self.start + outer * block + unit * self.inner;
                let from = outer * block + from * self.inner;
                values[to..to + self.inner].copy_from_slice(&old[from..from + self.inner]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_a_matrix_are_columns_or_rows() {
        let values: Vec<f64> = (0..7).map(f64::from).collect();
        let columns = AxisView::along(1, &[2, 3], 1); // [[1, 2, 3], [4, 5, 6]]
        assert_eq!(columns.squares(&values), [17.0, 29.0, 45.0]);
        assert_eq!(columns.runs(1).collect::<Vec<_>>(), [2..3, 5..6]);
        let rows = AxisView::along(1, &[2, 3], 0);
        assert_eq!(rows.squares(&values), [14.0, 77.0]);
        assert_eq!(
            (rows.width(), AxisView::whole(&(1..7)).squares(&values)[0]),
            (3, 91.0)
        );
    }

    #[test]
    fn reordering_and_scaling_move_whole_units() {
        let mut values: Vec<f64> = (0..6).map(f64::from).collect();
        let columns = AxisView::along(0, &[2, 3], 1);
        columns.reorder(&mut values, &[2, 0, 1]);
        assert_eq!(values, [2.0, 0.0, 1.0, 5.0, 3.0, 4.0]);
        columns.scale(&mut values, &[1.0, -1.0, 10.0]);
        assert_eq!(values, [2.0, 0.0, 10.0, 5.0, -3.0, 40.0]);
    }
}
