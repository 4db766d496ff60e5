//! How a run speaks while it runs: bars on a terminal, lines elsewhere, nothing when it is asked to be quiet.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// How often lines report progress where there are no bars.
pub(crate) const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Where progress goes. Everything is written to the standard error.
#[derive(Clone, Debug)]
pub(crate) enum Voice {
    Quiet,
    Lines,
    Bars(MultiProgress),
}

impl Voice {
    /// Bars if the standard error is a terminal, lines otherwise.
    pub(crate) fn for_standard_error() -> Self {
        if io::stderr().is_terminal() {
            Self::Bars(MultiProgress::new())
        } else {
            Self::Lines
        }
    }

    /// Prints one line, above the bars.
    pub(crate) fn say(&self, line: &str) {
        match self {
            Self::Quiet => {}
            Self::Lines => eprintln!("{line}"),
            Self::Bars(bars) => bars.suspend(|| eprintln!("{line}")),
        }
    }

    /// A bar of `length` steps; without a length it only counts.
    pub(crate) fn bar(&self, label: &str, length: Option<u64>) -> Option<ProgressBar> {
        let Self::Bars(bars) = self else {
            return None;
        };
        let (bar, template) = match length {
            Some(length) => (
                ProgressBar::new(length),
                "{prefix} {bar:24} {pos}/{len} {eta} left  {wide_msg}",
            ),
            None => (
                ProgressBar::new_spinner(),
                "{prefix} {spinner} {pos} in {elapsed}  {wide_msg}",
            ),
        };
        let style = ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("━╸ ");
        bar.set_style(style);
        bar.set_prefix(label.to_owned());
        Some(bars.add(bar))
    }
}

/// Sends the log to the standard error: warnings, or more with `-v`, or what `RAVINE_LOG` says.
///
/// `RAVINE_LOG` takes the directives of `tracing_subscriber::EnvFilter`, such as `ravine_graph=trace,warn`.
pub(crate) fn start_log(voice: &Voice, verbosity: u8) {
    let level = match (voice, verbosity) {
        (Voice::Quiet, _) => "error",
        (_, 0) => "warn",
        (_, 1) => "info",
        (_, 2) => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env("RAVINE_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    // A second run in one process keeps the first one's log.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(LogWriter(voice.clone()))
        .try_init();
}

struct LogWriter(Voice);

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        LineWriter(&self.0)
    }
}

/// Writes log lines without tearing the bars.
struct LineWriter<'a>(&'a Voice);

impl Write for LineWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let write = || io::stderr().write_all(bytes).map(|()| bytes.len());
        match self.0 {
            Voice::Bars(bars) => bars.suspend(write),
            Voice::Quiet | Voice::Lines => write(),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// At most one event in an interval.
#[derive(Debug)]
pub(crate) struct Throttle {
    interval: Duration,
    last: Instant,
}

impl Throttle {
    /// The first event passes one `interval` from now.
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            interval,
            last: Instant::now(),
        }
    }

    /// Whether enough time has passed since it last said so.
    pub(crate) fn passes(&mut self) -> bool {
        let passes = self.last.elapsed() >= self.interval;
        if passes {
            self.last = Instant::now();
        }
        passes
    }
}

/// `850 ms`, `2.3 s`, `1 min 20 s` or `3 h 5 min`.
pub(crate) fn show_seconds(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match seconds {
        _ if seconds < 0.9995 => format!("{:.0} ms", seconds * 1e3),
        _ if seconds < 59.95 => format!("{seconds:.1} s"),
        _ if whole < 3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_for_people() {
        let cases = [
            (0.0, "0 ms"),
            (0.85, "850 ms"),
            (0.9999, "1.0 s"),
            (59.96, "1 min 0 s"),
            (80.0, "1 min 20 s"),
            (11_100.0, "3 h 5 min"),
        ];
        for (seconds, shown) in cases {
            assert_eq!(show_seconds(seconds), shown);
        }
    }

    #[test]
    fn a_throttle_lets_one_through() {
        let mut never = Throttle::new(Duration::from_secs(3600));
        assert!(!never.passes());
        let mut always = Throttle::new(Duration::ZERO);
        assert!(always.passes() && always.passes());
    }

    /// A malformed template would show itself only on a terminal.
    #[test]
    fn bars_can_be_built() {
        let voice = Voice::Bars(MultiProgress::with_draw_target(
            indicatif::ProgressDrawTarget::hidden(),
        ));
        assert_eq!(voice.bar("a", Some(3)).unwrap().length(), Some(3));
        assert_eq!(voice.bar("a", None).unwrap().length(), None);
        assert!(Voice::Lines.bar("a", Some(3)).is_none());
    }
}
