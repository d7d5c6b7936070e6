//! Connections with HTTP/1.1.

use std::{convert::Infallible, sync::Arc};

use hyper::{
    Request,
    body::Incoming,
    http::uri::Scheme,
    server::conn::http1::{Builder, Parts},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use super::{
    WRITE_BUFFER_BYTES,
    deadlines::{Deadlines, Overdue},
    excess_input::ExcessInput,
    handoff::{Handoff, until_handed_off},
    http1_io::Http1Io,
    request_head::{MAX_HEAD_BYTES, MAX_HEADER_FIELDS},
    service::Service,
    streaming_body::StreamingBody,
};

/// A connection that was handed off from hyper, because its answer is a stream.
pub(super) struct HandedOff<I> {
    pub(super) io: I,
    pub(super) body: StreamingBody,
    pub(super) excess_input: ExcessInput,
}

/// Serves a connection to its end, or until its answer is a stream.
pub(super) async fn serve<I: AsyncRead + AsyncWrite + Unpin>(
    io: I,
    scheme: Scheme,
    service: Arc<Service>,
    deadlines: &mut Deadlines,
    closing: CancellationToken,
) -> Result<Option<HandedOff<I>>, Overdue> {
    let (handoff, activity) = (Handoff::default(), deadlines.activity().clone());
    let handle = activity.handle.clone();
    let answers = service_fn(|request: Request<Incoming>| {
        let (version, handoff) = (request.version(), handoff.clone());
        let answered = service.answer(request, scheme.clone(), handle.clone(), activity.begin());
        async move { Ok::<_, Infallible>(handoff.take(version, answered.await)) }
    });
    let mut connection = Builder::new()
        // A client may close its sending side behind the request (RFC 9112, 9.6).
        .half_close(true)
        .max_header_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADER_FIELDS)
        .max_buf_size(WRITE_BUFFER_BYTES)
        .serve_connection(TokioIo::new(Http1Io::new(io)), answers);
    let served = tokio::select! {
        // It has ended, or its answer is a stream, or its client takes too long.
        served = deadlines.bound(until_handed_off(&mut connection, &handoff, &handle)) => served,
        // The present answer is the last.
        () = closing.cancelled() => {
            Pin::new(&mut connection).graceful_shutdown();
            deadlines.bound(until_handed_off(&mut connection, &handoff, &handle)).await
        }
    };
    let body = served?;
    let Parts { io, read_buf, .. } = connection.into_parts();
    let mut io = io.into_inner().into_inner();
    let Some(body) = body else {
        deadlines.finish();
        deadlines.bound(linger(&mut io)).await?;
        return Ok(None);
    };
    let mut excess_input = ExcessInput::default();
    excess_input.add(read_buf.len());
    Ok(Some(HandedOff { io, body, excess_input }))
}

/// Tells the client that nothing more comes and waits until it has closed as well: a socket that is closed with something unread in
/// it discards what its client has not read yet.
pub(super) async fn linger<I: AsyncRead + AsyncWrite + Unpin>(io: &mut I) {
    if io.shutdown().await.is_err() {
        return;
    }
    let (mut excess_input, mut input) = (ExcessInput::default(), [0; 512]);
    while let Ok(bytes @ 1..) = io.read(&mut input).await {
        excess_input.add(bytes);
        if excess_input.exceeds_limit() {
            return;
        }
    }
}
