//! HTTP/1.1 connections.

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
    deadlines::{Aborted, Deadlines},
    excess_input::ExcessInput,
    handoff::{Handoff, until_handed_off},
    http1_io::Http1Io,
    request_head::{MAX_HEAD_BYTES, MAX_HEADER_FIELDS},
    service::Service,
    socket::{Transport, linger},
    streaming_body::StreamingBody,
};

/// A connection that was handed off from hyper because its response is a stream.
pub(super) struct HandedOff<I> {
    pub(super) io: I,
    pub(super) body: StreamingBody,
    pub(super) excess_input: ExcessInput,
}

/// Serves a connection to its end, or until its response is a stream; then returns it.
pub(super) async fn serve<I: Transport>(
    io: I,
    scheme: Scheme,
    service: Arc<Service>,
    deadlines: &mut Deadlines,
    closing: CancellationToken,
) -> Result<Option<HandedOff<I>>, Aborted> {
    let (handoff, activity) = (Handoff::default(), deadlines.activity().clone());
    let handle = activity.handle.clone();
    let hyper_service = service_fn(|request: Request<Incoming>| {
        let (version, handoff) = (request.version(), handoff.clone());
        let response = service.call(request, scheme.clone(), handle.clone(), activity.start_exchange());
        async move { Ok::<_, Infallible>(handoff.intercept(version, response.await)) }
    });
    let mut connection = Builder::new()
        // A client may close its sending side after the request (RFC 9112, 9.6).
        .half_close(true)
        .max_header_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADER_FIELDS)
        .max_buf_size(WRITE_BUFFER_BYTES)
        .serve_connection(TokioIo::new(Http1Io::new(io)), hyper_service);
    let served = tokio::select! {
        // The connection has ended or was handed off, or a deadline has passed.
        served = deadlines.run(until_handed_off(&mut connection, &handoff, &handle)) => served,
        // The server shuts down: the current response is the last one.
        () = closing.cancelled() => {
            Pin::new(&mut connection).graceful_shutdown();
            deadlines.run(until_handed_off(&mut connection, &handoff, &handle)).await
        }
    };
    let served = served?;
    if served.is_ok() {
        // This comes before hyper drops the exchange. Otherwise the connection would look idle and could be evicted.
        activity.mark_as_stream();
    }
    let Parts { io, read_buf, .. } = connection.into_parts();
    let io = io.into_inner().into_inner();
    let body = match served {
        Ok(body) => body,
        // The connection is lost, so no client is left that lingering could help.
        Err(Err(error)) if !error.is_parse() => return Ok(None),
        Err(_) => {
            deadlines.finish();
            deadlines.run(linger(io)).await?;
            return Ok(None);
        }
    };
    let mut excess_input = ExcessInput::default();
    excess_input.add(read_buf.len());
    Ok(Some(HandedOff { io, body, excess_input }))
}
