//! What the pool's state must be, in plain sets and maps.

use std::collections::{BTreeMap, BTreeSet};

use k2_interface::instruction::RoundRoot;
use k2_interface::state::{CustodyScripts, PackedScript};
use solana_pubkey::Pubkey;

use super::{CHALLENGE, CONFIRMATIONS, HORIZON, WINDOW_BLOCKS, WINDOW_CAP};
use crate::rewards::RewardList;
use crate::scripts;

/// A Bitcoin output: transaction and number.
pub(super) type Outpoint = ([u8; 32], u32);

/// An output that cannot be minted any more.
#[derive(Debug, Clone)]
pub(super) struct Used {
    pub(super) height: u32,
    /// Whether it was minted itself; else a deposit spent it.
    pub(super) minted: bool,
    pub(super) payer: Pubkey,
}

/// An operator's account.
#[derive(Debug, Clone, Copy)]
pub(super) struct Membership {
    pub(super) joined: u64,
    pub(super) left: Option<u64>,
}

/// A proposed root.
#[derive(Debug, Clone)]
pub(super) struct Proposed {
    pub(super) root: RoundRoot,
    pub(super) list: usize,
    pub(super) slot: u64,
    /// Who attests, and since when that operator was one.
    pub(super) voters: BTreeSet<(Pubkey, u64)>,
    pub(super) quorum_slot: Option<u64>,
    pub(super) stage: Stage,
}

/// How far a proposed root came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Open,
    Finalized,
    Vetoed,
}

/// The root in force.
#[derive(Debug, Clone)]
pub(super) struct InForce {
    pub(super) round: u64,
    pub(super) root: [u8; 32],
    pub(super) total: u64,
    pub(super) list: usize,
}

/// A redemption.
#[derive(Debug, Clone)]
pub(super) struct Redeeming {
    pub(super) owner: Pubkey,
    pub(super) amount: u64,
    pub(super) max_fee: u64,
    pub(super) script: PackedScript,
    pub(super) requested: u32,
    pub(super) expires: u32,
    pub(super) fate: Fate,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Open,
    Settled,
    Refunded,
    Closed,
}

/// The pool.
pub(super) struct Model {
    pub(super) paused: u8,
    pub(super) quorum: u8,
    pub(super) authority: Pubkey,
    pub(super) pending_authority: Option<Pubkey>,
    pub(super) guardian: Pubkey,
    pub(super) active: CustodyScripts,
    /// The scripts before, and the last height at which they count.
    pub(super) previous: Option<(CustodyScripts, u32)>,
    /// The scripts announced, and the slot from which they may come in force.
    pub(super) pending: Option<(CustodyScripts, u64)>,
    pub(super) window_start: u32,
    pub(super) window_minted: u64,
    pub(super) proved_in: u64,
    pub(super) burned: u64,
    pub(super) claimed: u64,
    pub(super) used: BTreeMap<Outpoint, Used>,
    /// Outputs that settled something: height and payer of the record.
    pub(super) payouts: BTreeMap<Outpoint, (u32, Pubkey)>,
    pub(super) operators: BTreeMap<Pubkey, Membership>,
    pub(super) proposals: BTreeMap<(u64, Pubkey), Proposed>,
    pub(super) lists: Vec<RewardList>,
    pub(super) rewards: Option<InForce>,
    /// The most that any finalized list ever gave somebody in a role.
    pub(super) best: BTreeMap<(u8, Pubkey), u64>,
    pub(super) ledgers: BTreeMap<(u8, Pubkey), u64>,
    pub(super) balances: BTreeMap<Pubkey, u64>,
    pub(super) redemptions: Vec<Redeeming>,
    /// The relay's oldest block.
    pub(super) oldest: u32,
}

impl Model {
    pub(super) fn new(authority: Pubkey, guardian: Pubkey, people: &[Pubkey]) -> Self {
        Self {
            paused: 0,
            quorum: 2,
            authority,
            pending_authority: None,
            guardian,
            active: CustodyScripts {
                coinbase: scripts::coinbase(),
                deposit: scripts::deposit(),
            },
            previous: None,
            pending: None,
            window_start: 0,
            window_minted: 0,
            proved_in: 0,
            burned: 0,
            claimed: 0,
            used: BTreeMap::new(),
            payouts: BTreeMap::new(),
            operators: BTreeMap::new(),
            proposals: BTreeMap::new(),
            lists: Vec::new(),
            rewards: None,
            best: BTreeMap::new(),
            ledgers: BTreeMap::new(),
            balances: people.iter().map(|owner| (*owner, 0)).collect(),
            redemptions: Vec::new(),
            oldest: 0,
        }
    }

    pub(super) fn is_paused(&self, what: k2_interface::state::Pause) -> bool {
        self.paused & what as u8 != 0
    }

    pub(super) fn open(&self) -> impl Iterator<Item = &Redeeming> {
        self.redemptions
            .iter()
            .filter(|redemption| redemption.fate == Fate::Open)
    }

    // ---- Bitcoin -----------------------------------------------------------------------------------------------------

    /// The highest tip there has been; before the ring is full, what fills it.
    const fn reached(&self) -> u32 {
        self.oldest + 191
    }

    pub(super) const fn is_below_horizon(&self, height: u32) -> bool {
        height + HORIZON < self.reached()
    }

    pub(super) const fn is_closable(&self, height: u32) -> bool {
        height + HORIZON + 24 < self.reached()
    }

    pub(super) fn honours_coinbase(&self, script: &PackedScript, height: u32) -> bool {
        let previous = self.previous.filter(|(_, until)| height <= *until);
        *script == self.active.coinbase
            || previous.is_some_and(|(previous, _)| *script == previous.coinbase)
    }

    pub(super) fn honours_deposit(&self, script: &PackedScript, height: u32) -> bool {
        let previous = self.previous.filter(|(_, until)| height <= *until);
        *script == self.active.deposit
            || previous.is_some_and(|(previous, _)| *script == previous.deposit)
    }

    /// Whether so much fits the mint window.
    pub(super) const fn fits_window(&self, tip: u32, sats: u64) -> bool {
        let ended = tip.saturating_sub(self.window_start) >= WINDOW_BLOCKS;
        let minted = if ended { 0 } else { self.window_minted };
        minted + sats <= WINDOW_CAP
    }

    /// So much is minted.
    pub(super) const fn mint(&mut self, tip: u32, sats: u64) {
        if tip.saturating_sub(self.window_start) >= WINDOW_BLOCKS {
            self.window_start = tip;
            self.window_minted = 0;
        }
        self.window_minted += sats;
        self.proved_in += sats;
    }

    pub(super) const fn has_payment_confirmations(tip: u32, height: u32) -> bool {
        tip >= height && tip - height + 1 >= CONFIRMATIONS
    }

    // ---- operators and rounds ----------------------------------------------------------------------------------------

    pub(super) fn active_operators(&self) -> impl Iterator<Item = &Pubkey> {
        self.operators
            .iter()
            .filter(|(_, membership)| membership.left.is_none())
            .map(|(key, _)| key)
    }

    pub(super) fn operator_count(&self) -> u8 {
        self.active_operators().count() as u8
    }

    /// The slot in which this active operator joined.
    pub(super) fn joined(&self, operator: &Pubkey) -> Option<u64> {
        let membership = self.operators.get(operator)?;
        membership.left.is_none().then_some(membership.joined)
    }

    /// Whether a root may follow the one in force.
    pub(super) fn may_follow(&self, root: &RoundRoot) -> bool {
        match &self.rewards {
            None => root.previous_root == [0; 32],
            Some(rewards) => {
                root.round > rewards.round
                    && root.previous_root == rewards.root
                    && root.total >= rewards.total
            }
        }
    }

    /// The votes that count now.
    pub(super) fn votes(&self, proposed: &Proposed) -> usize {
        let still = |(voter, joined): &&(Pubkey, u64)| self.joined(voter) == Some(*joined);
        proposed.voters.iter().filter(still).count()
    }

    pub(super) fn add_vote(&mut self, key: (u64, Pubkey), voter: Pubkey, slot: u64) {
        let joined = self.joined(&voter).unwrap();
        let mut proposed = self.proposals[&key].clone();
        let quorum = usize::from(self.quorum);
        let had = proposed.quorum_slot.is_some() && self.votes(&proposed) >= quorum;
        proposed.voters.insert((voter, joined));
        if !had && self.votes(&proposed) >= quorum {
            proposed.quorum_slot = Some(slot);
        }
        self.proposals.insert(key, proposed);
    }

    /// Whether this root may be put in force.
    pub(super) fn may_finalize(&self, proposed: &Proposed, slot: u64) -> bool {
        proposed.stage == Stage::Open
            && self.may_follow(&proposed.root)
            && proposed
                .quorum_slot
                .is_some_and(|from| slot >= from + CHALLENGE)
            && self.votes(proposed) >= usize::from(self.quorum)
            && proposed.root.total <= self.proved_in
    }
}
