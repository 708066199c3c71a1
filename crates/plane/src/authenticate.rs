//! Who sent the request: signatures of all forms, session tokens, or nobody.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use aws_lc_rs::digest;
use bytes::Bytes;
use facts::{Operation, Protocol, Service as ServiceFacts, ShapeKind};
use http_body::Frame;
use http_body_util::BodyExt as _;
use sigv4::{ChunkLimits, ChunkedDecoder, Claim, EventChain, Form, Payload, SIGNED_EVENTS, SignatureError, SigningKey};
use wire::event_stream::{Decoder, HeaderValue};

use crate::bearer;
use crate::body::{Body, BodyError};
use crate::call::RequestFacts;
use crate::clock::Clock;
use crate::error::ApiError;
use crate::identify::{Hints, Identified};
use crate::pipeline::{Head, Plane};
use crate::principal::{Credential, Principal};
use crate::session;

/// An access key id as it may stand in a request.
const KEY_ID_LENGTH: std::ops::RangeInclusive<usize> = 16..=128;

/// A request whose sender is known.
pub(crate) struct Authenticated {
    pub principal: Arc<Principal>,
    pub access_key_id: Option<String>,
    pub request: RequestFacts,
    /// The body of an operation that streams, checked as it is read.
    pub stream: Option<Body>,
}

/// A request whose sender is not who it says.
pub(crate) struct Failure {
    pub error: ApiError,
    /// Nobody, in the account of the key that was named, so that its owner sees the attempt.
    pub principal: Option<Arc<Principal>>,
}

/// Trailers of an `aws-chunked` body; filled when the body was read to its end.
#[derive(Clone, Debug, Default)]
pub struct Trailers(Arc<Mutex<Vec<(String, String)>>>);

impl Trailers {
    pub fn get(&self, name: &str) -> Option<String> {
        let trailers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        trailers.iter().find(|(trailer, _)| trailer.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
    }

    fn set(&self, trailers: Vec<(String, String)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = trailers;
    }
}

fn parts(head: &Head) -> sigv4::RequestParts<'_> {
    sigv4::RequestParts { method: &head.method, path: &head.path, query: &head.query, headers: &head.headers, authority: None }
}

/// The signature that the request bears, read and not yet believed.
pub(crate) fn claim(head: &Head) -> Result<Claim<'_>, SignatureError> {
    Claim::parse(&parts(head))
}

/// What the signature says of service and region.
pub(crate) fn hints(claim: &Claim<'_>) -> Hints {
    let scope = claim.scope();
    Hints { signing_name: Some(scope.service.to_owned()), region: Some(scope.region.to_owned()) }
}

/// Algorithms of signatures that a certificate's key makes.
const CERTIFICATE_ALGORITHMS: &str = "AWS4-X509-";

/// What a signature by a certificate says of service and region; read and not yet believed.
pub(crate) fn certificate_hints(head: &Head) -> Option<Hints> {
    let authorization = head.header("authorization")?.strip_prefix(CERTIFICATE_ALGORITHMS)?;
    let (_, credential) = authorization.split_once("Credential=")?;
    let mut scope = credential.split(',').next()?.split('/').skip(2);
    let (region, service) = (scope.next()?, scope.next()?);
    Some(Hints { signing_name: Some(service.to_owned()), region: Some(region.to_owned()) })
}

/// Whether the request bears a signature that its service verifies itself: an operation that no access key signs, and a certificate's key.
fn is_signed_by_certificate(head: &Head, identified: &Identified) -> bool {
    let by_certificate = head.header("authorization").is_some_and(|authorization| authorization.starts_with(CERTIFICATE_ALGORITHMS));
    by_certificate && identified.operation.unsigned
}

fn family(protocol: Protocol) -> sigv4::Protocol {
    match protocol {
        Protocol::Query => sigv4::Protocol::Query,
        Protocol::Ec2Query => sigv4::Protocol::Ec2,
        Protocol::Json10 | Protocol::Json11 | Protocol::RpcV2Cbor => sigv4::Protocol::Json,
        Protocol::RestJson => sigv4::Protocol::RestJson,
        Protocol::RestXml => sigv4::Protocol::RestXml,
    }
}

/// A signature error in the words of the service.
pub(crate) fn reply(error: &SignatureError, service: &'static ServiceFacts, protocol: Protocol) -> ApiError {
    from_reply(error.reply(service.head.signing_name, family(protocol)))
}

fn from_reply(reply: sigv4::Reply) -> ApiError {
    let mut api = ApiError::new(reply.code, reply.message).with_status(reply.status);
    for (name, value) in reply.details {
        api = api.with_member(name, wire::Value::Str(value));
    }
    api
}

/// Proves who sent the request. `collected` is the body of an operation that does not stream.
pub(crate) async fn authenticate(
    plane: &Plane,
    head: &Head,
    body: &mut Option<Body>,
    claim: Result<Claim<'_>, SignatureError>,
    identified: &Identified,
    collected: &mut Option<Bytes>,
) -> Result<Authenticated, Failure> {
    let refuse = |error: &SignatureError, principal: Option<Arc<Principal>>| Failure {
        error: reply(error, identified.service, identified.protocol),
        principal,
    };
    if let Some(token) = bearer::token(&head.headers)
        && bearer::takes(identified.service.head.id, identified.operation.name)
    {
        return by_bearer(plane, head, body, token, identified, collected.is_some()).await;
    }
    let claim = match claim {
        Ok(claim) => claim,
        Err(error) if matches!(error, SignatureError::MissingToken) || is_signed_by_certificate(head, identified) => {
            let check = anonymous_check(head, identified).map_err(|error| Failure { error, principal: None })?;
            let stream = match (collected.as_mut(), check) {
                (Some(whole), Check::Chunked(Some(decoder))) => {
                    unchunk(*decoder, whole).map_err(|error| Failure { error, principal: None })?;
                    None
                }
                (Some(_), _) => None,
                (None, check) => body.take().map(|body| checked(body, check, head)),
            };
            let (stream, trailers) = stream.map_or((None, Trailers::default()), |(stream, trailers)| (Some(stream), trailers));
            let mut request = head.facts("anonymous", None);
            request.trailers = trailers;
            return Ok(Authenticated { principal: Arc::new(Principal::anonymous()), access_key_id: None, request, stream });
        }
        Err(error) => return Err(refuse(&error, None)),
    };
    let now_ms = plane.clock.now_ms();
    let credential = match credential(plane, claim.access_key_id(), claim.session_token.as_deref(), now_ms).await {
        Ok(credential) => credential,
        Err(rejected) => return Err(rejected.failure(identified.service, identified.protocol)),
    };
    let nobody = || {
        Some(Arc::new(Principal {
            account: credential.principal.account.clone(),
            access_key_id: Some(claim.access_key_id().to_owned()),
            ..Principal::anonymous()
        }))
    };
    let now = jiff::Timestamp::from_millisecond(now_ms).map_err(|error| Failure { error: ApiError::internal(&error), principal: None })?;
    check_scope(plane, head, &claim, identified, now).map_err(|error| refuse(&error, nobody()))?;
    // A stream of events is signed event by event, and nothing else is. Some clients do not say so in a header.
    let is_known_form = match claim.payload {
        Payload::Events => takes_events(identified.service, identified.operation),
        Payload::Undeclared => true,
        _ => !takes_events(identified.service, identified.operation),
    };
    if !is_known_form {
        let given = claim.payload_hash().unwrap_or_default().chars().take(64).collect();
        return Err(refuse(&SignatureError::InvalidPayloadHash { given }, nobody()));
    }
    let key = signing_key(plane, &claim.credential, &credential);
    let declared = declared(&claim, identified, collected.as_deref());
    claim.verify(&parts(head), &key, &declared).map_err(|mismatch| refuse(&mismatch.into(), nobody()))?;
    let stream = match collected {
        Some(whole) => {
            check_whole(&claim, &key, whole).map_err(|error| match error {
                WholeError::Signature(error) => refuse(&error, nobody()),
                WholeError::Chunk(error) => Failure { error, principal: nobody() },
            })?;
            None
        }
        None => body.take().map(|body| checked(body, signed_check(plane, &claim, &key, identified), head)),
    };
    let authentication_type = match claim.form {
        Form::Header => "REST-HEADER",
        Form::Presigned { .. } => "REST-QUERY-STRING",
    };
    let (stream, trailers) = stream.map_or((None, Trailers::default()), |(stream, trailers)| (Some(stream), trailers));
    let mut request = head.facts(authentication_type, Some(claim.time.as_millisecond()));
    request.trailers = trailers;
    let access_key_id = Some(claim.access_key_id().to_owned());
    Ok(Authenticated { principal: Arc::clone(&credential.principal), access_key_id, request, stream })
}

/// A request that bears a key and no signature: nothing is declared of its body, so nothing of it is compared.
async fn by_bearer(
    plane: &Plane,
    head: &Head,
    body: &mut Option<Body>,
    token: &str,
    identified: &Identified,
    collected: bool,
) -> Result<Authenticated, Failure> {
    let home = plane.regions.at(0).map(|region| region.name.clone()).map_err(|error| Failure { error, principal: None })?;
    let region = identified.region.as_deref().filter(|region| plane.regions.position(region).is_some()).unwrap_or(&home);
    let bearer = bearer::authenticate(plane, token, region)
        .await
        .map_err(|failure| Failure { error: failure.error, principal: failure.principal })?;
    let stream = if collected { None } else { body.take() };
    let mut request = head.facts("bearer", bearer.signed_ms);
    request.bearer = Some(bearer.token_type);
    let access_key_id = bearer.principal.access_key_id.clone();
    Ok(Authenticated { principal: bearer.principal, access_key_id, request, stream })
}

fn check_scope(plane: &Plane, head: &Head, claim: &Claim<'_>, identified: &Identified, now: jiff::Timestamp) -> Result<(), SignatureError> {
    let mut regions: Vec<&str> = plane.regions.iter().map(|region| region.name.as_str()).collect();
    if identified.service.head.global || identified.service.head.id == "sts" {
        // Clients sign calls to global services for the partition's first region, wherever our home is.
        regions.push("us-east-1");
    }
    let skew_minutes = i64::from(identified.service.head.clock_skew_s) / 60;
    claim.check(&parts(head), now, &regions, &[identified.service.head.signing_name], skew_minutes)
}

/// Why a key opens nothing.
pub(crate) enum Rejected {
    Signature(SignatureError),
    Failed(ApiError),
}

impl Rejected {
    pub(crate) fn failure(self, service: &'static ServiceFacts, protocol: Protocol) -> Failure {
        let error = match self {
            Self::Signature(error) => reply(&error, service, protocol),
            Self::Failed(error) => error,
        };
        Failure { error, principal: None }
    }
}

impl From<ApiError> for Rejected {
    fn from(error: ApiError) -> Self {
        Self::Failed(error)
    }
}

/// What the named key opens: a session's token is opened, a long-term key is looked up.
pub(crate) async fn credential(
    plane: &Plane,
    access_key_id: &str,
    session_token: Option<&str>,
    now_ms: i64,
) -> Result<Arc<Credential>, Rejected> {
    let unknown = || Rejected::Signature(SignatureError::UnknownKey { access_key_id: access_key_id.to_owned() });
    if !KEY_ID_LENGTH.contains(&access_key_id.len()) {
        return Err(unknown());
    }
    let at = plane.refresh_identities().await?;
    if let Some(token) = session_token {
        // The token is the cache's key: another token with the same key id is opened on its own.
        let credential = match plane.identities.credential(token) {
            Some(credential) if credential.principal.access_key_id.as_deref() == Some(access_key_id) => credential,
            _ => {
                let opened = session::open(&plane.keyring, access_key_id, token)
                    .map(Arc::new)
                    .ok_or(Rejected::Signature(SignatureError::InvalidToken))?;
                plane.identities.keep_credential(at, token, &opened);
                opened
            }
        };
        if credential.principal.session.as_ref().is_none_or(|session| session.expires_ms <= now_ms) {
            return Err(Rejected::Signature(SignatureError::ExpiredToken));
        }
        return Ok(credential);
    }
    if let Some(credential) = plane.identities.credential(access_key_id) {
        return Ok(credential);
    }
    let mut tx = plane.transaction(0);
    let credential = Arc::new(plane.directory.credential(&mut tx, access_key_id).await?.ok_or_else(unknown)?);
    plane.identities.keep_credential(at, access_key_id, &credential);
    Ok(credential)
}

pub(crate) fn signing_key(plane: &Plane, claimed: &sigv4::Credential<'_>, credential: &Credential) -> Arc<SigningKey> {
    let name = claimed.as_str();
    match plane.signing_keys.get(name) {
        Ok(key) => key,
        Err(ticket) => {
            let scope = claimed.scope();
            let key = Arc::new(SigningKey::derive(&credential.secret, scope.date, scope.region, scope.service));
            plane.signing_keys.insert(ticket, name, Arc::clone(&key));
            key
        }
    }
}

/// The payload hash that stands in the canonical request. Only S3 may leave its body unsigned; elsewhere the body that came is hashed.
fn declared(claim: &Claim<'_>, identified: &Identified, collected: Option<&[u8]>) -> String {
    let of_body = || sigv4::sha256_hex(collected.unwrap_or_default());
    let is_s3 = identified.service.head.signing_name == "s3";
    match (claim.payload, claim.payload_hash()) {
        _ if takes_events(identified.service, identified.operation) => SIGNED_EVENTS.to_owned(),
        (Payload::Digest(_), Some(text)) => text.to_owned(),
        (Payload::Unsigned | Payload::Chunked(_), Some(text)) if is_s3 => text.to_owned(),
        _ => of_body(),
    }
}

enum WholeError {
    Signature(SignatureError),
    Chunk(ApiError),
}

/// A body that was read whole: compared with its declared hash, or taken out of its chunks.
fn check_whole(claim: &Claim<'_>, key: &SigningKey, whole: &mut Bytes) -> Result<(), WholeError> {
    match claim.payload {
        Payload::Digest(_) => {
            let mut computed = [0_u8; 32];
            computed.copy_from_slice(digest::digest(&digest::SHA256, whole).as_ref());
            claim.check_payload(&computed).map_err(WholeError::Signature)
        }
        Payload::Chunked(form) => {
            unchunk(ChunkedDecoder::new(form, claim.chunk_seed(key), ChunkLimits::default()), whole).map_err(WholeError::Chunk)
        }
        Payload::Undeclared | Payload::Unsigned | Payload::Events => Ok(()),
    }
}

fn chunk_error(error: &sigv4::ChunkError) -> ApiError {
    let reply = error.reply();
    ApiError::new(reply.code, reply.message).with_status(reply.status)
}

/// Takes a body that was read whole out of its chunks.
fn unchunk(mut decoder: ChunkedDecoder, whole: &mut Bytes) -> Result<(), ApiError> {
    let mut decoded = Vec::with_capacity(whole.len());
    decoder.push(whole, &mut decoded).and_then(|()| decoder.finish()).map_err(|error| chunk_error(&error))?;
    *whole = decoded.into();
    Ok(())
}

fn signed_check(plane: &Plane, claim: &Claim<'_>, key: &SigningKey, identified: &Identified) -> Check {
    if takes_events(identified.service, identified.operation) {
        return Check::Events(Box::new(SignedEvents {
            chain: claim.event_chain(key),
            decoder: Decoder::new(),
            clock: Arc::clone(&plane.clock),
            skew_ms: i64::from(identified.service.head.clock_skew_s).saturating_mul(1_000),
            is_over: false,
        }));
    }
    match claim.payload {
        Payload::Digest(declared) => Check::Digest { declared, context: Box::new(digest::Context::new(&digest::SHA256)) },
        Payload::Chunked(form) => Check::Chunked(Some(Box::new(ChunkedDecoder::new(form, claim.chunk_seed(key), ChunkLimits::default())))),
        Payload::Undeclared | Payload::Unsigned | Payload::Events => Check::None,
    }
}

/// Whether an operation's input is a stream of events.
pub(crate) fn takes_events(service: &'static ServiceFacts, operation: &'static Operation) -> bool {
    let Some(input) = operation.input else { return false };
    service.members(input).iter().any(|member| matches!(service.shape(member.shape).kind, ShapeKind::Structure { event_stream: true, .. }))
}

/// Takes events out of the frames that bear their signatures.
struct SignedEvents {
    chain: EventChain,
    decoder: Decoder,
    clock: Arc<dyn Clock>,
    /// How far an event's date may be off.
    skew_ms: i64,
    /// The event without a payload has come.
    is_over: bool,
}

impl SignedEvents {
    /// The events in some more bytes, each a frame of its own.
    fn push(&mut self, bytes: &[u8]) -> Result<Vec<u8>, ApiError> {
        let malformed = |why: &str| ApiError::new("ValidationException", format!("The stream of events is malformed: {why}"));
        self.decoder.push(bytes);
        let mut events = Vec::new();
        while let Some(message) = self.decoder.next_message().map_err(|error| malformed(&error.to_string()))? {
            if self.is_over {
                return Err(malformed("an event follows the last one"));
            }
            let (Some(HeaderValue::Timestamp(time_ms)), Some(HeaderValue::Bytes(signature))) =
                (message.header(":date"), message.header(":chunk-signature"))
            else {
                return Err(malformed("an event is not signed"));
            };
            let refused = |why: &dyn std::fmt::Display| ApiError::new("InvalidSignatureException", format!("Signature not valid: {why}"));
            if message.headers.len() != 2 {
                return Err(malformed("an event has headers beside its date and signature"));
            }
            self.chain.verify(*time_ms, &message.payload, signature).map_err(|error| refused(&error))?;
            if self.clock.now_ms().saturating_sub(*time_ms).abs() > self.skew_ms {
                return Err(refused(&"the event's date is too far off"));
            }
            self.is_over = message.payload.is_empty();
            events.extend_from_slice(&message.payload);
        }
        Ok(events)
    }

    fn end(&self) -> Result<(), ApiError> {
        if self.is_over && !self.decoder.is_mid_frame() {
            return Ok(());
        }
        // Otherwise somebody on the way could cut the stream where he likes.
        Err(crate::pipeline::body_error(&BodyError::Incomplete))
    }
}

/// How an unsigned request's body travels. Only S3 takes chunks from anonymous callers, and only those that no signature chains.
fn anonymous_check(head: &Head, identified: &Identified) -> Result<Check, ApiError> {
    match head.header("x-amz-content-sha256") {
        Some("STREAMING-UNSIGNED-PAYLOAD-TRAILER") if identified.service.head.signing_name == "s3" => {
            Ok(Check::Chunked(Some(Box::new(ChunkedDecoder::unsigned(ChunkLimits::default())))))
        }
        Some(form) if form.starts_with("STREAMING-") => {
            Err(ApiError::new("InvalidRequest", format!("an unsigned request cannot have a body of the form `{form}`")).with_status(400))
        }
        _ => Ok(Check::None),
    }
}

/// A streaming body that is checked against its signature while it is read.
fn checked(body: Body, check: Check, head: &Head) -> (Body, Trailers) {
    let trailers = Trailers::default();
    let promised =
        head.header("x-amz-decoded-content-length").and_then(|length| length.parse().ok()).filter(|_| matches!(check, Check::Chunked(_)));
    let body = CheckedBody { inner: body, check, promised, seen: 0, trailers: trailers.clone(), done: false };
    (body.boxed(), trailers)
}

enum Check {
    None,
    Digest { declared: [u8; 32], context: Box<digest::Context> },
    Chunked(Option<Box<ChunkedDecoder>>),
    Events(Box<SignedEvents>),
}

struct CheckedBody {
    inner: Body,
    check: Check,
    /// Bytes that the client said would come out of the chunks.
    promised: Option<u64>,
    seen: u64,
    trailers: Trailers,
    done: bool,
}

impl CheckedBody {
    /// What a part of the body is worth; `None`: nothing yet.
    fn part(&mut self, data: Bytes) -> Result<Option<Bytes>, ApiError> {
        let data = match &mut self.check {
            Check::None => data,
            Check::Digest { context, .. } => {
                context.update(&data);
                data
            }
            Check::Events(events) => events.push(&data)?.into(),
            Check::Chunked(Some(decoder)) => {
                let mut decoded = Vec::with_capacity(data.len());
                decoder.push(&data, &mut decoded).map_err(|error| chunk_error(&error))?;
                decoded.into()
            }
            Check::Chunked(None) => return Err(chunk_error(&sigv4::ChunkError::ExcessData)),
        };
        self.seen = self.seen.saturating_add(data.len() as u64);
        Ok((!data.is_empty()).then_some(data))
    }

    /// The end of the body: is it what was signed?
    fn end(&mut self) -> Result<(), ApiError> {
        match &mut self.check {
            Check::None => {}
            Check::Events(events) => events.end()?,
            Check::Digest { declared, context } => {
                let computed = context.clone().finish();
                if computed.as_ref() != declared {
                    let error = SignatureError::PayloadMismatch { declared: hex::encode(declared), computed: hex::encode(computed) };
                    return Err(from_reply(error.reply("s3", sigv4::Protocol::RestXml)));
                }
            }
            Check::Chunked(decoder) => {
                if let Some(decoder) = decoder.take() {
                    self.trailers.set(decoder.finish().map_err(|error| chunk_error(&error))?);
                }
            }
        }
        if self.promised.is_some_and(|promised| promised != self.seen) {
            return Err(crate::pipeline::body_error(&BodyError::Incomplete));
        }
        Ok(())
    }
}

impl http_body::Body for CheckedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            if this.done {
                return Poll::Ready(None);
            }
            let step = match ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.part(data),
                    Err(_) => Ok(None),
                },
                Some(Err(error)) => {
                    this.done = true;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    this.done = true;
                    match this.end() {
                        Ok(()) => return Poll::Ready(None),
                        Err(error) => Err(error),
                    }
                }
            };
            match step {
                Ok(Some(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(None) => {}
                Err(error) => {
                    this.done = true;
                    return Poll::Ready(Some(Err(BodyError::Rejected(error))));
                }
            }
        }
    }
}
