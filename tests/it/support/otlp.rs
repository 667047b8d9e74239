//! OTLP/protobuf bodies, made by hand: just enough to say that a model was called.

/// One ExportTraceServiceRequest with a span for each letter: `s` a model call that is stored, `r` one
/// whose trace id is too short to be taken, `i` a span that maps to no row (`ignored.span`).
pub fn spans(letters: &str) -> Vec<u8> {
    request(letters.chars().map(span))
}

/// One request with `count` model calls of some 480 bytes each.
pub fn large_spans(count: usize) -> Vec<u8> {
    let attributes: Vec<u8> =
        (0..8).flat_map(|n| field(9, &attribute(&format!("attribute.{n}"), &"x".repeat(30)))).collect();
    request((0..count).map(|_| [span('s'), attributes.clone()].concat()))
}

/// One ExportTraceServiceRequest with a model call for each span id, all of one trace.
pub fn spans_with_ids(ids: &[u64]) -> Vec<u8> {
    request(ids.iter().map(|id| model_call(&[7; 16], &id.to_be_bytes())))
}

fn request(spans: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let spans: Vec<u8> = spans.flat_map(|span| field(2, &span)).collect();
    field(1, &field(2, &spans))
}

fn span(letter: char) -> Vec<u8> {
    let mut trace_id = [0; 16];
    fastrand::fill(&mut trace_id);
    trace_id[0] |= 1;
    match letter {
        'r' => model_call(&trace_id[..4], &trace_id[..8]),
        'i' => timed(&trace_id, &trace_id[..8], b"ignored.span"),
        _ => model_call(&trace_id, &trace_id[..8]),
    }
}

fn model_call(trace_id: &[u8], span_id: &[u8]) -> Vec<u8> {
    let mut span = timed(trace_id, span_id, b"chat m");
    span.extend(field(9, &attribute("gen_ai.operation.name", "chat")));
    span.extend(field(9, &attribute("gen_ai.request.model", "m")));
    span
}

/// A span of half a second, by its ids and its name.
fn timed(trace_id: &[u8], span_id: &[u8], name: &[u8]) -> Vec<u8> {
    let mut span = [field(1, trace_id), field(2, span_id), field(5, name)].concat();
    span.extend(fixed64(7, 1_795_000_000_000_000_000));
    span.extend(fixed64(8, 1_795_000_000_517_000_000));
    span
}

fn attribute(key: &str, value: &str) -> Vec<u8> {
    [field(1, key.as_bytes()), field(2, &field(1, value.as_bytes()))].concat()
}

/// A length-delimited field.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
    out
}

fn fixed64(number: u8, value: u64) -> Vec<u8> {
    let mut out = vec![number << 3 | 1];
    out.extend(value.to_le_bytes());
    out
}
