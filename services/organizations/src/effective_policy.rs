//! The effective management policy of an account: what root, units and account say, merged from the top down.
//!
//! Source: Organizations User Guide, "Understanding management policy inheritance" and "Inheritance operators". Where two policies of one level
//! assign different values the guide names no order; here the policy with the greater id is applied last.

use std::collections::{BTreeMap, BTreeSet};

use api_organizations::{DescribeEffectivePolicyInput, DescribeEffectivePolicyOutput, EffectivePolicy};
use plane::{ApiError, Call, Transaction};
use serde_json::{Map, Value as Json};

use crate::error::OrganizationError;
use crate::organization::{self, Organization};
use crate::policy;
use crate::policy_type::PolicyKind;

const CHILD_CONTROL: &str = "@@operators_allowed_for_child_policies";
const ALL: &str = "@@all";
const NONE: &str = "@@none";

/// A place in the merged policy.
#[derive(Debug, Default)]
struct Node {
    /// What operators have made of the value: one text, or a list.
    value: Option<Value>,
    /// Operators that lower levels may use here and below; `None`: as further up.
    allowed: Option<BTreeSet<String>>,
    children: BTreeMap<String, Node>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    One(String),
    Many(Vec<String>),
}

impl Value {
    fn of(json: &Json) -> Option<Self> {
        match json {
            Json::String(text) => Some(Self::One(text.clone())),
            Json::Array(items) => Some(Self::Many(items.iter().filter_map(Json::as_str).map(str::to_owned).collect())),
            _ => None,
        }
    }

    fn into_items(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Many(items) => items,
        }
    }

    fn to_json(&self) -> Json {
        match self {
            Self::One(text) => Json::String(text.clone()),
            Self::Many(items) => items.iter().map(|item| Json::String(item.clone())).collect(),
        }
    }
}

impl Node {
    /// Applies one policy. `allowed`: what the levels above permit here.
    fn apply(&mut self, members: &Map<String, Json>, allowed: Option<&BTreeSet<String>>) {
        let allowed = self.allowed.clone().or_else(|| allowed.cloned());
        let permits = |operator: &str| allowed.as_ref().is_none_or(|allowed| allowed.contains(ALL) || allowed.contains(operator));
        for (name, json) in members {
            match (name.as_str(), json) {
                (CHILD_CONTROL, _) => {}
                ("@@assign", json) if permits("@@assign") => self.value = Value::of(json),
                ("@@append", json) if permits("@@append") => self.append(json),
                ("@@remove", json) if permits("@@remove") => self.remove(json),
                (_, Json::Object(inner)) => self.children.entry(name.clone()).or_default().apply(inner, allowed.as_ref()),
                _ => {}
            }
        }
    }

    fn append(&mut self, json: &Json) {
        let mut items = self.value.take().map(Value::into_items).unwrap_or_default();
        for item in Value::of(json).map(Value::into_items).unwrap_or_default() {
            if !items.contains(&item) {
                items.push(item);
            }
        }
        self.value = Some(Value::Many(items));
    }

    fn remove(&mut self, json: &Json) {
        let gone = Value::of(json).map(Value::into_items).unwrap_or_default();
        if let Some(value) = self.value.take() {
            self.value = Some(Value::Many(value.into_items().into_iter().filter(|item| !gone.contains(item)).collect()));
        }
    }

    /// Takes over what a policy permits to lower levels. A level cannot permit what a higher one has not.
    fn restrict(&mut self, members: &Map<String, Json>, above: Option<&BTreeSet<String>>) {
        let inherited = self.allowed.clone().or_else(|| above.cloned());
        if let Some(wanted) = members.get(CHILD_CONTROL).and_then(Value::of) {
            let mut wanted: BTreeSet<String> = wanted.into_items().into_iter().filter(|operator| operator != NONE).collect();
            if let Some(inherited) = inherited.as_ref().filter(|inherited| !inherited.contains(ALL)) {
                wanted = if wanted.contains(ALL) { inherited.clone() } else { wanted.intersection(inherited).cloned().collect() };
            }
            self.allowed = Some(wanted);
        }
        let allowed = self.allowed.clone().or(inherited);
        for (name, json) in members {
            if let Json::Object(inner) = json {
                self.children.entry(name.clone()).or_default().restrict(inner, allowed.as_ref());
            }
        }
    }

    fn to_json(&self) -> Option<Json> {
        if let Some(value) = &self.value {
            return Some(value.to_json());
        }
        let members: Map<String, Json> = self.children.iter().filter_map(|(name, node)| Some((name.clone(), node.to_json()?))).collect();
        (!members.is_empty()).then_some(Json::Object(members))
    }
}

/// Merges policies, in levels from the root down.
fn merge(levels: &[Vec<Json>]) -> Option<Json> {
    let mut root = Node::default();
    for level in levels {
        let objects: Vec<&Map<String, Json>> = level.iter().filter_map(Json::as_object).collect();
        for policy in &objects {
            root.apply(policy, None);
        }
        for policy in &objects {
            root.restrict(policy, None);
        }
    }
    root.to_json()
}

/// The effective policy of an account; `None` when nothing is said.
pub(crate) async fn effective(
    tx: &mut Transaction,
    organization: &Organization,
    kind: PolicyKind,
    account: &str,
) -> Result<Option<Json>, ApiError> {
    let mut levels = Vec::new();
    for place in organization.lineage(account) {
        let mut level = Vec::new();
        let ids: Vec<String> = organization.attached(&place).cloned().collect();
        for id in ids {
            let found = policy::find(tx, organization, &id).await?.filter(|policy| policy.kind == kind);
            level.extend(found.and_then(|policy| serde_json::from_str::<Json>(&policy.content).ok()));
        }
        levels.push(level);
    }
    Ok(merge(&levels))
}

pub(crate) async fn describe_effective_policy(
    cx: &mut Call,
    input: DescribeEffectivePolicyInput,
) -> Result<DescribeEffectivePolicyOutput, ApiError> {
    let organization = organization::load(cx).await?;
    let kind = PolicyKind::from_effective(&input.policy_type)?;
    let target = input.target_id.unwrap_or_else(|| cx.account.clone());
    if !organization.accounts.contains_key(&target) {
        return Err(OrganizationError::TargetNotFound.into());
    }
    if !organization.root.enabled.contains(&kind) {
        return Err(OrganizationError::EffectivePolicyNotFound.into());
    }
    let content = effective(&mut cx.tx, &organization, kind, &target).await?.ok_or(OrganizationError::EffectivePolicyNotFound)?;
    Ok(DescribeEffectivePolicyOutput {
        effective_policy: Some(EffectivePolicy {
            policy_content: Some(content.to_string()),
            last_updated_timestamp: Some(cx.now),
            target_id: Some(target),
            policy_type: Some(input.policy_type),
        }),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn operators() {
        let root = json!({ "tags": { "cost": { "tag_key": { "@@assign": "CostCenter" }, "tag_value": { "@@assign": ["100"] } } } });
        let unit = json!({ "tags": { "cost": { "tag_value": { "@@append": ["200", "300"] } } } });
        let account = json!({ "tags": { "cost": { "tag_key": { "@@assign": "costcenter" }, "tag_value": { "@@remove": ["100"] } } } });
        let merged = merge(&[vec![root], vec![unit], vec![account]]).unwrap();
        assert_eq!(merged, json!({ "tags": { "cost": { "tag_key": "costcenter", "tag_value": ["200", "300"] } } }));
        assert_eq!(merge(&[vec![], vec![]]), None);
    }

    #[test]
    fn child_control_binds_lower_levels_only() {
        let root = json!({ "services": { "@@operators_allowed_for_child_policies": ["@@none"],
            "default": { "opt_out_policy": { "@@assign": "optOut" } } } });
        let unit = json!({ "services": { "@@operators_allowed_for_child_policies": ["@@all"],
            "default": { "opt_out_policy": { "@@assign": "optIn" } } } });
        let account = unit.clone();
        let merged = merge(&[vec![root], vec![unit], vec![account]]).unwrap();
        assert_eq!(merged, json!({ "services": { "default": { "opt_out_policy": "optOut" } } }));
    }
}
