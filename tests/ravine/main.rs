//! Tests that need more than one crate, in one binary: references of other frameworks, conformance of layers, behaviour in bad cases.

mod behaviour;
mod claims;
mod conformance;
mod examples;
mod gauss_newton;
mod kfac;
mod landscape;
mod operators;
mod reference;
mod spectra;
mod support;
mod symmetry;
mod trajectories;
