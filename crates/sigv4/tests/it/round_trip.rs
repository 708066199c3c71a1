//! What the signer signs the verifier accepts; what was changed in between it refuses; nothing panics.

use http::HeaderMap;
use proptest::prelude::*;
use sigv4::{
    ChunkLimits, ChunkedDecoder, ChunkedEncoder, ChunkedForm, Claim, Payload, RequestParts, Secret, SignatureError, Signer, SigningKey,
    UNSIGNED_PAYLOAD, sha256_hex,
};

use crate::{at, headers};

const NOW: &str = "20261122T120000Z";

fn signer(service: &str, token: Option<String>) -> Signer {
    Signer {
        access_key_id: "AKIAEXAMPLE".to_owned(),
        secret: Secret::new("a/secret+key"),
        session_token: token,
        region: "eu-central-1".to_owned(),
        service: service.to_owned(),
    }
}

fn key(service: &str) -> SigningKey {
    SigningKey::derive("a/secret+key", "20261122", "eu-central-1", service)
}

/// The whole check as a server makes it, with the body at hand.
fn accept(parts: &RequestParts<'_>, body: &[u8], service: &str) -> Result<(), SignatureError> {
    let claim = Claim::parse(parts)?;
    claim.check(parts, at(NOW), &["eu-central-1"], &[service], 15)?;
    let computed = sha256_hex(body);
    let hash = match claim.payload_hash() {
        Some(declared) if service == "s3" => declared,
        _ => &computed,
    };
    claim.verify(parts, &key(service), hash)?;
    let mut digest = [0; 32];
    hex::decode_to_slice(&computed, &mut digest).unwrap();
    claim.check_payload(&digest)
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof![r"(/[a-zA-Z0-9._~%$+ -]{0,8}){1,4}/?", Just("/a//b/../c/%2e%2E/é".to_owned()), Just(String::new())]
}

fn query() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), r"[a-c%2]{1,3}(=[a-z/+~%0-9]{0,5})?(&[a-c]{1,2}(=[A-Z*]{0,3})?){0,4}"]
}

fn service() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("s3"), Just("iam")]
}

proptest! {
    #[test]
    fn header_form(path in path(), query in query(), service in service(), token in proptest::option::of("[A-Za-z0-9/+=]{1,80}"),
                   meta in " {0,2}[!-~ ]{0,20}", body in proptest::collection::vec(any::<u8>(), 0..40), place in any::<prop::sample::Index>()) {
        let mut map = headers(&[("host", "example.test"), ("x-amz-meta-note", &meta), ("content-type", "text/plain"), ("user-agent", "x")]);
        signer(service, token).sign("PUT", &path, &query, &mut map, &sha256_hex(&body), at(NOW)).unwrap();
        let parts = RequestParts { method: "PUT", path: &path, query: &query, headers: &map, authority: None };
        prop_assert_eq!(accept(&parts, &body, service), Ok(()));

        // HTTP/2 has `:authority` in place of the header.
        let mut without_host = map.clone();
        without_host.remove("host");
        let http2 = RequestParts { headers: &without_host, authority: Some("example.test"), ..parts };
        prop_assert_eq!(accept(&http2, &body, service), Ok(()));
        prop_assert!(accept(&RequestParts { authority: Some("evil.test"), ..http2 }, &body, service).is_err(), "another host");

        // What is not signed may change, the rest may not.
        let mut changed = map.clone();
        changed.insert("user-agent", "y".parse().unwrap());
        prop_assert_eq!(accept(&RequestParts { headers: &changed, ..parts }, &body, service), Ok(()));
        for name in ["host", "x-amz-meta-note", "content-type", "x-amz-date"] {
            let mut changed = map.clone();
            let value = changed.get(name).unwrap().as_bytes();
            let value = if name == "x-amz-date" { b"20261122T120001Z".to_vec() } else { [value, b"x"].concat() };
            changed.insert(name, http::HeaderValue::from_bytes(&value).unwrap());
            prop_assert!(accept(&RequestParts { headers: &changed, ..parts }, &body, service).is_err(), "{}", name);
        }
        let mut added = map.clone();
        added.insert("x-amz-acl", "public-read".parse().unwrap());
        let refused = accept(&RequestParts { headers: &added, ..parts }, &body, service);
        let names_it = matches!(refused, Err(SignatureError::HeadersNotSigned { .. }));
        prop_assert!(names_it);

        // Replayed with another body.
        let mut other = body.clone();
        match other.get_mut(place.index(body.len().max(1))) { Some(byte) => *byte ^= 1, None => other.push(0) }
        prop_assert!(accept(&parts, &other, service).is_err());

        prop_assert!(accept(&RequestParts { method: "GET", ..parts }, &body, service).is_err(), "another method");
        let longer = format!("{path}/x");
        prop_assert!(accept(&RequestParts { path: &longer, ..parts }, &body, service).is_err(), "another path");
        let longer = format!("{query}&x=1");
        prop_assert!(accept(&RequestParts { query: &longer, ..parts }, &body, service).is_err(), "another query");
    }

    #[test]
    fn any_changed_character_of_the_authorization_header_fails(place in any::<prop::sample::Index>(), replacement in b'!'..b'~') {
        let mut map = headers(&[("host", "example.test")]);
        signer("iam", None).sign("GET", "/", "", &mut map, &sha256_hex(b""), at(NOW)).unwrap();
        let mut value = map.get("authorization").unwrap().as_bytes().to_vec();
        let place = place.index(value.len());
        prop_assume!(value[place] != replacement && value[place] != b' ');
        // The access key id only selects the secret: here the "database" has one secret for all, so leave it alone.
        prop_assume!(!(28..39).contains(&place));
        value[place] = replacement;
        map.insert("authorization", http::HeaderValue::from_bytes(&value).unwrap());
        let parts = RequestParts { method: "GET", path: "/", query: "", headers: &map, authority: None };
        prop_assert!(accept(&parts, b"", "iam").is_err(), "{}", String::from_utf8_lossy(&value));
    }

    #[test]
    fn presigned_form(path in path(), query in query(), service in service(), token in proptest::option::of("[A-Za-z0-9/+=]{1,80}"),
                      place in any::<prop::sample::Index>(), replacement in "[a-zA-Z0-9&=/]") {
        let map = headers(&[("host", "example.test")]);
        let full = signer(service, token).presign("GET", &path, &query, &map, 60, at(NOW)).unwrap();
        let parts = RequestParts { method: "GET", path: &path, query: &full, headers: &map, authority: None };
        prop_assert_eq!(accept(&parts, b"", service), Ok(()));

        // Any change inside the signature's parameters (what stands before may hold neutral changes such as `&&`).
        let start = full.find("X-Amz-Credential").unwrap();
        let place = start + place.index(full.len() - start);
        let mut changed = full.clone();
        changed.replace_range(place..=place, &replacement);
        // The same text with another case of percent-encoded digits (`%2f`) is the same request.
        prop_assume!(!changed.eq_ignore_ascii_case(&full));
        let key_id = full.find("AKIAEXAMPLE").unwrap();
        prop_assume!(!(key_id..key_id + 11).contains(&place));
        prop_assert!(accept(&RequestParts { query: &changed, ..parts }, b"", service).is_err(), "{}", changed);
    }

    #[test]
    fn chunked_form(data in proptest::collection::vec(any::<u8>(), 0..300), chunk in 1_usize..100, piece in 1_usize..40,
                    form in prop_oneof![Just(ChunkedForm::Signed), Just(ChunkedForm::SignedTrailer), Just(ChunkedForm::UnsignedTrailer)],
                    trailers in proptest::collection::btree_map("x-[a-z]{1,6}", "[!-~]{0,12}", 0..3), place in any::<prop::sample::Index>()) {
        let mark = match form {
            ChunkedForm::Signed => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            ChunkedForm::SignedTrailer => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
            ChunkedForm::UnsignedTrailer => "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        };
        let mut map = headers(&[("host", "example.test")]);
        let seed = signer("s3", None).sign("PUT", "/b/k", "", &mut map, mark, at(NOW)).unwrap();
        let parts = RequestParts { method: "PUT", path: "/b/k", query: "", headers: &map, authority: None };
        let claim = Claim::parse(&parts).unwrap();
        prop_assert_eq!(claim.payload, Payload::Chunked(form));
        prop_assert_eq!(claim.verify(&parts, &key("s3"), mark), Ok(()));

        let trailers: Vec<_> = if form == ChunkedForm::Signed { Vec::new() } else { trailers.into_iter().collect() };
        let mut body = Vec::new();
        let mut encoder = ChunkedEncoder::new(form, seed);
        data.chunks(chunk).for_each(|part| encoder.chunk(part, &mut body));
        encoder.finish(&trailers, &mut body);

        let decode = |body: &[u8], piece: usize| {
            let mut decoder = ChunkedDecoder::new(form, claim.chunk_seed(&key("s3")), ChunkLimits::default());
            let mut out = Vec::new();
            for part in body.chunks(piece) {
                decoder.push(part, &mut out)?;
            }
            decoder.finish().map(|trailers| (out, trailers))
        };
        prop_assert_eq!(decode(&body, piece), Ok((data.clone(), trailers.clone())));
        prop_assert_eq!(decode(&body, body.len()), Ok((data, trailers)));
        if form != ChunkedForm::UnsignedTrailer {
            let mut changed = body.clone();
            let place = place.index(body.len());
            changed[place] ^= 1;
            prop_assert!(decode(&changed, piece).is_err(), "byte {}", place);
        }
    }

    #[test]
    fn nothing_panics(method in ".{0,8}", path in ".{0,60}", query in "(X-Amz-[A-Z][a-z]{3,9}=?)?.{0,80}", names in ".{0,60}", authorization in
                      proptest::collection::vec(any::<u8>(), 0..120), body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut map = HeaderMap::new();
        for value in [authorization.clone(), [b"AWS4-HMAC-SHA256 Credential=a/b/c/d/e,SignedHeaders=".as_slice(), names.as_bytes(), b",Signature="].concat()] {
            if let Ok(value) = http::HeaderValue::from_bytes(&value) {
                map.insert("authorization", value);
                map.insert("x-amz-date", NOW.parse().unwrap());
            }
            let parts = RequestParts { method: &method, path: &path, query: &query, headers: &map, authority: None };
            let _ = accept(&parts, &body, "iam");
            let _ = accept(&parts, &body, "s3");
        }
        let mut decoder = ChunkedDecoder::unsigned(ChunkLimits { header_bytes: 16, chunk_bytes: 100, trailer_bytes: 32 });
        let _ = decoder.push(&body, &mut Vec::new());
        let _ = decoder.finish();
        let _ = sigv4::PostPolicy::parse(&query);
    }
}

#[test]
fn chunk_limits_hold() {
    let limits = ChunkLimits { header_bytes: 16, chunk_bytes: 100, trailer_bytes: 32 };
    for (body, expected) in [
        ("f".repeat(40), "the chunk header is longer than 16 bytes"),
        ("65\r\n".to_owned(), "the chunk is larger than 100 bytes"),
        ("-1\r\n".to_owned(), "the chunk header is malformed"),
        ("\r\n".to_owned(), "the chunk header is malformed"),
        ("1\r\nab\r\n".to_owned(), "the chunk does not end where it says"),
        (format!("0\r\nx:{}\r\n", "y".repeat(40)), "the trailer is longer than 32 bytes"),
        ("0\r\nx\r\n\r\n".to_owned(), "the trailer is malformed"),
        ("0\r\nx:1\r\nX:2\r\n\r\n".to_owned(), "the trailer is malformed"),
        ("0\r\n\r\nmore".to_owned(), "there are bytes after the last chunk"),
    ] {
        let mut decoder = ChunkedDecoder::unsigned(limits);
        let error = decoder.push(body.as_bytes(), &mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert_eq!(decoder.push(b"0\r\n\r\n", &mut Vec::new()), Err(error.clone()), "an error is final");
        assert_eq!(decoder.finish(), Err(error));
    }
}

#[test]
fn an_unsigned_payload_is_declared_and_seen() {
    let mut map = headers(&[("host", "example.test")]);
    signer("s3", None).sign("PUT", "/b/k", "", &mut map, UNSIGNED_PAYLOAD, at(NOW)).unwrap();
    let parts = RequestParts { method: "PUT", path: "/b/k", query: "", headers: &map, authority: None };
    assert_eq!(Claim::parse(&parts).unwrap().payload, Payload::Unsigned);
    assert_eq!(accept(&parts, b"whatever", "s3"), Ok(()));
}
