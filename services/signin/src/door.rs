//! The door that browsers use: a form in HTML, and what it sends.
//!
//! Source: RFC 6749, section 4.1.1, for the parameters; OWASP, "Cross-Site Request Forgery Prevention", for the check of where a form was.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use plane::ApiError;
use plane::door::{AnswerWriter, Door, DoorAnswer, DoorRequest, EventWriter, Meant};
use plane::identify::form_value;
use wire::event_stream::Message;
use wire::{ErrorReply, Struct, Value};

use crate::client::Client;
use crate::console_login::Outcome;
use crate::error::invalid_request;
use crate::page;

const PATH: &str = "/v1/authorize";
const FORM: &str = "application/x-www-form-urlencoded";
/// Bytes of a form.
const BODY_BYTES_MAX: u64 = 16 * 1024;
/// Parameters of the request for a code, with the members that they become. The form carries them along.
pub(crate) const PARAMETERS: [(&str, &str); 7] = [
    ("client_id", "clientId"),
    ("code_challenge", "codeChallenge"),
    ("code_challenge_method", "codeChallengeMethod"),
    ("redirect_uri", "redirectUri"),
    ("response_type", "responseType"),
    ("scope", "scope"),
    ("state", "state"),
];
/// What is typed into the form.
const FIELDS: [(&str, &str); 5] =
    [("account", "account"), ("username", "userName"), ("password", "password"), ("mfa_code", "mfaCode"), ("new_password", "newPassword")];

/// The sign-in page.
pub(crate) struct SignInDoor;

/// Parameters of a request for a code, by name.
pub(crate) type Parameters = Vec<(&'static str, String)>;

fn parameters(text: &[u8]) -> Parameters {
    PARAMETERS.iter().filter_map(|(name, _)| Some((*name, form_value(text, name)?))).collect()
}

fn value<'a>(parameters: &'a Parameters, name: &str) -> &'a str {
    parameters.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value.as_str())
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Whether the form was on our own page, or no browser sent it. A browser says where a form was; what says nothing has no cookies that could be
/// misused, either.
fn is_from_own_page(headers: &HeaderMap) -> bool {
    if let Some(site) = header(headers, "sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    let Some(origin) = header(headers, "origin") else { return true };
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    authority.is_some_and(|authority| header(headers, "host").is_some_and(|host| host.eq_ignore_ascii_case(authority)))
}

fn input(request: &DoorRequest<'_>, parameters: &Parameters) -> Result<Value, ApiError> {
    if !is_from_own_page(request.headers) {
        return Err(invalid_request("The form was on a page of another site."));
    }
    if !header(request.headers, "content-type").is_some_and(|kind| kind.starts_with(FORM)) {
        return Err(invalid_request("The body is not a form."));
    }
    let mut authorization = Struct::new();
    for (name, member) in PARAMETERS {
        let value = value(parameters, name);
        if !value.is_empty() {
            authorization.set(member, Value::Str(value.to_owned()));
        }
    }
    let mut input = Struct::new();
    for (name, member) in FIELDS {
        if let Some(value) = form_value(request.body, name).filter(|value| !value.is_empty()) {
            input.set(member, Value::Str(value));
        }
    }
    input.set("authorization", Value::Struct(authorization));
    Ok(Value::Struct(input))
}

impl Door for SignInDoor {
    fn takes(&self, path: &str, is_keyed: bool) -> bool {
        path == PATH && !is_keyed
    }

    fn body_bytes_max(&self) -> u64 {
        BODY_BYTES_MAX
    }

    fn page(&self, request: &DoorRequest<'_>) -> Option<DoorAnswer> {
        if request.method != "GET" {
            return None;
        }
        let parameters = parameters(request.query.as_bytes());
        let host = header(request.headers, "host");
        let allowed = Client::of(value(&parameters, "client_id"), value(&parameters, "redirect_uri"), host);
        Some(match allowed {
            Ok(_) => page::form(200, &parameters, None, false),
            // To a place that is not the client's nothing is sent, not even an error.
            Err(error) => page::refusal(400, &error.message),
        })
    }

    fn read(&self, request: &DoorRequest<'_>) -> Option<Meant> {
        if request.method != "POST" {
            return None;
        }
        let parameters = parameters(request.body);
        let input = input(request, &parameters);
        let writer = Arc::new(Answer { parameters });
        Some(Meant { service: api_signin::SERVICE, operation: "ConsoleLogin", input, writer })
    }

    fn error(&self, error: &ErrorReply) -> DoorAnswer {
        page::refusal(error.status, &error.message)
    }

    fn request_id_header(&self) -> &'static str {
        "x-amzn-requestid"
    }
}

/// Writes the page that follows a sign-in.
struct Answer {
    parameters: Parameters,
}

impl AnswerWriter for Answer {
    fn answer(&self, output: &Value) -> DoorAnswer {
        let text = |member: &str| output.member(member).and_then(Value::as_str).unwrap_or_default();
        let outcome = Outcome::ALL.into_iter().find(|outcome| outcome.name() == text("outcome"));
        match outcome {
            Some(Outcome::Redirect) => page::redirect(text("location")),
            Some(Outcome::Confirmation) => page::confirmation(text("verificationCode")),
            Some(Outcome::ChangePassword) => page::form(403, &self.parameters, Some(text("message")), true),
            Some(Outcome::Throttled) => page::form(429, &self.parameters, Some(text("message")), false),
            Some(Outcome::Refused) | None => page::form(403, &self.parameters, Some(text("message")), false),
        }
    }

    fn stream(&self) -> Box<dyn EventWriter> {
        Box::new(NoEvents)
    }
}

/// Nothing here streams.
struct NoEvents;

impl EventWriter for NoEvents {
    fn content_type(&self) -> &'static str {
        page::CONTENT_TYPE
    }

    fn event(&mut self, _message: &Message) -> Vec<u8> {
        Vec::new()
    }

    fn end(&mut self) -> Vec<u8> {
        Vec::new()
    }
}

/// A whole answer in HTML.
pub(crate) fn html(status: u16, headers: Vec<(&'static str, String)>, body: String) -> DoorAnswer {
    DoorAnswer { status, content_type: page::CONTENT_TYPE, headers, body: Bytes::from(body) }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (http::header::HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn forms_of_other_sites_are_refused() {
        for own in [&[][..], &[("sec-fetch-site", "same-origin")], &[("origin", "https://signin.example:1"), ("host", "signin.example:1")]]
        {
            assert!(is_from_own_page(&headers(own)), "{own:?}");
        }
        for foreign in [
            &[("sec-fetch-site", "cross-site"), ("origin", "https://signin.example"), ("host", "signin.example")][..],
            &[("sec-fetch-site", "same-site")],
            &[("origin", "https://other.example"), ("host", "signin.example")],
            &[("origin", "null"), ("host", "signin.example")],
        ] {
            assert!(!is_from_own_page(&headers(foreign)), "{foreign:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_read_again(text in ".{0,60}") {
            let form = format!("state={}", wire::percent_encoded(&text));
            prop_assert_eq!(form_value(form.as_bytes(), "state"), Some(text));
        }

        #[test]
        fn no_request_breaks_the_door(query in "[ -~]{0,120}", body in proptest::collection::vec(any::<u8>(), 0..120)) {
            let headers = headers(&[("content-type", FORM), ("host", "signin.example")]);
            for method in ["GET", "POST", "PUT"] {
                let request = DoorRequest { method, path: PATH, query: &query, headers: &headers, body: &body };
                let _ = SignInDoor.page(&request);
                let _ = SignInDoor.read(&request);
            }
        }
    }
}
