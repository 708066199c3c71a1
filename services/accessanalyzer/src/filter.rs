//! Criteria that archive rules and lists filter findings by.
//!
//! Source: IAM User Guide, "IAM Access Analyzer filter keys". The values of one operator are ORed (of `neq` NORed), keys are ANDed.

use std::collections::BTreeMap;

use api_accessanalyzer::Criterion;
use serde::{Deserialize, Serialize};

use crate::error::AnalyzerError;
use crate::finding::FindingRecord;

/// A stored criterion.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredCriterion {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    eq: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    neq: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    contains: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exists: Option<bool>,
}

/// Criteria by key.
pub(crate) type Filter = BTreeMap<String, StoredCriterion>;

const KEYS: [&str; 14] = [
    "action",
    "analyzedAt",
    "createdAt",
    "error",
    "findingType",
    "id",
    "isPublic",
    "resource",
    "resourceControlPolicyRestriction",
    "resourceOwnerAccount",
    "resourceType",
    "status",
    "updatedAt",
    "changeType",
];

/// Reads criteria; a key or a criterion that nothing can match is refused.
pub(crate) fn read(filter: BTreeMap<String, Criterion>) -> Result<Filter, AnalyzerError> {
    let mut read = Filter::new();
    for (key, criterion) in filter {
        let known = KEYS.contains(&key.as_str()) || key.starts_with("condition.") || key.starts_with("principal.");
        if !known {
            return Err(AnalyzerError::invalid("filter", format!("The filter key {key} is not valid.")));
        }
        let stored = StoredCriterion { eq: criterion.eq, neq: criterion.neq, contains: criterion.contains, exists: criterion.exists };
        if stored == StoredCriterion::default() {
            return Err(AnalyzerError::invalid("filter", format!("The filter key {key} has no criterion.")));
        }
        read.insert(key, stored);
    }
    Ok(read)
}

pub(crate) fn output(filter: &Filter) -> BTreeMap<String, Criterion> {
    let criterion = |stored: &StoredCriterion| Criterion {
        eq: stored.eq.clone(),
        neq: stored.neq.clone(),
        contains: stored.contains.clone(),
        exists: stored.exists,
    };
    filter.iter().map(|(key, stored)| (key.clone(), criterion(stored))).collect()
}

pub(crate) fn matches(filter: &Filter, finding: &FindingRecord) -> bool {
    filter.iter().all(|(key, criterion)| criterion.matches(&finding.attribute(key)))
}

impl StoredCriterion {
    fn matches(&self, values: &[String]) -> bool {
        let any =
            |wanted: &[String], test: fn(&str, &str) -> bool| values.iter().any(|value| wanted.iter().any(|wanted| test(value, wanted)));
        self.eq.as_deref().is_none_or(|wanted| any(wanted, |value, wanted| value == wanted))
            && self.neq.as_deref().is_none_or(|wanted| !any(wanted, |value, wanted| value == wanted))
            && self.contains.as_deref().is_none_or(|wanted| any(wanted, |value, wanted| value.contains(wanted)))
            && self.exists.is_none_or(|exists| exists != values.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators() {
        let values = ["arn:aws:s3:::a".to_owned()];
        let list = |text: &str| Some(vec![text.to_owned()]);
        for (criterion, expected) in [
            (StoredCriterion { eq: list("arn:aws:s3:::a"), ..StoredCriterion::default() }, true),
            (StoredCriterion { eq: list("a"), ..StoredCriterion::default() }, false),
            (StoredCriterion { neq: list("a"), ..StoredCriterion::default() }, true),
            (StoredCriterion { contains: list("s3"), ..StoredCriterion::default() }, true),
            (StoredCriterion { exists: Some(false), ..StoredCriterion::default() }, false),
        ] {
            assert_eq!(criterion.matches(&values), expected, "{criterion:?}");
        }
        assert!(StoredCriterion { exists: Some(false), ..StoredCriterion::default() }.matches(&[]));
        assert!(read(BTreeMap::from([("nothing".to_owned(), Criterion::default())])).is_err());
    }
}
