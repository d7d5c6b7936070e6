//! An HTTP client that shows each step of a request, for a diagnosis.

mod tls;

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    HeaderMap, Request, Response, Uri, Version,
    body::Incoming,
    client::conn::{http1, http2},
    header,
    http::uri::Authority,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use ports::outbound::{BodyPart, ProbeBody, ProbeFault, ProbeRequest, ProbeResponse, StreamProbe};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    time::timeout,
};

use crate::error_text::with_causes;

/// Timeout of each step before the request.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout of the response's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// The client.
pub struct HttpProbe;

/// Why a text is not the URL of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not the URL of a server; use http:// or https:// with a host, for example https://cloud.example.org"
)]
pub struct UrlError;

/// Returns the URL of a server, without a slash at the end. It may have a path.
///
/// # Errors
///
/// Returns an error if the text is not such a URL, or has a user or a query.
pub fn parse_url(text: &str) -> Result<String, UrlError> {
    let url: Uri = text.parse().map_err(|_| UrlError)?;
    let is_http = matches!(url.scheme_str(), Some("http" | "https"));
    // The parser accepts a port that is no number, and drops a fragment.
    let has_port = |authority: &Authority| {
        authority.as_str().ends_with(']')
            || !authority.as_str().contains(':')
            || authority.port_u16().is_some()
    };
    let is_host =
        url.authority().is_some_and(|authority| !authority.as_str().contains('@') && has_port(authority));
    if is_http && is_host && url.query().is_none() && !text.contains('#') {
        Ok(text.trim_end_matches('/').to_owned())
    } else {
        Err(UrlError)
    }
}

#[async_trait]
impl StreamProbe for HttpProbe {
    async fn get(&self, request: &ProbeRequest) -> Result<ProbeResponse, ProbeFault> {
        let url: Uri = request.url.parse().map_err(|error| ProbeFault::Resolve(format!("{error}")))?;
        let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
        let uses_tls = url.scheme_str() == Some("https");
        let port = url.port_u16().unwrap_or(if uses_tls { 443 } else { 80 });
        let (socket, address) = connect(host, port).await?;
        if !uses_tls {
            return exchange(socket, &url, request, Version::HTTP_11, format!("{address}, not encrypted"))
                .await;
        }
        let (stream, version, tls) = within(
            CONNECT_TIMEOUT,
            ProbeFault::Tls(timed_out(CONNECT_TIMEOUT)),
            tls::connect(socket, host, request.verify),
        )
        .await?;
        Box::pin(exchange(stream, &url, request, version, format!("{address}, {tls}"))).await
    }
}

/// Connects to the first address of `host` that answers.
async fn connect(host: &str, port: u16) -> Result<(TcpStream, SocketAddr), ProbeFault> {
    let resolved =
        async { lookup_host((host, port)).await.map_err(|error| ProbeFault::Resolve(error.to_string())) };
    let addresses =
        within(CONNECT_TIMEOUT, ProbeFault::Resolve(timed_out(CONNECT_TIMEOUT)), resolved).await?;
    let connected = async {
        let mut fault = ProbeFault::Resolve("the name server knows none".into());
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(socket) => return Ok((socket, address)),
                Err(error) => fault = ProbeFault::Connect(format!("{address}: {error}")),
            }
        }
        Err(fault)
    };
    let unanswered = ProbeFault::Unanswered(format!("{host}:{port}: {}", timed_out(CONNECT_TIMEOUT)));
    within(CONNECT_TIMEOUT, unanswered, connected).await
}

/// Sends the request and waits for the head of the response.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    url: &Uri,
    request: &ProbeRequest,
    version: Version,
    connection: String,
) -> Result<ProbeResponse, ProbeFault> {
    let head = within(HEAD_TIMEOUT, ProbeFault::NoHead(HEAD_TIMEOUT), send(stream, url, request, version));
    let (head, body) = head.await?.into_parts();
    let protocol = if head.version == Version::HTTP_2 { "HTTP/2" } else { "HTTP/1.1" };
    Ok(ProbeResponse {
        connection: format!("{connection}, {protocol}"),
        status: head.status.as_u16(),
        date: date(&head.headers),
        headers: texts(&head.headers),
        body: Box::new(Body(body)),
    })
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    url: &Uri,
    request: &ProbeRequest,
    version: Version,
) -> Result<Response<Incoming>, ProbeFault> {
    let fault = |error: hyper::Error| ProbeFault::Http(with_causes(&error));
    let mut head = Request::get(url.clone());
    for (name, value) in &request.headers {
        head = head.header(*name, value);
    }
    let stream = TokioIo::new(stream);
    if version == Version::HTTP_2 {
        let message =
            head.body(Empty::<Bytes>::new()).map_err(|error| ProbeFault::Http(error.to_string()))?;
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.map_err(fault)?;
        tokio::spawn(connection);
        return sender.send_request(message).await.map_err(fault);
    }
    let (authority, path) =
        (url.authority().map_or("", |authority| authority.as_str()), url.path_and_query());
    let path = path.map_or("/", |path| path.as_str());
    let head = head.uri(path).header(header::HOST, authority);
    let message = head.body(Empty::<Bytes>::new()).map_err(|error| ProbeFault::Http(error.to_string()))?;
    let (mut sender, connection) = http1::handshake(stream).await.map_err(fault)?;
    tokio::spawn(connection);
    sender.send_request(message).await.map_err(fault)
}

/// Returns the outcome of `step`, or `late` if it takes longer than `limit`.
async fn within<T>(
    limit: Duration,
    late: ProbeFault,
    step: impl Future<Output = Result<T, ProbeFault>>,
) -> Result<T, ProbeFault> {
    timeout(limit, step).await.unwrap_or(Err(late))
}

fn timed_out(limit: Duration) -> String {
    format!("no answer within {} seconds", limit.as_secs())
}

fn texts(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

fn date(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok();
    let date = httpdate::parse_http_date(text(header::DATE)?).ok()?;
    let age = text(header::AGE).and_then(|age| age.parse().ok()).unwrap_or_default();
    date.duration_since(SystemTime::UNIX_EPOCH).ok()?.checked_add(Duration::from_secs(age))
}

/// The body of a response.
struct Body(Incoming);

#[async_trait]
impl ProbeBody for Body {
    async fn next(&mut self) -> BodyPart {
        loop {
            match self.0.frame().await {
                Some(Ok(frame)) => {
                    // Trailers have no bytes.
                    if let Ok(bytes) = frame.into_data() {
                        return BodyPart::Text(String::from_utf8_lossy(&bytes).into_owned());
                    }
                }
                Some(Err(error)) => return BodyPart::End(Some(with_causes(&error))),
                None => return BodyPart::End(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_has_scheme_host_and_valid_port() {
        for url in [
            "https://cloud.example.org",
            "http://[::1]",
            "http://[::1]:80",
            "https://a/cloud",
            "http://127.0.0.1:80/",
        ] {
            assert_eq!(parse_url(url).as_deref(), Ok(url.trim_end_matches('/')));
        }
        for url in [
            "",
            "a",
            "ftp://a",
            "https://",
            "http://a:99999",
            "http://a:",
            "https://u:p@a",
            "https://a/?b",
            "https://a/#/files",
        ] {
            assert_eq!(parse_url(url), Err(UrlError), "{url}");
        }
    }
}
