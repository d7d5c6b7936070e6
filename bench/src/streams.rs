//! Very many clients, each with one stream.

pub(crate) mod http1;
mod http2;
pub(crate) mod tls;

use std::{io, net::SocketAddr, num::NonZeroUsize, sync::Arc, time::Duration};

use self::tls::Tls;
use crate::{
    event_stream::NoStream,
    ledger::{Account, Ledger},
};
use futures_util::{StreamExt as _, stream};
use indicatif::ProgressBar;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

/// Whoever has not opened its stream by then never does.
const OPENING: Duration = Duration::from_secs(30);

/// One client to be.
pub(crate) struct Client {
    pub(crate) server: SocketAddr,
    /// The path of the stream.
    pub(crate) path: String,
    pub(crate) token: String,
    /// What it wishes to read.
    pub(crate) language: &'static str,
}

/// How clients come to their streams.
pub(crate) struct Lines {
    /// So many are being opened at a time.
    at_once: usize,
    /// None for in the clear.
    tls: Option<Tls>,
    /// So many streams share one with HTTP/2; none for HTTP/1.1, where each has one to itself.
    shared_by: Option<NonZeroUsize>,
}

impl Lines {
    /// In the clear, with HTTP/1.1.
    pub(crate) fn plain(at_once: usize) -> Self {
        Self { at_once, tls: None, shared_by: None }
    }

    /// With HTTP/2 where they are shared.
    pub(crate) fn new(at_once: usize, tls: bool, shared_by: Option<NonZeroUsize>) -> Self {
        Self { at_once, tls: tls.then(|| Tls::new(shared_by.is_some())), shared_by }
    }

    /// How many streams there are on each.
    pub(crate) fn streams(&self) -> usize {
        self.shared_by.map_or(1, NonZeroUsize::get)
    }

    /// One for these clients of one server.
    async fn open(
        &self,
        clients: Vec<Client>,
        ledger: &Arc<Mutex<Ledger>>,
        progress: &ProgressBar,
    ) -> Result<(), OpenError> {
        let Some(server) = clients.first().map(|client| client.server) else { return Ok(()) };
        let line = in_time(async { TcpStream::connect(server).await.map_err(OpenError::Connect) }).await?;
        match &self.tls {
            None => self.follow(line, clients, ledger, progress).await,
            Some(tls) => {
                let line = in_time(tls.agree(server, line)).await?;
                self.follow(line, clients, ledger, progress).await
            }
        }
    }

    async fn follow<L: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        line: L,
        clients: Vec<Client>,
        ledger: &Arc<Mutex<Ledger>>,
        progress: &ProgressBar,
    ) -> Result<(), OpenError> {
        if self.shared_by.is_some() {
            let mut line = in_time(http2::Line::begin(line)).await?;
            for client in clients {
                let stream = in_time(line.open(&client)).await?;
                tokio::spawn(stream.follow(Account::new(Arc::clone(ledger))));
                progress.inc(1);
            }
        } else if let Some(client) = clients.first() {
            let account = Account::new(Arc::clone(ledger));
            tokio::spawn(in_time(http1::Reader::open(line, client, account)).await?.follow());
            progress.inc(1);
        }
        Ok(())
    }
}

/// Opens a stream for each client, and reads on until the process ends. Those of one line, which come one after the other, are of
/// one server.
///
/// # Errors
///
/// A stream could not be opened.
pub(crate) async fn open(
    clients: impl Iterator<Item = Client>,
    lines: &Lines,
    ledger: &Arc<Mutex<Ledger>>,
    progress: &ProgressBar,
) -> Result<(), OpenError> {
    let mut opening = stream::iter(clients)
        .chunks(lines.streams())
        .map(|clients| lines.open(clients, ledger, progress))
        .buffer_unordered(lines.at_once);
    while let Some(opened) = opening.next().await {
        opened?;
    }
    Ok(())
}

/// Gives an opening the time that it may take.
pub(crate) async fn in_time<T>(opening: impl Future<Output = Result<T, OpenError>>) -> Result<T, OpenError> {
    tokio::time::timeout(OPENING, opening).await.unwrap_or(Err(OpenError::Silence))
}

/// Why a stream could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("a stream could not be opened; is the limit of file descriptors high enough (ulimit -n)?")]
    Connect(#[source] io::Error),
    #[error("TLS could not be agreed on; does the server speak it?")]
    Tls(#[source] io::Error),
    #[error("the server does not speak HTTP/2 over TLS")]
    NoHttp2,
    #[error("a stream could not be opened with HTTP/2")]
    Http2(#[source] hyper::Error),
    #[error("what is asked for cannot be written in a request")]
    Request(#[source] hyper::http::Error),
    #[error("a stream could not be opened")]
    NoStream(#[from] NoStream),
    #[error("a stream was not opened within {OPENING:?}")]
    Silence,
    #[error("the server has ended the line instead of opening a stream")]
    Ended,
}
