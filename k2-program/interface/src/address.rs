//! K2 addresses: ed25519 public keys, written in base58 as on Solana.

use core::fmt;
use core::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The longest base58 form of 32 bytes.
const MAX_BASE58: usize = 44;

/// Why a text is not a K2 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressError {
    /// A character outside the Bitcoin base58 alphabet.
    NotBase58,
    /// Not 32 bytes once decoded.
    WrongLength,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotBase58 => "not base58: a K2 address has no 0, O, I, l or punctuation",
            Self::WrongLength => "not 32 bytes in base58: a K2 address has 32 to 44 characters",
        })
    }
}

impl core::error::Error for AddressError {}

/// The 32 bytes of a K2 address.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    BorshSerialize,
    BorshDeserialize,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(transparent)]
pub struct K2Address([u8; 32]);

impl K2Address {
    /// The address with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for K2Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Base58 decoding is quadratic, so length is checked before anything else.
        if text.len() < 32 || text.len() > MAX_BASE58 {
            return Err(AddressError::WrongLength);
        }
        let mut bytes = [0; 32];
        match bs58::decode(text).onto(&mut bytes) {
            Ok(32) => Ok(Self(bytes)),
            Ok(_) | Err(bs58::decode::Error::BufferTooSmall) => Err(AddressError::WrongLength),
            Err(_) => Err(AddressError::NotBase58),
        }
    }
}

impl fmt::Display for K2Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; MAX_BASE58];
        let length = bs58::encode(&self.0)
            .onto(&mut text[..])
            .map_err(|_| fmt::Error)?;
        f.pad(core::str::from_utf8(&text[..length]).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for K2Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "K2Address({self})")
    }
}

#[cfg(feature = "serde")]
mod with_serde {
    use core::fmt;

    use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
    use serde::ser::{Serialize, Serializer};

    use super::K2Address;

    /// Base58 text where people read it, 32 bytes elsewhere.
    impl Serialize for K2Address {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            if serializer.is_human_readable() {
                serializer.collect_str(self)
            } else {
                serializer.serialize_bytes(&self.0)
            }
        }
    }

    impl<'de> Deserialize<'de> for K2Address {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            if deserializer.is_human_readable() {
                deserializer.deserialize_str(AddressVisitor)
            } else {
                deserializer.deserialize_bytes(AddressVisitor)
            }
        }
    }

    struct AddressVisitor;

    impl<'de> Visitor<'de> for AddressVisitor {
        type Value = K2Address;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a K2 address: 32 bytes, or their base58 form")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            text.parse().map_err(E::custom)
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
            <[u8; 32]>::try_from(bytes)
                .map(K2Address)
                .map_err(|_| E::invalid_length(bytes.len(), &self))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut bytes = [0; 32];
            for (index, byte) in bytes.iter_mut().enumerate() {
                *byte = seq
                    .next_element()?
                    .ok_or_else(|| A::Error::invalid_length(index, &"32 bytes"))?;
            }
            if seq.next_element::<u8>()?.is_some() {
                return Err(A::Error::invalid_length(33, &"32 bytes"));
            }
            Ok(K2Address(bytes))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::string::ToString;

    use proptest::prelude::*;

    use crate::{AddressError, K2Address};

    #[test]
    fn known_addresses() {
        let system: K2Address = "11111111111111111111111111111111".parse().unwrap();
        assert_eq!(system.as_bytes(), &[0; 32]);
        let kpl = "KPLTRVs6jA7QTthuJH2cEmyCEskFbSV2xpZw46cganN";
        assert_eq!(kpl.parse::<K2Address>().unwrap().to_string(), kpl);
    }

    #[test]
    fn refusals() {
        for (text, error) in [
            ("", AddressError::WrongLength),
            ("1111111111111111111111111111111", AddressError::WrongLength),
            (
                "0PLTRVs6jA7QTthuJH2cEmyCEskFbSV2xpZw46cganN",
                AddressError::NotBase58,
            ),
            (
                "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
                AddressError::WrongLength,
            ),
        ] {
            assert_eq!(text.parse::<K2Address>(), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn round_trips(bytes: [u8; 32]) {
            let address = K2Address::from_bytes(bytes);
            prop_assert_eq!(address.to_string().parse::<K2Address>(), Ok(address));
            #[cfg(feature = "serde")]
            {
                let json = serde_json::to_string(&address).unwrap();
                prop_assert_eq!(serde_json::from_str::<K2Address>(&json).unwrap(), address);
            }
        }

        #[test]
        fn any_text_is_answered(text in ".{0,60}") {
            let _ = text.parse::<K2Address>();
        }
    }
}
