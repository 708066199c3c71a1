//! Sample queries: a small fixed collection of ours, found by words; and `GenerateQuery`, which fills one of them in.
//!
//! There is no language model behind `GenerateQuery` here: a prompt is held against the words of the samples, and one that fits none is
//! refused with `GenerateResponseException`.

use api_cloudtrail::{
    GenerateQueryInput, GenerateQueryOutput, SearchSampleQueriesInput, SearchSampleQueriesOutput, SearchSampleQueriesSearchResult,
};
use plane::{ApiError, Call};

use super::error::LakeError;
use super::event_data_store;

const PAGE_LENGTH: usize = 20;
/// What stands for the id of the store in a sample.
const STORE: &str = "$EDS_ID";

/// A sample: name, description, words that find it beside those, SQL.
struct Sample {
    name: &'static str,
    description: &'static str,
    words: &'static str,
    sql: &'static str,
}

const SAMPLES: &[Sample] = &[
    Sample {
        name: "Denied calls by principal",
        description: "Who was refused, by which service, how often.",
        words: "access denied unauthorized refused forbidden errors",
        sql: "SELECT userIdentity.arn, eventSource, eventName, COUNT(*) AS refusals FROM $EDS_ID WHERE errorCode IN ('AccessDenied', 'AccessDeniedException', 'UnauthorizedOperation') GROUP BY userIdentity.arn, eventSource, eventName ORDER BY refusals DESC LIMIT 100",
    },
    Sample {
        name: "Model invocations by principal",
        description: "Who called which foundation model, how often.",
        words: "bedrock invoke model converse foundation ai generative usage",
        sql: "SELECT userIdentity.arn, element_at(requestParameters, 'modelId') AS modelId, COUNT(*) AS calls FROM $EDS_ID WHERE eventSource = 'bedrock.amazonaws.com' AND eventName IN ('InvokeModel', 'InvokeModelWithResponseStream', 'Converse', 'ConverseStream') GROUP BY userIdentity.arn, element_at(requestParameters, 'modelId') ORDER BY calls DESC LIMIT 100",
    },
    Sample {
        name: "Activity of the root user",
        description: "Calls made with root credentials.",
        words: "root user account credentials",
        sql: "SELECT eventTime, eventSource, eventName, sourceIPAddress FROM $EDS_ID WHERE userIdentity.type = 'Root' ORDER BY eventTime DESC LIMIT 100",
    },
    Sample {
        name: "Changes of identities and policies",
        description: "Write events of IAM.",
        words: "iam user role policy permission change create attach",
        sql: "SELECT eventTime, userIdentity.arn, eventName, requestParameters FROM $EDS_ID WHERE eventSource = 'iam.amazonaws.com' AND readOnly = false ORDER BY eventTime DESC LIMIT 100",
    },
    Sample {
        name: "Changes of trails and event data stores",
        description: "Write events of CloudTrail itself.",
        words: "cloudtrail stop logging delete trail tamper configuration",
        sql: "SELECT eventTime, userIdentity.arn, eventName, requestParameters FROM $EDS_ID WHERE eventSource = 'cloudtrail.amazonaws.com' AND readOnly = false ORDER BY eventTime DESC LIMIT 100",
    },
    Sample {
        name: "Uses of encryption keys",
        description: "Calls of KMS by key and principal.",
        words: "kms key decrypt encrypt encryption cryptographic",
        sql: "SELECT element_at(requestParameters, 'keyId') AS keyId, userIdentity.arn, eventName, COUNT(*) AS calls FROM $EDS_ID WHERE eventSource = 'kms.amazonaws.com' GROUP BY element_at(requestParameters, 'keyId'), userIdentity.arn, eventName ORDER BY calls DESC LIMIT 100",
    },
    Sample {
        name: "Most frequent errors",
        description: "Error codes by service and operation.",
        words: "top errors failures failed error",
        sql: "SELECT eventSource, eventName, errorCode, COUNT(*) AS failures FROM $EDS_ID WHERE errorCode IS NOT NULL GROUP BY eventSource, eventName, errorCode ORDER BY failures DESC LIMIT 100",
    },
    Sample {
        name: "Most frequent calls by service",
        description: "Operations by number of calls.",
        words: "top actions calls services operations count usage summary",
        sql: "SELECT eventSource, eventName, COUNT(*) AS calls FROM $EDS_ID GROUP BY eventSource, eventName ORDER BY calls DESC LIMIT 100",
    },
    Sample {
        name: "Calls by source address",
        description: "Addresses by number of calls.",
        words: "source ip address network origin",
        sql: "SELECT sourceIPAddress, COUNT(*) AS calls FROM $EDS_ID GROUP BY sourceIPAddress ORDER BY calls DESC LIMIT 100",
    },
    Sample {
        name: "Calls by hour",
        description: "Number of calls in each hour.",
        words: "time hour day trend rate",
        sql: "SELECT date_trunc('hour', eventTime) AS hour, COUNT(*) AS calls FROM $EDS_ID GROUP BY date_trunc('hour', eventTime) ORDER BY hour",
    },
    Sample {
        name: "Cross-account calls",
        description: "Calls whose caller is of another account than the recipient.",
        words: "cross account shared external third party",
        sql: "SELECT userIdentity.accountId, recipientAccountId, eventSource, eventName, COUNT(*) AS calls FROM $EDS_ID WHERE userIdentity.accountId <> recipientAccountId GROUP BY userIdentity.accountId, recipientAccountId, eventSource, eventName ORDER BY calls DESC LIMIT 100",
    },
    Sample {
        name: "Outdated TLS versions",
        description: "Calls with TLS below 1.3.",
        words: "tls version outdated protocol cipher",
        sql: "SELECT eventSource, tlsDetails.tlsVersion, sourceIPAddress, COUNT(*) AS calls FROM $EDS_ID WHERE tlsDetails.tlsVersion LIKE 'TLSv%' AND CAST(REPLACE(tlsDetails.tlsVersion, 'TLSv', '') AS DOUBLE) < 1.3 GROUP BY eventSource, tlsDetails.tlsVersion, sourceIPAddress ORDER BY calls DESC LIMIT 100",
    },
];

fn words(text: &str) -> Vec<String> {
    let letters = text.split(|letter: char| !letter.is_ascii_alphanumeric()).map(str::to_ascii_lowercase);
    letters.filter(|word| word.len() > 2).map(|word| word.strip_suffix('s').map_or(word.clone(), str::to_owned)).collect()
}

/// Samples that share words with the text, with how much of it they share; the best first.
fn search(text: &str) -> Vec<(&'static Sample, f64)> {
    let wanted = words(text);
    let mut found: Vec<(&Sample, f64)> = SAMPLES
        .iter()
        .filter_map(|sample| {
            let has = words(&format!("{} {} {}", sample.name, sample.description, sample.words));
            let shared = wanted.iter().filter(|word| has.contains(word)).count();
            let share =
                u32::try_from(shared).map(f64::from).unwrap_or_default() / u32::try_from(wanted.len().max(1)).map_or(1.0, f64::from);
            (shared > 0).then_some((sample, share))
        })
        .collect();
    found.sort_by(|left, right| right.1.total_cmp(&left.1));
    found
}

pub(crate) async fn search_sample_queries(cx: &mut Call, input: SearchSampleQueriesInput) -> Result<SearchSampleQueriesOutput, ApiError> {
    let found: Vec<(usize, (&Sample, f64))> = search(&input.search_phrase).into_iter().enumerate().collect();
    let limit = input.max_results.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_LENGTH);
    let place = |item: &(usize, (&Sample, f64))| format!("{:04}", item.0);
    let page = cx.page(found, place, &input.search_phrase, input.next_token.as_deref(), limit).map_err(crate::of_page)?;
    let shown = page.items.into_iter().map(|(_, (sample, relevance))| SearchSampleQueriesSearchResult {
        name: Some(sample.name.to_owned()),
        description: Some(sample.description.to_owned()),
        sql: Some(sample.sql.to_owned()),
        relevance: Some(relevance),
    });
    Ok(SearchSampleQueriesOutput { search_results: Some(shown.collect()), next_token: page.next })
}

pub(crate) async fn generate_query(cx: &mut Call, input: GenerateQueryInput) -> Result<GenerateQueryOutput, ApiError> {
    let [reference] = input.event_data_stores.as_slice() else {
        return Err(LakeError::Parameter("One event data store must be given.".to_owned()).into());
    };
    let store = event_data_store::find_shared_active(cx, reference).await?;
    if store.schema() != ::lake::Schema::CloudTrail {
        return Err(LakeError::Parameter("Queries are made for event data stores of CloudTrail events.".to_owned()).into());
    }
    let (sample, _) = search(&input.prompt).into_iter().next().ok_or(LakeError::Prompt)?;
    Ok(GenerateQueryOutput {
        query_statement: Some(sample.sql.replace(STORE, &store.id)),
        query_alias: None,
        event_data_store_owner_account_id: Some(store.account),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const ID: &str = "0a1b2c3d-0000-4000-8000-0123456789ab";

    #[test]
    fn every_sample_is_a_query() {
        let stores = HashMap::from([(ID.to_owned(), ::lake::Schema::CloudTrail)]);
        for sample in SAMPLES {
            let plan = ::lake::plan(&sample.sql.replace(STORE, ID), &[], &stores, 0);
            assert!(plan.is_ok(), "{}: {plan:?}", sample.name);
        }
    }

    #[test]
    fn words_find_samples() {
        assert_eq!(search("who was denied access?").first().map(|(sample, _)| sample.name), Some("Denied calls by principal"));
        assert_eq!(
            search("which models were invoked on bedrock").first().map(|(sample, _)| sample.name),
            Some("Model invocations by principal")
        );
        assert!(search("zebra").is_empty());
    }
}
