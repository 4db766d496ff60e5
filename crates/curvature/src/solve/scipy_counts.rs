//! Iterations that SciPy 1.17.1 needs for the same systems in f64, by the same stopping rules.
//!
//! d = logspace(0, 3, 100), b = 1 + sin(i) / 2. `cg(diag(d), b, rtol=1e-8)`: 168. `minres`, first iterate with ‖b − Ax‖ ≤ 1e-8 ‖b‖: 167 for
//! diag(d), 528 with every third sign turned. `lsmr([diag(d); diag(√d)], [b; −b], atol=btol=1e-8, conlim=1e12)`: 517, and 249 with
//! damp=5. The least residuals are 12.7501231591625 and 12.8891213839482. The counts differ by a few in a hundred: SciPy's MINRES is
//! measured by true residuals, and products round differently.

use super::{CgOptions, LsmrEnding, LsmrOptions, MinresOptions, conjugate_gradient, lsmr, minres};
use crate::error::CurvatureError;
use crate::operator::LinearMap;
use crate::operators::Diagonal;
use crate::vector::from_f64;
use burn::prelude::{Device, Tensor};
use burn::tensor::DType;

const N: usize = 100;

fn tensor(values: &[f64]) -> Tensor<1> {
    from_f64(values, &Device::flex(), DType::F64)
}

fn spectrum() -> Vec<f64> {
    let exponent = |i: usize| 3.0 * i as f64 / (N - 1) as f64;
    (0..N).map(|i| 10.0_f64.powf(exponent(i))).collect()
}

fn right_hand_side() -> Vec<f64> {
    (0..N).map(|i| 1.0 + 0.5 * (i as f64 + 1.0).sin()).collect()
}

/// diag(d) above diag(√d).
struct Stacked {
    upper: Tensor<1>,
    lower: Tensor<1>,
}

impl LinearMap for Stacked {
    fn rows(&self) -> usize {
        2 * N
    }
    fn columns(&self) -> usize {
        N
    }
    fn device(&self) -> Device {
        self.upper.device()
    }
    fn dtype(&self) -> DType {
        self.upper.dtype()
    }
    fn apply(&self, v: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
        let (upper, lower) = (self.upper.clone(), self.lower.clone());
        Ok(Tensor::cat(vec![upper * v.clone(), lower * v.clone()], 0))
    }
    fn apply_transposed(&self, u: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
        let (above, below) = (u.clone().slice(0..N), u.clone().slice(N..2 * N));
        Ok(self.upper.clone() * above + self.lower.clone() * below)
    }
}

#[test]
fn conjugate_gradients_and_minres() {
    let b = tensor(&right_hand_side());
    let a = Diagonal::new(tensor(&spectrum()));
    let options = CgOptions {
        relative_tolerance: 1e-8,
        max_iterations: Some(10_000),
        ..CgOptions::default()
    };
    let found = conjugate_gradient(&a, &b, &options).unwrap().iterations;
    assert!(found.abs_diff(168) <= 2, "{found}");
    let options = MinresOptions {
        relative_tolerance: 1e-8,
        max_iterations: Some(1000),
        ..MinresOptions::default()
    };
    let found = minres(&a, &b, &options).unwrap().iterations;
    assert!(found.abs_diff(167) <= 2, "{found}");
    let turned = spectrum().into_iter().enumerate();
    let turned: Vec<f64> = turned
        .map(|(i, d)| if i % 3 == 0 { -d } else { d })
        .collect();
    let found = minres(&Diagonal::new(tensor(&turned)), &b, &options).unwrap();
    assert!(found.iterations.abs_diff(528) <= 13, "{}", found.iterations);
}

#[test]
fn least_squares() {
    let spectrum = spectrum();
    let roots: Vec<f64> = spectrum.iter().map(|d| d.sqrt()).collect();
    let map = Stacked {
        upper: tensor(&spectrum),
        lower: tensor(&roots),
    };
    let b = right_hand_side();
    let both: Vec<f64> = b.iter().copied().chain(b.iter().map(|b| -b)).collect();
    for (damping, iterations, residual) in [
        (0.0, 517_usize, 12.7501231591625),
        (5.0, 249, 12.8891213839482),
    ] {
        let options = LsmrOptions {
            damping,
            normal_tolerance: 1e-8,
            residual_tolerance: 1e-8,
            condition_limit: 1e12,
            max_iterations: Some(2000),
        };
        let found = lsmr(&map, &tensor(&both), &options).unwrap();
        assert_eq!(found.ending, LsmrEnding::LeastSquares);
        let norm = found.residual_norms.last().copied().unwrap();
        assert!((norm - residual).abs() < 1e-7, "{norm}");
        let apart = found.iterations.abs_diff(iterations);
        assert!(
            apart * 25 <= iterations,
            "{} {iterations}",
            found.iterations
        );
    }
}
