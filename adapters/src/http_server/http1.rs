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
use tokio_util::sync::CancellationToken;

use super::{
    WRITE_BUFFER_BYTES,
    deadlines::{Deadlines, Overdue},
    excess_input::ExcessInput,
    handoff::{Handoff, until_handed_off},
    http1_io::Http1Io,
    request_head::{MAX_HEAD_BYTES, MAX_HEADER_FIELDS},
    service::Service,
    socket::{Transport, linger},
    streaming_body::StreamingBody,
};

/// A connection that was handed off from hyper, because its answer is a stream.
pub(super) struct HandedOff<I> {
    pub(super) io: I,
    pub(super) body: StreamingBody,
    pub(super) excess_input: ExcessInput,
}

/// Serves a connection to its end, or until its answer is a stream.
pub(super) async fn serve<I: Transport>(
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
    let served = served?;
    if served.is_ok() {
        // Before hyper drops what it holds of the request: the connection would look idle, and could be evicted.
        activity.stream();
    }
    let Parts { io, read_buf, .. } = connection.into_parts();
    let io = io.into_inner().into_inner();
    let body = match served {
        Ok(body) => body,
        // A connection that is lost, or no longer understood, has nobody to wait for.
        Err(Err(error)) if !error.is_parse() => return Ok(None),
        Err(_) => {
            deadlines.finish();
            deadlines.bound(linger(io)).await?;
            return Ok(None);
        }
    };
    let mut excess_input = ExcessInput::default();
    excess_input.add(read_buf.len());
    Ok(Some(HandedOff { io, body, excess_input }))
}
