//! Protobuf of a request, with fields in it that are not of OTLP (yet), and messages in parts.

use fastrand::Rng;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};

/// The request as another encoder may write it: the same to whoever follows the rules of protobuf.
pub fn request(request: &ExportTraceServiceRequest, rng: &mut Rng) -> Vec<u8> {
    let mut body = Vec::new();
    for resource_spans in &request.resource_spans {
        unknown(rng, &mut body);
        field(1, &in_resource(resource_spans, rng), &mut body);
    }
    unknown(rng, &mut body);
    body
}

/// Nobody says in which order the fields of a message come.
fn in_resource(resource_spans: &ResourceSpans, rng: &mut Rng) -> Vec<u8> {
    let mut body = Vec::new();
    let resource_is_last = rng.bool();
    let resource = resource_spans.resource.as_ref().map(Message::encode_to_vec);
    if let Some(resource) = resource.as_ref().filter(|_| !resource_is_last) {
        field(1, resource, &mut body);
    }
    for scope_spans in &resource_spans.scope_spans {
        unknown(rng, &mut body);
        field(2, &in_scope(scope_spans, rng), &mut body);
    }
    let outer = ResourceSpans { schema_url: resource_spans.schema_url.clone(), ..ResourceSpans::default() };
    body.extend(outer.encode_to_vec());
    if let Some(resource) = resource.as_ref().filter(|_| resource_is_last) {
        field(1, resource, &mut body);
    }
    body
}

fn in_scope(scope_spans: &ScopeSpans, rng: &mut Rng) -> Vec<u8> {
    let outer = ScopeSpans { spans: Vec::new(), ..scope_spans.clone() };
    let mut body = outer.encode_to_vec();
    for span in &scope_spans.spans {
        unknown(rng, &mut body);
        let mut inner = Vec::new();
        unknown(rng, &mut inner);
        inner.extend(span.encode_to_vec());
        unknown(rng, &mut inner);
        field(2, &inner, &mut body);
    }
    body
}

/// Sometimes a field of a number that no message of OTLP has.
fn unknown(rng: &mut Rng, body: &mut Vec<u8>) {
    let number = rng.u32(200..100_000);
    match rng.u8(..8) {
        0 => {
            encode_key(number, WireType::Varint, body);
            encode_varint(rng.u64(..), body);
        }
        1 => {
            encode_key(number, WireType::SixtyFourBit, body);
            body.extend(rng.u64(..).to_le_bytes());
        }
        2 => {
            encode_key(number, WireType::ThirtyTwoBit, body);
            body.extend(rng.u32(..).to_le_bytes());
        }
        3 => field(number, &vec![rng.u8(..); rng.usize(..300)], body),
        _ => {}
    }
}

fn field(number: u32, content: &[u8], body: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, body);
    encode_varint(content.len() as u64, body);
    body.extend_from_slice(content);
}
