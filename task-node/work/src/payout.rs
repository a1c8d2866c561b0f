//! The script block rewards are paid to.

use std::fmt;
use std::str::FromStr;

use bitcoin::address::NetworkUnchecked;
use bitcoin::{Address, Network, ScriptBuf};
use miniscript::{DefiniteDescriptorKey, Descriptor};

/// Why a text does not say where block rewards go.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PayoutError {
    /// Neither an address nor a descriptor. The text is not repeated: a mistyped descriptor may hold a private key, and
    /// errors are logged.
    #[error(
        "the payout is neither a Bitcoin address nor one public output descriptor without wildcards: \
         check it with `bitcoin-cli validateaddress` or `bitcoin-cli getdescriptorinfo`"
    )]
    Unreadable,
    /// An address of another network.
    #[error("the payout address {0} is not for {1}: give an address of that network")]
    WrongNetwork(String, Network),
    /// A descriptor with a secret in it.
    #[error("the payout descriptor holds a private key: give its public form")]
    Secret,
}

/// The script of the pool's custody, checked against the network it is for.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PayoutScript(ScriptBuf);

impl PayoutScript {
    /// Reads a Bitcoin address of `network`, or a single output descriptor without wildcards (its checksum is verified
    /// where it has one).
    ///
    /// # Errors
    /// [`PayoutError`] says which of the two readings failed and how.
    pub fn parse(text: &str, network: Network) -> Result<Self, PayoutError> {
        let text = text.trim();
        if let Ok(address) = Address::<NetworkUnchecked>::from_str(text) {
            return address
                .require_network(network)
                .map(|address| Self(address.script_pubkey()))
                .map_err(|_| PayoutError::WrongNetwork(text.to_owned(), network));
        }
        if ["prv", "PRV"].iter().any(|secret| text.contains(secret)) {
            return Err(PayoutError::Secret);
        }
        Descriptor::<DefiniteDescriptorKey>::from_str(text)
            .map(|descriptor| Self(descriptor.script_pubkey()))
            .map_err(|_| PayoutError::Unreadable)
    }

    /// The script bytes.
    #[must_use]
    pub fn as_script(&self) -> &bitcoin::Script {
        &self.0
    }
}

impl fmt::Debug for PayoutScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PayoutScript({:x})", self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_and_descriptors() {
        // BIP173's example key hash, BIP86's first address by descriptor.
        let by_address = PayoutScript::parse(
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
            Network::Bitcoin,
        )
        .unwrap();
        let by_descriptor = PayoutScript::parse(
            "wpkh(0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798)",
            Network::Bitcoin,
        )
        .unwrap();
        assert_eq!(by_address, by_descriptor);
    }

    #[test]
    fn refusals() {
        assert!(matches!(
            PayoutScript::parse(
                "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
                Network::Regtest
            ),
            Err(PayoutError::WrongNetwork(..))
        ));
        for bad in [
            "",
            "nonsense",
            "wpkh(0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798)#aaaaaaaa",
            "wpkh(xpub661MyMwAqRbcFtXgS5sYJABqqG9YLmC4Q1Rdap9gSE8NqtwybGhePY2gZ29ESFjqJoCu1Rupje8YtGqsefD265TMg7usUDFdp6W1EGMcet8/*)",
        ] {
            assert!(
                matches!(
                    PayoutScript::parse(bad, Network::Bitcoin),
                    Err(PayoutError::Unreadable)
                ),
                "{bad}"
            );
        }
        let secret = "wpkh(xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi)";
        let error = PayoutScript::parse(secret, Network::Bitcoin).unwrap_err();
        assert!(!error.to_string().contains("xprv"));
    }
}
