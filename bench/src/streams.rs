//! Very many clients, each with one stream.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use indicatif::ProgressBar;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    event_stream::{Content, NoStream, Response},
    ledger::{Account, Ledger},
};

/// Whoever has not opened its stream by then never does.
const OPENING: Duration = Duration::from_secs(30);

/// One client to be.
pub(crate) struct Client {
    pub(crate) server: SocketAddr,
    /// The head of its request.
    pub(crate) request: String,
}

/// Opens a stream for each client, `at_once` at a time, and reads on until the process ends.
///
/// # Errors
///
/// A stream could not be opened.
pub(crate) async fn open(
    clients: impl Iterator<Item = Client>,
    at_once: usize,
    ledger: &Arc<Mutex<Ledger>>,
    progress: &ProgressBar,
) -> Result<(), OpenError> {
    let mut opening = stream::iter(clients)
        .map(|client| async move {
            tokio::time::timeout(OPENING, Reader::open(&client)).await.unwrap_or(Err(OpenError::Silence))
        })
        .buffer_unordered(at_once);
    while let Some(opened) = opening.next().await {
        tokio::spawn(opened?.follow(Arc::clone(ledger)));
        progress.inc(1);
    }
    Ok(())
}

/// Why a stream could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("a stream could not be opened; is the limit of file descriptors high enough (ulimit -n)?")]
    Connect(#[source] io::Error),
    #[error("a stream could not be opened")]
    NoStream(#[from] NoStream),
    #[error("a stream was not opened within {OPENING:?}")]
    Silence,
    #[error("the server has ended the line instead of opening a stream")]
    Ended,
}

struct Reader {
    stream: TcpStream,
    response: Response,
    content: Content,
}

impl Reader {
    async fn open(client: &Client) -> Result<Self, OpenError> {
        let mut stream = TcpStream::connect(client.server).await.map_err(OpenError::Connect)?;
        stream.write_all(client.request.as_bytes()).await.map_err(OpenError::Connect)?;
        let (mut response, mut content) = (Response::default(), Content::default());
        let mut bytes = [0; 2048];
        loop {
            match stream.read(&mut bytes).await.map_err(OpenError::Connect)? {
                0 => return Err(OpenError::Ended),
                read => {
                    if response.read(&bytes[..read], &mut content, |_| {})? {
                        return Ok(Self { stream, response, content });
                    }
                }
            }
        }
    }

    async fn follow(mut self, ledger: Arc<Mutex<Ledger>>) {
        let mut account = Account::default();
        loop {
            // No buffer is held while nothing comes.
            if self.stream.readable().await.is_err() {
                break;
            }
            let mut bytes = [0; 16 * 1024];
            let read = match self.stream.try_read(&mut bytes) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(_) => break,
            };
            let mut events = Vec::new();
            let take = |data: &[u8]| events.extend(serde_json::from_slice(data));
            if self.response.read(&bytes[..read], &mut self.content, take).is_err() {
                break;
            }
            let mut ledger = ledger.lock();
            for event in &events {
                account.enter(event, &mut ledger);
            }
        }
        ledger.lock().lost_streams += 1;
    }
}
