//! Statistics that know infinity: a failed run costs infinitely much and is never dropped.

/// Quantile by linear interpolation between order statistics (type 7 of Hyndman and Fan 1996); NaN of nothing.
///
/// NaN counts as infinite. Between a number and infinity lies infinity.
///
/// ```
/// use ravine_experiments::compare::statistics::quantile;
/// assert_eq!(quantile(&[3.0, 1.0, 2.0], 0.5), 2.0);
/// assert_eq!(quantile(&[1.0, 2.0, f64::INFINITY, f64::NAN], 0.5), f64::INFINITY);
/// ```
pub fn quantile(values: &[f64], fraction: f64) -> f64 {
    let sorted = sorted(values);
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let position = fraction.clamp(0.0, 1.0) * last as f64;
    let below = position.floor() as usize;
    let weight = position - below as f64;
    let (low, high) = (sorted[below], sorted[(below + 1).min(last)]);
    // 0 · ∞ is not 0
    match weight == 0.0 || low == high {
        true => low,
        false => (1.0 - weight) * low + weight * high,
    }
}

/// Median and quartiles.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Quartiles {
    /// A quarter of the values is not above.
    pub lower: f64,
    /// The middle.
    pub median: f64,
    /// A quarter of the values is not below.
    pub upper: f64,
}

impl Quartiles {
    /// Of some values, NaN counted as infinite.
    pub fn of(values: &[f64]) -> Self {
        let [lower, median, upper] = [0.25, 0.5, 0.75].map(|f| quantile(values, f));
        Self {
            lower,
            median,
            upper,
        }
    }
}

/// The expected lowest of k draws with replacement: Σᵢ v₍ᵢ₎ [((n−i+1)/n)ᵏ − ((n−i)/n)ᵏ] over the sorted values.
///
/// NaN without values, infinite when an infinite value can be the lowest of the draws, `None` when more draws are asked for than there are
/// values, since the tail of the distribution was not seen.
///
/// # References
///
/// J. Dodge, S. Gururangan, D. Card, R. Schwartz and N. Smith, Show your work, 2019, section 3.2.
pub fn expected_best(values: &[f64], k: usize) -> Option<f64> {
    let sorted = sorted(values);
    let n = sorted.len();
    if k == 0 || k > n {
        return None;
    }
    let at_least = |index: usize| ((n - index) as f64 / n as f64).powi(k as i32);
    let terms = sorted.iter().enumerate();
    Some(
        terms
            .map(|(index, value)| value * (at_least(index) - at_least(index + 1)))
            .sum(),
    )
}

/// Performance ratios t/min t of each solver on each instance; infinite where the solver failed, and for all where all failed.
///
/// `times[solver][instance]`; an instance that costs nothing for some solver counts one for it and infinite for solvers that it cost.
pub fn performance_ratios(times: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let instances = times.iter().map(Vec::len).max().unwrap_or(0);
    let time = |solver: &[f64], instance: usize| -> f64 {
        let time = solver.get(instance).copied().unwrap_or(f64::INFINITY);
        if time.is_nan() { f64::INFINITY } else { time }
    };
    let best: Vec<f64> = (0..instances)
        .map(|instance| {
            let column = times.iter().map(|solver| time(solver, instance));
            column.fold(f64::INFINITY, f64::min)
        })
        .collect();
    let ratio = |time: f64, best: f64| match time {
        _ if !time.is_finite() => f64::INFINITY,
        _ if time == best => 1.0,
        _ => time / best,
    };
    times
        .iter()
        .map(|solver| {
            (0..instances)
                .map(|instance| ratio(time(solver, instance), best[instance]))
                .collect()
        })
        .collect()
}

/// ρ(τ): the share of instances on which the solver was at most τ times as slow as the fastest.
///
/// # References
///
/// E. D. Dolan and J. J. Moré, Benchmarking optimization software with performance profiles, 2002, equation (2.1).
pub fn profile(ratios: &[f64], tau: f64) -> f64 {
    let within = ratios.iter().filter(|ratio| **ratio <= tau).count();
    within as f64 / ratios.len().max(1) as f64
}

/// 1/(τ_max − 1) ∫₁^τ_max ρ(τ) dτ, in 0..=1: the area under the performance profile.
///
/// # References
///
/// G. E. Dahl et al., Benchmarking neural network training algorithms, 2023, section 4.5 (with τ_max = 4).
pub fn profile_score(ratios: &[f64], tau_max: f64) -> f64 {
    let under = ratios
        .iter()
        .filter(|ratio| **ratio <= tau_max)
        .map(|ratio| tau_max - ratio.max(1.0));
    under.sum::<f64>() / (tau_max - 1.0) / ratios.len().max(1) as f64
}

/// Mean of log₁₀ loss over a budget, the loss taken as constant between points: 1/B ∫₀ᴮ log₁₀ max(L(b), floor) db.
///
/// `points` are (budget spent, loss) in order; the last loss holds until the end of the budget, and points beyond it do not count. A
/// loss that is not finite makes the area infinite; NaN without points.
pub fn area_under_log_loss(points: &[(f64, f64)], budget: f64, floor: f64) -> f64 {
    let Some(&(first, _)) = points.first() else {
        return f64::NAN;
    };
    let mut area = 0.0;
    let mut from = first.min(budget);
    let begin = from;
    for (index, &(_, loss)) in points.iter().enumerate() {
        let next = points.get(index + 1).map_or(budget, |point| point.0);
        let to = next.clamp(from, budget.max(from));
        if to > from || (index == 0 && budget <= begin) {
            if !loss.is_finite() {
                return f64::INFINITY;
            }
            area += (to - from) * loss.max(floor).log10();
        }
        from = to;
    }
    match budget > begin {
        true => area / (budget - begin),
        false => points[0].1.max(floor).log10(),
    }
}

/// Exact two-sided p-value of the rank-sum test of Mann and Whitney, ties shared by mid-ranks, conditional on them.
///
/// Counts how many of all ways to deal the ranks to the two groups give a rank sum at least as far from its mean. Infinite
/// values are the highest rank and tie with each other; NaN counts as infinite. 1 when a group is empty.
///
/// # Cost
///
/// (n + m) · n · (n + m)² additions: for the tens of seeds of a comparison.
///
/// # References
///
/// H. B. Mann and D. R. Whitney, On a test of whether one of two random variables is stochastically larger than the other, 1947;
/// E. L. Lehmann, Nonparametrics, 1975, section 1.4 (ties).
pub fn rank_sum_p_value(a: &[f64], b: &[f64]) -> f64 {
    if a.is_empty() || b.is_empty() {
        return 1.0;
    }
    let all: Vec<f64> = a.iter().chain(b).map(|v| replaced(*v)).collect();
    // Mid-ranks are multiples of ½, so twice the ranks are whole numbers.
    let doubled: Vec<usize> = all
        .iter()
        .map(|value| {
            let below = all.iter().filter(|other| *other < value).count();
            let same = all.iter().filter(|other| *other == value).count();
            2 * below + same + 1
        })
        .collect();
    let total: usize = doubled.iter().sum();
    let picked = a.len();
    // ways[count][sum]: subsets of so many ranks with that sum.
    let mut ways = vec![vec![0f64; total + 1]; picked + 1];
    ways[0][0] = 1.0;
    for rank in &doubled {
        for count in (1..=picked).rev() {
            let (fewer, these) = ways.split_at_mut(count);
            for sum in (*rank..=total).rev() {
                these[0][sum] += fewer[count - 1][sum - rank];
            }
        }
    }
    let observed: usize = doubled[..picked].iter().sum();
    let mean = total as f64 * picked as f64 / all.len() as f64;
    let distance = (observed as f64 - mean).abs() - 1e-9;
    let sums = ways[picked].iter().enumerate();
    let extreme: f64 = sums
        .filter(|(sum, _)| (*sum as f64 - mean).abs() >= distance)
        .map(|(_, count)| count)
        .sum();
    extreme / ways[picked].iter().sum::<f64>()
}

/// P-values adjusted for how many they are, by Holm's step-down method.
///
/// # References
///
/// S. Holm, A simple sequentially rejective multiple test procedure, 1979.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let count = p_values.len();
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut adjusted = vec![1.0; count];
    let mut largest = 0.0f64;
    for (rank, index) in order.into_iter().enumerate() {
        largest = largest
            .max((count - rank) as f64 * p_values[index])
            .min(1.0);
        adjusted[index] = largest;
    }
    adjusted
}

fn replaced(value: f64) -> f64 {
    if value.is_nan() { f64::INFINITY } else { value }
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().map(|value| replaced(*value)).collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    const INF: f64 = f64::INFINITY;

    #[test]
    fn quartiles_with_infinities() {
        let quartiles = Quartiles::of(&[4.0, 1.0, 3.0, 2.0, INF]);
        assert_eq!(
            [quartiles.lower, quartiles.median, quartiles.upper],
            [2.0, 3.0, 4.0]
        );
        let half = Quartiles::of(&[1.0, 2.0, INF, f64::NAN]);
        assert_eq!([half.lower, half.median, half.upper], [1.75, INF, INF]);
        assert_eq!(quantile(&[1.0, 2.0, 3.0, INF], 0.5), 2.5);
        assert_eq!(quantile(&[7.0], 0.75), 7.0);
        assert_eq!(quantile(&[INF, INF], 0.3), INF);
        assert!(quantile(&[], 0.5).is_nan());
    }

    #[test]
    fn the_expected_best_is_the_mean_over_all_draws() {
        let values = [3.0, 1.0, 4.0, 1.5];
        assert_eq!(expected_best(&values, 1), Some(2.375));
        let mut sum = 0.0;
        for a in values {
            for b in values {
                for c in values {
                    sum += a.min(b).min(c);
                }
            }
        }
        assert!((expected_best(&values, 3).unwrap() - sum / 64.0).abs() < 1e-14);
        assert_eq!(expected_best(&values, 5), None);
        assert_eq!(expected_best(&values, 0), None);
        assert_eq!(expected_best(&[1.0, INF], 2), Some(INF));
        assert_eq!(expected_best(&[], 1), None);
    }

    #[test]
    fn profiles_count_failures() {
        let times = vec![
            vec![1.0, 10.0, INF],
            vec![2.0, 5.0, INF],
            vec![INF, 30.0, INF],
        ];
        let ratios = performance_ratios(&times);
        assert_eq!(ratios[0], [1.0, 2.0, INF]);
        assert_eq!(ratios[1], [2.0, 1.0, INF]);
        assert_eq!(ratios[2], [INF, 6.0, INF]);
        assert!((profile(&ratios[0], 1.0) - 1.0 / 3.0).abs() < 1e-15);
        assert!((profile(&ratios[0], 2.0) - 2.0 / 3.0).abs() < 1e-15);
        assert!((profile(&ratios[2], 1e9) - 1.0 / 3.0).abs() < 1e-15);
        // (4 − 1) + (4 − 2) + 0, over 3 instances and τ_max − 1 = 3
        assert!((profile_score(&ratios[0], 4.0) - 5.0 / 9.0).abs() < 1e-15);
        assert_eq!(profile_score(&ratios[2], 4.0), 0.0);
        assert_eq!(profile_score(&[1.0, 1.0], 4.0), 1.0);
    }

    #[test]
    fn the_score_is_the_integral_of_the_profile() {
        let ratios = [1.0, 1.3, 2.7, 3.9, 8.0, INF];
        let steps = 30_000;
        let width = 3.0 / f64::from(steps);
        let integral: f64 = (0..steps)
            .map(|step| profile(&ratios, 1.0 + (f64::from(step) + 0.5) * width) * width)
            .sum();
        assert!((profile_score(&ratios, 4.0) - integral / 3.0).abs() < 1e-4);
    }

    #[test]
    fn nobody_wins_an_instance_that_costs_nothing_to_another() {
        let ratios = performance_ratios(&[vec![0.0], vec![3.0]]);
        assert_eq!((ratios[0][0], ratios[1][0]), (1.0, INF));
    }

    #[test]
    fn areas() {
        let points = [(0.0, 100.0), (2.0, 10.0), (4.0, 1.0)];
        // 2 · 2 + 2 · 1 + 4 · 0 over 8
        assert!((area_under_log_loss(&points, 8.0, 1e-12) - 0.75).abs() < 1e-15);
        assert!((area_under_log_loss(&points, 3.0, 1e-12) - 5.0 / 3.0).abs() < 1e-15);
        assert_eq!(area_under_log_loss(&[(0.0, 0.0)], 1.0, 1e-6), -6.0);
        assert_eq!(
            area_under_log_loss(&[(0.0, 1.0), (1.0, f64::NAN)], 2.0, 1e-6),
            INF
        );
        assert!(area_under_log_loss(&[], 1.0, 1e-6).is_nan());
        // What happens after the budget does not count.
        assert_eq!(
            area_under_log_loss(&[(0.0, 10.0), (5.0, f64::NAN)], 4.0, 1e-6),
            1.0
        );
    }

    #[test]
    fn rank_sums_by_hand() {
        // All of a below all of b: 2 of C(6, 3) = 20 deals are as extreme.
        let p = rank_sum_p_value(&[1.0, 2.0, 3.0], &[4.0, 5.0, INF]);
        assert!((p - 0.1).abs() < 1e-12);
        let p = rank_sum_p_value(&[1.0, 4.0], &[2.0, 3.0]);
        assert!((p - 1.0).abs() < 1e-12);
        assert_eq!(rank_sum_p_value(&[INF, INF], &[INF, INF, f64::NAN]), 1.0);
        assert_eq!(rank_sum_p_value(&[], &[1.0]), 1.0);
        // scipy.stats.mannwhitneyu([1,2,3,4,5],[3.5,4.5,6,7,8],method="exact").pvalue: 6 U-values of 252 a side
        let p = rank_sum_p_value(&[1.0, 2.0, 3.0, 4.0, 5.0], &[3.5, 4.5, 6.0, 7.0, 8.0]);
        assert!((p - 0.055_555_555_555_555_55).abs() < 1e-12, "{p}");
    }

    #[test]
    fn the_rank_sum_agrees_with_dealing_out_all_ways() {
        let (a, b) = ([1.0, 2.0, 2.0, INF], [2.0, 3.0, INF]);
        let all: Vec<f64> = a.iter().chain(&b).copied().collect();
        let statistic = |group: &[usize]| -> f64 {
            let others: Vec<usize> = (0..7).filter(|i| !group.contains(i)).collect();
            let mut wins = 0.0;
            for i in group {
                for j in &others {
                    wins += match all[*i].partial_cmp(&all[*j]).unwrap() {
                        std::cmp::Ordering::Less => 1.0,
                        std::cmp::Ordering::Equal => 0.5,
                        std::cmp::Ordering::Greater => 0.0,
                    };
                }
            }
            (wins - 6.0f64).abs()
        };
        let observed = statistic(&[0, 1, 2, 3]);
        let (mut extreme, mut count) = (0.0, 0.0);
        for mask in 0u32..128 {
            if mask.count_ones() != 4 {
                continue;
            }
            let group: Vec<usize> = (0..7).filter(|i| mask >> i & 1 == 1).collect();
            count += 1.0;
            extreme += f64::from(u8::from(statistic(&group) >= observed));
        }
        let p = rank_sum_p_value(&a, &b);
        assert!(
            (p - extreme / count).abs() < 1e-12,
            "{p} {}",
            extreme / count
        );
    }

    #[test]
    fn holm_adjusts_upwards_and_in_order() {
        let adjusted = holm(&[0.01, 0.04, 0.03]);
        assert!((adjusted[0] - 0.03).abs() < 1e-15);
        assert!((adjusted[2] - 0.06).abs() < 1e-15);
        assert!((adjusted[1] - 0.06).abs() < 1e-15);
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }
}
