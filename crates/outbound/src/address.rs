//! Which addresses may be reached.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An entry of the list of internal places that may be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowEntry {
    /// A host name as it stands in the URL, in lower case, with every address that it resolves to.
    Host(String),
    /// All addresses that share the first bits.
    Network { address: IpAddr, prefix_bits: u8 },
}

/// The text is neither a host name, nor an address, nor a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a host name, an address or a network such as `10.0.0.0/8`")]
pub struct InvalidAllowEntry(pub String);

impl FromStr for AllowEntry {
    type Err = InvalidAllowEntry;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidAllowEntry(text.to_owned());
        let text = text.trim();
        if let Some((address, bits)) = text.split_once('/') {
            let address = unbracketed(address).parse::<IpAddr>().map_err(|_| invalid())?;
            let prefix_bits = bits.parse::<u8>().ok().filter(|bits| *bits <= width_bits(address)).ok_or_else(invalid)?;
            return Ok(Self::Network { address, prefix_bits });
        }
        if let Ok(address) = unbracketed(text).parse::<IpAddr>() {
            return Ok(Self::Network { address, prefix_bits: width_bits(address) });
        }
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        if text.is_empty() || text.len() > 253 || !text.bytes().all(is_name) {
            return Err(invalid());
        }
        Ok(Self::Host(text.trim_end_matches('.').to_ascii_lowercase()))
    }
}

/// The rule that decides about each address before a connection is made to it.
#[derive(Clone, Debug, Default)]
pub struct AddressRule {
    entries: Vec<AllowEntry>,
}

impl AddressRule {
    /// Public addresses, and what `entries` name.
    pub fn new(entries: Vec<AllowEntry>) -> Self {
        Self { entries }
    }

    /// Whether `address`, which `host` resolved to, may be reached.
    pub fn allows(&self, host: &str, address: IpAddr) -> bool {
        is_public(address) || self.entries.iter().any(|entry| entry.names(host, address))
    }
}

impl AllowEntry {
    fn names(&self, host: &str, address: IpAddr) -> bool {
        match self {
            Self::Host(name) => host.trim_end_matches('.').eq_ignore_ascii_case(name),
            Self::Network { address: network, prefix_bits } => contains(*network, *prefix_bits, address.to_canonical()),
        }
    }
}

fn unbracketed(text: &str) -> &str {
    text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text)
}

fn width_bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn contains(network: IpAddr, prefix_bits: u8, address: IpAddr) -> bool {
    let wide = |address: IpAddr| match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    };
    let mask = u128::MAX.checked_shl(128 - u32::from(prefix_bits)).unwrap_or(0);
    network.is_ipv4() == address.is_ipv4() && (wide(network) ^ wide(address)) & mask == 0
}

/// Networks that are not the public internet. Source: the IANA special-purpose address registries for IPv4 and IPv6 (RFC 6890 and its
/// updates).
const INTERNAL_V4: [(Ipv4Addr, u8); 15] = [
    (Ipv4Addr::UNSPECIFIED, 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// Global unicast space of IPv6; all else is internal.
const GLOBAL_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// Networks inside it that are not public: protocol assignments with Teredo, documentation, and 6to4, which wraps any IPv4 address.
const INTERNAL_V6: [(Ipv6Addr, u8); 5] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xDB8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3FFF, 0, 0, 0, 0, 0, 0, 0), 20),
    (Ipv6Addr::new(0x2620, 0x4F, 0x8000, 0, 0, 0, 0, 0), 48),
];

/// The translation prefix of RFC 6052, whose last 32 bits are an IPv4 address.
const TRANSLATED: (Ipv6Addr, u8) = (Ipv6Addr::new(0x64, 0xFF9B, 0, 0, 0, 0, 0, 0), 96);

/// Whether an address belongs to the public internet. IPv4 addresses that are wrapped in IPv6 count as what they wrap.
pub fn is_public(address: IpAddr) -> bool {
    let inside = |network: (Ipv6Addr, u8), address: Ipv6Addr| contains(IpAddr::V6(network.0), network.1, IpAddr::V6(address));
    match address.to_canonical() {
        IpAddr::V4(address) => !INTERNAL_V4.iter().any(|(network, bits)| contains(IpAddr::V4(*network), *bits, IpAddr::V4(address))),
        IpAddr::V6(address) if inside(TRANSLATED, address) => {
            let [.., a, b, c, d] = address.octets();
            is_public(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
        }
        IpAddr::V6(address) => inside(GLOBAL_V6, address) && !INTERNAL_V6.iter().any(|network| inside(*network, address)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn internal_addresses_are_not_public() {
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "198.19.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "ff02::1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
        ] {
            assert!(!is_public(address(text)), "{text}");
        }
    }

    #[test]
    fn public_addresses_are_public() {
        for text in ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700:4700::1111", "2a00:1450::1", "64:ff9b::808:808"] {
            assert!(is_public(address(text)), "{text}");
        }
    }

    #[test]
    fn the_list_names_hosts_addresses_and_networks() {
        let rule = AddressRule::new(["model.internal", "10.1.0.0/16", "::1"].map(|text| text.parse().unwrap()).to_vec());
        assert!(rule.allows("Model.Internal.", address("192.168.0.9")));
        assert!(rule.allows("anything", address("10.1.255.1")));
        assert!(rule.allows("anything", address("::ffff:10.1.255.1")));
        assert!(rule.allows("anything", address("::1")));
        assert!(!rule.allows("anything", address("10.2.0.1")));
        assert!(!rule.allows("model.internal.example.com", address("192.168.0.9")));
        assert!(!rule.allows("anything", address("127.0.0.1")));
    }

    #[test]
    fn malformed_entries_are_refused() {
        for text in ["", "a b", "10.0.0.0/33", "10.0.0/8", "http://host", "::1/129"] {
            assert_eq!(text.parse::<AllowEntry>(), Err(InvalidAllowEntry(text.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn wrapping_an_address_does_not_change_the_answer(bits in any::<u32>()) {
            let plain = Ipv4Addr::from_bits(bits);
            prop_assert_eq!(is_public(IpAddr::V4(plain)), is_public(IpAddr::V6(plain.to_ipv6_mapped())));
        }

        #[test]
        fn parsing_never_panics(text in ".{0,40}") {
            let _ = text.parse::<AllowEntry>();
        }
    }
}
