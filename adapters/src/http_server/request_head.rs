//! Checks of the request head that hold for every request.

use hyper::{HeaderMap, Method, Request, Version, header::HOST, http::uri::Authority};

use super::rejection::Rejection;

/// Maximum size of a request head in bytes: method, target, and the names and values of the header fields. The token of a user in a
/// thousand groups has 17 KiB.
pub(super) const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Maximum number of header fields of a request.
pub(super) const MAX_HEADER_FIELDS: usize = 100;
/// Overhead of a header field in HTTP/1.1, in bytes: colon, space and line break.
const FIELD_OVERHEAD_BYTES: usize = 4;

/// Checks the head of a request, with the same limits for all versions of HTTP.
///
/// # Errors
///
/// The head is too large, or the request does not name its host as its version requires.
pub(super) fn check<B>(request: &Request<B>) -> Result<(), Rejection> {
    let headers = request.headers();
    if headers.len() > MAX_HEADER_FIELDS || size(request) > MAX_HEAD_BYTES {
        return Err(Rejection::HEAD_TOO_LARGE);
    }
    if has_valid_host(request) { Ok(()) } else { Err(Rejection::INVALID_HOST) }
}

fn size<B>(request: &Request<B>) -> usize {
    let target = request.uri();
    let authority = target.authority().map_or(0, |authority| authority.as_str().len());
    let path = target.path_and_query().map_or(0, |path| path.as_str().len());
    let fields = request.headers().iter();
    let fields = fields.map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD_BYTES);
    request.method().as_str().len() + authority + path + fields.sum::<usize>()
}

/// Returns whether a request names its host as its version of HTTP requires (RFC 9112, 3.2; RFC 9113, 8.3.1). HTTP/1.0 has no `Host`.
fn has_valid_host<B>(request: &Request<B>) -> bool {
    match (request.version(), hosts(request.headers())) {
        (_, Hosts::Invalid) => false,
        (Version::HTTP_2, Hosts::None) => {
            request.uri().authority().is_some() || request.method() == Method::CONNECT
        }
        (version, Hosts::None) => version < Version::HTTP_11,
        (_, Hosts::One) => true,
    }
}

/// The `Host` header fields of a request.
enum Hosts {
    None,
    One,
    Invalid,
}

fn hosts(headers: &HeaderMap) -> Hosts {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => Hosts::None,
        (Some(host), None) if is_host(host.as_bytes()) => Hosts::One,
        _ => Hosts::Invalid,
    }
}

/// Returns whether this is a host with an optional port. An empty host is valid (RFC 3986, 3.2.2).
fn is_host(host: &[u8]) -> bool {
    let is_port =
        |port: &str| port.strip_prefix(':').is_none_or(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    match Authority::try_from(host) {
        Ok(authority) => {
            !host.contains(&b'@') && authority.as_str().strip_prefix(authority.host()).is_some_and(is_port)
        }
        Err(_) => host.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(version: Version, target: &str, hosts: &[&[u8]]) -> Request<()> {
        let mut request = Request::builder().version(version).uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        request.body(()).expect("a request")
    }

    #[test]
    fn has_exactly_one_host() {
        let check = |version, target, hosts: &[&[u8]], is_valid: bool| {
            let checked = check(&request(version, target, hosts));
            assert_eq!(checked.is_ok(), is_valid, "{version:?} {target} {hosts:?}");
        };
        let (old, http1, http2) = (Version::HTTP_10, Version::HTTP_11, Version::HTTP_2);
        for valid in ["cloud.example", "cloud.example:9200", "127.0.0.1:80", "[::1]:9200", ""] {
            check(http1, "/sse", &[valid.as_bytes()], true);
        }
        for invalid in [
            "a b",
            "user@cloud.example",
            "cloud.example/sse",
            "a,b c",
            "[::1",
            "a:b:c",
            "a:b",
            "a:-1",
            "\u{e4}",
        ] {
            check(http1, "/sse", &[invalid.as_bytes()], false);
            check(old, "/sse", &[invalid.as_bytes()], false);
        }
        check(http1, "/sse", &[], false);
        check(http1, "http://cloud.example/sse", &[], false);
        check(http1, "/sse", &[b"a", b"a"], false);
        check(old, "/sse", &[], true);
        check(http2, "http://cloud.example/sse", &[], true);
        // A proxy may put its own name into one and the client's host into the other. Nothing depends on either.
        check(http2, "http://cloud.example/sse", &[b"other.example"], true);
        check(http2, "http://cloud.example/sse", &[b"a", b"a"], false);
        check(http2, "/sse", &[], false);
    }

    #[test]
    fn has_the_same_limits_in_all_versions() {
        let checked = |version, bytes: usize, fields: usize| {
            let mut request = request(version, "http://a/", &[b"a"]);
            let value = hyper::header::HeaderValue::from_bytes(&vec![b'x'; bytes]).expect("a value");
            request.headers_mut().insert("x-access-token", value);
            for field in 0..fields {
                let name = hyper::header::HeaderName::try_from(format!("x-{field}")).expect("a name");
                request.headers_mut().insert(name, hyper::header::HeaderValue::from_static(""));
            }
            check(&request)
        };
        for version in [Version::HTTP_11, Version::HTTP_2] {
            assert_eq!(checked(version, 60 * 1024, 0), Ok(()));
            assert_eq!(checked(version, 65 * 1024, 0), Err(Rejection::HEAD_TOO_LARGE));
            assert_eq!(checked(version, 1, 98), Ok(()));
            assert_eq!(checked(version, 1, 99), Err(Rejection::HEAD_TOO_LARGE));
        }
    }
}
