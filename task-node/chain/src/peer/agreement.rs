//! One template out of several peers' offers, such that no single liar can make it invalid.
//!
//! A transaction's fee and signature operations depend on the coins it spends, which this node does not have. So it is
//! taken only as at least `quorum` peers list it, witness, fee and operations alike. At least one of them is then honest
//! (fewer than `quorum` lie), and an honest list is one its own node would accept: what a transaction spends is confirmed or
//! stands before it there. Two honest lists may contradict each other, since memory pools differ; the spent-twice check is
//! for that.

use std::collections::{HashMap, HashSet};

use bitcoin::{
    Amount, BlockHash, CompactTarget, Network, OutPoint, Txid, Wtxid,
    hashes::{Hash as _, HashEngine as _, sha256d},
};
use work::{TemplateParts, block_subsidy, merkle};

use super::offer::{Offer, OfferedTransaction};

/// Core `DEFAULT_BLOCK_RESERVED_WEIGHT` keeps 8000 units of 4,000,000 for header and coinbase.
const MAX_WEIGHT: u64 = 4_000_000 - 8_000;

/// `MAX_BLOCK_SIGOPS_COST` (80,000) less what Core reserves for a coinbase.
const MAX_SIGOPS: u64 = 80_000 - 400;

/// BIP9's version without a signal: which deployments to signal for is nothing that peers decide.
const VERSION: i32 = 0x2000_0000;

/// OP_RETURN, a push of 36 bytes, BIP141's commitment header.
const COMMITMENT_PREFIX: [u8; 6] = [0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];

/// What the header chain says of the block to be mined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextBlock {
    /// The chain, for the subsidy.
    pub network: Network,
    /// Its height.
    pub height: u32,
    /// The block it builds on.
    pub prev_hash: BlockHash,
    /// Its target.
    pub bits: CompactTarget,
    /// The lowest time it may carry, Unix seconds.
    pub min_time: u32,
    /// Now, Unix seconds.
    pub cur_time: u32,
}

/// A template that a quorum vouches for.
#[derive(Debug, Clone)]
pub struct Agreed {
    /// For [`work::BlockTemplate::new`].
    pub parts: TemplateParts,
    /// What it pays above the subsidy.
    pub fees: Amount,
    /// Offers of this very tip.
    pub offers: usize,
}

/// Joins offers. Those for another tip are left out; with fewer than `quorum` left the block is empty, which can be checked
/// entirely.
#[must_use]
pub fn agree(offers: &[&Offer], quorum: usize, next: &NextBlock) -> Agreed {
    let offers: Vec<&Offer> = offers
        .iter()
        .copied()
        .filter(|offer| offer.prev_hash == next.prev_hash)
        .collect();
    let mut selection = Selection::new(&offers, quorum.max(1));
    for offer in &offers {
        for transaction in &offer.transactions {
            selection.consider(transaction);
        }
    }
    let Selection { taken, fees, .. } = selection;
    let commitment = witness_commitment(&taken);
    let parts = TemplateParts {
        height: next.height,
        prev_hash: next.prev_hash.to_byte_array(),
        version: VERSION,
        nbits: next.bits.to_consensus(),
        min_time: next.min_time,
        cur_time: next.cur_time.max(next.min_time),
        coinbase_value: block_subsidy(next.network, next.height)
            .to_sat()
            .saturating_add(fees),
        transactions: taken.iter().map(|taken| taken.raw.clone()).collect(),
        witness_commitment_script: Some([&COMMITMENT_PREFIX[..], &commitment].concat()),
    };
    Agreed {
        parts,
        fees: Amount::from_sat(fees),
        offers: offers.len(),
    }
}

/// Everything by which listings of one transaction can differ.
type Listing = (Wtxid, Amount, u64);

fn listing(transaction: &OfferedTransaction) -> Listing {
    (
        transaction.wtxid,
        transaction.cost.fee,
        transaction.cost.sigops,
    )
}

struct Selection<'a> {
    quorum: usize,
    votes: HashMap<Listing, usize>,
    /// Everything anybody lists: an input of one of these is unconfirmed.
    listed: HashSet<Txid>,
    taken: Vec<&'a OfferedTransaction>,
    taken_ids: HashSet<Txid>,
    spent: HashSet<OutPoint>,
    weight: u64,
    sigops: u64,
    fees: u64,
}

impl<'a> Selection<'a> {
    fn new(offers: &[&Offer], quorum: usize) -> Self {
        let mut votes = HashMap::new();
        let mut listed = HashSet::new();
        for transaction in offers.iter().flat_map(|offer| &offer.transactions) {
            *votes.entry(listing(transaction)).or_insert(0) += 1;
            listed.insert(transaction.txid);
        }
        Self {
            quorum,
            votes,
            listed,
            taken: Vec::new(),
            taken_ids: HashSet::new(),
            spent: HashSet::new(),
            weight: 0,
            sigops: 0,
            fees: 0,
        }
    }

    fn consider(&mut self, transaction: &'a OfferedTransaction) {
        let votes = self.votes.get(&listing(transaction)).copied().unwrap_or(0);
        if votes < self.quorum || self.taken_ids.contains(&transaction.txid) {
            return;
        }
        let parents_taken = transaction.spends.iter().all(|spent| {
            !self.listed.contains(&spent.txid) || self.taken_ids.contains(&spent.txid)
        });
        let conflicts = transaction
            .spends
            .iter()
            .any(|spent| self.spent.contains(spent));
        let weight = self.weight.saturating_add(transaction.weight);
        let sigops = self.sigops.saturating_add(transaction.cost.sigops);
        let fees = self.fees.saturating_add(transaction.cost.fee.to_sat());
        if !parents_taken
            || conflicts
            || weight > MAX_WEIGHT
            || sigops > MAX_SIGOPS
            // With the subsidy on top it stays below what any amount may be.
            || fees > Amount::MAX_MONEY.to_sat() / 2
        {
            return;
        }
        (self.weight, self.sigops, self.fees) = (weight, sigops, fees);
        self.spent.extend(&transaction.spends);
        self.taken_ids.insert(transaction.txid);
        self.taken.push(transaction);
    }
}

/// BIP141: the coinbase counts as 32 zero bytes, and its reserved value is 32 zero bytes too.
fn witness_commitment(transactions: &[&OfferedTransaction]) -> [u8; 32] {
    let wtxids: Vec<merkle::Hash> = transactions
        .iter()
        .map(|transaction| transaction.wtxid.to_byte_array())
        .collect();
    let root = merkle::root_from_branch([0; 32], &merkle::coinbase_branch(&wtxids));
    let mut engine = sha256d::Hash::engine();
    engine.input(&root);
    engine.input(&[0; 32]);
    sha256d::Hash::from_engine(engine).to_byte_array()
}

#[cfg(test)]
#[path = "agreement_tests.rs"]
mod tests;
