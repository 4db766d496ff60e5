//! `--set key=value`: one value of a configuration, changed by its dotted key.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, anyhow, bail, ensure};
use serde::{Serialize, de::DeserializeOwned};
use toml::{Table, Value};

use crate::field_docs::FieldDocs;

/// One `--set`: a dotted key and the value to put there.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Override {
    path: Vec<String>,
    value: Value,
    /// As typed, for error messages.
    text: String,
}

impl Override {
    /// `config` with this value in it.
    pub(crate) fn apply<C>(&self, config: &C, docs: &FieldDocs) -> anyhow::Result<C>
    where
        C: Serialize + DeserializeOwned,
    {
        let before = Table::try_from(config).context("the configuration as TOML")?;
        let mut table = before.clone();
        self.insert(&mut table)?;
        let changed: C = table.try_into().map_err(|error: toml::de::Error| {
            let message = error.message().trim();
            match self.unknown_key(&before, docs) {
                Some(unknown) if message.starts_with("unknown field") => {
                    anyhow!("--set {self}: {unknown}")
                }
                _ => anyhow!("--set {self}: {message}"),
            }
        })?;
        // A type without `deny_unknown_fields` swallows what it does not know.
        let after = Table::try_from(&changed).context("the configuration as TOML")?;
        if !self.is_in(&after)
            && let Some(unknown) = self.unknown_key(&before, docs)
        {
            bail!("--set {self}: {unknown}");
        }
        Ok(changed)
    }

    fn insert(&self, table: &mut Table) -> anyhow::Result<()> {
        let mut table = table;
        let (last, parents) = self.path.split_last().context("an empty key")?;
        for key in parents {
            let entry = table
                .entry(key.as_str())
                .or_insert_with(|| Value::Table(Table::new()));
            table = entry
                .as_table_mut()
                .with_context(|| format!("--set {self}: `{key}` is a single value"))?;
        }
        table.insert(last.clone(), self.value.clone());
        Ok(())
    }

    fn is_in(&self, table: &Table) -> bool {
        let (first, below) = self.path.split_at(1);
        let value = table.get(&first[0]);
        let found = below
            .iter()
            .try_fold(value, |value, key| Some(value?.get(key)));
        found.flatten().is_some()
    }

    /// The first key on the way that neither `table` nor the configuration's source has.
    ///
    /// An optional value that is missing is in the source at most, and only if its type is declared there.
    fn unknown_key(&self, table: &Table, docs: &FieldDocs) -> Option<UnknownKey> {
        let mut above: Vec<&str> = Vec::new();
        let mut table = Some(table);
        for key in &self.path {
            let mut known = docs.keys(&above);
            known.extend(table.into_iter().flat_map(Table::keys).map(String::as_str));
            if !known.contains(&key.as_str()) {
                return Some(UnknownKey::new(key, &above, &known));
            }
            table = table.and_then(|table| table.get(key)?.as_table());
            above.push(key);
        }
        None
    }
}

impl FromStr for Override {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (key, value) = text
            .split_once('=')
            .with_context(|| format!("`{text}`: want key=value, as in steps=100"))?;
        let path: Vec<String> = key.split('.').map(|part| part.trim().to_owned()).collect();
        ensure!(
            path.iter().all(|part| !part.is_empty()),
            "`{text}`: a key is a name, or names joined by dots, as in train.steps=100"
        );
        ensure!(
            path[0] != "run",
            "`{text}`: seeds, device and precision have options of their own (--seeds, --device, ..)"
        );
        Ok(Self {
            path,
            value: parse_value(value.trim()),
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for Override {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// A TOML value, or else the text itself, so that strings need no quotes that a shell would eat.
fn parse_value(text: &str) -> Value {
    let document = toml::from_str::<Table>(&format!("value = {text}"));
    match document {
        Ok(mut table) if table.len() == 1 => table.remove("value"),
        _ => None,
    }
    .unwrap_or_else(|| Value::String(text.to_owned()))
}

/// A key that a configuration does not have, with those it has.
#[derive(Debug, thiserror::Error)]
#[error("there is no key `{key}`{suggestion}; {owner} has {known}")]
pub(crate) struct UnknownKey {
    key: String,
    suggestion: String,
    owner: String,
    known: String,
}

impl UnknownKey {
    pub(crate) fn new(key: &str, above: &[&str], known: &[&str]) -> Self {
        let mut unique: Vec<&str> = Vec::new();
        for name in known {
            if !unique.contains(name) {
                unique.push(name);
            }
        }
        let suggestion = unique
            .iter()
            .map(|name| (edits(key, name), name))
            .min()
            .filter(|(edits, name)| *edits <= 1 + name.len() / 4)
            .map_or(String::new(), |(_, name)| {
                format!(" (did you mean `{name}`?)")
            });
        let mut full_key = above.to_vec();
        full_key.push(key);
        Self {
            key: full_key.join("."),
            suggestion,
            owner: match above {
                [] => "the configuration".to_owned(),
                _ => format!("`{}`", above.join(".")),
            },
            known: match unique.as_slice() {
                [] => "none".to_owned(),
                names => names.join(", "),
            },
        }
    }
}

/// How many letters to insert, delete or replace to turn `from` into `to` (Levenshtein's distance).
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Config {
        steps: usize,
        rate: f64,
        kappas: Vec<f64>,
        name: String,
        limit: Option<f64>,
        train: Train,
        method: Method,
    }

    #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Train {
        batch: usize,
        /// Unknown to the source text below.
        limit: Option<f64>,
        lenient: Lenient,
    }

    #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
    #[serde(default)]
    struct Lenient {
        depth: usize,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
    enum Method {
        Sgd { rate: f64 },
        Newton { damping: f64 },
    }

    impl Default for Config {
        fn default() -> Self {
            Self {
                steps: 10,
                rate: 0.5,
                kappas: vec![1.0],
                name: "a".to_owned(),
                limit: None,
                train: Train::default(),
                method: Method::Sgd { rate: 0.1 },
            }
        }
    }

    const SOURCE: &str = "struct Config {\n    steps: usize,\n    limit: Option<f64>,\n}\n";

    fn set(text: &str) -> anyhow::Result<Config> {
        let change: Override = text.parse()?;
        change.apply(&Config::default(), &FieldDocs::parse(SOURCE))
    }

    #[test]
    fn values_of_every_kind() {
        assert_eq!(set("steps=3").unwrap().steps, 3);
        assert_eq!(set("rate=1").unwrap().rate, 1.0);
        assert_eq!(set(" rate = 1e-3 ").unwrap().rate, 1e-3);
        assert!(set("rate=nan").unwrap().rate.is_nan());
        assert_eq!(set("kappas=[1, 1e6]").unwrap().kappas, [1.0, 1e6]);
        assert_eq!(set("name=b c").unwrap().name, "b c");
        assert_eq!(set("name=\"7\"").unwrap().name, "7");
        assert_eq!(set("name=a=b").unwrap().name, "a=b");
        assert_eq!(set("train.batch=8").unwrap().train.batch, 8);
        assert_eq!(set("limit=2").unwrap().limit, Some(2.0));
        assert_eq!(set("train.limit=2").unwrap().train.limit, Some(2.0));
        assert_eq!(
            set("method.rate=0.2").unwrap().method,
            Method::Sgd { rate: 0.2 }
        );
        let newton = set("method={kind=\"newton\", damping=1}").unwrap();
        assert_eq!(newton.method, Method::Newton { damping: 1.0 });
    }

    #[test]
    fn an_unknown_key_names_itself_and_those_that_exist() {
        let error = set("stesp=3").unwrap_err().to_string();
        assert_eq!(
            error,
            "--set stesp=3: there is no key `stesp` (did you mean `steps`?); the configuration has \
             steps, limit, kappas, method, name, rate, train"
        );
        let nested = set("train.size=3").unwrap_err().to_string();
        assert!(
            nested.contains("no key `train.size`; `train` has batch, lenient"),
            "{nested}"
        );
        let swallowed = set("train.lenient.dept=3").unwrap_err().to_string();
        assert!(swallowed.contains("did you mean `depth`?"), "{swallowed}");
        let inside = set("method={kind=\"newton\", damp=1}")
            .unwrap_err()
            .to_string();
        assert!(inside.contains("unknown field `damp`"), "{inside}");
    }

    #[test]
    fn a_value_of_the_wrong_type_names_the_key() {
        let error = set("steps=many").unwrap_err().to_string();
        assert!(error.starts_with("--set steps=many: "), "{error}");
        assert!(error.contains("invalid type: string \"many\""), "{error}");
        let error = set("steps.deeper=1").unwrap_err().to_string();
        assert!(error.contains("`steps` is a single value"), "{error}");
        let error = set("steps=-1").unwrap_err().to_string();
        assert!(error.contains("invalid value"), "{error}");
    }

    #[test]
    fn malformed_options_are_refused() {
        for text in ["steps", "=3", "train..batch=1", "run.seeds=3"] {
            assert!(text.parse::<Override>().is_err(), "{text}");
        }
    }

    /// A value cannot smuggle in a second key.
    #[test]
    fn a_line_break_makes_a_string() {
        let config = set("name=1\nsteps=99").unwrap();
        assert_eq!((config.name.as_str(), config.steps), ("1\nsteps=99", 10));
    }

    #[test]
    fn edit_distance() {
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("same", "same"), 0);
    }
}
