//! The program's accounts as people and scripts read them: plain numbers, block and transaction ids as block explorers
//! write them, scripts with their address. What `--json` prints.

use bitcoin::hashes::Hash as _;
use bitcoin::hex::DisplayHex as _;
use bitcoin::{BlockHash, Txid};
use cid::Cid;
use k2_interface::K2Address;
use k2_interface::bitcoin::{Network, ScriptPubkey};
use k2_interface::state::{
    self, Config, CustodyScripts, OperatorState, PackedScript, Pause, ProposalState,
    RedemptionState,
};
use multihash::Multihash;
use serde::Serialize;

use crate::accounts::AnyAccount;

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

/// [`CustodyScripts`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CustodyView {
    /// Script of the pool's coinbases.
    pub coinbase: Option<ScriptView>,
    /// Script of deposits.
    pub deposit: Option<ScriptView>,
}

impl CustodyView {
    fn new(scripts: &CustodyScripts, network: Option<Network>) -> Self {
        Self {
            coinbase: ScriptView::new(&scripts.coinbase, network),
            deposit: ScriptView::new(&scripts.deposit, network),
        }
    }
}

/// [`Config`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // as in the layout
pub struct ConfigView {
    pub network: Option<&'static str>,
    pub paused: Vec<&'static str>,
    pub quorum: u8,
    pub authority: K2Address,
    pub pending_authority: Option<K2Address>,
    pub guardian: K2Address,
    pub mint: K2Address,
    pub vault: K2Address,
    pub escrow: K2Address,
    pub parameters: ParametersView,
    pub custody_epoch: u32,
    pub custody: CustodyView,
    pub previous_custody: CustodyView,
    pub previous_until_height: u32,
    pub pending_custody: Option<CustodyView>,
    pub pending_custody_slot: Option<u64>,
    pub window_start_height: u32,
    pub window_minted: u64,
    pub totals: TotalsView,
    pub rewards: Option<RewardsView>,
}

/// [`Parameters`](state::Parameters).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // as in the layout
pub struct ParametersView {
    pub deposit_confirmations: u32,
    pub mint_horizon: u32,
    pub mint_window_blocks: u32,
    pub redeem_expiry_blocks: u32,
    pub custody_grace_blocks: u32,
    pub mint_window_cap: u64,
    pub supply_cap: u64,
    pub redeem_min: u64,
    pub challenge_slots: u64,
    pub custody_delay_slots: u64,
    pub unbonding_slots: u64,
    pub bond_lamports: u64,
}

/// [`Totals`](state::Totals), in sats.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // as in the layout
pub struct TotalsView {
    pub proved_in: u64,
    pub burned: u64,
    /// `proved_in - burned`.
    pub supply: Option<u64>,
    pub claimed: u64,
    pub escrowed: u64,
    pub redemptions: u64,
}

/// [`Rewards`](state::Rewards).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // as in the layout
pub struct RewardsView {
    pub finalized: u64,
    pub round: u64,
    pub total: u64,
    pub leaf_count: u32,
    pub root: String,
    pub list: Option<String>,
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

impl From<&Config> for ConfigView {
    fn from(config: &Config) -> Self {
        let network = Network::try_from(config.network).ok();
        let paused = [
            (Pause::Mint, "mint"),
            (Pause::Rounds, "rounds"),
            (Pause::Claim, "claim"),
            (Pause::Redeem, "redeem"),
        ];
        let (custody, parameters) = (&config.custody, &config.parameters);
        let (totals, rewards) = (&config.totals, &config.rewards);
        let pending = (custody.pending_slot.get() != 0).then_some(custody.pending_slot.get());
        Self {
            network: network.map(network_name),
            paused: paused
                .into_iter()
                .filter(|(pause, _)| config.is_paused(*pause))
                .map(|(_, name)| name)
                .collect(),
            quorum: config.quorum,
            authority: config.authority,
            pending_authority: key(config.pending_authority),
            guardian: config.guardian,
            mint: config.mint,
            vault: config.vault,
            escrow: config.escrow,
            parameters: ParametersView {
                deposit_confirmations: parameters.deposit_confirmations.get(),
                mint_horizon: parameters.mint_horizon.get(),
                mint_window_blocks: parameters.mint_window_blocks.get(),
                redeem_expiry_blocks: parameters.redeem_expiry_blocks.get(),
                custody_grace_blocks: parameters.custody_grace_blocks.get(),
                mint_window_cap: parameters.mint_window_cap.get(),
                supply_cap: parameters.supply_cap.get(),
                redeem_min: parameters.redeem_min.get(),
                challenge_slots: parameters.challenge_slots.get(),
                custody_delay_slots: parameters.custody_delay_slots.get(),
                unbonding_slots: parameters.unbonding_slots.get(),
                bond_lamports: parameters.bond_lamports.get(),
            },
            custody_epoch: custody.epoch.get(),
            custody: CustodyView::new(&custody.active, network),
            previous_custody: CustodyView::new(&custody.previous, network),
            previous_until_height: custody.previous_until.get(),
            pending_custody: pending.map(|_| CustodyView::new(&custody.pending, network)),
            pending_custody_slot: pending,
            window_start_height: config.window.start_height.get(),
            window_minted: config.window.minted.get(),
            totals: TotalsView {
                proved_in: totals.proved_in.get(),
                burned: totals.burned.get(),
                supply: config.supply(),
                claimed: totals.claimed.get(),
                escrowed: totals.escrowed.get(),
                redemptions: totals.redemptions.get(),
            },
            rewards: (rewards.finalized.get() > 0).then(|| RewardsView {
                finalized: rewards.finalized.get(),
                round: rewards.round.get(),
                total: rewards.total.get(),
                leaf_count: rewards.leaf_count.get(),
                root: hex(&rewards.root),
                list: cid(&rewards.list),
            }),
        }
    }
}

/// [`OperatorSet`](state::OperatorSet).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // as in the layout
pub struct OperatorsView {
    pub count: u8,
    pub operators: Vec<OperatorView>,
}

/// A taken place of the operators' set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // as in the layout
pub struct OperatorView {
    pub index: usize,
    pub operator: K2Address,
    pub joined_slot: u64,
}

impl From<&state::OperatorSet> for OperatorsView {
    fn from(set: &state::OperatorSet) -> Self {
        Self {
            count: set.count,
            operators: set
                .slots
                .iter()
                .enumerate()
                .filter_map(|(index, slot)| {
                    key(slot.operator).map(|operator| OperatorView {
                        index,
                        operator,
                        joined_slot: slot.joined_slot.get(),
                    })
                })
                .collect(),
        }
    }
}

/// [`Relay`](state::Relay), without its ring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // as in the layout
pub struct RelayView {
    pub network: Option<&'static str>,
    pub tip_height: u32,
    pub tip_hash: Option<BlockHash>,
    pub tip_time: Option<u32>,
    /// In decimal: it exceeds what JSON numbers are read as.
    pub chain_work: Option<String>,
    pub oldest_height: u32,
}

impl From<&state::Relay> for RelayView {
    fn from(relay: &state::Relay) -> Self {
        let tip = relay.entry(relay.tip_height.get());
        Self {
            network: Network::try_from(relay.network).ok().map(network_name),
            tip_height: relay.tip_height.get(),
            tip_hash: tip.map(|entry| BlockHash::from_byte_array(entry.hash)),
            tip_time: tip.map(|entry| entry.time.get()),
            chain_work: tip.map(|entry| entry.chain_work.get().to_string()),
            oldest_height: relay.oldest_height.get(),
        }
    }
}

/// [`Fork`](state::Fork), without its blocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // as in the layout
pub struct ForkView {
    pub payer: K2Address,
    pub base_height: u32,
    pub base_hash: BlockHash,
    pub count: u32,
    pub opened_slot: u64,
}

/// [`Cursor`](state::Cursor).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // as in the layout
pub struct CursorView {
    pub payer: K2Address,
    pub id: u32,
    pub height: u32,
    pub hash: BlockHash,
}

/// [`Buffer`](state::Buffer), without its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // as in the layout
pub struct BufferView {
    pub payer: K2Address,
    pub id: u32,
    pub length: u32,
    pub written: u32,
    pub sha256: String,
}

/// [`Record`](state::Record).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // as in the layout
pub struct RecordView {
    pub payer: K2Address,
    pub txid: Txid,
    pub vout: u32,
    pub height: u32,
    pub value: u64,
}

impl From<&state::Record> for RecordView {
    fn from(record: &state::Record) -> Self {
        Self {
            payer: record.payer,
            txid: Txid::from_byte_array(record.txid),
            vout: record.vout.get(),
            height: record.height.get(),
            value: record.value.get(),
        }
    }
}

/// [`Operator`](state::Operator).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // as in the layout
pub struct BondView {
    pub operator: K2Address,
    pub bond: u64,
    pub joined_slot: u64,
    pub left_slot: Option<u64>,
    pub index: u8,
    pub state: &'static str,
}

impl From<&state::Operator> for BondView {
    fn from(bond: &state::Operator) -> Self {
        let active = bond.state == OperatorState::Active as u8;
        Self {
            operator: bond.operator,
            bond: bond.bond.get(),
            joined_slot: bond.joined_slot.get(),
            left_slot: (!active).then_some(bond.left_slot.get()),
            index: bond.index,
            state: if active { "active" } else { "leaving" },
        }
    }
}

/// [`Proposal`](state::Proposal).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // as in the layout
pub struct ProposalView {
    pub round: u64,
    pub proposer: K2Address,
    pub root: String,
    pub previous_root: Option<String>,
    pub list: Option<String>,
    pub total: u64,
    pub leaf_count: u32,
    pub proposed_slot: u64,
    pub quorum_slot: Option<u64>,
    /// Places of the operators' set.
    pub votes: Vec<u8>,
    pub state: &'static str,
}

impl From<&state::Proposal> for ProposalView {
    fn from(proposal: &state::Proposal) -> Self {
        let votes = proposal.votes.get();
        Self {
            round: proposal.round.get(),
            proposer: proposal.proposer,
            root: hex(&proposal.root),
            previous_root: (proposal.previous_root != [0; 32])
                .then(|| hex(&proposal.previous_root)),
            list: cid(&proposal.list),
            total: proposal.total.get(),
            leaf_count: proposal.leaf_count.get(),
            proposed_slot: proposal.proposed_slot.get(),
            quorum_slot: (proposal.quorum_slot.get() > 0).then_some(proposal.quorum_slot.get()),
            votes: (0..32).filter(|place| votes >> place & 1 == 1).collect(),
            state: match proposal.state {
                state if state == ProposalState::Open as u8 => "open",
                state if state == ProposalState::Finalized as u8 => "finalized",
                state if state == ProposalState::Vetoed as u8 => "vetoed",
                _ => "unknown",
            },
        }
    }
}

/// [`Ledger`](state::Ledger).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // as in the layout
pub struct LedgerView {
    pub owner: K2Address,
    pub role: &'static str,
    pub claimed: u64,
}

/// The word for a role.
#[must_use]
pub const fn role_name(role: k2_interface::Role) -> &'static str {
    match role {
        k2_interface::Role::Miner => "miner",
        k2_interface::Role::Operator => "operator",
    }
}

/// [`Redemption`](state::Redemption).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // as in the layout
pub struct RedemptionView {
    pub id: u64,
    pub owner: K2Address,
    pub payer: K2Address,
    pub amount: u64,
    pub max_fee: u64,
    pub requested_height: u32,
    pub expires_height: u32,
    pub script: Option<ScriptView>,
    pub state: &'static str,
    pub payout_txid: Option<Txid>,
    pub payout_vout: Option<u32>,
    pub paid: Option<u64>,
}

impl RedemptionView {
    /// A redemption on this network.
    #[must_use]
    pub fn new(redemption: &state::Redemption, network: Option<Network>) -> Self {
        let settled = redemption.state == RedemptionState::Settled as u8;
        Self {
            id: redemption.id.get(),
            owner: redemption.owner,
            payer: redemption.payer,
            amount: redemption.amount.get(),
            max_fee: redemption.max_fee.get(),
            requested_height: redemption.requested_height.get(),
            expires_height: redemption.expires_height.get(),
            script: ScriptView::new(&redemption.script, network),
            state: match redemption.state {
                state if state == RedemptionState::Open as u8 => "open",
                state if state == RedemptionState::Settled as u8 => "settled",
                state if state == RedemptionState::Refunded as u8 => "refunded",
                _ => "unknown",
            },
            payout_txid: settled.then(|| Txid::from_byte_array(redemption.payout_txid)),
            payout_vout: settled.then_some(redemption.payout_vout.get()),
            paid: settled.then_some(redemption.paid.get()),
        }
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
