//! Tables of measurements, one flat row each, written as CSV.

use std::fmt::Write as _;

use anyhow::{Context as _, bail, ensure};
use ciborium::Value;
use serde::Serialize;

use crate::exact_json::non_finite_word;
use crate::run_directory::RunDirectory;

/// The tables of a run in the order of their first rows.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    tables: Vec<Rows>,
}

#[derive(Debug)]
struct Rows {
    name: String,
    columns: Vec<String>,
    /// A field for each column known when the row came; columns that came later are empty.
    rows: Vec<Vec<String>>,
}

impl Tables {
    /// Adds a row to the table `table`.
    ///
    /// Structs and maps inside `row` become columns called `outer.inner`.
    pub(crate) fn add(&mut self, table: &str, row: &impl Serialize) -> anyhow::Result<()> {
        let safe = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        ensure!(
            !table.is_empty() && table.chars().all(safe),
            "`{table}` is no name for a table of rows: letters, digits, `-` and `_` only"
        );
        let mut fields = Vec::new();
        let row = Value::serialized(row).with_context(|| format!("a row of `{table}`"))?;
        flatten(String::new(), &row, &mut fields).with_context(|| format!("a row of `{table}`"))?;
        self.table(table).push(fields);
        Ok(())
    }

    fn table(&mut self, name: &str) -> &mut Rows {
        let known = self.tables.iter().position(|table| table.name == name);
        let index = known.unwrap_or(self.tables.len());
        if known.is_none() {
            self.tables.push(Rows {
                name: name.to_owned(),
                columns: Vec::new(),
                rows: Vec::new(),
            });
        }
        &mut self.tables[index]
    }

    /// Writes every table as `rows/<table>.csv`.
    pub(crate) fn write(&self, directory: &RunDirectory) -> anyhow::Result<()> {
        for table in &self.tables {
            let file = format!("rows/{}.csv", table.name);
            directory.write(&file, table.to_csv().as_bytes())?;
        }
        Ok(())
    }
}

impl Rows {
    fn push(&mut self, fields: Vec<(String, String)>) {
        let mut row = vec![String::new(); self.columns.len()];
        for (column, field) in fields {
            match self.columns.iter().position(|known| *known == column) {
                Some(index) => row[index] = field,
                None => {
                    self.columns.push(column);
                    row.push(field);
                }
            }
        }
        self.rows.push(row);
    }

    fn to_csv(&self) -> String {
        let mut csv = String::new();
        write_line(&mut csv, self.columns.iter().map(String::as_str));
        for row in &self.rows {
            let missing = std::iter::repeat_n("", self.columns.len() - row.len());
            write_line(&mut csv, row.iter().map(String::as_str).chain(missing));
        }
        csv
    }
}

fn write_line<'a>(csv: &mut String, fields: impl Iterator<Item = &'a str>) {
    for (index, field) in fields.enumerate() {
        if index > 0 {
            csv.push(',');
        }
        if field.contains([',', '"', '\n', '\r']) {
            // Writing to a string cannot fail.
            let _ = write!(csv, "\"{}\"", field.replace('"', "\"\""));
        } else {
            csv.push_str(field);
        }
    }
    csv.push('\n');
}

fn flatten(path: String, value: &Value, fields: &mut Vec<(String, String)>) -> anyhow::Result<()> {
    let Value::Map(entries) = value else {
        ensure!(
            !path.is_empty(),
            "a row is a struct or a map with text keys"
        );
        let field = field(value).with_context(|| format!("column `{path}`"))?;
        fields.push((path, field));
        return Ok(());
    };
    for (key, value) in entries {
        let key = key.as_text().context("a column's name is text")?;
        let path = match path.as_str() {
            "" => key.to_owned(),
            outer => format!("{outer}.{key}"),
        };
        flatten(path, value, fields)?;
    }
    Ok(())
}

fn field(value: &Value) -> anyhow::Result<String> {
    match value {
        Value::Null => Ok(String::new()),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Integer(integer) => Ok(i128::from(*integer).to_string()),
        Value::Float(float) if float.is_finite() => Ok(format!("{float:?}")),
        Value::Float(float) => Ok(non_finite_word(*float).to_owned()),
        Value::Text(text) => Ok(text.clone()),
        Value::Array(_) => {
            bail!("a list; a row holds one value in each column, so make it several rows")
        }
        _ => bail!("a value that a table cannot hold"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[derive(Serialize)]
    struct Step {
        method: &'static str,
        step: usize,
        loss: Option<f64>,
        inner: Inner,
    }

    #[derive(Serialize)]
    struct Inner {
        norm: f64,
    }

    fn csv(tables: &Tables) -> String {
        tables.tables[0].to_csv()
    }

    #[test]
    fn rows_are_flat_and_keep_their_order() {
        let mut tables = Tables::default();
        for (step, loss, norm) in [
            (1, Some(0.5), 1e-20),
            (2, None, f64::NAN),
            (3, Some(f64::INFINITY), 3.0),
        ] {
            let row = Step {
                method: "sgd, \"fixed\"",
                step,
                loss,
                inner: Inner { norm },
            };
            tables.add("steps", &row).unwrap();
        }
        assert_eq!(
            csv(&tables),
            "method,step,loss,inner.norm\n\
             \"sgd, \"\"fixed\"\"\",1,0.5,1e-20\n\
             \"sgd, \"\"fixed\"\"\",2,,NaN\n\
             \"sgd, \"\"fixed\"\"\",3,inf,3.0\n"
        );
    }

    #[test]
    fn columns_may_come_later() {
        #[derive(Serialize)]
        struct Early {
            a: u64,
        }
        #[derive(Serialize)]
        struct Late {
            b: bool,
            a: u64,
        }
        let mut tables = Tables::default();
        tables.add("t", &Early { a: u64::MAX }).unwrap();
        tables.add("t", &Late { b: true, a: 2 }).unwrap();
        assert_eq!(csv(&tables), "a,b\n18446744073709551615,\n2,true\n");
    }

    #[test]
    fn what_is_no_flat_row_is_refused() {
        let mut tables = Tables::default();
        let list = std::collections::BTreeMap::from([("losses", vec![1.0])]);
        let error = format!("{:#}", tables.add("t", &list).unwrap_err());
        assert!(error.contains("column `losses`"), "{error}");
        assert!(tables.add("t", &3).is_err());
        assert!(tables.add("../t", &Inner { norm: 0.0 }).is_err());
    }

    #[test]
    fn every_table_has_its_file() {
        let out = tempfile::tempdir().unwrap();
        let directory = RunDirectory::create(out.path(), "x", "").unwrap();
        let mut tables = Tables::default();
        tables.add("one", &Inner { norm: 1.0 }).unwrap();
        tables.add("two", &Inner { norm: 2.0 }).unwrap();
        tables.write(&directory).unwrap();
        let text = |name| fs::read_to_string(directory.path().join(name)).unwrap();
        assert_eq!(text("rows/one.csv"), "norm\n1.0\n");
        assert_eq!(text("rows/two.csv"), "norm\n2.0\n");
    }
}
