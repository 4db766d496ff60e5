//! A reader's account of what was recorded.

use crate::engine::{Engine, unreached_names};
use crate::hessian::HvpMethod;
use crate::objective::Mode;
use ravine_graph::{Executable, Graph, Recording, Report};
use std::fmt::Write;

pub(crate) fn explain<'a>(
    engines: impl Iterator<Item = &'a Engine>,
    mode: Mode,
    method: HvpMethod,
) -> String {
    let mut text = String::new();
    for engine in engines {
        // writing to a string cannot fail
        let _ = describe(&mut text, engine, mode, method);
    }
    if text.is_empty() {
        text.push_str("nothing is recorded yet: call `at` first\n");
    }
    text
}

fn describe(text: &mut String, engine: &Engine, mode: Mode, method: HvpMethod) -> std::fmt::Result {
    let recording = &engine.recording;
    let counts = recording.counts();
    writeln!(
        text,
        "{} parameters in {} tensors, {} frozen or running tensors, {} batch tensors, {} random tensors",
        engine.layout.dim(),
        counts.parameters,
        counts.fixed,
        counts.batch,
        recording.random_inputs().len()
    )?;
    writeln!(
        text,
        "mode {mode:?}, products {method:?}, on {:?} in {:?}",
        engine.device(),
        engine.dtype()
    )?;
    writeln!(
        text,
        "captured: {} operations for forward pass and backward",
        recording.captured_operations()
    )?;
    graph(text, "forward", recording.forward())?;
    graph(text, "gradient", recording.gradient())?;
    if let Ok(product) = recording.product() {
        graph(text, "product", product)?;
    }
    simplified(text, recording)?;
    if let Ok(products) = engine.hessian() {
        let operations = |part: &Executable| part.graph().nodes.len();
        writeln!(
            text,
            "product: {} operations once for a point, {} for each vector, by {:?} execution",
            operations(products.point()),
            operations(products.call()),
            engine.execution()
        )?;
        if let Some(counts) = products.call().native_counts() {
            writeln!(
                text,
                "each vector: {} fused kernels, {} sums of matrix products, {} others, {} by the device, {} elements of buffers",
                counts.kernels,
                counts.products,
                counts.others,
                counts.on_device,
                counts.buffer_elements
            )?;
        }
    }
    for (id, data) in &recording.forward().constants {
        writeln!(
            text,
            "constant: value {id}, shape {:?}",
            data.shape().to_vec()
        )?;
    }
    for detached in recording.detached() {
        writeln!(
            text,
            "detached: the result {:?} of `{}` counts as a constant",
            detached.shape, detached.operation
        )?;
    }
    let unreached = unreached_names(recording, &engine.layout);
    if !unreached.is_empty() {
        writeln!(text, "the loss does not depend on {}", unreached.join(", "))?;
    }
    for input in recording.random_inputs() {
        writeln!(
            text,
            "random: {:?} of shape {:?}, fixed at a point",
            input.distribution,
            input.shape.to_vec()
        )?;
    }
    writeln!(text)
}

/// What each pass of the simplification removed.
fn simplified(text: &mut String, recording: &Recording) -> std::fmt::Result {
    let mut reports = vec![("gradient", recording.gradient_report())];
    if let Ok(report) = recording.product_report() {
        reports.push(("product", report));
    }
    let mut line = |what: &str, number: &dyn Fn(&Report) -> String| {
        let numbers: Vec<String> = reports
            .iter()
            .map(|(name, report)| format!("{} of the {name}", number(report)))
            .collect();
        writeln!(text, "{what}: {}", numbers.join(", "))
    };
    line("simplified to", &|report| {
        format!("{} of {} operations", report.after, report.before)
    })?;
    line("  not needed", &|report| report.dead.to_string())?;
    for (position, (pass, _)) in recording.gradient_report().passes.iter().enumerate() {
        line(&format!("  {pass}"), &|report| {
            report.passes[position].1.to_string()
        })?;
    }
    Ok(())
}

fn graph(text: &mut String, name: &str, graph: &Graph) -> std::fmt::Result {
    let counts: Vec<_> = graph
        .operation_counts()
        .into_iter()
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    writeln!(
        text,
        "{name}: {} operations ({})",
        graph.nodes.len(),
        counts.join(", ")
    )
}
