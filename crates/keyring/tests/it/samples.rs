//! Written by the first version of this code: they must open for ever. Never write them again.

use keyring::{Keyring, KeyringError, SealProvider};

use crate::{DOMAIN, passphrase, seeded, system};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples/format-1");

#[test]
fn version_1_opens() {
    if std::env::var_os("BAILIWICK_WRITE_SAMPLE").is_some() && !Keyring::exists(FOLDER.as_ref()) {
        let keyring = Keyring::create(FOLDER, &passphrase("sample passphrase"), seeded()).unwrap();
        let record = keyring.seal(&DOMAIN, b"secrets/database", b"a sealed sample").unwrap();
        std::fs::write(format!("{FOLDER}/record.hex"), hex::encode(record)).unwrap();
        std::fs::write(format!("{FOLDER}/token.txt"), keyring.seal_token("page", b"caller", b"position", 100).unwrap()).unwrap();
    }
    let read = |name: &str| std::fs::read_to_string(format!("{FOLDER}/{name}")).unwrap();
    let keyring = Keyring::open(FOLDER, &passphrase("sample passphrase"), system()).unwrap();
    let record = hex::decode(read("record.hex").trim()).unwrap();
    assert_eq!(keyring.open_record(&DOMAIN, b"secrets/database", &record).unwrap().as_slice(), b"a sealed sample");
    assert_eq!(keyring.open_token("page", b"caller", read("token.txt").trim(), 99).unwrap().as_slice(), b"position");
    assert!(matches!(keyring.open_token("page", b"caller", read("token.txt").trim(), 100), Err(KeyringError::Expired)));
}

/// The derivations, computed here once more with nothing but HMAC and AES-GCM as the crate documentation writes them down.
#[test]
fn a_record_opens_by_the_documented_construction() {
    use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    use aws_lc_rs::hmac;
    fn kbkdf(key: &[u8], info: &[u8]) -> Vec<u8> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        hmac::sign(&key, &[&1u32.to_be_bytes(), info].concat()).as_ref().to_vec()
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), [5; 32]).unwrap();
    let provider = SealProvider::Credential { directory: folder.path().to_owned(), name: "key".to_owned() };
    let keyring = Keyring::create(folder.path(), &provider, system()).unwrap();
    let sealed = keyring.seal(&DOMAIN, b"associated", b"plaintext").unwrap();

    let open = |key: &[u8], iv: &[u8], associated: &[u8], body: &[u8]| {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap());
        let mut body = body.to_vec();
        key.open_in_place(Nonce::try_assume_unique_for_key(iv).unwrap(), Aad::from(associated), &mut body).unwrap().to_vec()
    };
    let file: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.path().join("keyring.json")).unwrap()).unwrap();
    let wrapped = hex::decode(file["roots"][0]["wrapped"].as_str().unwrap()).unwrap();
    let id = hex::decode(file["id"].as_str().unwrap()).unwrap();
    let wrapping_key = kbkdf(&[5; 32], &[b"bailiwick root key wrap v1".as_slice(), &wrapped[..32]].concat());
    let root = open(&wrapping_key, &wrapped[32..44], &[[0, 0, 0, 1].as_slice(), &id, &[0, 1]].concat(), &wrapped[44..]);

    let prefixed = |text: &str| [&u32::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat();
    let parts = [DOMAIN.purpose, DOMAIN.account, DOMAIN.region].map(prefixed).concat();
    let domain_key = kbkdf(&root, &[b"bailiwick domain key v1".as_slice(), &parts].concat());
    let message_key = kbkdf(&domain_key, &[b"bailiwick message key v1".as_slice(), &sealed[3..19]].concat());
    assert_eq!(open(&message_key, &sealed[19..31], b"\x01\x00\x01associated", &sealed[31..]), b"plaintext");
}
