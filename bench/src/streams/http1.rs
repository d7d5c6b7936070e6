//! A stream on a connection of its own.

use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use super::{Client, OpenError};
use crate::{
    event_stream::{Content, InvalidResponse, Response},
    ledger::{Arrivals, StreamLedger},
};

pub(super) struct Reader<L> {
    connection: L,
    response: Response,
    content: Content,
    stream_ledger: StreamLedger,
}

impl<L: AsyncRead + AsyncWrite + Unpin> Reader<L> {
    pub(super) async fn open(
        mut connection: L,
        client: &Client,
        stream_ledger: StreamLedger,
    ) -> Result<Self, OpenError> {
        connection.write_all(head(client).as_bytes()).await.map_err(OpenError::Connect)?;
        // TLS may buffer the request.
        connection.flush().await.map_err(OpenError::Connect)?;
        let mut reader =
            Self { connection, response: Response::default(), content: Content::default(), stream_ledger };
        loop {
            match reader.read().await.map_err(OpenError::Connect)? {
                Read::Ended => return Err(OpenError::Ended),
                Read::Some { open: false } => {}
                Read::Some { open: true } => return Ok(reader),
                Read::InvalidResponse(error) => return Err(error.into()),
            }
        }
    }

    pub(super) async fn follow(mut self) {
        while matches!(self.read().await, Ok(Read::Some { .. })) {}
        self.stream_ledger.close();
    }

    async fn read(&mut self) -> io::Result<Read> {
        poll_fn(|context| self.poll_read(context)).await
    }

    /// Reads into the stack, so that an idle stream holds no buffer.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Read>> {
        let mut bytes = [MaybeUninit::uninit(); 16 * 1024];
        let mut bytes = ReadBuf::uninit(&mut bytes);
        ready!(Pin::new(&mut self.connection).poll_read(context, &mut bytes))?;
        if bytes.filled().is_empty() {
            return Poll::Ready(Ok(Read::Ended));
        }
        let mut arrivals = Arrivals::default();
        let read = self.response.read(bytes.filled(), &mut self.content, |entry| arrivals.add(entry));
        self.stream_ledger.enter(&arrivals);
        Poll::Ready(Ok(read.map_or_else(Read::InvalidResponse, |open| Read::Some { open })))
    }
}

/// The result of a read.
enum Read {
    Some {
        /// Whether the head of the response has arrived.
        open: bool,
    },
    InvalidResponse(InvalidResponse),
    Ended,
}

/// Returns the request that opens a client's stream.
pub(crate) fn head(Client { server, path, credential: (name, value), language }: &Client) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: {server}\r\n{name}: {value}\r\naccept-language: {language}\r\n\r\n")
}
