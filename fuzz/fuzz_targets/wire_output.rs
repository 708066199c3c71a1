//! Any bytes as the output or error of any operation, as a client reads them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(([service, operation, protocol, status], body)) = data.split_first_chunk::<4>().map(|(head, rest)| (*head, rest)) else { return };
    let heads = facts::catalog().heads();
    let head = &heads[usize::from(service) % heads.len()];
    let Some(service) = facts::catalog().service(head.id) else { return };
    let operation = &service.operations[usize::from(operation) % service.operations.len()];
    let protocol = head.protocols[usize::from(protocol) % head.protocols.len()];
    let headers = http::HeaderMap::new();
    let _ = wire::decode_output(protocol, service, operation, 200 + u16::from(status), &headers, body);
    let _ = wire::decode_error(protocol, service, 400, &headers, body);
});
