//! Browser uploads: a multipart form with a signed policy becomes a `PutObject` call.
//!
//! Source: S3 API reference, "POST Object" and "Browser-Based Uploads Using POST (AWS Signature Version 4)".

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use facts::{Location, Operation, Service as ServiceFacts, ShapeKind};
use http::{HeaderValue, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt as _;
use sigv4::PostForm;
use wire::{Struct, Value};

use crate::authenticate::{self, Failure};
use crate::body::{self, Body, BodyError};
use crate::error::ApiError;
use crate::pipeline::{BODY_TIMEOUT, Head, Plane, body_error};
use crate::principal::Principal;

/// All of the form before the file.
const FIELDS_LIMIT: usize = 20 * 1024;
const FIELDS: usize = 100;
const BOUNDARY_LIMIT: usize = 70;

/// A form, read up to its file.
pub(crate) struct Upload {
    fields: Vec<(String, String)>,
    /// Streams the file's content.
    file: Body,
}

/// Whether a request is such an upload: a multipart POST to a bucket.
pub(crate) fn is_upload(head: &Head) -> bool {
    head.method == "POST" && boundary(head).is_some()
}

fn boundary(head: &Head) -> Option<String> {
    let kind = head.header("content-type")?;
    let parameters = kind.strip_prefix("multipart/form-data")?;
    let boundary = parameters.split(';').map(str::trim).find_map(|parameter| parameter.strip_prefix("boundary="))?.trim_matches('"');
    (!boundary.is_empty() && boundary.len() <= BOUNDARY_LIMIT).then(|| boundary.to_owned())
}

fn malformed() -> ApiError {
    ApiError::new("MalformedPOSTRequest", "The body of your POST request is not well-formed multipart/form-data.").with_status(400)
}

/// Reads the fields; the file's content stays in the stream.
pub(crate) async fn read(head: &Head, mut incoming: Body) -> Result<Upload, ApiError> {
    let delimiter = format!("\r\n--{}", boundary(head).ok_or_else(malformed)?).into_bytes();
    // The first delimiter has no line before it.
    let mut buffer = BytesMut::from(&b"\r\n"[..]);
    let mut fields = Vec::new();
    let mut seen = 0;
    loop {
        let before = take_until(&mut buffer, &mut incoming, &delimiter, &mut seen).await?;
        let ended = fill(&mut buffer, &mut incoming, 2, &mut seen).await? && buffer.starts_with(b"--");
        if let Some(part) = fields.last_mut()
            && let (_, value @ None) = part
        {
            *value = Some(String::from_utf8(before.to_vec()).map_err(|_| malformed())?);
        }
        if ended || fields.len() > FIELDS {
            return Err(ApiError::new("InvalidArgument", "POST requires exactly one file upload per request.").with_status(400));
        }
        let headers = take_until(&mut buffer, &mut incoming, b"\r\n\r\n", &mut seen).await?;
        let (name, file_name) = disposition(&headers).ok_or_else(malformed)?;
        if name == "file" {
            let mut fields: Vec<(String, String)> =
                fields.into_iter().map(|(name, value): (String, Option<String>)| (name, value.unwrap_or_default())).collect();
            replace_file_name(&mut fields, file_name.as_deref().unwrap_or_default());
            let file = FileBody { inner: incoming, buffer, delimiter, done: false };
            return Ok(Upload { fields, file: file.boxed() });
        }
        fields.push((name, None));
    }
}

/// Bytes up to `pattern`, which is taken out as well.
async fn take_until(buffer: &mut BytesMut, incoming: &mut Body, pattern: &[u8], seen: &mut usize) -> Result<Bytes, ApiError> {
    loop {
        if let Some(at) = memchr::memmem::find(buffer, pattern) {
            let before = buffer.split_to(at).freeze();
            buffer.advance(pattern.len());
            return Ok(before);
        }
        let wanted = buffer.len() + 1;
        if !fill(buffer, incoming, wanted, seen).await? {
            return Err(malformed());
        }
    }
}

/// Reads until the buffer has `wanted` bytes; `false` when the body ends before.
async fn fill(buffer: &mut BytesMut, incoming: &mut Body, wanted: usize, seen: &mut usize) -> Result<bool, ApiError> {
    while buffer.len() < wanted {
        if *seen > FIELDS_LIMIT {
            let message = "Your POST request fields preceding the upload file were too large.";
            return Err(ApiError::new("MaxPostPreDataLengthExceeded", message).with_status(400));
        }
        match body::next(incoming, BODY_TIMEOUT).await.map_err(|error| body_error(&error))? {
            Some(data) => {
                buffer.extend_from_slice(&data);
                *seen += data.len();
            }
            None => return Ok(false),
        }
    }
    Ok(true)
}

/// `name` and `filename` of a part's `Content-Disposition`.
fn disposition(headers: &[u8]) -> Option<(String, Option<String>)> {
    let text = std::str::from_utf8(headers).ok()?;
    let line = text.split("\r\n").find(|line| line.to_ascii_lowercase().starts_with("content-disposition:"))?;
    let parameter = |name: &str| {
        let quoted = format!("{name}=\"");
        line.split(';')
            .map(str::trim)
            .find_map(|part| part.strip_prefix(quoted.as_str()))
            .and_then(|rest| rest.strip_suffix('"'))
            .map(str::to_owned)
    };
    Some((parameter("name")?, parameter("filename")))
}

fn replace_file_name(fields: &mut [(String, String)], file_name: &str) {
    let file_name = file_name.rsplit(['/', '\\']).next().unwrap_or_default();
    for (_, value) in fields {
        if value.contains("${filename}") {
            *value = value.replace("${filename}", file_name);
        }
    }
}

/// The content of the file, up to the next delimiter.
struct FileBody {
    inner: Body,
    buffer: BytesMut,
    delimiter: Vec<u8>,
    done: bool,
}

impl FileBody {
    /// The content that is certain; `None`: more must be read.
    fn certain(&mut self) -> Option<Bytes> {
        if let Some(at) = memchr::memmem::find(&self.buffer, &self.delimiter) {
            self.done = true;
            return Some(self.buffer.split_to(at).freeze());
        }
        let certain = self.buffer.len().checked_sub(self.delimiter.len())?;
        (certain > 0).then(|| self.buffer.split_to(certain).freeze())
    }
}

impl http_body::Body for FileBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if this.done {
            return Poll::Ready(None);
        }
        loop {
            if let Some(data) = this.certain() {
                if data.is_empty() {
                    return Poll::Ready(None);
                }
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            match ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        this.buffer.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => {
                    this.done = true;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    this.done = true;
                    return Poll::Ready(Some(Err(BodyError::Rejected(malformed()))));
                }
            }
        }
    }
}

/// A form whose sender is known: the `PutObject` that it asks for.
pub(crate) struct Accepted {
    pub principal: Arc<Principal>,
    pub signed_ms: Option<i64>,
    pub input: Value,
    pub file: Body,
    pub answer: Answer,
}

/// How the browser wants to be answered.
pub(crate) struct Answer {
    bucket: String,
    key: String,
    status: StatusCode,
    redirect: Option<String>,
}

/// Proves who signed the form, checks its policy, and makes the call's input.
pub(crate) async fn accept(
    plane: &Plane,
    service: &'static ServiceFacts,
    put: &'static Operation,
    bucket: &str,
    upload: Upload,
) -> Result<Accepted, Failure> {
    let Upload { fields, file } = upload;
    let refuse =
        |error: &sigv4::SignatureError| Failure { error: authenticate::reply(error, service, facts::Protocol::RestXml), principal: None };
    let (principal, signed_ms, range) = match PostForm::parse(&fields).map_err(|error| refuse(&error))? {
        None => (Arc::new(Principal::anonymous()), None, None),
        Some(form) => {
            let now_ms = plane.clock.now_ms();
            let now = jiff::Timestamp::from_millisecond(now_ms)
                .map_err(|error| Failure { error: ApiError::internal(&error), principal: None })?;
            let regions: Vec<&str> = plane.regions.iter().map(|region| region.name.as_str()).collect();
            form.check_scope(&regions, &[service.head.signing_name]).map_err(|error| refuse(&error))?;
            let credential = authenticate::credential(plane, form.credential.access_key_id(), form.session_token, now_ms)
                .await
                .map_err(|rejected| rejected.failure(service, facts::Protocol::RestXml))?;
            let key = authenticate::signing_key(plane, &form.credential, &credential);
            form.verify(&key).map_err(|mismatch| refuse(&mismatch.into()))?;
            let denied = |denial: &sigv4::PolicyDenial| {
                let reply = denial.reply();
                Failure {
                    error: ApiError::new(reply.code, reply.message).with_status(reply.status),
                    principal: Some(Arc::clone(&credential.principal)),
                }
            };
            let policy = form.policy().map_err(|denial| denied(&denial))?;
            policy.check(&fields, bucket, now).map_err(|denial| denied(&denial))?;
            (Arc::clone(&credential.principal), Some(form.time.as_millisecond()), policy.content_length_range())
        }
    };
    let failed = |error| Failure { error, principal: Some(Arc::clone(&principal)) };
    let input = put_object(service, put, bucket, &fields).map_err(failed)?;
    let answer = answer(bucket, &fields);
    let file = match range {
        Some(range) => FileCount { inner: file, range, seen: 0 }.boxed(),
        None => file,
    };
    Ok(Accepted { principal, signed_ms, input, file, answer })
}

/// Keeps the policy's `content-length-range`.
struct FileCount {
    inner: Body,
    range: (u64, u64),
    seen: u64,
}

impl http_body::Body for FileCount {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        let (least, most) = self.range;
        match &frame {
            Some(Ok(frame)) => {
                self.seen = self.seen.saturating_add(frame.data_ref().map_or(0, Bytes::len) as u64);
                if self.seen > most {
                    let error = ApiError::new("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size").with_status(400);
                    return Poll::Ready(Some(Err(BodyError::Rejected(error))));
                }
            }
            None if self.seen < least => {
                // Said once: afterwards the stream has ended.
                self.range = (0, most);
                let error =
                    ApiError::new("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size").with_status(400);
                return Poll::Ready(Some(Err(BodyError::Rejected(error))));
            }
            _ => {}
        }
        Poll::Ready(frame)
    }
}

/// The input of `PutObject`: form fields stand for its headers.
fn put_object(
    service: &'static ServiceFacts,
    put: &'static Operation,
    bucket: &str,
    fields: &[(String, String)],
) -> Result<Value, ApiError> {
    let field = |name: &str| fields.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    let key = field("key").filter(|key| !key.is_empty()).ok_or_else(|| {
        ApiError::new(
            "InvalidArgument",
            "Bucket POST must contain a field named 'key'.  If it is specified, please check the order of the fields.",
        )
        .with_status(400)
    })?;
    if field("tagging").is_some() {
        return Err(ApiError::new("NotImplemented", "the form field `tagging` is not implemented; tag the object after the upload")
            .with_status(501));
    }
    let mut input = Struct::new();
    input.set("Bucket", Value::Str(bucket.to_owned()));
    input.set("Key", Value::Str(key.clone()));
    for member in put.input.map(|shape| service.members(shape)).unwrap_or_default() {
        match member.location {
            Location::Header => {
                let name = if member.name == "ACL" { "acl" } else { member.wire_name() };
                let Some(text) = field(name) else { continue };
                let value = match service.shape(member.shape).kind {
                    ShapeKind::String => Value::Str(text.clone()),
                    ShapeKind::Boolean => Value::Bool(text == "true"),
                    _ => return Err(ApiError::new("InvalidArgument", format!("the form field `{name}` is not supported")).with_status(400)),
                };
                input.set(member.name, value);
            }
            Location::Headers => {
                let prefix = member.wire_name();
                let entries: Vec<(String, Value)> = fields
                    .iter()
                    .filter_map(|(name, value)| {
                        Some((name.to_ascii_lowercase().strip_prefix(prefix)?.to_owned(), Value::Str(value.clone())))
                    })
                    .collect();
                if !entries.is_empty() {
                    input.set(member.name, Value::Map(entries));
                }
            }
            _ => {}
        }
    }
    Ok(Value::Struct(input))
}

fn answer(bucket: &str, fields: &[(String, String)]) -> Answer {
    let field = |name: &str| fields.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone());
    let status = match field("success_action_status").as_deref() {
        Some("200") => StatusCode::OK,
        Some("201") => StatusCode::CREATED,
        _ => StatusCode::NO_CONTENT,
    };
    let redirect = field("success_action_redirect")
        .or_else(|| field("redirect"))
        .filter(|url| url.starts_with("http://") || url.starts_with("https://"));
    Answer { bucket: bucket.to_owned(), key: field("key").unwrap_or_default(), status, redirect }
}

impl Answer {
    /// Turns the answer of `PutObject` into that of the form.
    pub(crate) fn dress(self, put: Response<Body>) -> Response<Body> {
        if !put.status().is_success() {
            return put;
        }
        let (mut head, _) = put.into_parts();
        let etag = head.headers.get("etag").and_then(|etag| etag.to_str().ok()).unwrap_or_default().to_owned();
        head.headers.remove("content-type");
        head.headers.remove("content-length");
        head.status = self.status;
        let mut content = body::empty();
        let location = self.redirect.as_deref().and_then(|url| {
            let joint = if url.contains('?') { '&' } else { '?' };
            HeaderValue::from_str(&format!("{url}{joint}bucket={}&key={}&etag={}", escape(&self.bucket), escape(&self.key), escape(&etag)))
                .ok()
        });
        if let Some(location) = location {
            head.status = StatusCode::SEE_OTHER;
            head.headers.insert("location", location);
        } else if self.status == StatusCode::CREATED {
            let xml = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            let document = format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<PostResponse><Location>/{}/{}</Location><Bucket>{}</Bucket><Key>{}</Key><ETag>{}</ETag></PostResponse>",
                xml(&self.bucket),
                xml(&escape(&self.key)),
                xml(&self.bucket),
                xml(&self.key),
                xml(&etag)
            );
            head.headers.insert("content-type", HeaderValue::from_static("application/xml"));
            content = body::full(document);
        }
        Response::from_parts(head, content)
    }
}

/// Percent-encodes all but the unreserved characters.
fn escape(text: &str) -> String {
    text.bytes()
        .map(
            |byte| {
                if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
            },
        )
        .collect()
}
