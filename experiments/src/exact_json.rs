//! JSON that loses nothing: NaN, infinities and the order of fields survive.
//!
//! JSON has no NaN and no infinities, and `serde_json` writes `null` for them: a diverged loss would come back as a
//! missing one, or not at all. Values therefore go through [`ciborium::Value`], which has all floats, and those that
//! JSON lacks are written either as an object that reads back exactly, or as a word for people and other programs.

use std::fmt;

use anyhow::{Context as _, bail};
use ciborium::Value;
use serde::{Serialize, Serializer, de::DeserializeOwned, ser::SerializeMap as _};

/// Key of the object that stands for a float that JSON lacks: `{"$float": "NaN"}`.
const FLOAT_KEY: &str = "$float";

/// How a float that JSON lacks is written.
#[derive(Clone, Copy, Debug)]
enum NonFinite {
    /// `{"$float": "NaN"}`: reads back as the float that it was, even where the reader does not expect a float.
    Object,
    /// `"NaN"`, `"inf"` or `"-inf"`.
    Word,
}

/// `value` as JSON that [`from_str`] reads back exactly.
pub(crate) fn to_string<T: Serialize>(value: &T) -> anyhow::Result<String> {
    write(value, NonFinite::Object)
}

/// What [`to_string`] wrote.
pub(crate) fn from_str<T: DeserializeOwned>(text: &str) -> anyhow::Result<T> {
    let mut value: Value = serde_json::from_str(text)?;
    restore_floats(&mut value)?;
    Ok(value.deserialized()?)
}

/// `value` as JSON for people and other programs, with `"NaN"`, `"inf"` and `"-inf"` as words.
pub(crate) fn to_string_for_people<T: Serialize>(value: &T) -> anyhow::Result<String> {
    write(value, NonFinite::Word)
}

fn write<T: Serialize>(value: &T, non_finite: NonFinite) -> anyhow::Result<String> {
    let value = &Value::serialized(value)?;
    let json = Json { value, non_finite };
    Ok(serde_json::to_string_pretty(&json)? + "\n")
}

/// `NaN`, `inf` or `-inf`, as Rust shows them and most programs read them.
pub(crate) fn non_finite_word(float: f64) -> &'static str {
    if float.is_nan() {
        "NaN"
    } else if float > 0.0 {
        "inf"
    } else {
        "-inf"
    }
}

struct Json<'a> {
    value: &'a Value,
    non_finite: NonFinite,
}

impl Json<'_> {
    fn below<'b>(&self, value: &'b Value) -> Json<'b> {
        Json {
            value,
            non_finite: self.non_finite,
        }
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            Value::Float(float) if !float.is_finite() => {
                let word = non_finite_word(*float);
                match self.non_finite {
                    NonFinite::Word => serializer.serialize_str(word),
                    NonFinite::Object => {
                        let mut map = serializer.serialize_map(Some(1))?;
                        map.serialize_entry(FLOAT_KEY, word)?;
                        map.end()
                    }
                }
            }
            // Not `Value`'s own way, which writes an f32 where that is exact.
            Value::Float(float) => serializer.serialize_f64(*float),
            Value::Array(items) => {
                serializer.collect_seq(items.iter().map(|item| self.below(item)))
            }
            Value::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(&JsonKey(key), &self.below(value))?;
                }
                map.end()
            }
            other => other.serialize(serializer),
        }
    }
}

/// A key: text, or a number or bool shown as text.
struct JsonKey<'a>(&'a Value);

impl Serialize for JsonKey<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Text(text) => serializer.serialize_str(text),
            other => Err(serde::ser::Error::custom(format_args!(
                "the key {} is no text; use a list of pairs instead",
                Shown(other)
            ))),
        }
    }
}

struct Shown<'a>(&'a Value);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Integer(integer) => write!(formatter, "{}", i128::from(*integer)),
            other => write!(formatter, "{other:?}"),
        }
    }
}

fn restore_floats(value: &mut Value) -> anyhow::Result<()> {
    match value {
        Value::Array(items) => items.iter_mut().try_for_each(restore_floats),
        Value::Map(entries) => {
            if let [(Value::Text(key), word)] = entries.as_slice()
                && key == FLOAT_KEY
            {
                *value = Value::Float(parse_word(word)?);
                return Ok(());
            }
            entries
                .iter_mut()
                .try_for_each(|(_, value)| restore_floats(value))
        }
        _ => Ok(()),
    }
}

fn parse_word(word: &Value) -> anyhow::Result<f64> {
    match word.as_text().context("a float's name is text")? {
        "NaN" => Ok(f64::NAN),
        "inf" => Ok(f64::INFINITY),
        "-inf" => Ok(f64::NEG_INFINITY),
        other => bail!("`{other}` is no float"),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Measured {
        losses: Vec<f64>,
        best: Option<f64>,
        missing: Option<f64>,
        pair: (f32, u64),
        ending: Ending,
        #[serde(flatten)]
        more: More,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct More {
        norm: f64,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Ending {
        Diverged { at: f64 },
    }

    fn measured() -> Measured {
        Measured {
            losses: vec![
                0.1 + 0.2,
                1.0,
                -0.0,
                f64::INFINITY,
                f64::NEG_INFINITY,
                5e-324,
                f64::MAX,
            ],
            best: Some(f64::INFINITY),
            missing: None,
            pair: (0.1, u64::MAX),
            ending: Ending::Diverged { at: f64::INFINITY },
            more: More {
                norm: f64::NEG_INFINITY,
            },
        }
    }

    /// Also through `flatten` and a tagged enum, whose readers buffer what they do not know yet.
    #[test]
    fn every_bit_comes_back() {
        let text = to_string(&measured()).unwrap();
        let again: Measured = from_str(&text).unwrap();
        assert_eq!(again, measured());
        assert!(again.losses[2].is_sign_negative());
    }

    #[test]
    fn not_a_number_comes_back() {
        let text = to_string(&vec![Some(f64::NAN), None]).unwrap();
        let again: Vec<Option<f64>> = from_str(&text).unwrap();
        assert!(again[0].unwrap().is_nan());
        assert_eq!(again[1], None);
    }

    #[test]
    fn random_bits_come_back() {
        // A multiplicative generator is enough to visit many exponents and mantissas.
        let mut bits = 1_u64;
        let floats: Vec<f64> = std::iter::repeat_with(|| {
            bits = bits
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            f64::from_bits(bits)
        })
        .filter(|float| !float.is_nan())
        .take(2000)
        .collect();
        let again: Vec<f64> = from_str(&to_string(&floats).unwrap()).unwrap();
        assert_eq!(again, floats);
    }

    #[test]
    fn words_for_people_and_order_kept() {
        #[derive(Serialize)]
        struct Summary {
            z: f64,
            a: f64,
            n: f64,
        }
        let summary = Summary {
            z: f64::NAN,
            a: f64::NEG_INFINITY,
            n: 2.0,
        };
        assert_eq!(
            to_string_for_people(&summary).unwrap(),
            "{\n  \"z\": \"NaN\",\n  \"a\": \"-inf\",\n  \"n\": 2.0\n}\n"
        );
    }

    #[test]
    fn keys_that_json_lacks_are_refused() {
        let map = std::collections::BTreeMap::from([(3, 0.5)]);
        let error = to_string(&map).unwrap_err().to_string();
        assert!(error.contains("the key 3 is no text"), "{error}");
    }
}
