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

/// Counts the products of a long computation and tells its observer of them, who is not asked again after it has stopped.
pub(crate) struct Watch<'a, 'b> {
    observer: &'a mut Observer<'b>,
    most: usize,
    pub(crate) applications: usize,
    /// Whether the observer stopped while something was left to do.
    pub(crate) stopped: bool,
}

impl<'a, 'b> Watch<'a, 'b> {
    pub(crate) fn new(observer: &'a mut Observer<'b>, most: usize) -> Self {
        Self {
            observer,
            most,
            applications: 0,
            stopped: false,
        }
    }

    /// So many products more are done.
    pub(crate) fn tell(&mut self, products: usize) -> ControlFlow<()> {
        self.reached(self.applications + products, None)
    }

    /// An observer for a part of the computation that counts from zero.
    pub(crate) fn part(&mut self) -> impl FnMut(&Progress) -> ControlFlow<()> {
        let before = self.applications;
        move |progress: &Progress| self.reached(before + progress.applications, progress.measure)
    }

    fn reached(&mut self, applications: usize, measure: Option<f64>) -> ControlFlow<()> {
        self.applications = applications;
        if !self.stopped {
            let progress = Progress {
                applications,
                most: Some(self.most),
                measure,
            };
            self.stopped = (self.observer)(&progress).is_break() && applications < self.most;
        }
        match self.stopped {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}
