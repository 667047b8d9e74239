//! OTLP/protobuf bodies, made by hand: each letter a span.

/// One ExportTraceServiceRequest with a span for each letter: `s` a model call that is stored, `r` one
/// whose trace id is too short to be taken, `i` a span that maps to no row (`ignored.span`).
pub fn spans(letters: &str) -> Vec<u8> {
    let spans: Vec<u8> = letters.chars().flat_map(|letter| field(2, &span(letter))).collect();
    let scope_spans = field(2, &spans);
    field(1, &scope_spans)
}

/// One request with `count` model calls of some 480 bytes each.
pub fn large_spans(count: usize) -> Vec<u8> {
    let attributes: Vec<u8> =
        (0..8).flat_map(|n| field(9, &attribute(&format!("attribute.{n}"), &"x".repeat(30)))).collect();
    let spans: Vec<u8> = (0..count).flat_map(|_| field(2, &[span('s'), attributes.clone()].concat())).collect();
    field(1, &field(2, &spans))
}

fn span(letter: char) -> Vec<u8> {
    let mut trace_id = [0; 16];
    fastrand::fill(&mut trace_id);
    trace_id[0] |= 1;
    let mut span = match letter {
        'r' => field(1, &trace_id[..4]),
        _ => field(1, &trace_id),
    };
    span.extend(field(2, &trace_id[..8]));
    span.extend(field(5, if letter == 'i' { b"ignored.span" } else { b"chat m" }));
    span.extend(fixed64(7, 1_795_000_000_000_000_000));
    span.extend(fixed64(8, 1_795_000_000_517_000_000));
    if letter != 'i' {
        span.extend(field(9, &attribute("gen_ai.operation.name", "chat")));
        span.extend(field(9, &attribute("gen_ai.request.model", "m")));
    }
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
