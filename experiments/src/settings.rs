//! From defaults, a file and the command line to what a run is told; and back to a file that repeats it.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, anyhow, ensure};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use toml::Table;

use crate::field_docs::FieldDocs;
use crate::overrides::UnknownKey;
use crate::{CurvatureDtype, DeviceChoice, Dtype, Hvp, RunOptions, Seeds};

/// All that a run is told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings<C> {
    pub(crate) config: C,
    pub(crate) options: RunOptions,
}

/// The table `[run]` of a file, or the options of the command line: what is given replaces what was there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PartialOptions {
    /// Which experiment a file is for. A file for several may leave it out.
    pub(crate) experiment: Option<String>,
    pub(crate) seeds: Option<Seeds>,
    pub(crate) device: Option<DeviceChoice>,
    pub(crate) dtype: Option<Dtype>,
    pub(crate) hvp: Option<Hvp>,
    pub(crate) curvature_dtype: Option<CurvatureDtype>,
}

impl PartialOptions {
    pub(crate) fn apply(self, options: &mut RunOptions) {
        let RunOptions {
            seeds,
            device,
            dtype,
            hvp,
            curvature_dtype,
        } = options;
        replace(seeds, self.seeds);
        replace(device, self.device);
        replace(dtype, self.dtype);
        replace(hvp, self.hvp);
        replace(curvature_dtype, self.curvature_dtype);
    }
}

fn replace<T>(value: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *value = given;
    }
}

/// Reads the file at `path`: the configuration at the top, the run's options in `[run]`.
///
/// What the file leaves out is as in `C::default()` and in `defaults`.
pub(crate) fn read<C>(
    path: &Path,
    experiment: &str,
    defaults: &RunOptions,
    docs: &FieldDocs,
) -> anyhow::Result<Settings<C>>
where
    C: Default + Serialize + DeserializeOwned,
{
    let text = fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
    parse(&text, experiment, defaults, docs).with_context(|| format!("{}", path.display()))
}

fn parse<C>(
    text: &str,
    experiment: &str,
    defaults: &RunOptions,
    docs: &FieldDocs,
) -> anyhow::Result<Settings<C>>
where
    C: Default + Serialize + DeserializeOwned,
{
    let mut table: Table = toml::from_str(text)?;
    let run = table.remove("run").map_or_else(
        || Ok(PartialOptions::default()),
        |run| {
            run.try_into::<PartialOptions>()
                .map_err(|error| anyhow!("[run]: {}", error.message().trim()))
        },
    )?;
    if let Some(named) = &run.experiment {
        ensure!(
            named == experiment,
            "the file is for the experiment `{named}`, this is `{experiment}`"
        );
    }

    let keys: Vec<String> = table.keys().cloned().collect();
    let config: C = table.try_into().map_err(|error: toml::de::Error| {
        let message = error.message().trim();
        match unknown_key(&keys, &C::default(), docs) {
            Some(unknown) if message.starts_with("unknown field") => unknown.into(),
            _ => anyhow!("{message}"),
        }
    })?;
    // A type without `deny_unknown_fields` swallows what it does not know.
    if let Some(unknown) = unknown_key(&keys, &config, docs) {
        return Err(unknown.into());
    }

    let mut options = defaults.clone();
    run.apply(&mut options);
    Ok(Settings { config, options })
}

/// The first of `keys` that neither `config` nor its source has.
fn unknown_key<C: Serialize>(keys: &[String], config: &C, docs: &FieldDocs) -> Option<UnknownKey> {
    let table = Table::try_from(config).ok()?;
    let mut known = docs.keys(&[]);
    known.extend(table.keys().map(String::as_str));
    let unknown = keys.iter().find(|key| !known.contains(&key.as_str()))?;
    Some(UnknownKey::new(unknown, &[], &known))
}

impl<C: Serialize> Settings<C> {
    /// The file that repeats this run, each key explained as in the experiment's source.
    pub(crate) fn to_toml(&self, experiment: &str, docs: &FieldDocs) -> anyhow::Result<String> {
        let config = toml::to_string(&self.config).context("the configuration as TOML")?;
        let options = toml::to_string(&self.options).context("the run's options as TOML")?;
        let config = docs.annotate(&config);
        let separator = if config.is_empty() { "" } else { "\n" };
        Ok(format!(
            "{config}{separator}[run]\nexperiment = \"{experiment}\"\n{options}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Config {
        steps: usize,
        kappas: Vec<f64>,
        target: f64,
        train: Train,
        last: Option<bool>,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Train {
        batch: usize,
        note: String,
    }

    impl Default for Train {
        fn default() -> Self {
            Self {
                batch: 32,
                note: "several\nlines with \"quotes\"".to_owned(),
            }
        }
    }

    impl Default for Config {
        fn default() -> Self {
            Self {
                steps: 10,
                kappas: vec![1.0, 1e6],
                target: 0.1,
                train: Train::default(),
                last: None,
            }
        }
    }

    const SOURCE: &str =
        "struct Config {\n    /// How many.\n    steps: usize,\n    last: Option<bool>,\n}\n";

    fn parsed(text: &str) -> anyhow::Result<Settings<Config>> {
        parse(
            text,
            "taylor",
            &RunOptions::default(),
            &FieldDocs::parse(SOURCE),
        )
    }

    #[test]
    fn what_is_written_reads_back_as_it_was() {
        let settings = Settings {
            config: Config {
                steps: 7,
                target: 0.1 + 0.2,
                last: Some(true),
                ..Config::default()
            },
            options: RunOptions {
                seeds: "0..5".parse().unwrap(),
                dtype: Dtype::F64,
                ..RunOptions::default()
            },
        };

        let text = settings
            .to_toml("taylor", &FieldDocs::parse(SOURCE))
            .unwrap();

        assert!(text.starts_with("# How many.\nsteps = 7\n"), "{text}");
        assert_eq!(parsed(&text).unwrap(), settings);
    }

    #[test]
    fn nothing_survives_unseen() {
        let settings = Settings {
            config: Config {
                target: f64::NAN,
                kappas: vec![f64::INFINITY, -0.0],
                ..Config::default()
            },
            options: RunOptions::default(),
        };
        let text = settings.to_toml("taylor", &FieldDocs::default()).unwrap();
        let again = parsed(&text).unwrap().config;
        assert!(again.target.is_nan());
        assert_eq!(again.kappas[0], f64::INFINITY);
        assert!(again.kappas[1].is_sign_negative());
    }

    #[test]
    fn a_file_may_leave_things_out() {
        let settings = parsed("[train]\nbatch = 1\n[run]\nseeds = \"3\"").unwrap();
        assert_eq!(settings.config.train.batch, 1);
        assert_eq!(settings.config.steps, 10);
        assert_eq!(settings.options.seeds.values(), [3]);
        assert_eq!(settings.options.device, DeviceChoice::Flex);
    }

    #[test]
    fn mistakes_are_named() {
        let cases = [
            ("stepps = 3", "did you mean `steps`?"),
            ("steps = \"x\"", "invalid type: string \"x\""),
            ("[train]\nsize = 3", "unknown field `size`"),
            ("[run]\ndevise = \"flex\"", "unknown field `devise`"),
            ("[run]\ndevice = \"gpu\"", "no device `gpu`"),
            (
                "[run]\nexperiment = \"other\"",
                "is for the experiment `other`",
            ),
            ("steps =", "TOML parse error"),
        ];
        for (text, part) in cases {
            let error = format!("{:#}", parsed(text).unwrap_err());
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }
}
