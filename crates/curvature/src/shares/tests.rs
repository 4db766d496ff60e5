use super::*;
use crate::progress::Progress;
use crate::test_coverage::{Case, Judge, RANK_ONE, coverages, smooth};
use crate::test_operators::{Counted, operator, with_spectrum};
use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::prelude::Device;
use std::ops::ControlFlow;

#[derive(Module, Debug)]
struct Layers {
    first: Linear,
    second: Linear,
    last: Linear,
}

/// 60 parameters in three layers of 24, 30 and 6.
fn layout() -> ParameterLayout {
    let device = Device::flex();
    let layer = |inputs, outputs| LinearConfig::new(inputs, outputs).init(&device);
    let layers = Layers {
        first: layer(3, 6),
        second: layer(5, 5),
        last: layer(5, 1),
    };
    ParameterLayout::of(&layers).unwrap()
}

#[test]
fn shares_of_the_trace_are_unbiased_and_their_intervals_honest() {
    let layout = layout();
    assert_eq!(layout.dim(), 60);
    let groups = layout.groups(Grouping::Layer);
    let mut judge = Judge::default();
    for (name, values) in smooth() {
        let matrix = with_spectrum(&values, 51);
        let (op, diagonal) = (operator(&matrix), matrix.diagonal());
        let truth = |ranges: &[Range<usize>]| -> f64 {
            let indices = ranges.iter().cloned().flatten();
            indices.map(|index| diagonal[index]).sum()
        };
        for probes in [4, 10, 30, 100] {
            let found = coverages(|seed| {
                let found = trace_shares(&op, &layout, Grouping::Layer, probes, seed).unwrap();
                let groups = groups.iter().zip(&found.traces);
                let mut cases: Vec<Case> = groups
                    .map(|((group, ranges), trace)| (group.clone(), truth(ranges), *trace))
                    .collect();
                cases.push(("total".into(), matrix.trace(), found.total));
                cases
            });
            let setting = format!("{name}, {probes} probes");
            // samples as skewed as χ² with one degree of freedom: see `trace_shares`
            match name == RANK_ONE && probes <= 30 {
                true => judge.covering(&setting, &found, 0.85),
                false => judge.honest(&setting, &found),
            }
        }
    }
    judge.finish();
}

#[test]
fn shares_of_the_trace_stop_with_the_probes_so_far() {
    let model = LinearConfig::new(3, 2).init(&Device::flex());
    let layout = ParameterLayout::of(&model).unwrap();
    let matrix = with_spectrum(&[3.0, -1.0, 0.5, 10.0, 2.0, 2.0, 0.0, 1.0], 1);
    let op = operator(&matrix);
    let counted = Counted::new(&op);
    let (grouping, seed) = (Grouping::Parameter, Seed::new(4));
    let whole = trace_shares(&op, &layout, grouping, 100, seed).unwrap();
    let mut seen = Vec::new();
    let mut watch = |progress: &Progress| {
        assert_eq!(progress.most, Some(100));
        seen.push(progress.applications);
        ControlFlow::Continue(())
    };
    let watched = trace_shares_observed(&op, &layout, grouping, 100, seed, &mut watch);
    assert_eq!(watched.unwrap(), whole);
    assert_eq!(seen, [32, 64, 96, 100]);
    let mut stop = |progress: &Progress| match progress.applications >= 64 {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    let found = trace_shares_observed(&counted, &layout, grouping, 100, seed, &mut stop);
    let found = found.unwrap();
    assert!(found.stopped && !whole.stopped);
    assert_eq!(counted.applications(), 64);
    // the first 64 probes are those of a run with 64
    let short = trace_shares(&op, &layout, grouping, 64, seed).unwrap();
    assert_eq!((&found.traces, &found.total), (&short.traces, &short.total));
    let all = trace_shares_observed(&op, &layout, grouping, 64, seed, &mut stop).unwrap();
    assert_eq!(all, short);
}
