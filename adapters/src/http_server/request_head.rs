//! What is asked of the head of every request, whatever it is for.

use hyper::{HeaderMap, Method, Request, Version, header::HOST, http::uri::Authority};

use super::refusal::Refusal;

/// Largest head of a request: its method and target, and the names and values of its header fields. A token of a user in a
/// thousand groups has 17 KiB.
pub(super) const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Header fields of a request.
pub(super) const MAX_HEADER_FIELDS: usize = 100;
/// What a header field takes on the wire of HTTP/1.1 beside its name and value: colon, space and line break.
const FIELD_OVERHEAD_BYTES: usize = 4;

/// Checks the head of a request, with the same limits for all versions of HTTP.
pub(super) fn check<B>(request: &Request<B>) -> Result<(), Refusal> {
    let headers = request.headers();
    if headers.len() > MAX_HEADER_FIELDS || size(request) > MAX_HEAD_BYTES {
        return Err(Refusal::HEAD_TOO_LARGE);
    }
    if names_its_host(request) { Ok(()) } else { Err(Refusal::NO_HOST) }
}

fn size<B>(request: &Request<B>) -> usize {
    let target = request.uri();
    let authority = target.authority().map_or(0, |authority| authority.as_str().len());
    let path = target.path_and_query().map_or(0, |path| path.as_str().len());
    let fields = request.headers().iter();
    let fields = fields.map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD_BYTES);
    request.method().as_str().len() + authority + path + fields.sum::<usize>()
}

/// Whether a request names its host as its version of HTTP asks for: RFC 9112, 3.2; RFC 9113, 8.3.1. HTTP/1.0 knows no hosts.
fn names_its_host<B>(request: &Request<B>) -> bool {
    let named = hosts(request.headers());
    match (request.version(), named) {
        (_, Hosts::Wrong) => false,
        (Version::HTTP_2, Hosts::None) => {
            request.uri().authority().is_some() || request.method() == Method::CONNECT
        }
        (version, Hosts::None) => version < Version::HTTP_11,
        (_, Hosts::One) => true,
    }
}

/// What stands in the `Host` header fields.
enum Hosts {
    None,
    One,
    Wrong,
}

fn hosts(headers: &HeaderMap) -> Hosts {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => Hosts::None,
        (Some(host), None) if is_host(host.as_bytes()) => Hosts::One,
        _ => Hosts::Wrong,
    }
}

/// Whether this is a host, with or without a port; an empty one is a host as well (RFC 3986, 3.2.2).
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
    fn host_is_named_exactly_once() {
        let check = |version, target, hosts: &[&[u8]], right: bool| {
            let checked = check(&request(version, target, hosts));
            assert_eq!(checked.is_ok(), right, "{version:?} {target} {hosts:?}");
        };
        let (old, http1, http2) = (Version::HTTP_10, Version::HTTP_11, Version::HTTP_2);
        for right in ["cloud.example", "cloud.example:9200", "127.0.0.1:80", "[::1]:9200", ""] {
            check(http1, "/sse", &[right.as_bytes()], true);
        }
        for wrong in [
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
            check(http1, "/sse", &[wrong.as_bytes()], false);
            check(old, "/sse", &[wrong.as_bytes()], false);
        }
        check(http1, "/sse", &[], false);
        check(http1, "http://cloud.example/sse", &[], false);
        check(http1, "/sse", &[b"a", b"a"], false);
        check(old, "/sse", &[], true);
        check(http2, "http://cloud.example/sse", &[], true);
        // Gateways may name themselves in one and the client's host in the other; nothing here depends on either.
        check(http2, "http://cloud.example/sse", &[b"other.example"], true);
        check(http2, "http://cloud.example/sse", &[b"a", b"a"], false);
        check(http2, "/sse", &[], false);
    }

    #[test]
    fn size_is_limited_alike_in_all_versions() {
        let of = |version, bytes: usize, fields: usize| {
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
            assert_eq!(of(version, 60 * 1024, 0), Ok(()));
            assert_eq!(of(version, 65 * 1024, 0), Err(Refusal::HEAD_TOO_LARGE));
            assert_eq!(of(version, 1, 98), Ok(()));
            assert_eq!(of(version, 1, 99), Err(Refusal::HEAD_TOO_LARGE));
        }
    }
}
