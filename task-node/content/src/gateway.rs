//! What this node needs to answer `GET /ipfs/<cid>` as a trustless gateway
//! (<https://specs.ipfs.tech/http-gateways/trustless-gateway/>), and what it asks of others.

use cid::Cid;

/// How a DAG is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// One block, its bytes alone.
    Raw,
    /// The whole DAG as a CARv1.
    Car,
}

/// Neither the query nor the `Accept` header names a format a trustless gateway has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "ask for ?format=raw or ?format=car, or Accept: application/vnd.ipld.raw or application/vnd.ipld.car"
)]
pub struct UnsupportedFormat;

impl Format {
    /// What a request asks for: the `format` query parameter, else the first of the `Accept` header's media types
    /// that is one of ours. Other formats (a web page, a tar file) are not served: who asks must verify.
    ///
    /// # Errors
    /// [`UnsupportedFormat`], to be answered with 400 for a query and 406 for a header.
    pub fn negotiate(query: Option<&str>, accept: Option<&str>) -> Result<Self, UnsupportedFormat> {
        if let Some(format) = query {
            return format.parse();
        }
        accept
            .unwrap_or_default()
            .split(',')
            .find_map(Self::from_media_type)
            .ok_or(UnsupportedFormat)
    }

    /// `application/vnd.ipld.car; version=1` and the like. Parameters that ask for another CAR rule it out.
    fn from_media_type(media_type: &str) -> Option<Self> {
        let mut parts = media_type.split(';').map(str::trim);
        let format = match parts.next()?.to_ascii_lowercase().as_str() {
            "application/vnd.ipld.raw" => return Some(Self::Raw),
            "application/vnd.ipld.car" => Self::Car,
            _ => return None,
        };
        let supported = parts.all(|parameter| match parameter.split_once('=') {
            Some(("version", version)) => version == "1",
            Some(("order", order)) => order == "dfs" || order == "unk",
            Some(("dups", duplicates)) => duplicates == "n",
            _ => true,
        });
        supported.then_some(format)
    }

    /// Value of the `format` query parameter.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Car => "car",
        }
    }

    /// Value of the `Accept` header of a request, and of the `Content-Type` of its answer.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Raw => "application/vnd.ipld.raw",
            Self::Car => "application/vnd.ipld.car; version=1; order=dfs; dups=n",
        }
    }

    /// The headers of an answer. The content can never change, so caches may keep it for good; and a browser must
    /// not guess that a miner's bytes are a page.
    #[must_use]
    pub fn headers(self, cid: &Cid) -> [(&'static str, String); 5] {
        let (format, mark) = match self {
            Self::Raw => ("bin", ""),
            // Weak: another server may list the same blocks in another order.
            Self::Car => ("car", "W/"),
        };
        [
            ("Content-Type", self.media_type().to_owned()),
            (
                "Content-Disposition",
                format!("attachment; filename=\"{cid}.{format}\""),
            ),
            ("ETag", format!("{mark}\"{cid}.{}\"", self.as_str())),
            (
                "Cache-Control",
                "public, max-age=29030400, immutable".to_owned(),
            ),
            ("X-Content-Type-Options", "nosniff".to_owned()),
        ]
    }
}

impl std::str::FromStr for Format {
    type Err = UnsupportedFormat;

    fn from_str(format: &str) -> Result<Self, UnsupportedFormat> {
        match format {
            "raw" => Ok(Self::Raw),
            "car" => Ok(Self::Car),
            _ => Err(UnsupportedFormat),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use crate::block::{Block, Codec};

    #[test]
    fn the_query_wins_over_the_header() {
        for (query, accept, expected) in [
            (Some("raw"), None, Ok(Format::Raw)),
            (
                Some("car"),
                Some("application/vnd.ipld.raw"),
                Ok(Format::Car),
            ),
            (None, Some("application/vnd.ipld.raw"), Ok(Format::Raw)),
            (
                None,
                Some(
                    "text/html, application/vnd.ipld.car;version=1;dups=y, Application/vnd.ipld.CAR; version=1",
                ),
                Ok(Format::Car),
            ),
            (None, Some(Format::Car.media_type()), Ok(Format::Car)),
            (
                None,
                Some("application/vnd.ipld.car; version=2"),
                Err(UnsupportedFormat),
            ),
            (
                Some("tar"),
                Some("application/vnd.ipld.raw"),
                Err(UnsupportedFormat),
            ),
            (Some(""), None, Err(UnsupportedFormat)),
            (Some("RAW"), None, Err(UnsupportedFormat)),
            (None, Some("text/html, */*"), Err(UnsupportedFormat)),
            (None, None, Err(UnsupportedFormat)),
        ] {
            assert_eq!(
                Format::negotiate(query, accept),
                expected,
                "{query:?} {accept:?}"
            );
        }
    }

    #[test]
    fn answers_are_immutable_and_not_guessed_at() {
        let cid = *Block::new(Codec::Raw, &b"<script>"[..]).unwrap().cid();
        let headers = Format::Raw.headers(&cid);
        assert!(headers.contains(&("X-Content-Type-Options", "nosniff".to_owned())));
        assert!(headers.contains(&("ETag", format!("\"{cid}.raw\""))));
        assert!(
            Format::Car
                .headers(&cid)
                .contains(&("ETag", format!("W/\"{cid}.car\"")))
        );
    }
}
