//! The pool's configuration, custody scripts, totals and finalized rewards: one account.

use zerocopy::little_endian::{U32, U64};

use super::{Head, account};
use crate::K2Address;
use crate::layout::pod;

/// An output script as length (0 to 34) and bytes, padded with zeros. Length 0: none.
pub type PackedScript = [u8; 35];

pod! {
    /// Rules chosen once, at Initialize, which refuses what lies outside the bounds given here. A year is 52,560 blocks or
    /// 78,840,000 slots of 400 ms.
    pub struct Parameters {
        /// Confirmations an ordinary deposit or a payout needs: 1 to 100, on the main network 6 to 100.
        pub deposit_confirmations: U32,
        /// Blocks below the tip at which an output can no longer be minted and its record may be closed: more than the
        /// ring and the deepest re-organisation together, so 217 to a year, on the main network at least 2,016.
        pub mint_horizon: U32,
        /// At most `mint_window_cap` sats are minted within so many blocks: 1 to a year.
        pub mint_window_blocks: U32,
        /// Blocks after which an open redemption may be refunded: more than `deposit_confirmations`, on the main network
        /// at least 144, at most a year.
        pub redeem_expiry_blocks: U32,
        /// Blocks for which the scripts before a rotation are still honoured after it: 1 to 2,016.
        pub custody_grace_blocks: U32,
        /// Sats; keeps what a fake chain could mint below what it costs. 1 to 21 million BTC, on the main network at
        /// least 100 BTC: a coinbase above it can never be minted.
        pub mint_window_cap: U64,
        /// Sats; minting stops there. 1 to 21 million BTC, on the main network at least 100 BTC.
        pub supply_cap: U64,
        /// Sats; the least a redemption pays out, above every dust limit: 1,000 to 21 million BTC.
        pub redeem_min: U64,
        /// Slots between the quorum of a proposed root and its finalization, in which guardian or authority may veto it:
        /// 1 to a year, on the main network at least an hour (9,000).
        pub challenge_slots: U64,
        /// Slots between the proposal of custody scripts and their activation: 1 to a year, on the main network at least a
        /// day (216,000).
        pub custody_delay_slots: U64,
        /// Slots between an operator's leave and the return of its bond, and for which a proposal is kept as evidence:
        /// `challenge_slots` to a year, on the main network at least a day (216,000).
        pub unbonding_slots: U64,
        /// Lamports an operator locks: at least 1.
        pub bond_lamports: U64,
    }
}

pod! {
    /// Where the pool's BTC is paid to.
    pub struct CustodyScripts {
        /// Script of the pool's coinbases: MintCoinbase honours outputs to it.
        pub coinbase: PackedScript,
        /// Script of ordinary deposits; empty: MintDeposit is refused. Never the script of coinbases or of change, so that
        /// moving custody's own coins can never look like new ones.
        pub deposit: PackedScript,
    }
}

pod! {
    /// The custody scripts and their rotation.
    pub struct Custody {
        /// Counts the rotations.
        pub epoch: U32,
        /// Height of the last block in which `previous` is honoured.
        pub previous_until: U32,
        /// The scripts in force.
        pub active: CustodyScripts,
        /// Those before the last rotation; empty before the first.
        pub previous: CustodyScripts,
        /// Those proposed; meaningful while `pending_slot` is not zero.
        pub pending: CustodyScripts,
        /// Slot from which `pending` may be activated; zero: nothing is proposed.
        pub pending_slot: U64,
    }
}

pod! {
    /// How much of the mint window's cap is used.
    pub struct MintWindow {
        /// Relay height at which the window began.
        pub start_height: U32,
        /// Sats minted since.
        pub minted: U64,
    }
}

pod! {
    /// Sums over the program's life, in sats. The token's supply is always `proved_in - burned`.
    pub struct Totals {
        /// Proved and minted.
        pub proved_in: U64,
        /// Burned by settled redemptions.
        pub burned: U64,
        /// Paid out of the vault to claimants.
        pub claimed: U64,
        /// In escrow for open redemptions.
        pub escrowed: U64,
        /// Redemptions ever requested; the id of the next one.
        pub redemptions: U64,
    }
}

pod! {
    /// The reward root finalized last.
    pub struct Rewards {
        /// Finalized roots so far; zero: none, and the other fields are zero.
        pub finalized: U64,
        /// Its round.
        pub round: U64,
        /// Everything earned up to it, in sats: what its list adds up to.
        pub total: U64,
        /// Leaves of the tree.
        pub leaf_count: U32,
        /// The tree's root.
        pub root: [u8; 32],
        /// SHA-256 digest in the list's CID (CIDv1, dag-cbor, sha2-256).
        pub list: [u8; 32],
    }
}

pod! {
    /// The pool's one configuration account.
    pub struct Config {
        /// Kind and version.
        pub head: Head,
        /// A [`Network`](crate::bitcoin::Network).
        pub network: u8,
        /// Bits of [`Pause`].
        pub paused: u8,
        /// Operators that must attest a root: more than half of them.
        pub quorum: u8,
        /// Bump of the token authority.
        pub token_authority_bump: u8,
        /// May change what follows, always with the delays given.
        pub authority: K2Address,
        /// Becomes the authority when it accepts; zero: none.
        pub pending_authority: K2Address,
        /// May pause and veto, nothing else.
        pub guardian: K2Address,
        /// The wrapped token's mint, 8 decimals.
        pub mint: K2Address,
        /// Vault.
        pub vault: K2Address,
        /// Escrow.
        pub escrow: K2Address,
        /// Mint authority and owner of vault and escrow.
        pub token_authority: K2Address,
        /// Rules.
        pub parameters: Parameters,
        /// Custody.
        pub custody: Custody,
        /// Mint window.
        pub window: MintWindow,
        /// Totals.
        pub totals: Totals,
        /// Rewards.
        pub rewards: Rewards,
    }
}

account!(Config, 682, [Config]);

/// What can be paused; bits of [`Config::paused`]. Headers, settlements, refunds and closing accounts never are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Pause {
    /// MintCoinbase and MintDeposit.
    Mint = 1,
    /// ProposeRound, AttestRound and FinalizeRound.
    Rounds = 2,
    /// Claim.
    Claim = 4,
    /// RequestRedeem.
    Redeem = 8,
}

impl Pause {
    /// All bits.
    pub const ALL: u8 = 15;
}

impl Config {
    /// Whether this is paused.
    #[must_use]
    pub const fn is_paused(&self, what: Pause) -> bool {
        self.paused & what as u8 != 0
    }

    /// What the token's supply is, in sats; `None` only where the totals contradict each other.
    #[must_use]
    pub const fn supply(&self) -> Option<u64> {
        self.totals
            .proved_in
            .get()
            .checked_sub(self.totals.burned.get())
    }
}
