//! One entry: begun with the call, ended with its outcome, masked before it is kept.

use std::sync::{Arc, Mutex, PoisonError};

use plane::{ApiError, Call};
use sensitive::{Kind, KindSet};
use serde_json::{Map, Value as Json, json};

use super::{InvocationLog, LoggingConfiguration, Waiting, configuration_key};
use crate::runtime::exchange::Tokens;

/// Types that are masked, and how sure the engine must be. Names and addresses are left: too much of ordinary text looks like them, and a
/// log without them could not be read.
const MASKED: [Kind; 22] = [
    Kind::AwsAccessKey,
    Kind::AwsSecretKey,
    Kind::CaHealthNumber,
    Kind::CaSocialInsuranceNumber,
    Kind::CardCvv,
    Kind::CardExpiry,
    Kind::CardNumber,
    Kind::DriverId,
    Kind::Email,
    Kind::Iban,
    Kind::IpAddress,
    Kind::MacAddress,
    Kind::Password,
    Kind::Phone,
    Kind::Pin,
    Kind::UkNationalHealthServiceNumber,
    Kind::UkNationalInsuranceNumber,
    Kind::UkUniqueTaxpayerReferenceNumber,
    Kind::UsBankAccountNumber,
    Kind::UsIndividualTaxIdentificationNumber,
    Kind::UsPassportNumber,
    Kind::UsSocialSecurityNumber,
];
const CONFIDENCE: f32 = 0.5;

/// What a guardrail replaced in a prompt: the original, and what stands there now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replaced(Arc<Mutex<Vec<(String, String)>>>);

impl PartialEq for Replaced {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Replaced {
    pub(crate) fn note(&self, original: &str, masked: &str) {
        if original != masked && !original.is_empty() {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push((original.to_owned(), masked.to_owned()));
        }
    }

    fn apply(&self, text: &str) -> String {
        let replaced = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        replaced.iter().fold(text.to_owned(), |text, (original, masked)| text.replace(original.as_str(), masked))
    }
}

/// An entry that is being made.
pub(crate) struct Draft {
    waiting: Waiting,
    configuration: LoggingConfiguration,
    pub(crate) replaced: Replaced,
}

/// What a call says of itself for its entry.
pub(crate) struct Facts<'a> {
    pub(crate) model_id: &'a str,
    pub(crate) request_metadata: Option<Json>,
    pub(crate) is_embedding: bool,
}

impl Draft {
    /// Begins the entry of a call; `None` when its account logs nothing. `input` makes the body, with images or without.
    pub(crate) async fn of_call(cx: &mut Call, facts: Facts<'_>, input: impl FnOnce(bool) -> Json) -> Result<Option<Self>, ApiError> {
        let key = configuration_key(&cx.account, &cx.region);
        let Some(configuration) = cx.tx.get::<LoggingConfiguration>(&key).await? else { return Ok(None) };
        let wanted = if facts.is_embedding { configuration.embeddings } else { configuration.text };
        let mut entry = Map::new();
        for (name, value) in [
            ("timestamp", json!(plane::clock::iso8601_s(cx.now.0))),
            ("accountId", json!(cx.account)),
            ("identity", json!({ "arn": cx.principal.arn })),
            ("region", json!(cx.region)),
            ("requestId", json!(cx.request_id)),
            ("operation", json!(cx.operation.name)),
            ("modelId", json!(facts.model_id)),
        ] {
            entry.insert(name.to_owned(), value);
        }
        let mut subject = None;
        if let Some(mut metadata) = facts.request_metadata {
            let named = crate::runtime::state(cx)?.data_subject_key.clone();
            if let Some(member) = named.as_deref().and_then(|name| metadata.get_mut(name)) {
                subject = member.as_str().map(str::to_owned);
                *member = json!("{DATA_SUBJECT}");
            }
            entry.insert("requestMetadata".to_owned(), metadata);
        }
        let mut part = json!({ "inputContentType": "application/json" });
        if let (true, Some(part)) = (wanted, part.as_object_mut()) {
            part.insert("inputBodyJson".to_owned(), input(configuration.images));
        }
        entry.insert("input".to_owned(), part);
        let waiting = Waiting {
            account: cx.account.clone(),
            region: cx.region.clone(),
            request_id: cx.request_id.clone(),
            time_ms: cx.now.0,
            subject,
            entry,
            in_bucket: false,
            in_log_group: false,
            bytes: 0,
        };
        Ok(Some(Self { waiting, configuration, replaced: Replaced::default() }))
    }

    /// Ends the entry and hands it over for delivery.
    pub(crate) fn end(mut self, log: &InvocationLog, outcome: Result<(Tokens, Json), &ApiError>, is_embedding: bool) {
        let wanted = if is_embedding { self.configuration.embeddings } else { self.configuration.text };
        let entry = &mut self.waiting.entry;
        match outcome {
            Ok((tokens, output)) => {
                if let Some(input) = entry.get_mut("input").and_then(Json::as_object_mut) {
                    input.insert("inputTokenCount".to_owned(), json!(tokens.input));
                }
                let mut part = json!({ "outputContentType": "application/json", "outputTokenCount": tokens.output });
                if let (true, Some(part)) = (wanted, part.as_object_mut()) {
                    part.insert("outputBodyJson".to_owned(), output);
                }
                entry.insert("output".to_owned(), part);
            }
            Err(error) => drop(entry.insert("errorCode".to_owned(), json!(error.code))),
        }
        entry.insert("schemaType".to_owned(), json!("ModelInvocationLog"));
        entry.insert("schemaVersion".to_owned(), json!("1.0"));
        let kinds = MASKED.into_iter().fold(KindSet::EMPTY, KindSet::with);
        for name in ["input", "output", "requestMetadata"] {
            if let Some(part) = entry.get_mut(name) {
                mask(part, &self.replaced, kinds);
            }
        }
        self.waiting.bytes = entry.values().map(size).sum();
        log.push(self.waiting);
    }
}

fn size(json: &Json) -> usize {
    match json {
        Json::String(text) => text.len(),
        Json::Array(items) => items.iter().map(size).sum(),
        Json::Object(members) => members.iter().map(|(name, value)| name.len() + size(value)).sum(),
        _ => 8,
    }
}

/// Masks every text of a value in place.
fn mask(json: &mut Json, replaced: &Replaced, kinds: KindSet) {
    match json {
        Json::String(text) => *text = masked(&replaced.apply(text), kinds),
        Json::Array(items) => items.iter_mut().for_each(|item| mask(item, replaced, kinds)),
        Json::Object(members) => members.values_mut().for_each(|value| mask(value, replaced, kinds)),
        _ => {}
    }
}

fn masked(text: &str, kinds: KindSet) -> String {
    // What cannot be looked through is not kept.
    let Ok(findings) = sensitive::find(text, kinds) else { return "{TOO_LONG_TO_MASK}".to_owned() };
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    let mut findings: Vec<_> = findings.into_iter().filter(|finding| finding.validated || finding.confidence >= CONFIDENCE).collect();
    findings.sort_by_key(|finding| finding.start);
    for finding in findings {
        let Some(before) = text.get(at..finding.start) else { continue };
        out.push_str(before);
        out.push_str(&format!("{{{}}}", finding.kind.name()));
        at = finding.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_masked_wherever_they_are() {
        let replaced = Replaced::default();
        replaced.note("my plan", "{plan}");
        let kinds = MASKED.into_iter().fold(KindSet::EMPTY, KindSet::with);
        let mut body = json!({ "messages": [{ "content": [{ "text": "my plan: mail jane.doe@example.com" }] }], "maxTokens": 5 });
        mask(&mut body, &replaced, kinds);
        assert_eq!(body, json!({ "messages": [{ "content": [{ "text": "{plan}: mail {EMAIL}" }] }], "maxTokens": 5 }));
        assert_eq!(masked("card 4111 1111 1111 1111", kinds), "card {CREDIT_DEBIT_CARD_NUMBER}");
    }
}
