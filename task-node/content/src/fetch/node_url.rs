//! Where a node says that others reach its HTTP: a URL of a stranger's choosing, held to the one form that is needed.

use std::{fmt, str::FromStr};

use reqwest::Url;

use super::reach::Reach;

/// The longest such URL, in bytes. A thousand submissions of a round still fit into one request of the Orca sidecar.
const MAX_BYTES: usize = 128;

/// Below it, only the two ports of the web: a GET sent to a mail server helps nobody but a mischief-maker.
const FIRST_UNPRIVILEGED_PORT: u16 = 1024;

/// Why a text does not say where a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeUrlError {
    /// Too long.
    #[error("longer than {MAX_BYTES} characters")]
    TooLong,
    /// Not a URL, or written with characters that programs read differently.
    #[error("not a URL; write it like http://203.0.113.9:8338")]
    NotAUrl,
    /// Another scheme than HTTP.
    #[error("only http and https")]
    Scheme,
    /// Something besides host and port.
    #[error(
        "a host and a port and nothing else: no user, no path, no ? and #, as in http://203.0.113.9:8338"
    )]
    NotBare,
    /// A port of another service.
    #[error("port {0}: use 80, 443, or one from {FIRST_UNPRIVILEGED_PORT} on")]
    Port(u16),
}

/// `http://HOST:PORT` or `https://HOST:PORT` of a node, without anything else. Whether its address may be connected to
/// is another question, which is asked of the resolved address.
#[derive(Clone, PartialEq, Eq)]
pub struct NodeUrl(Url);

impl NodeUrl {
    pub(super) const fn url(&self) -> &Url {
        &self.0
    }

    /// Whether it is an address, and not a name, that other nodes do not connect to because it is not in the public
    /// Internet.
    #[must_use]
    pub fn is_private_address(&self) -> bool {
        // Nothing is looked up for an address.
        self.0.domain().is_none()
            && self.0.socket_addrs(|| None).is_ok_and(|addresses| {
                let mut addresses = addresses.into_iter();
                addresses.any(|address| !Reach::Public.allows(address.ip()))
            })
    }
}

impl FromStr for NodeUrl {
    type Err = NodeUrlError;

    fn from_str(text: &str) -> Result<Self, NodeUrlError> {
        if text.len() > MAX_BYTES {
            return Err(NodeUrlError::TooLong);
        }
        // URL parsers drop tabs, take `\` for `/`, and map letters of other scripts; none of it is needed here.
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains('\\') {
            return Err(NodeUrlError::NotAUrl);
        }
        let url = Url::parse(text).map_err(|_| NodeUrlError::NotAUrl)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(NodeUrlError::Scheme);
        }
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        // The text and not the parsed user: `http://@host` has an empty one.
        if !bare || text.contains('@') {
            return Err(NodeUrlError::NotBare);
        }
        match url.port_or_known_default() {
            Some(80 | 443 | FIRST_UNPRIVILEGED_PORT..) => Ok(Self(url)),
            other => Err(NodeUrlError::Port(other.unwrap_or_default())),
        }
    }
}

impl fmt::Display for NodeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for NodeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_host_and_a_port() {
        for (text, shown) in [
            ("http://203.0.113.9:8338", "http://203.0.113.9:8338"),
            ("http://203.0.113.9:8338/", "http://203.0.113.9:8338"),
            ("https://Node.example", "https://node.example"),
            ("http://node.example:80", "http://node.example"),
            ("http://[2001:DB8::1]:8338", "http://[2001:db8::1]:8338"),
            // Spellings of an address are that address, so that no rule is got around by spelling.
            ("http://0x7f.1:8338", "http://127.0.0.1:8338"),
            ("http://2130706433:8338", "http://127.0.0.1:8338"),
        ] {
            let url: NodeUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(shown.parse::<NodeUrl>().unwrap(), url);
        }
    }

    #[test]
    fn what_others_will_not_follow_can_be_told() {
        for (text, private) in [
            ("http://1.1.1.1:8338", false),
            ("http://node.example", false),
            ("http://localhost:8338", false),
            ("http://192.168.1.5:8338", true),
            ("http://[::1]:8338", true),
            ("http://169.254.169.254", true),
        ] {
            let url: NodeUrl = text.parse().unwrap();
            assert_eq!(url.is_private_address(), private, "{text}");
        }
    }

    #[test]
    fn nothing_else() {
        let long = format!("http://{}.example", "a".repeat(120));
        for (text, error) in [
            ("", NodeUrlError::NotAUrl),
            ("node.example:8338", NodeUrlError::Scheme),
            ("http://", NodeUrlError::NotAUrl),
            ("http:\\\\node.example", NodeUrlError::NotAUrl),
            ("http://node.\texample", NodeUrlError::NotAUrl),
            (" http://node.example", NodeUrlError::NotAUrl),
            ("http://n\u{f6}de.example", NodeUrlError::NotAUrl),
            ("http://node.example:70000", NodeUrlError::NotAUrl),
            ("file:///etc/passwd", NodeUrlError::Scheme),
            ("gopher://node.example", NodeUrlError::Scheme),
            ("http://user@node.example", NodeUrlError::NotBare),
            ("http://u:p@node.example", NodeUrlError::NotBare),
            ("http://@node.example", NodeUrlError::NotBare),
            ("http://node.example/admin", NodeUrlError::NotBare),
            ("http://node.example/?a", NodeUrlError::NotBare),
            ("http://node.example/#a", NodeUrlError::NotBare),
            ("http://node.example:25", NodeUrlError::Port(25)),
            ("http://node.example:0", NodeUrlError::Port(0)),
            (&long, NodeUrlError::TooLong),
        ] {
            assert_eq!(text.parse::<NodeUrl>(), Err(error), "{text}");
        }
    }

    proptest! {
        /// Whatever is taken has a host and nothing that a server could read as a command, and stays what it is.
        #[test]
        fn what_is_taken_is_bare(text in "(https?://)?[a-zA-Z0-9@:/.?#%\\\\\\[\\]\u{e9}-]{0,140}") {
            if let Ok(url) = text.parse::<NodeUrl>() {
                let shown = url.to_string();
                prop_assert!(shown.starts_with("http"));
                prop_assert!(!shown.contains(['@', '?', '#', '\\']));
                prop_assert_eq!(shown.matches('/').count(), 2);
                prop_assert_eq!(shown.parse::<NodeUrl>(), Ok(url));
            }
        }
    }
}
