//! Rows -> what ClickHouse inserts, and what its HTTP interface is asked (docs/wire.md, docs/clickhouse.sql).
//!
//! One request inserts rows of one table: [`url`] says which, and under which id; the body is a [`row`] for each. Pure.

use super::push::json;
use crate::config::Sender;
use crate::event::{Table, Value};
use crate::exchange::percent_encoded;

/// Appends one row: an object of its columns and of who sends it, on a line of its own. A column that is NULL is left
/// out, and a number that JSON cannot write is `null`. JSON is put in as a text: a column of it is a String, which every
/// version of ClickHouse has.
pub fn row(sender: &Sender<'_>, columns: &[(&'static str, Value<'_>)], out: &mut Vec<u8>) {
    let Sender { instance_id, identity, version } = *sender;
    let agent = [
        ("instance_id", Some(instance_id)),
        ("hostname", identity.hostname.as_deref()),
        ("fly_app_name", identity.fly_app_name.as_deref()),
        ("fly_machine_id", identity.fly_machine_id.as_deref()),
        ("fly_region", identity.fly_region.as_deref()),
        ("fly_image_ref", identity.fly_image_ref.as_deref()),
        ("fly_process_group", identity.fly_process_group.as_deref()),
        ("version", Some(version)),
    ];
    let agent = agent.map(|(name, text)| (name, text.map_or(Value::Null, Value::Text)));
    // Before the first column, and before each that follows one.
    let mut before = b'{';
    for (name, value) in columns.iter().chain(&agent) {
        if matches!(value, Value::Null) {
            continue;
        }
        out.push(before);
        before = b',';
        json(name, out);
        out.push(b':');
        match value {
            Value::Null => unreachable!("left out above"),
            Value::Integer(number) => json(number, out),
            Value::Real(number) => json(number, out),
            Value::Text(text) | Value::Json(text) => json(text, out),
        }
    }
    out.extend_from_slice(b"}\n");
}

/// Where rows of a table are posted: the endpoint, whose query may name a `database` and more settings, and what this
/// insert needs. A parameter of the endpoint that we set ourselves is left out: two of a name are one too many.
pub fn url(endpoint: &str, table: Table, batch_id: &str) -> String {
    let endpoint = endpoint.split('#').next().unwrap_or(endpoint);
    let (base, given) = endpoint.split_once('?').unwrap_or((endpoint, ""));
    let insert = format!("INSERT INTO {} FORMAT JSONEachRow", table.name());
    let ours = [("query", insert.as_str()), ("insert_deduplication_token", batch_id)];
    let ours = || ours.iter().copied().chain(SETTINGS.iter().copied());
    let is_ours = |pair: &str| ours().any(|(name, _)| pair.split('=').next() == Some(name));

    let mut url = base.to_owned();
    if base.split_once("://").is_some_and(|(_, rest)| !rest.contains('/')) {
        url.push('/');
    }
    let mut before = '?';
    for pair in given.split('&').filter(|pair| !pair.is_empty() && !is_ours(pair)) {
        url.push(before);
        before = '&';
        url.push_str(pair);
    }
    for (name, value) in ours() {
        url.push(before);
        before = '&';
        url.push_str(name);
        url.push('=');
        url.push_str(&percent_encoded(value, b""));
    }
    url
}

/// Whether the body of a 200 says that the rows are stored. An insert has nothing to say: what does say something is an
/// exception that came too late for another status, or somebody else's page.
pub fn confirms(body: &[u8]) -> bool {
    body.trim_ascii().is_empty()
}

/// The number of an exception, from the text that an answer begins with: `Code: 469. DB::Exception: ...`.
pub fn exception_code(body: &[u8]) -> Option<u32> {
    let rest = body.trim_ascii_start().strip_prefix(b"Code: ")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}

/// Exceptions that come with a status of 500 and are of a row for ever: a constraint of the table is violated.
pub const ROW_CODES: [u32; 1] = [469];
/// Those that come with 500 and that somebody must mend: the user may only read, a setting may not be changed or is not
/// known, the user may not insert.
pub const SETUP_CODES: [u32; 4] = [164, 452, 115, 497];

/// The headers that carry the user and the password.
pub const USER_HEADER: &str = "X-ClickHouse-User";
/// The password's.
pub const KEY_HEADER: &str = "X-ClickHouse-Key";

/// The user and the password of a token: `user:password`, or the password of the user `default`. A password with a colon
/// needs its user before it.
pub fn credentials(token: &str) -> (&str, &str) {
    token.split_once(':').unwrap_or(("default", token))
}

/// What every insert asks for, whatever the server or the user's profile has as its default.
const SETTINGS: &[(&str, &str)] = &[
    // The token works on the insert itself, which has happened when the answer comes. An asynchronous one may be
    // answered before it is stored, and older versions ignore the token there.
    ("insert_deduplicate", "1"),
    ("async_insert", "0"),
    // The status is that of the end of the query, not of its beginning.
    ("wait_end_of_query", "1"),
    // A sidecar that is newer than the table has columns that the table has not: better without them than never.
    ("input_format_skip_unknown_fields", "1"),
    // No row is left out in silence.
    ("input_format_allow_errors_num", "0"),
    ("input_format_allow_errors_ratio", "0"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_has_a_number() {
        assert_eq!(exception_code(b" Code: 469. DB::Exception: x"), Some(469));
        for body in ["", "Code: ", "Code: x", "code: 1", "<html>Code: 1", "Code: 99999999999"] {
            assert_eq!(exception_code(body.as_bytes()), None, "{body}");
        }
    }
    use crate::config::Identity;

    fn line(identity: &Identity, columns: &[(&'static str, Value<'_>)]) -> String {
        let sender = Sender { instance_id: "i", identity, version: "0.1.0" };
        let mut out = b"before".to_vec();
        row(&sender, columns, &mut out);
        String::from_utf8(out).unwrap().strip_prefix("before").unwrap().to_owned()
    }

    #[test]
    fn a_row_is_a_line_of_its_columns_and_of_who_sends_it() {
        let columns = [
            ("trace_id", Value::Text("a\"b\n\u{0}\u{e9}")),
            ("provider", Value::Null),
            ("cost_picousd", Value::Integer(i64::MAX)),
            ("latency_ms", Value::Integer(i64::MIN)),
            ("cpu_percent", Value::Real(0.1)),
            ("load_1m", Value::Real(f64::NAN)),
            ("attributes", Value::Json("{\"k\": [1,\nnull, \"\\u0000\"]}")),
        ];
        let identity = Identity { hostname: Some("h\"1".to_owned()), ..Identity::default() };
        let expected = r#"{"trace_id":"a\"b\n\u0000é","cost_picousd":9223372036854775807,"#.to_owned()
            + r#""latency_ms":-9223372036854775808,"cpu_percent":0.1,"load_1m":null,"#
            + r#""attributes":"{\"k\": [1,\nnull, \"\\u0000\"]}","instance_id":"i","hostname":"h\"1","version":"0.1.0"}"#
            + "\n";
        assert_eq!(line(&identity, &columns), expected);
        assert_eq!(line(&Identity::default(), &[]), "{\"instance_id\":\"i\",\"version\":\"0.1.0\"}\n");
        assert_eq!(
            line(&Identity::default(), &[("a", Value::Null)]),
            "{\"instance_id\":\"i\",\"version\":\"0.1.0\"}\n"
        );
    }

    #[test]
    fn what_is_known_of_the_machine_is_in_every_row() {
        let some = |text: &str| Some(text.to_owned());
        let identity = Identity {
            hostname: some("h"),
            fly_app_name: some("a"),
            fly_machine_id: some("m"),
            fly_region: some("r"),
            fly_image_ref: some("i:1"),
            fly_process_group: some("p"),
        };
        let expected = serde_json::json!({
            "x": 1, "instance_id": "i", "hostname": "h", "fly_app_name": "a", "fly_machine_id": "m", "fly_region": "r",
            "fly_image_ref": "i:1", "fly_process_group": "p", "version": "0.1.0"});
        let line = line(&identity, &[("x", Value::Integer(1))]);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), expected);
    }

    const OURS: &str = "query=INSERT%20INTO%20llm_traces%20FORMAT%20JSONEachRow&insert_deduplication_token=b-1&\
                        insert_deduplicate=1&async_insert=0&wait_end_of_query=1&input_format_skip_unknown_fields=1&\
                        input_format_allow_errors_num=0&input_format_allow_errors_ratio=0";

    #[test]
    fn the_query_of_the_endpoint_stays_and_ours_follows() {
        for (endpoint, before) in [
            ("https://ch:8443", "https://ch:8443/?"),
            ("https://ch:8443/", "https://ch:8443/?"),
            ("https://ch/a/b", "https://ch/a/b?"),
            ("https://ch?", "https://ch/?"),
            ("https://ch/?database=d%20b", "https://ch/?database=d%20b&"),
            ("https://ch?database=d&insert_quorum=2#x?y", "https://ch/?database=d&insert_quorum=2&"),
            ("https://ch/?&async_insert=1&database=d&query=SELECT+1&insert_deduplicate", "https://ch/?database=d&"),
        ] {
            assert_eq!(url(endpoint, Table::LlmTraces, "b-1"), format!("{before}{OURS}"), "{endpoint}");
        }
    }

    #[test]
    fn each_table_has_its_own_insert_and_a_batch_id_cannot_leave_its_place() {
        for table in Table::ALL {
            let wanted = format!("?query=INSERT%20INTO%20{}%20FORMAT%20JSONEachRow&", table.name());
            assert!(url("https://ch", table, "b").contains(&wanted));
        }
        let url = url("https://ch", Table::LlmTraces, "a&b=c%+\u{e9}~");
        assert!(url.contains("&insert_deduplication_token=a%26b%3Dc%25%2B%C3%A9~&"), "{url}");
    }

    #[test]
    fn only_an_answer_that_says_nothing_confirms() {
        assert!(confirms(b"") && confirms(b"\r\n"));
        for body in ["Ok.\n", "{}", "Code: 159. DB::Exception: Timeout exceeded", "<html>"] {
            assert!(!confirms(body.as_bytes()), "{body}");
        }
    }

    #[test]
    fn a_token_is_a_user_and_a_password_or_the_password_of_default() {
        assert_eq!(credentials("trace:hush"), ("trace", "hush"));
        assert_eq!(credentials("trace:hu:sh"), ("trace", "hu:sh"));
        assert_eq!(credentials("hush"), ("default", "hush"));
        assert_eq!(credentials("default:hu:sh"), ("default", "hu:sh"));
        assert_eq!(credentials("trace:"), ("trace", ""));
    }
}
