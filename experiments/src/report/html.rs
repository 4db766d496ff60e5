//! A report as one HTML document.

use std::fmt::Write as _;

use super::{Block, Entry, Provenance, Report, Table, provenance};
use crate::Plot;
use crate::cell::FailedCell;
use crate::claim::{JudgedClaim, Verdict};
use crate::plot::{Room, Styles};

const STYLE: &str = include_str!("style.css");

pub(super) fn document(report: &Report, provenance: &Provenance<'_>) -> anyhow::Result<String> {
    let header = provenance.header;
    let mut body = String::new();
    body += &format!(
        "<header>\n<p class=\"kicker\">ravine · {}</p>\n<h1>{}</h1>\n<p class=\"question\">{}</p>\n</header>\n",
        escape(&header.name),
        inline(&report.title),
        inline(&capitalise(&header.question)),
    );
    if let Some(failure) = &report.failure {
        body += &format!(
            "<section class=\"failure\">\n<h2>What went wrong</h2>\n<pre>{}</pre>\n</section>\n",
            escape(failure)
        );
    }
    if provenance.manifest.smoke {
        body += "<p class=\"smoke\">A smoke test: it shows that the experiment runs, and nothing else.</p>\n";
    }
    body += &verdict(provenance.claim);
    body += &answers(report, &header.expected);
    body += &failed_cells(provenance.failures);
    for paragraph in &header.background {
        body += &format!("<p>{}</p>\n", inline(paragraph));
    }

    let styles = report.styles();
    let mut names = report.named_plots().map(|(name, _)| name);
    for block in &report.blocks {
        match block {
            Block::Section(heading) => body += &format!("<h2>{}</h2>\n", inline(heading)),
            Block::Paragraph(text) => body += &format!("<p>{}</p>\n", inline(text)),
            Block::Preformatted(text) => body += &format!("<pre>{}</pre>\n", escape(text)),
            Block::Table(shown) => body += &table(shown),
            Block::Plots(plots) => {
                let (class, room) = match plots.len() {
                    1 => ("plots wide", Room::Wide),
                    _ => ("plots", Room::Half),
                };
                body += &format!("<div class=\"{class}\">\n");
                for plot in plots {
                    let name = names.next().unwrap_or_default();
                    body += &figure(plot, &name, &styles, room)?;
                }
                body += "</div>\n";
            }
        }
    }
    body += &provenance::section(provenance)?;

    Ok(format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n<title>{}: {}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n",
        escape(&header.name),
        escape(&report.title),
    ))
}

/// The claim, its verdict, and the numbers that decided it.
fn verdict(claim: Option<&JudgedClaim>) -> String {
    let Some(claim) = claim else {
        return String::new();
    };
    let class = match claim.verdict {
        Verdict::Pass => "answers",
        Verdict::Fail => "failure",
    };
    let mut section = format!(
        "<section class=\"{class}\">\n<h2>{}: {}</h2>\n",
        claim.verdict,
        inline(&claim.statement)
    );
    let mut criteria = Table::new("What decides it", ["", "band", "measured", "holds"]);
    for criterion in &claim.criteria {
        criteria.push([
            criterion.name().into(),
            criterion.band().to_string().into(),
            criterion.values().into(),
            match criterion.holds() {
                true => "yes".into(),
                false => "no".into(),
            },
        ]);
    }
    section += &table(&criteria);
    for remark in &claim.remarks {
        let _ = writeln!(section, "<p>{}</p>", inline(remark));
    }
    let _ = writeln!(
        section,
        "<p class=\"expected\"><b>Source:</b> {}</p>\n</section>",
        inline(&claim.source)
    );
    section
}

/// What was found beside what was expected.
fn answers(report: &Report, expected: &str) -> String {
    let mut section = String::from("<section class=\"answers\">\n");
    if !report.findings.is_empty() {
        section += "<h2>Findings</h2>\n<ul>\n";
        for finding in &report.findings {
            let _ = writeln!(section, "<li>{}</li>", inline(finding));
        }
        section += "</ul>\n";
    }
    let _ = writeln!(
        section,
        "<p class=\"expected\"><b>Expected:</b> {}</p>\n</section>",
        inline(expected)
    );
    section
}

/// Measurements that gave no value, so that nobody takes their absence for a result.
fn failed_cells(failures: &[FailedCell]) -> String {
    if failures.is_empty() {
        return String::new();
    }
    let count = match failures.len() {
        1 => "1 measurement failed".to_owned(),
        count => format!("{count} measurements failed"),
    };
    let mut section = format!("<section class=\"failure\">\n<h2>{count}</h2>\n<ul>\n");
    for FailedCell { cell, message } in failures {
        let (cell, message) = (escape(cell), escape(message));
        let _ = writeln!(section, "<li><code>{cell}</code>: {message}</li>");
    }
    section + "</ul>\n</section>\n"
}

fn figure(plot: &Plot, name: &str, styles: &Styles, room: Room) -> anyhow::Result<String> {
    let drawing = plot.draw(styles, room)?;
    let mut caption = String::new();
    for sentence in plot
        .caption_text()
        .into_iter()
        .chain(drawing.notes.iter().map(String::as_str))
    {
        let _ = write!(caption, "{} ", inline(sentence));
    }
    Ok(format!(
        "<figure>\n{}<figcaption>{caption}<span class=\"data\">Data: rows/{name}.csv</span></figcaption>\n</figure>\n",
        drawing.svg
    ))
}

fn table(table: &Table) -> String {
    let classes: Vec<&str> = (0..table.columns.len())
        .map(|column| {
            if table.is_numeric(column) {
                " class=\"number\""
            } else {
                ""
            }
        })
        .collect();
    let mut html = format!(
        "<div class=\"table\">\n<table>\n<caption>{}</caption>\n<thead><tr>",
        inline(&table.caption)
    );
    for (column, class) in table.columns.iter().zip(&classes) {
        let _ = write!(html, "<th scope=\"col\"{class}>{}</th>", inline(column));
    }
    html += "</tr></thead>\n<tbody>\n";
    for row in &table.rows {
        html += "<tr>";
        for (column, (entry, class)) in row.iter().zip(&classes).enumerate() {
            let shown = entry_html(entry, table.best_of(column));
            let _ = write!(html, "<td{class}>{shown}</td>");
        }
        html += "</tr>\n";
    }
    html += "</tbody>\n</table>\n";
    if table.marks_best() {
        html += "<p class=\"note\">Bold: the best of its column.</p>\n";
    }
    html + "</div>\n"
}

fn entry_html(entry: &Entry, best: Option<f64>) -> String {
    let shown = inline(&entry.show());
    match (entry.number(), best) {
        (Some(number), Some(best)) if number == best => format!("<strong>{shown}</strong>"),
        _ => shown,
    }
}

/// Text with its markup characters escaped.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Not allowed in a document, whichever way they are written.
            c if c.is_control() && !matches!(c, '\n' | '\t') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Escaped text in which parts between backticks are code.
fn inline(text: &str) -> String {
    let mut html = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('`') {
        let Some((code, after)) = after.split_once('`') else {
            break;
        };
        let _ = write!(html, "{}<code>{}</code>", escape(before), escape(code));
        rest = after;
    }
    html + &escape(rest)
}

fn capitalise(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().collect::<String>() + letters.as_str(),
        None => String::new(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::header::{Header, Statement};
    use crate::manifest::Manifest;
    use crate::{Axis, Band, Best, Criterion, RunOptions};

    /// Panics unless every tag of `document` that is opened is closed, in order.
    pub(crate) fn assert_balanced(document: &str) {
        let mut open: Vec<&str> = Vec::new();
        let text = document.trim_start_matches("<!DOCTYPE html>");
        for tag in text.split('<').skip(1) {
            let (tag, text) = tag.split_once('>').expect("a tag is closed");
            assert!(!text.contains('>'), "unescaped text after <{tag}>: {text}");
            let name = tag.split([' ', '\n']).next().unwrap();
            if let Some(name) = name.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name), "</{name}>");
            } else if !tag.ends_with('/') {
                open.push(name);
            }
        }
        assert!(open.is_empty(), "never closed: {open:?}");
    }

    fn html(report: &Report) -> String {
        let header = Header {
            name: "taylor".to_owned(),
            question: "how far?".to_owned(),
            background: vec!["Because `a < b`.".to_owned()],
            expected: "third order".to_owned(),
            takes: "20 s".to_owned(),
            command: "just exp taylor".to_owned(),
            statement: Some(Statement {
                claim: "it is < 3".to_owned(),
                source: "Taylor (1715)".to_owned(),
            }),
        };
        let claim = JudgedClaim::new(
            header.statement.as_ref(),
            report.criteria(),
            report.remarks(),
        );
        let claim = claim.ok().flatten();
        let manifest = Manifest::start("taylor", "how far?", &RunOptions::default(), false);
        let provenance = Provenance {
            header: &header,
            config: "steps = 3\n",
            manifest: &manifest,
            failures: &[FailedCell {
                cell: "a<b".to_owned(),
                message: "no luck & all".to_owned(),
            }],
            claim: claim.as_ref(),
        };
        document(report, &provenance).unwrap()
    }

    #[test]
    fn a_report_is_well_formed_and_complete() {
        let report = Report::new("Far <enough> & \"more\"")
            .finding("ε* is 1 < 2")
            .section("Loss")
            .paragraph("uses `x < y` and a lone `")
            .preformatted("a\n  <b>")
            .plots([
                Plot::new("One <&>", Axis::linear("x"), Axis::log("y"))
                    .line("s<1>", [(0.0, 1.0), (1.0, 0.0), (2.0, 2.0)])
                    .caption("Caption & all."),
                Plot::new("Two", Axis::linear("x"), Axis::linear("y")),
            ])
            .table(
                Table::new("steps", ["method", "steps"])
                    .row(["a<b".into(), 7.into()])
                    .row(["c".into(), 9.into()])
                    .mark_best("steps", Best::Lowest),
            );

        let html = html(&report);

        assert_balanced(&html);
        assert_eq!(html.matches("<svg ").count(), 2);
        for part in [
            "<h1>Far &lt;enough&gt; &amp; &quot;more&quot;</h1>",
            "<p class=\"question\">How far?</p>",
            "<li>ε* is 1 &lt; 2</li>",
            "uses <code>x &lt; y</code> and a lone `",
            "<pre>a\n  &lt;b&gt;</pre>",
            "<td class=\"number\"><strong>7</strong></td>",
            "<td class=\"number\">9</td>",
            "Caption &amp; all. 1 point is not shown",
            "Data: rows/plot-01-one.csv",
            "steps = 3",
            "third order",
            "<h2>1 measurement failed</h2>",
            "<li><code>a&lt;b</code>: no luck &amp; all</li>",
            "&quot;status&quot;: &quot;running&quot;",
        ] {
            assert!(html.contains(part), "no {part} in\n{html}");
        }
    }

    #[test]
    fn the_verdict_stands_at_the_top() {
        let criterion = Criterion::new("a < b", Band::at_most(1.0)).measured(0, 2.0);
        let report = Report::new("t")
            .criterion(criterion)
            .remark("f32 & rounding")
            .finding("found");
        let html = html(&report);
        assert_balanced(&html);
        let at = |part: &str| html.find(part).unwrap_or_else(|| panic!("no {part}"));
        assert!(at("<h2>FAIL: it is &lt; 3</h2>") < at("<h2>Findings</h2>"));
        for part in ["a &lt; b", "≤ 1", "f32 &amp; rounding", "Taylor (1715)"] {
            assert!(at(part) < at("<h2>Findings</h2>"), "{part}");
        }
    }

    /// Nothing is loaded from anywhere, and nothing runs.
    #[test]
    fn a_report_stands_alone() {
        let plot = Plot::new("p", Axis::linear("x"), Axis::linear("y"))
            .line("a", [(0.0, 0.0), (1.0, 1.0)]);
        let html = html(&Report::new("t").plot(plot));
        let without_namespace = html.replace("http://www.w3.org/2000/svg", "");
        for foreign in [
            "http:", "https:", "src=", "<script", "<link", "@import", "url(",
        ] {
            assert!(!without_namespace.contains(foreign), "{foreign}");
        }
    }

    #[test]
    fn a_failure_says_what_went_wrong() {
        let failure = crate::Failure {
            message: "no <luck>".to_owned(),
            kind: crate::FailureKind::Error,
        };
        let html = html(&Report::of_failure("taylor", &failure));
        assert_balanced(&html);
        assert!(html.contains("<pre>no &lt;luck&gt;</pre>"));
    }

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(escape("a\u{0}b\nc"), "a\u{fffd}b\nc");
    }
}
