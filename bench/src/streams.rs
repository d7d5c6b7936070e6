//! Many clients, each with one stream.

pub(crate) mod http1;
mod http2;
pub(crate) mod tls;

use std::{io, net::SocketAddr, num::NonZeroUsize, sync::Arc, time::Duration};

use self::tls::Tls;
use crate::{
    arguments::Arguments,
    event_stream::InvalidResponse,
    ledger::{Ledger, StreamLedger},
};
use futures_util::{StreamExt as _, stream};
use indicatif::ProgressBar;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

/// The time limit for opening a connection, a TLS session or a stream.
const OPENING_TIMEOUT: Duration = Duration::from_secs(30);

/// The parameters of one client.
pub(crate) struct Client {
    pub(crate) server: SocketAddr,
    /// The path of the stream.
    pub(crate) path: String,
    /// The header that has the token, and its value.
    pub(crate) credential: (&'static str, String),
    /// The preferred language.
    pub(crate) language: &'static str,
}

/// The transport of the streams.
pub(crate) struct Transport {
    /// The number of connections that are being opened at a time.
    max_opening: usize,
    /// `None` for plain TCP.
    tls: Option<Tls>,
    /// The number of streams on a connection with HTTP/2; `None` for HTTP/1.1 with one stream on each connection.
    streams_per_connection: Option<NonZeroUsize>,
}

impl Transport {
    /// HTTP/1.1 over plain TCP.
    pub(crate) fn http1(max_opening: usize) -> Self {
        Self { max_opening, tls: None, streams_per_connection: None }
    }

    /// The transport that the arguments ask for.
    pub(crate) fn new(arguments: &Arguments) -> Self {
        let Arguments { opening, tls, resume, http2, streams_per_connection, .. } = arguments;
        Self {
            max_opening: *opening,
            tls: tls.then(|| if *resume { Tls::resuming(*http2) } else { Tls::new(*http2) }),
            streams_per_connection: http2.then_some(*streams_per_connection),
        }
    }

    /// Returns how many connections have resumed a TLS session; `None` without TLS.
    pub(crate) fn resumed(&self) -> Option<u64> {
        self.tls.as_ref().map(Tls::resumed)
    }

    /// Returns the number of streams on each connection.
    pub(crate) fn streams(&self) -> usize {
        self.streams_per_connection.map_or(1, NonZeroUsize::get)
    }

    /// Opens one connection and the streams of these clients, which have the same server.
    async fn open(
        &self,
        clients: Vec<Client>,
        ledger: &Arc<Mutex<Ledger>>,
        progress: &ProgressBar,
    ) -> Result<(), OpenError> {
        let Some(server) = clients.first().map(|client| client.server) else { return Ok(()) };
        let connection =
            in_time(async { TcpStream::connect(server).await.map_err(OpenError::Connect) }).await?;
        match &self.tls {
            None => self.follow(connection, clients, ledger, progress).await,
            Some(tls) => {
                let connection = in_time(tls.handshake(server, connection)).await?;
                self.follow(connection, clients, ledger, progress).await
            }
        }
    }

    async fn follow<L: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        connection: L,
        clients: Vec<Client>,
        ledger: &Arc<Mutex<Ledger>>,
        progress: &ProgressBar,
    ) -> Result<(), OpenError> {
        if self.streams_per_connection.is_some() {
            let mut connection = in_time(http2::Connection::handshake(connection)).await?;
            for client in clients {
                let stream = in_time(connection.open(&client)).await?;
                tokio::spawn(stream.follow(StreamLedger::new(Arc::clone(ledger))));
                progress.inc(1);
            }
        } else if let Some(client) = clients.first() {
            let stream_ledger = StreamLedger::new(Arc::clone(ledger));
            tokio::spawn(in_time(http1::Reader::open(connection, client, stream_ledger)).await?.follow());
            progress.inc(1);
        }
        Ok(())
    }
}

/// Opens a stream for each client, and reads until the process ends. Consecutive clients share a connection, so they
/// must have the same server.
///
/// # Errors
///
/// A stream could not be opened.
pub(crate) async fn open(
    clients: impl Iterator<Item = Client>,
    transport: &Transport,
    ledger: &Arc<Mutex<Ledger>>,
    progress: &ProgressBar,
) -> Result<(), OpenError> {
    let mut opening = stream::iter(clients)
        .chunks(transport.streams())
        .map(|clients| transport.open(clients, ledger, progress))
        .buffer_unordered(transport.max_opening);
    while let Some(opened) = opening.next().await {
        opened?;
    }
    Ok(())
}

/// Awaits an opening for a limited time.
pub(crate) async fn in_time<T>(opening: impl Future<Output = Result<T, OpenError>>) -> Result<T, OpenError> {
    tokio::time::timeout(OPENING_TIMEOUT, opening).await.unwrap_or(Err(OpenError::Timeout))
}

/// Why a stream could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("a stream could not be opened; is the limit of file descriptors high enough (ulimit -n)?")]
    Connect(#[source] io::Error),
    #[error("the TLS handshake failed; does the server use TLS?")]
    Tls(#[source] io::Error),
    #[error("the server does not speak HTTP/2 over TLS")]
    NoHttp2,
    #[error("a stream could not be opened with HTTP/2")]
    Http2(#[source] hyper::Error),
    #[error("the request is invalid")]
    Request(#[source] hyper::http::Error),
    #[error("a stream could not be opened")]
    InvalidResponse(#[from] InvalidResponse),
    #[error("a stream was not opened within {OPENING_TIMEOUT:?}")]
    Timeout,
    #[error("the server closed the connection instead of opening a stream")]
    Ended,
}
