//! Where a connection leaves hyper: behind the head of an answer that has no end.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::{
    Response, Version,
    body::{Body, Frame},
    header::{CONNECTION, HeaderValue},
};
use parking_lot::Mutex;

use super::{BoxBody, endless::Endless, line::Line};

/// A connection's door. An answer that comes to it loses its body; when hyper has written the head, and asks for the body,
/// the connection may leave.
#[derive(Clone, Default)]
pub(super) struct Door(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    body: Option<Endless>,
    head_is_written: bool,
}

impl Door {
    /// Keeps the body of an answer without an end, to a request of this version.
    pub(super) fn pass(&self, version: Version, answer: Response<BoxBody>) -> Response<BoxBody> {
        if answer.body().size_hint().exact().is_some() {
            return answer;
        }
        let (mut head, body) = answer.into_parts();
        // Nothing else is answered on this connection.
        head.headers.insert(CONNECTION, HeaderValue::from_static("close"));
        self.0.lock().body = Some(Endless::new(body, version > Version::HTTP_10));
        Response::from_parts(head, BoxBody::new(Outside(self.clone())))
    }

    fn leaving(&self) -> Option<Endless> {
        let mut state = self.0.lock();
        if state.head_is_written { state.body.take() } else { None }
    }
}

/// Stands for a body that is written elsewhere.
struct Outside(Door);

impl Body for Outside {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        // hyper asks for it when it has encoded the head.
        self.0.0.lock().head_is_written = true;
        Poll::Pending
    }
}

/// Serves a connection until it ends, or leaves through the door.
pub(super) async fn until_left<C: Future + Unpin>(
    connection: &mut C,
    door: &Door,
    line: &Line,
) -> Option<Endless> {
    poll_fn(|context| {
        if Pin::new(&mut *connection).poll(context).is_ready() {
            return Poll::Ready(None);
        }
        // What hyper could not write yet it still has to.
        let leaving = if line.is_blocked() { None } else { door.leaving() };
        leaving.map_or(Poll::Pending, |leaving| Poll::Ready(Some(leaving)))
    })
    .await
}
