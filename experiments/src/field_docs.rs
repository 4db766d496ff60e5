//! What the doc comments of a `Config` say, for `--help` and for the recorded `config.toml`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Name of the struct that an experiment's configuration begins with.
const ROOT: &str = "Config";

/// The documented fields of the structs in one source file.
///
/// They are read from the source text, so that a field is explained once, where it is declared. Only what rustfmt
/// writes is understood; a type declared elsewhere has no explanations.
#[derive(Debug, Default)]
pub(crate) struct FieldDocs {
    structs: BTreeMap<String, Vec<Field>>,
}

#[derive(Debug)]
struct Field {
    name: String,
    type_name: String,
    explanation: Vec<String>,
}

impl FieldDocs {
    /// Reads every struct with named fields that begins at the start of a line.
    pub(crate) fn parse(source: &str) -> Self {
        let mut structs = BTreeMap::new();
        let mut lines = source.lines();
        while let Some(line) = lines.next() {
            let Some(name) = struct_name(line) else {
                continue;
            };
            let body = lines.by_ref().take_while(|line| *line != "}");
            structs.insert(name.to_owned(), fields(body));
        }
        Self { structs }
    }

    /// The fields below a path of keys, empty when nothing is known there.
    pub(crate) fn keys(&self, path: &[&str]) -> Vec<&str> {
        let fields = self.fields_at(path).unwrap_or_default();
        fields.iter().map(|field| field.name.as_str()).collect()
    }

    /// `text`, TOML as the `toml` crate writes it, with the explanation of every key above it as comments.
    pub(crate) fn annotate(&self, text: &str) -> String {
        let mut annotated = String::new();
        let mut path: Vec<&str> = Vec::new();
        for line in text.lines() {
            if let Some(table) = line.strip_prefix('[') {
                path = table.trim_matches(['[', ']']).split('.').collect();
                self.comment(&path, &mut annotated);
            } else if let Some((key, _)) = line.split_once(" = ") {
                path.push(key);
                self.comment(&path, &mut annotated);
                path.pop();
            }
            annotated.push_str(line);
            annotated.push('\n');
        }
        annotated
    }

    fn comment(&self, path: &[&str], out: &mut String) {
        let Some((key, parents)) = path.split_last() else {
            return;
        };
        let fields = self.fields_at(parents).unwrap_or_default();
        let field = fields.iter().find(|field| field.name == *key);
        for line in field.map_or(&[][..], |field| &field.explanation) {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "# {line}");
        }
    }

    fn fields_at(&self, path: &[&str]) -> Option<&[Field]> {
        let mut fields = self.structs.get(ROOT)?;
        for key in path {
            let field = fields.iter().find(|field| field.name == *key)?;
            fields = self.structs.get(&field.type_name)?;
        }
        Some(fields)
    }
}

/// `Config` of `struct Config {` and of `pub struct Config {`.
fn struct_name(line: &str) -> Option<&str> {
    line.strip_prefix("pub ")
        .unwrap_or(line)
        .strip_prefix("struct ")?
        .strip_suffix(" {")
}

fn fields<'a>(body: impl Iterator<Item = &'a str>) -> Vec<Field> {
    let mut fields = Vec::new();
    let mut explanation = Vec::new();
    for line in body.map(str::trim) {
        if let Some(doc) = line.strip_prefix("///") {
            explanation.push(doc.trim().to_owned());
            continue;
        }
        let declaration = line.strip_prefix("pub ").unwrap_or(line);
        let Some((name, type_name)) = declaration.split_once(": ") else {
            continue;
        };
        if declaration.starts_with(['#', '/']) {
            continue;
        }
        fields.push(Field {
            name: name.to_owned(),
            type_name: innermost_type(type_name).to_owned(),
            explanation: std::mem::take(&mut explanation),
        });
    }
    fields
}

/// `Train` of `Train,`, `Option<Train>,` and `Vec<Train>,`.
fn innermost_type(declared: &str) -> &str {
    let declared = declared.trim_end_matches([',', '>']);
    declared.rsplit('<').next().unwrap_or(declared)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "\
#[derive(Debug)]
struct Config {
    /// Steps of each run,
    /// at least one.
    steps: usize,
    // not for the user: nothing
    #[serde(default)]
    rates: Vec<f64>,
    /// How it is trained.
    train: Train,
}

pub struct Train {
    /// Examples of a batch.
    pub batch: Option<usize>,
}

struct Unit;
";

    #[test]
    fn comments_stand_above_their_keys() {
        let docs = FieldDocs::parse(SOURCE);
        let annotated =
            docs.annotate("steps = 5\nrates = [0.1]\n\n[train]\nbatch = 3\nother = 1\n");
        let expected = "# Steps of each run,\n# at least one.\nsteps = 5\nrates = [0.1]\n\n\
                        # How it is trained.\n[train]\n# Examples of a batch.\nbatch = 3\nother = 1\n";
        assert_eq!(annotated, expected);
    }

    #[test]
    fn keys_are_known_even_where_a_value_is_missing() {
        let docs = FieldDocs::parse(SOURCE);
        assert_eq!(docs.keys(&[]), ["steps", "rates", "train"]);
        assert_eq!(docs.keys(&["train"]), ["batch"]);
        assert!(docs.keys(&["steps"]).is_empty());
        assert!(FieldDocs::parse("").keys(&[]).is_empty());
    }
}
