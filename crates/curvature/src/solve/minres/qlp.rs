//! The factors T = Q L P of MINRES-QLP, one column after the other, and the iterate that they give.
//!
//! R, the upper triangle of three diagonals that MINRES has, is multiplied from the right by reflections into a lower triangle L of
//! three diagonals; x = W u with W = V P orthonormal and L u = t. So nothing is divided by before the end, and ‖x‖ = ‖u‖.

/// The reflection [c s; s −c] that takes (a, b) to (r, 0), r ≥ 0.
pub(super) fn reflection(a: f64, b: f64) -> (f64, f64, f64) {
    let r = a.hypot(b);
    match r > 0.0 {
        true => (a / r, b / r, r),
        false => (1.0, 0.0, 0.0),
    }
}

/// A column of R: two entries above the diagonal, the diagonal, and the entry of the right-hand side.
pub(super) struct Column {
    pub(super) epsilon: f64,
    pub(super) delta: f64,
    pub(super) gamma: f64,
    pub(super) tau: f64,
}

/// A row of L, as it stands: two entries left of the diagonal, the diagonal; with its right-hand side.
#[derive(Clone, Copy, Default)]
struct Row {
    eta: f64,
    theta: f64,
    gamma: f64,
    tau: f64,
}

impl Row {
    /// The entry of u for this row, given the two before it; 0 where the diagonal is 0 within rounding.
    fn solve(&self, before_last: f64, last: f64, zero: f64) -> f64 {
        match self.gamma.abs() > zero {
            true => (self.tau - self.eta * before_last - self.theta * last) / self.gamma,
            false => 0.0,
        }
    }
}

pub(super) struct Qlp {
    /// The rows k − 2 and k − 1 of L.
    rows: [Row; 2],
    /// The entries k − 4 and k − 3 of u, which are final.
    finals: [f64; 2],
    /// The entries k − 1 and k of u after the last step.
    open: [f64; 2],
    /// The columns k − 1 and k of W after the last step.
    w: [Vec<f64>; 2],
    /// Σ of the final columns of W times their entries of u.
    sum: Vec<f64>,
    largest: f64,
    smallest: f64,
}

impl Qlp {
    pub(super) fn new(dim: usize) -> Self {
        Self {
            rows: [Row::default(); 2],
            finals: [0.0; 2],
            open: [0.0; 2],
            w: [vec![0.0; dim], vec![0.0; dim]],
            sum: vec![0.0; dim],
            largest: 0.0,
            smallest: f64::INFINITY,
        }
    }

    /// Takes the column k of R and the Lanczos vector v; a diagonal below `zero` counts as zero.
    pub(super) fn step(&mut self, column: &Column, v: &[f64], zero: f64) {
        let [mut second, mut last] = self.rows;
        let (c2, s2, gamma) = reflection(second.gamma, column.epsilon);
        second.gamma = gamma;
        let delta = s2 * last.theta - c2 * column.delta;
        last.theta = c2 * last.theta + s2 * column.delta;
        let (c3, s3, gamma) = reflection(last.gamma, delta);
        last.gamma = gamma;
        let rotated = -c2 * column.gamma;
        let newest = Row {
            eta: s2 * column.gamma,
            theta: s3 * rotated,
            gamma: -c3 * rotated,
            tau: column.tau,
        };
        let u_second = second.solve(self.finals[0], self.finals[1], zero);
        let u_last = last.solve(self.finals[1], u_second, zero);
        let u_newest = newest.solve(u_second, u_last, zero);
        let [w_second, w_last] = &mut self.w;
        let sums = self.sum.iter_mut().zip(v);
        for ((sum, v), (second, last)) in sums.zip(w_second.iter_mut().zip(w_last)) {
            let new = s2 * *second - c2 * v;
            *sum += u_second * (c2 * *second + s2 * v);
            *second = c3 * *last + s3 * new;
            *last = s3 * *last - c3 * new;
        }
        self.rows = [last, newest];
        self.finals = [self.finals[1], u_second];
        self.open = [u_last, u_newest];
        self.keep_extremes(second.gamma, zero);
    }

    fn keep_extremes(&mut self, gamma: f64, zero: f64) {
        if gamma > zero {
            self.largest = self.largest.max(gamma);
            self.smallest = self.smallest.min(gamma);
        }
    }

    /// The ratio of the largest and smallest diagonal of L; 1 before there are any.
    pub(super) fn condition(&self) -> f64 {
        let open = self.rows.iter().zip(self.open);
        let open = open
            .filter(|(_, u)| *u != 0.0)
            .map(|(row, _)| row.gamma.abs());
        let largest = open.clone().fold(self.largest, f64::max);
        let smallest = open.fold(self.smallest, f64::min);
        match largest > 0.0 {
            true => largest / smallest,
            false => 1.0,
        }
    }

    /// The iterate after the last step.
    pub(super) fn solution(&self) -> Vec<f64> {
        let [u_last, u_newest] = self.open;
        let open = self.w[0].iter().zip(&self.w[1]);
        let sums = self.sum.iter().zip(open);
        sums.map(|(sum, (last, newest))| sum + u_last * last + u_newest * newest)
            .collect()
    }
}
