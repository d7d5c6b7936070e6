//! The address of this machine.

use std::net::IpAddr;

/// Returns the address of this machine that other machines can most probably reach: a private one (RFC 1918), or else any address that is
/// not a loopback address. IPv4 is preferred, as on the platform.
#[must_use]
pub fn own_address() -> Option<IpAddr> {
    let addresses = if_addrs::get_if_addrs().ok()?.into_iter().map(|interface| interface.ip());
    addresses.filter(|address| !address.is_loopback()).min_by_key(|address| rank(*address))
}

/// Returns the rank of an address. Lower ranks are more probably reachable.
fn rank(address: IpAddr) -> u8 {
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
    fn most_reachable_address_comes_first() {
        let mut addresses = ["fe80::1", "2001:db8::1", "169.254.1.1", "203.0.113.7", "10.0.0.7"]
            .map(|text| text.parse::<IpAddr>().expect("an address"));
        addresses.sort_by_key(|address| rank(*address));
        assert_eq!(
            addresses.map(|address| address.to_string())[..3],
            ["10.0.0.7", "203.0.113.7", "2001:db8::1"]
        );
    }
}
