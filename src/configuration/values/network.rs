//! Networks.

use std::{net::IpAddr, str::FromStr};

use ipnet::IpNet;

/// An address, or a network with the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(pub IpNet);

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map(Self).map_err(|_| {
            format!("has {text:?}, which is neither an address nor a network such as 10.0.0.0/8")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::check, *};

    #[test]
    fn addresses_and_networks_are_read() {
        let network = |text: &str| Network(text.parse().expect("a network"));
        let networks = ["10.0.0.0/8", "::1/128", "192.0.2.7/32"].map(network);
        check("10.0.0.0/8, ::1,192.0.2.7", Ok(Vec::<Network>::from(networks)));
        check("", Ok(Vec::<Network>::new()));
        for text in ["proxy", "10.0.0.0/33", "10.0.0.0/8/8", "127.1"] {
            let problem =
                format!("has {text:?}, which is neither an address nor a network such as 10.0.0.0/8");
            check::<Vec<Network>>(text, Err(&problem));
        }
    }
}
