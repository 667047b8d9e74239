//! What an answer of the remote means. Pure.
//!
//! Only a 200 whose body is a receipt confirms rows: a captive portal or a proxy answers 200 too,
//! with a page.

use std::time::Duration;

use crate::client::Answer;
use crate::wire::push::{Receipt, receipt};

/// Why a batch is not confirmed. It stays, and is sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unconfirmed {
    /// What came, and what the operator may do about it. Nothing of the answer's body.
    pub cause: String,
    /// How long the receiver wants to be left alone.
    pub after: Option<Duration>,
}

/// Whether the answer confirms the batch, and which of its rows the receiver does not want.
///
/// # Errors
/// [`Unconfirmed`] when it does not confirm.
pub fn judge(answer: &Answer) -> Result<Receipt, Unconfirmed> {
    let unconfirmed = |cause: String| Unconfirmed { cause, after: answer.retry_after };
    if answer.status != 200 {
        let hint = hint(answer.status);
        return Err(unconfirmed(format!("the remote answered {}{hint}", answer.status)));
    }
    if answer.cut {
        return Err(unconfirmed("the remote answered 200 with a body too long to be a receipt".to_owned()));
    }
    receipt(&answer.body).ok_or_else(|| {
        unconfirmed(
            "the remote answered 200 with something that is no receipt (expected an empty body or a JSON object): \
             is TRACE_PUSH_ENDPOINT right?"
                .to_owned(),
        )
    })
}

fn hint(status: u16) -> &'static str {
    match status {
        201..=299 => ": only 200 confirms a push",
        300..=399 => ": redirects are not followed, set TRACE_PUSH_ENDPOINT to the final address",
        401 | 403 => ": is TRACE_PUSH_TOKEN right?",
        404 | 405 | 410 => ": is TRACE_PUSH_ENDPOINT right?",
        413 => ": set TRACE_PUSH_MAX_BYTES to what the remote takes",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, retry_after: None, body: body.as_bytes().to_vec(), cut: false }
    }

    #[test]
    fn only_a_200_with_a_receipt_confirms() {
        for body in ["", "{}", r#"{"accepted":480,"duplicates":20,"rejected":[]}"#] {
            assert_eq!(judge(&answer(200, body)), Ok(Receipt::default()), "{body}");
        }
        for status in [201, 202, 204, 207, 301, 307, 400, 401, 404, 409, 413, 422, 429, 500, 503] {
            let unconfirmed = judge(&answer(status, "{}")).unwrap_err();
            assert!(unconfirmed.cause.contains(&status.to_string()), "{unconfirmed:?}");
        }
        assert!(judge(&answer(200, "<html>welcome</html>")).is_err());
        assert!(judge(&Answer { cut: true, ..answer(200, "") }).is_err());
    }

    #[test]
    fn what_the_remote_says_is_not_repeated() {
        for status in [200, 401, 500] {
            assert!(!judge(&answer(status, "Bearer hush")).unwrap_err().cause.contains("hush"));
        }
    }

    #[test]
    fn the_wait_that_the_remote_asks_for_is_kept() {
        let after = Some(Duration::from_secs(9));
        assert_eq!(judge(&Answer { retry_after: after, ..answer(503, "") }).unwrap_err().after, after);
    }
}
