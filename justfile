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

# Every experiment that judges a claim, and the table docs/claims.md: just claims, just claims --resume, just claims taylor, just claims --smoke
claims *options:
    @cargo build --workspace --bins
    @./target/debug/claims "$@"

# Start a new experiment from the template: just new my-question
new name:
    @test ! -e "experiments/src/bin/$1.rs" || { echo "experiments/src/bin/$1.rs exists already"; exit 1; }
    @sed "s/NAME/$1/g" experiments/src/template.rs.txt > "experiments/src/bin/$1.rs"
    @echo "wrote experiments/src/bin/$1.rs: edit it, then run: just exp $1"

# All tests
test:
    cargo test --workspace

# Benchmarks of gradient and products, or a part of them: just bench blocks, just bench mlp --max-time 5
bench *options:
    @cargo bench --profile dev --workspace --bench products -- "$@"

# Ravine and the peers turn and turn about: just bench-peers mlp_small,cnn_small 3 --quick. PEERS_VENV names an environment to use instead of an own one
bench-peers workloads="peers" rounds="5" *options:
    @test -n "${PEERS_VENV:-}" || just _peers-venv
    @cargo build --workspace --bin peers --bin bench-peers
    @workloads="$1" rounds="$2"; shift 2; ./target/debug/bench-peers run --python "${PEERS_VENV:-.venv-peers}/bin/python" --workloads "$workloads" --rounds "$rounds" "$@"

# The list of packages is copied last, so that an installation that was cut off is done again.
_peers-venv:
    @cmp -s benches/peers/requirements.txt .venv-peers/requirements.txt || { python3 -m venv .venv-peers && .venv-peers/bin/pip install -r benches/peers/requirements.txt && cp benches/peers/requirements.txt .venv-peers/; }

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
