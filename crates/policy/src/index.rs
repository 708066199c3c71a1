//! Which statements of a policy can match a request at all.
//!
//! A statement is filed under each exact action it lists, under the service of each pattern whose service is fixed,
//! or under "any"; and there under the text that each of its resources begins with. A look-up visits only statements
//! whose action and whose resource's beginning fit, so its cost does not grow with those that cannot match.

use std::collections::HashMap;

use crate::request::Request;
use crate::statement::{ActionPattern, Statement};

/// Up to so many statements a plain scan is faster than the look-ups.
const SCAN_MAX: usize = 6;

/// The statements of one policy by action and resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StatementIndex {
    by_action: HashMap<Box<str>, ResourceIndex>,
    by_service: HashMap<Box<str>, ResourceIndex>,
    any: ResourceIndex,
}

impl StatementIndex {
    /// The index of a policy that is long enough to need one.
    pub(crate) fn new(statements: &[Statement]) -> Option<Self> {
        if statements.len() <= SCAN_MAX {
            return None;
        }
        let mut lists = Lists::default();
        for (at, statement) in statements.iter().enumerate() {
            if statement.actions.negated {
                push_once(&mut lists.any, at);
                continue;
            }
            for pattern in &statement.actions.patterns {
                push_once(lists.list_of(pattern), at);
            }
        }
        let finish = |map: HashMap<Box<str>, Vec<usize>>| {
            map.into_iter().map(|(name, list)| (name, ResourceIndex::new(&list, statements))).collect()
        };
        Some(Self {
            by_action: finish(lists.by_action),
            by_service: finish(lists.by_service),
            any: ResourceIndex::new(&lists.any, statements),
        })
    }

    /// Visits the statements that may match, in no certain order, some of them twice.
    pub(crate) fn for_each(&self, request: &Request<'_>, mut visit: impl FnMut(usize)) {
        let (service, _) = request.check.service_and_name();
        let arn = request.check.resource.arn.as_bytes();
        let lists = [self.by_action.get(request.check.action_lower()), self.by_service.get(service), Some(&self.any)];
        for list in lists.into_iter().flatten() {
            list.for_each(arn, &mut visit);
        }
    }
}

#[derive(Default)]
struct Lists {
    by_action: HashMap<Box<str>, Vec<usize>>,
    by_service: HashMap<Box<str>, Vec<usize>>,
    any: Vec<usize>,
}

impl Lists {
    fn list_of(&mut self, pattern: &ActionPattern) -> &mut Vec<usize> {
        const WILD: [char; 2] = ['*', '?'];
        let lower = &pattern.lower;
        match lower.split_once(':') {
            _ if !lower.contains(WILD) => self.by_action.entry(lower.clone()).or_default(),
            Some((service, _)) if !service.contains(WILD) => self.by_service.entry(service.into()).or_default(),
            _ => &mut self.any,
        }
    }
}

fn push_once(list: &mut Vec<usize>, at: usize) {
    if list.last() != Some(&at) {
        list.push(at);
    }
}

/// Statements by the text that their resources begin with.
///
/// The beginnings are sorted. Those that an ARN begins with are found by one binary search: the entry before the
/// ARN's own place shares the longest text with it, and each entry knows the longest other that it begins with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct ResourceIndex {
    beginnings: Box<[Beginning]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Beginning {
    text: Box<[u8]>,
    /// The longest entry that this one begins with.
    parent: Option<usize>,
    statements: Vec<usize>,
}

impl ResourceIndex {
    fn new(list: &[usize], statements: &[Statement]) -> Self {
        let mut filed: Vec<(&[u8], usize)> = Vec::new();
        for at in list {
            let Some(statement) = statements.get(*at) else { continue };
            filed.extend(statement.resources.beginnings().map(|text| (text, *at)));
        }
        filed.sort_unstable();
        let mut beginnings: Vec<Beginning> = Vec::new();
        for (text, at) in filed {
            match beginnings.last_mut() {
                Some(last) if *last.text == *text => push_once(&mut last.statements, at),
                _ => {
                    let parent = ancestor(&beginnings, beginnings.len().checked_sub(1), text);
                    beginnings.push(Beginning { text: text.into(), parent, statements: vec![at] });
                }
            }
        }
        Self { beginnings: beginnings.into() }
    }

    fn for_each(&self, arn: &[u8], visit: &mut impl FnMut(usize)) {
        let after = self.beginnings.partition_point(|beginning| *beginning.text <= *arn);
        let mut at = ancestor(&self.beginnings, after.checked_sub(1), arn);
        while let Some(beginning) = at.and_then(|at| self.beginnings.get(at)) {
            beginning.statements.iter().for_each(|at| visit(*at));
            at = beginning.parent;
        }
    }
}

/// The entry that the text begins with, from `at` upwards.
fn ancestor(beginnings: &[Beginning], mut at: Option<usize>, text: &[u8]) -> Option<usize> {
    while let Some(beginning) = at.and_then(|at| beginnings.get(at)) {
        if text.starts_with(&beginning.text) {
            return at;
        }
        at = beginning.parent;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::MapContext;
    use crate::policy::{Policy, PolicyKind};
    use crate::principal::Principal;
    use crate::request::{Check, Resource};

    const RESOURCES: [&str; 10] = [
        "*",
        "arn:aws:s3:::*",
        "arn:aws:s3:::a*",
        "arn:aws:s3:::ab",
        "arn:aws:s3:::ab/*",
        "arn:aws:s3:::ab/${aws:username}/*",
        "arn:aws:s3:::ac/?",
        "arn:aws:s3:::b",
        "arn:*:s3:::ab/x",
        "arn:aws:kms:*:1:key/*",
    ];

    #[test]
    fn whatever_matches_is_visited() {
        let actions = ["s3:GetObject", "s3:Get*", "*", "kms:*"];
        let statements: Vec<String> = RESOURCES
            .iter()
            .flat_map(|resource| actions.map(|action| format!(r#"{{"Effect":"Allow","Action":"{action}","Resource":["{resource}"]}}"#)))
            .chain([r#"{"Effect":"Deny","NotAction":"s3:*","NotResource":"arn:aws:s3:::ab/*"}"#.to_owned()])
            .collect();
        let text = format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","));
        let policy = Policy::parse_stored(&text, PolicyKind::Identity);
        let index = StatementIndex::new(policy.statements()).unwrap();
        let principal = Principal::anonymous();
        let mut context = MapContext::new();
        context.set("aws:username", "ana");
        for action in ["s3:GetObject", "s3:PutObject", "kms:Decrypt", "ec2:RunInstances"] {
            for arn in
                ["*", "", "arn:aws:s3:::ab", "arn:aws:s3:::ab/x", "arn:aws:s3:::ab/ana/k", "arn:aws:s3:::ac/1", "arn:aws:kms:r:1:key/2"]
            {
                let check = Check::new(action, Resource { arn: arn.to_owned(), ..Resource::default() });
                let request = Request::new(&principal, &check, &context, None, false);
                let mut visited = Vec::new();
                index.for_each(&request, |at| visited.push(at));
                for (at, statement) in policy.statements().iter().enumerate() {
                    assert!(statement.matches(&request).is_none() || visited.contains(&at), "{action} {arn} statement {at}");
                }
                // What cannot match is left out: the other services at least.
                assert!(visited.len() < policy.statements().len(), "{action} {arn}");
            }
        }
    }
}
