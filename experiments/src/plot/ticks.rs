//! Where an axis has ticks, and what they say.

use crate::significant;
use crate::significant::{power_of_ten, scientific};

/// The ticks of an axis, at positions on its scale (decimal logarithms on a logarithmic one).
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ticks {
    pub(super) labelled: Vec<(f64, String)>,
    /// Positions with a faint line and no label.
    pub(super) minor: Vec<f64>,
}

/// The most decades that have a label each; more get one for every second, third ..
const MOST_DECADES: i64 = 8;

/// Powers of ten alone are too few where fewer decades than this are in sight.
const FEW_DECADES: f64 = 1.5;

/// The most decades whose multiples 2 to 9 have lines.
const MOST_SUBDIVIDED: i64 = 5;

/// Ticks from `low` to `high`, about `wanted` of them, at multiples of 1, 2 or 5 times a power of ten.
pub(super) fn linear(low: f64, high: f64, wanted: usize) -> Ticks {
    let step = round_step((high - low) / wanted.max(1) as f64);
    let (first, last) = ((low / step).ceil(), (high / step).floor());
    // Rounding errors of the bounds must not cost the ticks at the ends, nor make millions.
    let count = (last - first).clamp(0.0, 100.0) as i64;
    let values: Vec<f64> = (0..=count)
        .map(|index| (first + index as f64) * step)
        .filter(|value| value.is_finite())
        .collect();
    let largest = low.abs().max(high.abs());
    Ticks {
        labelled: values
            .into_iter()
            .map(|value| (value, label(value, step, largest)))
            .collect(),
        minor: Vec::new(),
    }
}

/// Ticks between the decimal logarithms `low` and `high`: powers of ten, or finer ones where too few are in sight.
pub(super) fn logarithmic(low: f64, high: f64) -> Ticks {
    let (first, last) = (low.ceil() as i64, high.floor() as i64);
    let decades = last - first + 1;
    if decades < 2 || high - low < FEW_DECADES {
        return within_few_decades(low, high);
    }
    let stride = decades.div_euclid(MOST_DECADES + 1) + 1;
    let mut ticks = Ticks::default();
    for decade in first..=last {
        if decade.rem_euclid(stride) == 0 {
            let label = power_of_ten(decade as i32);
            ticks.labelled.push((decade as f64, label));
        } else {
            ticks.minor.push(decade as f64);
        }
    }
    if decades <= MOST_SUBDIVIDED {
        ticks.minor = multiples(first - 1, last, &[2, 3, 4, 5, 6, 7, 8, 9])
            .map(|(position, _)| position)
            .filter(|position| (low..=high).contains(position))
            .collect();
    }
    ticks
}

/// Ticks on a logarithmic axis that shows hardly more than one decade.
fn within_few_decades(low: f64, high: f64) -> Ticks {
    let (first, last) = (low.floor() as i64, high.ceil() as i64);
    let in_sight = |(position, _): &(f64, f64)| (low..=high).contains(position);
    for factors in [&[1, 2, 5][..], &[1, 2, 3, 4, 5, 6, 7, 8, 9]] {
        let found: Vec<(f64, f64)> = multiples(first, last, factors).filter(in_sight).collect();
        if found.len() >= 3 {
            let shown = found
                .into_iter()
                .map(|(position, value)| (position, significant(value, 1)));
            return Ticks {
                labelled: shown.collect(),
                minor: Vec::new(),
            };
        }
    }
    let (low, high) = (10_f64.powf(low), 10_f64.powf(high));
    let mut ticks = linear(low, high, 4);
    for (position, _) in &mut ticks.labelled {
        *position = position.log10();
    }
    ticks.labelled.retain(|(position, _)| position.is_finite());
    ticks
}

/// Position and value of each factor times each power of ten.
fn multiples(first: i64, last: i64, factors: &[i32]) -> impl Iterator<Item = (f64, f64)> {
    (first..=last).flat_map(move |decade| {
        factors.iter().map(move |factor| {
            let factor = f64::from(*factor);
            let position = decade as f64 + factor.log10();
            (position, factor * 10_f64.powi(decade as i32))
        })
    })
}

/// The nearest of 1, 2 and 5 times a power of ten, by ratio.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let factor = match step / power {
        ratio if ratio < 2_f64.sqrt() => 1.0,
        ratio if ratio < 10_f64.sqrt() => 2.0,
        ratio if ratio < 50_f64.sqrt() => 5.0,
        _ => 10.0,
    };
    let rounded = factor * power;
    if rounded.is_normal() { rounded } else { step }
}

/// What a tick says: all ticks of an axis plainly with the same decimals, or all with a power of ten.
fn label(value: f64, step: f64, largest: f64) -> String {
    // A tick that should be zero, but for rounding.
    let value = if value.abs() < step * 1e-6 {
        0.0
    } else {
        value
    };
    // A hair of tolerance, so that a step of 0.1 does not count as one of hundredths.
    let place = (step.log10() + 1e-9).floor();
    if (-4.0..5.0).contains(&place) && largest < 1e6 {
        let decimals = (-place).max(0.0) as usize;
        return format!("{value:.decimals$}");
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    let digits = (largest.log10().floor() - place).clamp(0.0, 15.0) as usize + 1;
    scientific(value, digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: &Ticks) -> Vec<&str> {
        ticks
            .labelled
            .iter()
            .map(|(_, label)| label.as_str())
            .collect()
    }

    #[test]
    fn linear_ticks_are_round_and_alike() {
        let cases: [(f64, f64, usize, &[&str]); 6] = [
            (0.0, 1.0, 5, &["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
            (-0.35, 0.31, 3, &["-0.2", "0.0", "0.2"]),
            (-2.0, 109.0, 2, &["0", "50", "100"]),
            (0.0, 2.1e6, 4, &["0", "5×10⁵", "1×10⁶", "1.5×10⁶", "2×10⁶"]),
            (1000.0, 1000.01, 2, &["1000.000", "1000.005", "1000.010"]),
            (0.0, 3e-9, 3, &["0", "1×10⁻⁹", "2×10⁻⁹", "3×10⁻⁹"]),
        ];
        for (low, high, wanted, expected) in cases {
            assert_eq!(labels(&linear(low, high, wanted)), expected);
        }
    }

    #[test]
    fn decades_are_powers_of_ten() {
        let ticks = logarithmic(-3.2, 1.1);
        assert_eq!(labels(&ticks), ["10⁻³", "10⁻²", "10⁻¹", "10⁰", "10¹"]);
        assert!(
            ticks
                .minor
                .iter()
                .all(|position| (-3.2..=1.1).contains(position))
        );
        assert!(
            ticks
                .minor
                .iter()
                .any(|position| (position - 2_f64.log10()).abs() < 1e-9)
        );
    }

    #[test]
    fn many_decades_have_few_labels() {
        let ticks = logarithmic(-300.0, 300.0);
        assert!((4..=9).contains(&ticks.labelled.len()), "{ticks:?}");
        let ticks = logarithmic(0.0, 12.0);
        assert_eq!(
            labels(&ticks),
            ["10⁰", "10²", "10⁴", "10⁶", "10⁸", "10¹⁰", "10¹²"]
        );
        assert_eq!(ticks.minor.len(), 6);
    }

    #[test]
    fn a_part_of_a_decade_has_ticks_as_well() {
        assert_eq!(labels(&logarithmic(-1.1, 0.1)), ["0.1", "0.2", "0.5", "1"]);
        assert_eq!(labels(&logarithmic(0.5, 0.85)), ["4", "5", "6", "7"]);
        let narrow = logarithmic(0.69, 0.71);
        assert!(narrow.labelled.len() >= 2, "{narrow:?}");
        assert!(
            narrow
                .labelled
                .iter()
                .all(|(position, _)| (0.69..=0.71).contains(position))
        );
    }

    #[test]
    fn no_ticks_outside_at_any_size() {
        let mut low = 1e-305;
        while low < 1e300 {
            let ticks = linear(low, 7.3 * low, 6);
            assert!(
                (3..=12).contains(&ticks.labelled.len()),
                "{low:e} {ticks:?}"
            );
            let outside = |(position, _): &(f64, String)| *position < low || *position > 7.3 * low;
            assert!(!ticks.labelled.iter().any(outside), "{low:e} {ticks:?}");
            low *= 3.7e4;
        }
    }
}
