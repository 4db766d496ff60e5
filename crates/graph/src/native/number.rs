//! The two dtypes of the native execution and their elementary functions.
//!
//! The functions of f32 are branch-free polynomials, so that the compiler turns loops over them into vector instructions; those of
//! f64 are the standard library's.

use super::skinny::FourDots;
use std::fmt::Debug;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// A floating point type that graphs are evaluated in.
pub(crate) trait Number:
    Copy
    + Default
    + PartialOrd
    + Debug
    + Send
    + Sync
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + faer::traits::RealField
    + burn::tensor::Element
    + bytemuck::Pod
    + FourDots
{
    /// Integers up to this one are exact.
    const LARGEST_INTEGER: f64;

    fn of(x: f64) -> Self;
    fn wide(self) -> f64;
    fn exponential(self) -> Self;
    fn logarithm(self) -> Self;
    fn hyperbolic_tangent(self) -> Self;
    fn root(self) -> Self;
    fn magnitude(self) -> Self;
    /// self · factor + addend, rounded once.
    fn times_plus(self, factor: Self, addend: Self) -> Self;
    fn nan(self) -> bool;
    fn error_function(self) -> Self;

    /// A function that is called too seldom to be worth a vector form.
    #[inline(always)]
    fn by_f64(self, function: impl Fn(f64) -> f64) -> Self {
        Self::of(function(self.wide()))
    }

    /// 1/(1 + exp(−x)), without overflow.
    #[inline(always)]
    fn logistic(self) -> Self {
        let one = Self::of(1.0);
        one / (one + (-self).exponential())
    }
}

impl Number for f64 {
    const LARGEST_INTEGER: f64 = 9_007_199_254_740_992.0;

    #[inline(always)]
    fn of(x: f64) -> Self {
        x
    }
    #[inline(always)]
    fn wide(self) -> f64 {
        self
    }
    #[inline(always)]
    fn exponential(self) -> Self {
        self.exp()
    }
    #[inline(always)]
    fn logarithm(self) -> Self {
        self.ln()
    }
    #[inline(always)]
    fn hyperbolic_tangent(self) -> Self {
        self.tanh()
    }
    #[inline(always)]
    fn root(self) -> Self {
        self.sqrt()
    }
    #[inline(always)]
    fn magnitude(self) -> Self {
        self.abs()
    }
    #[inline(always)]
    fn times_plus(self, factor: Self, addend: Self) -> Self {
        self.mul_add(factor, addend)
    }
    #[inline(always)]
    fn nan(self) -> bool {
        self.is_nan()
    }
    #[inline(always)]
    fn error_function(self) -> Self {
        libm::erf(self)
    }
}

impl Number for f32 {
    const LARGEST_INTEGER: f64 = 16_777_216.0;

    #[inline(always)]
    fn of(x: f64) -> Self {
        x as f32
    }
    #[inline(always)]
    fn wide(self) -> f64 {
        f64::from(self)
    }
    #[inline(always)]
    fn exponential(self) -> Self {
        exp(self)
    }
    #[inline(always)]
    fn logarithm(self) -> Self {
        self.ln()
    }
    #[inline(always)]
    fn hyperbolic_tangent(self) -> Self {
        tanh(self)
    }
    #[inline(always)]
    fn root(self) -> Self {
        self.sqrt()
    }
    #[inline(always)]
    fn magnitude(self) -> Self {
        self.abs()
    }
    #[inline(always)]
    fn times_plus(self, factor: Self, addend: Self) -> Self {
        self.mul_add(factor, addend)
    }
    #[inline(always)]
    fn nan(self) -> bool {
        self.is_nan()
    }
    #[inline(always)]
    fn error_function(self) -> Self {
        libm::erff(self)
    }
}

/// exp(x) within 1.5 units in the last place (Cephes, `expf`): x = n ln 2 + r, a polynomial in r, and 2ⁿ in two factors.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    // ln 2 in two parts, so that n ln 2 is subtracted exactly
    const HIGH: f32 = 0.693_359_4;
    const LOW: f32 = -2.121_944_4e-4;
    // adding it rounds to an integer and leaves that integer in the low bits
    const SHIFT: f32 = 12_582_912.0;
    let bounded = if x > 89.0 { 89.0 } else { x };
    let bounded = if bounded < -104.0 { -104.0 } else { bounded };
    let shifted = bounded * LOG2_E + SHIFT;
    let n = shifted - SHIFT;
    let r = bounded - n * HIGH - n * LOW;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 5.000_000_3e-1;
    let p = p * r * r + r + 1.0;
    let exponent = (shifted.to_bits() as i32).wrapping_sub(SHIFT.to_bits() as i32);
    // two factors, since 2ⁿ itself may be no normal number
    let half = exponent >> 1;
    p * power_of_two(half) * power_of_two(exponent - half)
}

#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// tanh(x) within 3 units in the last place (Cephes, `tanhf`): a polynomial near zero, else by the exponential.
#[inline(always)]
fn tanh(x: f32) -> f32 {
    let size = x.abs();
    let z = x * x;
    let p = -5.704_988_7e-3;
    let p = p * z + 2.063_909e-2;
    let p = p * z - 5.373_971_6e-2;
    let p = p * z + 1.333_144_2e-1;
    let p = p * z - 3.333_328e-1;
    let near = x + x * z * p;
    let far = 1.0 - 2.0 / (exp(size + size) + 1.0);
    let far = if x < 0.0 { -far } else { far };
    // NaN fails the comparison and comes through `far`
    if size < 0.625 { near } else { far }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Largest error over a fine grid, in units in the last place of the result.
    fn worst(ours: fn(f32) -> f32, exact: fn(f64) -> f64, range: std::ops::Range<f64>) -> f64 {
        let steps = 400_000;
        (0..=steps)
            .map(|i| range.start + (range.end - range.start) * f64::from(i) / f64::from(steps))
            .map(|x| {
                let x = x as f32;
                let expected = exact(f64::from(x));
                let unit =
                    f64::from((expected as f32).abs().max(f32::MIN_POSITIVE)) * 2f64.powi(-23);
                (f64::from(ours(x)) - expected).abs() / unit
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn functions_of_f32_are_exact_to_a_few_units() {
        assert!(worst(exp, f64::exp, -87.0..88.7) < 2.0);
        assert!(worst(tanh, f64::tanh, -10.0..10.0) < 4.0);
        assert!(worst(tanh, f64::tanh, -1e-3..1e-3) < 2.0);
    }

    #[test]
    fn functions_of_f32_keep_the_limits() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert_eq!(exp(100.0), f32::INFINITY);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-110.0), 0.0);
        assert!(exp(f32::NAN).is_nan() && tanh(f32::NAN).is_nan());
        assert_eq!((tanh(50.0), tanh(-50.0), tanh(0.0)), (1.0, -1.0, 0.0));
        assert_eq!(tanh(f32::INFINITY), 1.0);
        // a subnormal result
        assert!((exp(-100.0) - 3.8e-44).abs() < 3e-45);
    }

    #[test]
    fn the_logistic_function_does_not_overflow() {
        assert_eq!((-200f32).logistic(), 0.0);
        assert_eq!(200f32.logistic(), 1.0);
        assert_eq!((-1000f64).logistic(), 0.0);
        assert_eq!(0f64.logistic(), 0.5);
    }
}
