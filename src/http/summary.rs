//! GET /v1/summary: what the calls of some time came to. Somebody else reads the file (`store::Queries`); here the question
//! is read, and the answer passed on.

use super::App;
use super::budget::Hold;
use super::fault::{self, Dialect, Fault};
use crate::exchange::{Request, Response};
use crate::store::QueryError;
use crate::summary::Question;

/// 200 with the answer, 400 for a question that has none, 503 when it cannot be read now.
pub(super) async fn answer<C>(app: &App<C>, request: &Request, hold: &mut Hold) -> Response {
    let question = match Question::of_query(&request.query, app.clock.now_ms()) {
        Ok(question) => Question { budget: app.config.budget_day, ..question },
        Err(fault) => return fault::native(400, "bad_request", &fault.message, Some(&fault.parameter)),
    };
    let answer = app.queries.summary(question).await.map_err(Fault::from);
    // It is kept until its client has read it.
    let held = answer.and_then(|body| hold.resize(body.len()).map(|()| body).map_err(Fault::from));
    match held {
        Ok(body) => Response::json(200, body),
        Err(fault) => fault.response(Dialect::Native),
    }
}

impl From<QueryError> for Fault {
    fn from(error: QueryError) -> Fault {
        Fault::new(503, error.to_string())
    }
}
