//! HTTP/2 connections, whose streams end independently.

use std::{
    convert::Infallible,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use hyper::{
    Request,
    body::{Body, Frame, Incoming, SizeHint},
    http::uri::Scheme,
    rt::{Executor, Read, Write},
    server::conn::http2::Builder,
    service::service_fn,
};
use hyper_util::rt::TokioTimer;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::{
    ConnectionHandle, WRITE_BUFFER_BYTES,
    activity::{Activity, Exchange, Phase},
    admission::Connections,
    deadlines::{Aborted, Deadlines},
    request_head::{MAX_HEAD_BYTES, MAX_HEADER_FIELDS},
    service::{ResponseBody, Service},
};

/// Maximum number of concurrent requests on a connection; RFC 9113, 6.5.2 recommends no less.
const MAX_STREAMS: u32 = 100;
/// Flow-control window of a request's body, in bytes. The window of the connection is sixteen times as large, so that a request whose body
/// is not read does not block the others.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
/// Flow-control window of a connection, in bytes.
const CONNECTION_WINDOW_BYTES: u32 = 16 * STREAM_WINDOW_BYTES;
/// Maximum number of bytes given to flow control at a time, and so the step in which a client's progress counts.
const MAX_PIECE_BYTES: usize = 16 * 1024;
/// Overhead of each header field in the size of a header list, in bytes (RFC 9113, 6.5.2).
const FIELD_OVERHEAD_BYTES: usize = 32;
/// Maximum size of a header list, in bytes. h2 rejects a larger one without problem details, so this leaves room for
/// [`request_head`](super::request_head) to reject it.
const MAX_HEADER_LIST_BYTES: usize = 2 * MAX_HEAD_BYTES + 2 * MAX_HEADER_FIELDS * FIELD_OVERHEAD_BYTES;

/// Serves the requests of a connection until it ends.
pub(super) async fn serve<I: Read + Write + Unpin + Send + 'static>(
    io: I,
    scheme: Scheme,
    service: Arc<Service>,
    deadlines: &mut Deadlines,
    closing: CancellationToken,
) -> Result<(), Aborted> {
    let (activity, requests) = (Arc::clone(deadlines.activity()), Arc::clone(deadlines.activity()));
    let executor = StreamExecutor { next: Arc::default(), service: Arc::clone(&service) };
    // Pings detect a client that is gone: the interval and the wait for the answer are half of the user timeout each. The silence of a
    // single stream would not tell, because other streams of the connection may be active.
    let ping = service.limits.user_timeout / 2;
    let next = Arc::clone(&executor.next);
    let hyper_service = service_fn(move |request: Request<Incoming>| {
        let on_connection = requests.start_exchange();
        on_connection.mark_answered();
        let stream = Arc::<Activity>::default();
        let handle = stream.handle.clone();
        // Boxed, because the stream's task would reserve its room until it ends.
        let response =
            Box::pin(service.call(request, scheme.clone(), handle.clone(), stream.start_exchange()));
        *next.lock() = Some(stream);
        response.map(|response| {
            Ok::<_, Infallible>(response.map(|body| StreamBody { body, handle, on_connection }))
        })
    });
    let connection = Builder::new(executor)
        .timer(TokioTimer::new())
        .keep_alive_interval(ping)
        .keep_alive_timeout(ping)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEADER_LIST_BYTES).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(WRITE_BUFFER_BYTES)
        .serve_connection(io, hyper_service);
    let mut connection = pin!(connection);
    let served = tokio::select! {
        // The connection has ended, or a deadline has passed.
        served = deadlines.run(connection.as_mut()) => served,
        // The server shuts down: the current responses are the last ones. Without any request the connection just closes.
        () = closing.cancelled() => {
            if activity.is_new() {
                return Ok(());
            }
            connection.as_mut().graceful_shutdown();
            deadlines.run(connection.as_mut()).await
        }
    };
    if let Err(Aborted::TimedOut(Phase::Request { started: 1.. })) = served {
        // GOAWAY tells the client which of its requests were processed (RFC 9113, 6.8).
        connection.as_mut().graceful_shutdown();
        // A request that crosses the GOAWAY is served normally. Otherwise the client has another request timeout to close.
        deadlines.run(connection).await.ok();
    }
    served.map(drop)
}

/// Spawns a task for each stream.
#[derive(Clone)]
struct StreamExecutor {
    /// The activity of the stream that hyper spawns next: hyper calls the service and spawns the returned future without a pause in
    /// between.
    next: Arc<Mutex<Option<Arc<Activity>>>>,
    service: Arc<Service>,
}

impl<S: Future<Output = ()> + Unpin + Send + 'static> Executor<S> for StreamExecutor {
    fn execute(&self, stream: S) {
        let activity = self.next.lock().take().unwrap_or_default();
        activity.mark_as_stream();
        let deadlines = Deadlines::new(activity, &self.service.limits);
        tokio::spawn(StreamTask { stream, deadlines, connections: Arc::clone(&self.service.connections) });
    }
}

/// Runs a stream within its own deadlines. While the client's flow control is closed, hyper does not poll the body; then only dropping the
/// task ends the stream, with a reset (RFC 9113, 5.4.2).
///
/// It is no async block, because that would reserve room for the stream twice.
struct StreamTask<S> {
    stream: S,
    deadlines: Deadlines,
    connections: Arc<Connections>,
}

impl<S: Future<Output = ()> + Unpin> Future for StreamTask<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Self { stream, deadlines, connections } = &mut *self;
        ready!(deadlines.poll(Pin::new(stream), context))
            .unwrap_or_else(|aborted| connections.record_abort(aborted));
        Poll::Ready(())
    }
}

/// The body of a response on an HTTP/2 stream. It records whether the client takes the bytes.
struct StreamBody {
    body: ResponseBody,
    handle: ConnectionHandle,
    on_connection: Exchange,
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        // The stream's own deadline does not pass while flow control is open but the connection's socket is blocked.
        if self.on_connection.has_timed_out() {
            self.handle.time_out();
        }
    }
}

impl StreamBody {
    /// Takes the next piece of what is left of a frame. The last byte of a body is a separate piece: hyper holds it until flow control has let everything
    /// before it through, and only then the stream's task ends, and with it the deadlines.
    fn piece(&mut self) -> Bytes {
        let ResponseBody { body, rest, .. } = &mut self.body;
        let is_last = body.is_end_stream() || self.handle.is_finishing();
        let length = if is_last { rest.len() - 1 } else { rest.len() };
        rest.split_to(length.clamp(1, MAX_PIECE_BYTES))
    }
}

impl Body for StreamBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        // hyper polls again when the client's flow control has let through all pieces before the last one.
        self.handle.set_blocked(false);
        Poll::Ready(ready!(self.body.poll_rest(context)).map(|polled| {
            polled.map(|()| {
                let piece = self.piece();
                self.handle.add_written(piece.len());
                self.handle.set_blocked(true);
                Frame::data(piece)
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Each open stream has one, in its task.
#[test]
fn stream_body_takes_little_memory() {
    assert!(size_of::<StreamBody>() <= 80);
}
