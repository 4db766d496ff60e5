//! Convolutions as matrix products: the windows of an example become the columns of a matrix.
//!
//! One dimension counts as two with a height of one.

use super::number::Number;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// Multiply-adds from which a second thread is worth waking.
const PARALLEL: usize = 1 << 19;

/// What is computed from which sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// y from x and the kernel.
    Forward,
    /// ∂x from the kernel and ∂y.
    Input,
    /// The kernel's gradient from x and ∂y.
    Weight,
}

/// A convolution of `examples` images with `groups` groups of `filters` filters over `channels` channels each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Convolution {
    pub(crate) direction: Direction,
    pub(crate) examples: usize,
    pub(crate) groups: usize,
    pub(crate) channels: usize,
    pub(crate) filters: usize,
    pub(crate) input: [usize; 2],
    pub(crate) output: [usize; 2],
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: [usize; 2],
    pub(crate) padding: [usize; 2],
    pub(crate) dilation: [usize; 2],
}

impl Convolution {
    /// Elements of a window.
    fn window(&self) -> usize {
        self.channels * self.kernel[0] * self.kernel[1]
    }

    /// Windows of an image.
    fn places(&self) -> usize {
        self.output[0] * self.output[1]
    }

    fn image(&self) -> usize {
        self.channels * self.input[0] * self.input[1]
    }

    /// Multiply-adds.
    pub(crate) fn work(&self) -> usize {
        self.examples * self.groups * self.filters * self.window() * self.places()
    }

    pub(crate) fn is_large(&self) -> bool {
        self.work() >= PARALLEL && self.examples > 1
    }

    pub(crate) fn run<T: Number>(&self, sources: &[&[T]], out: &mut [T], threads: usize) {
        let threads = if self.is_large() { threads } else { 1 };
        match self.direction {
            Direction::Weight => self.weights(0, self.examples, sources, out, threads),
            _ => self.images(0, self.examples, sources, out, threads),
        }
    }

    fn images<T: Number>(
        &self,
        first: usize,
        count: usize,
        sources: &[&[T]],
        out: &mut [T],
        threads: usize,
    ) {
        if threads > 1 && count > 1 {
            let half = threads / 2;
            let left = (count * (threads - half) / threads).max(1);
            let (a, b) = out.split_at_mut(out.len() / count * left);
            rayon::join(
                || self.images(first, left, sources, a, threads - half),
                || self.images(first + left, count - left, sources, b, half.max(1)),
            );
            return;
        }
        let mut columns = vec![T::default(); self.window() * self.places()];
        let size = out.len() / (count * self.groups);
        for (index, out) in out.chunks_exact_mut(size).enumerate() {
            let (example, group) = (first + index / self.groups, index % self.groups);
            match self.direction {
                Direction::Forward => {
                    self.gather(self.image_of(sources[0], example, group), &mut columns);
                    product(
                        MatMut::from_row_major_slice_mut(out, self.filters, self.places()),
                        Accum::Replace,
                        self.kernel_of(sources[1], group),
                        self.columns(&columns),
                    );
                }
                _ => {
                    product(
                        MatMut::from_row_major_slice_mut(
                            &mut columns,
                            self.window(),
                            self.places(),
                        ),
                        Accum::Replace,
                        self.kernel_of(sources[0], group).transpose(),
                        self.gradient_of(sources[1], example, group),
                    );
                    out.fill(T::default());
                    self.scatter(&columns, out);
                }
            }
        }
    }

    fn weights<T: Number>(
        &self,
        first: usize,
        count: usize,
        sources: &[&[T]],
        out: &mut [T],
        threads: usize,
    ) {
        if threads > 1 && count > 1 {
            let half = threads / 2;
            let left = (count * (threads - half) / threads).max(1);
            let mut other = vec![T::default(); out.len()];
            rayon::join(
                || self.weights(first, left, sources, out, threads - half),
                || self.weights(first + left, count - left, sources, &mut other, half.max(1)),
            );
            for (out, &other) in out.iter_mut().zip(&other) {
                *out += other;
            }
            return;
        }
        if count == 0 {
            return out.fill(T::default());
        }
        let mut columns = vec![T::default(); self.window() * self.places()];
        let size = self.filters * self.window();
        for example in first..first + count {
            let accumulate = match example == first {
                true => Accum::Replace,
                false => Accum::Add,
            };
            for (group, out) in out.chunks_exact_mut(size).enumerate() {
                self.gather(self.image_of(sources[0], example, group), &mut columns);
                product(
                    MatMut::from_row_major_slice_mut(out, self.filters, self.window()),
                    accumulate,
                    self.gradient_of(sources[1], example, group),
                    self.columns(&columns).transpose(),
                );
            }
        }
    }

    fn image_of<'a, T>(&self, x: &'a [T], example: usize, group: usize) -> &'a [T] {
        let start = (example * self.groups + group) * self.image();
        &x[start..start + self.image()]
    }

    fn kernel_of<'a, T>(&self, weight: &'a [T], group: usize) -> MatRef<'a, T> {
        let size = self.filters * self.window();
        let part = &weight[group * size..(group + 1) * size];
        MatRef::from_row_major_slice(part, self.filters, self.window())
    }

    fn gradient_of<'a, T>(&self, gradient: &'a [T], example: usize, group: usize) -> MatRef<'a, T> {
        let size = self.filters * self.places();
        let start = (example * self.groups + group) * size;
        MatRef::from_row_major_slice(&gradient[start..start + size], self.filters, self.places())
    }

    fn columns<'a, T>(&self, columns: &'a [T]) -> MatRef<'a, T> {
        MatRef::from_row_major_slice(columns, self.window(), self.places())
    }

    /// The windows of an image as columns.
    fn gather<T: Number>(&self, image: &[T], columns: &mut [T]) {
        self.rows(|place, run, source| {
            let row = &mut columns[place..place + self.output[1]];
            let Some(source) = source else {
                return row.fill(T::default());
            };
            row[..run.start].fill(T::default());
            row[run.end..].fill(T::default());
            if self.stride[1] == 1 {
                row[run.clone()].copy_from_slice(&image[source..source + run.len()]);
                return;
            }
            for (index, out) in row[run].iter_mut().enumerate() {
                *out = image[source + index * self.stride[1]];
            }
        });
    }

    /// Adds columns back to where they came from.
    fn scatter<T: Number>(&self, columns: &[T], image: &mut [T]) {
        self.rows(|place, run, source| {
            let Some(source) = source else { return };
            let row = &columns[place + run.start..place + run.end];
            if self.stride[1] == 1 {
                for (out, &x) in image[source..source + run.len()].iter_mut().zip(row) {
                    *out += x;
                }
                return;
            }
            for (index, &x) in row.iter().enumerate() {
                let out = &mut image[source + index * self.stride[1]];
                *out += x;
            }
        });
    }

    /// For each row of windows and each element of them: where it stands among the columns, which part of it lies in the image, and
    /// where that part begins there.
    #[inline(always)]
    fn rows(&self, mut visit: impl FnMut(usize, std::ops::Range<usize>, Option<usize>)) {
        let [height, width] = self.input;
        let mut place = 0;
        for channel in 0..self.channels {
            for i in 0..self.kernel[0] {
                for j in 0..self.kernel[1] {
                    let shift = j * self.dilation[1];
                    // the windows whose element j lies in the image
                    let start = self.padding[1]
                        .saturating_sub(shift)
                        .div_ceil(self.stride[1]);
                    let reach = (width + self.padding[1]).saturating_sub(shift);
                    let end = reach.div_ceil(self.stride[1]).min(self.output[1]);
                    let run = start.min(end)..end;
                    for row in 0..self.output[0] {
                        let y = row * self.stride[0] + i * self.dilation[0];
                        let inside =
                            y >= self.padding[0] && y < height + self.padding[0] && !run.is_empty();
                        let source = inside.then(|| {
                            let x = run.start * self.stride[1] + shift - self.padding[1];
                            (channel * height + y - self.padding[0]) * width + x
                        });
                        visit(place, run.clone(), source);
                        place += self.output[1];
                    }
                }
            }
        }
    }
}

fn product<T: Number>(out: MatMut<'_, T>, accumulate: Accum, x: MatRef<'_, T>, y: MatRef<'_, T>) {
    matmul(out, accumulate, x, y, T::of(1.0), Par::Seq);
}
