//! A stream that has a line to itself.

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
    event_stream::{Content, NoStream, Response},
    ledger::{Account, Arrivals},
};

pub(super) struct Reader<L> {
    line: L,
    response: Response,
    content: Content,
    account: Account,
}

impl<L: AsyncRead + AsyncWrite + Unpin> Reader<L> {
    pub(super) async fn open(mut line: L, client: &Client, account: Account) -> Result<Self, OpenError> {
        line.write_all(head(client).as_bytes()).await.map_err(OpenError::Connect)?;
        // What TLS may hold back.
        line.flush().await.map_err(OpenError::Connect)?;
        let mut reader = Self { line, response: Response::default(), content: Content::default(), account };
        loop {
            match reader.read().await.map_err(OpenError::Connect)? {
                Read::Ended => return Err(OpenError::Ended),
                Read::Some { open: false } => {}
                Read::Some { open: true } => return Ok(reader),
                Read::NoStream(error) => return Err(error.into()),
            }
        }
    }

    pub(super) async fn follow(mut self) {
        while matches!(self.read().await, Ok(Read::Some { .. })) {}
        self.account.close();
    }

    async fn read(&mut self) -> io::Result<Read> {
        poll_fn(|context| self.poll_read(context)).await
    }

    /// No buffer is held while nothing comes.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Read>> {
        let mut bytes = [MaybeUninit::uninit(); 16 * 1024];
        let mut bytes = ReadBuf::uninit(&mut bytes);
        ready!(Pin::new(&mut self.line).poll_read(context, &mut bytes))?;
        if bytes.filled().is_empty() {
            return Poll::Ready(Ok(Read::Ended));
        }
        let mut arrivals = Arrivals::default();
        let read = self.response.read(bytes.filled(), &mut self.content, |entry| arrivals.add(entry));
        self.account.enter(&arrivals);
        Poll::Ready(Ok(read.map_or_else(Read::NoStream, |open| Read::Some { open })))
    }
}

/// What came.
enum Read {
    Some {
        /// Whether the head of the answer has come.
        open: bool,
    },
    NoStream(NoStream),
    Ended,
}

/// The request that opens the stream of a client.
pub(crate) fn head(Client { server, path, token, language }: &Client) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nhost: {server}\r\nx-access-token: {token}\r\naccept-language: {language}\r\n\r\n"
    )
}
