//! Convolutions: products with their weights, bias apart.

use super::Importer;
use crate::error::GraphError;
use crate::graph::ValueId;
use crate::op::{Kind, Op, Reduce};
use burn_ir::{Conv1dOpIr, Conv1dOptionsIr, Conv1dWeightBackwardOpIr, TensorIr};

impl Importer {
    pub(super) fn conv1d(&mut self, o: &Conv1dOpIr) -> Result<(), GraphError> {
        let (x, weight) = (self.get(&o.x)?, self.get(&o.weight)?);
        let (x, options) = self.without_unread(x, weight, &o.options);
        let op = Op::Conv1d(options);
        let product = self
            .graph
            .push(op, [x, weight], Kind::Float, o.out.shape.clone());
        self.set(&o.out, product);
        self.channel_bias(o.bias.as_ref(), &o.out)
    }

    pub(super) fn conv1d_weight_backward(
        &mut self,
        o: &Conv1dWeightBackwardOpIr,
    ) -> Result<(), GraphError> {
        let (x, weight) = (self.get(&o.x)?, self.get(&o.weight)?);
        let grad = self.get(&o.output_grad)?;
        let (x, options) = self.without_unread(x, weight, &o.options);
        let op = Op::Conv1dWeightBackward(options);
        let out = self
            .graph
            .push(op, [x, weight, grad], Kind::Float, o.out.shape.clone());
        self.set(&o.out, out);
        Ok(())
    }

    /// With a stride, elements at the end may be read by no window. Burn's derivative of a grouped convolution in one dimension takes
    /// them for a longer kernel, whose numbers it writes to wrong places: so they are cut off.
    fn without_unread(
        &mut self,
        x: ValueId,
        weight: ValueId,
        options: &Conv1dOptionsIr,
    ) -> (ValueId, Conv1dOptionsIr) {
        let mut options = options.clone();
        let length = self.shape(x)[2];
        let unread = unread_elements(length, self.shape(weight)[2], &options);
        if options.groups == 1 || unread == 0 {
            return (x, options);
        }
        let padding = &mut options.padding[0].1;
        let of_padding = unread.min(*padding);
        *padding -= of_padding;
        (self.part(x, 2, 0, length + of_padding - unread), options)
    }

    pub(super) fn convolution(
        &mut self,
        op: Op,
        x: &TensorIr,
        weight: &TensorIr,
        bias: Option<&TensorIr>,
        out: &TensorIr,
    ) -> Result<(), GraphError> {
        self.node(op, &[x, weight], &[out])?;
        self.channel_bias(bias, out)
    }

    /// Adds a bias for each channel to a result.
    fn channel_bias(&mut self, bias: Option<&TensorIr>, out: &TensorIr) -> Result<(), GraphError> {
        let Some(bias) = bias else { return Ok(()) };
        let (product, bias) = (self.get(out)?, self.get(bias)?);
        let bias = self.per_channel(bias, product);
        let sum = self.add(product, bias);
        self.set(out, sum);
        Ok(())
    }

    /// Sum over everything but the channel.
    pub(super) fn channel_sum(
        &mut self,
        grad: &TensorIr,
        out: &TensorIr,
    ) -> Result<(), GraphError> {
        let mut x = self.get(grad)?;
        for dim in (0..self.shape(x).len()).filter(|&dim| dim != 1) {
            x = self.reduce_dim(Reduce::Sum, x, dim);
        }
        let value = self.reshape(x, out.shape.clone());
        self.set(out, value);
        Ok(())
    }
}

/// How many elements at the end, padding included, lie behind the last window.
fn unread_elements(length: usize, kernel: usize, options: &Conv1dOptionsIr) -> usize {
    let (begin, end) = options.padding[0];
    let window = options.dilation[0] * (kernel - 1) + 1;
    (begin + length + end - window) % options.stride[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_behind_the_last_window_are_unread() {
        let options = Conv1dOptionsIr {
            stride: [2],
            padding: [(1, 1)],
            dilation: [1],
            groups: 2,
        };
        // windows of three start at −1, 1, 3 and 5 and end at 7 of the padded 8, or at 7 of 9
        assert_eq!(unread_elements(7, 3, &options), 0);
        assert_eq!(unread_elements(8, 3, &options), 1);
    }
}
