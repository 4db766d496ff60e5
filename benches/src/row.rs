use serde::{Deserialize, Serialize};

/// One measurement, one line of JSON: the fields of the peers' rig, so that one program reads both.
///
/// A measurement that failed has [`error`](Row::error), one without meaning [`skipped`](Row::skipped), instead of times.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Row {
    /// Round of a comparison, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round: Option<usize>,
    /// The workload's name.
    pub workload: String,
    /// Who computes it, and how.
    pub method: String,
    /// `f32` or `f64`.
    pub dtype: String,
    /// Threads that it may use.
    pub threads: usize,
    /// The formula of parameters and data.
    pub init: String,
    /// The seed of probe vectors.
    pub seed: u64,
    /// Number of parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_params: Option<usize>,
    /// Examples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<usize>,
    /// The operation; `*` for a failure of all.
    pub op: String,
    /// Whether other processes left the machine alone; unknown where the system does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clean: Option<bool>,
    /// Cores that other processes used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub foreign_cpu: Option<f64>,
    /// Repetitions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reps: Option<usize>,
    /// Median of their seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub median_s: Option<f64>,
    /// The shortest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_s: Option<f64>,
    /// The tenth percentile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p10_s: Option<f64>,
    /// The longest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_s: Option<f64>,
    /// Seconds of the first call, which is not among the repetitions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_call_s: Option<f64>,
    /// Seconds before the first call: recording, preparing the point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setup_s: Option<f64>,
    /// Seconds to prepare products at another point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relinearize_s: Option<f64>,
    /// Products of an estimate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matvecs: Option<usize>,
    /// Floating point operations of the matrix products, where they are the bulk of the work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matmul_flops: Option<u64>,
    /// Most memory that the process used during the operation, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_rss_mb: Option<f64>,
    /// Memory before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_before_mb: Option<f64>,
    /// Load of the machine in the last minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loadavg1: Option<f64>,
    /// Figures of the result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum: Option<Checksum>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Why there is nothing to measure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
}

/// Figures of a result, to see that two programs computed the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Checksum {
    /// The loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// ‖∇L‖.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub g_norm: Option<f64>,
    /// The norm of a product or of a diagonal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub norm: Option<f64>,
    /// vᵀAv.
    #[serde(rename = "vAv", skip_serializing_if = "Option::is_none")]
    pub vav: Option<f64>,
    /// The first entries of a product.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first5: Option<Vec<f64>>,
    /// An estimate of the trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<f64>,
    /// The sum of a diagonal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sum: Option<f64>,
    /// The largest eigenvalues.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eigs: Option<Vec<f64>>,
    /// The mass of a spectral density.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mass: Option<f64>,
    /// n times the mean of a spectral density.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_times_n: Option<f64>,
}
