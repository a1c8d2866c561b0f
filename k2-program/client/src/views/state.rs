//! Everything but the configuration.

use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, Txid};
use k2_interface::K2Address;
use k2_interface::bitcoin::Network;
use k2_interface::state::{self, OperatorState, ProposalState, RedemptionState};
use serde::Serialize;

use super::{ScriptView, cid, hex, key, network_name};

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
