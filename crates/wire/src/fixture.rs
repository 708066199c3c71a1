//! Small services built by hand for unit tests.

use facts::{
    Binding, Constraints, Dialect, Location, Member, Operation, Protocol, Service, ServiceHead,
    Shape, ShapeId, ShapeKind,
};

pub(crate) fn shape(name: &'static str, kind: ShapeKind) -> Shape {
    Shape {
        name,
        kind,
        constraints: Constraints::default(),
        sensitive: false,
        error: None,
        xml_namespace: None,
        location_name: None,
    }
}

pub(crate) fn structure(name: &'static str, members: Vec<Member>) -> Shape {
    let kind = ShapeKind::Structure {
        members,
        payload: None,
        union: false,
        event_stream: false,
        event: false,
        document: false,
    };
    shape(name, kind)
}

pub(crate) fn member(name: &'static str, shape: u16) -> Member {
    Member {
        name,
        shape: ShapeId(shape),
        required: false,
        location: Location::Body,
        location_name: None,
        query_name: None,
        xml_namespace: None,
        xml_namespace_prefix: None,
        xml_attribute: false,
        flattened: false,
        timestamp_format: None,
        idempotency_token: false,
        json_value: false,
        host_label: false,
        event_payload: false,
        event_header: false,
        sensitive: false,
    }
}

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

pub(crate) fn service(
    dialect: Dialect,
    operations: Vec<Operation>,
    shapes: Vec<Shape>,
) -> &'static Service {
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
    Box::leak(Box::new(Service {
        head,
        xml_namespace: Some("urn:test"),
        dialect,
        operations,
        shapes,
    }))
}
