use crate::{Direction, Heading, OptimError, Oracle, Place};

/// d = −g, the direction of steepest descent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gradient;

impl Direction for Gradient {
    fn name(&self) -> &str {
        "gradient-descent"
    }

    fn heading(&mut self, _: &mut Oracle, place: Place<'_>) -> Result<Heading, OptimError> {
        Ok(Heading::plain(-place.gradient.clone()))
    }
}
