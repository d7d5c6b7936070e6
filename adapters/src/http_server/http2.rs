//! Connections with HTTP/2, on which many streams end one by one.

use std::{
    convert::Infallible,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
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
    ConnectionHandle, ConnectionLimits, WRITE_BUFFER_BYTES,
    activity::{Activity, Exchange, Phase},
    admission::Connections,
    deadlines::{Deadlines, Overdue},
    request_head::{MAX_HEAD_BYTES, MAX_HEADER_FIELDS},
    service::{AnswerBody, Service},
};

/// Requests of one connection at a time; fewer are not recommended (RFC 9113, 6.5.2).
const MAX_STREAMS: u32 = 100;
/// Bytes that one request may send behind its head before they are read; those of one connection together may send sixteen times as
/// many, so that a request whose body nobody reads does not stand in the way of the others.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
/// See [`STREAM_WINDOW_BYTES`].
const CONNECTION_WINDOW_BYTES: u32 = 16 * STREAM_WINDOW_BYTES;
/// Bytes that are given to flow control at a time: a client that takes as many has made progress.
const MAX_PIECE_BYTES: usize = 16 * 1024;
/// What each header field counts beside its name and value (RFC 9113, 6.5.2).
const FIELD_OVERHEAD_BYTES: usize = 32;
/// HTTP/2 refuses a larger head without an answer that says why, so this leaves room for [`request_head`](super::request_head) to do it.
const MAX_HEADER_LIST_BYTES: usize = 2 * MAX_HEAD_BYTES + 2 * MAX_HEADER_FIELDS * FIELD_OVERHEAD_BYTES;

/// Serves all requests of a connection to its end.
pub(super) async fn serve<I: Read + Write + Unpin + Send + 'static>(
    io: I,
    scheme: Scheme,
    service: Arc<Service>,
    deadlines: &mut Deadlines,
    closing: CancellationToken,
) -> Result<(), Overdue> {
    let (activity, requests) = (Arc::clone(deadlines.activity()), Arc::clone(deadlines.activity()));
    let executor = StreamExecutor {
        next: Arc::default(),
        limits: service.limits,
        connections: Arc::clone(&service.connections),
    };
    // The client is asked whether it is there, and has time to answer: among many streams, silence of one says nothing.
    let ping = service.limits.user_timeout / 2;
    let next = Arc::clone(&executor.next);
    let answers = service_fn(move |request: Request<Incoming>| {
        let on_connection = requests.begin();
        on_connection.answered();
        let stream = Arc::<Activity>::default();
        let handle = stream.handle.clone();
        // Boxed: the stream's task would keep its room for as long as it lives.
        let answered = Box::pin(service.answer(request, scheme.clone(), handle.clone(), stream.begin()));
        *next.lock() = Some(stream);
        async move {
            let answer = answered.await;
            Ok::<_, Infallible>(answer.map(|body| StreamBody {
                body,
                rest: Bytes::new(),
                handle,
                on_connection,
            }))
        }
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
        .serve_connection(io, answers);
    let mut connection = pin!(connection);
    let served = tokio::select! {
        // The client has gone, or asks for nothing, or does not take what is written.
        served = deadlines.bound(connection.as_mut()) => served,
        // The present answers are the last, and a client that has not asked yet is not answered.
        () = closing.cancelled() => {
            if activity.is_new() {
                return Ok(());
            }
            connection.as_mut().graceful_shutdown();
            deadlines.bound(connection.as_mut()).await
        }
    };
    if let Err(Overdue::Phase(Phase::Request { begun: 1.. })) = served {
        // The client is told which of its requests were still read (RFC 9113, 6.8).
        connection.as_mut().graceful_shutdown();
        // One that was on its way is served like any other; else the client has the time for a request once more, to confirm.
        deadlines.bound(connection).await.ok();
    }
    served.map(drop)
}

/// Runs the task of each stream within the stream's own deadlines. While the client's flow control is closed hyper does not ask for the
/// body, so nothing but dropping the task ends a stream then: it is reset (RFC 9113, 5.4.2).
#[derive(Clone)]
struct StreamExecutor {
    /// The stream that hyper spawns next: it calls the service and spawns what that returns in one go.
    next: Arc<Mutex<Option<Arc<Activity>>>>,
    limits: ConnectionLimits,
    connections: Arc<Connections>,
}

impl<S: Future<Output = ()> + Send + 'static> Executor<S> for StreamExecutor {
    fn execute(&self, stream: S) {
        let activity = self.next.lock().take().unwrap_or_default();
        activity.stream();
        let mut deadlines = Deadlines::new(activity, &self.limits);
        let connections = Arc::clone(&self.connections);
        // Boxed: an async block would hold it twice, some KiB for each stream.
        let mut stream = Box::pin(stream);
        tokio::spawn(async move {
            if let Err(overdue) = deadlines.bound(stream.as_mut()).await {
                connections.count(overdue);
            }
        });
    }
}

/// The body of an answer on a stream. It notices when the client does not take what is there.
struct StreamBody {
    body: AnswerBody,
    /// What is left of the last piece.
    rest: Bytes,
    handle: ConnectionHandle,
    on_connection: Exchange,
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        // Its own deadline does not pass while flow control is open and the socket is blocked.
        if self.on_connection.is_overdue() {
            self.handle.time_out();
        }
    }
}

impl StreamBody {
    /// Takes the rest, or a part of it. The last byte of a body is a piece of its own: hyper keeps it until flow control has let through all before it, and only
    /// then the stream's task ends, with its deadlines.
    fn piece(&mut self) -> Bytes {
        let is_last = self.body.is_end_stream() || self.handle.is_finishing();
        let length = if is_last { self.rest.len() - 1 } else { self.rest.len() };
        self.rest.split_to(length.clamp(1, MAX_PIECE_BYTES))
    }
}

impl Body for StreamBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        // hyper asks again when the client's flow control has let through all that was given before the last piece.
        self.handle.set_blocked(false);
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => self.rest = frame.into_data().unwrap_or_default(),
                ended => return Poll::Ready(ended),
            }
        }
        let piece = self.piece();
        self.handle.add_written(piece.len());
        self.handle.set_blocked(true);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
