//! The public Cobblestone-256 vectors, read through the vault, and a message of another implementation.

use std::sync::Arc;

use object_store::ObjectStoreExt as _;
use object_store::memory::InMemory;
use objects::{DataKey, Encryptor, ObjectName, ObjectVault, RemoteBackend, plaintext_length};

use crate::{CONTEXT, get_with};

const NAME: &str = "00112233445566778899aabbccddeeff";

fn unhex(text: &str) -> Vec<u8> {
    if text == "-" { Vec::new() } else { hex::decode(text).unwrap() }
}

fn expand(runs: &str) -> Vec<u8> {
    let expand_run = |run: &str| match run.split_once('*') {
        Some((byte, count)) => unhex(byte).repeat(count.parse().unwrap()),
        None => unhex(run),
    };
    runs.split('+').flat_map(expand_run).collect()
}

async fn decrypt(key: &[u8], context: &[u8], ciphertext: Vec<u8>) -> Result<Vec<u8>, String> {
    let key = DataKey::from_slice(key).ok_or("the key has another length")?;
    let length = plaintext_length(ciphertext.len() as u64).ok_or("the ciphertext has an impossible length")?;
    let store = Arc::new(InMemory::new());
    store.put(&format!("objects/00/{NAME}").into(), ciphertext.into()).await.unwrap();
    let vault = ObjectVault::new(Arc::new(RemoteBackend::new(store, "objects")));
    let stored = objects::Stored { name: ObjectName::parse(NAME).unwrap(), plaintext_length: length, ciphertext_length: 0, inline: None };
    get_with(&vault, &key, context, &stored, 0..length).await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn wycheproof() {
    let (mut valid, mut invalid) = (0, 0);
    for line in include_str!("../vectors/cobblestone-256.txt").lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<_> = line.splitn(8, '|').collect();
        let [id, result, key, context, ciphertext, length, sha512, comment] = fields[..] else { panic!("{line}") };
        let (key, context, ciphertext) = (unhex(key), unhex(context), expand(ciphertext));
        let decrypted = decrypt(&key, &context, ciphertext.clone()).await;
        if result == "valid" {
            let plaintext = decrypted.unwrap_or_else(|error| panic!("{id} {comment}: {error}"));
            assert_eq!(plaintext.len().to_string(), length);
            assert_eq!(hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA512, &plaintext)), sha512);
            // The same salt gives the same bytes back.
            let mut encryptor =
                Encryptor::new(&DataKey::from_slice(&key).unwrap(), ciphertext[..24].try_into().unwrap(), &context).unwrap();
            encryptor.push(&plaintext).unwrap();
            assert!(encryptor.finish().unwrap() == ciphertext, "{id} {comment}");
            valid += 1;
        } else {
            assert!(decrypted.is_err(), "{id} {comment}");
            invalid += 1;
        }
    }
    assert_eq!((valid, invalid), (10, 25));
}

/// Made by pyca/cryptography 50.0.2: `Cobblestone256Encryptor(bytes(range(32)), context=b"bucket/version/1")` of `b"hello world"`.
#[tokio::test]
async fn a_message_of_another_implementation() {
    let sample = "b3b3f779f621348aff7d09511b6fe3bacc52d9a52fb829b759694e9a31ae0ff1783c4d9ee5d50b5b0e89566529ae6c1fd4080b05ec5844eb139b021eac4ae8ef\
                  1cb32d77554cc39ae7dd17c42dba517b5829dd";
    let key: Vec<u8> = (0..32).collect();
    assert_eq!(decrypt(&key, CONTEXT, unhex(sample)).await.unwrap(), b"hello world");
}
