//! Gradients of burn-autodiff itself, compared with ours in f64.
//!
//! Default dtypes belong to the process and layers create tensors in them, so that a plain Burn model in f64 needs a process
//! whose default float is f64: this test binary, started again for one ignored test.

use super::entry::{Entry, Expectation, Family, PointOptions};
use crate::support::devices;
use burn::module::{Flag, Module, ModuleMapper, ModuleVisitor, Param};
use burn::prelude::*;
use burn::tensor::{FloatDType, Gradients, IntDType};
use ravine_curvature::{Mode, Precision, vector};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;

/// Relative differences above this are reported.
pub(super) const AGREEMENT: f64 = 1e-9;

/// What burn-autodiff makes of an entry on a device.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Own {
    pub(super) entry: String,
    /// As in [`DEVICES`].
    pub(super) device: String,
    pub(super) found: Found,
}

/// How its gradient compares.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Found {
    /// Relative differences of its loss and gradient from ours.
    Differs { loss: f64, gradient: f64 },
    /// It panics.
    Fails { message: String },
}

/// The devices by name.
pub(super) const DEVICES: [&str; 2] = ["flex", "ndarray"];

const CHILD: &str = "conformance::own_gradient::in_a_process_of_its_own";
const MARK: &str = "own-gradient";

/// All entries that can be compared, on both devices.
pub(super) fn all() -> Vec<Own> {
    let binary = std::env::current_exe().expect("a running test has a path");
    let output = Command::new(binary)
        .args([CHILD, "--exact", "--ignored", "--nocapture"])
        .output()
        .expect("the test binary can be started again");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    let found: Vec<_> = text.lines().filter_map(parse).collect();
    assert!(!found.is_empty(), "{text}");
    found
}

#[test]
#[ignore = "started by the test of docs/conformance.md in a process of its own, whose default float is f64"]
fn in_a_process_of_its_own() {
    let mut devices = devices();
    for device in &mut devices {
        device
            .configure((FloatDType::F64, IntDType::I64))
            .expect("a new process has no default dtypes yet");
    }
    for entry in super::entries() {
        // other masks give other gradients
        let refused = matches!(entry.expectation, Expectation::Refused(_));
        if refused || entry.family == Family::Random {
            continue;
        }
        for (name, device) in DEVICES.iter().zip(&devices) {
            let own = Own {
                entry: entry.name.clone(),
                device: name.to_string(),
                found: compare(&entry, device),
            };
            println!("{}", line(&own));
        }
    }
}

fn compare(entry: &Entry, device: &Device) -> Found {
    let burn = catch_unwind(AssertUnwindSafe(|| entry.burn_gradient(device)));
    let (loss, gradient) = match burn {
        Ok(found) => found,
        Err(payload) => {
            let message = match payload.downcast::<String>() {
                Ok(text) => *text,
                Err(payload) => payload.downcast_ref::<&str>().unwrap_or(&"").to_string(),
            };
            return Found::Fails { message };
        }
    };
    // flex, because ndarray is not exact everywhere
    let options = PointOptions {
        precision: Precision::Model,
        ..PointOptions::default()
    };
    let point = entry.point(options).expect("the entry conforms");
    let ours = vector::to_f64(&point.gradient().expect("the entry conforms"));
    assert_eq!(ours.len(), gradient.len(), "{entry:?}");
    let norm = |values: &[f64]| values.iter().map(|x| x * x).sum::<f64>().sqrt();
    let difference: Vec<f64> = ours.iter().zip(&gradient).map(|(a, b)| a - b).collect();
    let our_loss = point.loss().expect("the entry conforms");
    Found::Differs {
        loss: (loss - our_loss).abs() / our_loss.abs(),
        gradient: norm(&difference) / norm(&ours),
    }
}

fn line(own: &Own) -> String {
    let found = match &own.found {
        Found::Differs { loss, gradient } => format!("{loss:e}\t{gradient:e}"),
        Found::Fails { message } => message.replace(['\n', '\t'], " "),
    };
    format!("{MARK}\t{}\t{}\t{found}", own.entry, own.device)
}

fn parse(line: &str) -> Option<Own> {
    // the harness may have begun the line
    let (_, rest) = line.split_once(MARK)?;
    let mut cells = rest.trim_start_matches('\t').split('\t');
    let (entry, device) = (cells.next()?.to_string(), cells.next()?.to_string());
    let first = cells.next()?;
    let found = match (first.parse(), cells.next().map(str::parse)) {
        (Ok(loss), Some(Ok(gradient))) => Found::Differs { loss, gradient },
        _ => Found::Fails {
            message: first.to_string(),
        },
    };
    Some(Own {
        entry,
        device,
        found,
    })
}

#[test]
fn lines_come_back_as_they_went() {
    let differs = Found::Differs {
        loss: 1.5e-16,
        gradient: 2e-4,
    };
    let fails = Found::Fails {
        message: "not supported".to_string(),
    };
    for found in [differs, fails] {
        let own = Own {
            entry: "a name".to_string(),
            device: "flex".to_string(),
            found,
        };
        assert_eq!(parse(&format!("test x ... {}", line(&own))), Some(own));
    }
}

pub(super) fn number(loss: Tensor<1>) -> f64 {
    let data = loss.into_data();
    data.iter::<f64>().next().expect("a loss is one number")
}

/// The model on its autodiff device with gradients on, its layers as the mode has them.
pub(super) fn prepared<M: Module>(model: M, mode: Mode) -> M {
    struct FlagsOff;
    impl ModuleMapper for FlagsOff {
        fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
            flag.with_value(false)
        }
    }
    let model = model.train();
    match mode {
        Mode::Evaluation => model.map(&mut FlagsOff),
        Mode::Training { .. } => model,
    }
}

/// The loss and its gradient by all trainable parameters, in the model's order.
pub(super) fn of<M: Module>(model: &M, loss: Tensor<1>) -> (f64, Vec<f64>) {
    struct Collect {
        gradients: Gradients,
        flat: Vec<f64>,
    }
    impl ModuleVisitor for Collect {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let value = param.val();
            if !value.is_require_grad() {
                return;
            }
            match value.grad(&self.gradients) {
                Some(gradient) => self.flat.extend(gradient.into_data().iter::<f64>()),
                None => self.flat.extend(vec![0.0; value.dims().iter().product()]),
            }
        }
    }
    let mut collect = Collect {
        gradients: loss.backward(),
        flat: Vec::new(),
    };
    model.visit(&mut collect);
    (number(loss.inner()), collect.flat)
}
