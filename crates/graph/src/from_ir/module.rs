//! Linear layers, embeddings, normalisations and attention; where each operation of a layer goes.

use super::Importer;
use super::activation::number;
use crate::error::GraphError;
use crate::graph::ValueId;
use crate::op::{Binary, Kind, Op, Reduce, Unary};
use burn::tensor::{IndexingUpdateOp, TensorData};
use burn_ir::{AttentionOpIr, BatchNormOpIr, LayerNormOpIr, LinearOpIr, ModuleOperationIr};

/// The score of a masked place: finite, so that a row of nothing else has a softmax.
const MASKED: f64 = -1.0e9;

impl Importer {
    pub(super) fn module(&mut self, op: &ModuleOperationIr) -> Result<(), GraphError> {
        use ModuleOperationIr as M;
        match op {
            M::Linear(o) => self.linear(o),
            M::LinearXBackward(o) => {
                let (weight, grad) = (self.get(&o.weight)?, self.get(&o.output_grad)?);
                let transposed = self.swap_dims(weight, 0, 1);
                let rows = self.rows(grad);
                let product = self.matmul(rows, transposed);
                let out = self.reshape(product, o.out.shape.clone());
                self.set(&o.out, out);
                Ok(())
            }
            M::LinearWeightBackward(o) => {
                let (x, grad) = (self.get(&o.x)?, self.get(&o.output_grad)?);
                let (x, grad) = (self.rows(x), self.rows(grad));
                let transposed = self.swap_dims(x, 0, 1);
                let out = self.matmul(transposed, grad);
                self.set(&o.out, out);
                Ok(())
            }
            M::LinearBiasBackward(o) => {
                let grad = self.get(&o.output_grad)?;
                let rows = self.rows(grad);
                let sum = self.reduce_dim(Reduce::Sum, rows, 0);
                let out = self.reshape(sum, o.out.shape.clone());
                self.set(&o.out, out);
                Ok(())
            }
            M::Embedding(o) => {
                let (weights, indices) = (self.get(&o.weights)?, self.get(&o.indices)?);
                let count: usize = self.shape(indices).iter().product();
                let width = self.shape(weights)[1];
                let flat = self.reshape(indices, [count]);
                let op = Op::Select { dim: 0 };
                let rows = self
                    .graph
                    .push(op, [weights, flat], Kind::Float, [count, width]);
                let out = self.reshape(rows, o.out.shape.clone());
                self.set(&o.out, out);
                Ok(())
            }
            M::EmbeddingBackward(o) => {
                let (grad, indices) = (self.get(&o.out_grad)?, self.get(&o.indices)?);
                let rows = self.rows(grad);
                let flat = self.reshape(indices, [self.shape(rows)[0]]);
                let zeros = self.full(o.out.shape.clone(), 0.0);
                let op = Op::SelectAssign {
                    dim: 0,
                    update: IndexingUpdateOp::Add,
                };
                let out =
                    self.graph
                        .push(op, [zeros, flat, rows], Kind::Float, o.out.shape.clone());
                self.set(&o.out, out);
                Ok(())
            }
            M::BatchNorm(o) => self.batch_norm(o),
            M::LayerNorm(o) => self.layer_norm(o),
            M::Attention(o) => self.attention(o),
            M::Conv1d(o) => self.conv1d(o),
            M::Conv2d(o) => self.convolution(
                Op::Conv2d(o.options.clone()),
                &o.x,
                &o.weight,
                o.bias.as_ref(),
                &o.out,
            ),
            M::Conv3d(o) => self.convolution(
                Op::Conv3d(o.options.clone()),
                &o.x,
                &o.weight,
                o.bias.as_ref(),
                &o.out,
            ),
            M::ConvTranspose1d(o) => {
                let op = Op::ConvTranspose1d(o.options.clone());
                self.convolution(op, &o.x, &o.weight, o.bias.as_ref(), &o.out)
            }
            M::ConvTranspose2d(o) => {
                let op = Op::ConvTranspose2d(o.options.clone());
                self.convolution(op, &o.x, &o.weight, o.bias.as_ref(), &o.out)
            }
            M::ConvTranspose3d(o) => {
                let op = Op::ConvTranspose3d(o.options.clone());
                self.convolution(op, &o.x, &o.weight, o.bias.as_ref(), &o.out)
            }
            M::Conv1dXBackward(o) => {
                let op = Op::Conv1dXBackward(o.options.clone());
                self.node(op, &[&o.x, &o.weight, &o.output_grad], &[&o.out])
            }
            M::Conv2dXBackward(o) => {
                let op = Op::Conv2dXBackward(o.options.clone());
                self.node(op, &[&o.x, &o.weight, &o.output_grad], &[&o.out])
            }
            M::Conv3dXBackward(o) => {
                let op = Op::Conv3dXBackward(o.options.clone());
                self.node(op, &[&o.x, &o.weight, &o.output_grad], &[&o.out])
            }
            M::Conv1dWeightBackward(o) => self.conv1d_weight_backward(o),
            M::Conv2dWeightBackward(o) => {
                let op = Op::Conv2dWeightBackward(o.options.clone());
                self.node(op, &[&o.x, &o.weight, &o.output_grad], &[&o.out])
            }
            M::Conv3dWeightBackward(o) => {
                let op = Op::Conv3dWeightBackward(o.options.clone());
                self.node(op, &[&o.x, &o.weight, &o.output_grad], &[&o.out])
            }
            M::ConvTranspose1dWeightBackward(o) => {
                let op = Op::ConvTranspose1dWeightBackward(o.options.clone());
                self.node(op, &[&o.x, &o.weight, &o.output_grad], &[&o.out])
            }
            M::ConvTranspose2dWeightBackward(o) => {
                let op = Op::ConvTranspose2dWeightBackward(o.options.clone());
                self.node(op, &[&o.x, &o.weight, &o.output_grad], &[&o.out])
            }
            M::ConvTranspose3dWeightBackward(o) => {
                let op = Op::ConvTranspose3dWeightBackward(o.options.clone());
                self.node(op, &[&o.x, &o.weight, &o.output_grad], &[&o.out])
            }
            M::Conv1dBiasBackward(o) => self.channel_sum(&o.output_grad, &o.out),
            M::Conv2dBiasBackward(o) => self.channel_sum(&o.output_grad, &o.out),
            M::Conv3dBiasBackward(o) => self.channel_sum(&o.output_grad, &o.out),
            M::ConvTranspose1dBiasBackward(o) => self.channel_sum(&o.output_grad, &o.out),
            M::ConvTranspose2dBiasBackward(o) => self.channel_sum(&o.output_grad, &o.out),
            M::ConvTranspose3dBiasBackward(o) => self.channel_sum(&o.output_grad, &o.out),
            M::DeformableConv2d(o) => Err(self.unsupported(
                "deform_conv2d",
                std::slice::from_ref(&o.x),
                "burn-autodiff has no derivative of its backward",
            )),
            M::Interpolate(o) => self.interpolate(o),
            M::InterpolateBackward(o) => self.interpolate_backward(o),
            M::CtcLoss(o) => Err(self.unsupported(
                "ctc_loss",
                std::slice::from_ref(&o.log_probs),
                "it has no lowering as one operation, as which it is recorded where nothing is trained",
            )),
            other => self.pooling(other),
        }
    }

    /// All leading dimensions as rows.
    fn rows(&mut self, x: ValueId) -> ValueId {
        let shape = self.shape(x);
        let width = shape.last().copied().unwrap_or(1);
        let count: usize = shape.iter().product::<usize>() / width.max(1);
        self.reshape(x, [count, width])
    }

    fn linear(&mut self, o: &LinearOpIr) -> Result<(), GraphError> {
        let (x, weight) = (self.get(&o.x)?, self.get(&o.weight)?);
        let rows = self.rows(x);
        let mut product = self.matmul(rows, weight);
        if let Some(bias) = &o.bias {
            let bias = self.get(bias)?;
            let width = self.shape(bias)[0];
            let row = self.reshape(bias, [1, width]);
            product = self.add(product, row);
        }
        let out = self.reshape(product, o.out.shape.clone());
        self.set(&o.out, out);
        Ok(())
    }

    /// `[c]` as `[1, c, 1, ...]` of the rank of `x`.
    pub(super) fn per_channel(&mut self, vector: ValueId, x: ValueId) -> ValueId {
        let mut shape = vec![1; self.shape(x).len()];
        shape[1] = self.shape(vector)[0];
        self.reshape(vector, shape)
    }

    fn batch_norm(&mut self, o: &BatchNormOpIr) -> Result<(), GraphError> {
        let x = self.get(&o.x)?;
        let [gamma, beta, mean, variance] =
            [&o.gamma, &o.beta, &o.mean, &o.variance].map(|tensor| self.get(tensor));
        let mean = self.per_channel(mean?, x);
        let variance = self.per_channel(variance?, x);
        let gamma = self.per_channel(gamma?, x);
        let beta = self.per_channel(beta?, x);
        let centred = self.sub(x, mean);
        let out = self.normalise(centred, variance, number(o.epsilon), gamma);
        let out = self.add(out, beta);
        self.set(&o.out, out);
        Ok(())
    }

    fn layer_norm(&mut self, o: &LayerNormOpIr) -> Result<(), GraphError> {
        let (x, gamma) = (self.get(&o.input)?, self.get(&o.gamma)?);
        let rank = self.shape(x).len();
        let last = rank - 1;
        let mean = self.reduce_dim(Reduce::Mean, x, last);
        let centred = self.sub(x, mean);
        let square = self.mul(centred, centred);
        let variance = self.reduce_dim(Reduce::Mean, square, last);
        let mut row = vec![1; rank];
        row[last] = self.shape(gamma)[0];
        let gamma = self.reshape(gamma, row.clone());
        let mut out = self.normalise(centred, variance, number(o.epsilon), gamma);
        if let Some(beta) = &o.beta {
            let beta = self.get(beta)?;
            let beta = self.reshape(beta, row);
            out = self.add(out, beta);
        }
        self.set(&o.out, out);
        Ok(())
    }

    /// centred · γ / √(variance + ε).
    fn normalise(
        &mut self,
        centred: ValueId,
        variance: ValueId,
        epsilon: f64,
        gamma: ValueId,
    ) -> ValueId {
        let shifted = self.scalar(Binary::Add, variance, epsilon);
        let deviation = self.unary(Unary::Sqrt, shifted);
        let normal = self.binary(Binary::Div, centred, deviation);
        self.mul(normal, gamma)
    }

    /// softmax(Q Kᵀ · scale, capped, masked, plus bias) V; masked weights are zero, even where all of a row are.
    ///
    /// Autodiff records attention as these operations itself: this form is met where nothing is trained.
    fn attention(&mut self, o: &AttentionOpIr) -> Result<(), GraphError> {
        let (query, key, value) = (self.get(&o.query)?, self.get(&o.key)?, self.get(&o.value)?);
        let rank = self.shape(query).len();
        let scale = match o.options.scale {
            Some(scale) => number(scale),
            None => 1.0 / (self.shape(query)[rank - 1] as f64).sqrt(),
        };
        let transposed = self.swap_dims(key, rank - 2, rank - 1);
        let mut shape = self.shape(query);
        shape[rank - 1] = self.shape(key)[rank - 2];
        let product = self
            .graph
            .push(Op::Matmul, [query, transposed], Kind::Float, shape.clone());
        let mut scores = self.scalar(Binary::Mul, product, scale);
        if let Some(cap) = o.options.softcap.map(number) {
            let scaled = self.scalar(Binary::Div, scores, cap);
            let bounded = self.unary(Unary::Tanh, scaled);
            scores = self.scalar(Binary::Mul, bounded, cap);
        }
        if let Some(bias) = &o.attn_bias {
            let bias = self.get(bias)?;
            scores = self.add(scores, bias);
        }
        let masks = self.attention_masks(o, &shape)?;
        for &mask in &masks {
            scores = self.mask_fill(scores, mask, MASKED);
        }
        let mut weights = self.softmax(scores, rank - 1);
        for &mask in &masks {
            weights = self.mask_fill(weights, mask, 0.0);
        }
        let out = self.graph.push(
            Op::Matmul,
            [weights, value],
            Kind::Float,
            o.out.shape.clone(),
        );
        self.set(&o.out, out);
        Ok(())
    }

    /// The given mask and that of a causal attention, in the shape of the scores.
    fn attention_masks(
        &mut self,
        o: &AttentionOpIr,
        scores: &[usize],
    ) -> Result<Vec<ValueId>, GraphError> {
        let mut masks = Vec::new();
        if let Some(mask) = &o.mask {
            masks.push(self.get(mask)?);
        }
        if o.options.is_causal {
            let [queries, keys] = [scores.len() - 2, scores.len() - 1].map(|dim| scores[dim]);
            // the last query sees all keys
            let future: Vec<bool> = (0..queries * keys)
                .map(|place| place % keys + queries > place / keys + keys)
                .collect();
            let mut shape = vec![1; scores.len() - 2];
            shape.extend([queries, keys]);
            masks.push(self.constant(TensorData::new(future, shape)));
        }
        let expanded = masks.into_iter().map(|mask| {
            self.graph
                .push(Op::Expand, [mask], Kind::Bool, scores.to_vec())
        });
        Ok(expanded.collect())
    }
}
