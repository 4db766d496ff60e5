use std::fs::read_to_string;
use std::time::Instant;

/// Linux counts processor time for user space in hundredths of a second on every processor that Burn runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor time that everybody but this process uses.
#[derive(Clone, Copy, Debug)]
pub struct ForeignWork {
    since: Instant,
    before: Option<f64>,
}

impl ForeignWork {
    /// Starts to count.
    pub fn start() -> Self {
        Self {
            since: Instant::now(),
            before: seconds_of_others(),
        }
    }

    /// Cores that others have used since the start, on average; none where the system does not say (it needs `/proc`).
    pub fn cores(self) -> Option<f64> {
        let used = seconds_of_others()? - self.before?;
        let elapsed = self.since.elapsed().as_secs_f64();
        Some((used / elapsed).max(0.0))
    }
}

fn seconds_of_others() -> Option<f64> {
    let all = busy_ticks(&read_to_string("/proc/stat").ok()?)?;
    let own = own_ticks(&read_to_string("/proc/self/stat").ok()?)?;
    Some((all - own) / TICKS_PER_SECOND)
}

/// Ticks of the whole machine that were neither idle nor waiting: the first line, from `user` to `steal`.
fn busy_ticks(stat: &str) -> Option<f64> {
    let ticks: Vec<f64> = stat
        .lines()
        .next()?
        .split_whitespace()
        .skip(1)
        .take(8)
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    let idle = ticks.get(3)? + ticks.get(4)?;
    Some(ticks.iter().sum::<f64>() - idle)
}

/// Ticks of this process: the 14th and 15th field, counted behind the name in parentheses, which may hold spaces.
fn own_ticks(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_is_all_but_idle_and_waiting() {
        let stat = "cpu  10 1 5 1000 50 2 3 4 7 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(busy_ticks(stat), Some(25.0));
    }

    #[test]
    fn own_ticks_are_found_behind_any_name() {
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 120 30 0 0 20";
        assert_eq!(own_ticks(stat), Some(150.0));
    }
}
