//! The program's accounts as people and scripts read them: plain numbers, block and transaction ids as block explorers
//! write them, scripts with their address. What `--json` prints.

mod config;
mod state;

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use bitcoin::hex::DisplayHex as _;
use cid::Cid;
use k2_interface::K2Address;
use k2_interface::bitcoin::{Network, ScriptPubkey};
use k2_interface::state::PackedScript;
use multihash::Multihash;
use serde::Serialize;

use crate::accounts::AnyAccount;

pub use config::{ConfigView, CustodyView, ParametersView, RewardsView, TotalsView};
pub use state::{
    BondView, BufferView, CursorView, ForkView, LedgerView, OperatorView, OperatorsView,
    ProposalView, RecordView, RedemptionView, RelayView,
};

/// DAG-CBOR, in the multicodec table.
const DAG_CBOR: u64 = 0x71;
/// SHA2-256, in the multicodec table.
const SHA2_256: u64 = 0x12;

/// The CID of the reward list with this SHA-256 digest: version 1, dag-cbor.
#[must_use]
pub fn list_cid(digest: &[u8; 32]) -> Option<Cid> {
    let hash = Multihash::wrap(SHA2_256, digest).ok()?;
    Some(Cid::new_v1(DAG_CBOR, hash))
}

/// The SHA-256 digest in a reward list's CID; `None` where it is no dag-cbor CID of version 1 with SHA-256.
#[must_use]
pub fn list_digest(cid: &Cid) -> Option<[u8; 32]> {
    let known = cid.version() == cid::Version::V1
        && cid.codec() == DAG_CBOR
        && cid.hash().code() == SHA2_256;
    known.then(|| cid.hash().digest().try_into().ok())?
}

/// The program's network as rust-bitcoin calls it.
#[must_use]
pub const fn bitcoin_network(network: Network) -> bitcoin::Network {
    match network {
        Network::Main => bitcoin::Network::Bitcoin,
        Network::Testnet4 => bitcoin::Network::Testnet4,
        Network::Signet => bitcoin::Network::Signet,
        Network::Regtest => bitcoin::Network::Regtest,
    }
}

/// rust-bitcoin's network as the program knows it; `None` where it does not.
#[must_use]
pub const fn program_network(network: bitcoin::Network) -> Option<Network> {
    match network {
        bitcoin::Network::Bitcoin => Some(Network::Main),
        bitcoin::Network::Testnet4 => Some(Network::Testnet4),
        bitcoin::Network::Signet => Some(Network::Signet),
        bitcoin::Network::Regtest => Some(Network::Regtest),
        bitcoin::Network::Testnet => None,
    }
}

/// An output script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScriptView {
    /// Its bytes in hex.
    pub hex: String,
    /// Its address, where the network is known.
    pub address: Option<String>,
}

impl ScriptView {
    /// `None` for the empty script.
    #[must_use]
    pub fn new(packed: &PackedScript, network: Option<Network>) -> Option<Self> {
        let script = ScriptPubkey::from_packed(packed).ok()?;
        let address = network.and_then(|network| {
            let script = bitcoin::Script::from_bytes(script.as_bytes());
            bitcoin::Address::from_script(script, bitcoin_network(network)).ok()
        });
        Some(Self {
            hex: script.as_bytes().to_lower_hex_string(),
            address: address.map(|address| address.to_string()),
        })
    }
}

fn key(key: K2Address) -> Option<K2Address> {
    (*key.as_bytes() != [0; 32]).then_some(key)
}

fn hex(bytes: &[u8; 32]) -> String {
    bytes.to_lower_hex_string()
}

fn cid(digest: &[u8; 32]) -> Option<String> {
    list_cid(digest).map(|cid| cid.to_string())
}

/// A signature in base58, or null.
pub(crate) fn signature<S: serde::Serializer>(
    signature: &Option<solana_signature::Signature>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match signature {
        Some(signature) => serializer.collect_str(signature),
        None => serializer.serialize_none(),
    }
}

/// The word for a network.
#[must_use]
pub const fn network_name(network: Network) -> &'static str {
    match network {
        Network::Main => "main",
        Network::Testnet4 => "testnet4",
        Network::Signet => "signet",
        Network::Regtest => "regtest",
    }
}

/// The word for a role.
#[must_use]
pub const fn role_name(role: k2_interface::Role) -> &'static str {
    match role {
        k2_interface::Role::Miner => "miner",
        k2_interface::Role::Operator => "operator",
    }
}

/// Any account of the program, and the token accounts it moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[allow(missing_docs)] // as in the layouts
#[allow(clippy::large_enum_variant)] // short-lived
#[non_exhaustive]
pub enum AccountView {
    Config(ConfigView),
    Operators(OperatorsView),
    Relay(RelayView),
    Fork(ForkView),
    Cursor(CursorView),
    Buffer(BufferView),
    Deposit(RecordView),
    Payout(RecordView),
    Operator(BondView),
    Proposal(ProposalView),
    Ledger(LedgerView),
    Redemption(RedemptionView),
    Token(crate::accounts::TokenAccount),
    Mint(crate::accounts::Mint),
    /// Anything else: its owner and its length.
    Other {
        owner: K2Address,
        bytes: usize,
    },
}

impl AccountView {
    /// An account of the program. `network`: whose addresses scripts are shown as.
    #[must_use]
    pub fn new(account: &AnyAccount, network: Option<Network>) -> Self {
        match account {
            AnyAccount::Config(config) => Self::Config(config.into()),
            AnyAccount::Operators(set) => Self::Operators(set.into()),
            AnyAccount::Relay(relay) => Self::Relay((&**relay).into()),
            AnyAccount::Fork(fork) => Self::Fork(ForkView {
                payer: fork.payer,
                base_height: fork.base_height.get(),
                base_hash: BlockHash::from_byte_array(fork.base_hash),
                count: fork.count.get(),
                opened_slot: fork.opened_slot.get(),
            }),
            AnyAccount::Cursor(cursor) => Self::Cursor(CursorView {
                payer: cursor.payer,
                id: cursor.id.get(),
                height: cursor.height.get(),
                hash: BlockHash::from_byte_array(cursor.hash),
            }),
            AnyAccount::Buffer(buffer) => Self::Buffer(BufferView {
                payer: buffer.payer,
                id: buffer.id.get(),
                length: buffer.length.get(),
                written: buffer.written.get(),
                sha256: hex(&buffer.sha256),
            }),
            AnyAccount::Deposit(record) => Self::Deposit(record.into()),
            AnyAccount::Payout(record) => Self::Payout(record.into()),
            AnyAccount::Operator(bond) => Self::Operator(bond.into()),
            AnyAccount::Proposal(proposal) => Self::Proposal(proposal.into()),
            AnyAccount::Ledger(ledger) => Self::Ledger(LedgerView {
                owner: ledger.owner,
                role: k2_interface::Role::try_from(ledger.role).map_or("unknown", role_name),
                claimed: ledger.claimed.get(),
            }),
            AnyAccount::Redemption(redemption) => {
                Self::Redemption(RedemptionView::new(redemption, network))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_lists_cid_is_read_back() {
        let cid = list_cid(&[7; 32]).unwrap();
        assert!(cid.to_string().starts_with("bafyrei"), "{cid}");
        assert_eq!(list_digest(&cid), Some([7; 32]));
        let raw = Cid::new_v1(0x55, *cid.hash());
        assert_eq!(list_digest(&raw), None);
    }

    #[test]
    fn networks_are_the_same_on_both_sides() {
        for network in Network::ALL {
            assert_eq!(program_network(bitcoin_network(network)), Some(network));
        }
        assert_eq!(program_network(bitcoin::Network::Testnet), None);
    }

    #[test]
    fn a_script_is_shown_with_its_address() {
        let address = "bcrt1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqdku202";
        let mut packed = crate::NO_SCRIPT;
        packed[0] = 22;
        packed[2] = 20;
        let view = ScriptView::new(&packed, Some(Network::Regtest)).unwrap();
        assert_eq!(view.hex, format!("0014{}", "00".repeat(20)));
        assert_eq!(view.address.as_deref(), Some(address));
        assert_eq!(ScriptView::new(&crate::NO_SCRIPT, None), None);
    }
}
