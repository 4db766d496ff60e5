//! `docs/conformance.md`: what the tests found, written and compared by them.

use super::double_backward;
use super::entry::{Expectation, Family, LossOfOutputs};
use super::figures::{Column, Outcome};
use super::own_gradient::{self, AGREEMENT, Found, Own};
use std::fmt::Write;
use std::path::PathBuf;

/// The columns of figures, from left to right.
const COLUMNS: [Column; 4] = [
    Column::Double,
    Column::Single,
    Column::GaussNewton,
    Column::Executions,
];

/// Powers of ten below this are rounding, which differs from machine to machine.
const ROUNDING: i32 = -15;

const REFRESH: &str =
    "refresh it with `RAVINE_BLESS=1 cargo test --workspace --test ravine conformance`";

#[test]
fn the_page_says_what_the_tests_find() {
    let found = page();
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/conformance.md");
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let difference = first_difference(&written, &found);
    let bless = std::env::var_os("RAVINE_BLESS").is_some_and(|value| value == "1");
    match difference {
        // figures that moved within their tolerance stay as they are written
        None => {}
        Some(_) if bless => std::fs::write(&path, found).expect("docs/ can be written"),
        Some((written, found)) => {
            panic!(
                "docs/conformance.md is out of date; {REFRESH}\nwritten: {written}\nfound:   {found}"
            )
        }
    }
}

fn page() -> String {
    let mut text = String::from(HEAD);
    for family in Family::ALL {
        // writing to a string cannot fail
        let _ = writeln!(
            text,
            "\n### {}\n\n| | f64 | f32 | Gauss-Newton | executions |\n|---|---|---|---|---|",
            title(family)
        );
        for outcome in super::outcomes(family) {
            if let Ok(figures) = &outcome.result {
                let cells = COLUMNS.map(|column| power(figures.worst_of(column)));
                let _ = writeln!(text, "| {} | {} |", outcome.name, cells.join(" | "));
            }
        }
    }
    text.push_str(REFUSED);
    for Outcome { name, result, .. } in Family::ALL.into_iter().flat_map(super::outcomes) {
        if let Err(error) = result {
            let _ = writeln!(text, "- **{name}**: {}", words(error));
        }
    }
    text.push_str(LIMITED);
    for entry in super::entries() {
        if let Expectation::OnlyInF64(because) = entry.expectation {
            let _ = writeln!(text, "- **{}**, products in f32: {because}.", entry.name);
        }
    }
    for (name, because) in super::INEXACT_ON_NDARRAY {
        let _ = writeln!(text, "- **{name}** on `Device::ndarray()`: {because}.");
    }
    text.push_str(FLAT);
    for entry in super::entries() {
        if let LossOfOutputs::Flat(because) = entry.loss_of_outputs {
            let _ = writeln!(text, "- **{}**: {because}.", entry.name);
        }
    }
    own_gradients(&mut text);
    double_backwards(&mut text);
    text
}

fn own_gradients(text: &mut String) {
    let all = own_gradient::all();
    text.push_str(OWN);
    for own in &all {
        if let Found::Differs { loss, gradient } = own.found
            && !(loss <= AGREEMENT && gradient <= AGREEMENT)
        {
            let Own { entry, device, .. } = own;
            let (loss, gradient) = (power(loss), power(gradient));
            let _ = writeln!(text, "| {entry} | {device} | {loss} | {gradient} |");
        }
    }
    text.push_str(FAILING);
    for own in &all {
        if let Found::Fails { message } = &own.found {
            let Own { entry, device, .. } = own;
            let _ = writeln!(text, "- **{entry}** on {device}: {}", words(message));
        }
    }
}

fn double_backwards(text: &mut String) {
    text.push_str(DOUBLE);
    for found in double_backward::all() {
        let [first, second] = [found.first, found.second].map(|result| match result {
            Ok(error) => power(error),
            Err(reason) => words(&reason),
        });
        let _ = writeln!(text, "| {} | {first} | {second} |", found.operation);
    }
}

fn title(family: Family) -> String {
    let name = family.to_string();
    let mut letters = name.chars();
    let first = letters
        .next()
        .map(|letter| letter.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

/// On one line, without the numbers of captured tensors, which change from run to run.
fn words(message: &str) -> String {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut parts = line.split("TensorId(");
    let mut text = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let rest = part.trim_start_matches(|letter: char| letter.is_ascii_digit());
        text.push_str("TensorId(…");
        text.push_str(rest);
    }
    text
}

/// A figure rounded up to a power of ten; from a tenth on, how wrong it is does not matter.
fn power(figure: f64) -> String {
    if figure.is_nan() {
        return "NaN".to_string();
    }
    if figure > 0.1 {
        return "wrong".to_string();
    }
    format!("1e{}", figure.max(1e-17).log10().ceil() as i32)
}

/// The first line that differs by more than one power of ten in a figure, rounding apart.
fn first_difference<'a>(written: &'a str, found: &'a str) -> Option<(&'a str, &'a str)> {
    let mut lines = (written.lines(), found.lines());
    loop {
        match (lines.0.next(), lines.1.next()) {
            (None, None) => return None,
            (a, b) => {
                let (a, b) = (a.unwrap_or_default(), b.unwrap_or_default());
                if !alike(a, b) {
                    return Some((a, b));
                }
            }
        }
    }
}

fn alike(written: &str, found: &str) -> bool {
    let cells = |line: &str| {
        line.split('|')
            .map(|cell| cell.trim().to_string())
            .collect()
    };
    let (written, found): (Vec<String>, Vec<String>) = (cells(written), cells(found));
    written.len() == found.len() && written.iter().zip(&found).all(|(a, b)| alike_cells(a, b))
}

fn alike_cells(written: &str, found: &str) -> bool {
    let exponent = |cell: &str| {
        cell.strip_prefix("1e")
            .and_then(|text| text.parse::<i32>().ok())
    };
    match (exponent(written), exponent(found)) {
        (Some(a), Some(b)) => (a.max(ROUNDING) - b.max(ROUNDING)).abs() <= 1,
        _ => written == found,
    }
}

const HEAD: &str = "\
# Conformance

Written by the tests (`tests/ravine/conformance/`), which fail when it is out of date. Each row is a layer or a loss in a small
model, at one point. The figures are relative errors, rounded up to a power of ten:

- **f64**: the worst of four: the gradient against central differences of the loss, a Hessian-vector product against central
  differences of the gradient, its symmetry, and the two ways to compute it (`Recorded`, `Tape`) against each other. The first two
  are limited by the differences (about 1e-10), the others by rounding.
- **f32**: the worst of these: both products in f32, the recorded one natively and by Burn's operations, against the product in f64;
  blocks of three products in f32, in both executions, against single products.
- **Gauss-Newton**: the worst of these, in f64: products with J (the Jacobian of the outputs) against central differences of the
  outputs; with H_L (the Hessian of the loss by the outputs) against central differences of the gradient of the loss by the outputs;
  with G = Jᵀ H_L J against both together; ⟨J v, w⟩ against ⟨v, Jᵀ w⟩; the symmetry of H_L and G; G against its factors, one after the
  other; H_L against the Hessian of a model whose parameters are its outputs, and that Hessian against the G of that model. The first
  three are limited by the differences, the others by rounding.
- **executions**: the worst of these, in f64: loss, gradient and products with H and G natively against Burn's operations; products
  with nothing kept at the point against those with everything kept; blocks of three products with H and G, natively, by Burn's
  operations and with nothing kept, against single products.

The loss agrees with the one that Burn itself computes in f32, to 1e-5.

## Supported
";

const REFUSED: &str = "
## Refused

These end in an error:

";

const LIMITED: &str = "
## Limits

Everything above holds in f64 on `Device::flex()` and, to 1e-10, on `Device::ndarray()`, but for these:

";

const FLAT: &str = "
These have a Gauss-Newton matrix that says nothing: it is zero, as it is found to be, and errors are relative to ‖Hv‖:

";

const OWN: &str = "
## Where burn-autodiff's own gradient is off

The gradient that burn-autodiff computes of the same models in f64, against ours, which central differences confirm. Rows are those
whose relative difference in loss or gradient exceeds 1e-9; all other entries agree.

| | device | loss | gradient |
|---|---|---|---|
";

const FAILING: &str = "
Burn itself does not compute these gradients in f64:

";

const DOUBLE: &str = "
## What burn-autodiff's operations are under two derivatives

Relative errors of the derivatives of burn-autodiff's own operations, nested as `Autodiff<Autodiff<Flex>>` in f64: the first against
central differences of the operation, the second against central differences of the first. This is why operations are lowered before they
are differentiated twice.

| operation | first | second |
|---|---|---|
";

#[test]
fn numbers_of_captured_tensors_are_left_out() {
    assert_eq!(
        words("tensor TensorId(12)\nhas none"),
        "tensor TensorId(…) has none"
    );
    assert_eq!(words("plain"), "plain");
}

#[test]
fn figures_may_move_by_one_power_of_ten() {
    assert_eq!(power(2.3e-10), "1e-9");
    assert_eq!(power(1e-9), "1e-9");
    assert_eq!(power(0.0), "1e-17");
    assert_eq!(power(0.3), "wrong");
    assert!(alike(
        "| Linear | 1e-9 | 1e-6 |",
        "| Linear | 1e-10 | 1e-6 |"
    ));
    assert!(!alike(
        "| Linear | 1e-9 | 1e-6 |",
        "| Linear | 1e-11 | 1e-6 |"
    ));
    assert!(alike("| Linear | 1e-17 |", "| Linear | 1e-14 |"));
    assert!(!alike(
        "| Linear | 1e-9 | 1e-6 |",
        "| Conv1d | 1e-9 | 1e-6 |"
    ));
    assert_eq!(first_difference("a\nb", "a\nc"), Some(("b", "c")));
    assert_eq!(first_difference("a\nb", "a"), Some(("b", "")));
}
