use super::*;
use crate::test_coverage::{Case, Judge, RANK_ONE, coverages, smooth};
use crate::test_operators::{operator, with_spectrum};
use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::prelude::Device;

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
