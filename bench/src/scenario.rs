//! What is called: one operation each, the same bytes for every server.

use bytes::Bytes;
use http::Method;

use crate::Failure;
use crate::load::Connection;
use crate::target::Target;

/// One operation under load.
pub(crate) struct Scenario {
    pub name: &'static str,
    pub service: &'static str,
    pub method: Method,
    /// `{n}` stands for the number of the client, so that writers do not meet.
    pub path: &'static str,
    pub headers: &'static [(&'static str, &'static str)],
    pub body: Content,
    /// Clients, where it is not the number of the run.
    pub clients: Option<usize>,
}

/// The body of each request.
pub(crate) enum Content {
    Text(&'static str),
    Zeros(usize),
}

impl Content {
    pub(crate) fn bytes(&self) -> Bytes {
        match self {
            Self::Text(text) => Bytes::from_static(text.as_bytes()),
            Self::Zeros(length) => vec![0; *length].into(),
        }
    }
}

const FORM: &[(&str, &str)] = &[("content-type", "application/x-www-form-urlencoded")];
const GET_USER: &str = "Action=GetUser&Version=2010-05-08&UserName=bench";
const MIB: usize = 1024 * 1024;

const fn kms(name: &'static str, headers: &'static [(&'static str, &'static str)], body: &'static str) -> Scenario {
    Scenario { name, service: "kms", method: Method::POST, path: "/", headers, body: Content::Text(body), clients: None }
}

const fn iam(name: &'static str, clients: Option<usize>, body: &'static str) -> Scenario {
    Scenario { name, service: "iam", method: Method::POST, path: "/", headers: FORM, body: Content::Text(body), clients }
}

const fn s3(name: &'static str, clients: Option<usize>, method: Method, path: &'static str, length: usize) -> Scenario {
    Scenario { name, service: "s3", method, path, headers: &[], body: Content::Zeros(length), clients }
}

/// In this order: later ones read what earlier ones wrote.
pub(crate) const ALL: &[Scenario] = &[
    kms(
        "KMS GenerateDataKey",
        &[("content-type", "application/x-amz-json-1.1"), ("x-amz-target", "TrentService.GenerateDataKey")],
        r#"{"KeyId":"alias/bench","KeySpec":"AES_256"}"#,
    ),
    iam("IAM GetUser", None, GET_USER),
    iam("IAM GetUser, 64 clients", Some(64), GET_USER),
    s3("S3 PUT 4 KiB", None, Method::PUT, "/bench/small-{n}", 4096),
    s3("S3 PUT 4 KiB, 64 clients", Some(64), Method::PUT, "/bench/small-{n}", 4096),
    s3("S3 GET 4 KiB", None, Method::GET, "/bench/small-{n}", 0),
    s3("S3 PUT 8 MiB", None, Method::PUT, "/bench/large-{n}", 8 * MIB),
    s3("S3 GET 8 MiB", None, Method::GET, "/bench/large-{n}", 0),
];

/// Makes the user, the bucket and the key that the scenarios use.
pub(crate) async fn furnish(target: &Target) -> Result<(), Failure> {
    let mut connection = Connection::open(target, 0).await?;
    connection.call(&iam("CreateUser", None, "Action=CreateUser&Version=2010-05-08&UserName=bench")).await?;
    connection.call(&s3("CreateBucket", None, Method::PUT, "/bench", 0)).await?;
    let create: &[(&str, &str)] = &[("content-type", "application/x-amz-json-1.1"), ("x-amz-target", "TrentService.CreateKey")];
    let answer = connection.call(&Scenario { headers: create, ..kms("CreateKey", FORM, "{}") }).await?;
    let answer: serde_json::Value = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
    let key = answer.pointer("/KeyMetadata/KeyId").and_then(serde_json::Value::as_str).ok_or("CreateKey gave no key")?;
    let alias = Bytes::from(serde_json::json!({ "AliasName": "alias/bench", "TargetKeyId": key }).to_string());
    let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", "TrentService.CreateAlias")];
    connection.send("kms", &Method::POST, "/", &headers, alias).await.map(drop)
}
