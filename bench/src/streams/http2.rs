//! Streams that share an HTTP/2 connection.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Request, StatusCode,
    body::Incoming,
    client::conn::http2::{SendRequest, handshake},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Client, OpenError};
use crate::{
    event_stream::{Content, InvalidResponse},
    ledger::{Arrivals, StreamLedger},
};

pub(super) struct Connection {
    requests: SendRequest<Empty<Bytes>>,
}

impl Connection {
    /// Starts HTTP/2 with prior knowledge.
    pub(super) async fn handshake<L: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        connection: L,
    ) -> Result<Self, OpenError> {
        // The future is large, and would be a part of every future that opens a connection.
        let handshake = Box::pin(handshake(TokioExecutor::new(), TokioIo::new(connection)));
        let (requests, connection) = handshake.await.map_err(OpenError::Http2)?;
        // When the connection fails, its streams fail.
        tokio::spawn(connection);
        Ok(Self { requests })
    }

    pub(super) async fn open(&mut self, client: &Client) -> Result<Stream, OpenError> {
        let Client { server, path, credential: (name, value), language } = client;
        let request = Request::get(format!("http://{server}{path}"))
            .header(*name, value)
            .header("accept-language", *language)
            .body(Empty::new())
            .map_err(OpenError::Request)?;
        let answer = self.requests.send_request(request).await.map_err(OpenError::Http2)?;
        match answer.status() {
            StatusCode::OK => Ok(Stream { body: answer.into_body() }),
            status => Err(InvalidResponse::Rejected(format!("HTTP/2 {status}")).into()),
        }
    }
}

pub(super) struct Stream {
    body: Incoming,
}

impl Stream {
    pub(super) async fn follow(mut self, mut stream_ledger: StreamLedger) {
        let mut content = Content::default();
        while let Some(Ok(frame)) = self.body.frame().await {
            let Ok(bytes) = frame.into_data() else { continue };
            let mut arrivals = Arrivals::default();
            content.read(&bytes, &mut |entry| arrivals.add(entry));
            stream_ledger.enter(&arrivals);
        }
        stream_ledger.close();
    }
}
