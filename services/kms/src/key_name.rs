//! The forms in which a caller names a key: id, key ARN, alias name, alias ARN.
//!
//! Source: KMS Developer Guide, "Key identifiers (KeyId)".

use crate::error::KmsError;

/// Prefix of alias names.
pub(crate) const ALIAS: &str = "alias/";

/// What a `KeyId` names. The account is set when an ARN gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyName {
    Key { account: Option<String>, id: String },
    Alias { account: Option<String>, name: String },
}

impl KeyName {
    /// Reads a `KeyId` of a call in `region`.
    pub(crate) fn parse(text: &str, region: &str) -> Result<Self, KmsError> {
        if !text.starts_with("arn:") {
            return Self::resource(text, None, text);
        }
        let invalid = || KmsError::ArnInvalid(text.to_owned());
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let [_, partition, "kms", of, account, resource] = parts.as_slice() else { return Err(invalid()) };
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        if *partition != plane::PARTITION || !is_account {
            return Err(invalid());
        }
        if *of != region {
            return Err(KmsError::RegionWrong((*of).to_owned()));
        }
        let account = Some((*account).to_owned());
        match resource.strip_prefix("key/") {
            Some(id) => Self::resource(id, account, text),
            None if resource.starts_with(ALIAS) => Self::resource(resource, account, text),
            None => Err(invalid()),
        }
    }

    fn resource(name: &str, account: Option<String>, given: &str) -> Result<Self, KmsError> {
        if name.starts_with(ALIAS) {
            return Ok(Self::Alias { account, name: name.to_owned() });
        }
        if is_key_id(name) {
            return Ok(Self::Key { account, id: name.to_owned() });
        }
        Err(KmsError::KeyIdInvalid(given.to_owned()))
    }
}

/// `1234abcd-12ab-34cd-56ef-1234567890ab`, or `mrk-` and 32 hexadecimal digits.
fn is_key_id(text: &str) -> bool {
    let is_hex = |part: &str, length: usize| part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if let Some(rest) = text.strip_prefix("mrk-") {
        return is_hex(rest, 32);
    }
    let lengths = [8, 4, 4, 4, 12];
    let parts: Vec<&str> = text.split('-').collect();
    parts.len() == lengths.len() && parts.iter().zip(lengths).all(|(part, length)| is_hex(part, length))
}

/// The 16 bytes of a key id that is a UUID.
pub(crate) fn id_bytes(id: &str) -> Option<[u8; 16]> {
    hex::decode(id.replace('-', "")).ok()?.try_into().ok()
}

/// The UUID of 16 bytes.
pub(crate) fn id_text(bytes: &[u8; 16]) -> String {
    let text = hex::encode(bytes);
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

pub(crate) fn key_arn(region: &str, account: &str, id: &str) -> String {
    ["arn:", plane::PARTITION, ":kms:", region, ":", account, ":key/", id].concat()
}

/// `name` with its prefix `alias/`.
pub(crate) fn alias_arn(region: &str, account: &str, name: &str) -> String {
    format!("arn:{}:kms:{region}:{account}:{name}", plane::PARTITION)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";

    fn parse(text: &str) -> Result<KeyName, (&'static str, String)> {
        KeyName::parse(text, "eu-central-1").map_err(|error| (error.code(), error.to_string()))
    }

    #[test]
    fn four_forms() {
        let account = Some("111111111111".to_owned());
        assert_eq!(parse(ID), Ok(KeyName::Key { account: None, id: ID.to_owned() }));
        assert_eq!(parse(&key_arn("eu-central-1", "111111111111", ID)), Ok(KeyName::Key { account: account.clone(), id: ID.to_owned() }));
        assert_eq!(parse("alias/a/b"), Ok(KeyName::Alias { account: None, name: "alias/a/b".to_owned() }));
        assert_eq!(
            parse(&alias_arn("eu-central-1", "111111111111", "alias/a")),
            Ok(KeyName::Alias { account, name: "alias/a".to_owned() })
        );
    }

    #[test]
    fn refused_forms() {
        let not_found = |text: &str| Err(("NotFoundException", text.to_owned()));
        let not_an_arn = |text: &str| Err(("InvalidArnException", format!("Invalid arn {text}")));
        assert_eq!(parse("fake-key-id"), not_found("Invalid keyId 'fake-key-id'"));
        assert_eq!(parse("134f2428cec14b25a1ae9048164dba47"), not_found("Invalid keyId '134f2428cec14b25a1ae9048164dba47'"));
        assert_eq!(parse("mrk-fake-key-id"), not_found("Invalid keyId 'mrk-fake-key-id'"));
        assert_eq!(parse(&key_arn("us-east-1", "111111111111", ID)), not_found("Invalid arn us-east-1"));
        for text in [
            "arn:aws:s3:::b",
            "arn:aws:kms:eu-central-1:1:key/x",
            "arn:aws:kms:eu-central-1:111111111111:other/x",
            "arn:aws-cn:kms:eu-central-1:111111111111:key/x",
        ] {
            assert_eq!(parse(text), not_an_arn(text));
        }
    }

    proptest! {
        #[test]
        fn ids_and_their_bytes(bytes in any::<[u8; 16]>()) {
            let text = id_text(&bytes);
            prop_assert!(is_key_id(&text));
            prop_assert_eq!(id_bytes(&text), Some(bytes));
        }

        #[test]
        fn the_parser_never_panics(text in ".{0,80}") {
            let _ = parse(&text);
            let _ = parse(&format!("arn:aws:kms:eu-central-1:111111111111:{text}"));
        }
    }
}
