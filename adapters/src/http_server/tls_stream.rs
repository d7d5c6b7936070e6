//! Streaming responses over TLS, which the reactor does not support.
//!
//! They are handed off from hyper because it would keep two buffers for each connection, and would stop reading, and so not notice a closed
//! connection, once the client has sent bytes after its request.

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
    deadlines::{Aborted, Deadlines},
    excess_input::ExcessInput,
    http1::HandedOff,
    socket::{Socket, linger},
    streaming_body::StreamingBody,
};

type Reader = ReadHalf<Box<TlsStream<Socket>>>;
type Writer = WriteHalf<Box<TlsStream<Socket>>>;

/// Writes the rest of a response whose head has been written, until it ends or the client closes.
pub(super) async fn serve(
    HandedOff { io, body, excess_input }: HandedOff<Box<TlsStream<Socket>>>,
    deadlines: &mut Deadlines,
) -> Result<(), Aborted> {
    let handle = deadlines.activity().handle.clone();
    let (mut reader, mut writer) = tokio::io::split(io);
    let written = async {
        tokio::select! {
            // The body has ended, or a write has failed.
            written = write(body, &mut writer) => written.inspect_err(|error| debug!(%error, "stream failed")).is_ok(),
            // The client has closed or has sent too many bytes.
            () = read_until_closed(&mut reader, &handle, excess_input) => false,
        }
    };
    if deadlines.run(written).await? {
        deadlines.finish();
        deadlines.run(linger(reader.unsplit(writer))).await?;
    }
    Ok(())
}

/// Writes the body to its end.
async fn write(mut body: StreamingBody, writer: &mut Writer) -> io::Result<()> {
    loop {
        let mut pieces = Vec::new();
        let taken = poll_fn(|context| match body.take(context, &mut pieces) {
            Ok(false) if !body.has_ended() && pieces.iter().all(Bytes::is_empty) => {
                // No memory is kept while there is nothing to write.
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

/// Discards input until the client closes. If it sends too many bytes, the connection is cut.
async fn read_until_closed(reader: &mut Reader, handle: &ConnectionHandle, mut excess_input: ExcessInput) {
    while let Ok(bytes @ 1..) = read_and_discard(reader).await {
        excess_input.add(bytes);
        if excess_input.exceeds_limit() {
            debug!("too many bytes after the request");
            return handle.cut();
        }
    }
}

/// Discards the next input and returns its length; 0 at the end.
async fn read_and_discard(reader: &mut Reader) -> io::Result<usize> {
    // The buffer is on the stack of the poll, so that an idle connection keeps none.
    poll_fn(|context| {
        let mut buffer = [0; 512];
        let mut read = ReadBuf::new(&mut buffer);
        ready!(Pin::new(&mut *reader).poll_read(context, &mut read))?;
        Poll::Ready(Ok(read.filled().len()))
    })
    .await
}
