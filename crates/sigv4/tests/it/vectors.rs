//! Published test vectors: the AWS signing test suite and the examples of the S3 API reference.

use serde_json::Value;
use sigv4::{
    ChunkError, ChunkLimits, ChunkedDecoder, ChunkedForm, Claim, EMPTY_PAYLOAD_SHA256, Form, Payload, SignatureError, SigningKey,
    sha256_hex,
};

use crate::{S3_SECRET, SUITE_SECRET, at, headers, parts};

#[test]
fn aws_signing_test_suite() {
    let suite: Value = serde_json::from_str(include_str!("../data/signing-test-suite.json")).unwrap();
    let cases = suite.as_array().unwrap();
    assert_eq!(cases.len(), 36);
    let key = SigningKey::derive(SUITE_SECRET, "20150830", "us-east-1", "service");
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let pairs: Vec<_> =
            case["headers"].as_array().unwrap().iter().map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap().trim())).collect();
        let map = headers(&pairs);
        let parts = parts(case["method"].as_str().unwrap(), case["target"].as_str().unwrap(), &map);
        let body = case["body"].as_str().unwrap();
        let claim = Claim::parse(&parts).unwrap_or_else(|error| panic!("{name}: {error}"));
        claim.verify(&parts, &key, &sha256_hex(body.as_bytes())).unwrap_or_else(|error| panic!("{name}: {error:#?}"));
        claim.check(&parts, at("20150830T123700Z"), &["us-east-1"], &["service"], 5).unwrap_or_else(|error| panic!("{name}: {error}"));

        let mismatch = claim.verify(&parts, &key, &sha256_hex(b"another body")).unwrap_err();
        if let Some(expected) = case["canonical_request"].as_str() {
            let (expected, _) = expected.rsplit_once('\n').unwrap();
            let (canonical, _) = mismatch.canonical_request.rsplit_once('\n').unwrap();
            assert_eq!(canonical, expected, "{name}");
        }
    }
}

type Example<'a> = (&'a str, &'a str, Vec<(&'a str, &'a str)>, &'a str, &'a str, &'a str);

/// S3 API reference, "Authenticating Requests: Using the Authorization Header", examples 1 to 4.
#[test]
fn s3_header_examples() {
    let host = ("host", "examplebucket.s3.amazonaws.com");
    let date = ("x-amz-date", "20130524T000000Z");
    let put_hash = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
    let examples: [Example<'_>; 4] = [
        (
            "GET",
            "/test.txt",
            vec![host, ("range", "bytes=0-9"), date],
            "host;range;x-amz-content-sha256;x-amz-date",
            EMPTY_PAYLOAD_SHA256,
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT",
            "/test%24file.text",
            vec![host, ("date", "Fri, 24 May 2013 00:00:00 GMT"), date, ("x-amz-storage-class", "REDUCED_REDUNDANCY")],
            "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
            put_hash,
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            "GET",
            "/?lifecycle",
            vec![host, date],
            "host;x-amz-content-sha256;x-amz-date",
            EMPTY_PAYLOAD_SHA256,
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "GET",
            "/?max-keys=2&prefix=J",
            vec![host, date],
            "host;x-amz-content-sha256;x-amz-date",
            EMPTY_PAYLOAD_SHA256,
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ];
    let key = SigningKey::derive(S3_SECRET, "20130524", "us-east-1", "s3");
    for (method, target, mut pairs, signed, hash, signature) in examples {
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders={signed},Signature={signature}"
        );
        pairs.push(("x-amz-content-sha256", hash));
        pairs.push(("authorization", &authorization));
        let map = headers(&pairs);
        let parts = parts(method, target, &map);
        let claim = Claim::parse(&parts).unwrap();
        assert_eq!(claim.verify(&parts, &key, claim.payload_hash().unwrap()), Ok(()), "{method} {target}");
        assert_eq!(claim.check(&parts, at("20130524T000500Z"), &["us-east-1"], &["s3"], 15), Ok(()));
    }
    assert_eq!(sha256_hex(b"Welcome to Amazon S3."), put_hash);
}

/// S3 API reference, "Authenticating Requests: Using Query Parameters".
#[test]
fn s3_presigned_example() {
    let map = headers(&[("host", "examplebucket.s3.amazonaws.com")]);
    let target = "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
    let parts = parts("GET", target, &map);
    let claim = Claim::parse(&parts).unwrap();
    assert_eq!(claim.form, Form::Presigned { expires_seconds: 86_400 });
    assert_eq!(claim.payload, Payload::Unsigned);
    let key = SigningKey::derive(S3_SECRET, "20130524", "us-east-1", "s3");
    assert_eq!(claim.verify(&parts, &key, claim.payload_hash().unwrap()), Ok(()));
    assert_eq!(claim.check(&parts, at("20130525T000000Z"), &["us-east-1"], &["s3"], 15), Ok(()));
    let late = claim.check(&parts, at("20130525T000001Z"), &["us-east-1"], &["s3"], 15);
    assert!(matches!(late, Err(SignatureError::PresignedExpired { .. })), "{late:?}");
}

struct Chunked {
    form: ChunkedForm,
    seed_signature: &'static str,
    chunks: [&'static str; 3],
    trailer: &'static str,
}

fn chunked_example(example: &Chunked) -> (Vec<u8>, ChunkedDecoder) {
    let mut pairs = vec![
        ("host", "s3.amazonaws.com"),
        ("x-amz-date", "20130524T000000Z"),
        ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ("content-encoding", "aws-chunked"),
        ("x-amz-decoded-content-length", "66560"),
    ];
    let signed = if example.form == ChunkedForm::Signed {
        pairs.push(("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"));
        pairs.push(("content-length", "66824"));
        "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class"
    } else {
        pairs.push(("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"));
        pairs.push(("x-amz-trailer", "x-amz-checksum-crc32c"));
        "content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer"
    };
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders={signed},Signature={}",
        example.seed_signature
    );
    pairs.push(("authorization", &authorization));
    let map = headers(&pairs);
    let parts = parts("PUT", "/examplebucket/chunkObject.txt", &map);
    let claim = Claim::parse(&parts).unwrap();
    assert_eq!(claim.payload, Payload::Chunked(example.form));
    let key = SigningKey::derive(S3_SECRET, "20130524", "us-east-1", "s3");
    assert_eq!(claim.verify(&parts, &key, claim.payload_hash().unwrap()), Ok(()));

    let mut body = Vec::new();
    for (size, signature) in [65_536, 1024, 0].into_iter().zip(example.chunks) {
        body.extend_from_slice(format!("{size:x};chunk-signature={signature}\r\n").as_bytes());
        if size > 0 {
            body.extend(std::iter::repeat_n(b'a', size));
            body.extend_from_slice(b"\r\n");
        }
    }
    body.extend_from_slice(example.trailer.as_bytes());
    body.extend_from_slice(b"\r\n");
    (body, ChunkedDecoder::new(example.form, claim.chunk_seed(&key), ChunkLimits::default()))
}

const SIGNED: Chunked = Chunked {
    form: ChunkedForm::Signed,
    seed_signature: "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
    chunks: [
        "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
        "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
    ],
    trailer: "",
};

const SIGNED_TRAILER: Chunked = Chunked {
    form: ChunkedForm::SignedTrailer,
    seed_signature: "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
    chunks: [
        "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
        "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
        "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
    ],
    trailer: "x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n",
};

/// S3 API reference, "Transferring Payload in Multiple Chunks", with and without trailing headers.
#[test]
fn s3_chunked_examples() {
    for example in [SIGNED, SIGNED_TRAILER] {
        let (body, mut decoder) = chunked_example(&example);
        let mut out = Vec::new();
        decoder.push(&body, &mut out).unwrap();
        assert_eq!(out, vec![b'a'; 66_560]);
        assert_eq!(decoder.decoded_bytes(), 66_560);
        let trailers = decoder.finish().unwrap();
        assert_eq!(trailers.len(), usize::from(example.form == ChunkedForm::SignedTrailer));
    }
}

#[test]
fn changed_or_cut_chunked_bodies_are_refused() {
    for example in [SIGNED, SIGNED_TRAILER] {
        let (body, _) = chunked_example(&example);
        let last = body.len() - 1;
        for position in [0, 20, 90, 40_000, 65_625, 66_000, body.len() - 130, body.len() - 50, last - 20, last] {
            let mut changed = body.clone();
            changed[position] ^= 1;
            let (_, mut decoder) = chunked_example(&example);
            let result = decoder.push(&changed, &mut Vec::new()).and_then(|()| decoder.finish());
            assert!(result.is_err(), "byte {position} of {:?}", example.form);
        }
        for length in [0, 50, 65_000, body.len() - 3, last] {
            let (_, mut decoder) = chunked_example(&example);
            let cut = body.get(..length).unwrap();
            let result = decoder.push(cut, &mut Vec::new()).and_then(|()| decoder.finish());
            assert_eq!(result, Err(ChunkError::Truncated), "{length} of {}", body.len());
        }
    }
}
