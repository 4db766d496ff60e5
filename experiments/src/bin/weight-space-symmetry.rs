//! # weight-space-symmetry: are permuted, sign-flipped and rescaled networks the same minimum with other curvature?
//!
//! Hidden units can change places, with tanh they can change their sign, with ReLU their incoming weights can be multiplied and the outgoing
//! ones divided by the same number: the network computes the same function. The first two are rotations of weight space, so
//! that loss and spectrum of the Hessian stay; the third is none, and changes the curvature at equal loss. All are exact
//! identities, checked to rounding at trained parameters. With A the generator of the rescaling of a unit, L(exp(tA)θ) = L(θ) gives gᵀAθ = 0
//! and, differentiated by θ, HAθ = −Ag.
//!
//! The m!·2ᵐ equivalent settings are counted, not assumed: on a tiny network every pair of a signed permutation of the incoming and one of the outgoing weights is
//! tried, (m!·2ᵐ)² candidates, and those that leave the loss as it is are counted.
//!
//! - **Expected:** differences of the size of rounding; as many equivalent settings as the formula says; λ_max several times larger after a rescaling by 4
//! - **Takes:** a few seconds
//! - **Command:** `just exp weight-space-symmetry`
//! - **Claim:** permuting or sign-flipping hidden units, or rescaling ReLU layers, gives equivalent minima: m!·2ᵐ isolated copies, and a continuum with other curvature
//! - **Source:** Goodfellow, Bengio and Courville (2016), Deep Learning, section 8.2.2; Dinh, Pascanu, Bengio and Bengio (2017), Sharp Minima Can Generalize for Deep Nets, section 3

use std::process::ExitCode;

use anyhow::Context as _;
use burn::prelude::*;
use burn::tensor::DType;
use ravine_curvature::symmetry::{
    EquivalentMinima, Generators, HiddenLayers, UnitActivation, discrete_transformations,
};
use ravine_curvature::{Objective, Point, Seed, dense, vector};
use ravine_experiments::{
    Axis, Band, Context, Criterion, DigitsConfig, DigitsProblem, Dtype, Experiment, Plot, Report,
    RunOptions, Seeds, Table, median, significant,
};
use ravine_model::losses::mse;
use ravine_model::models::{Activation, Initialisation, Mlp, MlpConfig};
use ravine_optim::{Budget, GradientDescent, Silent, run as descend};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Hidden units of the networks on the digits.
    hidden: usize,
    /// Training examples.
    examples: usize,
    /// Gradient steps before the identities are checked.
    steps: usize,
    /// Rate of these steps.
    rate: f64,
    /// Hidden units of the tiny networks whose equivalent settings are counted.
    counted: Vec<usize>,
    /// The incoming weights of all ReLU units are multiplied by each of these, the outgoing divided.
    factors: Vec<f64>,
    /// The factor at which λ_max is compared.
    factor: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hidden: 8,
            examples: 1437,
            steps: 300,
            rate: 0.3,
            counted: vec![1, 2, 3],
            factors: vec![0.25, 0.5, 0.7, 1.0, 1.4, 2.0, 4.0],
            factor: 4.0,
        }
    }
}

/// A permutation with signs of the hidden units, at trained parameters of a tanh network.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Copied {
    loss: f64,
    /// |ΔL|/L.
    loss_change: f64,
    /// Largest |Δλ|/λ_max over the whole spectrum.
    spectrum_change: f64,
    /// ‖Tθ − θ‖/‖θ‖: that the copy is another place.
    moved: f64,
}

/// Settings of a tiny network that leave its loss as it is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Counted {
    units: usize,
    candidates: usize,
    equivalent: usize,
    /// m!·2ᵐ.
    formula: usize,
    /// Largest |ΔL|/L of those that count, and smallest of the others.
    largest_equal: f64,
    smallest_different: f64,
}

/// The identities of ReLU rescaling, the worst over the units.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Rescaled {
    /// |gᵀAθ| / (‖g‖ ‖Aθ‖).
    gradient: f64,
    /// ‖HAθ + Ag‖ / (λ_max ‖Aθ‖).
    hessian: f64,
    /// By factor: the factor, |ΔL|/L, λ_max.
    places: Vec<(f64, f64, f64)>,
}

fn main() -> ExitCode {
    ravine_experiments::main(Experiment {
        source: include_str!("weight-space-symmetry.rs"),
        options: || RunOptions {
            seeds: Seeds::from(0..3),
            dtype: Dtype::F64,
            ..RunOptions::default()
        },
        smoke: |config: &mut Config| {
            config.hidden = 3;
            config.examples = 128;
            config.steps = 5;
            config.counted = vec![1, 2];
            config.factors = vec![1.0, 4.0];
        },
        run,
    })
}

fn run(context: &Context<Config>) -> anyhow::Result<Report> {
    let config = context.config();
    context.announce_cells(context.seeds().len() * (2 + config.counted.len()));
    let mut loss = Criterion::new("|ΔL|/L under signed permutation", Band::at_most(1e-12));
    let mut spectrum = Criterion::new(
        "largest |Δλ|/λ_max under signed permutation",
        Band::at_most(1e-12),
    );
    let mut count = Criterion::new(
        "equivalent settings / (m!·2ᵐ), the farthest from 1 over m",
        Band::around(1.0, 0.0),
    );
    let mut gradient = Criterion::new("ReLU rescaling: |gᵀAθ|/(‖g‖‖Aθ‖)", Band::at_most(1e-12));
    let mut hessian = Criterion::new(
        "ReLU rescaling: ‖HAθ + Ag‖/(λ_max‖Aθ‖)",
        Band::at_most(1e-12),
    );
    let mut same = Criterion::new("ReLU rescaling: |ΔL|/L", Band::at_most(1e-12));
    let mut sharper = Criterion::new(
        format!("λ_max after rescaling by {} / before", config.factor),
        Band::at_least(2.0),
    );
    let mut counts = Table::new(
        "Pairs of signed permutations that leave the loss of a tiny network as it is, first seed",
        [
            "units m",
            "tried",
            "equivalent",
            "m!·2ᵐ",
            "largest |ΔL|/L of these",
            "smallest of the others",
        ],
    );
    let mut curves = Vec::new();
    let mut growth = Vec::new();
    for &seed in context.seeds() {
        match context.cell(format!("permutation/seed={seed}"), || {
            permuted(context, seed)
        })? {
            Ok(copied) => {
                context.row("permutations", &copied)?;
                loss.push(seed, copied.loss_change);
                spectrum.push(seed, copied.spectrum_change);
            }
            Err(_) => {
                loss.push(seed, f64::NAN);
                spectrum.push(seed, f64::NAN);
            }
        }
        let mut farthest: f64 = 1.0;
        for &units in &config.counted {
            let cell = context.cell(format!("count/units={units}/seed={seed}"), || {
                counted(context, units, seed)
            })?;
            let Ok(found) = cell else {
                farthest = f64::NAN;
                continue;
            };
            context.row("counts", &found)?;
            let ratio = found.equivalent as f64 / found.formula as f64;
            if (ratio - 1.0).abs() > (farthest - 1.0).abs() {
                farthest = ratio;
            }
            if seed == context.seeds()[0] {
                counts.push([
                    units.into(),
                    found.candidates.into(),
                    found.equivalent.into(),
                    found.formula.into(),
                    found.largest_equal.into(),
                    found.smallest_different.into(),
                ]);
            }
        }
        count.push(seed, farthest);
        match context.cell(format!("rescaling/seed={seed}"), || rescaled(context, seed))? {
            Ok(found) => {
                gradient.push(seed, found.gradient);
                hessian.push(seed, found.hessian);
                let worst = found.places.iter().map(|place| place.1).fold(0.0, f64::max);
                same.push(seed, worst);
                let at = |factor: f64| {
                    let place = found.places.iter().find(|place| place.0 == factor);
                    place.map_or(f64::NAN, |place| place.2)
                };
                let ratio = at(config.factor) / at(1.0);
                sharper.push(seed, ratio);
                growth.push(ratio);
                curves.push((
                    seed,
                    found.places.iter().map(|p| (p.0, p.2)).collect::<Vec<_>>(),
                ));
            }
            Err(_) => {
                for criterion in [&mut gradient, &mut hessian, &mut same, &mut sharper] {
                    criterion.push(seed, f64::NAN);
                }
            }
        }
    }
    let plot = curves.into_iter().fold(
        Plot::new(
            "Sharpness of equivalent ReLU networks",
            Axis::log("factor of the incoming weights"),
            Axis::log("λ_max of the Hessian"),
        )
        .caption("Every point of a line has the same loss and computes the same function."),
        |plot, (seed, curve)| plot.line(format!("seed {seed}"), curve),
    );
    let report = Report::new("Equivalent minima")
        .finding(format!(
            "Rescaling by {} changes λ_max {} times (median over seeds) at equal loss: sharpness is no property of the function.",
            config.factor,
            significant(median(growth), 3)
        ));
    let criteria = [loss, spectrum, count, gradient, hessian, same, sharper];
    Ok(criteria
        .into_iter()
        .fold(report, Report::criterion)
        .section("Rescaling")
        .plot(plot)
        .section("Counting")
        .table(counts))
}

/// A network on the digits after some training.
fn trained(
    context: &Context<Config>,
    activation: Activation,
    of_units: UnitActivation,
    seed: u64,
) -> anyhow::Result<(Point, HiddenLayers)> {
    let config = context.config();
    let digits = DigitsConfig {
        hidden: vec![config.hidden],
        activation,
        examples: config.examples,
        ..DigitsConfig::default()
    };
    let start = DigitsProblem::new(context, &digits, seed)?.full()?;
    let budget = Budget::steps(config.steps);
    let mut method = GradientDescent::new(config.rate);
    let trajectory = descend(&mut method, &start, start.theta(), &budget, &mut Silent)?;
    let layers = HiddenLayers::of_layout(start.layout(), of_units)?;
    Ok((start.move_to(trajectory.theta)?, layers))
}

fn permuted(context: &Context<Config>, seed: u64) -> anyhow::Result<Copied> {
    let (point, layers) = trained(context, Activation::Tanh, UnitActivation::Odd, seed)?;
    let signed = layers.random_transformation(Seed::new(seed).stream("signed permutation"));
    let copy = point.move_to(layers.apply(&signed, point.theta())?)?;
    let (before, after) = (dense(&point.hessian())?, dense(&copy.hessian())?);
    let (before, after) = (before.eigenvalues()?, after.eigenvalues()?);
    let largest = before.last().copied().unwrap_or(f64::NAN);
    let differences = before.iter().zip(&after).map(|(a, b)| (a - b).abs());
    let distance = vector::norm(&(point.theta().clone() - copy.theta().clone()));
    Ok(Copied {
        loss: point.loss()?,
        loss_change: (copy.loss()? / point.loss()? - 1.0).abs(),
        spectrum_change: differences.fold(0.0, f64::max) / largest,
        moved: distance / vector::norm(point.theta()),
    })
}

/// A loss differs when it changes by more than this part of itself.
const DIFFERENT: f64 = 1e-9;

fn counted(context: &Context<Config>, units: usize, seed: u64) -> anyhow::Result<Counted> {
    let options = (context.device(), DType::F64);
    let model = MlpConfig::new(2, [units], 1)
        .with_initialisation(Initialisation::Normal { std: 1.0 })
        .with_seed(seed)
        .init(options)?;
    let objective = context.objective(Objective::new(
        |model: &Mlp, (x, _): &(Tensor<2>, Tensor<2>)| model.forward(x.clone()),
        |outputs, (_, y)| mse(outputs, y.clone()),
    ));
    let mut rng = Seed::new(seed).stream("tiny data").rng();
    let mut drawn = |rows: usize, columns: usize| {
        let values = vector::standard_normal(rows * columns, &mut rng);
        vector::from_f64(&values, context.device(), DType::F64).reshape([rows, columns])
    };
    let batch = (drawn(40, 2), drawn(40, 1));
    let start = objective.at(&model, &batch)?;
    // biases start at zero, which would be symmetries by chance: train a little
    let trajectory = descend(
        &mut GradientDescent::new(0.1),
        &start,
        start.theta(),
        &Budget::steps(20),
        &mut Silent,
    )?;
    let point = start.move_to(trajectory.theta)?;
    let loss = point.loss()?;
    let layers = HiddenLayers::of_layout(point.layout(), UnitActivation::Odd)?;
    let formula = EquivalentMinima::of(&layers).exact;
    let moved: Vec<Tensor<1>> = discrete_transformations(&layers, usize::MAX)?
        .iter()
        .map(|signed| layers.apply(signed, point.theta()))
        .collect::<Result<_, _>>()?;
    let outgoing = &layers.layers()[0].outgoing;
    let mut entries = point.layout().entries().iter();
    let entry = entries.find(|entry| entry.name == *outgoing);
    let outgoing = entry.context("no outgoing weights")?.range.clone();
    let mut found = Counted {
        units,
        candidates: moved.len() * moved.len(),
        equivalent: 0,
        formula: formula
            .and_then(|count| usize::try_from(count).ok())
            .context("too many to count")?,
        largest_equal: 0.0,
        smallest_different: f64::INFINITY,
    };
    for of_incoming in &moved {
        for of_outgoing in &moved {
            let candidate = of_incoming.clone().slice_assign(
                [outgoing.clone()],
                of_outgoing.clone().slice([outgoing.clone()]),
            );
            let change = (point.move_to(candidate)?.loss()? / loss - 1.0).abs();
            match change <= DIFFERENT {
                true => {
                    found.equivalent += 1;
                    found.largest_equal = found.largest_equal.max(change);
                }
                false => found.smallest_different = found.smallest_different.min(change),
            }
        }
    }
    Ok(found)
}

fn rescaled(context: &Context<Config>, seed: u64) -> anyhow::Result<Rescaled> {
    let of_units = UnitActivation::PositivelyHomogeneous;
    let (point, layers) = trained(context, Activation::Relu, of_units, seed)?;
    let largest = |point: &Point| -> anyhow::Result<f64> {
        let values = dense(&point.hessian())?.eigenvalues()?;
        Ok(values.last().copied().unwrap_or(f64::NAN))
    };
    let defects = Generators::of(&layers).defects(&point)?;
    let loss = point.loss()?;
    let mut places = Vec::new();
    for &factor in &context.config().factors {
        let scaled = layers.rescale(0, &vec![factor; layers.layers()[0].units])?;
        let moved = point.move_to(layers.apply(&scaled, point.theta())?)?;
        places.push((factor, (moved.loss()? / loss - 1.0).abs(), largest(&moved)?));
    }
    Ok(Rescaled {
        gradient: defects.gradient,
        hessian: defects.hessian / largest(&point)?,
        places,
    })
}
