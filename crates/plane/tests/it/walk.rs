//! Invariants 1 to 3 for every operation of every service, in every protocol that the service speaks.

use std::collections::{BTreeMap, HashMap};

use facts::{Binding, Operation, Protocol, Service, catalog};

use crate::house::{ACCOUNT, Answer, House, Proof, USER};
use crate::sample;

/// Part of the walk that must reach the decision with our simple inputs, percent. It may only grow.
const DECIDED_PERCENT: usize = 60;

/// Operations of S3 whose requests are those of another: the old form of a configuration, the buckets of another endpoint.
const TWINS: [(&str, &str); 5] = [
    ("GetBucketLifecycle", "GetBucketLifecycleConfiguration"),
    ("GetBucketNotification", "GetBucketNotificationConfiguration"),
    ("ListDirectoryBuckets", "ListBuckets"),
    ("PutBucketLifecycle", "PutBucketLifecycleConfiguration"),
    ("PutBucketNotification", "PutBucketNotificationConfiguration"),
];

type Case = (&'static Service, Protocol, &'static Operation);

pub(crate) fn operations() -> impl Iterator<Item = Case> {
    let services = catalog().heads().iter().map(|head| catalog().service(head.id).expect(head.id));
    services.flat_map(|service| {
        service
            .head
            .protocols
            .iter()
            .flat_map(move |protocol| service.operations.iter().map(move |operation| (service, *protocol, operation)))
    })
}

fn name((service, protocol, operation): Case) -> String {
    format!("{} {} ({protocol:?})", service.head.id, operation.name)
}

/// Calls every operation and gives what it answered.
async fn walk(house: &House, proof: Proof) -> Vec<(Case, Answer)> {
    let mut answers = Vec::new();
    for (service, protocol, operation) in operations() {
        let input = sample::input(service, operation);
        answers.push(((service, protocol, operation), house.call(service, protocol, operation, &input, proof).await));
    }
    answers
}

/// Each call is recorded once, under its own name, as not successful.
async fn assert_recorded(house: &House, answers: &[(Case, Answer)]) {
    let mut recorded: HashMap<String, Vec<trail::Event>> = HashMap::new();
    for entry in house.all_entries().await {
        recorded.entry(entry.record.request_id.clone()).or_default().push(entry.record);
    }
    assert_eq!(recorded.values().map(Vec::len).sum::<usize>(), answers.len(), "events and calls");
    for (case, answer) in answers {
        let events = recorded.get(&answer.request_id).unwrap_or_else(|| panic!("{} left no event", name(*case)));
        let [event] = events.as_slice() else { panic!("{} left {} events", name(*case), events.len()) };
        let is_named = event.event_name == case.2.name || TWINS.contains(&(case.2.name, &event.event_name));
        assert!(is_named, "{} is recorded as {}", name(*case), event.event_name);
        assert_eq!(event.event_source, case.0.head.event_source);
        assert!(event.error_code.is_some(), "{} is recorded as done", name(*case));
    }
}

fn assert_none(problems: &BTreeMap<String, String>, of: usize) {
    assert!(problems.is_empty(), "{} of {of}:\n{problems:#?}", problems.len());
}

fn missing_token(protocol: Protocol, service: &Service) -> (&'static str, u16) {
    match protocol {
        _ if service.head.signing_name == "s3" => ("AccessDenied", 403),
        Protocol::Query | Protocol::Ec2Query | Protocol::RestXml => ("MissingAuthenticationToken", 403),
        Protocol::RestJson => ("MissingAuthenticationTokenException", 403),
        Protocol::Json10 | Protocol::Json11 | Protocol::RpcV2Cbor => ("MissingAuthenticationTokenException", 400),
    }
}

#[tokio::test]
async fn without_a_signature_nothing_is_done() {
    let house = House::new();
    let answers = walk(&house, Proof::None).await;
    let mut problems = BTreeMap::new();
    for (case, answer) in &answers {
        let (service, protocol, operation) = *case;
        let got = (answer.error.code.as_str(), answer.status);
        // S3 says what is wrong with the form of a request to anybody: a bucket may be open to all.
        let form = service.head.signing_name == "s3" && answer.status == 400;
        let head = operation.http_method == "HEAD" && answer.status == 403;
        if !operation.unsigned && !form && !head && got != missing_token(protocol, service) {
            problems.insert(name(*case), format!("{got:?}: {}", answer.error.message));
        }
        if operation.unsigned && answer.status < 400 {
            problems.insert(name(*case), "answered".to_owned());
        }
    }
    assert_none(&problems, answers.len());
    assert_recorded(&house, &answers).await;
}

#[tokio::test]
async fn a_wrong_signature_or_an_unknown_key_is_refused() {
    for proof in [Proof::WrongSecret, Proof::UnknownKey] {
        let house = House::new();
        let answers = walk(&house, proof).await;
        let mut problems = BTreeMap::new();
        for (case, answer) in &answers {
            let known = [
                "SignatureDoesNotMatch",
                "InvalidSignatureException",
                "AuthFailure",
                "InvalidClientTokenId",
                "UnrecognizedClientException",
                "InvalidAccessKeyId",
            ];
            let head = case.2.http_method == "HEAD" && answer.status == 403;
            if !known.contains(&answer.error.code.as_str()) && !head {
                problems.insert(name(*case), format!("{} {}: {}", answer.status, answer.error.code, answer.error.message));
            }
        }
        assert_none(&problems, answers.len());
        assert_recorded(&house, &answers).await;
    }
}

#[tokio::test]
async fn who_has_no_policy_is_denied_and_told_by_which_type() {
    let house = House::new();
    let answers = walk(&house, Proof::Signature).await;
    let (mut problems, mut decided) = (BTreeMap::new(), 0);
    for (case, answer) in &answers {
        let (_, _, operation) = *case;
        let (code, message) = (answer.error.code.as_str(), answer.error.message.as_str());
        let is_denied = code.starts_with("AccessDenied")
            || code == "UnauthorizedOperation"
            || (answer.status == 403 && operation.http_method == "HEAD");
        match operation.binding {
            // Nothing is asked of a policy; there is no handler behind it in this house.
            Binding::Open => {
                let fine = code == "NotImplemented" || answer.status == 400;
                if !fine {
                    problems.insert(name(*case), format!("{code}: {message}"));
                }
            }
            Binding::Unmapped if is_denied => decided += 1,
            Binding::Mapped | Binding::Service if is_denied => {
                decided += 1;
                let told = message.contains(USER) && message.contains("because no ") && message.contains(" allows the ");
                if !told && !message.is_empty() && message != "Access Denied" {
                    problems.insert(name(*case), format!("the denial does not say why: {message}"));
                }
            }
            // The simple input did not meet a constraint: refused before anything is decided.
            _ if answer.status == 400 || answer.status == 404 => {}
            _ => {
                problems.insert(name(*case), format!("{} {code}: {message}", answer.status));
            }
        }
    }
    assert_none(&problems, answers.len());
    assert!(decided * 100 >= answers.len() * DECIDED_PERCENT, "only {decided} of {} calls reached the decision", answers.len());
    assert_recorded(&house, &answers).await;
    assert_eq!(house.entries(ACCOUNT).await.len(), answers.len(), "all events belong to the caller's account");
}

/// Calls every operation as the user who may do just that.
async fn walk_permitted(house: &House) -> Vec<(Case, Answer)> {
    let mut answers = Vec::new();
    for (number, (service, protocol, operation)) in operations().enumerate() {
        let input = sample::input(service, operation);
        answers.push(((service, protocol, operation), house.call(service, protocol, operation, &input, Proof::Permitted(number)).await));
    }
    answers
}

fn is_denied(answer: &Answer, operation: &Operation) -> bool {
    let code = answer.error.code.as_str();
    code.starts_with("AccessDenied") || code == "UnauthorizedOperation" || (answer.status == 403 && operation.http_method == "HEAD")
}

#[tokio::test]
async fn who_has_the_right_policy_is_let_through() {
    let house = House::new();
    let answers = walk_permitted(&house).await;
    let (mut problems, mut through) = (BTreeMap::new(), 0);
    for (case, answer) in &answers {
        match answer.error.code.as_str() {
            // There is no handler in this house: the call came as far as it can.
            "NotImplemented" | "NotImplementedException" => through += 1,
            // What it is taken for needs the other's action.
            _ if case.2.binding == Binding::Unmapped || TWINS.iter().any(|(twin, _)| *twin == case.2.name) => {}
            _ if is_denied(answer, case.2) => {
                problems.insert(name(*case), answer.error.message.clone());
            }
            _ if answer.status == 501 => through += 1,
            _ => {}
        }
    }
    assert_none(&problems, answers.len());
    assert!(through * 100 >= answers.len() * DECIDED_PERCENT, "only {through} of {} calls were let through", answers.len());
}

#[tokio::test]
async fn an_organizations_policy_stops_who_has_the_right_one() {
    let house = House::under_a_denying_policy();
    let answers = walk_permitted(&house).await;
    let (mut problems, mut stopped) = (BTreeMap::new(), 0);
    for (case, answer) in &answers {
        let (_, _, operation) = *case;
        if operation.binding == Binding::Open || operation.binding == Binding::Unmapped || operation.unsigned {
            continue;
        }
        let message = answer.error.message.as_str();
        if is_denied(answer, operation) {
            stopped += 1;
            let told = message.contains("with an explicit deny in a service control policy") && message.contains(":policy/Deny");
            if !told && !message.is_empty() && message != "Access Denied" {
                problems.insert(name(*case), message.to_owned());
            }
        } else if answer.status != 400 && answer.status != 404 {
            problems.insert(name(*case), format!("{} {}: {message}", answer.status, answer.error.code));
        }
    }
    assert_none(&problems, answers.len());
    assert!(stopped * 100 >= answers.len() * DECIDED_PERCENT, "only {stopped} of {} calls were stopped", answers.len());
}

#[tokio::test]
async fn the_policy_of_an_endpoint_must_allow_too() {
    let document = |condition: &str| {
        format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*","Condition":{condition}}}]}}"#
        )
    };
    let through = r#"{"StringEquals":{"aws:SourceVpce":"vpce-0123456789abcdef0","aws:SourceVpc":"vpc-0123456789abcdef0","aws:VpceAccount":"111122223333"},"Null":{"aws:SourceIp":"true","aws:VpcSourceIp":"false"}}"#;
    let elsewhere = r#"{"StringEquals":{"aws:SourceVpce":"vpce-1"}}"#;
    for (service, operation, condition, expected) in [
        ("kms", "ListKeys", through, "NotImplemented"),
        ("kms", "ListKeys", elsewhere, "no VPC endpoint policy allows the kms:ListKeys action"),
        ("glue", "GetCrawlers", through, "no VPC endpoint policy allows the glue:GetCrawlers action"),
    ] {
        let (number, (service, protocol, operation)) =
            operations().enumerate().find(|(_, (head, _, found))| head.head.id == service && found.name == operation).unwrap();
        let house = House::behind_an_endpoint(&document(condition));
        let input = sample::input(service, operation);
        let answer = house.call(service, protocol, operation, &input, Proof::Permitted(number)).await;
        let told = format!("{}: {}", answer.error.code, answer.error.message);
        assert!(told.contains(expected), "{told}");
        // The endpoint's account is told of the call's way, without what it was about, beside the event of the call.
        let activity = house.network_activity().await;
        let [event] = activity.as_slice() else { panic!("{} events of network activity", activity.len()) };
        let denied = expected.contains("VPC endpoint policy");
        assert_eq!(event["errorCode"].as_str(), denied.then_some("VpceAccessDenied"));
        assert_eq!((event["eventType"].as_str(), event["eventName"].as_str()), (Some("AwsVpceEvent"), Some(operation.name)));
        assert_eq!(event["vpcEndpointId"].as_str(), Some("vpce-0123456789abcdef0"));
        assert_eq!(event["vpcEndpointAccountId"], event["recipientAccountId"]);
        assert!(event.get("requestParameters").is_none() && event.get("managementEvent").is_none());
        let calls = house.all_entries().await;
        let [call] = calls.as_slice() else { panic!("{} events of the call", calls.len()) };
        assert_eq!(call.record.shared_event_id.as_deref(), event["sharedEventID"].as_str());
        assert!(call.record.shared_event_id.is_some() && Some(call.record.event_id.as_str()) != event["eventID"].as_str());
    }
}

#[tokio::test]
async fn only_direct_calls_through_endpoints_are_network_activity() {
    let house = House::new();
    let (number, (service, protocol, operation)) =
        operations().enumerate().find(|(_, (head, _, found))| head.head.id == "kms" && found.name == "ListKeys").unwrap();
    house.call(service, protocol, operation, &sample::input(service, operation), Proof::Permitted(number)).await;
    assert_eq!((house.all_entries().await.len(), house.network_activity().await.len()), (1, 0));
}
