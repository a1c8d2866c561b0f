//! Where blocks can be asked for: another node or a trustless gateway, by its base URL, or the RPC API of an IPFS node.

use std::{fmt, str::FromStr};

use cid::Cid;
use reqwest::Url;

use super::NodeUrl;
use crate::{gateway::Format, kubo::Endpoint};

/// Stands in a source's URL for the CID, as the first label of the host name.
const CID_LABEL: &str = "{cid}.";

/// A CID that stands for no bytes at all: gateways are asked for it to see whether they are there
/// (<https://specs.ipfs.tech/http-gateways/trustless-gateway/#dedicated-probe-paths>).
const PROBE_CID: &str = "bafkqaaa";

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
    /// A place for the CID elsewhere than before a host name.
    #[error(
        "{{cid}} stands before a host name and without a path, as in https://{{cid}}.ipfs.gateway.example"
    )]
    CidPlace,
}

/// A source, as an operator names it.
///
/// `https://gateway.example`: `/ipfs/<cid>` is added. `https://{cid}.ipfs.gateway.example`: the gateways that give each CID
/// an origin of its own. An [`Endpoint`]: the RPC API of an IPFS node. One may hold credentials (`https://user:password@…`),
/// which are sent to it but never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Source(Kind);

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Path(Url),
    Subdomain {
        /// As above, without the label.
        base: Url,
        host: String,
    },
    Kubo(Endpoint),
}

impl Source {
    /// The gateway that a node is.
    pub(super) fn of_node(url: &NodeUrl) -> Self {
        Self(Kind::Path(url.url().clone()))
    }

    /// The RPC API, if it is one.
    pub(super) const fn as_kubo(&self) -> Option<&Endpoint> {
        match &self.0 {
            Kind::Kubo(endpoint) => Some(endpoint),
            Kind::Path(_) | Kind::Subdomain { .. } => None,
        }
    }

    /// Where a gateway has a block or DAG; `None` for an RPC API, whose answers are not GETs.
    pub(super) fn url(&self, cid: &Cid, format: Format) -> Option<Url> {
        let mut url = self.place(&cid.to_string())?;
        url.set_query(Some(&format!("format={}", format.as_str())));
        Some(url)
    }

    /// What a gateway answers whatever it holds, to see whether it is there; `None` for an RPC API.
    #[must_use]
    pub fn probe_url(&self) -> Option<String> {
        let mut url = self.place(PROBE_CID)?;
        url.set_query(Some("format=raw"));
        Some(url.into())
    }

    fn place(&self, cid: &str) -> Option<Url> {
        match &self.0 {
            Kind::Path(base) => {
                let mut url = base.clone();
                url.set_path(&format!("{}/ipfs/{cid}", base.path().trim_end_matches('/')));
                Some(url)
            }
            Kind::Subdomain { base, host } => {
                let mut url = base.clone();
                url.set_host(Some(&format!("{cid}.{host}"))).ok()?;
                Some(url)
            }
            Kind::Kubo(_) => None,
        }
    }
}

impl From<Endpoint> for Source {
    fn from(endpoint: Endpoint) -> Self {
        Self(Kind::Kubo(endpoint))
    }
}

impl FromStr for Source {
    type Err = SourceUrlError;

    fn from_str(text: &str) -> Result<Self, SourceUrlError> {
        // Not part of any host name, so it is gone before the URL is read.
        let with_label = text.replacen(CID_LABEL, "", 1);
        let is_subdomain = with_label != text;
        let base = Url::parse(&with_label).map_err(|_| SourceUrlError::NotAUrl)?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(SourceUrlError::Scheme(
                base.scheme().chars().take(16).collect(),
            ));
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(SourceUrlError::NotABase);
        }
        if with_label.contains("{cid}") {
            return Err(SourceUrlError::CidPlace);
        }
        if !is_subdomain {
            return Ok(Self(Kind::Path(base)));
        }
        let before = text.split(CID_LABEL).next().unwrap_or_default();
        let host = base.domain().unwrap_or_default().to_owned();
        if !(before.ends_with("://") || before.ends_with('@'))
            || host.is_empty()
            || base.path() != "/"
        {
            return Err(SourceUrlError::CidPlace);
        }
        Ok(Self(Kind::Subdomain { base, host }))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Path(base) => write_without_credentials(base, f),
            Kind::Subdomain { base, host } => {
                write!(f, "{}://{CID_LABEL}{host}", base.scheme())?;
                base.port().map_or(Ok(()), |port| write!(f, ":{port}"))
            }
            Kind::Kubo(endpoint) => write!(f, "{endpoint}"),
        }
    }
}

/// A base URL as it may be shown.
pub(crate) fn write_without_credentials(base: &Url, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    // `Url` parses no http URL without a host.
    let host = base.host_str().unwrap_or_default();
    write!(f, "{}://{host}", base.scheme())?;
    if let Some(port) = base.port() {
        write!(f, ":{port}")?;
    }
    f.write_str(base.path().trim_end_matches('/'))
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({self})")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use proptest::prelude::*;

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
                source.url(&cid, Format::Raw).unwrap().as_str(),
                format!("{expected}{cid}?format=raw")
            );
        }
    }

    #[test]
    fn a_cid_can_be_a_host_name() {
        let cid = *Block::new(Codec::Raw, &b"x"[..]).unwrap().cid();
        let source: Source = "https://u:secret@{cid}.ipfs.a.example:444/"
            .parse()
            .unwrap();
        assert_eq!(
            source.url(&cid, Format::Car).unwrap().as_str(),
            format!("https://u:secret@{cid}.ipfs.a.example:444/?format=car")
        );
        assert_eq!(source.to_string(), "https://{cid}.ipfs.a.example:444");
        for text in [
            "https://{cid}.127.0.0.1",
            "https://a.{cid}.example",
            "https://a.example/{cid}.x",
            "https://a.example/{cid}",
            "https://{cid}.a.example/x",
            "https://{cid}.{cid}.a.example",
        ] {
            assert!(text.parse::<Source>().is_err(), "{text}");
        }
    }

    #[test]
    fn probes_ask_for_the_empty_block() {
        let probe = |text: &str| text.parse::<Source>().unwrap().probe_url().unwrap();
        assert_eq!(
            probe("http://node:8080/x"),
            "http://node:8080/x/ipfs/bafkqaaa?format=raw"
        );
        assert_eq!(
            probe("https://{cid}.a.example"),
            "https://bafkqaaa.a.example/?format=raw"
        );
        let rpc: Endpoint = "http://127.0.0.1:5001".parse().unwrap();
        assert_eq!(Source::from(rpc).probe_url(), None);
    }

    proptest! {
        /// Whatever is taken asks exactly one place for exactly one CID.
        #[test]
        fn sources_never_panic(text in "https?://[a-z{}.:@/0-9]{0,30}") {
            let cid = *Block::new(Codec::Raw, &b"x"[..]).unwrap().cid();
            if let Ok(source) = text.parse::<Source>() {
                let url = source.url(&cid, Format::Raw).unwrap();
                prop_assert_eq!(url.as_str().matches(&cid.to_string()).count(), 1, "{}", url);
                prop_assert_eq!(&source.to_string().parse::<Source>().unwrap().to_string(), &source.to_string());
            }
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
