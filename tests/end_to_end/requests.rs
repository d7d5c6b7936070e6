//! Requests on an open connection, with the version of HTTP that the server is reached with.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, Version,
    body::Incoming,
    client::conn::{http1, http2},
    http::request,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::transport::Server;

/// A connection on which requests are sent. It ends when this is dropped and all responses have ended.
pub(crate) enum Requests {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Requests {
    /// Opens a connection to `server`; `None` if it is unreachable.
    pub(crate) async fn connect(server: Server) -> Option<Self> {
        Self::on(server.connect().await.ok()?, server).await.ok()
    }

    /// Starts HTTP on an open connection to `server`.
    pub(crate) async fn on(
        connection: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        server: Server,
    ) -> hyper::Result<Self> {
        let io = TokioIo::new(connection);
        // The futures are large, and would be a part of every future that opens a stream.
        if server.version() == Version::HTTP_2 {
            let (requests, connection) = Box::pin(http2::handshake(TokioExecutor::new(), io)).await?;
            tokio::spawn(connection);
            Ok(Self::Http2(requests))
        } else {
            let (requests, connection) = Box::pin(http1::handshake(io)).await?;
            tokio::spawn(connection);
            Ok(Self::Http1(requests))
        }
    }

    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::Http1(requests) => requests.send_request(request).await,
            Self::Http2(requests) => requests.send_request(request).await,
        }
    }
}

/// Returns a request of `path` that names `server` as its version of HTTP does.
pub(crate) fn request_to(server: Server, method: Method, path: &str) -> request::Builder {
    let request = Request::builder().method(method);
    if server.version() == Version::HTTP_2 {
        request.uri(format!("{}://{server}{path}", server.scheme()))
    } else {
        request.uri(path).header("host", server.to_string())
    }
}
