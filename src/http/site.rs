//! What a listener serves: a [`Site`] lets requests in by their heads, and answers them.

use std::rc::Rc;
use std::sync::Arc;

use super::budget::{Budget, Hold};
use super::head::Head;
use super::limits::Limits;
use super::routes::{Admitted, Refused, Way};
use crate::clock::Clock;
use crate::exchange::{Request, Response};
use crate::stats::Stats;

/// Who is behind a listener. Everything that has to do with connections and framing has been seen to before it is asked.
pub(super) trait Site: 'static {
    /// What may be asked for here.
    type Route: Copy;

    /// Where connections, bodies and answers are counted.
    fn stats(&self) -> &Arc<Stats>;

    /// What time it is.
    fn clock(&self) -> &Clock;

    /// Decides on the head alone whether a request is let in.
    ///
    /// # Errors
    /// It is not. Its body has not been read.
    fn admit(&self, limits: &Limits, budget: &Budget, way: Way, head: &Head) -> Result<Admitted<Self::Route>, Refused>;

    /// Answers a complete request. `hold` counts its body, and afterwards what the answer needs: it is kept until that is
    /// written.
    async fn answer(
        &self,
        limits: &Limits,
        budget: &Rc<Budget>,
        admitted: Admitted<Self::Route>,
        request: Request,
        hold: &mut Hold,
    ) -> Response;
}
