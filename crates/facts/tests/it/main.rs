//! The embedded facts are complete and say what AWS documents.

use facts::{Binding, Dialect, Operation, Protocol, Service, catalog};

fn services() -> impl Iterator<Item = &'static Service> {
    catalog()
        .heads()
        .iter()
        .map(|head| catalog().service(head.id).expect(head.id))
}

fn operation(service: &str, name: &str) -> &'static Operation {
    catalog()
        .service(service)
        .and_then(|service| service.operation(name))
        .expect(name)
}

/// `action resource-type variable<-member ...` per authorization.
fn authorizations(service: &str, name: &str) -> Vec<String> {
    operation(service, name)
        .authorizations
        .iter()
        .map(|entry| {
            let mut text = entry.action.to_owned();
            for (word, member) in [("if", entry.when_present), ("unless", entry.when_absent)] {
                if let Some(member) = member {
                    text += &format!(" {word} {member}");
                }
            }
            for resource in &entry.resources {
                text += &format!(" on {}", resource.arn.text);
                for variable in &resource.variables {
                    text += &format!(
                        " {}={}{}",
                        variable.variable,
                        variable.member,
                        if variable.may_be_arn { "?" } else { "" }
                    );
                }
            }
            text
        })
        .collect()
}

#[test]
fn every_service_loads() {
    let mut operations = 0;
    for service in services() {
        assert!(!service.operations.is_empty(), "{}", service.head.id);
        assert!(
            service.operations.is_sorted_by(|a, b| a.name < b.name),
            "{}",
            service.head.id
        );
        assert!(!service.head.protocols.is_empty(), "{}", service.head.id);
        operations += service.operations.len();
    }
    assert!(catalog().heads().is_sorted_by(|a, b| a.id < b.id));
    assert!(operations > 2_000, "{operations}");
}

#[test]
fn every_operation_has_an_authorization() {
    for service in services() {
        for operation in &service.operations {
            let empty = operation.authorizations.is_empty();
            match operation.binding {
                Binding::Mapped | Binding::Service => {
                    assert!(!empty, "{} {}", service.head.id, operation.name)
                }
                Binding::Open | Binding::Unmapped => {
                    assert!(empty, "{} {}", service.head.id, operation.name)
                }
            }
            for entry in &operation.authorizations {
                assert!(
                    entry
                        .action
                        .split_once(':')
                        .is_some_and(|(prefix, name)| !prefix.is_empty() && !name.is_empty()),
                    "{}",
                    entry.action
                );
            }
        }
    }
}

#[test]
fn authorization_members_exist() {
    let reaches = |service: &'static Service, operation: &Operation, path: &str| {
        let mut shape = operation.input.expect(operation.name);
        for step in path.split('.') {
            while let facts::ShapeKind::List { item, .. } = service.shape(shape).kind {
                shape = item;
            }
            shape = service
                .members(shape)
                .iter()
                .find(|member| member.name == step)
                .unwrap_or_else(|| panic!("{} {path}", operation.name))
                .shape;
        }
    };
    for service in services() {
        for operation in &service.operations {
            let tags = [operation.request_tags, operation.tag_keys];
            let conditions = operation
                .authorizations
                .iter()
                .flat_map(|entry| [entry.when_present, entry.when_absent]);
            let variables = operation
                .authorizations
                .iter()
                .flat_map(|entry| &entry.resources)
                .flat_map(|resource| &resource.variables);
            let members = variables
                .map(|variable| variable.member)
                .filter(|member| !member.is_empty())
                .flat_map(|member| member.split('+'));
            for path in tags.into_iter().chain(conditions).flatten().chain(members) {
                reaches(service, operation, path);
            }
        }
    }
}

#[test]
fn heads_are_found() {
    let id = |head: Option<&facts::ServiceHead>| head.map(|head| head.id);
    assert_eq!(id(catalog().by_target_prefix("TrentService")), Some("kms"));
    assert_eq!(
        id(catalog().by_query_version("sts", "2011-06-15")),
        Some("sts")
    );
    assert_eq!(id(catalog().by_query_version("sts", "2010-05-08")), None);
    assert_eq!(id(catalog().by_endpoint_prefix("api.ecr")), Some("ecr"));
    let bedrock: Vec<_> = catalog()
        .by_signing_name("bedrock")
        .iter()
        .map(|head| head.id)
        .collect();
    assert_eq!(bedrock, ["bedrock", "bedrock-runtime"]);
    assert_eq!(
        catalog()
            .head("bedrock-runtime")
            .map(|head| head.event_source),
        Some("bedrock.amazonaws.com")
    );
    let tagging = catalog().head("resourcegroupstaggingapi").expect("known");
    assert_eq!(tagging.protocols, [Protocol::RpcV2Cbor, Protocol::Json11]);
    assert_eq!(
        id(catalog().by_rpc_name(tagging.rpc_name.expect("CBOR"))),
        Some("resourcegroupstaggingapi")
    );
    assert_eq!(
        catalog().service("kms").map(|service| service.dialect),
        Some(Dialect::Classic("ValidationException"))
    );
    assert_eq!(
        catalog()
            .service("unknown-service")
            .map(|service| service.head.id),
        None
    );
}
