//! Sealed records and tokens.

use std::collections::HashSet;

use keyring::{Domain, KeyringError, MAX_TOKEN_BYTES, SEALED_OVERHEAD_BYTES};
use proptest::prelude::*;

use crate::{DOMAIN, ephemeral};

fn is_refused(outcome: Result<impl Sized, KeyringError>) -> bool {
    matches!(outcome, Err(KeyringError::NotAuthentic))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn opens_what_it_sealed_and_nothing_else(plaintext: Vec<u8>, associated: Vec<u8>, other: Vec<u8>, purpose: String, account: String, region: String) {
        let keyring = ephemeral();
        let domain = Domain::new(&purpose, &account, &region);
        let sealed = keyring.seal(&domain, &associated, &plaintext).unwrap();
        prop_assert_eq!(sealed.len(), plaintext.len() + SEALED_OVERHEAD_BYTES);
        let opened = keyring.open_record(&domain, &associated, &sealed).unwrap();
        prop_assert_eq!(&*opened, &plaintext);
        prop_assert_eq!(is_refused(keyring.open_record(&domain, &other, &sealed)), other != associated);
        prop_assert!(is_refused(ephemeral().open_record(&domain, &associated, &sealed)));
    }

    #[test]
    fn foreign_bytes_never_panic(bytes: Vec<u8>, text: String) {
        let keyring = ephemeral();
        prop_assert!(keyring.open_record(&DOMAIN, b"", &bytes).is_err());
        prop_assert!(keyring.open_token("page", b"", &text, 0).is_err());
    }
}

#[test]
fn domains_are_apart() {
    let keyring = ephemeral();
    let sealed = keyring.seal(&DOMAIN, b"", b"secret").unwrap();
    let others = [
        Domain { purpose: "secret", ..DOMAIN },
        Domain { account: "111122223334", ..DOMAIN },
        Domain { region: "eu-central-2", ..DOMAIN },
        // The same characters, cut elsewhere.
        Domain::new("secrets1", "11122223333", "eu-central-1"),
        Domain::new("secrets", "111122223333eu-central-1", ""),
    ];
    for other in others {
        assert!(is_refused(keyring.open_record(&other, b"", &sealed)), "{other:?}");
    }
}

#[test]
fn every_flipped_bit_and_every_length_is_refused() {
    let keyring = ephemeral();
    let sealed = keyring.seal(&DOMAIN, b"key", b"a secret of some length").unwrap();
    for position in 0..sealed.len() {
        for bit in 0..8 {
            let mut changed = sealed.clone();
            changed[position] ^= 1 << bit;
            assert!(is_refused(keyring.open_record(&DOMAIN, b"key", &changed)), "byte {position} bit {bit}");
        }
        assert!(is_refused(keyring.open_record(&DOMAIN, b"key", &sealed[..position])));
    }
    assert!(is_refused(keyring.open_record(&DOMAIN, b"key", &[sealed.as_slice(), b"x"].concat())));
}

#[test]
fn no_two_records_share_their_random_part() {
    let keyring = ephemeral();
    let records: HashSet<Vec<u8>> = (0..1_000).map(|_| keyring.seal(&DOMAIN, b"", b"same").unwrap()[3..31].to_vec()).collect();
    assert_eq!(records.len(), 1_000);
}

#[test]
fn tokens_are_bound_and_expire() {
    let keyring = ephemeral();
    let token = keyring.seal_token("page", b"caller+filter", b"position", 100).unwrap();
    assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
    assert_eq!(keyring.open_token("page", b"caller+filter", &token, 99).unwrap().as_slice(), b"position");
    assert!(matches!(keyring.open_token("page", b"caller+filter", &token, 100), Err(KeyringError::Expired)));
    assert!(is_refused(keyring.open_token("page", b"another caller", &token, 99)));
    assert!(is_refused(keyring.open_token("message", b"caller+filter", &token, 99)));
    assert!(is_refused(keyring.open_token("page", b"caller+filter", &token[1..], 99)));
    let never = keyring.seal_token("page", b"", b"", u64::MAX).unwrap();
    assert_eq!(keyring.open_token("page", b"", &never, u64::MAX - 1).unwrap().as_slice(), b"");
    assert!(matches!(keyring.seal_token("page", b"", &vec![0; MAX_TOKEN_BYTES], 1), Err(KeyringError::TooLong)));
    assert!(is_refused(keyring.open_token("page", b"", &"A".repeat(MAX_TOKEN_BYTES + 1), 1)));
}

#[test]
fn nothing_secret_in_debug() {
    let keyring = ephemeral();
    assert_eq!(format!("{keyring:?}"), "Keyring { directory: \"\", .. }");
}
