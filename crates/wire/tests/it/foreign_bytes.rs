//! Random and mutated bytes: every codec answers, none panics.

use facts::Protocol;
use http::{HeaderMap, HeaderName, HeaderValue};
use wire::{Labels, RequestParts};

use crate::arbitrary::{Random, messages, operations};
use crate::round_trip::header_map;

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(6) {
        let at = random.below(bytes.len() + 1);
        match random.below(5) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.next().to_le_bytes()[0]),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            _ => {
                let piece = bytes[at..].to_vec();
                bytes.extend(piece.into_iter().take(64));
            }
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn mutated_requests_never_panic() {
    let (mut accepted, mut refused) = (0, 0);
    for (service, protocol, operation) in operations() {
        let mut random = Random::for_name(operation.name, 77);
        for round in 0..4 {
            let (input, _) = messages(service, protocol, operation, round);
            let mut request = wire::encode_input(protocol, service, operation, &input);
            let mut path = request.path.clone().into_bytes();
            let mut query = request.query.clone().into_bytes();
            mutate(&mut request.body, &mut random);
            if round % 2 == 1 {
                mutate(&mut path, &mut random);
                mutate(&mut query, &mut random);
            }
            let (path, query) = (format!("/{}", text(&path).trim_start_matches('/')), text(&query));
            let mut headers = header_map(&request.headers);
            let noise = HeaderValue::from_bytes(b"\xFF,\"").unwrap();
            for (name, _) in &request.headers {
                if random.below(4) == 0 {
                    headers.insert(HeaderName::try_from(name.as_ref()).unwrap(), noise.clone());
                }
            }
            let parts = RequestParts { method: request.method, path: &path, query: &query, headers: &headers, host_label: None };
            let labels = match wire::route_rest(service, &parts) {
                Some((_, labels)) => labels,
                None => Labels::default(),
            };
            match wire::decode_input(protocol, service, operation, &parts, &labels, &request.body) {
                Ok(_) => accepted += 1,
                Err(error) => {
                    refused += 1;
                    let reply = error.to_reply(service);
                    assert!(!reply.code.is_empty() && (400..500).contains(&reply.status), "{reply:?}");
                    wire::encode_error(protocol, Some(service), &reply, "request-1");
                }
            }
        }
    }
    assert!(accepted > 100 && refused > 1000, "accepted {accepted}, refused {refused}");
}

#[test]
fn random_answers_never_panic() {
    let mut random = Random::new(5);
    let none = HeaderMap::new();
    for (service, protocol, operation) in operations() {
        let (_, output) = messages(service, protocol, operation, 9);
        let mut answer = wire::encode_output(protocol, service, operation, &output, "request-1");
        mutate(&mut answer.body, &mut random);
        let headers = header_map(&answer.headers);
        let _ = wire::decode_output(protocol, service, operation, 200, &headers, &answer.body);
        let error = wire::decode_error(protocol, service, 400, &none, &answer.body);
        assert!(!error.code.is_empty());
    }
}

#[test]
fn random_bytes_never_panic() {
    let mut random = Random::new(6);
    let headers = HeaderMap::new();
    for (service, protocol, operation) in operations() {
        let length = random.below(64);
        let body: Vec<u8> = (0..length).map(|_| random.next().to_le_bytes()[0]).collect();
        let parts = RequestParts { method: "POST", path: "/", query: "", headers: &headers, host_label: None };
        let _ = wire::decode_input(protocol, service, operation, &parts, &Labels::default(), &body);
        let _ = wire::decode_output(protocol, service, operation, 200, &headers, &body);
    }
}

#[test]
fn deep_nesting_is_refused() {
    let glue = facts::catalog().service("kms").unwrap();
    let operation = glue.operation("CreateKey").unwrap();
    let headers = HeaderMap::new();
    let parts = RequestParts { method: "POST", path: "/", query: "", headers: &headers, host_label: None };
    let decode = |protocol, body: &[u8]| wire::decode_input(protocol, glue, operation, &parts, &Labels::default(), body);
    let deep = |open: &str| format!("{{\"x\":{}", open.repeat(100_000));
    assert!(decode(Protocol::Json11, deep("[").as_bytes()).is_err());
    assert!(decode(Protocol::Json11, deep("{\"x\":").as_bytes()).is_err());
    assert!(decode(Protocol::RestXml, "<a>".repeat(100_000).as_bytes()).is_err());
    assert!(decode(Protocol::RpcV2Cbor, &vec![0x81; 100_000]).is_err());
    let nested = [&[0xA1, 0x61, b'x'][..], &vec![0x81; 100_000]].concat();
    assert!(decode(Protocol::RpcV2Cbor, &nested).is_err());
    // A length that is promised and not kept must not be believed.
    assert!(decode(Protocol::RpcV2Cbor, &[0xBB, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]).is_err());
    let form = format!("a{}=1", ".a".repeat(10_000));
    assert!(decode(Protocol::Query, form.as_bytes()).is_err());
    assert!(decode(Protocol::Query, "a=1&".repeat(10_001).as_bytes()).is_err());
}
