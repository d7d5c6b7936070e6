//! The health check of a container: a request to the debug server of the running instance.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Timeout of the health check.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Requests `/healthz` from the debug server at `address`.
///
/// # Errors
///
/// The debug server does not answer with 200 within five seconds.
pub async fn probe(address: SocketAddr) -> Result<(), Unhealthy> {
    let status =
        tokio::time::timeout(TIMEOUT, request_health(address)).await.map_err(|_| Unhealthy::Timeout)??;
    if status == StatusCode::OK { Ok(()) } else { Err(Unhealthy::Status(status.as_u16())) }
}

async fn request_health(address: SocketAddr) -> Result<StatusCode, Unhealthy> {
    let stream = TcpStream::connect(address).await.map_err(Unhealthy::Connect)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(Unhealthy::Http)?;
    let request =
        Request::get("/healthz").header(header::HOST, address.to_string()).body(Empty::<Bytes>::new());
    let request = request.map_err(Unhealthy::Request)?;
    tokio::spawn(connection);
    Ok(sender.send_request(request).await.map_err(Unhealthy::Http)?.status())
}

/// The reason why an instance is not healthy.
#[derive(Debug, thiserror::Error)]
pub enum Unhealthy {
    /// No connection could be made.
    #[error("no connection to the debug server")]
    Connect(#[source] std::io::Error),
    /// The request could not be built.
    #[error("no request to the debug server")]
    Request(#[source] hyper::http::Error),
    /// The response is not HTTP.
    #[error("no answer from the debug server")]
    Http(#[source] hyper::Error),
    /// The instance did not answer in time.
    #[error("no answer from the debug server within {} seconds", TIMEOUT.as_secs())]
    Timeout,
    /// The status is not 200.
    #[error("the debug server answered {0}")]
    Status(u16),
}
