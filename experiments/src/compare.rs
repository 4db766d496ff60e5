//! A fair comparison of methods on a set of problems, told by a configuration alone.
//!
//! | module | holds |
//! |---|---|
//! | [`problems`] | what is minimised: models, data, initial parameters, batches; the table of problems with budgets and targets |
//! | [`methods`] | what minimises: one enum from a description in TOML to a method, with its hyperparameters and their spaces |
//! | [`search`] | spaces of hyperparameters, and quasi-random points in them |
//! | [`record`] | one run: its curve, its target, its end |
//! | [`tuning`] | the same number of trials for every method, widened spaces, the choice, the final runs |
//! | [`measures`] | what the runs say: medians, profiles, expected best of trials, what is separable |
//! | [`statistics`] | the formulas behind |
//! | [`story`] | the report |

pub mod measures;
pub mod methods;
pub mod plan;
pub mod problems;
pub mod record;
pub mod search;
pub mod statistics;
pub mod story;
pub mod tuning;

#[cfg(test)]
mod tests;
