//! The `//!` header of an experiment's file: the one place that says what the experiment is about.

use anyhow::{Context as _, bail, ensure};

/// What the header of an experiment says.
///
/// ```text
/// //! # taylor: how well does the quadratic model predict a gradient step?
/// //!
/// //! Any prose, as many paragraphs as it takes.
/// //!
/// //! - **Expected:** the error falls with the third power of the step.
/// //! - **Takes:** 20 s on two cores
/// //! - **Command:** `just exp taylor`
/// ```
///
/// An experiment that judges a claim has two more lines, `- **Claim:** ..` and `- **Source:** ..`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The experiment's name, which is its file's as well.
    pub(crate) name: String,
    pub(crate) question: String,
    /// Paragraphs between the question and the list.
    pub(crate) background: Vec<String>,
    pub(crate) expected: String,
    pub(crate) takes: String,
    pub(crate) command: String,
    /// The claim that the experiment judges, if it judges one.
    pub(crate) statement: Option<Statement>,
}

/// A claim as the header states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    /// One sentence that can be wrong.
    pub(crate) claim: String,
    /// Who says so, and where.
    pub(crate) source: String,
}

impl Header {
    /// Reads the header of a source file.
    pub(crate) fn parse(source: &str) -> anyhow::Result<Self> {
        let mut paragraphs = paragraphs(source).into_iter();
        let title = paragraphs.next().unwrap_or_default();
        let (name, question) = title
            .strip_prefix("# ")
            .and_then(|title| title.split_once(": "))
            .context("the file must begin with `//! # <name>: <question>`")?;
        ensure!(
            !name.is_empty() && !name.contains(|c: char| !c.is_ascii_alphanumeric() && c != '-'),
            "`{name}` is no name for an experiment: letters, digits and `-` only"
        );

        let mut header = Self {
            name: name.to_owned(),
            question: question.to_owned(),
            background: Vec::new(),
            expected: String::new(),
            takes: String::new(),
            command: String::new(),
            statement: None,
        };
        let (mut claim, mut source_of_claim) = (None, None);
        for paragraph in paragraphs {
            if let Some(text) = paragraph.strip_prefix("- **Expected:** ") {
                header.expected = text.to_owned();
            } else if let Some(text) = paragraph.strip_prefix("- **Takes:** ") {
                header.takes = text.to_owned();
            } else if let Some(text) = paragraph.strip_prefix("- **Command:** ") {
                header.command = text.replace('`', "");
            } else if let Some(text) = paragraph.strip_prefix("- **Claim:** ") {
                claim = Some(text.to_owned());
            } else if let Some(text) = paragraph.strip_prefix("- **Source:** ") {
                source_of_claim = Some(text.to_owned());
            } else {
                header.background.push(paragraph);
            }
        }
        for (label, text) in [
            ("Expected", &header.expected),
            ("Takes", &header.takes),
            ("Command", &header.command),
        ] {
            if text.is_empty() {
                bail!("the header of `{name}` lacks the line `//! - **{label}:** ..`");
            }
        }
        header.statement = match (claim, source_of_claim) {
            (Some(claim), Some(source)) => Some(Statement { claim, source }),
            (None, None) => None,
            (Some(_), None) => bail!(
                "the header of `{name}` states a claim, but lacks the line `//! - **Source:** ..`"
            ),
            (None, Some(_)) => bail!(
                "the header of `{name}` has a source, but lacks the line `//! - **Claim:** ..`"
            ),
        };
        Ok(header)
    }
}

/// The paragraphs and list items of the leading `//!` comment, each on one line.
fn paragraphs(source: &str) -> Vec<String> {
    let mut paragraphs = Vec::new();
    let mut current = String::new();
    let comment = source.lines().map_while(|line| line.strip_prefix("//!"));
    for line in comment.map(str::trim) {
        if line.is_empty() || line.starts_with("- ") {
            paragraphs.push(std::mem::take(&mut current));
        }
        if !current.is_empty() {
            current.push(' ');
        }
        current.push_str(line);
    }
    paragraphs.push(current);
    paragraphs.retain(|paragraph| !paragraph.is_empty());
    paragraphs
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    const SOURCE: &str = "\
//! # taylor: how well does it predict: a lot?
//!
//! First paragraph,
//! continued.
//!
//! Second.
//!
//! - **Expected:** an error of third order,
//!   and no less.
//! - **Takes:** 20 s
//! - **Command:** `just exp taylor`

use std::fmt;
//! not part of it
";

    #[test]
    fn reads_every_part() {
        let header = Header::parse(SOURCE).unwrap();
        assert_eq!(header.name, "taylor");
        assert_eq!(header.question, "how well does it predict: a lot?");
        assert_eq!(
            header.background,
            ["First paragraph, continued.", "Second."]
        );
        assert_eq!(header.expected, "an error of third order, and no less.");
        assert_eq!(header.takes, "20 s");
        assert_eq!(header.command, "just exp taylor");
    }

    #[test]
    fn a_missing_part_is_named() {
        let without = SOURCE.replace("//! - **Takes:** 20 s\n", "");
        let error = Header::parse(&without).unwrap_err().to_string();
        assert!(error.contains("**Takes:**"), "{error}");

        assert!(Header::parse("use std::fmt;").is_err());
        assert!(Header::parse(&SOURCE.replace("# taylor", "# tay/lor")).is_err());
    }

    /// Nobody has to build an experiment to learn that its header is not understood.
    #[test]
    fn every_experiment_and_the_template_have_a_header_named_like_their_file() {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let template = fs::read_to_string(sources.join("template.rs.txt")).unwrap();
        assert_eq!(Header::parse(&template).unwrap().name, "NAME");

        let Ok(files) = fs::read_dir(sources.join("bin")) else {
            return;
        };
        for path in files.map(|file| file.unwrap().path()) {
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let header = Header::parse(&fs::read_to_string(&path).unwrap())
                .unwrap_or_else(|error| panic!("{}: {error:#}", path.display()));
            assert_eq!(
                Some(header.name.as_ref()),
                path.file_stem(),
                "{}",
                path.display()
            );
        }
    }
}
