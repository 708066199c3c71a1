//! Whether a call may begin, by what its caller has used and may use, and the count of what it uses.

use std::sync::Arc;

use plane::{ApiError, Call};

use super::State;
use super::exchange::Tokens;
use crate::model::Resolved;
use crate::upstream::chat::ChatRequest;
use crate::usage::budget::Reserved;
use crate::usage::ledger::{UsageCount, UsageKey};
use crate::usage::limit::Taken;

/// A call that has begun. It is settled with what it used, or, when it is dropped before, with nothing.
pub(crate) struct Admission {
    state: Arc<State>,
    usage: UsageKey,
    /// Dollars per million tokens in and out.
    prices: (f64, f64),
    taken: Taken,
    throughput: Option<(Taken, u64)>,
    reserved: Reserved,
    is_settled: bool,
}

/// An estimate of a request's tokens, before anybody has counted: four characters are one.
pub(crate) fn estimate(request: &ChatRequest) -> (u64, u64) {
    let input = u64::try_from(request.characters().div_ceil(4)).unwrap_or(u64::MAX);
    (input, request.max_tokens.and_then(|most| u64::try_from(most).ok()).unwrap_or_default())
}

impl Admission {
    /// Begins a call of an estimated number of tokens in and out.
    pub(crate) async fn of_call(cx: &Call, state: &Arc<State>, resolved: &Resolved, estimate: (u64, u64)) -> Result<Self, ApiError> {
        let now_ms = cx.now.0;
        let principal = cx.principal.arn.clone();
        let tokens = estimate.0.saturating_add(estimate.1);
        let declared = state.gateway.declared(&resolved.model);
        let prices = declared.map(|model| (model.input_price, model.output_price)).unwrap_or_default();
        // Provisioned throughput is paid for: its own rate binds it, and the rates of on-demand calls do not.
        let (taken, throughput) = match &resolved.throughput {
            Some(throughput) => (Taken::default(), Some(state.take_throughput(throughput, tokens, now_ms)?)),
            None => (state.limiter.take(&principal, &resolved.model, tokens, now_ms)?, None),
        };
        let day = plane::clock::iso8601_s(now_ms).get(..10).unwrap_or_default().to_owned();
        let expected = UsageCount::of_call(estimate.0, estimate.1, prices.0, prices.1);
        let session_tags = cx.principal.session.iter().flat_map(|session| session.tags.clone());
        let usage = UsageKey {
            account: cx.account.clone(),
            region: cx.region.clone(),
            day: day.clone(),
            principal: principal.clone(),
            model: resolved.model.clone(),
            tags: resolved.tags.iter().cloned().chain(session_tags).collect(),
        };
        let mut admission =
            Self { state: Arc::clone(state), usage, prices, taken, throughput, reserved: Reserved::default(), is_settled: false };
        // A refusal here drops the admission, which gives back what was taken.
        admission.reserved = state.budgets.reserve(&cx.plane, &principal, &resolved.model, &day, expected).await?;
        Ok(admission)
    }

    /// Ends the call with what it used.
    pub(crate) fn settle(mut self, tokens: Tokens) {
        let count = |number: i32| u64::try_from(number).unwrap_or_default();
        self.end(Some((count(tokens.input), count(tokens.output))));
    }

    fn end(&mut self, used: Option<(u64, u64)>) {
        if std::mem::replace(&mut self.is_settled, true) {
            return;
        }
        let (input, output) = used.unwrap_or_default();
        let count = UsageCount::of_call(input, output, self.prices.0, self.prices.1);
        self.state.limiter.settle(&self.taken, input.saturating_add(output));
        if let Some(throughput) = &self.throughput {
            self.state.settle_throughput(throughput, input.saturating_add(output));
        }
        self.state.budgets.settle(&self.reserved, &count);
        if used.is_some() {
            self.state.ledger.add(self.usage.clone(), count);
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.end(None);
    }
}
