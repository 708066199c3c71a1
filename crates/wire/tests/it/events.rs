//! Events of every event stream read back.

use facts::{Protocol, ShapeId, ShapeKind};
use wire::event::{decode_event, encode_event, encode_exception, encode_initial_response};
use wire::event_stream::{Decoder, Message};
use wire::{ErrorReply, Struct, Value};

use crate::arbitrary::{Generator, Random, Side, services};
use crate::round_trip::sorted;

fn read(bytes: &[u8]) -> Message {
    let mut decoder = Decoder::new();
    decoder.push(bytes);
    let message = decoder.next_message().unwrap().expect("one frame");
    assert!(!decoder.is_mid_frame());
    message
}

#[test]
fn every_event_reads_back() {
    let mut count = 0;
    for service in services() {
        let protocol = service.head.protocols[0];
        for (at, shape) in service.shapes.iter().enumerate() {
            let ShapeKind::Structure { members, event_stream: true, .. } = &shape.kind else {
                continue;
            };
            let union = ShapeId(u16::try_from(at).unwrap());
            for member in members.iter().filter(|member| service.shape(member.shape).error.is_none()) {
                for round in 0..5 {
                    let mut random = Random::for_name(member.name, round);
                    let mut make = Generator { service, protocol, side: Side::Output, random: &mut random, budget: 100 };
                    let mut event = Struct::new();
                    event.set(member.name, make.event(member.shape));
                    let event = Value::Struct(event);
                    let bytes = encode_event(protocol, service, union, &event).unwrap();
                    let message = read(&bytes);
                    assert_eq!(message.text(":event-type"), Some(member.wire_name()));
                    let found = decode_event(protocol, service, union, &message).unwrap();
                    assert_eq!(sorted(&found), sorted(&event), "{} {}", service.head.id, member.name);
                    count += 1;
                }
            }
        }
    }
    assert!(count > 50, "only {count} events");
}

#[test]
fn exceptions_name_their_type() {
    let service = facts::catalog().service("bedrock-runtime").unwrap();
    let at = service.shapes.iter().position(|shape| shape.name == "ResponseStream").unwrap();
    let union = ShapeId(u16::try_from(at).unwrap());
    let error = |code: &str| ErrorReply {
        code: code.to_owned(),
        message: "too many".to_owned(),
        status: 429,
        sender_fault: true,
        members: Vec::new(),
    };
    let message = read(&encode_exception(Protocol::RestJson, service, union, &error("ThrottlingException")).unwrap());
    assert_eq!(message.text(":message-type"), Some("exception"));
    assert_eq!(message.text(":exception-type"), Some("throttlingException"));
    assert_eq!(&message.payload[..], br#"{"message":"too many"}"#);
    let message = read(&encode_exception(Protocol::RestJson, service, union, &error("Unlisted")).unwrap());
    assert_eq!(message.text(":message-type"), Some("error"));
    assert_eq!(message.text(":error-code"), Some("Unlisted"));
    assert_eq!(message.text(":error-message"), Some("too many"));
}

#[test]
fn rpc_streams_begin_with_their_other_members() {
    let service = facts::catalog().service("logs").unwrap();
    let operation = service.operation("StartLiveTail").unwrap();
    let message = read(&encode_initial_response(Protocol::Json11, service, operation, &Value::Struct(Struct::new())).unwrap());
    assert_eq!(message.text(":event-type"), Some("initial-response"));
    assert_eq!(&message.payload[..], b"{}");
}
