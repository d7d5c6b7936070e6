//! Where the answers without an end are written over TLS, which the lane does not speak. With hyper such a connection would keep two
//! buffers, and its client would not be heard any more once it has said something behind its request.

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
    LINGER, connection_handle::ConnectionHandle, excess_input::ExcessInput, socket::Socket,
    streaming_body::StreamingBody,
};

type Reader = ReadHalf<TlsStream<Socket>>;
type Writer = WriteHalf<TlsStream<Socket>>;

/// Serves a connection whose head has been written until all else is, or until its client has gone.
pub(super) async fn serve(
    stream: TlsStream<Socket>,
    handle: ConnectionHandle,
    body: StreamingBody,
    excess_input: ExcessInput,
) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    tokio::select! {
        // It has ended.
        written = write(body, &mut writer) => match written {
            Ok(()) => drop(tokio::spawn(linger(reader, writer))),
            Err(error) => debug!(%error, "a stream broke off"),
        },
        // The client has gone, or has said too much.
        () = until_handed_off(&mut reader, handle, excess_input) => {}
    }
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

/// Waits until the client has gone, and passes over what it says. If that is too much, its handle is cut.
async fn until_handed_off(reader: &mut Reader, handle: ConnectionHandle, mut excess_input: ExcessInput) {
    while let Ok(bytes @ 1..) = pass_over(reader).await {
        excess_input.add(bytes);
        if excess_input.exceeds_limit() {
            debug!("a client has said more behind its request than anybody would");
            return handle.cut();
        }
    }
}

/// How many bytes have come; none at the end.
async fn pass_over(reader: &mut Reader) -> io::Result<usize> {
    // Its place is not kept while nothing comes.
    poll_fn(|context| {
        let mut place = [0; 512];
        let mut read = ReadBuf::new(&mut place);
        ready!(Pin::new(&mut *reader).poll_read(context, &mut read))?;
        Poll::Ready(Ok(read.filled().len()))
    })
    .await
}

/// Says that nothing more comes, and waits for the client to say so as well.
async fn linger(mut reader: Reader, mut writer: Writer) {
    if writer.shutdown().await.is_ok() {
        let end = async { while let Ok(1..) = pass_over(&mut reader).await {} };
        tokio::time::timeout(LINGER, end).await.ok();
    }
}
