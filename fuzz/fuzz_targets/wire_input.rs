//! Any bytes as the input of any operation, in each protocol: the first four bytes choose service, operation and protocol.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(([service, operation, operation_high, protocol], rest)) = data.split_first_chunk::<4>().map(|(head, rest)| (*head, rest)) else { return };
    let heads = facts::catalog().heads();
    let head = &heads[usize::from(service) % heads.len()];
    let Some(service) = facts::catalog().service(head.id) else { return };
    let operation = &service.operations[(usize::from(operation) + 256 * usize::from(operation_high)) % service.operations.len()];
    let protocol = head.protocols[usize::from(protocol) % head.protocols.len()];
    let (line, body) = rest.split_at(rest.iter().position(|byte| *byte == b'\n').unwrap_or(0));
    let line = String::from_utf8_lossy(line);
    let (path, query) = line.split_once('?').unwrap_or((&line, ""));
    let headers = http::HeaderMap::new();
    let parts = wire::RequestParts { method: operation.http_method, path, query, headers: &headers, host_label: None };
    let labels = wire::route_rest(service, &parts).map(|(_, labels)| labels).unwrap_or_default();
    if let Err(error) = wire::decode_input(protocol, service, operation, &parts, &labels, body) {
        let _ = error.to_reply(service);
    }
});
