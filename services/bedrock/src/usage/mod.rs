//! What callers use: limits before a call, counts after it, budgets over both.

pub(crate) mod budget;
pub(crate) mod ledger;
pub(crate) mod limit;

/// A number for arithmetic with prices and rates; beyond four billion a call's own count does not go.
pub(crate) fn float(number: u64) -> f64 {
    match u32::try_from(number) {
        Ok(small) => f64::from(small),
        // Two halves keep what precision a float has.
        Err(_) => {
            f64::from(u32::try_from(number >> 32).unwrap_or(u32::MAX)) * 4_294_967_296.0
                + f64::from(u32::try_from(number & 0xFFFF_FFFF).unwrap_or(u32::MAX))
        }
    }
}
