//! Numbers for people.

/// `value` with `digits` significant digits: `0.0123`, `123.5`, `1.23×10⁻⁵`, `NaN`, `∞`.
///
/// Zeros at the end are left out. Numbers from 10⁻³ to 10⁵ are written plainly, others with a power of ten.
///
/// ```
/// use ravine_experiments::significant;
///
/// assert_eq!(significant(0.012345, 3), "0.0123");
/// assert_eq!(significant(-1.2345e-5, 3), "-1.23×10⁻⁵");
/// ```
pub fn significant(value: f64, digits: usize) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "∞" } else { "-∞" }.to_owned();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    // Rounded first: 9.996 with three digits has the exponent 1.
    let decimals = digits.max(1) - 1;
    let (_, exponent) = mantissa_and_exponent(value, decimals);
    if (-3..5).contains(&exponent) {
        let decimals = usize::try_from(decimals as i32 - exponent).unwrap_or(0);
        return without_trailing_zeros(&format!("{value:.decimals$}")).to_owned();
    }
    scientific(value, digits)
}

/// A finite `value` with `digits` significant digits and a power of ten: `1.2×10⁴`.
pub(crate) fn scientific(value: f64, digits: usize) -> String {
    let (mantissa, exponent) = mantissa_and_exponent(value, digits.max(1) - 1);
    format!(
        "{}×{}",
        without_trailing_zeros(&mantissa),
        power_of_ten(exponent)
    )
}

fn mantissa_and_exponent(value: f64, decimals: usize) -> (String, i32) {
    let rounded = format!("{value:.decimals$e}");
    let (mantissa, exponent) = rounded.split_once('e').unwrap_or((&rounded, "0"));
    (mantissa.to_owned(), exponent.parse().unwrap_or(0))
}

/// `10⁻³`.
pub(crate) fn power_of_ten(exponent: i32) -> String {
    let raised = exponent
        .to_string()
        .chars()
        .map(|c| match c {
            '-' => '⁻',
            '1' => '¹',
            '2' => '²',
            '3' => '³',
            '4' => '⁴',
            '5' => '⁵',
            '6' => '⁶',
            '7' => '⁷',
            '8' => '⁸',
            '9' => '⁹',
            _ => '⁰',
        })
        .collect::<String>();
    format!("10{raised}")
}

fn without_trailing_zeros(number: &str) -> &str {
    if !number.contains('.') {
        return number;
    }
    number.trim_end_matches('0').trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_size() {
        let cases = [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (0.1 + 0.2, "0.3"),
            (9.996, "10"),
            (123.456, "123"),
            (12345.6, "12346"),
            (99999.6, "1×10⁵"),
            (1e6, "1×10⁶"),
            (1.0 / 3.0, "0.333"),
            (0.001_234_5, "0.00123"),
            (0.000_999_6, "0.001"),
            (0.000_123_45, "1.23×10⁻⁴"),
            (-2.5e-300, "-2.5×10⁻³⁰⁰"),
            (5e-324, "4.94×10⁻³²⁴"),
            (f64::MAX, "1.8×10³⁰⁸"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "∞"),
            (f64::NEG_INFINITY, "-∞"),
        ];
        for (value, shown) in cases {
            assert_eq!(significant(value, 3), shown, "{value:e}");
        }
    }

    #[test]
    fn digits_are_taken_as_given() {
        assert_eq!(significant(1.0 / 3.0, 6), "0.333333");
        assert_eq!(significant(2.0 / 3.0, 1), "0.7");
        assert_eq!(significant(2.0 / 3.0, 0), "0.7");
    }
}
