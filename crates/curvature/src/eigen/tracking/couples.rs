//! What is remembered of every two directions: who was above, and how far they have turned into each other.

use crate::eigen::tracking::summary::{Direction, Exchange, LevelCrossing};
use faer::Mat;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::f64::consts::{FRAC_PI_2, FRAC_PI_3};

/// Two directions. An exchange is told at π/3 and leaves −π/6, so that trembling about one angle tells nothing twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Couple {
    /// Difference of their eigenvalues, and the step, when they were last apart.
    apart: Option<(f64, u64)>,
    turn: f64,
}

/// All couples of the directions that there are, by their numbers, the smaller first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Couples(BTreeMap<(u64, u64), Couple>);

impl Couples {
    /// Takes note of a step. Row i of `overlaps` belongs to the earlier position i, `from` says which one each position continues.
    pub(crate) fn observe(
        &mut self,
        step: u64,
        directions: &[Direction],
        from: &[Option<usize>],
        overlaps: &Mat<f64>,
        least: f64,
    ) -> (Vec<LevelCrossing>, Vec<Exchange>) {
        let (mut crossings, mut exchanges) = (Vec::new(), Vec::new());
        let mut kept = BTreeMap::new();
        for a in 0..directions.len() {
            for b in 0..directions.len() {
                let (first, second) = (&directions[a], &directions[b]);
                if first.id >= second.id {
                    continue;
                }
                let key = (first.id, second.id);
                let mut couple = self.0.get(&key).copied().unwrap_or_default();
                if let (Some(i), Some(j)) = (from[a], from[b]) {
                    let sine = overlaps[(i, b)] - overlaps[(j, a)];
                    let cosine = overlaps[(i, a)] + overlaps[(j, b)];
                    couple.turn += sine.atan2(cosine);
                    exchanges.extend(exchange(key, &mut couple));
                }
                if first.group != second.group {
                    crossings.extend(crossing(&couple, first, second, least));
                    couple.apart = Some((first.value - second.value, step));
                }
                kept.insert(key, couple);
            }
        }
        self.0 = kept;
        (crossings, exchanges)
    }
}

fn exchange((first, second): (u64, u64), couple: &mut Couple) -> Option<Exchange> {
    let turn = couple.turn;
    if turn.abs() < FRAC_PI_3 {
        return None;
    }
    couple.turn -= FRAC_PI_2.copysign(turn);
    Some(Exchange {
        first,
        second,
        turn,
    })
}

fn crossing(
    couple: &Couple,
    first: &Direction,
    second: &Direction,
    least: f64,
) -> Option<LevelCrossing> {
    let (before, since) = couple.apart?;
    let after = first.value - second.value;
    let known = |direction: &Direction| direction.overlap.filter(|&overlap| overlap >= least);
    let (one, other) = (known(first)?, known(second)?);
    if (before > 0.0) == (after > 0.0) {
        return None;
    }
    let (rising, falling, overlaps) = match after > 0.0 {
        true => (first.id, second.id, [one, other]),
        false => (second.id, first.id, [other, one]),
    };
    Some(LevelCrossing {
        rising,
        falling,
        before: -before.abs(),
        after: after.abs(),
        since,
        overlaps,
    })
}
