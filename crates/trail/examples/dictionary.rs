//! Makes the dictionary that events are compressed with, from the facts: each operation that we serve, called and refused, by callers of all kinds.
//!
//! `cargo run --release -p trail --features training --example dictionary -- FILE`
//!
//! A dictionary that events were written with never changes: a better one gets the next number (see `compression`).

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing)]

use facts::{Operation, Service, ShapeId, ShapeKind};
use serde_json::{Map, Value as Json, json};
use trail::Event;

const DICTIONARY_BYTES: usize = 24 * 1024;
const ACCOUNT: &str = "111122223333";
const AGENTS: [&str; 6] = [
    "Boto3/1.43.11 md/Botocore#1.43.11 ua/2.1 os/linux#6.18.5 md/arch#x86_64 lang/python#3.13.5 md/pyimpl#CPython m/b,e,Z,D cfg/retry-mode#legacy Botocore/1.43.11",
    "Boto3/1.42.0 md/Botocore#1.42.0 ua/2.1 os/linux#6.12.0 md/arch#x86_64 lang/python#3.12.3 md/pyimpl#CPython cfg/retry-mode#standard Botocore/1.42.0 Resource",
    "aws-cli/2.33.1 md/awscrt#0.31.0 ua/2.1 os/linux#6.18.5 md/arch#x86_64 lang/python#3.13.5 md/pyimpl#CPython exec-env/CloudShell cfg/retry-mode#standard md/installer#exe md/prompt#off md/command#kms.decrypt",
    "aws-sdk-go-v2/1.41.0 ua/2.1 os/linux lang/go#1.25.3 md/GOOS#linux md/GOARCH#amd64 api/s3#1.93.0 m/E,e",
    "APN/1.0 HashiCorp/1.0 Terraform/1.13.4 (+https://www.terraform.io) terraform-provider-aws/6.20.0 (+https://registry.terraform.io/providers/hashicorp/aws) aws-sdk-go-v2/1.41.0 ua/2.1 os/linux lang/go#1.25.3 md/GOOS#linux md/GOARCH#amd64",
    "aws-sdk-java/2.38.2 md/io#sync md/http#Apache ua/2.1 os/Linux#6.18.5 lang/java#21.0.8 md/OpenJDK_64-Bit_Server_VM#21.0.8+9-LTS md/vendor#Amazon.com_Inc.",
];
const REGIONS: [&str; 4] = ["us-east-1", "us-east-1", "eu-central-1", "eu-west-1"];

/// Numbers that look random and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 20
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next()).unwrap() % end
    }

    fn of(&mut self, alphabet: &str, length: usize) -> String {
        (0..length).map(|_| char::from(alphabet.as_bytes()[self.below(alphabet.len())])).collect()
    }

    fn id(&mut self, prefix: &str) -> String {
        prefix.to_owned() + &self.of("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)
    }

    fn uuid(&mut self) -> String {
        let hex = self.of("0123456789abcdef", 32);
        format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[12..15], &hex[15..18], &hex[18..30])
    }

    fn time(&mut self) -> String {
        format!(
            "202{}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
            self.below(4) + 6,
            self.below(12) + 1,
            self.below(28) + 1,
            self.below(24),
            self.below(60),
            self.below(60)
        )
    }

    fn account(&mut self) -> String {
        self.of("0123456789", 12)
    }

    fn word(&mut self) -> String {
        let length = self.below(9) + 4;
        self.of("abcdefghijklmnopqrstuvwxyz-0123456789", length)
    }
}

fn lower_first(name: &str) -> String {
    name[..1].to_ascii_lowercase() + &name[1..]
}

fn value(numbers: &mut Numbers, service: &'static Service, name: &str, id: ShapeId, depth: usize) -> Option<Json> {
    let shape = service.shape(id);
    if shape.sensitive {
        return Some(json!("HIDDEN_DUE_TO_SECURITY_REASONS"));
    }
    Some(match &shape.kind {
        ShapeKind::String if !shape.constraints.values.is_empty() => {
            json!(shape.constraints.values[numbers.below(shape.constraints.values.len())])
        }
        ShapeKind::String if name.ends_with("Arn") || name.ends_with("ARN") => {
            json!(format!("arn:aws:{}:{}:{}:{}", service.head.iam_prefix, REGIONS[numbers.below(4)], numbers.account(), numbers.word()))
        }
        ShapeKind::String if name.ends_with("Id") => json!(numbers.uuid()),
        ShapeKind::String => json!(numbers.word()),
        ShapeKind::Boolean => json!(numbers.below(2) == 0),
        ShapeKind::Integer | ShapeKind::Long => json!(numbers.below(1000)),
        ShapeKind::Float | ShapeKind::Double => json!(0.5),
        ShapeKind::Timestamp { .. } => json!(numbers.time()),
        ShapeKind::List { item, .. } if depth > 0 => json!([value(numbers, service, name, *item, depth - 1)?]),
        ShapeKind::Map { value: of, .. } if depth > 0 => json!({ numbers.word(): value(numbers, service, name, *of, depth - 1)? }),
        ShapeKind::Structure { members, .. } if depth > 0 => {
            let mut shown = Map::new();
            for member in members.iter().filter(|member| member.required || members.len() < 6).chain(members.first()) {
                if let Some(json) = value(numbers, service, member.name, member.shape, depth - 1) {
                    shown.insert(lower_first(member.name), json);
                }
            }
            Json::Object(shown)
        }
        _ => return None,
    })
}

fn identity(numbers: &mut Numbers, account: &str) -> Json {
    let (word, time) = (numbers.word(), numbers.time());
    match numbers.below(8) {
        0 => json!({ "type": "Root", "principalId": account, "arn": format!("arn:aws:iam::{account}:root"), "accountId": account,
            "accessKeyId": numbers.id("AKIA") }),
        1..=3 => json!({ "type": "IAMUser", "principalId": numbers.id("AIDA"), "arn": format!("arn:aws:iam::{account}:user/{word}"),
            "accountId": account, "accessKeyId": numbers.id("AKIA"), "userName": word }),
        4 => json!({ "type": "AWSService", "invokedBy": "s3.amazonaws.com" }),
        _ => {
            let (id, session) = (numbers.id("AROA"), numbers.word());
            json!({ "type": "AssumedRole", "principalId": format!("{id}:{session}"),
                "arn": format!("arn:aws:sts::{account}:assumed-role/{word}/{session}"), "accountId": account, "accessKeyId": numbers.id("ASIA"),
                "sessionContext": { "sessionIssuer": { "type": "Role", "principalId": id, "arn": format!("arn:aws:iam::{account}:role/{word}"),
                    "accountId": account, "userName": word }, "attributes": { "creationDate": time, "mfaAuthenticated": "false" } } })
        }
    }
}

fn decision(numbers: &mut Numbers, service: &Service, action: &str, arn: &str, caller: &Json, is_refused: bool) -> Json {
    let region = REGIONS[numbers.below(4)];
    let deciding = json!({ "policyType": "identity-based policy", "policyId": format!("arn:aws:iam::aws:policy/{}", numbers.word()),
        "statementIndex": 0, "sid": null, "span": { "start": 37 + numbers.below(9), "end": 110 + numbers.below(90) }, "pointer": "/Statement/0" });
    let mut context = json!({ "aws:requestedregion": [region], "aws:securetransport": [if numbers.below(2) == 0 { "true" } else { "false" }],
        "aws:sourceip": ["127.0.0.1"], "aws:viaawsservice": ["false"], "aws:multifactorauthpresent": ["false"] });
    if caller["type"] == "AssumedRole" {
        context["aws:tokenissuetime"] = json!([numbers.time()]);
    }
    context[format!("{}:calleraccount", service.head.iam_prefix)] = json!([caller["accountId"]]);
    let asked = json!({ "context": context, "owner": caller["accountId"] });
    if !is_refused {
        return json!({ "allowed": true, "action": action, "resource": arn, "deciding": deciding, "asked": asked });
    }
    let summary = format!("no identity-based policy allows the {action} action");
    json!({ "allowed": false, "principal": caller["arn"], "action": action, "resource": arn, "explicit": false,
        "deniedBy": ["identity-based policy"], "deciding": null, "credentialLimit": null, "conditionKeys": [], "asked": asked,
        "explanation": { "allowed": false, "explicit": false, "denied_by": ["identity-based policy"], "action": action, "resource": arn,
            "summary": summary, "rule": null, "deciding": null, "policies": [{ "policy_type": "identity-based policy", "policy_id": numbers.word(),
            "source": "inline", "outcome": "silent", "statements": [{ "index": 0, "effect": "Allow", "span": { "start": 37, "end": 122 },
            "pointer": "/Statement/0", "matched": false, "failed": "action" }] }] } })
}

fn sample(numbers: &mut Numbers, service: &'static Service, operation: &'static Operation) -> Vec<u8> {
    let account = if numbers.below(3) == 0 { ACCOUNT.to_owned() } else { numbers.account() };
    let (caller, region) = (identity(numbers, &account), REGIONS[numbers.below(4)]);
    let (prefix, is_refused) = (service.head.iam_prefix, numbers.below(6) == 0);
    let action = format!("{prefix}:{}", operation.name);
    let arn = format!("arn:aws:{prefix}:{region}:{account}:{}/{}", numbers.word(), numbers.uuid());
    let input = operation.input.and_then(|input| value(numbers, service, "", input, 4)).unwrap_or(Json::Null);
    let output = operation.output.filter(|_| !operation.read_only && !is_refused).and_then(|output| value(numbers, service, "", output, 4));
    let mut record = json!({
        "eventVersion": "1.11", "userIdentity": caller, "eventTime": numbers.time(), "eventSource": service.head.event_source,
        "eventName": operation.name, "awsRegion": region, "sourceIPAddress": format!("10.{}.{}.{}", numbers.below(255), numbers.below(255), numbers.below(255)),
        "userAgent": AGENTS[numbers.below(AGENTS.len())],
        "requestParameters": input, "responseElements": output.unwrap_or(Json::Null), "requestID": numbers.uuid(), "eventID": numbers.uuid(),
        "readOnly": operation.read_only, "eventType": "AwsApiCall", "managementEvent": !operation.data_event, "recipientAccountId": account,
        "eventCategory": if operation.data_event { "Data" } else { "Management" },
        "resources": [{ "accountId": account, "type": format!("AWS::{}::Key", prefix.to_ascii_uppercase()), "ARN": arn }],
    });
    if is_refused {
        record["errorCode"] = json!("AccessDenied");
        record["errorMessage"] = json!(format!(
            "User: {} is not authorized to perform: {action} on resource: {arn} because no identity-based policy allows the {action} action",
            caller["arn"].as_str().unwrap_or_default()
        ));
    }
    if service.head.id == "s3" {
        record["additionalEventData"] = json!({ "SignatureVersion": "SigV4", "AuthenticationMethod": "AuthHeader",
            "CipherSuite": "TLS13_AES_256_GCM_SHA384", "bytesTransferredIn": numbers.below(9000), "bytesTransferredOut": 0 });
    }
    if numbers.below(2) == 0 {
        record["tlsDetails"] = json!({ "tlsVersion": "TLSv1.3", "cipherSuite": "TLS13_AES_256_GCM_SHA384",
            "clientProvidedHostHeader": format!("{}.{region}.amazonaws.com", service.head.endpoint_prefix), "keyExchange": "X25519MLKEM768" });
    }
    let event: Event = serde_json::from_value(record).unwrap();
    let decision = decision(numbers, service, &action, &arn, &caller, is_refused);
    format!("{{\"record\":{},\"decision\":{decision}}}", event.to_json().unwrap()).into_bytes()
}

fn main() {
    let mut numbers = Numbers(0x5EED);
    let mut samples = Vec::new();
    for head in facts::catalog().heads() {
        let Some(service) = facts::catalog().service(head.id) else { continue };
        for operation in service.operations.iter().filter(|operation| operation.implemented) {
            // Keys and objects are what a machine asks for all day.
            let times = if operation.data_event || head.id == "kms" { 12 } else { 4 };
            samples.extend((0..times).map(|_| sample(&mut numbers, service, operation)));
        }
    }
    let dictionary = zstd::dict::from_samples(&samples, DICTIONARY_BYTES).unwrap();
    let total: usize = samples.iter().map(Vec::len).sum();
    let mut compressor = zstd::bulk::Compressor::with_dictionary(1, &dictionary).unwrap();
    let packed: usize = samples.iter().map(|sample| compressor.compress(sample).unwrap().len()).sum();
    println!("{} samples of {} bytes become {}", samples.len(), total / samples.len(), packed / samples.len());
    std::fs::write(std::env::args().nth(1).unwrap(), dictionary).unwrap();
}
