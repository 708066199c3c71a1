//! Time-based one-time passwords of virtual MFA devices: six digits, HMAC-SHA-1, steps of thirty seconds.
//!
//! Source: RFC 6238 and RFC 4226; IAM User Guide, "Assign a virtual MFA device".

use aws_lc_rs::hmac;

/// Seconds of one step.
const STEP_S: i64 = 30;
/// Steps before and after now whose codes are taken: clocks differ.
const WINDOW: i64 = 1;
/// Steps before and after now that are searched when a device is set up or set anew.
const SEARCH: i64 = 20;
/// Six digits.
const MODULUS: u32 = 1_000_000;

/// Number of the step that a time falls into.
pub(crate) fn step(now_ms: i64) -> i64 {
    now_ms.div_euclid(1000 * STEP_S)
}

/// The code of a step.
pub(crate) fn code(secret: &[u8], step: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let bytes = tag.as_ref();
    let offset = usize::from(bytes.last().copied().unwrap_or_default() & 0x0F);
    let four = bytes.get(offset..offset.saturating_add(4)).and_then(|four| <[u8; 4]>::try_from(four).ok()).unwrap_or_default();
    format!("{:06}", (u32::from_be_bytes(four) & 0x7FFF_FFFF) % MODULUS)
}

/// The step of a code that is good now and was not used yet: later than `last_step`. `drift` is by how many steps the device's clock is off.
pub(crate) fn verify(secret: &[u8], given: &str, now_ms: i64, drift: i64, last_step: i64) -> Option<i64> {
    let around = step(now_ms).saturating_add(drift);
    (around.saturating_sub(WINDOW)..=around.saturating_add(WINDOW)).find(|step| *step > last_step && code(secret, *step) == given)
}

/// The step of the second of two codes that follow each other, searched more widely: it tells how far the device's clock is off.
pub(crate) fn synchronize(secret: &[u8], first: &str, second: &str, now_ms: i64, last_step: i64) -> Option<i64> {
    let now = step(now_ms);
    (now.saturating_sub(SEARCH)..=now.saturating_add(SEARCH))
        .find(|step| *step > last_step && code(secret, *step) == second && code(secret, step.saturating_sub(1)) == first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"12345678901234567890";

    #[test]
    fn codes_are_those_of_rfc_6238() {
        // Appendix B, the last six digits.
        for (seconds, expected) in [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924"), (20_000_000_000, "353130")] {
            assert_eq!(code(SECRET, step(seconds * 1000)), expected);
        }
    }

    #[test]
    fn a_code_is_good_once_and_for_a_short_time() {
        let given = code(SECRET, 100);
        let at = |step: i64| step * 30_000;
        assert_eq!(verify(SECRET, &given, at(100), 0, 0), Some(100));
        assert_eq!(verify(SECRET, &given, at(101), 0, 99), Some(100));
        assert_eq!(verify(SECRET, &given, at(102), 0, 0), None);
        assert_eq!(verify(SECRET, &given, at(98), 0, 0), None);
        assert_eq!(verify(SECRET, &given, at(100), 0, 100), None);
        assert_eq!(verify(SECRET, &given, at(110), -10, 0), Some(100));
    }

    #[test]
    fn two_codes_in_order_set_the_clock() {
        let (first, second) = (code(SECRET, 110), code(SECRET, 111));
        assert_eq!(synchronize(SECRET, &first, &second, 100 * 30_000, 0), Some(111));
        assert_eq!(synchronize(SECRET, &second, &first, 100 * 30_000, 0), None);
        assert_eq!(synchronize(SECRET, &first, &second, 200 * 30_000, 0), None);
    }
}
