//! The credential scope: `ACCESS_KEY_ID/YYYYMMDD/REGION/SERVICE/aws4_request`.

use std::borrow::Cow;

use crate::error::ScopeFault;

/// Longest credential that is read, bytes. Access key ids have at most 128 characters.
const CREDENTIAL_LENGTH_MAX: usize = 512;

/// Where and when a key is good: the parts of a credential after the access key id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope<'c> {
    /// `YYYYMMDD`.
    pub date: &'c str,
    /// The region.
    pub region: &'c str,
    /// The service's signing name.
    pub service: &'c str,
    /// Must be `aws4_request`; [`crate::Claim::check_scope`] says so when it is not.
    pub terminator: &'c str,
}

/// A credential as text, with the places of its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential<'a> {
    text: Cow<'a, str>,
    slashes: [usize; 4],
}

impl<'a> Credential<'a> {
    /// Splits at the last four slashes into exactly five parts that are not empty.
    pub(crate) fn parse(text: Cow<'a, str>) -> Option<Self> {
        if text.len() > CREDENTIAL_LENGTH_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let mut slashes = [0; 4];
        let mut found = text.match_indices('/').map(|(at, _)| at);
        for place in &mut slashes {
            *place = found.next()?;
        }
        if found.next().is_some() {
            return None;
        }
        let credential = Self { text, slashes };
        let scope = credential.scope();
        let parts = [credential.access_key_id(), scope.date, scope.region, scope.service, scope.terminator];
        parts.iter().all(|part| !part.is_empty()).then_some(credential)
    }

    fn part(&self, from: Option<usize>, to: Option<usize>) -> &str {
        let start = from.map_or(0, |at| at + 1);
        self.text.get(start..to.unwrap_or(self.text.len())).unwrap_or_default()
    }

    /// The whole text: the name of the derived key in a [`crate::KeyCache`].
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The access key id.
    pub fn access_key_id(&self) -> &str {
        self.part(None, Some(self.slashes[0]))
    }

    /// The parts after the access key id.
    pub fn scope(&self) -> Scope<'_> {
        let [first, second, third, fourth] = self.slashes;
        Scope {
            date: self.part(Some(first), Some(second)),
            region: self.part(Some(second), Some(third)),
            service: self.part(Some(third), Some(fourth)),
            terminator: self.part(Some(fourth), None),
        }
    }

    /// The scope as it stands in the string to sign: `YYYYMMDD/REGION/SERVICE/aws4_request`.
    pub fn scope_text(&self) -> &str {
        self.part(Some(self.slashes[0]), None)
    }

    /// Compares the scope with what the request is for. `date` is the date of the request's time.
    pub(crate) fn check_scope(&self, date: &str, regions: &[&str], services: &[&str]) -> Vec<ScopeFault> {
        let scope = self.scope();
        let mut faults = Vec::new();
        if !regions.contains(&scope.region) {
            faults.push(ScopeFault::Region {
                given: scope.region.to_owned(),
                expected: regions.first().copied().unwrap_or_default().to_owned(),
            });
        }
        if !services.contains(&scope.service) {
            faults.push(ScopeFault::Service {
                given: scope.service.to_owned(),
                expected: services.first().copied().unwrap_or_default().to_owned(),
            });
        }
        if scope.terminator != "aws4_request" {
            faults.push(ScopeFault::Terminator { given: scope.terminator.to_owned() });
        }
        if scope.date != date {
            faults.push(ScopeFault::Date { given: scope.date.to_owned(), request_date: date.to_owned() });
        }
        faults
    }
}
