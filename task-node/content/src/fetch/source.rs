//! Where blocks can be asked for: another node or a trustless gateway, by its base URL.

use std::{fmt, str::FromStr};

use cid::Cid;
use reqwest::Url;

use crate::gateway::Format;

/// Why a text is no source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceUrlError {
    /// Not a URL. The text is not repeated: it may hold a password.
    #[error("not a URL; write it like https://gateway.example or http://node:8080")]
    NotAUrl,
    /// Another scheme than HTTP.
    #[error("scheme `{0}` is not supported; use http or https")]
    Scheme(String),
    /// Something behind the path, which the CID could not follow.
    #[error("a source is a base URL without ? and #")]
    NotABase,
}

/// The base URL of a source; `/ipfs/<cid>` is added to it.
///
/// Sources come from the operator. One may hold credentials (`https://user:password@…`), which are sent to it but never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Source {
    base: Url,
}

impl Source {
    pub(super) fn url(&self, cid: &Cid, format: Format) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!(
            "{}/ipfs/{cid}",
            self.base.path().trim_end_matches('/')
        ));
        url.set_query(Some(&format!("format={}", format.as_str())));
        url
    }
}

impl FromStr for Source {
    type Err = SourceUrlError;

    fn from_str(text: &str) -> Result<Self, SourceUrlError> {
        let base = Url::parse(text).map_err(|_| SourceUrlError::NotAUrl)?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(SourceUrlError::Scheme(
                base.scheme().chars().take(16).collect(),
            ));
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(SourceUrlError::NotABase);
        }
        Ok(Self { base })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `Url` parses no http URL without a host.
        write!(
            f,
            "{}://{}",
            self.base.scheme(),
            self.base.host_str().unwrap_or_default()
        )?;
        if let Some(port) = self.base.port() {
            write!(f, ":{port}")?;
        }
        f.write_str(self.base.path().trim_end_matches('/'))
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({self})")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use crate::block::{Block, Codec};

    #[test]
    fn urls_are_built_under_the_base() {
        let cid = *Block::new(Codec::Raw, &b"x"[..]).unwrap().cid();
        for (base, expected) in [
            ("http://node:8080", "http://node:8080/ipfs/"),
            ("http://node:8080/", "http://node:8080/ipfs/"),
            ("https://a.example/pool//", "https://a.example/pool/ipfs/"),
            ("http://[::1]:80/x", "http://[::1]/x/ipfs/"),
        ] {
            let source: Source = base.parse().unwrap();
            assert_eq!(
                source.url(&cid, Format::Raw).as_str(),
                format!("{expected}{cid}?format=raw")
            );
        }
    }

    #[test]
    fn only_http_bases() {
        for (text, error) in [
            ("", SourceUrlError::NotAUrl),
            ("gateway.example", SourceUrlError::NotAUrl),
            ("http://", SourceUrlError::NotAUrl),
            (
                "file:///etc/passwd",
                SourceUrlError::Scheme("file".to_owned()),
            ),
            ("ftp://a", SourceUrlError::Scheme("ftp".to_owned())),
            ("http://a/?x=1", SourceUrlError::NotABase),
            ("http://a/#x", SourceUrlError::NotABase),
        ] {
            assert_eq!(text.parse::<Source>(), Err(error), "{text}");
        }
    }

    #[test]
    fn credentials_are_never_shown() {
        let source: Source = "https://user:secret@a.example:444/x".parse().unwrap();
        assert_eq!(source.to_string(), "https://a.example:444/x");
        assert!(!format!("{source:?}").contains("secret"));
    }
}
