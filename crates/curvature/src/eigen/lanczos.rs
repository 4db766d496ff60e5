use crate::dense::DenseSymmetric;
use crate::error::CurvatureError;
use crate::operator::LinearOperator;
use crate::seed::Seed;
use crate::vector::{dot, from_f64, norm, standard_normal, to_f64};
use burn::prelude::Tensor;
use faer::Mat;
use serde::{Deserialize, Serialize};

/// Which end of the spectrum is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Which {
    /// The largest eigenvalues.
    #[default]
    LargestAlgebraic,
    /// The smallest (most negative) eigenvalues.
    SmallestAlgebraic,
    /// The largest in absolute value.
    LargestMagnitude,
}

/// How far a Lanczos iteration goes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LanczosOptions {
    /// Number k of eigenpairs.
    pub pairs: usize,
    /// Which end of the spectrum.
    pub which: Which,
    /// A pair is converged when ‖Av − λv‖ ≤ tolerance · max |λ|.
    pub tolerance: f64,
    /// Most operator applications; the vectors of all of them are kept.
    pub max_iterations: usize,
}

impl Default for LanczosOptions {
    fn default() -> Self {
        Self {
            pairs: 10,
            which: Which::LargestAlgebraic,
            tolerance: 1e-4,
            max_iterations: 300,
        }
    }
}

/// An approximate eigenpair with its residual.
#[derive(Clone, Debug)]
pub struct Eigenpair {
    /// The Ritz value λ = vᵀAv.
    pub value: f64,
    /// The Ritz vector, of norm one.
    pub vector: Tensor<1>,
    /// ‖Av − λv‖, computed with a product of its own. Some eigenvalue lies within this distance of λ.
    pub residual: f64,
}

/// How a Lanczos iteration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LanczosEnding {
    /// All pairs have residuals below the tolerance.
    Converged,
    /// The Krylov space became invariant: its Ritz pairs are exact, there may be fewer than asked for.
    InvariantSubspace,
    /// The iterations were spent first.
    MaxIterations,
}

/// The result of [`lanczos_top_k`].
#[derive(Clone, Debug)]
pub struct TopEigenpairs {
    /// The pairs, the most wanted first.
    pub pairs: Vec<Eigenpair>,
    /// How the iteration ended.
    pub ending: LanczosEnding,
    /// Diagonal of the tridiagonal matrix.
    pub alpha: Vec<f64>,
    /// Its off-diagonal.
    pub beta: Vec<f64>,
    /// Operator applications, those for the residuals included.
    pub applications: usize,
}

impl TopEigenpairs {
    /// The Ritz values, the most wanted first.
    pub fn ritz_values(&self) -> Vec<f64> {
        self.pairs.iter().map(|pair| pair.value).collect()
    }
}

/// The k eigenpairs at one end of the spectrum, by Lanczos iteration with full reorthogonalisation from a random start.
///
/// # Cost
///
/// At most `max_iterations` + k operator applications, and as many vectors of memory.
///
/// # Errors
///
/// [`CurvatureError::Argument`] for k = 0 or a tolerance that is not positive, [`CurvatureError::NonFinite`] if a product is not
/// finite, what the operator reports. Not converging is no error: see [`TopEigenpairs::ending`] and the residuals.
///
/// # References
///
/// Golub and Van Loan (2013), Matrix Computations, section 10.1 (iteration), 10.3 (reorthogonalisation, twice is enough).
pub fn lanczos_top_k(
    operator: &dyn LinearOperator,
    options: &LanczosOptions,
    seed: Seed,
) -> Result<TopEigenpairs, CurvatureError> {
    check(options)?;
    let span = tracing::debug_span!("lanczos", dim = operator.dim(), pairs = options.pairs);
    let _entered = span.enter();
    let mut krylov = Krylov::start(operator, seed);
    let most = options.max_iterations.min(operator.dim());
    let ending = loop {
        krylov.extend()?;
        let size = krylov.alpha.len();
        if krylov.is_invariant() {
            break LanczosEnding::InvariantSubspace;
        }
        // the small problem costs O(m³): look now and then
        let look = size >= options.pairs && (size.is_multiple_of(5) || size >= most);
        if look && krylov.converged(options)? {
            break LanczosEnding::Converged;
        }
        if size >= most {
            break LanczosEnding::MaxIterations;
        }
    };
    let pairs = krylov.pairs(options)?;
    let applications = krylov.alpha.len() + pairs.len();
    let mut beta = krylov.beta;
    beta.truncate(krylov.alpha.len() - 1);
    Ok(TopEigenpairs {
        pairs,
        ending,
        alpha: krylov.alpha,
        beta,
        applications,
    })
}

fn check(options: &LanczosOptions) -> Result<(), CurvatureError> {
    let argument = |name, value, requirement| {
        Err(CurvatureError::Argument {
            name,
            value,
            requirement,
        })
    };
    if options.pairs == 0 {
        return argument("pairs", 0.0, "at least one eigenpair must be asked for");
    }
    if options.tolerance.is_nan() || options.tolerance <= 0.0 {
        return argument("tolerance", options.tolerance, "it must be positive");
    }
    if options.max_iterations < options.pairs {
        let value = options.max_iterations as f64;
        return argument(
            "max_iterations",
            value,
            "it must be at least the number of pairs",
        );
    }
    Ok(())
}

/// An orthonormal basis of the Krylov space with its tridiagonal matrix.
struct Krylov<'a> {
    operator: &'a dyn LinearOperator,
    basis: Vec<Tensor<1>>,
    next: Tensor<1>,
    alpha: Vec<f64>,
    /// beta[j] couples vectors j and j + 1.
    beta: Vec<f64>,
}

impl<'a> Krylov<'a> {
    fn start(operator: &'a dyn LinearOperator, seed: Seed) -> Self {
        let mut rng = seed.stream("lanczos").rng();
        let start = standard_normal(operator.dim(), &mut rng);
        let length = start.iter().map(|x| x * x).sum::<f64>().sqrt();
        let unit: Vec<f64> = start.iter().map(|x| x / length).collect();
        Self {
            operator,
            basis: Vec::new(),
            next: from_f64(&unit, &operator.device(), operator.dtype()),
            alpha: Vec::new(),
            beta: Vec::new(),
        }
    }

    fn extend(&mut self) -> Result<(), CurvatureError> {
        let v = self.next.clone();
        let mut w = self.operator.apply(&v)?;
        let alpha = dot(&v, &w);
        if !alpha.is_finite() {
            return Err(CurvatureError::NonFinite {
                what: "vᵀAv in the Lanczos iteration",
                value: alpha,
            });
        }
        self.basis.push(v);
        self.alpha.push(alpha);
        // twice is enough
        for _ in 0..2 {
            w = self.orthogonalised(w);
        }
        let beta = norm(&w);
        self.beta.push(beta);
        self.next = w.div_scalar(beta.max(f64::MIN_POSITIVE));
        Ok(())
    }

    /// w − V Vᵀ w, as two matrix products.
    fn orthogonalised(&self, w: Tensor<1>) -> Tensor<1> {
        let dim = w.dims()[0];
        self.basis.iter().fold(w, |w, v| {
            let overlap = dot(v, &w);
            debug_assert_eq!(v.dims()[0], dim);
            w - v.clone().mul_scalar(overlap)
        })
    }

    /// Nothing but rounding is left of the new direction.
    fn is_invariant(&self) -> bool {
        let scale = self
            .alpha
            .iter()
            .chain(&self.beta)
            .fold(0.0_f64, |m, x| m.max(x.abs()));
        let rounding = match self.operator.dtype() {
            burn::tensor::DType::F64 => 1e-13,
            _ => 1e-6,
        };
        self.beta
            .last()
            .is_some_and(|&beta| beta <= rounding * scale)
            || self.alpha.len() == self.operator.dim()
    }

    /// Ritz values, the most wanted first, with the weights of their vectors in the basis.
    fn ritz(&self, which: Which) -> Result<Vec<(f64, Vec<f64>)>, CurvatureError> {
        let size = self.alpha.len();
        let mut tridiagonal = Mat::zeros(size, size);
        for i in 0..size {
            tridiagonal[(i, i)] = self.alpha[i];
            if i + 1 < size {
                tridiagonal[(i, i + 1)] = self.beta[i];
                tridiagonal[(i + 1, i)] = self.beta[i];
            }
        }
        let eigen = DenseSymmetric::from_matrix(tridiagonal).eigen()?;
        let mut pairs: Vec<(f64, Vec<f64>)> = eigen
            .values()
            .iter()
            .enumerate()
            .map(|(i, &value)| (value, eigen.vectors().col(i).iter().copied().collect()))
            .collect();
        match which {
            Which::LargestAlgebraic => pairs.sort_by(|a, b| b.0.total_cmp(&a.0)),
            Which::SmallestAlgebraic => pairs.sort_by(|a, b| a.0.total_cmp(&b.0)),
            Which::LargestMagnitude => pairs.sort_by(|a, b| b.0.abs().total_cmp(&a.0.abs())),
        }
        Ok(pairs)
    }

    /// |β_m s_m| bounds the residual of a Ritz pair with last weight s_m.
    fn converged(&self, options: &LanczosOptions) -> Result<bool, CurvatureError> {
        let beta = *self.beta.last().expect("extended before");
        let pairs = self.ritz(options.which)?;
        let scale = pairs.iter().fold(0.0_f64, |m, pair| m.max(pair.0.abs()));
        Ok(pairs.iter().take(options.pairs).all(|(_, weights)| {
            let last = weights.last().copied().unwrap_or(1.0);
            (beta * last).abs() <= options.tolerance * scale
        }))
    }

    fn pairs(&self, options: &LanczosOptions) -> Result<Vec<Eigenpair>, CurvatureError> {
        let (device, dtype) = (self.operator.device(), self.operator.dtype());
        let ritz = self.ritz(options.which)?;
        ritz.into_iter()
            .take(options.pairs)
            .map(|(_, weights)| {
                let mut vector = vec![0.0; self.operator.dim()];
                for (weight, v) in weights.iter().zip(&self.basis) {
                    for (sum, x) in vector.iter_mut().zip(to_f64(v)) {
                        *sum += weight * x;
                    }
                }
                let length = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
                vector.iter_mut().for_each(|x| *x /= length);
                let vector = from_f64(&vector, &device, dtype);
                let product = self.operator.apply(&vector)?;
                let value = dot(&vector, &product) / dot(&vector, &vector);
                let residual = norm(&(product - vector.clone().mul_scalar(value)));
                Ok(Eigenpair {
                    value,
                    vector,
                    residual,
                })
            })
            .collect()
    }
}
