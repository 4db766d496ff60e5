//! The part of an axis that is in sight.

use super::ticks::{self, Ticks};
use super::{Axis, Scale};

/// Beyond this, differences of floats overflow.
const LARGEST: f64 = 1e300;

/// Share of the axis left free at each end.
const PADDING: f64 = 0.04;

/// A range of an axis, in its scale's own terms: decimal logarithms on a logarithmic axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct View {
    scale: Scale,
    low: f64,
    high: f64,
}

/// Why an axis cannot show a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unshowable {
    NotFinite,
    NotPositive,
}

impl View {
    /// The range that shows all `values` that can be shown, unless the axis says where it begins or ends.
    pub(super) fn around(axis: &Axis, values: impl Iterator<Item = f64>) -> Self {
        let scale = axis.scale;
        let shown = values.filter_map(|value| on_scale(scale, value).ok());
        let (low, high) = shown.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        let (low, high) = match low <= high {
            true => padded(scale, low, high),
            false => (0.0, 1.0),
        };
        let limit = |value: Option<f64>| value.and_then(|value| on_scale(scale, value).ok());
        let (from, to) = (limit(axis.from), limit(axis.to));
        let (low, high) = match (from, to) {
            (Some(from), Some(to)) if from < to => (from, to),
            (Some(from), None) if from < high => (from, high),
            (None, Some(to)) if low < to => (low, to),
            // Limits that leave nothing in sight: begin or end there and show something.
            (Some(from), _) => (from, padded(scale, from, from).1),
            (None, Some(to)) => (padded(scale, to, to).0, to),
            (None, None) => (low, high),
        };
        Self { scale, low, high }
    }

    /// Where `value` lies: 0 at the beginning of the range and 1 at its end.
    pub(super) fn place(&self, value: f64) -> Result<f64, Unshowable> {
        Ok(self.fraction(on_scale(self.scale, value)?))
    }

    /// Where a band's edge lies: values too low or too high for the axis lie beyond its ends. Nothing for NaN.
    pub(super) fn place_edge(&self, value: f64) -> Option<f64> {
        if value.is_nan() {
            return None;
        }
        let beyond = if value > 0.0 { 2.0 } else { -1.0 };
        Some(self.place(value).unwrap_or(beyond))
    }

    pub(super) fn ticks(&self, wanted: usize) -> Ticks {
        match self.scale {
            Scale::Linear => ticks::linear(self.low, self.high, wanted),
            Scale::Logarithmic => ticks::logarithmic(self.low, self.high),
        }
    }

    /// [`View::place`] for a value that is on the scale already, such as a tick.
    pub(super) fn fraction(&self, on_scale: f64) -> f64 {
        (on_scale - self.low) / (self.high - self.low)
    }
}

fn on_scale(scale: Scale, value: f64) -> Result<f64, Unshowable> {
    if !value.is_finite() {
        return Err(Unshowable::NotFinite);
    }
    match scale {
        Scale::Linear => Ok(value.clamp(-LARGEST, LARGEST)),
        Scale::Logarithmic if value > 0.0 => Ok(value.log10()),
        Scale::Logarithmic => Err(Unshowable::NotPositive),
    }
}

/// The range with some air at its ends, and with some width if it has none.
fn padded(scale: Scale, low: f64, high: f64) -> (f64, f64) {
    let width = high - low;
    let largest = low.abs().max(high.abs());
    if width > 1e-9 * largest {
        return (low - PADDING * width, high + PADDING * width);
    }
    let air = match scale {
        Scale::Logarithmic => 0.5,
        Scale::Linear if largest == 0.0 => 1.0,
        // Not less than what ticks can resolve.
        Scale::Linear => (0.1 * largest).max(f64::MIN_POSITIVE * 1e3),
    };
    (low - air, high + air)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(axis: &Axis, values: &[f64]) -> View {
        View::around(axis, values.iter().copied())
    }

    #[test]
    fn every_showable_value_is_in_sight() {
        let values = [f64::NAN, 3.0, f64::INFINITY, -2.0, 0.0, 1e-7];
        let linear = view(&Axis::linear(""), &values);
        for value in [3.0, -2.0, 0.0] {
            assert!((0.0..=1.0).contains(&linear.place(value).unwrap()));
        }
        assert_eq!(linear.place(f64::NAN), Err(Unshowable::NotFinite));

        let log = view(&Axis::log(""), &values);
        for value in [3.0, 1e-7] {
            assert!((0.0..=1.0).contains(&log.place(value).unwrap()));
        }
        assert_eq!(log.place(0.0), Err(Unshowable::NotPositive));
        assert_eq!(log.place(-2.0), Err(Unshowable::NotPositive));
        assert_eq!(log.place(f64::INFINITY), Err(Unshowable::NotFinite));
    }

    #[test]
    fn a_range_always_has_a_width() {
        let cases: [&[f64]; 8] = [
            &[],
            &[0.0],
            &[5.0],
            &[-1e-320],
            &[1.0, 1.0 + 1e-15],
            &[f64::MAX, f64::MIN],
            &[f64::NAN],
            &[5e-324],
        ];
        for values in cases {
            for axis in [Axis::linear(""), Axis::log("")] {
                let view = view(&axis, values);
                assert!(view.low < view.high, "{values:?} {view:?}");
                assert!((view.high - view.low).is_finite(), "{values:?}");
                assert!(!view.ticks(5).labelled.is_empty(), "{values:?} {view:?}");
            }
        }
    }

    #[test]
    fn limits_rule() {
        let limited = view(&Axis::log("").from(1e-4).to(10.0), &[1e-9, 1e30]);
        assert_eq!((limited.low, limited.high), (-4.0, 1.0));
        let half = view(&Axis::linear("").from(0.0), &[5.0, 10.0]);
        assert_eq!(half.low, 0.0);
        assert!(half.high > 10.0);
        for axis in [
            Axis::linear("").from(100.0),
            Axis::linear("").to(-100.0),
            Axis::linear("").from(3.0).to(2.0),
            Axis::log("").from(0.0).to(f64::NAN),
        ] {
            let view = view(&axis, &[5.0, 10.0]);
            assert!(view.low < view.high, "{axis:?} {view:?}");
        }
    }

    #[test]
    fn edges_beyond_the_axis_stay_beyond() {
        let log = view(&Axis::log(""), &[0.1, 10.0]);
        assert!(log.place_edge(0.0).unwrap() < 0.0);
        assert!(log.place_edge(-3.0).unwrap() < 0.0);
        assert!(log.place_edge(f64::NEG_INFINITY).unwrap() < 0.0);
        assert!(log.place_edge(f64::INFINITY).unwrap() > 1.0);
        assert_eq!(log.place_edge(f64::NAN), None);
        assert!((log.place_edge(1.0).unwrap() - 0.5).abs() < 1e-12);
    }
}
