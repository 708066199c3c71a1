//! Every pattern of every shape compiles to a linear-time expression.

use crate::arbitrary::services;

#[test]
fn every_pattern_compiles() {
    let mut patterns = std::collections::BTreeMap::new();
    for service in services() {
        for shape in &service.shapes {
            if let Some(pattern) = shape.constraints.pattern {
                patterns.entry(pattern).or_insert_with(|| format!("{}:{}", service.head.id, shape.name));
            }
        }
    }
    assert!(patterns.len() > 300, "only {} patterns", patterns.len());
    let refused: Vec<_> = patterns.iter().filter(|(pattern, _)| wire::pattern::compiled(pattern).is_none()).collect();
    assert!(refused.is_empty(), "{} patterns do not compile: {refused:#?}", refused.len());
}

#[test]
fn known_strings_match_as_in_aws() {
    let shape = |service: &str, name: &str| {
        let shape = facts::catalog().service(service).and_then(|service| service.shape_named(name)).expect(name);
        wire::pattern::compiled(shape.constraints.pattern.expect(name)).expect(name)
    };
    assert!(shape("kms", "AliasNameType").matches("alias/my-key"));
    assert!(!shape("kms", "AliasNameType").matches("alias/my key"));
    assert!(shape("iam", "userNameType").matches("a.user@example+x=1"));
    assert!(!shape("iam", "userNameType").matches("a/user"));
}
