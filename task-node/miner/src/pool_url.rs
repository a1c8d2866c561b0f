//! Where the pool is.

use std::fmt;
use std::str::FromStr;

/// Why a text is not a pool's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PoolUrlError {
    /// Another scheme than plain Stratum.
    #[error("this miner speaks stratum+tcp:// only, not {0}://")]
    Scheme(String),
    /// No host, no port, or something behind it.
    #[error("a pool is given as stratum+tcp://host:port, for example stratum+tcp://127.0.0.1:3333")]
    Form,
}

/// `stratum+tcp://host:port`; an IPv6 host stands in brackets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PoolUrl {
    host: String,
    port: u16,
}

impl PoolUrl {
    /// Name or address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The same host at another port.
    #[must_use]
    pub fn with_port(&self, port: u16) -> Self {
        Self {
            host: self.host.clone(),
            port,
        }
    }
}

impl FromStr for PoolUrl {
    type Err = PoolUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let place = match text.split_once("://") {
            Some(("stratum+tcp" | "stratum" | "tcp", place)) => place,
            Some((scheme, _)) => {
                return Err(PoolUrlError::Scheme(crate::message::printable(scheme)));
            }
            None => text,
        };
        let place = place.strip_suffix('/').unwrap_or(place);
        let (host, port) = place.rsplit_once(':').ok_or(PoolUrlError::Form)?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest
                .strip_suffix(']')
                .filter(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
                .ok_or(PoolUrlError::Form)?,
            None => host,
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        let bracketed = place.starts_with('[');
        if host.is_empty() || !host.chars().all(plain) || (host.contains(':') && !bracketed) {
            return Err(PoolUrlError::Form);
        }
        // `parse` alone would take "+1".
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        match port.parse() {
            Ok(port) if port > 0 && digits => Ok(Self {
                host: host.to_ascii_lowercase(),
                port,
            }),
            _ => Err(PoolUrlError::Form),
        }
    }
}

impl fmt::Display for PoolUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "stratum+tcp://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "stratum+tcp://{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn forms() {
        for (text, host, port) in [
            ("stratum+tcp://127.0.0.1:3333", "127.0.0.1", 3333),
            (" stratum+tcp://Pool.Example:3333/ ", "pool.example", 3333),
            ("localhost:1", "localhost", 1),
            ("stratum+tcp://[::1]:3333", "::1", 3333),
        ] {
            let url: PoolUrl = text.parse().unwrap();
            assert_eq!((url.host(), url.port()), (host, port));
            assert_eq!(url.to_string().parse(), Ok(url));
        }
    }

    #[test]
    fn what_is_no_pool() {
        for bad in [
            "",
            "stratum+tcp://",
            "host",
            "host:",
            ":3333",
            "host:0",
            "host:65536",
            "host:+1",
            "::1:3333",
            "[::1:3333",
            "[nonsense]:1",
            "a b:3",
            "host:3333/path",
            "user@host:1",
        ] {
            assert_eq!(bad.parse::<PoolUrl>(), Err(PoolUrlError::Form), "{bad}");
        }
        assert_eq!(
            "stratum+ssl://host:443".parse::<PoolUrl>(),
            Err(PoolUrlError::Scheme("stratum+ssl".to_owned()))
        );
    }
}
