//! What the demo's steps share: the client, the credentials, the list of calls made and of things proved.

use std::path::PathBuf;

use bytes::Bytes;
use facts::{Operation, Service, catalog};
use http::Request;
use http_body_util::Full;
use wire::{Struct, Value};

use crate::client::{Answer, Client, ClientError, Credentials, decode};
use crate::command::up::Serving;
use crate::command::{Failure, output};

/// A call that was made, to be found in the trail later.
pub struct Made {
    pub request_id: String,
    pub event_name: String,
    /// Code of the error that it was answered with.
    pub error: Option<String>,
}

struct Proof {
    chapter: usize,
    claim: String,
    proved: bool,
    evidence: String,
}

/// The state of the play.
pub struct Stage {
    pub client: Client,
    pub account: String,
    pub data_dir: PathBuf,
    pub root: Credentials,
    pub administrator: Credentials,
    pub scientist: Credentials,
    /// The machine that the chat application runs on.
    pub host: Credentials,
    /// The session of the role, once assumed.
    pub app: Credentials,
    pub key_arn: String,
    pub bucket: String,
    pub calls: Vec<Made>,
    pub last_denial: String,
    proofs: Vec<Proof>,
    chapter: usize,
}

/// Text that is in the uploaded file, and nowhere on disk.
pub const FILE: &str = "patient 4711: diagnosis confidential, canary-7f3a9c\n";

impl Stage {
    pub fn new(serving: &Serving) -> Result<Self, Failure> {
        let running = &serving.running;
        let client = Client::new(running.endpoint(), &running.region, Some(&serving.authority_pem))?;
        let root = serving.root.clone().ok_or_else(|| Failure::general("the start made no root credentials"))?;
        let account = running.account_id.clone();
        Ok(Self {
            client,
            bucket: format!("demo-training-data-{account}"),
            account,
            data_dir: serving.data_dir.clone(),
            administrator: root.clone(),
            scientist: root.clone(),
            host: root.clone(),
            app: root.clone(),
            root,
            key_arn: String::new(),
            calls: Vec::new(),
            last_denial: String::new(),
            proofs: Vec::new(),
            chapter: 0,
        })
    }

    pub fn chapter(&mut self, title: &str) -> Result<(), Failure> {
        self.chapter += 1;
        output::line(&format!("\n{title}"))
    }

    /// Notes and prints one claim with what shows it.
    pub fn prove(&mut self, claim: &str, proved: bool, evidence: impl Into<String>) -> Result<(), Failure> {
        let evidence = evidence.into();
        let mark = match (proved, output::colours()) {
            (true, true) => "\u{1b}[32mproved\u{1b}[0m",
            (true, false) => "proved",
            (false, true) => "\u{1b}[31mNOT PROVED\u{1b}[0m",
            (false, false) => "NOT PROVED",
        };
        output::line(&format!("  {mark}  {claim}\n            {evidence}"))?;
        self.proofs.push(Proof { chapter: self.chapter, claim: claim.to_owned(), proved, evidence });
        Ok(())
    }

    /// Proves that a call failed with the expected code, and that its message has all the parts.
    pub fn prove_refused(
        &mut self,
        claim: &str,
        result: Result<Value, ClientError>,
        code: &str,
        status: u16,
        parts: &[&str],
    ) -> Result<(), Failure> {
        match result {
            Err(ClientError::Service { code: given, message, status: given_status, .. }) => {
                let as_expected = given == code && given_status == status && parts.iter().all(|part| message.contains(part));
                self.prove(claim, as_expected, format!("{given_status} {given}: {message}"))
            }
            Err(error) => self.prove(claim, false, error.to_string()),
            Ok(_) => self.prove(claim, false, "the call succeeded"),
        }
    }

    pub fn all_proved(&self) -> bool {
        self.chapter == 7 && self.proofs.iter().all(|proof| proof.proved)
    }

    pub fn table(&self) -> Result<(), Failure> {
        output::line("")?;
        let rows: Vec<Vec<String>> = self
            .proofs
            .iter()
            .map(|proof| {
                let shown: String = proof.evidence.chars().take(90).collect();
                vec![proof.chapter.to_string(), if proof.proved { "proved" } else { "NOT PROVED" }.to_owned(), proof.claim.clone(), shown]
            })
            .collect();
        output::rows(output::Format::Table, &["step", "result", "claim", "evidence"], &rows)
    }

    /// Calls an operation; the call is noted, whatever comes of it.
    pub async fn call(&mut self, who: &Credentials, service: &str, operation: &str, input: Value) -> Result<Value, ClientError> {
        self.call_with_body(who, service, operation, input, Bytes::new()).await
    }

    pub async fn call_with_body(
        &mut self,
        who: &Credentials,
        service: &str,
        operation: &str,
        input: Value,
        body: Bytes,
    ) -> Result<Value, ClientError> {
        let (service, operation) = known(service, operation)?;
        let request = self.client.prepare(service, operation, &input, body)?;
        let request = self.client.sign(request, service, who, jiff::Timestamp::now())?;
        self.send(service, operation, request).await
    }

    /// Sends a request as it is, and notes it.
    pub async fn send(
        &mut self,
        service: &'static Service,
        operation: &'static Operation,
        request: Request<Full<Bytes>>,
    ) -> Result<Value, ClientError> {
        let answer = self.client.send(request).await?;
        let result = decode(service, operation, &answer);
        self.note(operation.name, &answer, &result);
        result
    }

    fn note(&mut self, event_name: &str, answer: &Answer, result: &Result<Value, ClientError>) {
        let header =
            ["x-amzn-requestid", "x-amz-request-id"].iter().find_map(|name| answer.headers.get(*name)).and_then(|id| id.to_str().ok());
        let error = match result {
            Err(ClientError::Service { code, .. }) => Some(code.clone()),
            _ => None,
        };
        let request_id = header.unwrap_or_default().to_owned();
        if error.as_deref().is_some_and(|code| code.starts_with("AccessDenied")) {
            self.last_denial.clone_from(&request_id);
        }
        self.calls.push(Made { request_id, event_name: event_name.to_owned(), error });
    }

    /// The caller's own ARN.
    pub async fn identity(&mut self, who: &Credentials) -> Result<String, ClientError> {
        let answer = self.call(who, "sts", "GetCallerIdentity", object([])).await?;
        Ok(text_at(&answer, "Arn"))
    }
}

/// An operation of the facts.
pub fn known(service: &str, operation: &str) -> Result<(&'static Service, &'static Operation), ClientError> {
    let unknown = || ClientError::Request(format!("the operation `{service}:{operation}` is not known"));
    let service = catalog().service(service).ok_or_else(unknown)?;
    Ok((service, service.operation(operation).ok_or_else(unknown)?))
}

/// A structure.
pub fn object<const N: usize>(members: [(&'static str, Value); N]) -> Value {
    let mut fields = Struct::with_capacity(N);
    for (name, value) in members {
        fields.set(name, value);
    }
    Value::Struct(fields)
}

pub fn text(text: impl Into<String>) -> Value {
    Value::Str(text.into())
}

pub fn list(items: impl IntoIterator<Item = Value>) -> Value {
    Value::List(items.into_iter().collect())
}

/// The text at a dotted path, empty when there is none.
pub fn text_at(value: &Value, path: &str) -> String {
    value.path(path).and_then(Value::as_str).unwrap_or_default().to_owned()
}
