//! The handoff of a streaming response from hyper, which would keep 16 KiB of buffers for each connection.
//!
//! hyper writes the response head and the first piece of the body; then the socket and the rest of the body leave hyper.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::Either;
use hyper::{
    Response, Version,
    body::{Body, Frame},
    header::{CONNECTION, HeaderValue},
};
use parking_lot::Mutex;

use super::{ConnectionHandle, activity::Exchange, service::ResponseBody, streaming_body::StreamingBody};

/// Holds the body of a streaming response until hyper has written the head and the first piece. Then the connection is handed off.
#[derive(Clone, Default)]
pub(super) struct Handoff(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    body: Option<StreamingBody>,
    head_is_written: bool,
}

/// The body that hyper gets: the real one, or a placeholder for a streaming body.
pub(super) type BodyOrPlaceholder = Either<ResponseBody, Placeholder>;

impl Handoff {
    /// Takes the body out of a streaming response to a request of this `version`. Any other response is returned unchanged.
    pub(super) fn intercept(
        &self,
        version: Version,
        response: Response<ResponseBody>,
    ) -> Response<BodyOrPlaceholder> {
        if response.body().size_hint().exact().is_some() {
            return response.map(Either::Left);
        }
        let (mut head, ResponseBody { body, exchange, .. }) = response.into_parts();
        // The connection serves no further request.
        head.headers.insert(CONNECTION, HeaderValue::from_static("close"));
        self.0.lock().body = Some(StreamingBody::new(body, version > Version::HTTP_10));
        Response::from_parts(head, Either::Right(Placeholder { handoff: self.clone(), _exchange: exchange }))
    }

    /// Returns the first piece of the body if it is available. Writing it together with the head costs a third less than two writes
    /// (measured).
    fn poll_first(&self, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let mut state = self.0.lock();
        if std::mem::replace(&mut state.head_is_written, true) {
            return Poll::Pending;
        }
        let Some(mut body) = state.body.take() else { return Poll::Pending };
        let first = body.poll(context);
        if let Poll::Pending | Poll::Ready(Some(Ok(_))) = &first {
            state.body = Some(body);
        }
        first
    }

    /// Takes the body once the head is written.
    fn take_body(&self) -> Option<StreamingBody> {
        let mut state = self.0.lock();
        if state.head_is_written { state.body.take() } else { None }
    }
}

/// Replaces a body that is written outside of hyper.
pub(super) struct Placeholder {
    handoff: Handoff,
    _exchange: Exchange,
}

impl Body for Placeholder {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        // hyper polls the body when it has encoded the head.
        self.handoff.poll_first(context)
    }
}

/// Drives a connection until it can be handed off, and returns the body.
///
/// # Errors
///
/// The connection has ended; the error is its output.
pub(super) async fn until_handed_off<C: Future + Unpin>(
    connection: &mut C,
    handoff: &Handoff,
    handle: &ConnectionHandle,
) -> Result<StreamingBody, C::Output> {
    poll_fn(|context| {
        if let Poll::Ready(ended) = Pin::new(&mut *connection).poll(context) {
            return Poll::Ready(Err(ended));
        }
        // While the socket is blocked, hyper still has bytes to write.
        let body = if handle.is_blocked() { None } else { handoff.take_body() };
        body.map_or(Poll::Pending, |body| Poll::Ready(Ok(body)))
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use hyper::{
        Request,
        body::Incoming,
        rt::{Read, ReadBufCursor, Write},
        server::conn::http1,
        service::service_fn,
    };

    use super::{
        super::{BoxBody, activity::Activity},
        *,
    };

    /// A body with this first piece, which is then pending. It must not be polled again after an end or an error.
    struct FirstPiece(Poll<Option<io::Result<&'static str>>>);

    impl Body for FirstPiece {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
            std::mem::replace(&mut self.0, Poll::Pending)
                .map_ok(|piece| Frame::data(Bytes::from_static(piece.as_bytes())))
        }
    }

    /// A client that sends a request and records each write to it.
    struct Client {
        request: &'static [u8],
        writes: Arc<Mutex<Vec<String>>>,
    }

    impl Read for Client {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            mut buffer: ReadBufCursor<'_>,
        ) -> Poll<io::Result<()>> {
            if self.request.is_empty() {
                return Poll::Pending;
            }
            buffer.put_slice(std::mem::take(&mut self.request));
            Poll::Ready(Ok(()))
        }
    }

    impl Write for Client {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.writes.lock().push(String::from_utf8_lossy(bytes).into_owned());
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// Serves a response whose body starts with `first`. Returns whether the connection was handed off, and the writes before that.
    async fn serve(first: Poll<Option<io::Result<&'static str>>>) -> (bool, Vec<String>) {
        let (handoff, writes) = (Handoff::default(), Arc::<Mutex<Vec<String>>>::default());
        let client = Client { request: b"GET / HTTP/1.1\r\nhost: here\r\n\r\n", writes: Arc::clone(&writes) };
        let body = Mutex::new(Some(BoxBody::new(FirstPiece(first))));
        let activity = Arc::<Activity>::default();
        let service = service_fn(|request: Request<Incoming>| {
            let body = ResponseBody::new(body.lock().take().expect("one request"), activity.start_exchange());
            std::future::ready(Ok::<_, Infallible>(handoff.intercept(request.version(), Response::new(body))))
        });
        let mut connection = http1::Builder::new().serve_connection(client, service);
        let handed_off =
            until_handed_off(&mut connection, &handoff, &ConnectionHandle::default()).await.is_ok();
        let written = writes.lock().clone();
        (handed_off, written)
    }

    #[tokio::test]
    async fn first_piece_is_written_with_the_head() {
        let (handed_off, written) = serve(Poll::Ready(Some(Ok("retry: 5\n\n")))).await;
        assert!(handed_off);
        let [first] = &written[..] else { panic!("several writes: {written:?}") };
        assert!(first.ends_with("\r\n\r\nA\r\nretry: 5\n\n\r\n"), "{first:?}");

        let (handed_off, written) = serve(Poll::Pending).await;
        assert!(handed_off);
        assert!(written.concat().ends_with("\r\n\r\n"), "{written:?}");
    }

    #[tokio::test]
    async fn ended_body_stays_with_hyper() {
        let (handed_off, written) = serve(Poll::Ready(None)).await;
        assert!(!handed_off);
        assert!(written.concat().ends_with("\r\n\r\n0\r\n\r\n"), "{written:?}");

        let (handed_off, written) = serve(Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())))).await;
        assert!(!handed_off);
        assert!(!written.concat().ends_with("0\r\n\r\n"), "{written:?}");
    }
}
