//! Choosing the next token.

/// Tokens that are looked at when the choice is not the likeliest.
const CANDIDATES: usize = 64;

/// Chooses by temperature and nucleus, from a seed.
pub(crate) struct Sampler {
    temperature: f32,
    top_p: f32,
    state: u64,
}

/// A seed for a prompt, so that the same prompt has the same answer.
pub(crate) fn seed_of(prompt: &[u32]) -> u64 {
    prompt.iter().fold(0xcbf2_9ce4_8422_2325, |hash, token| (hash ^ u64::from(*token)).wrapping_mul(0x0100_0000_01b3))
}

impl Sampler {
    pub(crate) fn new(temperature: f32, top_p: f32, seed: u64) -> Self {
        Self { temperature, top_p, state: seed }
    }

    /// A number from 0 to 1. Source: `SplitMix64`.
    fn random(&mut self) -> f32 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let bits = u16::try_from((mixed ^ (mixed >> 31)) >> 48).unwrap_or_default();
        f32::from(bits) / 65_536.0
    }

    pub(crate) fn choose(&mut self, logits: &[f32]) -> u32 {
        let mut best: Vec<(f32, u32)> = Vec::with_capacity(CANDIDATES + 1);
        let most = if self.temperature > 0.0 { CANDIDATES } else { 1 };
        for (logit, token) in logits.iter().zip(0_u32..) {
            if best.len() == most && best.last().is_some_and(|(least, _)| logit <= least) {
                continue;
            }
            let at = best.partition_point(|(other, _)| other >= logit);
            best.insert(at, (*logit, token));
            best.truncate(most);
        }
        let Some((highest, likeliest)) = best.first().copied() else { return 0 };
        if most == 1 {
            return likeliest;
        }
        let mut weights: Vec<(f32, u32)> =
            best.into_iter().map(|(logit, token)| (((logit - highest) / self.temperature).exp(), token)).collect();
        let total: f32 = weights.iter().map(|(weight, _)| weight).sum();
        let mut kept = 0.0;
        let inside = weights.iter().take_while(|(weight, _)| {
            let before = kept;
            kept += weight / total;
            before < self.top_p
        });
        let inside = inside.count().max(1);
        weights.truncate(inside);
        let mut left = self.random() * weights.iter().map(|(weight, _)| weight).sum::<f32>();
        for (weight, token) in &weights {
            left -= weight;
            if left <= 0.0 {
                return *token;
            }
        }
        likeliest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_follow_likelihood_and_seed() {
        let logits = [0.0, 5.0, 1.0, 4.9];
        assert_eq!(Sampler::new(0.0, 1.0, 1).choose(&logits), 1);
        let draws = |seed| {
            let mut sampler = Sampler::new(1.0, 0.9, seed);
            (0..200).map(|_| sampler.choose(&logits)).collect::<Vec<_>>()
        };
        assert_eq!(draws(7), draws(7));
        let drawn = draws(7);
        assert!(drawn.contains(&1) && drawn.contains(&3) && !drawn.contains(&0));
    }
}
