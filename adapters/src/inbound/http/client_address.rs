//! The address of the client behind proxies.

use std::net::IpAddr;

use ipnet::IpNet;
use poem::http::HeaderMap;

/// Returns the address of the client: the last address on the way of the request that does not belong to a proxy in `trusted`. The way ends
/// at `peer`. Each proxy appends the address of its peer to `X-Forwarded-For`, so the header is read from its end; what comes before an
/// address that is not trusted may be anything.
pub(super) fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let headers: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
    let forwarded = headers.iter().rev().flat_map(|header| header.to_str().unwrap_or_default().rsplit(','));
    let mut client = peer.to_canonical();
    for text in forwarded {
        if !is_trusted(&client) {
            break;
        }
        match text.trim().parse::<IpAddr>() {
            Ok(address) => client = address.to_canonical(),
            Err(_) => break,
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_believed_only_if_trusted() {
        let trusted = ["10.0.0.0/8", "::1/128"].map(|network| network.parse().expect("a network"));
        let check = |peer: &str, values: &[&str], expected: &str| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("x-forwarded-for", value.parse().expect("a value"));
            }
            let client = client_address(peer.parse().expect("an address"), &headers, &trusted);
            assert_eq!(client.to_string(), expected, "{values:?}");
        };
        check("192.0.2.1", &[], "192.0.2.1");
        check("192.0.2.1", &["198.51.100.7"], "192.0.2.1");
        check("10.0.0.1", &["198.51.100.7"], "198.51.100.7");
        check("::ffff:10.0.0.1", &["198.51.100.7"], "198.51.100.7");
        check("::1", &["2001:db8::1, 10.1.1.1"], "2001:db8::1");
        check("10.0.0.1", &["203.0.113.9, 198.51.100.7, 10.0.0.2"], "198.51.100.7");
        check("10.0.0.1", &["203.0.113.9", "198.51.100.7"], "198.51.100.7");
        check("10.0.0.1", &["198.51.100.7, anything"], "10.0.0.1");
        check("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3");
    }
}
