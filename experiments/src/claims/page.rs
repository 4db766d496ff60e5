//! The page with all claims, as Markdown.

use std::fmt::{self, Write as _};
use std::path::{Component, Path};

use super::runs::Judged;
use crate::claim::Verdict;
use crate::header::Statement;

/// A claim and what became of it.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) statement: Statement,
    pub(super) judged: anyhow::Result<Judged>,
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.judged {
            // too small to conclude anything from
            Ok(judged) if judged.manifest.smoke => write!(formatter, "runs: {}", self.name),
            Ok(judged) => {
                write!(formatter, "{}: {}", judged.claim.verdict, self.name)?;
                for failure in &judged.claim.failures {
                    write!(formatter, "\n  {failure}")?;
                }
                Ok(())
            }
            Err(error) => write!(formatter, "no verdict: {}: {error:#}", self.name),
        }
    }
}

const INTRODUCTION: &str = "\
# Claims

Statements about ill-conditioning, minima and identifiability, each judged by one experiment. `just claims` runs them all and writes this page;
`just exp <name>` runs one, with a report. A claim passes when the number of **every** seed lies in the band of each of its
criteria; a claim that fails stays here with its reason. Measured values are the median over seeds, with the lowest and the highest.
";

/// The whole page; `gallery` is where the figures are, as seen from it.
pub(super) fn page(rows: &[Row], gallery: &str) -> String {
    let mut page = format!("{INTRODUCTION}\n{}\n{}", verdicts(rows), failures(rows));
    page += "\n## Figures\n";
    for row in rows.iter().filter(|row| row.judged.is_ok()) {
        let _ = write!(
            page,
            "\n### {}\n\n{}\n\n![{}]({gallery}/{}.svg)\n",
            row.name,
            sentence(&row.statement.claim),
            row.name,
            row.name
        );
        for remark in row.judged.iter().flat_map(|judged| &judged.claim.remarks) {
            let _ = write!(page, "\n{remark}\n");
        }
    }
    page + "\n" + &provenance(rows)
}

/// A line for each criterion.
fn verdicts(rows: &[Row]) -> String {
    let mut table = String::from(
        "| experiment | claim | source | decided by | band | measured over seeds | verdict |\n|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let mut head = [
            format!("`{}`", row.name),
            cell(&row.statement.claim),
            cell(&row.statement.source),
        ];
        match &row.judged {
            Ok(judged) => {
                let mut verdict = format!("**{}**", judged.claim.verdict);
                for criterion in &judged.claim.criteria {
                    let _ = writeln!(
                        table,
                        "| {} | {} | {} | {} | {} | {} | {verdict} |",
                        head[0],
                        head[1],
                        head[2],
                        cell(criterion.name()),
                        criterion.band(),
                        criterion.values()
                    );
                    head.iter_mut().for_each(String::clear);
                    verdict.clear();
                }
            }
            Err(error) => {
                let _ = writeln!(
                    table,
                    "| {} | {} | {} | | | {} | none |",
                    head[0],
                    head[1],
                    head[2],
                    cell(&format!("{error:#}"))
                );
            }
        }
    }
    table
}

/// Why claims failed.
fn failures(rows: &[Row]) -> String {
    let mut section = String::new();
    for row in rows {
        let Ok(judged) = &row.judged else { continue };
        if judged.claim.verdict == Verdict::Pass {
            continue;
        }
        if section.is_empty() {
            section += "## Claims that failed\n";
        }
        let _ = write!(section, "\n`{}`\n\n", row.name);
        for failure in &judged.claim.failures {
            let _ = writeln!(section, "- {failure}");
        }
    }
    section
}

/// With what the numbers were computed.
fn provenance(rows: &[Row]) -> String {
    let mut table = String::from(
        "## Provenance\n\n| experiment | seeds | dtype | device | ravine | commit | Burn | compiler |\n|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let Ok(judged) = &row.judged else { continue };
        let (options, build) = (&judged.manifest.options, &judged.manifest.build);
        let commit = match (&build.commit, build.dirty) {
            (Some(commit), Some(true)) => format!("{commit:.12} with changes"),
            (Some(commit), _) => format!("{commit:.12}"),
            (None, _) => "unknown".to_owned(),
        };
        let _ = writeln!(
            table,
            "| `{}` | {} | {} | {} | {} | {commit} | {} | {} |",
            row.name,
            options.seeds,
            options.dtype,
            options.device,
            build.ravine_version,
            build.burn_version,
            build.rustc
        );
    }
    table
}

/// Text that does not end a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// With a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .collect();
    let rest = letters.as_str();
    match rest.ends_with(['.', '?', '!']) {
        true => first + rest,
        false => first + rest + ".",
    }
}

/// The way from the folder of `page` to the folder `gallery`.
pub(super) fn link(page: &Path, gallery: &Path) -> String {
    let parts = |path: &Path| -> Vec<String> {
        path.components()
            .filter(|part| !matches!(part, Component::CurDir))
            .map(|part| part.as_os_str().to_string_lossy().into_owned())
            .collect()
    };
    let from = parts(page.parent().unwrap_or(Path::new("")));
    let to = parts(gallery);
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..".to_owned(), from.len() - shared);
    let way: Vec<String> = up.chain(to[shared..].iter().cloned()).collect();
    way.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::JudgedClaim;
    use crate::manifest::Manifest;
    use crate::{Band, Criterion, RunOptions};

    fn row(name: &str, value: f64) -> Row {
        let statement = Statement {
            claim: "|x| is small".to_owned(),
            source: "somebody".to_owned(),
        };
        let criteria = [
            Criterion::new("x", Band::at_most(1.0)).measured(0, value),
            Criterion::new("y", Band::at_most(1.0)).measured(0, 0.0),
        ];
        let remarks = ["Because of z.".to_owned()];
        let claim = JudgedClaim::new(Some(&statement), &criteria, &remarks);
        Row {
            name: name.to_owned(),
            judged: Ok(Judged {
                claim: claim.unwrap().unwrap(),
                manifest: Manifest::start(name, "why?", &RunOptions::default(), false),
                figure: "x.svg".into(),
            }),
            statement,
        }
    }

    #[test]
    fn a_page_holds_verdicts_reasons_figures_and_provenance() {
        let missing = Row {
            name: "c".to_owned(),
            statement: row("c", 0.0).statement,
            judged: Err(anyhow::anyhow!("it has not been run")),
        };
        let page = page(&[row("a", 0.5), row("b", 2.0), missing], "gallery");
        for part in [
            "| `a` | \\|x\\| is small | somebody | x | ≤ 1 | 0.5 | **PASS** |\n|  |  |  | y | ≤ 1 | 0 |  |",
            "| `b` | \\|x\\| is small | somebody | x | ≤ 1 | 2 | **FAIL** |",
            "`b`\n\n- x: 2 (seed 0), where ≤ 1 is needed",
            "| it has not been run | none |",
            "![a](gallery/a.svg)",
            "Because of z.",
            "| `a` | 0 | f32 | flex |",
        ] {
            assert!(page.contains(part), "no {part} in\n{page}");
        }
        assert!(!page.contains("gallery/c.svg"));
    }

    #[test]
    fn figures_are_linked_from_the_page() {
        let way = |page: &str, gallery: &str| link(Path::new(page), Path::new(gallery));
        assert_eq!(way("docs/claims.md", "docs/gallery"), "gallery");
        assert_eq!(way("docs/claims.md", "pictures"), "../pictures");
        assert_eq!(way("claims.md", "./docs/gallery"), "docs/gallery");
    }
}
