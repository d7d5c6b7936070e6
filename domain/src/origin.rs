//! The origins of web pages.

/// Origins whose pages may read what the service answers: one origin, those that fit a pattern, or every one.
///
/// It is written as browsers send an origin (RFC 6454, 6.2): `https://cloud.example.org:9200`. A `*` before the domain,
/// `https://*.example.org`, stands for one label or several; a `*` for the port stands for any port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigin {
    /// Every origin, written `*`.
    Any,
    /// The origins with this scheme, on these hosts and ports.
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
    /// This host.
    Exactly(String),
    /// All hosts whose name ends with this text, which begins with a dot.
    Below(String),
}

/// The ports of an [`AllowedOrigin`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedPort {
    /// The port that the scheme implies, which browsers do not send.
    Default,
    /// This port.
    Exactly(u16),
    /// Every port.
    Any,
}

impl AllowedOrigin {
    /// Checks that `text` is an origin, or a pattern of origins. The case of letters does not matter.
    ///
    /// # Errors
    ///
    /// A browser sends no such origin, or a `*` could stand for a domain of somebody else.
    pub fn try_new(text: &str) -> Result<Self, InvalidOrigin> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if text.contains('@') {
            return Err(InvalidOrigin::Credentials);
        }
        let origin = text.to_ascii_lowercase();
        let Some(Parts { scheme, host, port }) = Parts::of(&origin).filter(|parts| is_scheme(parts.scheme))
        else {
            return Err(InvalidOrigin::Scheme { origin });
        };
        if host.contains(['/', '?', '#']) || port.is_some_and(|port| port.contains(['/', '?', '#'])) {
            return Err(InvalidOrigin::Path { origin });
        }
        let host = match host.strip_prefix('*') {
            Some(domain) if is_domain(domain) => AllowedHost::Below(domain.to_owned()),
            None if is_host(host) => AllowedHost::Exactly(host.to_owned()),
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
                Some(port) => AllowedPort::Exactly(port),
                None => return Err(InvalidOrigin::Port { origin }),
            },
        };
        Ok(Self::Matching { scheme: scheme.to_owned(), host, port })
    }

    /// Whether this is one origin, without any `*`.
    #[must_use]
    pub fn is_single(&self) -> bool {
        matches!(
            self,
            Self::Matching {
                host: AllowedHost::Exactly(_),
                port: AllowedPort::Default | AllowedPort::Exactly(_),
                ..
            }
        )
    }

    /// Whether pages of `origin` are allowed.
    #[must_use]
    pub fn allows(&self, origin: &str) -> bool {
        let Self::Matching { scheme, host, port } = self else { return true };
        Parts::of(origin)
            .is_some_and(|parts| parts.scheme == scheme && host.allows(parts.host) && port.allows(parts.port))
    }
}

impl AllowedHost {
    fn allows(&self, host: &str) -> bool {
        match self {
            Self::Exactly(allowed) => host == allowed,
            Self::Below(domain) => host.strip_suffix(&**domain).is_some_and(is_name),
        }
    }
}

impl AllowedPort {
    fn allows(&self, port: Option<&str>) -> bool {
        match (self, port) {
            (Self::Default | Self::Any, None) => true,
            (Self::Default, Some(_)) | (Self::Exactly(_), None) => false,
            (Self::Exactly(allowed), Some(port)) => port_number(port) == Some(*allowed),
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
    fn of(origin: &'a str) -> Option<Self> {
        let (scheme, rest) = origin.split_once("://")?;
        // The colons of an IPv6 address stand in brackets.
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

/// Whether `text` can be below a `*`: a domain of at least two labels, for one alone may belong to everybody, as `.org` does.
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

/// Whether `text` is a host's name or IPv4 address, or some labels of one.
fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let may_stand =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        !label.is_empty() && label.bytes().all(may_stand)
    };
    text.split('.').all(is_label)
}

/// A port as browsers send it.
fn port_number(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| digits)
}

/// Why a text is neither an origin nor a pattern of origins.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOrigin {
    /// The scheme is missing, or is none.
    #[error("{origin} has no scheme; write it like https://cloud.example.org")]
    Scheme {
        /// The text.
        origin: String,
    },
    /// There is a user or a password. They are not repeated.
    #[error("an origin has no user and no password")]
    Credentials,
    /// There is something behind the host and the port.
    #[error("{origin} has a path, which browsers leave out; leave out all from the third slash on")]
    Path {
        /// The text.
        origin: String,
    },
    /// The host is missing, or is none.
    #[error(
        "{origin} has no host as browsers send it; write a name of a-z, 0-9, - and _ (xn--… for others), or an address"
    )]
    Host {
        /// The text.
        origin: String,
    },
    /// A `*` could stand for a domain of somebody else.
    #[error(
        "in {origin}, a * has to stand for whole labels before a domain or for a port, as in https://*.example.org or \
         https://cloud.example.org:*"
    )]
    Wildcard {
        /// The text.
        origin: String,
    },
    /// The port is no port.
    #[error("{origin} has no port from 1 to 65535 behind its host; * stands for any")]
    Port {
        /// The text.
        origin: String,
    },
    /// The port is the one that the scheme implies.
    #[error("{origin} has the port of its scheme, which browsers leave out; leave it out")]
    DefaultPort {
        /// The text.
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
