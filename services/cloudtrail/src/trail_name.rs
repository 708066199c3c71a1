//! Names and ARNs of trails. Source: CloudTrail User Guide, "Naming requirements for CloudTrail resources".

use std::net::Ipv4Addr;

use crate::error::TrailError;

const LENGTH_MIN: usize = 3;
const LENGTH_MAX: usize = 128;

/// Refuses a name that AWS refuses.
pub(crate) fn check(name: &str) -> Result<(), TrailError> {
    if name.len() < LENGTH_MIN {
        return Err(TrailError::NameShort(name.len()));
    }
    if name.len() > LENGTH_MAX {
        return Err(TrailError::NameLong(name.len()));
    }
    let is_mark = |letter: char| matches!(letter, '.' | '-' | '_');
    if !name.chars().all(|letter| letter.is_ascii_alphanumeric() || is_mark(letter)) {
        return Err(TrailError::NameCharacters);
    }
    if name.starts_with(is_mark) {
        return Err(TrailError::NameStart);
    }
    if name.ends_with(is_mark) {
        return Err(TrailError::NameEnd);
    }
    if name.parse::<Ipv4Addr>().is_ok() {
        return Err(TrailError::NameAddress);
    }
    let adjacent = name.chars().zip(name.chars().skip(1)).any(|(first, second)| is_mark(first) && is_mark(second));
    if adjacent { Err(TrailError::NameAdjacent) } else { Ok(()) }
}

/// A trail as a caller names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TrailReference {
    /// In the region of the call, else a trail of another region that covers this one.
    Name(String),
    Arn {
        region: String,
        account: String,
        name: String,
    },
}

impl TrailReference {
    pub(crate) fn parse(text: &str) -> Result<Self, TrailError> {
        if !text.starts_with("arn:") {
            check(text)?;
            return Ok(Self::Name(text.to_owned()));
        }
        let invalid = || TrailError::Arn(text.to_owned());
        let mut parts = text.splitn(6, ':').skip(2);
        let (service, region, account, resource) = (parts.next(), parts.next(), parts.next(), parts.next());
        let name = resource.and_then(|resource| resource.strip_prefix("trail/")).ok_or_else(invalid)?;
        check(name).map_err(|_| invalid())?;
        match (service, region, account) {
            (Some("cloudtrail"), Some(region), Some(account)) if !region.is_empty() && account.len() == 12 => {
                Ok(Self::Arn { region: region.to_owned(), account: account.to_owned(), name: name.to_owned() })
            }
            _ => Err(invalid()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in ["abc", "a.b-c_d", "management-events", "1.2.3.4.5"] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        assert_eq!(check("ab"), Err(TrailError::NameShort(2)));
        assert_eq!(check(&"a".repeat(129)), Err(TrailError::NameLong(129)));
        assert_eq!(check("-abc"), Err(TrailError::NameStart));
        assert_eq!(check("abc."), Err(TrailError::NameEnd));
        assert_eq!(check("a b c"), Err(TrailError::NameCharacters));
        assert_eq!(check("a..b"), Err(TrailError::NameAdjacent));
        assert_eq!(check("10.0.0.1"), Err(TrailError::NameAddress));
    }

    #[test]
    fn arns() {
        let arn = "arn:aws:cloudtrail:us-east-1:111111111111:trail/all";
        assert!(matches!(TrailReference::parse(arn), Ok(TrailReference::Arn { name, .. }) if name == "all"));
        for wrong in ["arn:aws:s3:::b", "arn:aws:cloudtrail:us-east-1:111111111111:trail/", "arn:aws:cloudtrail::111111111111:trail/all"] {
            assert_eq!(TrailReference::parse(wrong), Err(TrailError::Arn(wrong.to_owned())));
        }
    }
}
