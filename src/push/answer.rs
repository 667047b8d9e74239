//! What an answer of the remote means. Pure.
//!
//! Only an answer that is a receipt confirms rows: a captive portal or a proxy answers 200 too, with a page.

use std::time::Duration;

use super::format::{self, Blame, Lane};
use crate::client::Answer;
use crate::config::PushFormat;
use crate::wire::push::Receipt;

/// What an answer asks of us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The remote has the rows, but for those that the receipt names.
    Taken(Receipt),
    /// Not now: send the same batch again, no sooner than `after`.
    Later {
        /// How long the remote wants to be left alone.
        after: Option<Duration>,
        /// What came, and what the operator may do about it. Nothing of the answer's body.
        cause: String,
    },
    /// It will never take these rows together: find those that it refuses.
    Refused {
        /// Likewise.
        cause: String,
    },
    /// It will never take so much at once.
    TooLarge {
        /// Likewise.
        cause: String,
    },
    /// Nothing is wrong with the rows: the address or the token is. Leave the rows alone, say so.
    Misconfigured {
        /// Likewise.
        after: Option<Duration>,
        /// Likewise.
        cause: String,
    },
    /// It does not understand the encoding of the body.
    Unencoded {
        /// Likewise.
        cause: String,
    },
}

/// What was sent, as far as the answer speaks of it.
#[derive(Debug, Clone, Copy)]
pub struct Sent<'a> {
    /// How bodies look.
    pub format: PushFormat,
    /// Which lane it was.
    pub lane: Lane,
    /// Id of the batch.
    pub batch_id: &'a str,
    /// Rows in it.
    pub rows: u64,
    /// Whether the body was compressed.
    pub gzip: bool,
}

/// What the answer to a batch asks of us.
pub fn judge(answer: &Answer, sent: &Sent<'_>) -> Verdict {
    let status = answer.status;
    let after = answer.retry_after;
    if format::may_confirm(sent.format, status) {
        return judge_receipt(answer, sent);
    }
    let cause = format!("the remote answered {status}{}", hint(status));
    match format::blame(sent.format, answer) {
        Some(Blame::Rows) => return Verdict::Refused { cause },
        Some(Blame::Configuration) => return Verdict::Misconfigured { after, cause },
        None => {}
    }
    match status {
        413 => Verdict::TooLarge { cause },
        // A compressed body is of no known length, which somebody in between may not take either.
        411 | 415 if sent.gzip => Verdict::Unencoded { cause },
        300..=399 | 401 | 403 | 404 | 405 | 407 | 410 => Verdict::Misconfigured { after, cause },
        408 | 409 | 425 | 429 => Verdict::Later { after, cause },
        400..=499 => Verdict::Refused { cause },
        _ => Verdict::Later { after, cause },
    }
}

fn judge_receipt(answer: &Answer, sent: &Sent<'_>) -> Verdict {
    let (status, after) = (answer.status, answer.retry_after);
    if answer.cut {
        let cause = format!("the remote answered {status} with a body too long to be a receipt");
        // With fewer rows it has less to say, and of one row there is not so much to say.
        return if sent.rows > 1 { Verdict::TooLarge { cause } } else { Verdict::Misconfigured { after, cause } };
    }
    let Some(receipt) = format::receipt(sent.format, sent.lane, answer) else {
        return Verdict::Misconfigured {
            after,
            cause: format!(
                "the remote answered {status} with something that is no receipt (expected an empty body or what \
                 TRACE_PUSH_FORMAT={} answers): is TRACE_PUSH_ENDPOINT right?",
                sent.format.as_str()
            ),
        };
    };
    if receipt.batch_id.as_ref().is_some_and(|id| id != sent.batch_id) {
        return Verdict::Later { after, cause: format!("the remote answered {status} to another batch than was sent") };
    }
    match receipt.rows() {
        Some(counted) if counted != sent.rows => Verdict::Later {
            after,
            cause: format!("the remote answered {status} and speaks of {counted} rows, {} were sent", sent.rows),
        },
        _ => Verdict::Taken(receipt),
    }
}

fn hint(status: u16) -> &'static str {
    match status {
        201..=299 => ": only 200 and 207 confirm a push",
        300..=399 => ": redirects are not followed, set TRACE_PUSH_ENDPOINT to the final address",
        401 | 403 | 407 => ": is TRACE_PUSH_TOKEN right?",
        404 | 405 | 410 => ": is TRACE_PUSH_ENDPOINT right, and does the remote take what TRACE_PUSH_TABLES names?",
        413 => ": set TRACE_PUSH_MAX_BYTES to what the remote takes",
        411 | 415 => ": set TRACE_PUSH_GZIP and TRACE_PUSH_FORMAT to what the remote takes",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Table;

    const LANE: Lane = Lane { name: "rows", tables: &Table::ALL };

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, retry_after: None, body: body.as_bytes().to_vec(), cut: false }
    }

    fn judged(answer: &Answer) -> Verdict {
        let sent = Sent { format: PushFormat::Json, lane: LANE, batch_id: "b", rows: 5, gzip: false };
        judge(answer, &sent)
    }

    #[test]
    fn only_a_200_or_207_with_a_receipt_confirms() {
        for body in ["", "{}", r#"{"accepted":3,"duplicates":2,"rejected":[]}"#, r#"{"batch_id":"b","accepted":1}"#] {
            for status in [200, 207] {
                assert!(matches!(judged(&answer(status, body)), Verdict::Taken(_)), "{status} {body}");
            }
        }
        assert!(matches!(judged(&answer(200, "<html>welcome</html>")), Verdict::Misconfigured { .. }));
        let cut = Answer { cut: true, ..answer(200, "") };
        assert!(matches!(judged(&cut), Verdict::TooLarge { .. }));
        let one = Sent { format: PushFormat::Json, lane: LANE, batch_id: "b", rows: 1, gzip: false };
        assert!(matches!(judge(&cut, &one), Verdict::Misconfigured { .. }));
    }

    #[test]
    fn a_receipt_that_is_of_another_batch_or_does_not_add_up_confirms_nothing() {
        for body in [r#"{"batch_id":"c"}"#, r#"{"accepted":2,"duplicates":2,"rejected":[]}"#] {
            assert!(matches!(judged(&answer(200, body)), Verdict::Later { .. }), "{body}");
        }
    }

    #[test]
    fn every_status_has_its_reaction() {
        for status in 201..=599 {
            let verdict = judged(&answer(status, "{}"));
            let wanted = match status {
                207 => matches!(verdict, Verdict::Taken(_)),
                413 => matches!(verdict, Verdict::TooLarge { .. }),
                300..=399 | 401 | 403 | 404 | 405 | 407 | 410 => matches!(verdict, Verdict::Misconfigured { .. }),
                400 | 402 | 406 | 411 | 412 | 414..=424 | 426..=428 | 430..=499 => {
                    matches!(verdict, Verdict::Refused { .. })
                }
                201..=299 | 408 | 409 | 425 | 429 | 500..=599 => matches!(verdict, Verdict::Later { .. }),
                _ => unreachable!("the range ends before"),
            };
            assert!(wanted, "{status}: {verdict:?}");
        }
        let sent = Sent { format: PushFormat::Json, lane: LANE, batch_id: "b", rows: 5, gzip: true };
        for status in [411, 415] {
            assert!(matches!(judge(&answer(status, ""), &sent), Verdict::Unencoded { .. }));
        }
    }

    #[test]
    fn clickhouse_says_by_a_number_whether_a_row_is_wrong_or_the_configuration() {
        let lane = Lane { name: "llm_traces", tables: &[Table::LlmTraces] };
        let sent = Sent { format: PushFormat::ClickHouse, lane, batch_id: "b", rows: 5, gzip: false };
        let of = |body: &str| judge(&answer(500, body), &sent);
        assert!(matches!(of("Code: 469. DB::Exception: Constraint `c` is violated"), Verdict::Refused { .. }));
        assert!(matches!(of("Code: 164. DB::Exception: readonly"), Verdict::Misconfigured { .. }));
        assert!(matches!(of("Code: 252. DB::Exception: Too many parts"), Verdict::Later { .. }));
        assert!(matches!(judged(&answer(500, "Code: 469. DB::Exception")), Verdict::Later { .. }), "of another format");
    }

    #[test]
    fn what_the_remote_says_is_not_repeated() {
        for status in [200, 301, 400, 401, 413, 500] {
            assert!(!format!("{:?}", judged(&answer(status, "Bearer hush"))).contains("hush"));
        }
    }

    #[test]
    fn the_wait_that_the_remote_asks_for_is_kept() {
        let wanted = Some(Duration::from_secs(9));
        for status in [429, 503, 401] {
            match judged(&Answer { retry_after: wanted, ..answer(status, "") }) {
                Verdict::Later { after, .. } | Verdict::Misconfigured { after, .. } => assert_eq!(after, wanted),
                other => panic!("{status}: {other:?}"),
            }
        }
    }
}
