//! The fields a miner sends with a share, parsed once at the edge.

use crate::hex_fields::exactly;
use crate::{EXTRANONCE2_BYTES, Extranonce, Extranonce1};

/// Why a submitted field cannot be read. Lengths are exact: padding and truncation are how duplicates were smuggled past
/// other pools (miningcore #710, node-stratum-pool #16), and p2poolv2 let an over-long extranonce2 carry its own coinbase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FieldError {
    /// Extranonce2 of another length, or not hex.
    #[error("extranonce2 must be {} hex digits", EXTRANONCE2_BYTES * 2)]
    Extranonce2,
    /// ntime of another length, or not hex.
    #[error("ntime must be 8 hex digits")]
    Ntime,
    /// nonce of another length, or not hex.
    #[error("nonce must be 8 hex digits")]
    Nonce,
    /// Version bits of another length, or not hex.
    #[error("version bits must be 8 hex digits")]
    VersionBits,
}

/// What distinguishes one share of a job from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShareFields {
    /// Extranonce1 and extranonce2.
    pub extranonce: Extranonce,
    /// The header's time.
    pub ntime: u32,
    /// The header's nonce.
    pub nonce: u32,
    /// The rolled version bits, if the miner sent any (BIP310).
    pub version_bits: Option<u32>,
}

impl ShareFields {
    /// Parses the hex fields of `mining.submit`; upper and lower case are both fine.
    ///
    /// # Errors
    /// [`FieldError`] names the first field that is not of its exact form.
    pub fn parse(
        extranonce1: Extranonce1,
        extranonce2: &str,
        ntime: &str,
        nonce: &str,
        version_bits: Option<&str>,
    ) -> Result<Self, FieldError> {
        let extranonce2 = exactly(extranonce2).ok_or(FieldError::Extranonce2)?;
        Ok(Self {
            extranonce: Extranonce::join(extranonce1, extranonce2),
            ntime: exactly(ntime)
                .map(u32::from_be_bytes)
                .ok_or(FieldError::Ntime)?,
            nonce: exactly(nonce)
                .map(u32::from_be_bytes)
                .ok_or(FieldError::Nonce)?,
            version_bits: match version_bits {
                None => None,
                Some(text) => Some(
                    exactly(text)
                        .map(u32::from_be_bytes)
                        .ok_or(FieldError::VersionBits)?,
                ),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    const EN1: Extranonce1 = Extranonce1::from_u32(0x0800_0002);

    fn parse(
        en2: &str,
        ntime: &str,
        nonce: &str,
        bits: Option<&str>,
    ) -> Result<ShareFields, FieldError> {
        ShareFields::parse(EN1, en2, ntime, nonce, bits)
    }

    #[test]
    fn hex_case_does_not_matter_miningcore_710() {
        assert_eq!(
            parse("00000000000000ab", "504e86ed", "b2957c02", Some("0000e000")),
            parse("00000000000000AB", "504E86ED", "B2957C02", Some("0000E000"))
        );
    }

    #[test]
    fn over_long_and_short_extranonce2_p2poolv2() {
        for bad in [
            "",
            "00",
            "00000000000000000",
            "000000000000000",
            "000000000000000000",
            "0000000000000000ff",
        ] {
            assert_eq!(
                parse(bad, "504e86ed", "b2957c02", None),
                Err(FieldError::Extranonce2),
                "{bad}"
            );
        }
    }

    #[test]
    fn characters_that_are_not_hex_node_stratum_pool_16() {
        for bad in [
            "00000000000000zz",
            "0x00000000000000",
            " 000000000000000",
            "+000000000000000",
            "0000000000000\u{e9}",
        ] {
            assert_eq!(
                parse(bad, "504e86ed", "b2957c02", None),
                Err(FieldError::Extranonce2),
                "{bad}"
            );
        }
        assert_eq!(
            parse("0000000000000000", "504e86e", "b2957c02", None),
            Err(FieldError::Ntime)
        );
        assert_eq!(
            parse("0000000000000000", "504e86ed", "b2957c0202", None),
            Err(FieldError::Nonce)
        );
        assert_eq!(
            parse("0000000000000000", "504e86ed", "b2957c02", Some("2000")),
            Err(FieldError::VersionBits)
        );
    }

    proptest! {
        #[test]
        fn any_text_is_answered(a in ".{0,40}", b in ".{0,12}", c in ".{0,12}", d in proptest::option::of(".{0,12}")) {
            let _ = parse(&a, &b, &c, d.as_deref());
        }
    }
}
