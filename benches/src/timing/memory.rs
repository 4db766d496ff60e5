use std::fs::{read_to_string, write};

/// Forgets the most memory that the process has used; false where the system has no such thing.
pub fn reset_peak() -> bool {
    write("/proc/self/clear_refs", "5").is_ok()
}

/// The most memory that the process has used since, in MiB.
pub fn peak_mib() -> Option<f64> {
    status_mib("VmHWM:")
}

/// The memory that the process uses, in MiB.
pub fn resident_mib() -> Option<f64> {
    status_mib("VmRSS:")
}

/// The load of the machine in the last minute.
pub fn load_average() -> Option<f64> {
    let text = read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().next()?.parse().ok()
}

fn status_mib(field: &str) -> Option<f64> {
    let text = read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024.0)
}
