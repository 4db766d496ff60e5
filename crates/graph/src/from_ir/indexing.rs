//! Indexing along several dimensions, the largest elements, and the cross product, from simpler operations.

use super::Importer;
use crate::error::GraphError;
use crate::graph::{Node, ValueId};
use crate::op::{Binary, Kind, Op, Reduce};
use burn::tensor::{IndexingUpdateOp, Slice, TensorData};
use burn_ir::{CrossOpIr, GatherNdOpIr, ReduceDimOpIr, ScatterNdOpIr, TopKWithIndicesOpIr};

impl Importer {
    /// The rows of the flattened tensor that the last dimension of the indices points at.
    pub(super) fn gather_nd(&mut self, o: &GatherNdOpIr) -> Result<(), GraphError> {
        let (data, indices) = (self.get(&o.data)?, self.get(&o.indices)?);
        let rows = Rows::new(&self.shape(data), &self.shape(indices));
        let kind = self.graph.values[data].kind;
        let places = self.row_numbers(indices, &rows);
        let flat = self.reshape(data, [rows.count, rows.width]);
        let shape = [rows.picked, rows.width];
        let picked = self
            .graph
            .push(Op::Select { dim: 0 }, [flat, places], kind, shape);
        let out = self.reshape(picked, o.out.shape.clone());
        self.set(&o.out, out);
        Ok(())
    }

    pub(super) fn scatter_nd(&mut self, o: &ScatterNdOpIr) -> Result<(), GraphError> {
        if o.reduction != IndexingUpdateOp::Add {
            return Err(self.unsupported(
                "scatter_nd",
                std::slice::from_ref(&o.data),
                "it has a lowering for sums only",
            ));
        }
        let (data, indices) = (self.get(&o.data)?, self.get(&o.indices)?);
        let values = self.get(&o.values)?;
        let rows = Rows::new(&self.shape(data), &self.shape(indices));
        let kind = self.graph.values[data].kind;
        let places = self.row_numbers(indices, &rows);
        let flat = self.reshape(data, [rows.count, rows.width]);
        let values = self.reshape(values, [rows.picked, rows.width]);
        let op = Op::SelectAssign {
            dim: 0,
            update: o.reduction,
        };
        let shape = [rows.count, rows.width];
        let sum = self.graph.push(op, [flat, places, values], kind, shape);
        let out = self.reshape(sum, o.out.shape.clone());
        self.set(&o.out, out);
        Ok(())
    }

    /// Σ indexⱼ strideⱼ over the last dimension of the indices.
    fn row_numbers(&mut self, indices: ValueId, rows: &Rows) -> ValueId {
        let depth = rows.strides.len();
        let table = self.reshape(indices, [rows.picked, depth]);
        let strides = self.constant(TensorData::new(rows.strides.clone(), [1, depth]));
        let op = Op::Binary(Binary::Mul);
        let scaled = self
            .graph
            .push(op, [table, strides], Kind::Int, [rows.picked, depth]);
        let op = Op::ReduceDim(Reduce::Sum, 1);
        let sum = self.graph.push(op, [scaled], Kind::Int, [rows.picked, 1]);
        self.reshape(sum, [rows.picked])
    }

    pub(super) fn top_k(&mut self, o: &ReduceDimOpIr) -> Result<(), GraphError> {
        let x = self.get(&o.input)?;
        let (values, _) = self.largest(x, o.axis, o.out.shape[o.axis]);
        self.set(&o.out, values);
        Ok(())
    }

    pub(super) fn arg_top_k(&mut self, o: &ReduceDimOpIr) -> Result<(), GraphError> {
        let x = self.get(&o.input)?;
        let (_, indices) = self.largest(x, o.axis, o.out.shape[o.axis]);
        self.set(&o.out, indices);
        Ok(())
    }

    pub(super) fn top_k_with_indices(&mut self, o: &TopKWithIndicesOpIr) -> Result<(), GraphError> {
        let x = self.get(&o.tensor)?;
        let (values, indices) = self.largest(x, o.dim, o.k);
        self.set(&o.out, values);
        self.set(&o.out_indices, indices);
        Ok(())
    }

    /// The `count` largest elements along `dim` and their places: the beginning of a descending sort.
    fn largest(&mut self, x: ValueId, dim: usize, count: usize) -> (ValueId, ValueId) {
        let (kind, shape) = (self.graph.values[x].kind, self.shape(x));
        let values = self.graph.value(kind, shape.clone());
        let indices = self.graph.value(Kind::Int, shape);
        self.graph.nodes.push(Node {
            op: Op::SortWithIndices {
                dim,
                descending: true,
            },
            inputs: vec![x],
            outputs: vec![values, indices],
        });
        (
            self.part(values, dim, 0, count),
            self.part(indices, dim, 0, count),
        )
    }

    /// `count` elements along `dim` from `start` on.
    pub(super) fn part(&mut self, x: ValueId, dim: usize, start: usize, count: usize) -> ValueId {
        let mut shape = self.shape(x);
        let ranges = shape.iter().enumerate().map(|(axis, &length)| {
            let (start, end) = match axis == dim {
                true => (start, start + count),
                false => (0, length),
            };
            Slice::new(start as isize, Some(end as isize), 1)
        });
        let op = Op::Slice(ranges.collect());
        shape[dim] = count;
        let kind = self.graph.values[x].kind;
        self.graph.push(op, [x], kind, shape)
    }

    /// (a₁b₂ − a₂b₁, a₂b₀ − a₀b₂, a₀b₁ − a₁b₀) along a dimension of length three.
    pub(super) fn cross(&mut self, o: &CrossOpIr) -> Result<(), GraphError> {
        let (a, b) = (self.get(&o.lhs)?, self.get(&o.rhs)?);
        let a = [0, 1, 2].map(|place| self.part(a, o.dim, place, 1));
        let b = [0, 1, 2].map(|place| self.part(b, o.dim, place, 1));
        let parts = [(1, 2), (2, 0), (0, 1)].map(|(i, j)| {
            let (plus, minus) = (self.mul(a[i], b[j]), self.mul(a[j], b[i]));
            self.sub(plus, minus)
        });
        let op = Op::Cat { dim: o.dim };
        let out = self.graph.push(op, parts, Kind::Float, o.out.shape.clone());
        self.set(&o.out, out);
        Ok(())
    }
}

/// A tensor seen as rows, of which multi-dimensional indices pick some.
struct Rows {
    count: usize,
    width: usize,
    picked: usize,
    /// How many rows a step along each indexed dimension skips.
    strides: Vec<i64>,
}

impl Rows {
    fn new(data: &[usize], indices: &[usize]) -> Self {
        let depth = indices.last().copied().unwrap_or(0);
        let strides = (0..depth)
            .map(|dim| data[dim + 1..depth].iter().product::<usize>() as i64)
            .collect();
        Self {
            count: data[..depth].iter().product(),
            width: data[depth..].iter().product(),
            picked: indices[..indices.len() - 1].iter().product(),
            strides,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexed_dimensions_become_rows() {
        let rows = Rows::new(&[4, 3, 5], &[7, 2]);
        assert_eq!(
            (rows.count, rows.width, rows.picked, rows.strides),
            (12, 5, 7, vec![3, 1])
        );
    }
}
