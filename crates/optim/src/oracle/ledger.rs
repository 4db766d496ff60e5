//! What was asked, counted once for an oracle and all operators it gave away.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Cost;

/// Counts that an oracle and the operators it gave away share, in millionths of an evaluation on the whole batch.
#[derive(Debug, Default)]
pub(super) struct Ledger([AtomicU64; 5]);

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Loss,
    Gradient,
    Product,
    GaussNewtonProduct,
    FactorPass,
}

/// Units of a whole evaluation: exact for every part of a batch that anyone takes.
const WHOLE: f64 = 1e6;

impl Ledger {
    /// Counts evaluations on the whole batch.
    pub(super) fn count(&self, kind: Kind, amount: usize) {
        self.count_part(kind, amount, 1.0);
    }

    /// Counts evaluations on a part of the batch, or on more than the batch.
    pub(super) fn count_part(&self, kind: Kind, amount: usize, share: f64) {
        let units = amount as u64 * (WHOLE * share).round() as u64;
        self.0[kind as usize].fetch_add(units, Ordering::Relaxed);
    }

    /// Whole evaluations; one that was begun counts.
    pub(super) fn cost(&self) -> Cost {
        let whole = |kind: Kind| {
            self.0[kind as usize]
                .load(Ordering::Relaxed)
                .div_ceil(WHOLE as u64)
        };
        Cost {
            losses: whole(Kind::Loss),
            gradients: whole(Kind::Gradient),
            products: whole(Kind::Product),
            gauss_newton_products: whole(Kind::GaussNewtonProduct),
            factor_passes: whole(Kind::FactorPass),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_and_what_was_begun_counts() {
        let ledger = Ledger::default();
        ledger.count(Kind::Loss, 3);
        for _ in 0..8 {
            ledger.count_part(Kind::GaussNewtonProduct, 1, 0.25);
        }
        assert_eq!(ledger.cost().gauss_newton_products, 2);
        ledger.count_part(Kind::GaussNewtonProduct, 1, 0.25);
        let cost = ledger.cost();
        assert_eq!((cost.losses, cost.gauss_newton_products), (3, 3));
    }
}
