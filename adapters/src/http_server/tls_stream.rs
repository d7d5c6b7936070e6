//! Streaming answers over TLS, which the reactor does not speak. With hyper such a connection would keep two buffers, and its client would
//! not be heard any more once it has sent something behind its request.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Poll, ready},
};

use bytes::Bytes;
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf, ReadHalf, WriteHalf};
use tokio_rustls::server::TlsStream;
use tracing::debug;

use super::{
    ConnectionHandle,
    deadlines::{Deadlines, Overdue},
    excess_input::ExcessInput,
    http1::HandedOff,
    socket::{Socket, linger},
    streaming_body::StreamingBody,
};

type Reader = ReadHalf<Box<TlsStream<Socket>>>;
type Writer = WriteHalf<Box<TlsStream<Socket>>>;

/// Serves a connection whose head has been written until all else is, or until its client has gone.
pub(super) async fn serve(
    HandedOff { io, body, excess_input }: HandedOff<Box<TlsStream<Socket>>>,
    deadlines: &mut Deadlines,
) -> Result<(), Overdue> {
    let handle = deadlines.activity().handle.clone();
    let (mut reader, mut writer) = tokio::io::split(io);
    let written = async {
        tokio::select! {
            // It has ended.
            written = write(body, &mut writer) => written.inspect_err(|error| debug!(%error, "stream broke off")).is_ok(),
            // The client has gone, or has sent too much.
            () = until_gone(&mut reader, &handle, excess_input) => false,
        }
    };
    if deadlines.bound(written).await? {
        deadlines.finish();
        deadlines.bound(linger(reader.unsplit(writer))).await?;
    }
    Ok(())
}

/// Writes what the body has to give, to its end.
async fn write(mut body: StreamingBody, writer: &mut Writer) -> io::Result<()> {
    loop {
        let mut pieces = Vec::new();
        let taken = poll_fn(|context| match body.take(context, &mut pieces) {
            Ok(false) if !body.has_ended() && pieces.iter().all(Bytes::is_empty) => {
                // Nothing is kept while there is nothing to write.
                pieces = Vec::new();
                Poll::Pending
            }
            taken => Poll::Ready(taken),
        });
        taken.await?;
        writer.write_all(&pieces.concat()).await?;
        writer.flush().await?;
        if body.has_ended() {
            return Ok(());
        }
    }
}

/// Waits until the client has gone, and passes over what it sends. If that is too much, its connection is cut.
async fn until_gone(reader: &mut Reader, handle: &ConnectionHandle, mut excess_input: ExcessInput) {
    while let Ok(bytes @ 1..) = discard(reader).await {
        excess_input.add(bytes);
        if excess_input.exceeds_limit() {
            debug!("too much data after the request");
            return handle.cut();
        }
    }
}

/// How many bytes have come; none at the end.
async fn discard(reader: &mut Reader) -> io::Result<usize> {
    // The buffer is not kept while nothing comes.
    poll_fn(|context| {
        let mut buffer = [0; 512];
        let mut read = ReadBuf::new(&mut buffer);
        ready!(Pin::new(&mut *reader).poll_read(context, &mut read))?;
        Poll::Ready(Ok(read.filled().len()))
    })
    .await
}
