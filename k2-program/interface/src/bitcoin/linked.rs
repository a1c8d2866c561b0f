//! Headers that follow one another, each but the first without its predecessor's hash: that one is known. So eleven fit a
//! transaction of 1,232 bytes whose payer and authority are two.
//!
//! ```text
//! header 80 | ( version 4 | merkle root 32 | time 4 | bits 4 | nonce 4 ) *
//! ```

use alloc::vec::Vec;

use super::Hash;
use super::header::{HEADER_LEN, ParseHeaderError};

/// Length of a header without its predecessor's hash.
pub const LINK_LEN: usize = HEADER_LEN - 32;

/// The first header, and what the others say besides what they follow.
///
/// # Errors
/// [`ParseHeaderError`] where there is no whole number of them.
pub fn split(bytes: &[u8]) -> Result<(&[u8; HEADER_LEN], &[[u8; LINK_LEN]]), ParseHeaderError> {
    let Some((first, links)) = bytes.split_first_chunk() else {
        return Err(if bytes.is_empty() {
            ParseHeaderError::Empty
        } else {
            ParseHeaderError::Length
        });
    };
    match links.as_chunks() {
        (links, []) => Ok((first, links)),
        _ => Err(ParseHeaderError::Length),
    }
}

/// The header that says this and follows the block with this hash.
#[must_use]
pub fn header(prev_hash: &Hash, link: &[u8; LINK_LEN]) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    let (version, rest) = link.split_at(4);
    header[..4].copy_from_slice(version);
    header[4..36].copy_from_slice(prev_hash);
    header[36..].copy_from_slice(rest);
    header
}

/// Leaves out what can be known. That the headers follow one another is for the caller to know: otherwise others are read
/// than were written. For the host: it allocates.
#[must_use]
pub fn encode(headers: &[[u8; HEADER_LEN]]) -> Vec<u8> {
    let Some((first, others)) = headers.split_first() else {
        return Vec::new();
    };
    let mut bytes = first.to_vec();
    for header in others {
        bytes.extend_from_slice(&header[..4]);
        bytes.extend_from_slice(&header[36..]);
    }
    bytes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::{LINK_LEN, encode, header, split};
    use crate::bitcoin::header::{HEADER_LEN, ParseHeaderError};

    proptest! {
        #[test]
        fn headers_are_read_as_they_were_written(
            headers in prop::collection::vec(prop::collection::vec(any::<u8>(), HEADER_LEN), 1..20)
        ) {
            let headers: Vec<[u8; HEADER_LEN]> = headers.iter().map(|header| header[..].try_into().unwrap()).collect();
            let bytes = encode(&headers);
            prop_assert_eq!(bytes.len(), HEADER_LEN + (headers.len() - 1) * LINK_LEN);
            let (first, links) = split(&bytes).unwrap();
            prop_assert_eq!(first, &headers[0]);
            prop_assert_eq!(links.len(), headers.len() - 1);
            for (link, wanted) in links.iter().zip(&headers[1..]) {
                let prev_hash = wanted[4..36].try_into().unwrap();
                prop_assert_eq!(&header(&prev_hash, link), wanted);
            }
        }

        #[test]
        fn only_whole_headers_are_read(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
            let whole = bytes.len() >= HEADER_LEN && (bytes.len() - HEADER_LEN).is_multiple_of(LINK_LEN);
            prop_assert_eq!(split(&bytes).is_ok(), whole);
        }
    }

    #[test]
    fn none_is_not_cut_short() {
        assert_eq!(split(&[]), Err(ParseHeaderError::Empty));
        assert_eq!(split(&[0; 79]), Err(ParseHeaderError::Length));
        assert_eq!(split(&[0; 160]), Err(ParseHeaderError::Length));
        assert!(encode(&[]).is_empty());
    }
}
