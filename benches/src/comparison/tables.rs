use super::{Line, OPERATIONS, OURS};
use crate::row::Row;
use crate::timing::median;
use crate::workloads;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Which figure of a measurement counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Statistic {
    /// The median of the repetitions, on a quiet machine.
    Median,
    /// The shortest repetition, on a busy one.
    Min,
}

/// The tables of a file of measurements, in Markdown.
pub fn report(lines: &[Line], statistic: Statistic) -> String {
    let rounds = Rounds::new(lines, statistic);
    let mut text = "### Machine and versions\n\n".to_string();
    for line in lines {
        if let Line::Provenance { provenance } = line {
            let described = provenance.to_markdown();
            // an interrupted comparison says once where it goes on
            if !text.contains(&described) {
                text += &described;
            }
        }
    }
    text += &format!("- {}\n", rounds.described());
    for (op, title) in OPERATIONS {
        text += &rounds.fastest(op, title);
    }
    text += &rounds.cost();
    for (op, title) in OPERATIONS {
        text += &rounds.every_peer(op, title);
    }
    text + &rounds.without_figures()
}

/// Times by workload, operation, method and round.
struct Rounds<'a> {
    statistic: Statistic,
    rows: Vec<&'a Row>,
    times: BTreeMap<(String, String, String), BTreeMap<usize, Time>>,
}

/// A time, and whether the machine was quiet.
#[derive(Clone, Copy)]
struct Time {
    seconds: f64,
    clean: bool,
}

/// Something of several rounds.
struct Spread {
    minimum: f64,
    median: f64,
    clean: bool,
}

impl Spread {
    fn of(values: impl IntoIterator<Item = Time>) -> Option<Self> {
        let values: Vec<Time> = values.into_iter().collect();
        let mut sorted: Vec<f64> = values.iter().map(|value| value.seconds).collect();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            minimum: *sorted.first()?,
            median: median(&sorted),
            clean: values.iter().all(|value| value.clean),
        })
    }

    fn mark(&self) -> &'static str {
        if self.clean { "" } else { "\\*" }
    }
}

impl<'a> Rounds<'a> {
    fn new(lines: &'a [Line], statistic: Statistic) -> Self {
        let rows: Vec<&Row> = lines
            .iter()
            .filter_map(|line| match line {
                Line::Row(row) => Some(row.as_ref()),
                Line::Provenance { .. } => None,
            })
            .collect();
        let mut times = BTreeMap::<_, BTreeMap<usize, Time>>::new();
        for row in &rows {
            let (op, method) = placed(row);
            let seconds = match statistic {
                Statistic::Median => row.median_s,
                Statistic::Min => row.min_s,
            };
            if let Some(seconds) = seconds {
                let time = Time {
                    seconds,
                    clean: row.clean == Some(true),
                };
                let key = (row.workload.clone(), op.to_string(), method);
                let of_key = times.entry(key).or_default();
                of_key.insert(row.round.unwrap_or(0), time);
            }
        }
        Self {
            statistic,
            rows,
            times,
        }
    }

    fn described(&self) -> String {
        let rounds: BTreeSet<_> = self.rows.iter().map(|row| row.round).collect();
        let figure = match self.statistic {
            Statistic::Median => "median",
            Statistic::Min => "shortest",
        };
        let dirty = self.times.values().flat_map(BTreeMap::values);
        let (dirty, all) = dirty.fold((0, 0), |(dirty, all), time| {
            (dirty + usize::from(!time.clean), all + 1)
        });
        format!(
            "Rounds: {}; the {figure} repetition counts; {dirty} of {all} measurements with other work on the machine, marked \\*",
            rounds.len()
        )
    }

    /// Workloads that have rows, in their usual order.
    fn workloads(&self) -> Vec<&'a str> {
        let present: BTreeSet<&str> = self.rows.iter().map(|row| row.workload.as_str()).collect();
        let known: Vec<&str> = workloads::names().collect();
        let place = |name: &str| known.iter().position(|known| *known == name);
        let mut present: Vec<&str> = present
            .into_iter()
            .filter(|name| !name.is_empty())
            .collect();
        present.sort_by_key(|name| place(name).unwrap_or(usize::MAX));
        present
    }

    /// Peers that have a time for an operation.
    fn peers(&self, op: &str) -> Vec<String> {
        let with = self.times.keys().filter(|key| key.1 == op);
        let methods: BTreeSet<&String> = with.map(|key| &key.2).collect();
        let peers = methods
            .into_iter()
            .filter(|name| !OURS.contains(&name.as_str()));
        peers.cloned().collect()
    }

    fn of(&self, workload: &str, op: &str, method: &str) -> Option<&BTreeMap<usize, Time>> {
        let key = (workload.to_string(), op.to_string(), method.to_string());
        self.times.get(&key)
    }

    fn time(&self, workload: &str, op: &str, method: &str) -> Option<Spread> {
        Spread::of(self.of(workload, op, method)?.values().copied())
    }

    /// One time over another, round by round.
    fn ratio(&self, workload: &str, above: (&str, &str), below: (&str, &str)) -> Option<Spread> {
        let below = self.of(workload, below.0, below.1)?;
        let above = self.of(workload, above.0, above.1)?;
        Spread::of(above.iter().filter_map(|(round, above)| {
            let below = below.get(round)?;
            Some(Time {
                seconds: above.seconds / below.seconds,
                clean: above.clean && below.clean,
            })
        }))
    }

    fn against_ours(&self, workload: &str, op: &str, peer: &str) -> Option<Spread> {
        self.ratio(workload, (op, peer), (op, OURS[0]))
    }

    fn fastest_peer(&self, workload: &str, op: &str) -> Option<String> {
        let timed = |peer: String| Some((self.time(workload, op, &peer)?.median, peer));
        let peers = self.peers(op).into_iter().filter_map(timed);
        peers
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, peer)| peer)
    }

    /// Ours, the fastest peer and curvlinops.
    fn fastest(&self, op: &str, title: &str) -> String {
        let mut text = format!(
            "\n### {title} (`{op}`)\n\n| workload | ravine | fastest peer | its time | fastest / ravine: median | minimum | curvlinops / ravine: median | minimum |\n|---|---|---|---|---|---|---|---|\n"
        );
        let before = text.len();
        for workload in self.workloads() {
            let Some(ours) = self.time(workload, op, OURS[0]) else {
                continue;
            };
            let peer = self.fastest_peer(workload, op);
            let theirs = peer.as_ref().and_then(|peer| self.time(workload, op, peer));
            let against = |peer: &str| self.against_ours(workload, op, peer);
            let _ = writeln!(
                text,
                "| {workload} | {} | {} | {} | {} | {} |",
                seconds(Some(&ours)),
                peer.as_deref()
                    .map_or("–".to_string(), |peer| format!("`{peer}`")),
                seconds(theirs.as_ref()),
                two(peer.as_deref().and_then(against).as_ref()),
                two(against("curvlinops").as_ref()),
            );
        }
        if text.len() == before {
            return String::new();
        }
        text
    }

    /// What products cost in gradients, beside what their matrix products alone would.
    fn cost(&self) -> String {
        let mut text = "\n### A product in gradients\n\nTimes of ravine's own products over that of its gradient, and the same ratio of the floating point operations of the matrix products.\n\n| workload | gradient | recorded / gradient | of matrix products | tape / gradient | Gauss-Newton / gradient |\n|---|---|---|---|---|---|\n".to_string();
        let before = text.len();
        for workload in self.workloads() {
            let Some(gradient) = self.time(workload, "grad", OURS[0]) else {
                continue;
            };
            let cost = |op, method| self.ratio(workload, (op, method), ("grad", OURS[0]));
            let one = |spread: Option<Spread>| spread.map_or("–".to_string(), |s| ratio(&s));
            let _ = writeln!(
                text,
                "| {workload} | {} | {} | {} | {} | {} |",
                seconds(Some(&gradient)),
                one(cost("hvp", OURS[0])),
                self.flops(workload)
                    .map_or("–".to_string(), |x| format!("{x:.2}")),
                one(cost("hvp", OURS[1])),
                one(cost("ggn", OURS[0])),
            );
        }
        if text.len() == before {
            return String::new();
        }
        text
    }

    fn flops(&self, workload: &str) -> Option<f64> {
        let of = |op: &str| {
            let ours =
                |row: &&&Row| row.workload == workload && row.method == OURS[0] && row.op == op;
            self.rows.iter().find(ours)?.matmul_flops
        };
        Some(of("hvp")? as f64 / of("grad")? as f64)
    }

    /// Each peer's time over ours.
    fn every_peer(&self, op: &str, title: &str) -> String {
        let peers = self.peers(op);
        if peers.is_empty() {
            return String::new();
        }
        let columns: Vec<String> = peers.iter().map(|peer| format!("`{peer}`")).collect();
        let mut text = format!(
            "\n### {title}: every peer over ravine, median (minimum)\n\n| workload | {} |\n|{}\n",
            columns.join(" | "),
            "---|".repeat(peers.len() + 1)
        );
        for workload in self.workloads() {
            let cells: Vec<String> = peers
                .iter()
                .map(|peer| self.cell(workload, op, peer))
                .collect();
            if cells.iter().any(|cell| !cell.is_empty()) {
                let _ = writeln!(text, "| {workload} | {} |", cells.join(" | "));
            }
        }
        text
    }

    fn cell(&self, workload: &str, op: &str, peer: &str) -> String {
        if let Some(spread) = self.against_ours(workload, op, peer) {
            return format!(
                "{:.2} ({:.2}){}",
                spread.median,
                spread.minimum,
                spread.mark()
            );
        }
        if let Some(time) = self.time(workload, op, peer) {
            return seconds(Some(&time));
        }
        let rows = self.rows.iter();
        let mut here = rows.filter(|row| {
            let (its_op, method) = placed(row);
            row.workload == workload && method == peer && (its_op == op || row.op == "*")
        });
        match here.next() {
            Some(row) if row.error.is_some() => "failed".to_string(),
            Some(_) => "–".to_string(),
            None => String::new(),
        }
    }

    /// What failed and what was left out, with the reason, so that nothing is missing silently.
    fn without_figures(&self) -> String {
        let mut reasons = BTreeMap::<String, usize>::new();
        for row in &self.rows {
            let reason = match (&row.error, &row.skipped) {
                (Some(error), _) => format!("failed: {}", error.replace('\n', " ")),
                (None, Some(skipped)) => format!("left out: {skipped}"),
                (None, None) => continue,
            };
            let line = format!("`{}` {} `{}` {reason}", row.method, row.workload, row.op);
            *reasons.entry(line).or_default() += 1;
        }
        if reasons.is_empty() {
            return String::new();
        }
        let mut text = "\n### Without figures\n\n".to_string();
        for (line, times) in reasons {
            let _ = writeln!(text, "- {line} ({times} times)");
        }
        text
    }
}

/// Operation and method in the tables: probe vectors taken together are another method of the same estimate.
fn placed(row: &Row) -> (&str, String) {
    match row.op.strip_suffix("_vmap") {
        Some(op) => (op, format!("{} vmap", row.method)),
        None => (&row.op, row.method.clone()),
    }
}

fn seconds(spread: Option<&Spread>) -> String {
    let Some(spread) = spread else {
        return "–".to_string();
    };
    let time = spread.median;
    let number = match time {
        t if t < 1e-3 => format!("{:.0} µs", t * 1e6),
        t if t < 1e-2 => format!("{:.2} ms", t * 1e3),
        t if t < 1.0 => format!("{:.1} ms", t * 1e3),
        t => format!("{t:.2} s"),
    };
    number + spread.mark()
}

fn two(spread: Option<&Spread>) -> String {
    spread.map_or("– | –".to_string(), |spread| {
        format!("{} | {:.2}", ratio(spread), spread.minimum)
    })
}

fn ratio(spread: &Spread) -> String {
    format!("{:.2}{}", spread.median, spread.mark())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(round: usize, method: &str, op: &str, seconds: f64, clean: bool) -> Line {
        Line::Row(Box::new(Row {
            round: Some(round),
            workload: "mlp_small".to_string(),
            method: method.to_string(),
            op: op.to_string(),
            median_s: Some(seconds),
            clean: Some(clean),
            ..Row::default()
        }))
    }

    fn lines() -> Vec<Line> {
        let mut failed = Row {
            workload: "mlp_small".to_string(),
            method: "pyhessian".to_string(),
            op: "*".to_string(),
            error: Some("no such module".to_string()),
            ..Row::default()
        };
        failed.round = Some(0);
        vec![
            row(0, "ravine", "hvp", 1e-3, true),
            row(0, "jax_lin", "hvp", 2e-3, true),
            row(0, "curvlinops", "hvp", 9e-3, false),
            row(1, "ravine", "hvp", 2e-3, true),
            row(1, "jax_lin", "hvp", 3e-3, true),
            row(1, "curvlinops", "hvp", 8e-3, true),
            row(0, "ravine", "trace100", 1.0, true),
            row(0, "jax_lin", "trace100", 3.0, true),
            row(0, "jax_lin", "trace100_vmap", 2.0, true),
            Line::Row(Box::new(failed)),
        ]
    }

    #[test]
    fn ratios_are_taken_within_rounds() {
        let text = report(&lines(), Statistic::Median);
        // 2 and 1.5 against ravine, 9 and 4 for curvlinops, of which one round was disturbed
        let expected =
            "| mlp_small | 1.50 ms | `jax_lin` | 2.50 ms | 1.75 | 1.50 | 6.50\\* | 4.00 |";
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn probes_taken_together_are_a_method_of_the_same_estimate() {
        let text = report(&lines(), Statistic::Median);
        assert!(
            text.contains("| mlp_small | 1.00 s | `jax_lin vmap` | 2.00 s | 2.00 | 2.00 | – | – |"),
            "{text}"
        );
    }

    #[test]
    fn failures_are_shown() {
        let text = report(&lines(), Statistic::Median);
        assert!(
            text.contains("`pyhessian` mlp_small `*` failed: no such module (1 times)"),
            "{text}"
        );
    }
}
