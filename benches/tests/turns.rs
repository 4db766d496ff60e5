//! Turns of a comparison with a stand-in for the peers' rig: rows of both sides, and failures that stay visible.
#![cfg(unix)]

use ravine_benches::comparison::{Line, Rig, Statistic, Timed, report};
use std::path::Path;

/// Answers as the rig does; the method `broken` ends without a row, `explained` with a row for all operations and a log.
const STAND_IN: &str = r#"
while [ $# -gt 1 ]; do
    case "$1" in
        --out) out=$2 ;;
        --method) method=$2 ;;
        --workload) workload=$2 ;;
    esac
    shift
done
test "$method" != broken || exit 3
what='"op":"hvp","median_s":1.0,"min_s":0.5,"clean":true'
if [ "$method" = explained ]; then
    what='"op":"*","error":"exit status 1"'
    printf 'Traceback\nNo module named jax\n' > "$out.log"
fi
echo "{\"workload\":\"$workload\",\"method\":\"$method\",$what}" > "$out"
"#;

fn rig(script: &Path) -> Rig {
    Rig {
        ours: env!("CARGO_BIN_EXE_peers").into(),
        python: "sh".into(),
        script: script.into(),
        operations: vec!["hvp".into(), "trace100_vmap".into()],
        threads: 1,
        dtype: "f32".into(),
        budget: 0.0,
        wait: 0.0,
    }
}

#[test]
fn each_turn_gives_rows_or_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("rig.sh");
    std::fs::write(&script, STAND_IN).unwrap();
    let peers = ["fine", "broken", "explained"].map(String::from);
    let mut lines = Vec::new();
    for timed in Timed::turns("logreg_illcond", &peers) {
        let rows = rig(&script).time("logreg_illcond", &timed).unwrap();
        assert!(!rows.is_empty(), "{timed:?}");
        lines.extend(rows.into_iter().map(|row| Line::Row(Box::new(row))));
    }
    let text = report(&lines, Statistic::Min);
    assert!(text.contains("| `fine` | 500.0 ms |"), "{text}");
    assert!(
        text.contains("`broken` logreg_illcond `*` failed: the rig ended with exit status: 3"),
        "{text}"
    );
    assert!(
        text.contains("failed: exit status 1: No module named jax"),
        "{text}"
    );
    let method = |line: &Line| match line {
        Line::Row(row) => row.method.clone(),
        Line::Provenance { .. } => unreachable!("only rows were collected"),
    };
    let methods: Vec<String> = lines.iter().map(method).collect();
    assert_eq!(
        methods,
        [
            "ravine",
            "ravine",
            "ravine_tape",
            "fine",
            "broken",
            "explained"
        ]
    );
}
