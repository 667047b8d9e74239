//! Our own small [`Request`] and [`Response`]: what routes see of HTTP, and all they see.

use std::borrow::Cow;

/// The methods that any route of ours answers; everything else is `Other`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// HEAD: answered as GET, without the body.
    Head,
    /// POST
    Post,
    /// OPTIONS
    Options,
    /// A method that no route takes.
    Other,
}

/// One whole request, its body complete and still in its content encoding.
#[derive(Debug, Clone)]
pub struct Request {
    /// What is asked.
    pub method: Method,
    /// Path, without the query, as it was sent (not percent-decoded). Starts with `/`.
    pub path: String,
    /// What followed the `?`, or nothing.
    pub query: String,
    /// Headers that routes may ask for, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, de-chunked.
    pub body: Vec<u8>,
}

impl Request {
    /// The first header of that name (given in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Media type of the body in lower case, parameters cut off. Empty when none was sent.
    pub fn media_type(&self) -> String {
        media_type(self.header("content-type").unwrap_or(""))
    }
}

/// Media type of a `Content-Type` value: lower case, parameters cut off.
pub fn media_type(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

/// Percent-encoding of all but what needs none anywhere (RFC 3986, unreserved), and `also`.
pub fn percent_encoded(text: &str, also: &[u8]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || also.contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// Percent-decoding; `None` where it is none. A plus is one: what is written here is no form, and times east of Greenwich
/// have one.
pub fn percent_decoded(value: &str) -> Option<Cow<'_, str>> {
    if !value.contains('%') {
        return Some(Cow::Borrowed(value));
    }
    let mut bytes = Vec::with_capacity(value.len());
    let mut parts = value.split('%');
    bytes.extend_from_slice(parts.next()?.as_bytes());
    for part in parts {
        let (hex, rest) = part.split_at_checked(2)?;
        let digits = hex.bytes().all(|b| b.is_ascii_hexdigit());
        bytes.push(u8::from_str_radix(hex, 16).ok().filter(|_| digits)?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Status code, 200 to 599.
    pub status: u16,
    /// `Content-Type` of the body; `None` when there is no body.
    pub content_type: Option<&'static str>,
    /// Further headers, names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// An answer with a JSON body.
    pub fn json(status: u16, body: Vec<u8>) -> Response {
        Response { status, content_type: Some("application/json"), headers: Vec::new(), body }
    }

    /// The same answer with one more header (name in lower case).
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Response {
        self.headers.push((name, value.into()));
        self
    }
}
