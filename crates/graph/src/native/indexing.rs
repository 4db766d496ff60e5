//! Reading and writing by indices. Indices are whole numbers in the dtype of the evaluation.

use super::number::Number;

/// What indices address.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Indexing {
    /// out[o, i, n] = x[o, index[o, i, n], n]
    Gather,
    /// x[o, index[o, i, n], n] += value[o, i, n]
    ScatterAdd,
    /// out[o, i, n] = x[o, index[i], n]
    Select,
    /// x[o, index[i], n] += value[o, i, n]
    SelectAdd,
}

/// An indexing along the middle of `[outer, length, inner]`, with `count` indices.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Indexed {
    pub(crate) indexing: Indexing,
    pub(crate) outer: usize,
    pub(crate) length: usize,
    pub(crate) inner: usize,
    pub(crate) count: usize,
}

impl Indexed {
    /// Reads `x` at `indices`, or adds `x` to `out` at `indices`.
    pub(crate) fn run<T: Number>(&self, x: &[T], indices: &[T], out: &mut [T]) {
        let Self {
            outer,
            length,
            inner,
            count,
            ..
        } = *self;
        for o in 0..outer {
            for i in 0..count {
                let (whole, read) = (o * length * inner, (o * count + i) * inner);
                match self.indexing {
                    Indexing::Select | Indexing::SelectAdd => {
                        let start = whole + self.position(indices[i]) * inner;
                        if let Indexing::Select = self.indexing {
                            out[read..read + inner].copy_from_slice(&x[start..start + inner]);
                            continue;
                        }
                        let values = &x[read..read + inner];
                        for (out, &value) in out[start..start + inner].iter_mut().zip(values) {
                            *out += value;
                        }
                    }
                    Indexing::Gather => {
                        for n in 0..inner {
                            let place = self.position(indices[read + n]);
                            out[read + n] = x[whole + place * inner + n];
                        }
                    }
                    Indexing::ScatterAdd => {
                        for n in 0..inner {
                            let place = whole + self.position(indices[read + n]) * inner + n;
                            out[place] += x[read + n];
                        }
                    }
                }
            }
        }
    }

    fn position<T: Number>(&self, index: T) -> usize {
        let place = index.wide();
        assert!(
            place >= 0.0 && place < self.length as f64,
            "index {place} is outside of a dimension of length {}",
            self.length
        );
        place as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gathered_is_scattered_back() {
        let along = |indexing| Indexed {
            indexing,
            outer: 2,
            length: 3,
            inner: 1,
            count: 2,
        };
        let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let indices = [2.0, 0.0, 1.0, 1.0];
        let mut out = [0.0; 4];
        along(Indexing::Gather).run(&x, &indices, &mut out);
        assert_eq!(out, [3.0, 1.0, 5.0, 5.0]);
        let mut back = [0.0; 6];
        along(Indexing::ScatterAdd).run(&out, &indices, &mut back);
        assert_eq!(back, [1.0, 0.0, 3.0, 0.0, 10.0, 0.0]);
    }

    #[test]
    fn what_is_selected_is_added_back() {
        let along = |indexing| Indexed {
            indexing,
            outer: 1,
            length: 3,
            inner: 2,
            count: 2,
        };
        let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let mut out = [0.0; 4];
        along(Indexing::Select).run(&x, &[2.0, 2.0], &mut out);
        assert_eq!(out, [5.0, 6.0, 5.0, 6.0]);
        let mut back = [1.0; 6];
        along(Indexing::SelectAdd).run(&out, &[0.0, 0.0], &mut back);
        assert_eq!(back, [11.0, 13.0, 1.0, 1.0, 1.0, 1.0]);
    }
}
