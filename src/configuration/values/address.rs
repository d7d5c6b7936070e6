//! Addresses, URLs and paths.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _},
    str::FromStr,
};

/// A host and a port to listen on. An empty host means all addresses of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(String);

impl Address {
    /// Resolves the address. The first of the returned addresses that can be used is meant.
    ///
    /// # Errors
    ///
    /// Returns an error if the host name cannot be resolved.
    pub fn resolve(&self) -> std::io::Result<Vec<SocketAddr>> {
        match self.0.strip_prefix(':').and_then(|port| port.parse().ok()) {
            // A socket of the unspecified IPv6 address also accepts IPv4. The IPv4 address is for machines without IPv6.
            Some(port) => {
                Ok(vec![(Ipv6Addr::UNSPECIFIED, port).into(), (Ipv4Addr::UNSPECIFIED, port).into()])
            }
            None => Ok(self.0.to_socket_addrs()?.collect()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        host_and_port(text)?;
        Ok(Self(text.into()))
    }
}

/// Splits `host:port`. An IPv6 address must be in brackets.
pub(super) fn host_and_port(text: &str) -> Result<(&str, u16), String> {
    if text.contains('@') {
        return Err("is not an address: it must not contain a user or a password".into());
    }
    let (host, port) = text.rsplit_once(':').ok_or("is not an address: it has no port")?;
    let port = port
        .parse()
        .map_err(|_| format!("is not an address: the port {port:?} is not a number up to 65535"))?;
    let in_brackets = host.starts_with('[') && host.ends_with(']');
    if host.contains(|c: char| c.is_whitespace() || "/@?#".contains(c))
        || (host.contains(':') && !in_brackets)
    {
        return Err(format!("is not an address: {host:?} is not a host"));
    }
    Ok((host, port))
}

/// The address of a collector for OTLP over gRPC: a host and a port, with or without the prefix `http://` or `https://`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcEndpoint(String);

impl GrpcEndpoint {
    /// Returns the address as a URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.0
    }
}

impl FromStr for GrpcEndpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if [":6831", ":6832"].iter().any(|port| text.trim_end_matches('/').ends_with(port)) {
            return Err("is the port of the Jaeger agent, which no longer exists; Jaeger accepts OTLP over gRPC at port 4317".into());
        }
        let with_scheme = ["http://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme));
        host_and_port(with_scheme.unwrap_or(text).trim_end_matches('/'))?;
        Ok(Self(if with_scheme.is_some() { text.into() } else { format!("http://{text}") }))
    }
}

/// The URL of a collector for OTLP over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCollector(String);

impl HttpCollector {
    /// Returns the URL, including the path.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.0
    }
}

impl FromStr for HttpCollector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains(":14268") || text.contains("/api/traces") {
            return Err(
                "is the Jaeger collector for Thrift, which no longer exists; Jaeger accepts OTLP over HTTP at port 4318".into()
            );
        }
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme @ ("http" | "https"), rest)) => (scheme, rest),
            Some(_) => return Err("is not a URL that starts with http:// or https://".into()),
            None => ("http", text),
        };
        let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
        host_and_port(address)?;
        // The default path (OTLP 1.0, "OTLP/HTTP Request").
        let path = if path.is_empty() { "v1/traces" } else { path };
        Ok(Self(format!("{scheme}://{address}/{path}")))
    }
}

/// A path that starts with a slash and, except for `/` itself, does not end with one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRoot(String);

impl HttpRoot {
    /// Returns the path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HttpRoot {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unreserved = |c: char| c.is_ascii_alphanumeric() || "/-._~".contains(c);
        // The platform's own service accepts an empty root.
        if text.is_empty() {
            return Ok(Self("/".into()));
        }
        if !text.starts_with('/') || text.contains("//") || !text.chars().all(unreserved) {
            return Err(
                "is not a path: it must start with a slash and may contain letters, digits, slashes and -._~"
                    .into(),
            );
        }
        let path = text.trim_end_matches('/');
        Ok(Self(if path.is_empty() { "/".into() } else { path.into() }))
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{CollectorKind, FromTexts, check},
        *,
    };

    #[test]
    fn address_has_host_and_port() {
        let address = |text: &str| Ok(Address(text.into()));
        check("127.0.0.1:9135", address("127.0.0.1:9135"));
        check("localhost:0", address("localhost:0"));
        check("[::1]:80", address("[::1]:80"));
        check(":9135", address(":9135"));
        check::<Address>("a:b@c:80", Err("is not an address: it must not contain a user or a password"));
        check::<Address>("nowhere", Err("is not an address: it has no port"));
        check::<Address>("a:99999", Err("is not an address: the port \"99999\" is not a number up to 65535"));
        check::<Address>("::1:80", Err("is not an address: \"::1\" is not a host"));
        check::<Address>("http://a:80", Err("is not an address: \"http://a\" is not a host"));
    }

    #[test]
    fn http_root_is_a_path() {
        let root = |text: &str| Ok(HttpRoot(text.into()));
        check("/", root("/"));
        check("", root("/"));
        check("/events/", root("/events"));
        check("/a/b-c", root("/a/b-c"));
        for text in ["events", "/a b", "/a//b", "/{id}", "/*"] {
            assert!(HttpRoot::from_texts(&[text.into()]).is_err(), "{text:?}");
        }
    }

    #[test]
    fn collector_accepts_otlp() {
        let grpc = |url: &str| Ok(GrpcEndpoint(url.into()));
        check("jaeger:4317", grpc("http://jaeger:4317"));
        check("https://jaeger:4317", grpc("https://jaeger:4317"));
        check::<GrpcEndpoint>("jaeger", Err("is not an address: it has no port"));
        let agent = "is the port of the Jaeger agent, which no longer exists; Jaeger accepts OTLP over gRPC at port 4317";
        check::<GrpcEndpoint>("localhost:6831", Err(agent));
        let http = |url: &str| Ok(HttpCollector(url.into()));
        check("http://jaeger:4318", http("http://jaeger:4318/v1/traces"));
        check("http://jaeger:4318/own/path", http("http://jaeger:4318/own/path"));
        let thrift = "is the Jaeger collector for Thrift, which no longer exists; Jaeger accepts OTLP over HTTP at port 4318";
        check::<HttpCollector>("http://jaeger:14268/api/traces", Err(thrift));
        check("jaeger:4318", http("http://jaeger:4318/v1/traces"));
        check("https://jaeger:4318", http("https://jaeger:4318/v1/traces"));
        let other = Err("is not a URL that starts with http:// or https://");
        check::<HttpCollector>("grpc://jaeger:4318", other);
        for (text, kind) in [
            ("jaeger", CollectorKind::Otlp),
            ("OTLP", CollectorKind::Otlp),
            ("otlp_grpc", CollectorKind::OtlpGrpc),
            ("otlp_http", CollectorKind::OtlpHttp),
        ] {
            check(text, Ok(kind));
        }
        let unknown = "is not a supported collector (jaeger, otlp, otlp_grpc, otlp_http)";
        check::<CollectorKind>("zipkin", Err(unknown));
        check::<Option<CollectorKind>>("", Ok(None));
    }
}
