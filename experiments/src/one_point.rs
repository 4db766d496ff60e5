//! One point.
