//! Budgets: how much may be used in a period before calls are refused. Sums are in the store, so that a restart forgives nothing.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use plane::transaction::Abort;
use plane::{ApiError, Key, Plane, Record, Scope};
use serde::{Deserialize, Serialize};
use store::Table;

use super::float;
use super::ledger::UsageCount;
use crate::upstream::settings::{BudgetPeriod, BudgetSettings, fits};

const ATTEMPTS: u32 = 8;

/// The sum of one budget in one period.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Spent {
    tokens: u64,
    cost_usd: f64,
}

impl Record for Spent {
    const TABLE: Table = Table("bedrock-budget");
    const SCOPE: Scope = Scope::Home;
}

#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    /// In the store, as of the last look.
    stored: Spent,
    /// Not there yet.
    pending: Spent,
    /// Of calls under way, by their estimate.
    reserved_tokens: u64,
    reserved_usd: f64,
}

/// The budgets and where they stand.
#[derive(Default)]
pub(crate) struct Budgets {
    budgets: Vec<BudgetSettings>,
    /// By budget and period.
    standings: Mutex<HashMap<(usize, String), Standing>>,
}

/// What a call reserved.
#[derive(Debug, Default)]
pub(crate) struct Reserved {
    budgets: Vec<(usize, String)>,
    tokens: u64,
    cost_usd: f64,
}

fn key(name: &str, period: &str) -> Key {
    Key::shared().then(name).last(period)
}

fn period(budget: &BudgetSettings, day: &str) -> String {
    match budget.period {
        BudgetPeriod::Day => day.to_owned(),
        BudgetPeriod::Month => day.get(..7).unwrap_or(day).to_owned(),
    }
}

/// In AWS's words for a quota of tokens a day, and for other quotas.
fn used_up(budget: &BudgetSettings, by_tokens: bool) -> ApiError {
    if by_tokens && budget.period == BudgetPeriod::Day {
        return ApiError::new("ThrottlingException", "Too many tokens per day, please wait before trying again.").with_status(429);
    }
    let message = format!("Your request exceeds the service quota for your account. The budget `{}` is used up.", budget.name);
    ApiError::new("ServiceQuotaExceededException", message).with_status(400)
}

impl Budgets {
    pub(crate) fn new(budgets: Vec<BudgetSettings>) -> Self {
        Self { budgets, standings: Mutex::default() }
    }

    /// Reserves an estimate in every budget that the call falls under, or refuses the call.
    pub(crate) async fn reserve(
        &self,
        plane: &Plane,
        principal: &str,
        model: &str,
        day: &str,
        estimate: UsageCount,
    ) -> Result<Reserved, ApiError> {
        let falls = |budget: &BudgetSettings| fits(&budget.principal, principal) && fits(&budget.model, model);
        let binding: Vec<(usize, String)> =
            self.budgets.iter().enumerate().filter(|(_, budget)| falls(budget)).map(|(at, budget)| (at, period(budget, day))).collect();
        for place in &binding {
            self.load(plane, place).await?;
        }
        let mut standings = self.standings.lock().unwrap_or_else(PoisonError::into_inner);
        for place in &binding {
            let (Some(budget), Some(standing)) = (self.budgets.get(place.0), standings.get(place)) else { continue };
            let tokens = standing.stored.tokens.saturating_add(standing.pending.tokens).saturating_add(standing.reserved_tokens);
            let cost = standing.stored.cost_usd + standing.pending.cost_usd + standing.reserved_usd;
            if budget.tokens.is_some_and(|most| tokens.saturating_add(estimate.tokens()) > most) {
                return Err(used_up(budget, true));
            }
            if budget.cost_usd.is_some_and(|most| cost + estimate.cost_usd > most) {
                return Err(used_up(budget, false));
            }
        }
        for place in &binding {
            if let Some(standing) = standings.get_mut(place) {
                standing.reserved_tokens = standing.reserved_tokens.saturating_add(estimate.tokens());
                standing.reserved_usd += estimate.cost_usd;
            }
        }
        Ok(Reserved { budgets: binding, tokens: estimate.tokens(), cost_usd: estimate.cost_usd })
    }

    async fn load(&self, plane: &Plane, place: &(usize, String)) -> Result<(), ApiError> {
        if self.standings.lock().unwrap_or_else(PoisonError::into_inner).contains_key(place) {
            return Ok(());
        }
        let Some(budget) = self.budgets.get(place.0) else { return Ok(()) };
        let stored = plane.transaction(0).get::<Spent>(&key(&budget.name, &place.1)).await?.unwrap_or_default();
        let mut standings = self.standings.lock().unwrap_or_else(PoisonError::into_inner);
        standings.entry(place.clone()).or_default().stored = stored;
        Ok(())
    }

    /// Ends a call.
    pub(crate) fn settle(&self, reserved: &Reserved, used: &UsageCount) {
        if reserved.budgets.is_empty() {
            return;
        }
        let mut standings = self.standings.lock().unwrap_or_else(PoisonError::into_inner);
        for place in &reserved.budgets {
            if let Some(standing) = standings.get_mut(place) {
                standing.reserved_tokens = standing.reserved_tokens.saturating_sub(reserved.tokens);
                standing.reserved_usd -= reserved.cost_usd;
                standing.pending.tokens = standing.pending.tokens.saturating_add(used.tokens());
                standing.pending.cost_usd += used.cost_usd;
            }
        }
    }

    /// Adds what is pending to the store, and learns what other nodes added.
    pub(crate) async fn flush(&self, plane: &Plane) -> Result<(), ApiError> {
        let places: Vec<(usize, String)> = self.standings.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect();
        for place in places {
            self.flush_one(plane, &place).await?;
        }
        Ok(())
    }

    async fn flush_one(&self, plane: &Plane, place: &(usize, String)) -> Result<(), ApiError> {
        let Some(budget) = self.budgets.get(place.0) else { return Ok(()) };
        let key = key(&budget.name, &place.1);
        for _ in 0..ATTEMPTS {
            let pending = {
                let standings = self.standings.lock().unwrap_or_else(PoisonError::into_inner);
                standings.get(place).map(|standing| standing.pending).unwrap_or_default()
            };
            let mut tx = plane.transaction(0);
            let mut stored = tx.get::<Spent>(&key).await?.unwrap_or_default();
            stored.tokens = stored.tokens.saturating_add(pending.tokens);
            stored.cost_usd += pending.cost_usd;
            if pending.tokens > 0 || pending.cost_usd > 0.0 {
                tx.put(&key, &stored)?;
                match tx.commit(Vec::new()).await {
                    Ok(()) => {}
                    Err(Abort::Conflict) => continue,
                    Err(Abort::Failed(error)) => return Err(error),
                }
            }
            let mut standings = self.standings.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(standing) = standings.get_mut(place) {
                standing.stored = stored;
                standing.pending.tokens = standing.pending.tokens.saturating_sub(pending.tokens);
                standing.pending.cost_usd -= pending.cost_usd;
            }
            return Ok(());
        }
        Err(ApiError::internal(&"a budget could not be written: other nodes were faster each time"))
    }

    /// Name, period, tokens and dollars of each budget that was used since the start.
    pub(crate) fn standings(&self) -> Vec<(String, String, f64, f64)> {
        let standings = self.standings.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines: Vec<(String, String, f64, f64)> = standings
            .iter()
            .filter_map(|((at, period), standing)| {
                let tokens = standing.stored.tokens.saturating_add(standing.pending.tokens);
                let cost = standing.stored.cost_usd + standing.pending.cost_usd;
                Some((self.budgets.get(*at)?.name.clone(), period.clone(), float(tokens), cost))
            })
            .collect();
        lines.sort_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
        lines
    }
}
