use super::*;
use crate::operator::LinearMap;
use crate::{DatasetJacobian, LsmrOptions, lsmr};
use std::cell::Cell;

fn rows_of(block: Tensor<2>) -> Mat<f64> {
    let [rows, columns] = block.dims();
    let numbers = to_f64(&block.reshape([rows * columns]));
    Mat::from_fn(rows, columns, |i, j| numbers[i * columns + j])
}

fn identity(size: usize) -> Tensor<2> {
    Tensor::<2>::eye(size, &device()).cast(DType::F64)
}

/// J, row by row, from Jᵀ.
fn jacobian_of(jacobian: &DatasetJacobian<'_>) -> Mat<f64> {
    let rows = identity(jacobian.rows());
    rows_of(jacobian.apply_transposed_block(&rows).unwrap())
}

#[test]
fn the_jacobian_has_the_outputs_of_all_batches_one_behind_the_other() {
    for_each_dataset(|data, point| {
        let jacobian = data.jacobian().unwrap();
        let n = point.dim();
        assert_eq!((jacobian.rows(), jacobian.columns()), (22, n));
        let of_one = point.jacobian().unwrap();
        let expected = rows_of(of_one.apply_transposed_block(&identity(22)).unwrap());
        assert_same(&jacobian_of(&jacobian), &expected);
        let columns = rows_of(jacobian.apply_block(&identity(n)).unwrap());
        assert_same(&columns, &expected.transpose().to_owned());

        let v = numbers([n], 0.7).cast(DType::F64);
        let expected = to_f64(&of_one.apply(&v).unwrap());
        assert_same_vector(&jacobian.apply(&v).unwrap(), &expected);
        let u = numbers([22], 0.8).cast(DType::F64);
        let expected = to_f64(&of_one.apply_transposed(&u).unwrap());
        assert_same_vector(&jacobian.apply_transposed(&u).unwrap(), &expected);

        let none = |width| Tensor::<2>::zeros([0, width], (&device(), DType::F64));
        assert_eq!(jacobian.apply_block(&none(n)).unwrap().dims(), [0, 22]);
        let transposed = jacobian.apply_transposed_block(&none(22)).unwrap();
        assert_eq!(transposed.dims(), [0, n]);
        assert!(matches!(
            jacobian.apply(&u),
            Err(CurvatureError::Dimension { .. })
        ));
        assert!(matches!(
            jacobian.apply_transposed(&v),
            Err(CurvatureError::Dimension { .. })
        ));
    });
}

/// min ‖J d − r‖² + λ² ‖d‖² has Jᵀ(r − J d) = λ² d.
#[test]
fn least_squares_take_the_jacobian_of_a_dataset() {
    let data = kept(Reduction::Mean);
    let jacobian = data.jacobian().unwrap();
    let r = numbers([22], 0.9).cast(DType::F64);
    let options = LsmrOptions {
        damping: 0.1,
        normal_tolerance: 1e-13,
        residual_tolerance: 1e-13,
        ..Default::default()
    };
    let d = lsmr(&jacobian, &r, &options).unwrap().solution;
    let left = r - jacobian.apply(&d).unwrap();
    let gradient = jacobian.apply_transposed(&left).unwrap();
    assert_same_vector(&gradient, &to_f64(&d.mul_scalar(0.01)));
}

#[test]
fn outputs_are_counted_once_and_move_along() {
    let (objective, model, loads) = (objective(Reduction::Mean), net(), Cell::new(0));
    let load = |index: usize| {
        loads.set(loads.get() + 1);
        Ok::<_, std::io::Error>(batches()[index].clone())
    };
    let data = objective.streamed(&model, 3, load).unwrap();
    assert_eq!(loads.get(), 3);
    data.jacobian().unwrap();
    assert_eq!(loads.get(), 6);
    data.jacobian().unwrap();
    assert_eq!(loads.get(), 6);
    let theta = data.theta().clone().mul_scalar(0.5);
    let there = objective.at_theta(&model, &theta, &whole()).unwrap();
    let moved = data.move_to(theta).unwrap();
    let expected = there.jacobian().unwrap();
    let expected = rows_of(expected.apply_transposed_block(&identity(22)).unwrap());
    assert_same(&jacobian_of(&moved.jacobian().unwrap()), &expected);
}

#[test]
fn a_batch_that_changes_and_a_loss_without_outputs_are_refused() {
    let (changing, model, loads) = (objective(Reduction::Mean), net(), Cell::new(0));
    let load = |index: usize| {
        loads.set(loads.get() + 1);
        let later = usize::from(loads.get() > 6);
        Ok::<_, std::io::Error>(batches()[(index + later) % 3].clone())
    };
    let data = changing.streamed(&model, 3, load).unwrap();
    let jacobian = data.jacobian().unwrap();
    let v = Tensor::<1>::zeros([data.layout().dim()], (&device(), DType::F64));
    let error = jacobian.apply(&v).unwrap_err();
    assert!(
        matches!(
            error,
            CurvatureError::Dimension {
                expected: 10,
                found: 4,
                ..
            }
        ),
        "{error}"
    );
    let loss_only = Objective::of_loss(|model: &Net, (x, y): &Pair| {
        loss(model.forward(x.clone()), y, Reduction::Mean)
    });
    let data = loss_only.over(&model, &batches(), Memory::Kept).unwrap();
    assert!(matches!(data.jacobian(), Err(CurvatureError::NoOutputs)));
    let factors = data.kfac_factors(&KfacOptions::default());
    assert!(matches!(factors, Err(CurvatureError::NoOutputs)));
    let diagonal = data.gauss_newton_diagonal();
    assert!(matches!(diagonal, Err(CurvatureError::NoOutputs)));
}
