//! Small services built by hand for unit tests.

use facts::{Binding, Dialect, Operation, Protocol, Service, ServiceHead, Shape};

pub(crate) fn operation(name: &'static str, http_uri: &'static str) -> Operation {
    Operation {
        name,
        http_method: "POST",
        http_uri,
        response_status: 200,
        input: None,
        output: None,
        result_wrapper: None,
        input_root: None,
        input_namespace: None,
        output_root: None,
        errors: Vec::new(),
        unsigned: false,
        paginator: None,
        idempotency_token: None,
        read_only: false,
        implemented: false,
        data_event: false,
        binding: Binding::Open,
        authorizations: Vec::new(),
        request_tags: None,
        tag_keys: None,
        host_prefix: None,
        checksum_required: false,
    }
}

pub(crate) fn service(dialect: Dialect, operations: Vec<Operation>, shapes: Vec<Shape>) -> &'static Service {
    let head = ServiceHead {
        id: "test",
        protocols: vec![Protocol::Json11],
        signing_name: "test",
        endpoint_prefix: "test",
        target_prefix: Some("Test"),
        api_version: "2020-01-01",
        service_id: "Test",
        rpc_name: None,
        iam_prefix: "test",
        event_source: "test.amazonaws.com",
        global: false,
        clock_skew_s: 300,
    };
    let head = Box::leak(Box::new(head));
    Box::leak(Box::new(Service { head, xml_namespace: Some("urn:test"), dialect, operations, shapes }))
}
