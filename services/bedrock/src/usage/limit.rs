//! Rates and concurrency per principal.
//!
//! A call takes its request and an estimate of its tokens (prompt and `maxTokens`) when it begins; when it ends the estimate is replaced
//! by what it used. So callers at once cannot use together what one could not. Counted in this process: N nodes allow N times as much.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use plane::ApiError;

use super::float;
use crate::upstream::fault::{too_many_requests, too_many_tokens};
use crate::upstream::settings::{LimitSettings, fits};

/// Measures kept before unused ones are dropped.
const MEASURES: usize = 20_000;
const MINUTE_MS: f64 = 60_000.0;

/// A bucket that fills with time.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    level: f64,
    at_ms: i64,
}

impl Bucket {
    fn full(capacity: u64, now_ms: i64) -> Self {
        Self { level: float(capacity), at_ms: now_ms }
    }

    fn fill(&mut self, capacity: u64, now_ms: i64) {
        let passed_ms = u64::try_from(now_ms.saturating_sub(self.at_ms)).unwrap_or_default();
        let capacity = float(capacity);
        self.level = (self.level + capacity * float(passed_ms) / MINUTE_MS).min(capacity);
        self.at_ms = now_ms.max(self.at_ms);
    }
}

#[derive(Clone, Copy, Debug)]
struct Measure {
    requests: Bucket,
    tokens: Bucket,
    under_way: u32,
}

/// The limits, and where each principal stands.
#[derive(Default)]
pub(crate) struct Limiter {
    limits: Vec<LimitSettings>,
    measures: Mutex<HashMap<(usize, String), Measure>>,
}

/// What a call took of the limits that bind it.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    limits: Vec<usize>,
    who: String,
    tokens: u64,
}

impl Limiter {
    pub(crate) fn new(limits: Vec<LimitSettings>) -> Self {
        Self { limits, measures: Mutex::default() }
    }

    /// Takes a call's share, of all limits or of none.
    pub(crate) fn take(&self, principal: &str, model: &str, tokens: u64, now_ms: i64) -> Result<Taken, ApiError> {
        let binds = |limit: &LimitSettings| fits(&limit.principal, principal) && fits(&limit.model, model);
        let binding: Vec<usize> = self.limits.iter().enumerate().filter(|(_, limit)| binds(limit)).map(|(at, _)| at).collect();
        if binding.is_empty() {
            return Ok(Taken::default());
        }
        let mut measures = self.measures.lock().unwrap_or_else(PoisonError::into_inner);
        if measures.len() >= MEASURES {
            measures.retain(|_, measure| measure.under_way > 0 || now_ms - measure.requests.at_ms < 60_000);
        }
        for (at, limit) in binding.iter().filter_map(|at| self.limits.get(*at).map(|limit| (*at, limit))) {
            let measure = measures.entry((at, principal.to_owned())).or_insert_with(|| Measure {
                requests: Bucket::full(limit.requests_per_minute.unwrap_or_default(), now_ms),
                tokens: Bucket::full(limit.tokens_per_minute.unwrap_or_default(), now_ms),
                under_way: 0,
            });
            if limit.concurrency.is_some_and(|most| measure.under_way >= most) {
                return Err(too_many_requests());
            }
            if let Some(rate) = limit.requests_per_minute {
                measure.requests.fill(rate, now_ms);
                if measure.requests.level < 1.0 {
                    return Err(too_many_requests());
                }
            }
            if let Some(rate) = limit.tokens_per_minute {
                measure.tokens.fill(rate, now_ms);
                if measure.tokens.level < float(tokens) {
                    return Err(too_many_tokens());
                }
            }
        }
        for at in &binding {
            if let Some(measure) = measures.get_mut(&(*at, principal.to_owned())) {
                measure.under_way = measure.under_way.saturating_add(1);
                measure.requests.level -= 1.0;
                measure.tokens.level -= float(tokens);
            }
        }
        Ok(Taken { limits: binding, who: principal.to_owned(), tokens })
    }

    /// Ends a call that used so many tokens.
    pub(crate) fn settle(&self, taken: &Taken, used: u64) {
        if taken.limits.is_empty() {
            return;
        }
        let mut measures = self.measures.lock().unwrap_or_else(PoisonError::into_inner);
        for at in &taken.limits {
            if let Some(measure) = measures.get_mut(&(*at, taken.who.clone())) {
                measure.under_way = measure.under_way.saturating_sub(1);
                measure.tokens.level += float(taken.tokens) - float(used);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(requests: Option<u64>, tokens: Option<u64>, concurrency: Option<u32>) -> Limiter {
        Limiter::new(vec![LimitSettings {
            principal: "arn:*".to_owned(),
            model: "*".to_owned(),
            requests_per_minute: requests,
            tokens_per_minute: tokens,
            concurrency,
        }])
    }

    #[test]
    fn requests_come_back_with_time() {
        let limiter = limiter(Some(2), None, None);
        let take = |who: &str, now_ms| limiter.take(who, "m", 5, now_ms).map(|taken| limiter.settle(&taken, 5)).is_ok();
        assert!(take("arn:a", 0) && take("arn:a", 0) && !take("arn:a", 0));
        assert!(take("arn:b", 0), "each principal has a measure of its own");
        assert!(take("other", 0), "and whom the limit does not name has none");
        assert!(!take("arn:a", 29_000) && take("arn:a", 30_000));
    }

    #[test]
    fn tokens_are_taken_by_estimate_and_settled_by_use() {
        let limiter = limiter(None, Some(100), None);
        let first = limiter.take("arn:a", "m", 80, 0).unwrap();
        assert_eq!(limiter.take("arn:a", "m", 30, 0).unwrap_err().message, "Too many tokens, please wait before trying again.");
        limiter.settle(&first, 10);
        let second = limiter.take("arn:a", "m", 90, 0).unwrap();
        limiter.settle(&second, 150);
        assert!(limiter.take("arn:a", "m", 1, 30_000).is_err(), "what was used beyond the estimate is owed");
        assert!(limiter.take("arn:a", "m", 1, 60_000).is_ok());
    }

    #[test]
    fn calls_under_way_are_counted() {
        let limiter = limiter(None, None, Some(1));
        let taken = limiter.take("arn:a", "m", 1, 0).unwrap();
        assert_eq!(limiter.take("arn:a", "m", 1, 0).unwrap_err().code, "ThrottlingException");
        limiter.settle(&taken, 1);
        assert!(limiter.take("arn:a", "m", 1, 0).is_ok());
    }
}
