//! The end of a report: how the run was made.

use std::fmt::Write as _;

use super::{Provenance, escape};
use crate::CurvatureDtype;
use crate::manifest::Manifest;
use crate::voice::show_seconds;

pub(super) fn section(provenance: &Provenance<'_>) -> anyhow::Result<String> {
    let manifest = provenance.manifest;
    let mut rows = String::new();
    for (name, value) in facts(manifest, &provenance.header.command) {
        let _ = writeln!(
            rows,
            "<tr><th scope=\"row\">{name}</th><td>{}</td></tr>",
            escape(&value)
        );
    }
    Ok(format!(
        "<details>\n<summary>How this was run</summary>\n<div class=\"table\"><table class=\"facts\">\n<tbody>\n{rows}\
         </tbody>\n</table></div>\n<h3>config.toml</h3>\n<pre>{}</pre>\n<h3>manifest.json</h3>\n<pre>{}</pre>\n</details>\n",
        escape(provenance.config),
        escape(&manifest.to_json()?),
    ))
}

fn facts(manifest: &Manifest, command: &str) -> Vec<(&'static str, String)> {
    let options = &manifest.options;
    let mut started = manifest.started.clone();
    if manifest.resumed > 0 {
        let _ = write!(started, ", resumed {} times", manifest.resumed);
    }
    let command = match manifest.smoke {
        true => format!("{command} --smoke (a smoke test: too small to conclude anything from)"),
        false => command.to_owned(),
    };
    vec![
        ("command", command),
        ("started", started),
        ("took", show_seconds(manifest.seconds)),
        ("seeds", options.seeds.to_string()),
        ("device", format!("{}, {}", options.device, options.dtype)),
        (
            "curvature",
            format!(
                "{} products in {} precision",
                options.hvp,
                match options.curvature_dtype {
                    CurvatureDtype::Model => "the model's",
                    CurvatureDtype::F64 => "f64",
                }
            ),
        ),
        ("build", manifest.build.describe()),
        (
            "compiled",
            format!(
                "{} (profile {}, opt-level {})",
                manifest.build.target, manifest.build.profile, manifest.build.opt_level
            ),
        ),
        (
            "host",
            format!(
                "{}, {} threads",
                manifest.host.system, manifest.host.threads
            ),
        ),
    ]
}
