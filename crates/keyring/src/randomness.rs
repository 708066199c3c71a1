//! Where random bytes come from. Injected, so that a simulation is repeatable.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::hmac;

use crate::KeyringError;

/// A source of random bytes.
pub trait Randomness: Send + Sync {
    fn fill(&self, out: &mut [u8]) -> Result<(), KeyringError>;
}

/// The DRBG of AWS-LC, seeded by the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandomness;

impl Randomness for SystemRandomness {
    fn fill(&self, out: &mut [u8]) -> Result<(), KeyringError> {
        aws_lc_rs::rand::fill(out).map_err(|_| KeyringError::Randomness)
    }
}

/// The same bytes for the same seed, for simulation and committed samples. **Never for real data.**
#[derive(Debug)]
pub struct SeededRandomness {
    key: hmac::Key,
    calls: AtomicU64,
}

impl SeededRandomness {
    pub fn new(seed: u64) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &seed.to_be_bytes()), calls: AtomicU64::new(0) }
    }
}

impl Randomness for SeededRandomness {
    fn fill(&self, out: &mut [u8]) -> Result<(), KeyringError> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        for (block, bytes) in (0u64..).zip(out.chunks_mut(32)) {
            let tag = hmac::sign(&self.key, &[call.to_be_bytes(), block.to_be_bytes()].concat());
            for (byte, random) in bytes.iter_mut().zip(tag.as_ref()) {
                *byte = *random;
            }
        }
        Ok(())
    }
}
