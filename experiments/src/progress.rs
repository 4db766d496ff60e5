//! Progress of one long loop.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use crate::voice::{LINE_INTERVAL, Throttle, Voice, show_seconds};

/// How often the message of a bar is made anew.
const MESSAGE_INTERVAL: Duration = Duration::from_millis(100);

/// Shows how far a loop is: a bar on a terminal, a line every few seconds elsewhere, nothing with `-q`.
///
/// It disappears when it is dropped.
#[derive(Debug)]
pub struct Progress {
    voice: Voice,
    label: String,
    total: u64,
    done: Cell<u64>,
    started: Instant,
    bar: Option<ProgressBar>,
    throttle: RefCell<Throttle>,
}

impl Progress {
    pub(crate) fn new(voice: &Voice, label: &str, total: u64) -> Self {
        let bar = voice.bar(label, Some(total));
        let interval = match bar {
            Some(_) => MESSAGE_INTERVAL,
            None => LINE_INTERVAL,
        };
        Self {
            voice: voice.clone(),
            label: label.to_owned(),
            total,
            done: Cell::new(0),
            started: Instant::now(),
            bar,
            throttle: RefCell::new(Throttle::new(interval)),
        }
    }

    /// One more step is done; `message` says how things stand and is made only when it is shown.
    pub fn tick(&self, message: impl FnOnce() -> String) {
        self.done.set(self.done.get() + 1);
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
        if !self.throttle.borrow_mut().passes() {
            return;
        }
        match &self.bar {
            Some(bar) => bar.set_message(message()),
            None => self.voice.say(&self.line(&message())),
        }
    }

    fn line(&self, message: &str) -> String {
        let done = self.done.get();
        let mut line = format!("  {}: {done}/{}", self.label, self.total);
        if done > 0 && done < self.total {
            let seconds = self.started.elapsed().as_secs_f64();
            let left = seconds * (self.total - done) as f64 / done as f64;
            line.push_str(&format!(", {} left", show_seconds(left)));
        }
        if !message.is_empty() {
            line.push_str(&format!(", {message}"));
        }
        line
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_made_only_when_they_are_shown() {
        let progress = Progress::new(&Voice::Quiet, "sgd", 1000);
        for _ in 0..1000 {
            progress.tick(|| panic!("shown before its time"));
        }
        assert_eq!(progress.done.get(), 1000);
    }

    #[test]
    fn a_line_says_how_far_it_is() {
        let progress = Progress::new(&Voice::Lines, "sgd", 4);
        progress.tick(String::new);
        let line = progress.line("loss 0.5");
        assert!(line.starts_with("  sgd: 1/4, "), "{line}");
        assert!(line.ends_with(" left, loss 0.5"), "{line}");
        for _ in 1..4 {
            progress.tick(String::new);
        }
        assert_eq!(progress.line(""), "  sgd: 4/4");
    }
}
