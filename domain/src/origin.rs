//! The origins of web pages that may read the service's answers.

/// One origin, a pattern of origins, or every origin. Pages of these origins may read the service's answers.
///
/// The text is an origin as browsers send it (RFC 6454, 6.2), such as `https://cloud.example.org:9200`. A `*` before the domain, as in
/// `https://*.example.org`, stands for one or more labels; a `*` as the port stands for any port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigin {
    /// Every origin, written `*`.
    Any,
    /// The origins with this scheme, these hosts and these ports.
    Matching {
        /// The scheme, such as `https`.
        scheme: String,
        /// The hosts.
        host: AllowedHost,
        /// The ports.
        port: AllowedPort,
    },
}

/// The hosts of an [`AllowedOrigin`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedHost {
    /// One host.
    Exact(String),
    /// All subdomains of a domain. The text starts with a dot.
    Subdomains(String),
}

/// The ports of an [`AllowedOrigin`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedPort {
    /// The default port of the scheme, which browsers do not send.
    Default,
    /// One port.
    Exact(u16),
    /// Every port.
    Any,
}

impl AllowedOrigin {
    /// Creates an allowed origin from an origin or a pattern of origins. The case of letters does not matter.
    ///
    /// # Errors
    ///
    /// Returns an error if no browser sends such an origin, or if a `*` could match a domain of another owner.
    pub fn try_new(text: &str) -> Result<Self, InvalidOrigin> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if text.contains('@') {
            return Err(InvalidOrigin::Credentials);
        }
        let origin = text.to_ascii_lowercase();
        let Some(Parts { scheme, host, port }) =
            Parts::parse(&origin).filter(|parts| is_scheme(parts.scheme))
        else {
            return Err(InvalidOrigin::Scheme { origin });
        };
        if host.contains(['/', '?', '#']) || port.is_some_and(|port| port.contains(['/', '?', '#'])) {
            return Err(InvalidOrigin::Path { origin });
        }
        let host = match host.strip_prefix('*') {
            Some(domain) if is_domain(domain) => AllowedHost::Subdomains(domain.to_owned()),
            None if is_host(host) => AllowedHost::Exact(host.to_owned()),
            _ if host.contains('*') => return Err(InvalidOrigin::Wildcard { origin }),
            _ => return Err(InvalidOrigin::Host { origin }),
        };
        let port = match (scheme, port) {
            (_, None) => AllowedPort::Default,
            (_, Some("*")) => AllowedPort::Any,
            ("http", Some("80")) | ("https", Some("443")) => {
                return Err(InvalidOrigin::DefaultPort { origin });
            }
            (_, Some(port)) => match port_number(port) {
                Some(port) => AllowedPort::Exact(port),
                None => return Err(InvalidOrigin::Port { origin }),
            },
        };
        Ok(Self::Matching { scheme: scheme.to_owned(), host, port })
    }

    /// Returns whether this is one origin, without a `*`.
    #[must_use]
    pub fn is_single(&self) -> bool {
        matches!(
            self,
            Self::Matching {
                host: AllowedHost::Exact(_),
                port: AllowedPort::Default | AllowedPort::Exact(_),
                ..
            }
        )
    }

    /// Returns whether pages of `origin` are allowed.
    #[must_use]
    pub fn allows(&self, origin: &str) -> bool {
        let Self::Matching { scheme, host, port } = self else { return true };
        Parts::parse(origin)
            .is_some_and(|parts| parts.scheme == scheme && host.allows(parts.host) && port.allows(parts.port))
    }
}

impl AllowedHost {
    fn allows(&self, host: &str) -> bool {
        match self {
            Self::Exact(allowed) => host == allowed,
            Self::Subdomains(domain) => host.strip_suffix(&**domain).is_some_and(is_name),
        }
    }
}

impl AllowedPort {
    fn allows(&self, port: Option<&str>) -> bool {
        match (self, port) {
            (Self::Default | Self::Any, None) => true,
            (Self::Default, Some(_)) | (Self::Exact(_), None) => false,
            (Self::Exact(allowed), Some(port)) => port_number(port) == Some(*allowed),
            (Self::Any, Some(port)) => port_number(port).is_some(),
        }
    }
}

/// The parts of an origin.
struct Parts<'a> {
    scheme: &'a str,
    host: &'a str,
    port: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn parse(origin: &'a str) -> Option<Self> {
        let (scheme, rest) = origin.split_once("://")?;
        // An IPv6 address has its colons in brackets.
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (rest, None),
        };
        Some(Self { scheme, host, port })
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte))
}

/// Returns whether `text` is a domain that may follow a `*`: a dot and at least two labels, because a top-level domain such as `.org` has
/// many owners.
fn is_domain(text: &str) -> bool {
    text.strip_prefix('.').is_some_and(|domain| is_name(domain) && domain.contains('.'))
}

fn is_host(text: &str) -> bool {
    match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(address) => {
            !address.is_empty()
                && address.bytes().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(&byte))
        }
        None => is_name(text),
    }
}

/// Returns whether `text` is a host name, an IPv4 address, or some labels of a host name.
fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        !label.is_empty() && label.bytes().all(is_allowed)
    };
    text.split('.').all(is_label)
}

/// Parses a port as browsers send it, without leading zeros.
fn port_number(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| digits)
}

/// The error for a text that is neither an origin nor a pattern of origins.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOrigin {
    /// The scheme is missing or invalid.
    #[error("{origin} has no scheme; write it like https://cloud.example.org")]
    Scheme {
        /// The rejected text.
        origin: String,
    },
    /// The text has a user or a password. The message does not repeat them.
    #[error("an origin has no user and no password")]
    Credentials,
    /// The text has a path, a query or a fragment.
    #[error("{origin} has a path, which browsers do not send; remove everything from the third slash on")]
    Path {
        /// The rejected text.
        origin: String,
    },
    /// The host is missing or invalid.
    #[error(
        "{origin} has no host as browsers send it; write a name of a-z, 0-9, - and _ (xn--… for others), or an address"
    )]
    Host {
        /// The rejected text.
        origin: String,
    },
    /// A `*` could match a domain of another owner.
    #[error(
        "in {origin}, a * has to stand for whole labels before a domain or for a port, as in https://*.example.org or \
         https://cloud.example.org:*"
    )]
    Wildcard {
        /// The rejected text.
        origin: String,
    },
    /// The port is invalid.
    #[error("{origin} has no port from 1 to 65535 after its host; * stands for any")]
    Port {
        /// The rejected text.
        origin: String,
    },
    /// The port is the default port of the scheme.
    #[error("{origin} has the default port of its scheme, which browsers do not send; remove it")]
    DefaultPort {
        /// The rejected text.
        origin: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_matches_no_foreign_origin() {
        let check = |pattern: &str, origin: &str, expected: bool| {
            let allowed = AllowedOrigin::try_new(pattern).expect("a pattern");
            assert_eq!(allowed.allows(origin), expected, "{pattern} {origin}");
        };
        check("*", "https://evil.example", true);
        check("https://localhost:9200", "https://localhost:9200", true);
        check("https://localhost:9200", "https://localhost", false);
        check("https://localhost:9200", "http://localhost:9200", false);
        check("https://Cloud.Example.org", "https://cloud.example.org", true);
        check("https://[::1]:9200", "https://[::1]:9200", true);
        check("https://[::1]", "https://[::1]", true);
        check("capacitor://localhost", "capacitor://localhost", true);
        check("https://a.example", "https://a.example.evil.example", false);
        check("https://a.example", "null", false);

        check("https://*.example.org", "https://a.example.org", true);
        check("https://*.example.org", "https://b.a.example.org", true);
        check("https://*.example.org", "https://example.org", false);
        check("https://*.example.org", "https://.example.org", false);
        check("https://*.example.org", "https://evilexample.org", false);
        check("https://*.example.org", "https://a.example.org.evil.example", false);
        check("https://*.example.org", "https://evil.example/.example.org", false);
        check("https://*.example.org", "https://evil.example:1.example.org", false);
        check("https://*.example.org", "https://evil.example#.example.org", false);
        check("https://*.example.org", "https://a.example.org:8443", false);
        check("https://*.example.org", "http://a.example.org", false);

        check("https://a.example:*", "https://a.example:8443", true);
        check("https://a.example:*", "https://a.example", true);
        check("https://a.example:*", "https://a.example:1@evil.example", false);
        check("https://a.example:*", "https://a.example.evil.example:1", false);
        check("https://*.example.org:*", "https://a.example.org:8443", true);
    }

    #[test]
    fn malformed_origin_is_rejected() {
        let check = |text: &str, expected: fn(String) -> InvalidOrigin| {
            assert_eq!(AllowedOrigin::try_new(text), Err(expected(text.to_owned())));
        };
        for text in ["a.example", "null", "", "://a.example", "*://a.example", "//a.example", "ht tp://a"] {
            check(text, |origin| InvalidOrigin::Scheme { origin });
        }
        for text in ["https://a.example/", "https://a.example/path", "https://a.example:1/", "https://a?b"] {
            check(text, |origin| InvalidOrigin::Path { origin });
        }
        for text in [
            "https://",
            "https://:80",
            "https://a b",
            "https://b\u{fc}ro.example",
            "https://[a",
            "https://[]",
            "https://[localhost]",
            "https://a..b",
        ] {
            check(text, |origin| InvalidOrigin::Host { origin });
        }
        for text in [
            "https://*",
            "https://*.org",
            "https://*example.org",
            "https://a.example*",
            "https://app-*.example.org",
            "https://a.*.example.org",
            "https://*.*.example.org",
            "https://*.:443",
        ] {
            check(text, |origin| InvalidOrigin::Wildcard { origin });
        }
        for text in [
            "https://a:",
            "https://a:0",
            "https://a:65536",
            "https://a:+1",
            "https://a:080",
            "https://a:8*",
            "https://a:http",
        ] {
            check(text, |origin| InvalidOrigin::Port { origin });
        }
        for text in ["https://a:443", "http://a:80"] {
            check(text, |origin| InvalidOrigin::DefaultPort { origin });
        }
        check("https://user:secret@a.example", |_| InvalidOrigin::Credentials);
    }

    #[test]
    fn single_origin_has_no_wildcard() {
        let check = |text: &str, expected: bool| {
            assert_eq!(AllowedOrigin::try_new(text).map(|origin| origin.is_single()), Ok(expected), "{text}");
        };
        check("https://a.example", true);
        check("https://a.example:8443", true);
        check("https://*.a.example", false);
        check("https://a.example:*", false);
        check("*", false);
    }
}
