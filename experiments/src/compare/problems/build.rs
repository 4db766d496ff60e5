//! From the description of a problem to the problem.

use anyhow::ensure;
use burn::prelude::*;
use burn::tensor::DType;
use rand::{Rng, RngExt};
use ravine_curvature::{Objective, Precision, Seed, vector};
use ravine_model::datasets::{
    BreastCancer, CharacterBatch, Characters, Dataset, Digits, LabelledBatch, LabelledImages,
    Standardisation, Table, TargetBatch,
};
use ravine_model::losses::{binary_cross_entropy_with_logits, cross_entropy, mse};
use ravine_model::models::{
    Autoencoder, AutoencoderConfig, DeepLinear, DeepLinearConfig, Initialisation,
    LogisticRegression, LogisticRegressionConfig, Mlp, MlpConfig, Padding, SmallCnn,
    SmallCnnConfig,
};
use ravine_model::problems::{
    Problem as _, Quadratic, QuadraticConfig, Rosenbrock, RosenbrockConfig,
};

use super::assembled::{Analytic, Assembled};
use super::models::{CharacterLstm, RowTransformer};
use super::{Model, Problem, Ready};

/// The split into training and validation data is the same for all seeds.
const SPLIT_SEED: u64 = 0;

/// Builds a problem on a device and records its loss.
///
/// # Errors
///
/// When the model cannot be built or recorded, or a batch is larger than the data.
pub fn build(problem: &Problem, device: &Device) -> anyhow::Result<Box<dyn Ready>> {
    let batch = problem.batch;
    Ok(match &problem.model {
        Model::Quadratic {
            dim,
            condition_number,
        } => Box::new(quadratic(*dim, *condition_number, device)?),
        Model::Rosenbrock { dim } => Box::new(rosenbrock(*dim, device)?),
        Model::BreastCancer { features, penalty } => {
            Box::new(breast_cancer(*features, *penalty, batch, device)?)
        }
        Model::DeepLinear {
            widths,
            condition_number,
            examples,
        } => {
            let data = teacher(widths, *condition_number, *examples)?;
            Box::new(deep_linear(widths.clone(), data, batch, device)?)
        }
        Model::DigitsMlp {
            hidden,
            activation,
            examples,
        } => {
            let (hidden, activation) = (hidden.clone(), *activation);
            let on = device.clone();
            let initial = move |seed| {
                let gain = activation.gain();
                let config = MlpConfig::new(64, hidden.clone(), 10)
                    .with_activation(activation)
                    .with_initialisation(Initialisation::KaimingNormal { gain })
                    .with_seed(seed);
                Ok(config.init(&on)?)
            };
            let objective = classifier(|model: &Mlp, x| model.forward(x));
            let data = digits(*examples, Standardisation::Centred)?;
            Box::new(Assembled::new(objective, initial, data, batch, device)?)
        }
        Model::DigitsCnn {
            channels,
            activation,
            examples,
        } => {
            let (channels, activation) = (channels.clone(), *activation);
            let on = device.clone();
            let initial = move |seed| {
                let gain = activation.gain();
                let config = SmallCnnConfig::new([1, 8, 8], 10)
                    .with_channels(channels.clone())
                    .with_padding(Padding::Same)
                    .with_activation(activation)
                    .with_initialisation(Initialisation::KaimingNormal { gain })
                    .with_seed(seed);
                Ok(config.init(&on)?)
            };
            let objective = classifier(|model: &SmallCnn, x| model.forward_flat(x));
            let data = digits(*examples, Standardisation::Centred)?;
            Box::new(Assembled::new(objective, initial, data, batch, device)?)
        }
        Model::DigitsAutoencoder { encoder, examples } => {
            let (encoder, on) = (encoder.clone(), device.clone());
            let initial = move |seed| {
                let config = AutoencoderConfig::new(64, encoder.clone())
                    .with_initialisation(Initialisation::XavierNormal { gain: 1.0 })
                    .with_seed(seed);
                Ok(config.init(&on)?)
            };
            let objective = Objective::new(
                |model: &Autoencoder, (x, _): &LabelledBatch<2>| model.logits(x.clone()),
                |logits, (x, _)| binary_cross_entropy_with_logits(logits, x.clone()),
            );
            let data = digits(*examples, Standardisation::UnitInterval)?;
            Box::new(Assembled::new(objective, initial, data, batch, device)?)
        }
        Model::CharacterLstm {
            hidden,
            length,
            stride,
        } => {
            let text = Characters::carroll(*length, *stride)?;
            let (vocabulary, hidden) = (text.vocabulary().len(), *hidden);
            let on = device.clone();
            let initial = move |seed| CharacterLstm::new(vocabulary, hidden, seed, &on);
            let objective = Objective::new(
                |model: &CharacterLstm, (x, _): &CharacterBatch| model.forward(x.clone()),
                |logits: Tensor<3>, (_, next)| {
                    let [examples, length, vocabulary] = logits.dims();
                    let logits = logits.reshape([examples * length, vocabulary]);
                    cross_entropy(logits, next.clone().reshape([examples * length]))
                },
            );
            let data = text.split_at_end(0.2)?;
            Box::new(Assembled::new(objective, initial, data, batch, device)?)
        }
        Model::Transformer {
            width,
            heads,
            feed_forward,
            examples,
        } => {
            ensure!(
                *heads > 0 && width % heads == 0,
                "transformer: width = {width} must be a multiple of heads = {heads}"
            );
            let sizes = (*width, *heads, *feed_forward);
            let on = device.clone();
            let initial = move |seed| RowTransformer::new(sizes, seed, &on);
            let objective = classifier(|model: &RowTransformer, x| model.forward(x));
            let data = digits(*examples, Standardisation::Centred)?;
            Box::new(Assembled::new(objective, initial, data, batch, device)?)
        }
    })
}

/// Mean cross entropy of logits.
fn classifier<M: burn::module::Module>(
    logits: impl Fn(&M, Tensor<2>) -> Tensor<2> + Send + Sync + 'static,
) -> Objective<M, LabelledBatch<2>> {
    Objective::new(
        move |model: &M, (x, _): &LabelledBatch<2>| logits(model, x.clone()),
        |logits, (_, labels)| cross_entropy(logits, labels.clone()),
    )
}

/// So many digits for training and the others for validation, scaled by the former.
fn digits(
    examples: usize,
    scale: Standardisation,
) -> anyhow::Result<(LabelledImages, LabelledImages)> {
    let all = Digits::load();
    ensure!(
        examples > 0 && examples < all.len(),
        "examples = {examples} must be below the {} digits that there are",
        all.len()
    );
    let fraction = 1.0 - examples as f64 / all.len() as f64;
    let (train, validation) = all.split(fraction, SPLIT_SEED)?;
    let train = train.standardised(scale);
    let validation = validation.scaled_like(&train)?;
    Ok((train, validation))
}

fn breast_cancer(
    features: Standardisation,
    penalty: f64,
    batch: Option<usize>,
    device: &Device,
) -> anyhow::Result<Assembled<LogisticRegression, Table>> {
    let (train, validation) = BreastCancer::load().split(0.2, SPLIT_SEED)?;
    let train = train.standardised(features);
    let validation = validation.scaled_like(&train)?;
    let on = device.clone();
    let initial = move |seed| {
        let config = LogisticRegressionConfig::new(30, 1)
            .with_initialisation(Initialisation::Normal { std: 1e-3 })
            .with_seed(seed);
        Ok(config.init(&on)?)
    };
    // The penalty rides along as further outputs, so that the Gauss-Newton matrix holds it.
    let objective = Objective::new(
        |model: &LogisticRegression, (x, _): &TargetBatch| {
            let logits = model.forward(x.clone());
            let mut columns = vec![logits, model.linear.weight.val()];
            if let Some(bias) = &model.linear.bias {
                columns.push(bias.val().unsqueeze_dim(1));
            }
            Tensor::cat(columns, 0)
        },
        move |outputs: Tensor<2>, (_, y)| {
            let [all, _] = outputs.dims();
            let [examples, _] = y.dims();
            let logits = outputs.clone().slice([0..examples, 0..1]);
            let parameters = outputs.slice([examples..all, 0..1]);
            let size = (parameters.clone() * parameters).sum();
            binary_cross_entropy_with_logits(logits, y.clone()) + size * (0.5 * penalty)
        },
    )
    .precision(Precision::F64);
    Assembled::new(objective, initial, (train, validation), batch, device)
}

fn deep_linear(
    widths: Vec<usize>,
    data: (Pairs, Pairs),
    batch: Option<usize>,
    device: &Device,
) -> anyhow::Result<Assembled<DeepLinear, Pairs>> {
    let on = device.clone();
    let initial = move |seed| {
        Ok(DeepLinearConfig::new(widths.clone())
            .with_seed(seed)
            .init(&on)?)
    };
    let objective = Objective::new(
        |model: &DeepLinear, (x, _): &TargetBatch| model.forward(x.clone()),
        |outputs, (_, y)| mse(outputs, y.clone()),
    );
    Assembled::new(objective, initial, data, batch, device)
}

/// Inputs and targets, row by row.
pub(super) struct Pairs {
    inputs: Vec<f64>,
    targets: Vec<f64>,
    columns: usize,
}

impl Dataset for Pairs {
    type Batch = TargetBatch;

    fn len(&self) -> usize {
        self.inputs.len() / self.columns
    }

    fn gather(&self, rows: &[usize], options: &burn::tensor::TensorCreationOptions) -> TargetBatch {
        let tensor = |values: &[f64]| {
            let columns = self.columns;
            let picked = rows
                .iter()
                .flat_map(|row| values[row * columns..(row + 1) * columns].iter().copied());
            let data = TensorData::new(picked.collect::<Vec<f64>>(), [rows.len(), columns]);
            Tensor::from_data(data, options.clone())
        };
        (tensor(&self.inputs), tensor(&self.targets))
    }
}

/// Normal inputs x and targets A x with a symmetric A of a condition number, for training and validation.
fn teacher(
    widths: &[usize],
    condition_number: f64,
    examples: usize,
) -> anyhow::Result<(Pairs, Pairs)> {
    let dim = *widths.first().unwrap_or(&0);
    ensure!(
        widths.len() > 1 && widths.last() == Some(&dim),
        "deep-linear: the first and the last of widths = {widths:?} must be equal"
    );
    ensure!(
        examples > 3,
        "deep-linear: examples = {examples} must be at least 4"
    );
    let quadratic = QuadraticConfig::new(dim, condition_number)
        .with_seed(SPLIT_SEED)
        .init((&Device::flex(), DType::F64))?;
    let matrix: Vec<f64> = quadratic.matrix().into_data().iter::<f64>().collect();
    let pairs = |count: usize, purpose: &str| {
        let mut rng = Seed::new(SPLIT_SEED).stream(purpose).rng();
        let inputs = vector::standard_normal(count * dim, &mut rng);
        let targets = inputs.chunks(dim).flat_map(|x| {
            let rows = matrix.chunks(dim);
            rows.map(move |row| row.iter().zip(x).map(|(a, b)| a * b).sum::<f64>())
        });
        Pairs {
            targets: targets.collect(),
            inputs: inputs.clone(),
            columns: dim,
        }
    };
    Ok((pairs(examples, "train"), pairs(examples / 4, "validation")))
}

fn quadratic(dim: usize, condition_number: f64, device: &Device) -> anyhow::Result<Analytic> {
    let model = QuadraticConfig::new(dim, condition_number)
        .with_seed(SPLIT_SEED)
        .init((device, DType::F64))?;
    let basis: Vec<f64> = model.eigenvectors().into_data().iter::<f64>().collect();
    let objective = Objective::of_loss(|model: &Quadratic, (): &()| model.loss());
    let objective = objective.precision(Precision::F64);
    let train = objective.at(&model, &())?;
    let start = move |seed| {
        let mut rng = Seed::new(seed).stream("start").rng();
        let mut start = vec![0.0; dim];
        for eigenvector in basis.chunks(dim) {
            let sign = if rng.random::<bool>() { 1.0 } else { -1.0 };
            start
                .iter_mut()
                .zip(eigenvector)
                .for_each(|(x, q)| *x += sign * q);
        }
        start
    };
    Ok(Analytic {
        train,
        start: Box::new(start),
    })
}

fn rosenbrock(dim: usize, device: &Device) -> anyhow::Result<Analytic> {
    let model = RosenbrockConfig::new(dim).init((device, DType::F64))?;
    let usual = model.start().to_vec();
    let objective = Objective::of_loss(|model: &Rosenbrock, (): &()| model.loss());
    let objective = objective.precision(Precision::F64);
    let train = objective.at(&model, &())?;
    let start = move |seed| noisy(&usual, &mut Seed::new(seed).stream("start").rng());
    Ok(Analytic {
        train,
        start: Box::new(start),
    })
}

fn noisy<R: Rng>(values: &[f64], rng: &mut R) -> Vec<f64> {
    let noise = vector::standard_normal(values.len(), rng);
    values.iter().zip(noise).map(|(x, z)| x + 0.1 * z).collect()
}
