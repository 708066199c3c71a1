//! Creating, opening, rotating and changing the seal.

use std::path::Path;

use keyring::{KEYRING_FILE, Keyring, KeyringError, PassphraseCost, SealProvider, SealedKeyring};

use crate::{DOMAIN, ephemeral, passphrase, system};

fn key_file(folder: &Path) -> SealProvider {
    SealProvider::KeyFile(folder.join("root.key"))
}

fn credential(folder: &Path, content: &[u8]) -> SealProvider {
    std::fs::write(folder.join("bailiwick-root-key"), content).unwrap();
    SealProvider::Credential { directory: folder.to_owned(), name: "bailiwick-root-key".to_owned() }
}

fn survives_a_restart(folder: &Path, provider: &SealProvider) {
    let keyring = Keyring::create(folder, provider, system()).unwrap();
    let sealed = keyring.seal(&DOMAIN, b"", b"secret").unwrap();
    let id = keyring.id();
    drop(keyring);
    let again = Keyring::open(folder, provider, system()).unwrap();
    assert_eq!(again.id(), id);
    assert_eq!(again.open_record(&DOMAIN, b"", &sealed).unwrap().as_slice(), b"secret");
    assert!(matches!(Keyring::create(folder, provider, system()), Err(KeyringError::Exists(_))));
}

#[test]
fn each_provider_survives_a_restart() {
    let folder = || tempfile::tempdir().unwrap();
    let (one, two, three, four, five) = (folder(), folder(), folder(), folder(), folder());
    survives_a_restart(one.path(), &key_file(one.path()));
    survives_a_restart(two.path(), &passphrase("correct horse"));
    survives_a_restart(three.path(), &credential(three.path(), &[9; 32]));
    survives_a_restart(four.path(), &credential(four.path(), format!("{}\n", "ab".repeat(32)).as_bytes()));
    survives_a_restart(five.path(), &credential(five.path(), b"q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=\n"));
}

#[test]
fn the_default_cost_is_64_mib_and_three_passes() {
    let folder = tempfile::tempdir().unwrap();
    let provider = SealProvider::Passphrase("correct horse".to_owned().into(), PassphraseCost::default());
    survives_a_restart(folder.path(), &provider);
    let file = std::fs::read_to_string(folder.path().join(KEYRING_FILE)).unwrap();
    assert!(file.contains("\"memory_kib\": 65536") && file.contains("\"passes\": 3"));
}

#[test]
fn a_wrong_key_leaves_it_sealed_and_it_can_be_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    Keyring::create(folder.path(), &passphrase("right"), system()).unwrap();
    let before = std::fs::read(folder.path().join(KEYRING_FILE)).unwrap();
    let sealed = SealedKeyring::load(folder.path()).unwrap();
    assert_eq!(sealed.provider(), "passphrase");
    assert!(matches!(sealed.unseal(&passphrase("wrong"), system()), Err(KeyringError::WrongSealKey)));
    assert!(matches!(sealed.unseal(&key_file(folder.path()), system()), Err(KeyringError::WrongProvider { .. })));
    assert!(sealed.unseal(&passphrase("right"), system()).is_ok());
    assert_eq!(std::fs::read(folder.path().join(KEYRING_FILE)).unwrap(), before);
}

#[test]
fn another_key_file_does_not_open_it() {
    let folder = tempfile::tempdir().unwrap();
    let provider = key_file(folder.path());
    Keyring::create(folder.path(), &provider, system()).unwrap();
    std::fs::remove_file(folder.path().join("root.key")).unwrap();
    assert!(matches!(Keyring::open(folder.path(), &provider, system()), Err(KeyringError::Io { .. })));
    assert!(!folder.path().join("root.key").exists(), "opening never makes a key file");
    let other = tempfile::tempdir().unwrap();
    Keyring::create(other.path(), &key_file(other.path()), system()).unwrap();
    assert!(matches!(Keyring::open(folder.path(), &key_file(other.path()), system()), Err(KeyringError::WrongSealKey)));
}

#[cfg(unix)]
#[test]
fn a_key_file_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let provider = key_file(folder.path());
    Keyring::create(folder.path(), &provider, system()).unwrap();
    for name in ["root.key", KEYRING_FILE] {
        assert_eq!(std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777, 0o600);
    }
    std::fs::set_permissions(folder.path().join("root.key"), std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(Keyring::open(folder.path(), &provider, system()), Err(KeyringError::KeyFileMode { mode: 0o640, .. })));
}

#[test]
fn bad_key_material_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for content in [b"".as_slice(), b"short", &[b'a'; 63], &[b'g'; 64], &[0xff; 44]] {
        assert!(matches!(Keyring::create(folder.path(), &credential(folder.path(), content), system()), Err(KeyringError::SealKey(_))));
        assert!(!Keyring::exists(folder.path()));
    }
    let unset = SealProvider::Environment("BAILIWICK_NO_SUCH_VARIABLE".to_owned());
    assert!(matches!(Keyring::create(folder.path(), &unset, system()), Err(KeyringError::SealKey(_))));
}

#[test]
fn rotation_keeps_old_records_readable() {
    let folder = tempfile::tempdir().unwrap();
    let provider = passphrase("right");
    let keyring = Keyring::create(folder.path(), &provider, system()).unwrap();
    let old = keyring.seal(&DOMAIN, b"", b"old").unwrap();
    assert!(matches!(keyring.rotate_root(&passphrase("wrong")), Err(KeyringError::WrongSealKey)));
    assert_eq!(keyring.root_version(), 1);
    assert_eq!(keyring.rotate_root(&provider).unwrap(), 2);
    let new = keyring.seal(&DOMAIN, b"", b"new").unwrap();
    assert_eq!((&old[..3], &new[..3]), ([1, 0, 1].as_slice(), [1, 0, 2].as_slice()));
    for keyring in [keyring, Keyring::open(folder.path(), &provider, system()).unwrap()] {
        assert_eq!(keyring.root_version(), 2);
        assert_eq!(keyring.open_record(&DOMAIN, b"", &old).unwrap().as_slice(), b"old");
        assert_eq!(keyring.open_record(&DOMAIN, b"", &new).unwrap().as_slice(), b"new");
    }
    let ephemeral = ephemeral();
    assert_eq!(ephemeral.rotate_root(&provider).unwrap(), 2);
    assert_eq!(ephemeral.rotate_root(&provider).unwrap(), 3);
}

#[test]
fn the_seal_can_be_changed() {
    let folder = tempfile::tempdir().unwrap();
    let keyring = Keyring::create(folder.path(), &passphrase("first"), system()).unwrap();
    let sealed = keyring.seal(&DOMAIN, b"", b"secret").unwrap();
    keyring.change_seal(&key_file(folder.path())).unwrap();
    assert!(matches!(Keyring::open(folder.path(), &passphrase("first"), system()), Err(KeyringError::WrongProvider { .. })));
    let again = Keyring::open(folder.path(), &key_file(folder.path()), system()).unwrap();
    assert_eq!(again.open_record(&DOMAIN, b"", &sealed).unwrap().as_slice(), b"secret");
    again.change_seal(&passphrase("second")).unwrap();
    assert!(matches!(Keyring::open(folder.path(), &passphrase("first"), system()), Err(KeyringError::WrongSealKey)));
    assert!(Keyring::open(folder.path(), &passphrase("second"), system()).is_ok());
}

#[test]
fn damaged_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(KEYRING_FILE);
    assert!(matches!(SealedKeyring::load(folder.path()), Err(KeyringError::Missing(_))));
    let provider = passphrase("right");
    Keyring::create(folder.path(), &provider, system()).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let open = |text: String| {
        std::fs::write(&path, text).unwrap();
        Keyring::open(folder.path(), &provider, system())
    };
    assert!(matches!(
        open(text.replace("\"format\": 1", "\"format\": 2")),
        Err(KeyringError::UnsupportedFormat { found: 2, supported: 1 })
    ));
    assert!(matches!(open(text.replace("\"version\": 1", "\"version\": 2")), Err(KeyringError::WrongSealKey)));
    assert!(matches!(open(text.replace("\"memory_kib\": 64", "\"memory_kib\": 4000000000")), Err(KeyringError::Malformed(_))));
    assert!(matches!(open(text.replace("\"id\": \"", "\"id\": \"00")), Err(KeyringError::Malformed(_))));
    assert!(matches!(open(text.replace("\"roots\"", "\"rots\"")), Err(KeyringError::Malformed(_))));
    assert!(matches!(open("{".to_owned()), Err(KeyringError::Malformed(_))));
    assert!(open(text).is_ok());
}

#[test]
fn no_key_in_the_keyring_file() {
    let folder = tempfile::tempdir().unwrap();
    let provider = credential(folder.path(), &[b'k'; 32]);
    Keyring::create(folder.path(), &provider, crate::seeded()).unwrap();
    let file = std::fs::read_to_string(folder.path().join(KEYRING_FILE)).unwrap();
    // The seeded source gave the root key first.
    let mut root = [0; 32];
    keyring::Randomness::fill(&keyring::SeededRandomness::new(1), &mut root).unwrap();
    assert!(!file.contains(&hex::encode(root)) && !file.contains(&"6b".repeat(32)));
}
