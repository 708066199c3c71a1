//! Loops over floats with the widest instructions that the processor has. A build for any processor of the architecture has only those of the oldest.
//!
//! Nothing is fused or summed in another order: the numbers come out the same on every processor.

use rten_simd::{Isa, SimdOp};

struct Work<F>(F);

impl<T, F: FnOnce() -> T> SimdOp for Work<F> {
    type Output = T;

    #[inline(always)]
    fn eval<I: Isa>(self, _: I) -> T {
        (self.0)()
    }
}

/// Does some work. It is compiled for each width as far as it is inlined: what it calls must be `#[inline(always)]`, and the closure, too.
pub(super) fn wide<T>(work: impl FnOnce() -> T) -> T {
    Work(work).dispatch()
}
