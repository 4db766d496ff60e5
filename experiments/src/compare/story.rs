//! The report: what was found, the tables, the curves, the profiles, and how it was done.

use super::measures::{
    Currency, Measured, SIGNIFICANT, Standing, TAU_MAX, overall_ratios, target_by_rule,
};
use super::methods::baselines;
use super::plan::{Costs, Plan};
use super::record::Record;
use super::statistics::{Quartiles, profile, profile_score, quantile};
use super::tuning::{Compared, MethodResult};
use crate::{Axis, Best, Entry, Plot, Report, Series, Table, significant};

/// Points of a curve over the budget.
const POINTS: usize = 120;

/// Lines of a plot at most: more cannot be told apart at a glance.
const LINES: usize = 10;

/// Tells the whole comparison.
pub fn tell(
    plan: &Plan,
    costs: &[Costs],
    compared: &[Compared],
    measured: &[Vec<Measured>],
) -> Report {
    let mut report = Report::new("Methods compared under one protocol");
    for (problem, measured) in compared.iter().zip(measured) {
        report = report.finding(finding(problem, measured));
    }
    report = overall(report, compared);
    for (problem, measured) in compared.iter().zip(measured) {
        report = on_problem(report, plan, problem, measured);
    }
    protocol(report, plan, costs, compared)
}

/// One sentence on a problem.
fn finding(problem: &Compared, measured: &[Measured]) -> String {
    let Some(best) = measured.iter().find(|m| m.standing == Standing::Best) else {
        return format!("On {} nothing was measured.", problem.problem);
    };
    let equal: Vec<&str> = measured
        .iter()
        .filter(|m| m.standing == Standing::NotSeparable)
        .map(|m| m.method.as_str())
        .collect();
    let equal = match equal.is_empty() {
        true => "every other method is separable from it".to_string(),
        false => format!("not separable from it: {}", equal.join(", ")),
    };
    match best.hits {
        0 => format!(
            "On {} no method reached the target {}; the lowest median training loss at the end is {} ({}); {equal}.",
            problem.problem,
            significant(problem.terms.target, 2),
            significant(best.train.median, 3),
            best.method
        ),
        hits => format!(
            "On {} {} needs the fewest gradients to the loss {}: {} in the median, {hits} of {} seeds; {equal}.",
            problem.problem,
            best.method,
            significant(problem.terms.target, 2),
            spread(&best.gradients),
            best.seeds
        ),
    }
}

/// The profiles over all problems.
fn overall(report: Report, compared: &[Compared]) -> Report {
    let seeds: usize = compared.iter().map(seeds_of).sum();
    let gradients = overall_ratios(compared, Currency::Gradients);
    let seconds = overall_ratios(compared, Currency::Seconds);
    let mut table = Table::new(
        "Over all problems",
        [
            "method",
            "score by gradients",
            "score by seconds",
            "solved",
            "of",
        ],
    );
    for ((method, by_gradients), (_, by_seconds)) in gradients.iter().zip(&seconds) {
        let solved = by_gradients
            .iter()
            .filter(|ratio| ratio.is_finite())
            .count();
        table.push([
            method.as_str().into(),
            profile_score(by_gradients, TAU_MAX).into(),
            profile_score(by_seconds, TAU_MAX).into(),
            solved.into(),
            seeds.into(),
        ]);
    }
    let table = table
        .mark_best("score by gradients", Best::Highest)
        .mark_best("score by seconds", Best::Highest);
    report
        .section("Over all problems")
        .paragraph(format!(
            "A performance profile shows on which share of all pairs of problem and seed a method reached the target with at most τ times the cost of the cheapest method there. The score is the area under it from τ = 1 to {TAU_MAX}, divided by {}: 1 for a method that is always the cheapest, 0 for one that is never within a factor of {TAU_MAX}.",
            TAU_MAX - 1.0
        ))
        .table(table)
        .plots([
            profiles("Profiles by gradient-equivalents", &gradients),
            profiles("Profiles by seconds", &seconds),
        ])
}

fn seeds_of(problem: &Compared) -> usize {
    problem
        .results
        .first()
        .map_or(0, |result| result.records.len())
}

/// ρ(τ) as staircases up to τ = 100.
fn profiles(title: &str, ratios: &[(String, Vec<f64>)]) -> Plot {
    let plot = Plot::new(
        title,
        Axis::log("τ, cost over that of the cheapest").to(100.0),
        Axis::linear("share within τ").from(0.0).to(1.0),
    );
    let score = |ratios: &[f64]| profile_score(ratios, TAU_MAX);
    let mut ranked: Vec<&(String, Vec<f64>)> = ratios.iter().collect();
    ranked.sort_by(|a, b| score(&b.1).total_cmp(&score(&a.1)));
    ranked.truncate(LINES);
    let mut plot = captioned(plot, ranked.len(), ratios.len());
    for (method, ratios) in ranked {
        let mut corners: Vec<f64> = ratios.iter().copied().filter(|r| *r <= 100.0).collect();
        corners.sort_by(f64::total_cmp);
        corners.dedup();
        let mut points = vec![(1.0, profile(ratios, 1.0))];
        for corner in corners.into_iter().filter(|corner| *corner > 1.0) {
            let before = points.last().map_or(0.0, |point| point.1);
            points.push((corner, before));
            points.push((corner, profile(ratios, corner)));
        }
        let last = points.last().map_or(0.0, |point| point.1);
        points.push((100.0, last));
        plot.push(Series::line(method.clone(), points));
    }
    plot
}

/// The section of a problem.
fn on_problem(report: Report, plan: &Plan, problem: &Compared, measured: &[Measured]) -> Report {
    let terms = &problem.terms;
    let description = plan
        .problems
        .iter()
        .find(|(name, _)| *name == problem.problem);
    let (batch, source) = description.map_or((None, ""), |(_, p)| (p.batch, &p.target_source));
    let batch = batch.map_or("all examples in every step".to_string(), |size| {
        format!("batches of {size}")
    });
    let shown: Vec<&Measured> = measured.iter().collect();
    report
        .section(problem.problem.clone())
        .paragraph(format!(
            "{} parameters, {batch}. Budget: {} gradient-equivalents, or {} s for the columns of seconds. Target: a training loss of {} ({source}).",
            problem.dim,
            significant(terms.budget, 4),
            significant(terms.seconds, 3),
            significant(terms.target, 3)
        ))
        .table(to_target(&shown))
        .table(at_the_end(&shown))
        .plots([
            over_gradients(problem, measured),
            over_seconds(problem, measured),
        ])
        .table(choices(&shown))
}

fn to_target(measured: &[&Measured]) -> Table {
    let mut table = Table::new(
        "To the target: median (quartiles) over the seeds; ∞ where it was not reached",
        [
            "method",
            "hits",
            "steps",
            "gradients",
            "in time",
            "seconds",
            "score",
            "p",
            "",
        ],
    );
    for m in measured {
        table.push([
            m.method.as_str().into(),
            format!("{}/{}", m.hits, m.seeds).into(),
            spread(&m.steps).into(),
            spread(&m.gradients).into(),
            format!("{}/{}", m.hits_in_time, m.seeds).into(),
            spread(&m.seconds).into(),
            m.score.into(),
            match m.standing {
                Standing::Best => Entry::Missing,
                _ => m.p_value.into(),
            },
            standing(m.standing).into(),
        ]);
    }
    table.mark_best("score", Best::Highest)
}

fn at_the_end(measured: &[&Measured]) -> Table {
    let mut table = Table::new(
        "At the end of the budget: median (quartiles) over the seeds",
        [
            "method",
            "training loss",
            "validation loss",
            "mean log₁₀ loss",
            "failures",
            "best of 1",
            "best of 5",
            "best of 20",
            "sensitivity",
        ],
    );
    for m in measured {
        let [one, five, twenty] = m.expected;
        table.push([
            m.method.as_str().into(),
            spread(&m.train).into(),
            match m.validation.median.is_nan() {
                true => Entry::Missing,
                false => spread(&m.validation).into(),
            },
            m.area.into(),
            m.failures.into(),
            one.into(),
            five.into(),
            twenty.into(),
            m.sensitivity.into(),
        ]);
    }
    table.mark_best("mean log₁₀ loss", Best::Lowest)
}

fn choices(measured: &[&Measured]) -> Table {
    let mut table = Table::new("Chosen hyperparameters", ["method", "chosen", "notes"]);
    for m in measured {
        table.push([
            m.method.as_str().into(),
            m.chosen.as_str().into(),
            m.notes.as_str().into(),
        ]);
    }
    table
}

fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Best => "best",
        Standing::NotSeparable => "not separable",
        Standing::Separable => "",
    }
}

fn spread(quartiles: &Quartiles) -> String {
    let show = |value: f64| match value.is_finite() {
        true => significant(value, 3),
        false => "∞".to_string(),
    };
    let [lower, median, upper] = [quartiles.lower, quartiles.median, quartiles.upper].map(show);
    match lower == upper {
        true => median,
        false => format!("{median} ({lower} to {upper})"),
    }
}

fn over_gradients(problem: &Compared, measured: &[Measured]) -> Plot {
    let x = Axis::linear("gradient-equivalents").to(problem.terms.budget);
    let plot = Plot::new(
        format!("{}: loss over gradients", problem.problem),
        x,
        Axis::log("training loss"),
    );
    let drawn = best_of(problem, measured);
    curves(
        plot,
        problem,
        &drawn,
        (problem.terms.budget, Record::over_gradients),
    )
}

fn over_seconds(problem: &Compared, measured: &[Measured]) -> Plot {
    let x = Axis::linear("seconds").to(problem.terms.seconds);
    let plot = Plot::new(
        format!("{}: loss over seconds", problem.problem),
        x,
        Axis::log("training loss"),
    );
    let drawn = best_of(problem, measured);
    curves(
        plot,
        problem,
        &drawn,
        (problem.terms.seconds, Record::over_seconds),
    )
}

/// The best [`LINES`] methods, in the order of the field: by gradients to the target, then by final loss.
fn best_of<'a>(problem: &'a Compared, measured: &[Measured]) -> Vec<&'a MethodResult> {
    let key = |method: &str| {
        let of = measured.iter().find(|m| m.method == method);
        of.map_or((f64::INFINITY, f64::INFINITY), |m| {
            (m.gradients.median, m.train.median)
        })
    };
    let mut ranked: Vec<(usize, &MethodResult)> = problem.results.iter().enumerate().collect();
    ranked.sort_by(|(_, a), (_, b)| {
        let ((a, a_loss), (b, b_loss)) = (key(&a.method), key(&b.method));
        a.total_cmp(&b).then(a_loss.total_cmp(&b_loss))
    });
    ranked.truncate(LINES);
    ranked.sort_by_key(|(place, _)| *place);
    ranked.into_iter().map(|(_, result)| result).collect()
}

/// Says what is left out of a plot with fewer lines than methods.
fn captioned(plot: Plot, drawn: usize, all: usize) -> Plot {
    match drawn < all {
        true => plot.caption(format!(
            "The best {drawn} of {all} methods; the tables and rows have all."
        )),
        false => plot,
    }
}

/// A curve of a run: time or cost, and the loss there.
type CurveOf = fn(&Record) -> Vec<(f64, f64)>;

/// Medians and quartiles over the seeds, on one grid; the first loss is the ceiling, so that divergence does not flatten the rest.
fn curves(
    plot: Plot,
    problem: &Compared,
    drawn: &[&MethodResult],
    (end, curve): (f64, CurveOf),
) -> Plot {
    let plot = plot.horizontal("target", problem.terms.target);
    let mut plot = captioned(plot, drawn.len(), problem.results.len());
    for result in drawn {
        let runs: Vec<Vec<(f64, f64)>> = result.records.iter().map(curve).collect();
        if runs.iter().all(Vec::is_empty) {
            continue;
        }
        let grid: Vec<f64> = (0..=POINTS)
            .map(|point| end * point as f64 / POINTS as f64)
            .collect();
        // Where half of the seeds have failed there is no median to draw.
        let shown: Vec<(f64, Quartiles)> = grid
            .into_iter()
            .map(|x| {
                let losses: Vec<f64> = runs.iter().map(|run| value_at(run, x)).collect();
                (x, Quartiles::of(&losses))
            })
            .filter(|(_, quartiles)| quartiles.median.is_finite())
            .collect();
        let medians = shown.iter().map(|(x, quartiles)| (*x, quartiles.median));
        let edges = shown
            .iter()
            .map(|(_, quartiles)| (quartiles.lower, quartiles.upper));
        plot.push(Series::line(result.method.clone(), medians).band(edges));
    }
    plot
}

/// The loss of the last point that is not beyond x.
fn value_at(run: &[(f64, f64)], x: f64) -> f64 {
    let before = run.iter().rev().find(|point| point.0 <= x);
    before.map_or(f64::INFINITY, |point| point.1)
}

/// How it was done, in enough words to do it again.
fn protocol(report: Report, plan: &Plan, costs: &[Costs], compared: &[Compared]) -> Report {
    let seeds = |seeds: &[u64]| {
        seeds
            .iter()
            .map(u64::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let added = match plan.added.is_empty() {
        true => String::new(),
        false => format!(
            " Added to the field that was asked for: {}.",
            plan.added.join(", ")
        ),
    };
    let report = report
        .section("Protocol")
        .paragraph(format!(
            "After DeepOBS (Schneider, Balles and Hennig 2019) and AlgoPerf (Dahl et al. 2023). Every method gets {} trials on each problem, the points of a shifted Halton sequence in its stated space, each run on the tuning seeds {}. A trial is judged by the median number of gradient-equivalents to the target, and where that is the same (not reached, say) by the median final training loss. If the best trial of some method lies in the outer tenth of a range that is not a limit of the method, the range is widened there by half, and every method gets {} further trials on that problem: those on an edge beyond it, the others in their own space. The choice then runs on the report seeds {}, which were not tuned on.{added}",
            plan.trials,
            seeds(&plan.tuning_seeds),
            plan.widening_trials,
            seeds(&plan.report_seeds)
        ))
        .paragraph(format!("A run goes on past the target until its gradient-equivalents are spent; its last step may go beyond, and then counts for the final losses, not for the target. Schedules shrink over the steps that the budget has at what a step of the method costs. A gradient-equivalent is one gradient with its loss over the batch of a step; losses, products with the Hessian and with the Gauss-Newton matrix and passes for Kronecker factors count as many as they take in time on this machine, measured once and kept in `config.toml`; line searches and rejected steps are charged. The budget of seconds is, unless the problem says otherwise, {} times what as many steps of gradient descent take, so that work beside losses, gradients and products shows there; a run ends with its gradient-equivalents all the same, and what it had not reached by then counts as not reached in time either. Evaluations for the report are neither counted nor timed. A problem whose budget one step exceeds counts as not solved.", significant(plan.seconds_factor, 3)))
        .paragraph(format!(
            "NaN, divergence (10⁶ times the first loss), an error, and more than {} s are failures: they cost infinitely much, lead to an infinite loss, and are in every figure. Quartiles interpolate linearly, and between a number and infinity lies infinity. The best of k trials is the expected lowest final training loss of k trials drawn with replacement (Dodge et al. 2019), where a trial that ends above its start is worth its start; with fewer than k trials it is not given. The sensitivity is how many decades of final training loss are lost when the main hyperparameter is halved or doubled, whichever is worse, on the tuning seeds.",
            significant(plan.timeout, 3)
        ))
        .paragraph(format!(
            "p is that of the exact two-sided rank-sum test (Mann and Whitney) against the method with the lowest median, ties by mid-ranks, adjusted for the size of the field (Holm); it compares gradients to the target, and final losses where no seed of any method reached it. From {SIGNIFICANT} up a method is not separable from the best. Nothing is said of methods that are compared with each other and not with the best."
        ))
        .paragraph(format!(
            "Runs go over {} workers of one thread each. Trajectories are the same bit by bit whatever the number of workers; only times differ, and with them what a time-out ends, and they suffer from whatever else the machine does.",
            plan.workers
        ));
    report
        .table(cost_table(plan, costs))
        .table(target_table(compared))
        .table(space_table(compared))
}

fn cost_table(plan: &Plan, costs: &[Costs]) -> Table {
    let mut table = Table::new(
        "Measured costs of evaluations, in gradients",
        [
            "problem",
            "loss",
            "product",
            "Gauss-Newton product",
            "pass for factors",
            "seconds per step of gradient descent",
        ],
    );
    for ((name, _), costs) in plan.problems.iter().zip(costs) {
        table.push([
            name.as_str().into(),
            costs.loss.into(),
            costs.product.into(),
            costs.gauss_newton_product.into(),
            costs.factor_pass.into(),
            costs.gradient_seconds.into(),
        ]);
    }
    table
}

fn target_table(compared: &[Compared]) -> Table {
    let names: Vec<String> = baselines().iter().map(|entrant| entrant.name()).collect();
    let mut table = Table::new(
        "Targets, and what the rule of the table would give from the trials of this run: the best baseline's median loss at ¾ of the budget",
        ["problem", "target", "by the rule", "from"],
    );
    for problem in compared {
        let by_rule = target_by_rule(problem, &names);
        table.push([
            problem.problem.as_str().into(),
            problem.terms.target.into(),
            by_rule.as_ref().map(|(_, loss)| *loss).into(),
            by_rule.map(|(method, _)| method).into(),
        ]);
    }
    table
}

fn space_table(compared: &[Compared]) -> Table {
    let mut table = Table::new(
        "Spaces that were searched, widened where the notes say so",
        [
            "problem",
            "method",
            "hyperparameter",
            "from",
            "to",
            "scale",
            "trials",
        ],
    );
    for problem in compared {
        for result in &problem.results {
            push_space(&mut table, &problem.problem, result);
        }
    }
    table
}

fn push_space(table: &mut Table, problem: &str, result: &MethodResult) {
    for (name, range) in &result.space {
        table.push([
            problem.into(),
            result.method.as_str().into(),
            name.as_str().into(),
            range.low.into(),
            range.high.into(),
            format!("{:?}", range.scale).to_lowercase().into(),
            result.trials.len().into(),
        ]);
    }
}

/// The median time of a run, for the log.
pub fn median_seconds(compared: &Compared) -> f64 {
    let records = compared.results.iter().flat_map(|result| &result.records);
    let seconds: Vec<f64> = records.map(|record| record.times.total).collect();
    quantile(&seconds, 0.5)
}
