//! The embedded facts are complete and say what AWS documents.

#![allow(clippy::expect_used, clippy::panic)]

use facts::{Binding, Dialect, Operation, Protocol, Service, catalog};

fn services() -> impl Iterator<Item = &'static Service> {
    catalog().heads().iter().map(|head| catalog().service(head.id).expect(head.id))
}

fn operation(service: &str, name: &str) -> &'static Operation {
    catalog().service(service).and_then(|service| service.operation(name)).expect(name)
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
                    text += &format!(" {}={}{}", variable.variable, variable.member, if variable.may_be_arn { "?" } else { "" });
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
        assert!(service.operations.is_sorted_by(|a, b| a.name < b.name), "{}", service.head.id);
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
                    assert!(!empty, "{} {}", service.head.id, operation.name);
                }
                Binding::Open | Binding::Unmapped => {
                    assert!(empty, "{} {}", service.head.id, operation.name);
                }
            }
            for entry in &operation.authorizations {
                assert!(
                    entry.action.split_once(':').is_some_and(|(prefix, name)| !prefix.is_empty() && !name.is_empty()),
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
            let conditions = operation.authorizations.iter().flat_map(|entry| [entry.when_present, entry.when_absent]);
            let variables = operation.authorizations.iter().flat_map(|entry| &entry.resources).flat_map(|resource| &resource.variables);
            let members =
                variables.map(|variable| variable.member).filter(|member| !member.is_empty()).flat_map(|member| member.split('+'));
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
    assert_eq!(id(catalog().by_target_prefix("com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101")), Some("cloudtrail"));
    assert_eq!(id(catalog().by_target_prefix("CloudTrail_20131101")), Some("cloudtrail"));
    assert_eq!([id(catalog().by_target_prefix("20131101")), id(catalog().by_target_prefix(""))], [None, None]);
    assert_eq!(id(catalog().by_query_version("sts", "2011-06-15")), Some("sts"));
    assert_eq!(id(catalog().by_query_version("sts", "2010-05-08")), None);
    assert_eq!(id(catalog().by_endpoint_prefix("api.ecr")), Some("ecr"));
    let bedrock: Vec<_> = catalog().by_signing_name("bedrock").map(|head| head.id).collect();
    assert_eq!(bedrock, ["bedrock", "bedrock-runtime"]);
    assert_eq!(catalog().head("bedrock-runtime").map(|head| head.event_source), Some("bedrock.amazonaws.com"));
    let tagging = catalog().head("resourcegroupstaggingapi").expect("known");
    assert_eq!(tagging.protocols, [Protocol::RpcV2Cbor, Protocol::Json11]);
    assert_eq!(id(catalog().by_rpc_name(tagging.rpc_name.expect("CBOR"))), Some("resourcegroupstaggingapi"));
    assert_eq!(catalog().service("kms").map(|service| service.dialect), Some(Dialect::Classic("ValidationException")));
    assert_eq!(catalog().service("unknown-service").map(|service| service.head.id), None);
}

#[test]
fn authorizations_are_what_aws_documents() {
    let object = "on arn:${Partition}:s3:::${BucketName}/${ObjectName} BucketName=Bucket ObjectName=Key";
    assert_eq!(
        authorizations("s3", "GetObject"),
        [format!("s3:GetObject unless VersionId {object}"), format!("s3:GetObjectVersion if VersionId {object}")]
    );
    assert_eq!(authorizations("s3", "HeadObject"), authorizations("s3", "GetObject"));
    let bucket = "on arn:${Partition}:s3:::${BucketName} BucketName=Bucket";
    for (operation, action) in [
        ("ListObjectsV2", "ListBucket"),
        ("HeadBucket", "ListBucket"),
        ("GetBucketEncryption", "GetEncryptionConfiguration"),
        ("DeleteBucketEncryption", "PutEncryptionConfiguration"),
        ("DeletePublicAccessBlock", "PutBucketPublicAccessBlock"),
        ("ListMultipartUploads", "ListBucketMultipartUploads"),
    ] {
        assert_eq!(authorizations("s3", operation), [format!("s3:{action} {bucket}")]);
    }
    assert_eq!(authorizations("s3", "ListBuckets"), ["s3:ListAllMyBuckets"]);
    assert_eq!(authorizations("kms", "Encrypt"), ["kms:Encrypt on arn:${Partition}:kms:${Region}:${Account}:key/${KeyId} KeyId=KeyId?"]);
    assert_eq!(authorizations("kms", "CreateAlias").len(), 1);
    assert_eq!(
        authorizations("iam", "CreateUser"),
        ["iam:CreateUser on arn:${Partition}:iam::${Account}:user/${UserNameWithPath} UserNameWithPath=Path+UserName"]
    );
    assert_eq!(
        authorizations("sagemaker", "DeleteEndpoint"),
        ["sagemaker:DeleteEndpoint on arn:${Partition}:sagemaker:${Region}:${Account}:endpoint/${EndpointName} EndpointName=EndpointName"]
    );
    assert_eq!(
        authorizations("sagemaker", "CreateNotebookInstance").first().map(String::as_str),
        Some(
            "sagemaker:CreateNotebookInstance on arn:${Partition}:sagemaker:${Region}:${Account}:notebook-instance/${NotebookInstanceName} NotebookInstanceName=NotebookInstanceName"
        )
    );
    assert_eq!(operation("sts", "GetCallerIdentity").binding, Binding::Open);
    assert_eq!(operation("s3", "CopyObject").binding, Binding::Service);
}

#[test]
fn operation_facts_are_what_aws_documents() {
    let invoke = operation("bedrock-runtime", "InvokeModel");
    assert!(invoke.read_only && !invoke.data_event && invoke.implemented);
    let get = operation("s3", "GetObject");
    assert!(get.data_event && get.read_only);
    assert_eq!(operation("s3", "PutBucketPolicy").response_status, 204);
    assert_eq!(operation("s3", "GetBucketLocation").output_root, Some("LocationConstraint"));
    assert_eq!(operation("kms", "CreateKey").request_tags, Some("Tags"));
    assert_eq!(operation("kms", "UntagResource").tag_keys, Some("TagKeys"));
    assert_eq!(operation("s3", "PutBucketTagging").request_tags, Some("Tagging.TagSet"));
    assert_eq!(operation("s3", "PutObject").request_tags, Some("Tagging"));
    assert!(operation("sts", "AssumeRoleWithWebIdentity").unsigned);
    let s3 = catalog().service("s3").expect("known");
    let status = |code: &str| s3.error(code).and_then(|shape| shape.error.as_ref()).and_then(|error| error.status);
    assert_eq!([status("NoSuchKey"), status("InvalidRange"), status("BucketNotEmpty")], [Some(404), Some(416), Some(409)]);
    let kms = catalog().service("kms").expect("known");
    let plaintext = kms.members(operation("kms", "Encrypt").input.expect("input")).iter().find(|member| member.name == "Plaintext");
    assert!(plaintext.is_some_and(|member| member.required && member.sensitive));
}

/// What is still authorized on `*`, although its action names a resource type. The number may only fall.
const UNBOUND_MAX: usize = 154;

#[test]
fn the_list_of_unbound_operations_only_shrinks() {
    let unbound: Vec<_> = include_str!("../../../../facts/unbound.txt").lines().collect();
    assert!(unbound.len() <= UNBOUND_MAX, "{} operations are unbound", unbound.len());
    let unmapped: Vec<_> = services()
        .flat_map(|service| &service.operations)
        .filter(|operation| operation.binding == Binding::Unmapped)
        .map(|operation| operation.name)
        .collect();
    assert_eq!(unmapped, Vec::<&str>::new());
}

/// A resource that the input names is never left a pattern where a handler exists, unless the service resolves it.
#[test]
fn implemented_operations_name_their_resources() {
    let mut implemented = 0;
    for operation in services().flat_map(|service| &service.operations).filter(|operation| operation.implemented) {
        implemented += 1;
        let resources = operation.authorizations.iter().flat_map(|entry| &entry.resources).filter(|resource| resource.required);
        let unknown = resources.flat_map(|resource| &resource.variables).any(|variable| variable.member.is_empty());
        let makes = operation.name.starts_with("Create");
        assert!(!unknown || makes || operation.binding == Binding::Service, "{}", operation.name);
    }
    assert!(implemented > 0);
}
