//! The protobuf wire format, as far as writing needs it: fields, appended one after the other.
//!
//! What a field without a value says is left to the caller: nothing here leaves out a zero.

/// A field that is a varint.
pub(super) fn number(message: &mut Vec<u8>, field: u8, value: u64) {
    message.push(field << WIRE_TYPE_BITS | VARINT);
    varint(message, value);
}

/// A field of 64 bits: a time, a double, an `sfixed64`.
pub(super) fn fixed64(message: &mut Vec<u8>, field: u8, value: u64) {
    message.push(field << WIRE_TYPE_BITS | FIXED64);
    message.extend_from_slice(&value.to_le_bytes());
}

/// A field with a length: a string, bytes, or a message that is written already.
pub(super) fn bytes(message: &mut Vec<u8>, field: u8, value: &[u8]) {
    start(message, field, value.len() as u64);
    message.extend_from_slice(value);
}

/// What stands before so many bytes that are the content of a field.
pub(super) fn start(message: &mut Vec<u8>, field: u8, length: u64) {
    message.push(field << WIRE_TYPE_BITS | LENGTH_DELIMITED);
    varint(message, length);
}

/// A field that is a message, whose content `write` appends. Its length is put before it when it is known.
pub(super) fn message(out: &mut Vec<u8>, field: u8, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(field << WIRE_TYPE_BITS | LENGTH_DELIMITED);
    let content = out.len();
    write(out);
    let (bytes, length) = encoded((out.len() - content) as u64);
    out.splice(content..content, bytes[..length].iter().copied());
}

fn varint(message: &mut Vec<u8>, value: u64) {
    let (bytes, length) = encoded(value);
    message.extend_from_slice(&bytes[..length]);
}

/// A varint, and how many of these bytes it is.
fn encoded(mut value: u64) -> ([u8; VARINT_BYTES_MAX], usize) {
    let mut bytes = [0; VARINT_BYTES_MAX];
    let mut length = 1;
    while value >= 0x80 {
        bytes[length - 1] = value as u8 | 0x80;
        value >>= 7;
        length += 1;
    }
    bytes[length - 1] = value as u8;
    (bytes, length)
}

const WIRE_TYPE_BITS: u8 = 3;
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const LENGTH_DELIMITED: u8 = 2;
const VARINT_BYTES_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_written_as_protobuf_has_them() {
        let mut out = Vec::new();
        number(&mut out, 1, 300);
        fixed64(&mut out, 2, 1);
        bytes(&mut out, 15, b"ab");
        message(&mut out, 3, |out| number(out, 1, 0));
        assert_eq!(out, b"\x08\xac\x02\x11\x01\0\0\0\0\0\0\0\x7a\x02ab\x1a\x02\x08\0");
    }

    #[test]
    fn a_message_has_the_length_of_its_content_however_long_that_is() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 3_000_000] {
            let mut out = b"before".to_vec();
            message(&mut out, 1, |out| message(out, 2, |out| out.resize(out.len() + length, b'x')));
            let mut whole = b"before".to_vec();
            let mut inner = Vec::new();
            bytes(&mut inner, 2, &vec![b'x'; length]);
            bytes(&mut whole, 1, &inner);
            assert_eq!(out, whole, "{length}");
        }
    }

    #[test]
    fn a_number_of_any_length_is_read_again_by_prost() {
        let edges = (0..64).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit]);
        for value in edges.chain([u64::MAX]) {
            let mut out = Vec::new();
            varint(&mut out, value);
            assert_eq!(prost::decode_length_delimiter(&out[..]).ok().map(|n| n as u64), Some(value), "{value}");
        }
    }
}
