//! Makes the audit event of a call from its facts: one for every call, refused ones too.
//!
//! Source: AWS CloudTrail User Guide, "CloudTrail record contents".

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use facts::{Location, Member, Service as ServiceFacts, ShapeId, ShapeKind};
use keyring::{Domain, Keyring};
use serde_json::{Map, Value as Json, json};
use trail::event::{EVENT_VERSION, NETWORK_ACTIVITY, SessionAttributes};
use trail::tag::TagKey;
use trail::{Decision, Entry, EntryError, Event, EventResource, Sealer, SessionContext, SessionIssuer, TlsDetails, UserIdentity};
use wire::Value;

use crate::bearer;
use crate::call::{Call, LateNotes};
use crate::clock::iso8601_s;
use crate::error::ApiError;
use crate::principal::{Principal, PrincipalKind};

/// What stands in place of a sensitive member.
pub const HIDDEN: &str = "HIDDEN_DUE_TO_SECURITY_REASONS";
/// Larger parameters are left out, with their size (AWS documents the same limit and form).
pub const PARAMETERS_LIMIT: usize = 100 * 1024;
/// The same for `additionalEventData`.
const ADDITIONAL_LIMIT: usize = 28 * 1024;
/// Elements too large for a record are kept beside it up to this size together: event data stores for large events show them.
///
/// Source: CloudTrail User Guide, "Field truncation order for maximum event size of 1 MB".
const WHOLE_LIMIT: usize = 1024 * 1024;
/// Nested values below this depth are cut.
const DEPTH_LIMIT: usize = 32;
/// Error messages and user agents are cut here.
const TEXT_LIMIT: usize = 1024;

/// An event that waits for its call to end.
#[derive(Clone, Debug)]
pub(crate) struct PendingEvent {
    /// Without its decision.
    pub entry: Entry,
    pub decision: Option<Arc<Decision>>,
    pub time_ms: i64,
    /// Position of the region that keeps it.
    pub region: usize,
}

/// Seals entries with a key of the account's.
#[derive(Clone)]
pub struct TrailSealer {
    keyring: Arc<Keyring>,
    /// Every event asks for it, and it never changes.
    tag_key: Arc<OnceLock<TagKey>>,
}

impl TrailSealer {
    pub fn new(keyring: Arc<Keyring>) -> Self {
        Self { keyring, tag_key: Arc::default() }
    }
}

impl Sealer for TrailSealer {
    fn seal(&self, account: &str, header: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, EntryError> {
        self.keyring.seal(&Domain::new("trail", account, ""), header, plaintext).map_err(|error| EntryError::Seal(error.to_string()))
    }

    fn open(&self, account: &str, header: &[u8], sealed: &[u8]) -> Result<Vec<u8>, EntryError> {
        self.keyring
            .open_record(&Domain::new("trail", account, ""), header, sealed)
            .map(|plain| plain.to_vec())
            .map_err(|error| EntryError::Seal(error.to_string()))
    }

    fn tag_key(&self) -> Result<TagKey, EntryError> {
        if let Some(key) = self.tag_key.get() {
            return Ok(*key);
        }
        let key = self.keyring.fixed_key(&Domain::new("trail-tag", "", "")).map_err(|error| EntryError::Seal(error.to_string()))?;
        let key = key.first_chunk().copied().ok_or(EntryError::Malformed)?;
        Ok(*self.tag_key.get_or_init(|| key))
    }
}

/// How a call ended.
pub(crate) enum Outcome<'a> {
    Done(&'a Value),
    Failed(&'a ApiError),
}

/// The events of a call: one for the caller's account, and a copy for each other account that owns what was touched.
pub(crate) fn events(call: &Call, region: usize, parameters: Json, outcome: &Outcome<'_>) -> Result<Vec<PendingEvent>, ApiError> {
    let event_id = call.plane.random_uuid()?;
    let caller = if call.account.is_empty() { call.plane.home_account().to_owned() } else { call.account.clone() };
    let mut accounts: BTreeSet<String> = BTreeSet::from([caller.clone()]);
    if matches!(outcome, Outcome::Done(_)) {
        // A refused call across accounts is told only to the caller's account.
        accounts.extend(call.audit.other_accounts.iter().filter(|account| !account.is_empty()).cloned());
    }
    // A direct call through an endpoint is told to the endpoint's account in an event of its own, also when its policy let nothing through.
    let endpoint = call.request.origin.vpc_endpoint.as_ref().filter(|_| call.via.is_empty() && call.caller.is_none());
    let shared = if accounts.len() > 1 || endpoint.is_some() { Some(call.plane.random_uuid()?) } else { None };
    let mut whole = Whole::default();
    let record = record(call, event_id, caller.clone(), parameters, outcome, &mut whole);
    let mut pending = Vec::with_capacity(accounts.len() + 1);
    if let Some(endpoint) = endpoint {
        let record = network_activity(call, &record, &endpoint.account, &caller, shared.clone())?;
        pending.push(PendingEvent { entry: Entry { record, decision: None, whole: None }, decision: None, time_ms: call.now.0, region });
    }
    let (mut left, mut record) = (accounts.len(), Some(record));
    for account in accounts {
        left -= 1;
        // As a rule there is one account: its record is not made twice.
        let Some(mut record) = (if left == 0 { record.take() } else { record.clone() }) else { break };
        if account != caller {
            record.event_id = call.plane.random_uuid()?;
            record.user_identity = from_outside(record.user_identity);
        }
        record.recipient_account_id = account;
        record.shared_event_id.clone_from(&shared);
        pending.push(PendingEvent {
            entry: Entry { record, decision: None, whole: whole.of() },
            decision: call.decision.clone(),
            time_ms: call.now.0,
            region,
        });
    }
    if matches!(outcome, Outcome::Done(_)) {
        for event in &call.audit.service_events {
            let (region, entry) = call.plane.service_entry(event.clone())?;
            pending.push(PendingEvent { entry, decision: None, time_ms: event.now_ms, region });
        }
    }
    Ok(pending)
}

fn record(call: &Call, event_id: String, recipient: String, parameters: Json, outcome: &Outcome<'_>, whole: &mut Whole) -> Event {
    let (error_code, mut error_message, response_elements) = match outcome {
        Outcome::Failed(error) => (Some(error.code.to_string()), Some(cut(&error.message)), Json::Null),
        Outcome::Done(output) => {
            let shown = match &call.audit.response_elements {
                Some(elements) => elements.clone(),
                None if call.operation.read_only && !call.audit.shows_answer => Json::Null,
                None => elements(call.service, call.operation.output, output),
            };
            (None, None, shown)
        }
    };
    error_message = error_message.or_else(|| call.audit.error_message.clone());
    // Who stands between the principal and this call: the service that forwards it, or the service that calls for itself.
    let direct = call.via.last().map(String::as_str).or(call.caller.as_ref().map(|caller| caller.service.as_ref()));
    let request = &call.request;
    let mut additional = if call.service.head.id == "s3" { transfer(call, outcome) } else { Map::new() };
    additional.extend(call.audit.additional.clone());
    additional.extend(call.audit.late.as_ref().map(LateNotes::take).unwrap_or_default());
    if request.bearer.is_some() && call.via.is_empty() {
        additional.insert("callWithBearerToken".to_owned(), Json::Bool(true));
    }
    Event {
        event_version: EVENT_VERSION.to_owned(),
        user_identity: call.audit.identity.clone().unwrap_or_else(|| identity(&call.principal, direct)),
        event_time: iso8601_s(call.now.0),
        event_source: call.service.head.event_source.to_owned(),
        event_name: call.operation.name.to_owned(),
        aws_region: call.region.clone(),
        source_ip_address: direct.map_or_else(|| request.origin.source_ip_text(), str::to_owned),
        user_agent: direct.map_or_else(|| cut(&request.user_agent), str::to_owned),
        error_code,
        error_message,
        request_parameters: whole.bounded(parameters, "requestParameters", PARAMETERS_LIMIT),
        response_elements: whole.bounded(response_elements, "responseElements", PARAMETERS_LIMIT),
        additional_event_data: (!additional.is_empty())
            .then(|| whole.bounded(Json::Object(additional), "additionalEventData", ADDITIONAL_LIMIT)),
        request_id: call.request_id.clone(),
        event_id,
        read_only: call.operation.read_only,
        resources: call.audit.resources.clone(),
        event_type: call.plane.service(call.service.head.id).map_or("AwsApiCall", |service| service.event_type(call)).to_owned(),
        api_version: None,
        management_event: !call.operation.data_event,
        recipient_account_id: recipient,
        service_event_details: None,
        shared_event_id: None,
        vpc_endpoint_id: request.origin.vpc_endpoint.as_ref().map(|endpoint| endpoint.id.clone()),
        vpc_endpoint_account_id: request.origin.vpc_endpoint.as_ref().map(|endpoint| endpoint.account.clone()),
        event_category: if call.operation.data_event { "Data" } else { "Management" }.to_owned(),
        event_context: None,
        insight_details: None,
        tls_details: request.origin.tls.as_ref().filter(|_| direct.is_none()).map(|tls| TlsDetails {
            tls_version: tls.version.to_owned(),
            cipher_suite: tls.cipher_suite.clone(),
            key_exchange: tls.key_exchange.clone(),
            client_provided_host_header: request.host.clone(),
        }),
    }
}

/// The event of network activity that stands beside a call's own.
///
/// Source: CloudTrail User Guide, "Logging network activity events": only a refusal by the endpoint's policy is an error of the network.
fn network_activity(call: &Call, record: &Event, owner: &str, caller: &str, shared: Option<String>) -> Result<Event, ApiError> {
    let denied_by = call.decision.as_ref().and_then(|decision| decision.denied_by());
    let is_denied = record.error_code.is_some() && denied_by == Some(policy::PolicyType::VpcEndpoint.name());
    let identity = record.user_identity.clone();
    Ok(Event {
        user_identity: if owner == caller { identity } else { from_outside(identity) },
        error_code: is_denied.then(|| "VpceAccessDenied".to_owned()),
        error_message: is_denied.then(|| "The request was denied due to a VPC endpoint policy".to_owned()),
        event_id: call.plane.random_uuid()?,
        request_parameters: Json::Null,
        response_elements: Json::Null,
        additional_event_data: None,
        resources: Vec::new(),
        event_type: "AwsVpceEvent".to_owned(),
        management_event: false,
        recipient_account_id: owner.to_owned(),
        shared_event_id: shared,
        event_category: NETWORK_ACTIVITY.to_owned(),
        tls_details: None,
        ..record.clone()
    })
}

/// The caller as the account that owns what was touched sees it: no names of the other account.
///
/// Source: CloudTrail User Guide, "CloudTrail userIdentity element" (`AWSAccount`).
fn from_outside(identity: UserIdentity) -> UserIdentity {
    if identity.identity_type == "AWSService" || identity.account_id.as_deref() == Some("anonymous") {
        return identity;
    }
    UserIdentity {
        identity_type: "AWSAccount".to_owned(),
        principal_id: identity.principal_id,
        account_id: identity.account_id,
        invoked_by: identity.invoked_by,
        ..UserIdentity::default()
    }
}

/// `additionalEventData` of every S3 call. Source: the records that AWS gives as examples in the S3 and CloudTrail User Guides.
fn transfer(call: &Call, outcome: &Outcome<'_>) -> Map<String, Json> {
    let mut data = Map::new();
    let request = &call.request;
    let method = match request.authentication_type {
        "REST-HEADER" => Some("AuthHeader"),
        "REST-QUERY-STRING" => Some("QueryString"),
        "POST" => Some("HtmlForm"),
        _ => None,
    };
    if let Some(method) = method {
        data.insert("SignatureVersion".to_owned(), json!("SigV4"));
        data.insert("AuthenticationMethod".to_owned(), json!(method));
    }
    if let Some(tls) = &request.origin.tls {
        data.insert("CipherSuite".to_owned(), json!(tls.cipher_suite));
    }
    let length = request.headers.get("x-amz-decoded-content-length").or_else(|| request.headers.get(http::header::CONTENT_LENGTH));
    let received: u64 = length.and_then(|length| length.to_str().ok()).and_then(|length| length.parse().ok()).unwrap_or_default();
    data.insert("bytesTransferredIn".to_owned(), json!(received));
    let sent = match outcome {
        Outcome::Done(output) if call.operation.name == "GetObject" => output.member("ContentLength").cloned(),
        _ => None,
    };
    data.insert("bytesTransferredOut".to_owned(), if let Some(Value::Int(sent)) = sent { json!(sent) } else { json!(0) });
    data
}

/// `userIdentity` in all its forms. Source: CloudTrail User Guide, "CloudTrail userIdentity element".
pub(crate) fn identity(principal: &Principal, invoked_by: Option<&str>) -> UserIdentity {
    // A bearer key's id is not an access key's, and has a member of its own.
    let key_id = principal.access_key_id.clone();
    let (credential_id, access_key_id) =
        if key_id.as_deref().is_some_and(bearer::is_credential_id) { (key_id, None) } else { (None, key_id) };
    let (identity_type, user_name, issuer) = match &principal.kind {
        PrincipalKind::Root => ("Root", None, None),
        PrincipalKind::User { name, .. } => ("IAMUser", Some(name.clone()), None),
        PrincipalKind::AssumedRole { role_name, role_arn, role_id, .. } => {
            ("AssumedRole", None, Some(issuer("Role", role_id, role_arn, &principal.account, role_name)))
        }
        PrincipalKind::FederatedUser { user_arn, user_name, user_id, .. } => {
            ("FederatedUser", None, Some(issuer("IAMUser", user_id, user_arn, &principal.account, user_name)))
        }
        PrincipalKind::Service { name } => {
            return UserIdentity { identity_type: "AWSService".to_owned(), invoked_by: Some(name.clone()), ..UserIdentity::default() };
        }
        PrincipalKind::WebIdentity { provider, user_name } => return federated("WebIdentityUser", principal, provider, user_name),
        PrincipalKind::Saml { provider, user_name } => return federated("SAMLUser", principal, provider, user_name),
        PrincipalKind::Anonymous => {
            return UserIdentity {
                identity_type: "Unknown".to_owned(),
                principal_id: Some(String::new()),
                account_id: Some("anonymous".to_owned()),
                access_key_id,
                credential_id,
                invoked_by: invoked_by.map(str::to_owned),
                ..UserIdentity::default()
            };
        }
    };
    let session_context = principal.session.as_ref().map(|session| SessionContext {
        session_issuer: issuer,
        attributes: SessionAttributes {
            creation_date: iso8601_s(session.issued_ms),
            mfa_authenticated: session.mfa_authenticated_ms.is_some().to_string(),
        },
        source_identity: session.source_identity.clone(),
        web_id_federation_data: None,
    });
    UserIdentity {
        identity_type: identity_type.to_owned(),
        principal_id: Some(principal.principal_id.clone()),
        arn: (!principal.arn.is_empty()).then(|| principal.arn.clone()),
        account_id: Some(principal.account.clone()),
        access_key_id,
        credential_id,
        user_name,
        session_context,
        identity_provider: None,
        invoked_by: invoked_by.map(str::to_owned),
    }
}

/// Something that a service did by itself: a key that was rotated, an object that expired.
#[derive(Clone, Debug)]
pub struct ServiceEvent {
    /// `kms.amazonaws.com`.
    pub source: &'static str,
    /// Who acts, in AWS's words.
    pub actor: &'static str,
    pub name: &'static str,
    pub account: String,
    pub region: String,
    /// Milliseconds since 1970.
    pub now_ms: i64,
    /// `additionalEventData`.
    pub additional: Option<Json>,
    /// `serviceEventDetails`.
    pub details: Option<Json>,
    pub resources: Vec<EventResource>,
}

/// An insight: what CloudTrail found in an account's calls.
#[derive(Clone, Debug)]
pub struct InsightEvent {
    pub account: String,
    pub region: String,
    pub now_ms: i64,
    /// The same in the event that starts an insight and the one that ends it.
    pub shared_event_id: String,
    /// `insightDetails`.
    pub details: Json,
}

impl crate::pipeline::Plane {
    /// The log entry of an insight, for the commit of what it was found in.
    pub fn insight_event(&self, insight: InsightEvent) -> Result<(usize, bytes::Bytes), ApiError> {
        let (position, mut entry) = self.service_entry(ServiceEvent {
            source: "",
            actor: "",
            name: "",
            account: insight.account,
            region: insight.region,
            now_ms: insight.now_ms,
            additional: None,
            details: None,
            resources: Vec::new(),
        })?;
        let record = &mut entry.record;
        record.user_identity = UserIdentity::default();
        record.request_id = String::new();
        "AwsCloudTrailInsight".clone_into(&mut record.event_type);
        "Insight".clone_into(&mut record.event_category);
        record.shared_event_id = Some(insight.shared_event_id);
        record.insight_details = Some(insight.details);
        let bytes = entry.to_bytes(&self.sealer(), insight.now_ms).map_err(|error| ApiError::internal(&error))?;
        Ok((position, bytes))
    }

    /// The log entry of a service event, for the commit of what was done. Source: CloudTrail User Guide, "AWS service events".
    pub fn service_event(&self, event: ServiceEvent) -> Result<(usize, bytes::Bytes), ApiError> {
        let now_ms = event.now_ms;
        let (position, entry) = self.service_entry(event)?;
        let bytes = entry.to_bytes(&self.sealer(), now_ms).map_err(|error| ApiError::internal(&error))?;
        Ok((position, bytes))
    }

    fn service_entry(&self, event: ServiceEvent) -> Result<(usize, Entry), ApiError> {
        let position = self.regions.position(&event.region).unwrap_or_default();
        let mut whole = Whole::default();
        let record = Event {
            event_version: EVENT_VERSION.to_owned(),
            user_identity: UserIdentity {
                identity_type: "AWSService".to_owned(),
                account_id: Some(event.account.clone()),
                invoked_by: Some(event.actor.to_owned()),
                ..UserIdentity::default()
            },
            event_time: iso8601_s(event.now_ms),
            event_source: event.source.to_owned(),
            event_name: event.name.to_owned(),
            aws_region: event.region,
            source_ip_address: event.actor.to_owned(),
            user_agent: event.actor.to_owned(),
            error_code: None,
            error_message: None,
            request_parameters: Json::Null,
            response_elements: Json::Null,
            additional_event_data: event.additional.map(|data| whole.bounded(data, "additionalEventData", ADDITIONAL_LIMIT)),
            request_id: self.random_uuid()?,
            event_id: self.random_uuid()?,
            read_only: false,
            resources: event.resources,
            event_type: "AwsServiceEvent".to_owned(),
            api_version: None,
            management_event: true,
            recipient_account_id: event.account,
            service_event_details: event.details.map(|details| whole.bounded(details, "serviceEventDetails", PARAMETERS_LIMIT)),
            shared_event_id: None,
            vpc_endpoint_id: None,
            vpc_endpoint_account_id: None,
            event_category: "Management".to_owned(),
            event_context: None,
            insight_details: None,
            tls_details: None,
        };
        Ok((position, Entry { record, decision: None, whole: whole.of() }))
    }
}

/// A caller on another provider's word.
fn federated(identity_type: &str, principal: &Principal, provider: &str, user_name: &str) -> UserIdentity {
    UserIdentity {
        identity_type: identity_type.to_owned(),
        principal_id: Some(principal.principal_id.clone()),
        user_name: Some(user_name.to_owned()),
        identity_provider: Some(provider.to_owned()),
        ..UserIdentity::default()
    }
}

fn issuer(issuer_type: &str, principal_id: &str, arn: &str, account: &str, name: &str) -> SessionIssuer {
    SessionIssuer {
        issuer_type: issuer_type.to_owned(),
        principal_id: principal_id.to_owned(),
        arn: arn.to_owned(),
        account_id: account.to_owned(),
        user_name: name.to_owned(),
    }
}

/// Members of a structure as the event shows them: first letter lower case, sensitive ones hidden, bytes dropped. `null` when nothing is left.
pub fn elements(service: &'static ServiceFacts, shape: Option<ShapeId>, value: &Value) -> Json {
    let Some(shape) = shape else { return Json::Null };
    match redact(service, shape, value, DEPTH_LIMIT) {
        Some(Json::Object(members)) if members.is_empty() => Json::Null,
        Some(json) => json,
        None => Json::Null,
    }
}

/// As [`elements`], with only the members that travel outside the body: for services whose bodies are customers' content.
pub fn elements_outside_body(service: &'static ServiceFacts, shape: Option<ShapeId>, value: &Value) -> Json {
    let Some(shape) = shape else { return Json::Null };
    let mut kept = wire::Struct::new();
    for member in service.members(shape).iter().filter(|member| member.location != Location::Body) {
        if let Some(value) = value.member(member.name) {
            kept.set(member.name, value.clone());
        }
    }
    elements(service, Some(shape), &Value::Struct(kept))
}

/// One member of a structure as [`elements`] shows it. `None`: nothing is shown of it.
pub fn element(service: &'static ServiceFacts, member: &Member, value: &Value) -> Option<Json> {
    redact_member(service, member, value, DEPTH_LIMIT - 1)
}

fn redact_member(service: &'static ServiceFacts, member: &Member, value: &Value, depth: usize) -> Option<Json> {
    if member.sensitive { Some(Json::String(HIDDEN.to_owned())) } else { redact(service, member.shape, value, depth) }
}

fn redact(service: &'static ServiceFacts, id: ShapeId, value: &Value, depth: usize) -> Option<Json> {
    let shape = service.shape(id);
    if depth == 0 {
        return None;
    }
    if shape.sensitive {
        return Some(Json::String(HIDDEN.to_owned()));
    }
    match (value, &shape.kind) {
        (Value::Bool(value), _) => Some(json!(value)),
        (Value::Int(value), _) => Some(json!(value)),
        (Value::Float(value), _) => Some(json!(value)),
        (Value::Str(value), _) => Some(Json::String(value.clone())),
        (Value::Time(time), _) => Some(Json::String(iso8601_s(time.0))),
        (Value::Document(document), _) => Some(document.clone()),
        (Value::List(items), ShapeKind::List { item, .. }) => {
            Some(items.iter().filter_map(|value| redact(service, *item, value, depth - 1)).collect())
        }
        (Value::Map(entries), ShapeKind::Map { value: of, .. }) => Some(Json::Object(
            entries.iter().filter_map(|(key, value)| Some((key.clone(), redact(service, *of, value, depth - 1)?))).collect(),
        )),
        (Value::Struct(fields), ShapeKind::Structure { members, .. }) => {
            let mut shown = Map::new();
            for member in members {
                let Some(value) = fields.get(member.name) else { continue };
                if let Some(json) = redact_member(service, member, value, depth - 1) {
                    shown.insert(lower_first(member.name), json);
                }
            }
            Some(Json::Object(shown))
        }
        // Bytes are dropped; a value of another form than its shape shows nothing.
        _ => None,
    }
}

/// `KeyId` becomes `keyId`.
pub fn lower_first(name: &str) -> String {
    // Names of members are ASCII.
    let mut lowered = name.to_owned();
    if let Some(first) = lowered.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    lowered
}

/// The elements that were too large for their record.
#[derive(Default)]
struct Whole {
    elements: Map<String, Json>,
    bytes: usize,
}

impl Whole {
    /// The element, or what stands in its place when it is too large; then it is kept here, unless it is too large for that, too.
    fn bounded(&mut self, json: Json, element: &str, limit: usize) -> Json {
        let size = size(&json);
        if size <= limit {
            return json;
        }
        if self.bytes.saturating_add(size) <= WHOLE_LIMIT {
            self.bytes += size;
            self.elements.insert(element.to_owned(), json);
        }
        json!({ "omitted": true, "originalSize": size, "reason": format!("{element} too large") })
    }

    fn of(&self) -> Option<Json> {
        (!self.elements.is_empty()).then(|| Json::Object(self.elements.clone()))
    }
}

/// About as many bytes as the element has in an event; counted, not written.
fn size(json: &Json) -> usize {
    match json {
        Json::Null | Json::Bool(_) | Json::Number(_) => 8,
        Json::String(text) => text.len() + 2,
        Json::Array(items) => items.iter().map(|item| size(item) + 1).sum::<usize>() + 2,
        Json::Object(members) => members.iter().map(|(name, value)| name.len() + size(value) + 4).sum::<usize>() + 2,
    }
}

fn cut(text: &str) -> String {
    text.chars().take(TEXT_LIMIT).collect()
}
