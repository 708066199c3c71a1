//! A request as it came, before anything of it is believed.

use std::sync::Arc;

use http::HeaderValue;
use wire::RequestParts;

use crate::authenticate;
use crate::body::Body;
use crate::call::RequestFacts;
use crate::door::Door;
use crate::origin::Origin;

/// A request as it was received, taken apart.
pub(crate) struct Received {
    pub head: Head,
    pub body: Option<Body>,
    /// The protocol that it is in, when it is not AWS's.
    pub door: Option<Arc<dyn Door>>,
}

/// All of a request but its body.
pub(crate) struct Head {
    pub method: String,
    /// Raw, percent-encoded.
    pub path: String,
    pub query: String,
    pub host: Option<String>,
    pub headers: Arc<http::HeaderMap>,
    pub origin: Arc<Origin>,
}

impl Received {
    pub(crate) fn new(request: http::Request<Body>, origin: Arc<Origin>) -> Self {
        let (mut head, body) = request.into_parts();
        let host = head
            .headers
            .get("host")
            .and_then(|host| host.to_str().ok())
            .map(str::to_owned)
            .or_else(|| head.uri.authority().map(ToString::to_string));
        // HTTP/2 has no host header; signatures are made over one.
        if !head.headers.contains_key("host")
            && let Some(value) = host.as_deref().and_then(|host| HeaderValue::from_str(host).ok())
        {
            head.headers.insert("host", value);
        }
        let head = Head {
            method: head.method.as_str().to_owned(),
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            host,
            headers: Arc::new(head.headers),
            origin,
        };
        Self { head, body: Some(body), door: None }
    }
}

impl Head {
    /// As the codecs want it.
    pub(crate) fn parts<'a>(&'a self, host_label: Option<&'a str>) -> RequestParts<'a> {
        RequestParts { method: &self.method, path: &self.path, query: &self.query, headers: &self.headers, host_label }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) fn facts(&self, authentication_type: &'static str, signed_ms: Option<i64>) -> RequestFacts {
        RequestFacts {
            origin: Arc::clone(&self.origin),
            method: self.method.clone(),
            path: self.path.clone(),
            query: self.query.clone(),
            host: self.host.clone(),
            headers: Arc::clone(&self.headers),
            user_agent: self.header("user-agent").unwrap_or_default().to_owned(),
            authentication_type,
            signed_ms,
            content_sha256: self.header("x-amz-content-sha256").map(str::to_owned),
            bearer: None,
            trailers: authenticate::Trailers::default(),
        }
    }
}
