use std::time::Duration;

use async_trait::async_trait;

/// Requests a URL as a browser does, and shows what it sees of the response while it arrives.
#[async_trait]
pub trait StreamProbe: Send + Sync {
    /// Sends a GET request on a new connection, and waits for the head of the response.
    ///
    /// # Errors
    ///
    /// Returns the step that failed. Each step has a timeout of five seconds, the head of ten.
    async fn get(&self, request: &ProbeRequest) -> Result<ProbeResponse, ProbeFault>;
}

/// A request of a probe.
#[derive(Clone, Debug)]
pub struct ProbeRequest {
    /// The URL, `http` or `https`.
    pub url: String,
    /// The headers. `Host` is added.
    pub headers: Vec<(&'static str, String)>,
    /// Whether the certificate of the server is verified.
    pub verify: bool,
}

/// The head of a response, and its body while it arrives.
pub struct ProbeResponse {
    /// The server's address and the protocols of the connection, for an administrator.
    pub connection: String,
    /// The status code.
    pub status: u16,
    /// The headers, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The server's time since 1970: `Date`, and the `Age` of a stored response (RFC 9110, 6.6.1; RFC 9111, 5.1).
    pub date: Option<Duration>,
    /// The body.
    pub body: Box<dyn ProbeBody>,
}

impl ProbeResponse {
    /// Returns the first value of a header. `name` is in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }
}

/// The body of a response.
#[async_trait]
pub trait ProbeBody: Send {
    /// Waits for the next bytes. Cancellation safe: a dropped call loses no bytes.
    async fn next(&mut self) -> BodyPart;
}

/// A part of a body, or its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyPart {
    /// Bytes, as text. Invalid UTF-8 is replaced.
    Text(String),
    /// The end, or the fault that ended the connection.
    End(Option<String>),
}

/// The step of a request that failed. Each text names the cause.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeFault {
    /// The name of the host has no address.
    #[error("the host has no address: {0}")]
    Resolve(String),
    /// No TCP connection.
    #[error("no connection: {0}")]
    Connect(String),
    /// Nothing answers, as behind a firewall.
    #[error("no connection: {0}")]
    Unanswered(String),
    /// No TLS session.
    #[error("no TLS session: {0}")]
    Tls(String),
    /// The answer is not HTTP, or the connection was closed before the head.
    #[error("no HTTP response: {0}")]
    Http(String),
    /// The head did not arrive in time.
    #[error("no response within {} seconds", .0.as_secs())]
    NoHead(Duration),
}
