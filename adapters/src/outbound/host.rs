//! This machine, as others see it.

use std::net::IpAddr;

/// The address of this machine that others can most probably reach: a private one (RFC 1918), else any that is not its
/// own loopback. IPv4 comes first, as on the platform.
#[must_use]
pub fn own_address() -> Option<IpAddr> {
    let addresses = if_addrs::get_if_addrs().ok()?.into_iter().map(|interface| interface.ip());
    addresses.filter(|address| !address.is_loopback()).min_by_key(|address| distance(*address))
}

fn distance(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(address) if address.is_private() => 0,
        IpAddr::V4(address) if !address.is_link_local() => 1,
        IpAddr::V6(address) if !address.is_unicast_link_local() => 2,
        IpAddr::V4(_) | IpAddr::V6(_) => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_that_is_most_probably_reached_comes_first() {
        let mut addresses = ["fe80::1", "2001:db8::1", "169.254.1.1", "203.0.113.7", "10.0.0.7"]
            .map(|text| text.parse::<IpAddr>().expect("an address"));
        addresses.sort_by_key(|address| distance(*address));
        assert_eq!(
            addresses.map(|address| address.to_string())[..3],
            ["10.0.0.7", "203.0.113.7", "2001:db8::1"]
        );
    }
}
