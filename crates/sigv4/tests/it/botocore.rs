//! What botocore signs is accepted. Runs when `BAILIWICK_PYTHON` names a Python with botocore.

use serde_json::Value;
use sigv4::{Claim, SigningKey, sha256_hex};

use crate::{headers, parts};

#[test]
fn botocore_signatures_are_accepted() {
    let Some(python) = std::env::var_os("BAILIWICK_PYTHON") else {
        println!("SKIPPED: set BAILIWICK_PYTHON to a Python interpreter with botocore to run this test");
        return;
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/sign_with_botocore.py");
    let output = std::process::Command::new(python).arg(script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 56);
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let pairs: Vec<_> =
            case["headers"].as_array().unwrap().iter().map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap())).collect();
        let service = case["service"].as_str().unwrap();
        let map = headers(&pairs);
        let parts = parts(case["method"].as_str().unwrap(), case["target"].as_str().unwrap(), &map);
        let body = hex::decode(case["body"].as_str().unwrap()).unwrap();
        let claim = Claim::parse(&parts).unwrap_or_else(|error| panic!("{line}: {error}"));
        claim.check(&parts, claim.time, &["eu-central-1"], &[service], 15).unwrap_or_else(|error| panic!("{line}: {error}"));
        let key = SigningKey::derive("a/secret+key", claim.scope().date, "eu-central-1", service);
        let computed = sha256_hex(&body);
        let hash = claim.payload_hash().unwrap_or(&computed);
        claim.verify(&parts, &key, hash).unwrap_or_else(|error| panic!("{line}: {error:#?}"));
        assert!(claim.verify(&parts, &key, &sha256_hex(b"other")).is_err());
    }
}
