use std::ops::ControlFlow;

/// What an observer of a long computation sees, now and then.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Operator applications so far.
    pub applications: usize,
    /// Most applications that the computation will need, where that is known.
    pub most: Option<usize>,
    /// How far it has come: the largest residual of the wanted eigenpairs relative to its tolerance's scale, the relative residual of a
    /// solve, the relative standard error of an estimate; `None` while there is none.
    pub measure: Option<f64>,
}

/// Called now and then by long computations; [`ControlFlow::Break`] stops them with what is there.
pub type Observer<'a> = dyn FnMut(&Progress) -> ControlFlow<()> + 'a;

/// The observer that lets everything run to its end.
pub fn unobserved(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}
