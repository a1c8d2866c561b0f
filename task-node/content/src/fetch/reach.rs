//! Which addresses a stranger may have this node connect to.
//!
//! An address inside the operator's network, or one that only this machine can reach, must not be reached on a
//! stranger's word (server-side request forgery, CWE-918). So the rule is asked of addresses, not of names, and what is
//! not known to be somebody's in the public Internet is refused: <https://www.iana.org/assignments/iana-ipv4-special-registry> and
//! <https://www.iana.org/assignments/iana-ipv6-special-registry>.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How far a stranger's URL may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// The public Internet.
    Public,
    /// Private networks and this machine as well: a pool whose nodes all live there.
    PrivateToo,
}

impl Reach {
    pub(super) fn allows(self, address: IpAddr) -> bool {
        let place = match address {
            IpAddr::V4(address) => place_v4(address),
            IpAddr::V6(address) => place_v6(address),
        };
        match place {
            Place::Public => true,
            Place::Private => self == Self::PrivateToo,
            Place::Nobodys => false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Public,
    Private,
    /// No node is ever there: links, groups, tunnels, examples, and what hands a machine of a cloud its keys.
    Nobodys,
}

fn place_v4(address: Ipv4Addr) -> Place {
    match address.octets() {
        // Alibaba Cloud's and Azure's services for their own machines stand among ordinary addresses.
        [100, 100, 100, 200] | [168, 63, 129, 16] => Place::Nobodys,
        // RFC 1918, RFC 6598 (behind a carrier's NAT), and loopback.
        [10 | 127, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => {
            Place::Private
        }
        // "This network", and link-local: 169.254.169.254 is most clouds' metadata.
        [0, ..] | [169, 254, ..] => Place::Nobodys,
        // Protocol assignments (Oracle's metadata among them), 6to4 relays, benchmarks.
        [192, 0, 0, _] | [192, 88, 99, _] | [198, 18..=19, ..] => Place::Nobodys,
        // Examples.
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Place::Nobodys,
        // Multicast, reserved, broadcast.
        [224..=255, ..] => Place::Nobodys,
        _ => Place::Public,
    }
}

fn place_v6(address: Ipv6Addr) -> Place {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return place_v4(mapped);
    }
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Place::Private,
        // Through a NAT64 (RFC 6052), which may stand inside the operator's network: only what is public behind it.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let [a, b] = high.to_be_bytes();
            let [c, d] = low.to_be_bytes();
            match place_v4(Ipv4Addr::new(a, b, c, d)) {
                Place::Public => Place::Public,
                Place::Private | Place::Nobodys => Place::Nobodys,
            }
        }
        // Amazon's and Google's metadata among the unique local addresses.
        [0xfd00, 0x0ec2, ..] | [0xfd20, 0x00ce, ..] => Place::Nobodys,
        [0xfc00..=0xfdff, ..] => Place::Private,
        // Protocol assignments (Teredo among them, which holds an IPv4 address), 6to4 (which does too), examples.
        [0x2001, 0..=0x1ff, ..] | [0x2002, ..] | [0x2001, 0x0db8, ..] => Place::Nobodys,
        [0x3fff, 0..=0xfff, ..] => Place::Nobodys,
        // All that has been given to anybody (RFC 4291).
        [0x2000..=0x3fff, ..] => Place::Public,
        _ => Place::Nobodys,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use proptest::prelude::*;

    use super::*;

    fn place(text: &str) -> Place {
        match text.parse().unwrap() {
            IpAddr::V4(address) => place_v4(address),
            IpAddr::V6(address) => place_v6(address),
        }
    }

    #[test]
    fn the_public_internet() {
        for text in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "223.255.255.255",
            "2606:4700::1111",
            "2a01:4f8::1",
            "2001:200::1",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
        ] {
            assert_eq!(place(text), Place::Public, "{text}");
        }
    }

    #[test]
    fn private_networks_only_where_they_are_allowed() {
        for text in [
            "127.0.0.1",
            "127.255.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "::1",
            "fc00::1",
            "fdff:ffff::1",
            "::ffff:127.0.0.1",
            "::ffff:192.168.1.1",
        ] {
            assert_eq!(place(text), Place::Private, "{text}");
            let address = text.parse().unwrap();
            assert!(!Reach::Public.allows(address), "{text}");
            assert!(Reach::PrivateToo.allows(address), "{text}");
        }
    }

    #[test]
    fn where_nobody_is() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "169.254.0.1",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.9",
            "192.88.99.1",
            "198.18.0.1",
            "198.19.255.255",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::7f00:1",
            "::ffff:169.254.169.254",
            "::ffff:0:127.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::1.1.1.1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:a9fe:a9fe::1",
            "3fff::1",
            "5f00::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert_eq!(place(text), Place::Nobodys, "{text}");
            assert!(!Reach::PrivateToo.allows(text.parse().unwrap()), "{text}");
        }
    }

    proptest! {
        /// No way of writing an IPv4 address into an IPv6 one leads further than the address itself.
        #[test]
        fn no_detour_leads_further(bits: u32, form in 0..5) {
            let address = Ipv4Addr::from(bits);
            let low = u128::from(bits);
            let detour = Ipv6Addr::from(match form {
                0 => (0xffff << 32) | low,
                1 => (0x0064_ff9b << 96) | low,
                2 => (0x2002 << 112) | (low << 80) | 1,
                3 => (0x2001 << 112) | u128::from(!bits),
                _ => low,
            });
            for reach in [Reach::Public, Reach::PrivateToo] {
                // The one exception is `::1`, which is loopback in its own right.
                if reach.allows(detour.into()) && detour != Ipv6Addr::LOCALHOST {
                    prop_assert!(reach.allows(address.into()), "{detour}");
                }
            }
        }

        /// What the standard library knows of addresses agrees.
        #[test]
        fn nothing_special_is_public(bits: u128) {
            let v6 = Ipv6Addr::from(bits);
            if Reach::Public.allows(v6.into()) && v6.to_ipv4_mapped().is_none() {
                prop_assert!(!v6.is_loopback() && !v6.is_multicast() && !v6.is_unspecified());
                prop_assert!(!v6.is_unique_local() && !v6.is_unicast_link_local());
            }
            let v4 = Ipv4Addr::from((bits >> 96) as u32);
            if Reach::Public.allows(v4.into()) {
                prop_assert!(!v4.is_loopback() && !v4.is_multicast() && !v4.is_unspecified());
                prop_assert!(!v4.is_private() && !v4.is_link_local() && !v4.is_broadcast());
                prop_assert!(!v4.is_documentation());
            }
        }
    }
}
