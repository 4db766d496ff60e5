//! What an experiment found, told to somebody who has not read its source.

mod html;
mod provenance;
mod table;

pub(crate) use html::escape;
#[cfg(test)]
pub(crate) use html::tests::assert_balanced;
pub use table::{Best, Entry, Table};

use crate::Plot;
use crate::cell::{FailedCell, Failure};
use crate::claim::{Criterion, JudgedClaim};
use crate::header::Header;
use crate::manifest::Manifest;
use crate::plot::{Room, Styles};
use crate::rows::Tables;
use crate::run_directory::RunDirectory;

/// The story of a run, written as one self-contained `report.html`.
///
/// The runner adds the question and the expected answer from the experiment's header, and how the run was made.
/// Text is shown as it is; parts between backticks are set as code.
///
/// ```
/// use ravine_experiments::{Axis, Plot, Report, Table};
///
/// let report = Report::new("Fixed-rate SGD gets stuck in a ravine")
///     .finding("At κ = 10⁶ SGD needs 200 times as many steps as Newton's method.")
///     .section("Loss")
///     .paragraph("Each line is the median over the seeds.")
///     .plot(
///         Plot::new("Loss over the steps", Axis::linear("step"), Axis::log("loss"))
///             .line("sgd", [(0.0, 1.0), (1.0, 0.5)])
///             .horizontal("target", 0.1),
///     )
///     .table(Table::new("Steps to the target", ["method", "steps"]).row(["sgd".into(), 200.into()]));
/// assert_eq!(report.findings().len(), 1);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    title: String,
    findings: Vec<String>,
    criteria: Vec<Criterion>,
    remarks: Vec<String>,
    blocks: Vec<Block>,
    failure: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
enum Block {
    Section(String),
    Paragraph(String),
    Preformatted(String),
    Table(Table),
    Plots(Vec<Plot>),
}

/// Where a report comes from.
pub(crate) struct Provenance<'a> {
    pub(crate) header: &'a Header,
    pub(crate) config: &'a str,
    pub(crate) manifest: &'a Manifest,
    pub(crate) failures: &'a [FailedCell],
    pub(crate) claim: Option<&'a JudgedClaim>,
}

impl Report {
    /// A report without content; the title says what was found, if one line can.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            findings: Vec::new(),
            criteria: Vec::new(),
            remarks: Vec::new(),
            blocks: Vec::new(),
            failure: None,
        }
    }

    pub(crate) fn of_failure(experiment: &str, failure: &Failure) -> Self {
        Self {
            failure: Some(failure.message.clone()),
            ..Self::new(format!("{experiment} did not finish"))
        }
    }

    /// A finding: a sentence with numbers that answers a part of the question.
    ///
    /// Findings stand at the top of the report, end up in `summary.json`, and are printed at the end of the run.
    pub fn finding(mut self, finding: impl Into<String>) -> Self {
        self.findings.push(finding.into());
        self
    }

    /// A number that decides the claim of the experiment's header: the claim holds when all of its criteria hold.
    ///
    /// The verdict stands at the top of the report, in `summary.json`, and is printed last. The first plot of the report is the
    /// claim's figure.
    pub fn criterion(mut self, criterion: Criterion) -> Self {
        self.criteria.push(criterion);
        self
    }

    /// What there is to say about the verdict, such as why a claim fails; it stands beside the verdict wherever that is shown.
    pub fn remark(mut self, remark: impl Into<String>) -> Self {
        self.remarks.push(remark.into());
        self
    }

    /// The heading of a new section.
    pub fn section(self, heading: impl Into<String>) -> Self {
        self.block(Block::Section(heading.into()))
    }

    /// A paragraph of text.
    pub fn paragraph(self, text: impl Into<String>) -> Self {
        self.block(Block::Paragraph(text.into()))
    }

    /// Text that keeps its lines and spaces, such as what `Objective::explain` says.
    pub fn preformatted(self, text: impl Into<String>) -> Self {
        self.block(Block::Preformatted(text.into()))
    }

    /// A table.
    pub fn table(self, table: Table) -> Self {
        self.block(Block::Table(table))
    }

    /// A plot over the whole width.
    pub fn plot(self, plot: Plot) -> Self {
        self.plots([plot])
    }

    /// Plots side by side, as many as the window has room for.
    pub fn plots(self, plots: impl IntoIterator<Item = Plot>) -> Self {
        self.block(Block::Plots(plots.into_iter().collect()))
    }

    /// The findings so far.
    pub fn findings(&self) -> &[String] {
        &self.findings
    }

    /// The criteria so far.
    pub fn criteria(&self) -> &[Criterion] {
        &self.criteria
    }

    pub(crate) fn remarks(&self) -> &[String] {
        &self.remarks
    }

    fn block(mut self, block: Block) -> Self {
        self.blocks.push(block);
        self
    }

    /// All plots with the names of their files, in order.
    fn named_plots(&self) -> impl Iterator<Item = (String, &Plot)> {
        let plots = self.blocks.iter().flat_map(|block| match block {
            Block::Plots(plots) => plots.as_slice(),
            _ => &[],
        });
        plots.enumerate().map(|(index, plot)| {
            (
                format!("plot-{:02}-{}", index + 1, slug(plot.title())),
                plot,
            )
        })
    }

    /// One name, one colour, in all plots of the report.
    fn styles(&self) -> Styles {
        let mut styles = Styles::default();
        for (_, plot) in self.named_plots() {
            styles.learn(plot);
        }
        styles
    }

    /// Writes each plot as `plots/<name>.svg`, and its data as `rows/<name>.csv`.
    pub(crate) fn write_plots(&self, directory: &RunDirectory) -> anyhow::Result<()> {
        let styles = self.styles();
        let mut tables = Tables::default();
        for (name, plot) in self.named_plots() {
            let drawing = plot.draw(&styles, Room::Wide)?;
            directory.write(&format!("plots/{name}.svg"), drawing.svg.as_bytes())?;
            for point in plot.points() {
                tables.add(&name, &point)?;
            }
        }
        tables.write(directory)
    }

    /// The report as one HTML document that needs no network, no scripts and no other file.
    pub(crate) fn to_html(&self, provenance: &Provenance<'_>) -> anyhow::Result<String> {
        html::document(self, provenance)
    }
}

/// A title as a part of a file name.
fn slug(title: &str) -> String {
    const LONGEST: usize = 40;
    let mut slug = String::new();
    for c in title.chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.len() >= LONGEST {
            break;
        }
    }
    slug.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::Axis;

    fn plot(title: &str, series: &str) -> Plot {
        Plot::new(title, Axis::linear("x"), Axis::log("y"))
            .line(series, [(0.0, 1.0), (1.0, f64::NAN)])
    }

    #[test]
    fn the_data_of_every_plot_is_in_the_rows() {
        let out = tempfile::tempdir().unwrap();
        let directory = RunDirectory::create(out.path(), "x", "").unwrap();
        let report = Report::new("t")
            .plot(plot("Loss, over steps!", "sgd"))
            .plots([plot("Loss, over steps!", "newton"), plot("", "b")]);

        report.write_plots(&directory).unwrap();

        let text = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
        assert_eq!(
            text("rows/plot-01-loss-over-steps.csv"),
            "series,x,y,low,high\nsgd,0.0,1.0,,\nsgd,1.0,NaN,,\n"
        );
        assert!(text("rows/plot-02-loss-over-steps.csv").contains("newton"));
        assert!(text("rows/plot-03-.csv").contains("b,0.0"));
        assert!(text("plots/plot-01-loss-over-steps.svg").starts_with("<svg "));
    }

    #[test]
    fn slugs_are_short_and_safe() {
        assert_eq!(slug("‖g‖ and gᵀHg: digits"), "g-and-g-hg-digits");
        assert!(slug(&"word ".repeat(50)).len() <= 40);
    }
}
