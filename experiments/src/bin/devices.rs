//! # devices: how long do loss, gradient and Hessian-vector product take on each device that is built?
//!
//! The same networks on the same random data, the devices and the kinds of evaluation taking turns, so that a disturbance meets all of them.
//! What is compared are ratios within one run; times depend on the machine.
//!
//! - **Expected:** flex ahead of ndarray on all but the smallest work; a recorded product costs one to two gradients, one by tape three and more
//! - **Takes:** about 20 s
//! - **Command:** `just exp devices`

use std::process::ExitCode;
use std::time::Instant;

use burn::prelude::*;
use burn::tensor::TensorData;
use rand::{Rng, RngExt};
use ravine_curvature::{HvpMethod, LinearOperator, Objective, Seed};
use ravine_experiments::{
    Axis, Context, Experiment, Plot, Report, RunOptions, Table, median, significant,
};
use ravine_model::datasets::LabelledBatch;
use ravine_model::losses::cross_entropy;
use ravine_model::models::{Mlp, MlpConfig};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Widths of the networks, inputs and outputs included, and after a colon the examples: 64-32-10:128.
    networks: Vec<String>,
    /// Rounds of all devices and evaluations.
    rounds: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            networks: ["64-32-10:128", "64-128-128-10:256", "784-512-512-10:256"]
                .map(String::from)
                .to_vec(),
            rounds: 15,
        }
    }
}

/// Seconds of one evaluation in one round.
#[derive(Debug, Serialize, Deserialize)]
struct Timing {
    network: String,
    device: String,
    evaluation: String,
    round: usize,
    seconds: f64,
}

fn main() -> ExitCode {
    ravine_experiments::main(Experiment {
        source: include_str!("devices.rs"),
        options: RunOptions::default,
        smoke: |config: &mut Config| {
            config.networks.truncate(1);
            config.rounds = 2;
        },
        run,
    })
}

const EVALUATIONS: [&str; 4] = ["loss", "gradient", "product, recorded", "product, tape"];

#[allow(deprecated)] // upstream ends burn-ndarray after this release; the pin keeps it
fn devices() -> [(&'static str, Device); 2] {
    [("flex", Device::flex()), ("ndarray", Device::ndarray())]
}

fn run(context: &Context<Config>) -> anyhow::Result<Report> {
    let config = context.config();
    context.announce_cells(config.networks.len());
    let mut columns = vec!["network, examples".to_string(), "device".to_string()];
    columns.extend(
        EVALUATIONS
            .iter()
            .map(|evaluation| format!("{evaluation} (ms)")),
    );
    columns.push("product / gradient".to_string());
    let mut table = Table::new("Median over the rounds", columns);
    let mut plot = Plot::new(
        "Recorded Hessian-vector product",
        Axis::log("parameters"),
        Axis::log("milliseconds"),
    );
    let mut ratios = Vec::new();
    let mut curves: Vec<Vec<(f64, f64)>> = vec![Vec::new(); devices().len()];
    for network in &config.networks {
        let cell = context.cell(format!("network={network}"), || time(context, network))?;
        let timings = cell.map_err(|failure| anyhow::anyhow!("{network}: {}", failure.message))?;
        let mut products = Vec::new();
        for (index, (device, _)) in devices().iter().enumerate() {
            let of = |evaluation: &str| {
                let matching = timings
                    .iter()
                    .filter(|t| t.device == *device && t.evaluation == evaluation);
                1e3 * median(matching.map(|t| t.seconds))
            };
            let times = EVALUATIONS.map(of);
            products.push(times[2]);
            curves[index].push((parameters(network)? as f64, times[2]));
            let mut row = vec![network.as_str().into(), (*device).into()];
            row.extend(times.map(Into::into));
            row.push((times[2] / times[1]).into());
            table.push(row);
        }
        ratios.push(format!(
            "{network}: {}",
            significant(products[1] / products[0], 3)
        ));
        for timing in &timings {
            context.row("timings", timing)?;
        }
    }
    for ((device, _), curve) in devices().iter().zip(curves) {
        plot = plot.line(*device, curve);
    }
    let report = Report::new("Devices compared")
        .finding(format!("Time of a recorded Hessian-vector product on ndarray over that on flex: {}.", ratios.join("; ")))
        .section("Times")
        .paragraph(format!("Tanh networks with mean cross entropy on random data, {} rounds, dtype {:?}. Each evaluation starts from a point that has computed nothing yet; a product is timed behind a first one.", config.rounds, context.dtype()))
        .plot(plot)
        .table(table);
    Ok(report)
}

fn widths(network: &str) -> anyhow::Result<(Vec<usize>, usize)> {
    let (widths, examples) = network
        .split_once(':')
        .ok_or_else(|| anyhow::anyhow!("network `{network}` is not of the form 64-32-10:128"))?;
    let widths: Vec<usize> = widths
        .split('-')
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    anyhow::ensure!(
        widths.len() >= 2,
        "network `{network}` needs inputs and outputs"
    );
    Ok((widths, examples.parse()?))
}

fn parameters(network: &str) -> anyhow::Result<usize> {
    let (widths, _) = widths(network)?;
    Ok(widths
        .windows(2)
        .map(|pair| pair[0] * pair[1] + pair[1])
        .sum())
}

fn time(context: &Context<Config>, network: &str) -> anyhow::Result<Vec<Timing>> {
    let config = context.config();
    let (widths, examples) = widths(network)?;
    let (inputs, outputs) = (widths[0], widths[widths.len() - 1]);
    let mut rng = Seed::new(0).rng();
    let pixels: Vec<f64> = (0..examples * inputs)
        .map(|_| rng.random::<f64>() - 0.5)
        .collect();
    let labels: Vec<i64> = (0..examples)
        .map(|_| (rng.next_u32() as usize % outputs) as i64)
        .collect();
    let mut points = Vec::new();
    for (name, device) in devices() {
        let dtype = context.device().settings().float_dtype.into();
        let model =
            MlpConfig::new(inputs, &widths[1..widths.len() - 1], outputs).init((&device, dtype))?;
        let data = TensorData::new(pixels.clone(), [examples, inputs]).convert_dtype(dtype);
        let batch: LabelledBatch<2> = (
            Tensor::from_data(data, (&device, dtype)),
            Tensor::from_data(TensorData::new(labels.clone(), [examples]), &device),
        );
        let objective = context.objective(Objective::new(
            |model: &Mlp, (x, _): &LabelledBatch<2>| model.forward(x.clone()),
            |logits, (_, y)| cross_entropy(logits, y.clone()),
        ));
        points.push((name, objective.at(&model, &batch)?));
    }
    let progress = context.progress(network, config.rounds);
    let mut timings = Vec::new();
    // two rounds first, to record and to warm up
    for round in 0..config.rounds + 2 {
        for (device, point) in &points {
            for evaluation in EVALUATIONS {
                let seconds = time_once(point, evaluation)?;
                if round < 2 {
                    continue;
                }
                timings.push(Timing {
                    network: network.to_string(),
                    device: (*device).to_string(),
                    evaluation: evaluation.to_string(),
                    round: round - 2,
                    seconds,
                });
            }
        }
        progress.tick(|| format!("round {round}"));
    }
    Ok(timings)
}

fn time_once(point: &ravine_curvature::Point, evaluation: &str) -> anyhow::Result<f64> {
    let fresh = point.move_to(point.theta().clone())?;
    let v = point.gradient()?;
    let hessian = match evaluation {
        "product, tape" => fresh.hessian().by(HvpMethod::Tape),
        _ => fresh.hessian().by(HvpMethod::Recorded),
    };
    if evaluation.starts_with("product") {
        hessian.apply(&v)?;
    }
    let start = Instant::now();
    match evaluation {
        "loss" => drop(fresh.loss()?),
        "gradient" => drop(fresh.gradient()?),
        _ => drop(hessian.apply(&v)?),
    }
    fresh
        .device()
        .sync()
        .map_err(|error| anyhow::anyhow!("{error:?}"))?;
    Ok(start.elapsed().as_secs_f64())
}
