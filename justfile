# Commands of ravine. `just` lists them.

set positional-arguments

default:
    @just --list --unsorted

# Run one experiment: just exp taylor --seeds 0..5 --set steps=200
exp name *options:
    @cargo build --workspace --bin "$1"
    @"./target/debug/$@"

# The experiments with their questions
exps:
    @for file in experiments/src/bin/*.rs; do sed -n '1s|^//! # ||p' "$file"; done

# Start a new experiment from the template: just new my-question
new name:
    @test ! -e "experiments/src/bin/$1.rs" || { echo "experiments/src/bin/$1.rs exists already"; exit 1; }
    @sed "s/NAME/$1/g" experiments/src/template.rs.txt > "experiments/src/bin/$1.rs"
    @echo "wrote experiments/src/bin/$1.rs: edit it, then run: just exp $1"

# All tests
test:
    cargo test --workspace

# Format, lints, documentation: what CI checks beside the tests
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# Everything that CI runs
ci:
    bash .ci/run

# Licences and advisories of the dependencies (needs cargo-deny)
deny:
    cargo deny check
