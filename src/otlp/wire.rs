//! The protobuf wire format, as far as walking needs it: the fields of a message, as slices.
//!
//! Allocates nothing and never looks deeper than asked, so a hostile body costs no more than its own length.

use super::Fault;

/// The fields of one message, in the order of the wire. Ends after the first fault.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

/// One field.
pub(super) struct Field<'a> {
    /// Its number.
    pub(super) number: u64,
    /// Its content, where the wire type says that it has a length: a message, a string or bytes.
    pub(super) content: Option<&'a [u8]>,
    /// Its value, where it is a varint.
    pub(super) number_value: Option<u64>,
}

impl<'a> Fields<'a> {
    /// Walks `message`, which is the content without tag and length.
    pub(super) fn of(message: &'a [u8]) -> Fields<'a> {
        Fields { rest: message }
    }

    fn read(&mut self) -> Result<Field<'a>, Fault> {
        let key = self.varint()?;
        let number = key >> WIRE_TYPE_BITS;
        if number == 0 {
            return Err(broken("a field has the number 0"));
        }
        let (mut content, mut number_value) = (None, None);
        match key & WIRE_TYPE_MASK {
            WIRE_VARINT => number_value = Some(self.varint()?),
            WIRE_FIXED64 => self.take(8).map(drop)?,
            WIRE_LENGTH => {
                let length = self.varint()?;
                let length = usize::try_from(length).map_err(|_| broken("a length has more than 32 bits"))?;
                content = Some(self.take(length)?);
            }
            WIRE_FIXED32 => self.take(4).map(drop)?,
            _ => return Err(broken("a field has a wire type that OTLP does not use")),
        }
        Ok(Field { number, content, number_value })
    }

    fn varint(&mut self) -> Result<u64, Fault> {
        let mut value = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = *self.take(1)?.first().ok_or_else(|| broken("a number is cut off"))?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(broken("a number has more than 64 bits"))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let (head, rest) = self.rest.split_at_checked(length).ok_or_else(|| broken("a field is cut off"))?;
        self.rest = rest;
        Ok(head)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// The contents of the fields of that number: what a repeated message field holds.
pub(super) fn messages(message: &[u8], number: u64) -> impl Iterator<Item = Result<&[u8], Fault>> {
    Fields::of(message).filter_map(move |field| match field {
        Ok(field) if field.number == number => {
            Some(field.content.ok_or_else(|| broken("a field that should be a message is a number")))
        }
        Ok(_) => None,
        Err(fault) => Some(Err(fault)),
    })
}

fn broken(what: &str) -> Fault {
    Fault::Malformed { message: format!("not the protobuf of this path: {what}") }
}

const WIRE_TYPE_BITS: u32 = 3;
const WIRE_TYPE_MASK: u64 = 7;
const WIRE_VARINT: u64 = 0;
const WIRE_FIXED64: u64 = 1;
const WIRE_LENGTH: u64 = 2;
const WIRE_FIXED32: u64 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_every_wire_type_are_walked() {
        // 1: varint 300, 2: fixed64, 3: "ab", 4: fixed32, 3: "".
        let message = b"\x08\xac\x02\x11\0\0\0\0\0\0\0\0\x1a\x02ab\x25\0\0\0\0\x1a\0";
        let fields: Vec<(u64, Option<&[u8]>)> =
            Fields::of(message).map(|field| field.map(|f| (f.number, f.content)).unwrap()).collect();
        assert_eq!(fields, [(1, None), (2, None), (3, Some(&b"ab"[..])), (4, None), (3, Some(&b""[..]))]);
        let strings: Vec<&[u8]> = messages(message, 3).map(Result::unwrap).collect();
        assert_eq!(strings, [&b"ab"[..], b""]);
    }

    #[test]
    fn whatever_is_cut_off_or_no_field_is_a_fault_and_the_end() {
        for message in [
            &b"\x08"[..],
            b"\x80",
            b"\x1a\x02a",
            b"\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x11\0\0",
            b"\x25\0",
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x00\x01",
            b"\x0b\x0c",
            b"\x0f",
        ] {
            let fields: Vec<bool> = Fields::of(message).map(|field| field.is_ok()).collect();
            assert_eq!(fields, [false], "{message:x?}");
        }
        assert!(messages(b"\x08\x01", 1).next().unwrap().is_err());
    }
}
