//! POST /v1/dead-letters/retry: dead letters are sent again. Somebody else does it (`store::DeadLetters`); here the wish is
//! read, and the answer passed on.

use serde::{Deserialize, Serialize};

use super::App;
use super::budget::Hold;
use super::fault::{self, Dialect, Fault};
use super::limits::Limits;
use crate::exchange::{Request, Response};
use crate::store::{Revival, ReviveError, Revived};

/// 202 once the file knows which are sent again, 400 for no such wish, 503 when that cannot be noted now.
pub(super) async fn retry<C>(app: &App<C>, limits: &Limits, request: Request, hold: &mut Hold) -> Response {
    let which = match read(&request.body, limits.items_max) {
        Ok(which) => which,
        Err(fault) => return fault.response(Dialect::Native),
    };
    // The ids that are unknown are in the answer.
    if let Err(full) = hold.resize(request.body.len() + ANSWER_BYTES) {
        return Fault::from(full).response(Dialect::Native);
    }
    drop(request);
    match app.letters.revive(which).await {
        Ok(Revival { revived, unknown }) => fault::json(202, &Answer { retried: revived, unknown }),
        Err(error @ ReviveError::NoRemote) => Fault::new(400, error.to_string()).response(Dialect::Native),
        Err(error) => Fault::new(503, error.to_string()).response(Dialect::Native),
    }
}

/// Of an answer without ids.
const ANSWER_BYTES: usize = 64;

#[derive(Serialize)]
struct Answer {
    retried: usize,
    unknown: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    #[serde(default)]
    all: bool,
    #[serde(default)]
    trace_ids: Option<Vec<String>>,
}

fn read(body: &[u8], ids_max: usize) -> Result<Revived, Fault> {
    const WANTED: &str = "expected {\"trace_ids\": [\"…\"]} or {\"all\": true}";
    match serde_json::from_slice(body) {
        Ok(Wish { all: true, trace_ids: None }) => Ok(Revived::All),
        Ok(Wish { all: false, trace_ids: Some(ids) }) if ids.len() > ids_max => {
            Err(Fault::new(413, format!("a request may have {ids_max} trace_ids, this one has {}", ids.len())))
        }
        Ok(Wish { all: false, trace_ids: Some(ids) }) => {
            // As they are stored.
            Ok(Revived::TraceIds(ids.into_iter().map(|id| id.to_ascii_lowercase()).collect()))
        }
        Ok(_) => Err(Fault::new(400, WANTED)),
        Err(error) => Err(Fault::new(400, format!("{WANTED}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_all_or_some_ids() {
        let wish = |body: &str| read(body.as_bytes(), 2).map_err(|fault| fault.status);
        let ids = |ids: &[&str]| Ok(Revived::TraceIds(ids.iter().map(|id| (*id).to_owned()).collect()));
        assert_eq!(wish(r#"{"all":true}"#), Ok(Revived::All));
        assert_eq!(wish(r#"{"all":true,"trace_ids":null}"#), Ok(Revived::All));
        assert_eq!(wish(r#"{"trace_ids":["A","b"]}"#), ids(&["a", "b"]));
        assert_eq!(wish(r#"{"all":false,"trace_ids":[]}"#), ids(&[]));
        assert_eq!(wish(r#"{"trace_ids":["a","b","c"]}"#), Err(413));
        for body in ["", "{}", "[]", "null", r#"{"all":false}"#, r#"{"all":true,"trace_ids":["a"]}"#, r#"{"all":1}"#] {
            assert_eq!(wish(body), Err(400), "{body}");
        }
        for body in [r#"{"trace_ids":"a"}"#, r#"{"trace_ids":[1]}"#, r#"{"all":true,"al":1}"#, r#"{"all":true}{}"#] {
            assert_eq!(wish(body), Err(400), "{body}");
        }
    }
}
