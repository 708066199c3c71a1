//! A plane on a memory store, with a directory of one user who has no policy, and of many who have one each: that of one operation.

use std::sync::Arc;

use async_trait::async_trait;
use facts::{Operation, Protocol, Service};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use keyring::{Keyring, SystemRandomness};
use objects::{LocalBackend, ObjectVault};
use plane::body::{self, Body};
use plane::organization::MemberPolicies;
use plane::origin::VpcEndpoint;
use plane::pipeline::{AuditFailure, AuditReads};
use plane::{
    ApiError, Clock as _, Credential, Directory, ManualClock, OrganizationView, Organizations, Origin, Plane, PlaneSettings, Principal,
    PrincipalAccess, PrincipalKind, PublicUrl, RegionState, Regions, Transaction,
};
use sigv4::{Secret, Signer};
use store::{MemoryStore, Store, Table};
use trail::{Entry, Filter, Recorder, lookup};
use wire::{ErrorReply, Value};

pub(crate) const ACCOUNT: &str = "111122223333";
pub(crate) const USER: &str = "arn:aws:iam::111122223333:user/nobody";
const HOME_ACCOUNT: &str = "123456789012";
const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// Users of one account. Whose key ends in a number may do what the operation of that number needs, and nothing else.
struct Users;

/// The key of the user with the permissions of one operation.
pub(crate) fn key_of(operation: usize) -> String {
    format!("AKIAWALK{operation:012}")
}

fn policy_of(key_id: &str) -> Option<policy::Attached> {
    let number: usize = key_id.strip_prefix("AKIAWALK")?.parse().ok()?;
    let (_, _, operation) = crate::walk::operations().nth(number)?;
    let actions: Vec<&str> = operation.authorizations.iter().map(|authorization| authorization.action).collect();
    let document = serde_json::json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": actions, "Resource": "*" }] });
    let policy = policy::Policy::parse_stored(&document.to_string(), policy::PolicyKind::Identity);
    Some(policy::Attached::new("right", policy::PolicySource::User, Arc::new(policy)))
}

/// An organization whose SCP denies its member everything.
struct Denying;

#[async_trait]
impl Organizations for Denying {
    async fn view(&self, _tx: &mut Transaction, account: &str) -> Result<Option<OrganizationView>, ApiError> {
        let document = |effect: &str| {
            let text = format!(r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"{effect}","Action":"*","Resource":"*"}}]}}"#);
            let policy = policy::Policy::parse_stored(&text, policy::PolicyKind::ServiceControl);
            policy::Attached::new(
                format!("arn:aws:organizations::{HOME_ACCOUNT}:policy/{effect}"),
                policy::PolicySource::None,
                Arc::new(policy),
            )
        };
        let organization = policy::Organization {
            id: "o-walk000000".to_owned(),
            management_account: HOME_ACCOUNT.to_owned(),
            paths: [(ACCOUNT.to_owned(), "o-walk000000/r-walk/".to_owned())].into(),
            ..policy::Organization::default()
        };
        let member =
            MemberPolicies { service_control: Some(vec![vec![document("Allow"), document("Deny")]]), resource_control: Vec::new() };
        let view = OrganizationView {
            organization: Arc::new(organization),
            members: [(ACCOUNT.to_owned(), member)].into(),
            ..OrganizationView::default()
        };
        Ok((account == ACCOUNT || account == HOME_ACCOUNT).then_some(view))
    }

    fn tables(&self) -> &'static [Table] {
        &[]
    }
}

#[async_trait]
impl Directory for Users {
    async fn credential(&self, _tx: &mut Transaction, access_key_id: &str) -> Result<Option<Credential>, ApiError> {
        let principal = Principal {
            kind: PrincipalKind::User { name: "nobody".to_owned(), id: "AIDACKCEVSQ6C2EXAMPLE".to_owned() },
            account: ACCOUNT.to_owned(),
            arn: USER.to_owned(),
            principal_id: "AIDACKCEVSQ6C2EXAMPLE".to_owned(),
            access_key_id: Some(access_key_id.to_owned()),
            session: None,
        };
        let credential = Credential { secret: SECRET.to_owned().into(), principal: Arc::new(principal), expires_ms: None };
        Ok((access_key_id == KEY_ID || access_key_id.starts_with("AKIAWALK")).then_some(credential))
    }

    async fn access(&self, _tx: &mut Transaction, principal: &Principal) -> Result<PrincipalAccess, ApiError> {
        let identity = principal.access_key_id.as_deref().and_then(policy_of).into_iter().collect();
        Ok(PrincipalAccess { identity, ..PrincipalAccess::default() })
    }

    fn tables(&self) -> &'static [Table] {
        &[]
    }

    fn used(&self, _principal: &Principal, _service: &'static str, _region: &str, _now_ms: i64) {}
}

/// How a request proves who sends it.
#[derive(Clone, Copy)]
pub(crate) enum Proof {
    None,
    Signature,
    /// That of the user who may do the operation of this number.
    Permitted(usize),
    WrongSecret,
    UnknownKey,
}

/// An error as the caller gets it.
pub(crate) struct Answer {
    pub status: u16,
    pub error: ErrorReply,
    pub request_id: String,
}

pub(crate) struct House {
    plane: Arc<Plane>,
    clock: Arc<ManualClock>,
    store: Arc<dyn Store>,
    origin: Arc<Origin>,
    _folder: tempfile::TempDir,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::built(|plane| plane)
    }

    /// The account is a member of an organization whose SCP denies everything.
    pub(crate) fn under_a_denying_policy() -> Self {
        Self::built(|plane| plane.with_organizations(Arc::new(Denying)))
    }

    /// Every connection comes through a private endpoint with this policy.
    pub(crate) fn behind_an_endpoint(document: &str) -> Self {
        let policy = policy::Policy::parse_stored(document, policy::PolicyKind::VpcEndpoint);
        let endpoint = VpcEndpoint {
            id: "vpce-0123456789abcdef0".to_owned(),
            vpc_id: "vpc-0123456789abcdef0".to_owned(),
            account: ACCOUNT.to_owned(),
            policy: Some(policy::Attached::new("vpce-0123456789abcdef0", policy::PolicySource::None, Arc::new(policy))),
        };
        let house = Self::new();
        let origin = Origin { vpc_endpoint: Some(endpoint), ..Origin::clone(&house.origin) };
        Self { origin: Arc::new(origin), ..house }
    }

    fn built(finish: impl FnOnce(Plane) -> Plane) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let clock = Arc::new(ManualClock::default());
        let vault = ObjectVault::new(Arc::new(LocalBackend::open(folder.path().join("objects")).unwrap()));
        let region = RegionState {
            name: "us-east-1".to_owned(),
            store: Arc::clone(&store),
            vault: Arc::new(vault),
            recorder: Recorder::start(Arc::clone(&store)),
        };
        let plane = Plane::new(
            PlaneSettings {
                home_account: HOME_ACCOUNT.to_owned(),
                audit_reads: AuditReads::Interval,
                audit_failure: AuditFailure::Refuse,
                public_url: PublicUrl::default(),
            },
            Arc::new(Regions::new(vec![region]).unwrap()),
            Arc::new(Keyring::ephemeral(Arc::new(SystemRandomness)).unwrap()),
            Arc::clone(&clock) as Arc<dyn plane::Clock>,
            Arc::new(SystemRandomness),
            Arc::new(Users),
            Vec::new(),
        );
        let address = "127.0.0.1:4566".parse().unwrap();
        let origin = Origin { source: address, listener: address, tls: None, vpc_endpoint: None };
        Self { plane: Arc::new(finish(plane)), clock, store, origin: Arc::new(origin), _folder: folder }
    }

    /// Calls an operation in a protocol of its service.
    pub(crate) async fn call(
        &self,
        service: &'static Service,
        protocol: Protocol,
        operation: &'static Operation,
        input: &Value,
        proof: Proof,
    ) -> Answer {
        let encoded = wire::encode_input(protocol, service, operation, input);
        let mut headers = HeaderMap::new();
        for (name, value) in &encoded.headers {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let host = format!("{}.us-east-1.localhost", service.head.endpoint_prefix);
        headers.insert("host", HeaderValue::from_str(&host).unwrap());
        if let Some(signer) = signer(service, proof) {
            let now = jiff::Timestamp::from_millisecond(self.clock.now_ms()).unwrap();
            let is_stream =
                |member: &facts::Member| matches!(service.shape(member.shape).kind, facts::ShapeKind::Structure { event_stream: true, .. });
            let takes_events = operation.input.is_some_and(|input| service.members(input).iter().any(is_stream));
            let hash = if takes_events { sigv4::SIGNED_EVENTS.to_owned() } else { sigv4::sha256_hex(&encoded.body) };
            signer.sign(encoded.method, &encoded.path, &encoded.query, &mut headers, &hash, now).unwrap();
        }
        let target = if encoded.query.is_empty() { encoded.path } else { format!("{}?{}", encoded.path, encoded.query) };
        let mut request = Request::builder().method(encoded.method).uri(target).body(body::full(encoded.body)).unwrap();
        *request.headers_mut() = headers;
        answer(protocol, service, self.plane.answer(request, Arc::clone(&self.origin)).await).await
    }

    /// Everything that was recorded for the account, in any order.
    pub(crate) async fn entries(&self, account: &str) -> Vec<Entry> {
        self.plane.flush().await.unwrap();
        let filter = Filter { account: account.to_owned(), ..Filter::default() };
        lookup(self.store.as_ref(), &self.plane.sealer(), &filter, None, usize::MAX).await.unwrap().entries
    }

    /// The records of network activity, as they are delivered.
    pub(crate) async fn network_activity(&self) -> Vec<serde_json::Value> {
        self.plane.flush().await.unwrap();
        let rows = self.store.log_after(store::Revision(0), u32::MAX).await.unwrap();
        let opened = rows.iter().flat_map(|row| &row.entries).map(|bytes| Entry::open_whole(bytes, &self.plane.sealer()).unwrap());
        let of_network = opened.filter(|open| open.entry.record.event_category == "NetworkActivity");
        of_network.map(|open| serde_json::from_str(&open.record_json).unwrap()).collect()
    }

    /// Everything that was recorded, for whomever.
    pub(crate) async fn all_entries(&self) -> Vec<Entry> {
        let mut entries = self.entries(ACCOUNT).await;
        entries.extend(self.entries(HOME_ACCOUNT).await);
        entries
    }
}

fn signer(service: &Service, proof: Proof) -> Option<Signer> {
    let (access_key_id, secret) = match proof {
        Proof::None => return None,
        Proof::Signature => (KEY_ID.to_owned(), SECRET),
        Proof::Permitted(operation) => (key_of(operation), SECRET),
        Proof::WrongSecret => (KEY_ID.to_owned(), "another secret"),
        Proof::UnknownKey => ("AKIAI44QH8DHBEXAMPLE".to_owned(), SECRET),
    };
    Some(Signer {
        access_key_id,
        secret: Secret::new(secret),
        session_token: None,
        region: "us-east-1".to_owned(),
        service: service.head.signing_name.to_owned(),
    })
}

async fn answer(protocol: Protocol, service: &'static Service, response: Response<Body>) -> Answer {
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let id =
        ["x-amzn-requestid", "x-amz-request-id"].iter().find_map(|name| head.headers.get(*name)).expect("every answer has a request id");
    Answer {
        status: head.status.as_u16(),
        error: wire::decode_error(protocol, service, head.status.as_u16(), &head.headers, &body),
        request_id: id.to_str().unwrap().to_owned(),
    }
}
