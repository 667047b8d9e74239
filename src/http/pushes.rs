//! The site of a receiver of pushes: one path that is pushed to, and `/health`. Who takes the pushes is told by
//! [`TakesPushes`].

use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;

use async_net::TcpListener;
use smol::LocalExecutor;
use smol::channel::Receiver;

use super::budget::{Budget, Hold};
use super::fault::{Dialect, Fault};
use super::head::Head;
use super::limits::Limits;
use super::routes::{
    Admitted, Refused, Way, check_expectation, check_hosts, check_length, check_method, check_token, is_gzip,
    nothing_here, unpack, unsupported,
};
use super::site::Site;
use super::{Door, Takes, serve_site};
use crate::clock::Clock;
use crate::config::Secret;
use crate::exchange::{Request, Response, media_type};
use crate::stats::{BODIES_FULL, Stats};

/// Where pushes go.
const PUSH: &str = "/v1/push";

/// Who takes pushes.
pub trait TakesPushes: 'static {
    /// Answers a push. Its body is complete, and as it was before it was compressed.
    fn push(&self, request: Request) -> impl Future<Output = Response>;

    /// Answers how it is; `refusing` is why the listener would refuse a push, if it would.
    fn health(&self, refusing: Option<&'static str>) -> Response;
}

/// What the site works with.
#[derive(Debug)]
pub struct Pushes<T> {
    /// Who takes them.
    pub taker: T,
    /// Where everything is counted.
    pub stats: Arc<Stats>,
    /// What time it is.
    pub clock: Clock,
    /// Bearer token that clients must send, if any.
    pub token: Option<Secret>,
    /// Names that a Host header may have.
    pub allowed_hosts: Vec<String>,
}

/// Serves pushes until the last sender of `stop` is dropped: as [`serve`](super::serve) does.
pub async fn serve_pushes<T: TakesPushes>(
    listeners: Vec<TcpListener>,
    pushes: Rc<Pushes<T>>,
    limits: Limits,
    executor: Rc<LocalExecutor<'static>>,
    stop: Receiver<Infallible>,
) {
    let doors = listeners.into_iter().map(|listener| Door { listener, takes: Takes::Everything }).collect();
    serve_site(doors, pushes, limits, executor, stop).await;
}

/// A refusal of the receiver's own, in the words of the others: `{"error":{"code","message"}}`. What is refused for now says
/// when to come again.
pub fn refusal(status: u16, message: String) -> Response {
    Fault::new(status, message).response(Dialect::Native)
}

/// What may be asked for here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Health,
    Push,
}

impl<T: TakesPushes> Site for Pushes<T> {
    type Route = Route;

    fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn admit(&self, limits: &Limits, budget: &Budget, way: Way, head: &Head) -> Result<Admitted<Route>, Refused> {
        self.admitted(limits, budget, way, head).map_err(|fault| (fault, Dialect::Native))
    }

    async fn answer(
        &self,
        limits: &Limits,
        budget: &Rc<Budget>,
        admitted: Admitted<Route>,
        mut request: Request,
        hold: &mut Hold,
    ) -> Response {
        if admitted.route == Route::Health {
            return self.taker.health((!budget.has_room()).then_some(BODIES_FULL));
        }
        if let Err(refusal) = unpack(limits, budget, admitted, &mut request, hold).await {
            return refusal;
        }
        let response = self.taker.push(request).await;
        // It may name more rows than the body had bytes for, and is kept until its client has read it. Without room for it
        // the client sends the same again: its rows are known by then.
        match hold.resize(response.body.len()) {
            Ok(()) => response,
            Err(full) => Fault::from(full).response(Dialect::Native),
        }
    }
}

impl<T> Pushes<T> {
    fn admitted(&self, limits: &Limits, budget: &Budget, way: Way, head: &Head) -> Result<Admitted<Route>, Fault> {
        check_hosts(head, way, &self.allowed_hosts)?;
        let route = match head.path() {
            "/health" => Route::Health,
            PUSH => Route::Push,
            _ => return Err(nothing_here()),
        };
        check_method(head.method, route == Route::Health)?;
        if route == Route::Push {
            check_token(head, self.token.as_ref())?;
        }
        check_expectation(head)?;
        let media = media_type(head.header("content-type").unwrap_or_default());
        if route == Route::Push && !matches!(&*media, "" | "application/json") {
            return Err(unsupported(Dialect::Native, &media));
        }
        let gzip = is_gzip(head)?;
        let body_bytes_max = if route == Route::Push { limits.native_bytes_max } else { 0 };
        check_length(head, body_bytes_max, budget)?;
        Ok(Admitted { route, gzip, untyped: media.is_empty(), body_bytes_max, dialect: Dialect::Native })
    }
}
