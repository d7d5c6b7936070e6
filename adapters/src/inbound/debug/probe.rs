//! Asks the debug server of a running instance, as a container's health check does.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// An instance that needs longer to answer is not well.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Asks the debug server at `address` whether its instance lives.
///
/// # Errors
///
/// It does not answer within five seconds, or not with 200.
pub async fn probe(address: SocketAddr) -> Result<(), Unhealthy> {
    let status = tokio::time::timeout(TIMEOUT, ask(address)).await.map_err(|_| Unhealthy::Timeout)??;
    if status == StatusCode::OK { Ok(()) } else { Err(Unhealthy::Status(status.as_u16())) }
}

async fn ask(address: SocketAddr) -> Result<StatusCode, Unhealthy> {
    let stream = TcpStream::connect(address).await.map_err(Unhealthy::Connect)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(Unhealthy::Http)?;
    let request =
        Request::get("/healthz").header(header::HOST, address.to_string()).body(Empty::<Bytes>::new());
    let request = request.map_err(Unhealthy::Request)?;
    tokio::spawn(connection);
    Ok(sender.send_request(request).await.map_err(Unhealthy::Http)?.status())
}

/// Why an instance does not count as healthy.
#[derive(Debug, thiserror::Error)]
pub enum Unhealthy {
    /// Nobody listens there.
    #[error("no connection to the debug server")]
    Connect(#[source] std::io::Error),
    /// The request could not be made.
    #[error("no request to the debug server")]
    Request(#[source] hyper::http::Error),
    /// The answer is no HTTP.
    #[error("no answer from the debug server")]
    Http(#[source] hyper::Error),
    /// It took too long.
    #[error("no answer from the debug server within {} seconds", TIMEOUT.as_secs())]
    Timeout,
    /// It said no.
    #[error("the debug server answered {0}")]
    Status(u16),
}
