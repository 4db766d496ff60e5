//! What the runner gives to an experiment.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use burn::tensor::Device;
use ciborium::Value;
use indicatif::ProgressBar;
use serde::{Serialize, de::DeserializeOwned};

use crate::cell::{CellStore, FailedCell, Failure, Origin, Taken};
use crate::field_docs::FieldDocs;
use crate::progress::Progress;
use crate::rows::Tables;
use crate::run_directory::RunDirectory;
use crate::settings::Settings;
use crate::voice::{LINE_INTERVAL, Throttle, Voice, show_seconds};
use crate::workers::{self, Work};
use crate::{CurvatureDtype, Dtype, Hvp, RunOptions};

/// How often rows reach the disk while a run goes on.
const ROWS_INTERVAL: Duration = Duration::from_secs(10);

/// A running experiment: its configuration, its device, and where its measurements go.
///
/// All methods take `&self`, so that a cell's closure can use the context as well.
#[derive(Debug)]
pub struct Context<C> {
    settings: Settings<C>,
    device: Device,
    directory: RunDirectory,
    voice: Voice,
    cells: CellStore,
    tally: Cell<Tally>,
    failures: RefCell<Vec<FailedCell>>,
    announced: Cell<Option<usize>>,
    cells_bar: RefCell<Option<ProgressBar>>,
    line_throttle: RefCell<Throttle>,
    rows: RefCell<Tables>,
    rows_throttle: RefCell<Throttle>,
    summary: RefCell<Vec<(String, Value)>>,
    recorded: Recorded,
    frozen: RefCell<Option<String>>,
}

/// What `config.toml` says beside the configuration.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) experiment: String,
    pub(crate) docs: FieldDocs,
    /// The comment at its top.
    pub(crate) title: String,
}

/// How the cells of a run went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Cells with a value, the loaded ones among them.
    pub finished: usize,
    /// Cells whose value an earlier session of the run had left.
    pub loaded: usize,
    /// Cells that returned an error or panicked.
    pub failed: usize,
}

impl<C> Context<C> {
    pub(crate) fn new(
        settings: Settings<C>,
        device: Device,
        directory: RunDirectory,
        voice: Voice,
        recorded: Recorded,
    ) -> Self {
        Self {
            settings,
            device,
            cells: CellStore::new(directory.cells()),
            directory,
            voice,
            tally: Cell::default(),
            failures: RefCell::default(),
            announced: Cell::default(),
            cells_bar: RefCell::default(),
            line_throttle: RefCell::new(Throttle::new(LINE_INTERVAL)),
            rows: RefCell::default(),
            rows_throttle: RefCell::new(Throttle::new(ROWS_INTERVAL)),
            summary: RefCell::default(),
            recorded,
            frozen: RefCell::default(),
        }
    }

    /// The experiment's configuration, resolved.
    pub fn config(&self) -> &C {
        &self.settings.config
    }

    /// Seeds, device and precision of the run.
    pub fn options(&self) -> &RunOptions {
        &self.settings.options
    }

    /// The device to compute on; its default float dtype is [`Context::dtype`].
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The seeds to repeat the measurements with.
    pub fn seeds(&self) -> &[u64] {
        self.options().seeds.values()
    }

    /// The dtype of the model's parameters and data.
    pub fn dtype(&self) -> Dtype {
        self.options().dtype
    }

    /// How Hessian-vector products are to be executed.
    pub fn hvp(&self) -> Hvp {
        self.options().hvp
    }

    /// The dtype in which curvature is to be evaluated.
    pub fn curvature_dtype(&self) -> CurvatureDtype {
        self.options().curvature_dtype
    }

    /// The run's folder, for files of an experiment's own.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Says how many cells there will be, so that progress can be shown against it.
    pub fn announce_cells(&self, count: usize) {
        self.announced.set(Some(count));
    }

    /// Takes the measurement `name` once: runs `work`, or loads what an earlier session of this run has kept.
    ///
    /// The name says everything that the measurement depends on, as in `method=sgd/seed=3`. `work` must depend on
    /// nothing else that changes during the run, and must draw its random numbers from a seed.
    ///
    /// A closure that returns an error or panics gives a [`Failure`], which belongs in a row; a resumed run tries it
    /// again.
    ///
    /// # Errors
    ///
    /// When two cells have one name, or a cell's file cannot be written or read.
    pub fn cell<T>(
        &self,
        name: impl AsRef<str>,
        work: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<Result<T, Failure>>
    where
        T: Serialize + DeserializeOwned,
    {
        let name = name.as_ref();
        self.show_cell(name);
        let taken = self.cells.take(name, work)?;
        self.account(name, taken)
    }

    /// Takes independent measurements on `workers` threads, and returns their outcomes in the order of `jobs`; see
    /// [`Context::cell`] for names, resuming and failures.
    ///
    /// Each worker is a rayon pool of one thread: whatever a measurement runs in parallel by itself runs on that thread
    /// alone. The cores are not oversubscribed, and sums are added in the same order whatever the number of workers.
    ///
    /// # Errors
    ///
    /// As [`Context::cell`], and when a thread cannot be started.
    pub fn cells<T>(
        &self,
        workers: usize,
        jobs: Vec<(String, Work<'_, T>)>,
    ) -> anyhow::Result<Vec<Result<T, Failure>>>
    where
        T: Serialize + DeserializeOwned + Send,
    {
        let mut outcomes: Vec<Option<Result<T, Failure>>> = Vec::new();
        let mut names = Vec::new();
        let mut waiting = VecDeque::new();
        for (index, (name, work)) in jobs.into_iter().enumerate() {
            let loaded = self.cells.enter(&name)?;
            outcomes.push(loaded.map(|taken| self.account(&name, taken)).transpose()?);
            if outcomes[index].is_none() {
                waiting.push_back((index, work));
            }
            names.push(name);
        }
        workers::run(workers, waiting, |index, outcome, seconds| {
            let name = &names[index];
            self.show_cell(name);
            let taken = self.cells.keep(name, outcome, seconds)?;
            outcomes[index] = Some(self.account(name, taken)?);
            Ok(())
        })?;
        let all: Option<Vec<_>> = outcomes.into_iter().collect();
        all.context("a worker ended without a result")
    }

    /// Replaces the configuration that the run's folder keeps, before anything that depends on the replaced values is
    /// measured: measured costs are frozen there, so that a resumed or repeated run uses the same.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn freeze(&self, config: C) -> anyhow::Result<()>
    where
        C: Serialize,
    {
        let settings = Settings {
            config,
            options: self.settings.options.clone(),
        };
        let text = settings.to_toml(&self.recorded.experiment, &self.recorded.docs)?;
        let file = format!("{}{text}", self.recorded.title);
        self.directory.write("config.toml", file.as_bytes())?;
        *self.frozen.borrow_mut() = Some(text);
        Ok(())
    }

    /// What [`Context::freeze`] wrote last.
    pub(crate) fn frozen(&self) -> Option<String> {
        self.frozen.borrow().clone()
    }

    /// Counts, shows and keeps the rows of a cell that is over.
    fn account<T>(&self, name: &str, taken: Taken<T>) -> anyhow::Result<Result<T, Failure>> {
        let mut tally = self.tally.get();
        match &taken.outcome {
            Ok(_) => tally.finished += 1,
            Err(failure) => {
                tally.failed += 1;
                self.failures.borrow_mut().push(FailedCell {
                    cell: name.to_owned(),
                    message: failure.message.clone(),
                });
            }
        }
        tally.loaded += usize::from(taken.origin == Origin::Loaded);
        self.tally.set(tally);
        self.report_cell(name, taken.outcome.as_ref().err(), taken.seconds);
        if self.rows_throttle.borrow_mut().passes() {
            self.rows.borrow().write(&self.directory)?;
        }
        Ok(taken.outcome)
    }

    /// Adds a row, a flat struct, to the table `table`, which becomes `rows/<table>.csv`.
    ///
    /// # Errors
    ///
    /// When a field of the row is a list, or `table` is no name for a file.
    pub fn row(&self, table: &str, row: &impl Serialize) -> anyhow::Result<()> {
        self.rows.borrow_mut().add(table, row)
    }

    /// Puts a result into `summary.json`; a later value for a key replaces an earlier one.
    ///
    /// # Errors
    ///
    /// When the value cannot be serialised.
    pub fn summarize(&self, key: &str, value: &impl Serialize) -> anyhow::Result<()> {
        let value = Value::serialized(value).with_context(|| format!("summary of `{key}`"))?;
        let mut summary = self.summary.borrow_mut();
        match summary.iter_mut().find(|(known, _)| known == key) {
            Some((_, old)) => *old = value,
            None => summary.push((key.to_owned(), value)),
        }
        Ok(())
    }

    /// Progress of a loop of `total` steps: call [`Progress::tick`] in each.
    pub fn progress(&self, label: &str, total: usize) -> Progress {
        Progress::new(&self.voice, label, total as u64)
    }

    /// Prints a line while the run goes on, unless it is quiet.
    pub fn say(&self, line: impl AsRef<str>) {
        self.voice.say(line.as_ref());
    }

    pub(crate) fn tally(&self) -> Tally {
        self.tally.get()
    }

    pub(crate) fn failures(&self) -> Vec<FailedCell> {
        self.failures.borrow().clone()
    }

    /// What [`Context::summarize`] was given.
    pub(crate) fn results(&self) -> Value {
        let summary = self.summary.borrow();
        let entries = summary
            .iter()
            .map(|(key, value)| (Value::Text(key.clone()), value.clone()));
        Value::Map(entries.collect())
    }

    /// Writes all rows, and takes the bar away.
    pub(crate) fn finish_rows(&self) -> anyhow::Result<()> {
        if let Some(bar) = self.cells_bar.borrow_mut().take() {
            bar.finish_and_clear();
        }
        self.rows.borrow().write(&self.directory)
    }

    fn show_cell(&self, name: &str) {
        let mut bar = self.cells_bar.borrow_mut();
        if bar.is_none() {
            let total = self.announced.get().map(|count| count as u64);
            *bar = self.voice.bar("cells", total);
        }
        if let Some(bar) = bar.as_ref() {
            bar.set_message(name.to_owned());
        }
    }

    fn report_cell(&self, name: &str, failure: Option<&Failure>, seconds: f64) {
        let bar = self.cells_bar.borrow();
        if let Some(bar) = bar.as_ref() {
            bar.inc(1);
        }
        // Bars show what is going on; lines must not flood a log with thousands of short cells.
        let worth_a_line = failure.is_some()
            || (bar.is_none() && (seconds >= 1.0 || self.line_throttle.borrow_mut().passes()));
        if !worth_a_line {
            return;
        }
        let tally = self.tally.get();
        let done = tally.finished + tally.failed;
        let of = match self.announced.get() {
            Some(count) => format!("/{count}"),
            None => String::new(),
        };
        let outcome = match failure {
            None => show_seconds(seconds),
            Some(failure) => format!("failed: {failure}"),
        };
        self.voice.say(&format!("[{done}{of}] {name}: {outcome}"));
    }
}
