//! Runs every experiment that judges a claim, and writes their verdicts to `docs/claims.md`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ravine_experiments::claims::main()
}
