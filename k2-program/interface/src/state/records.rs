//! Replay records of Bitcoin outputs, and redemptions.

use zerocopy::little_endian::{U32, U64};

use super::{Head, PackedScript, account};
use crate::K2Address;
use crate::layout::pod;

pod! {
    /// A Bitcoin output that has been used: minted, or spent by a deposit that was (kind Deposit); or taken as the payout of
    /// a redemption (kind Payout). It may be closed only when its block is too old to be proved to the program again.
    pub struct Record {
        /// Kind and version.
        pub head: Head,
        /// Who paid the rent and gets it back.
        pub payer: K2Address,
        /// The transaction, in internal byte order.
        pub txid: [u8; 32],
        /// Which of its outputs.
        pub vout: U32,
        /// Height of its block, or of the deposit's that spends it.
        pub height: U32,
        /// Its value, in sats; zero: it was not minted but spent by a deposit that was.
        pub value: U64,
    }
}

account!(Record, 88, [Deposit, Payout]);

pod! {
    /// A redemption: wrapped sats in escrow for BTC to a script.
    pub struct Redemption {
        /// Kind and version.
        pub head: Head,
        /// Its id: redemptions are counted from 0.
        pub id: U64,
        /// Whose tokens they were, and who is refunded.
        pub owner: K2Address,
        /// Who paid the rent and gets it back.
        pub payer: K2Address,
        /// Sats in escrow. All of them are burned when it settles.
        pub amount: U64,
        /// The most of `amount` that may go to Bitcoin fees: the payout is at least `amount - max_fee`.
        pub max_fee: U64,
        /// The relay's height when it was requested; only a later block can settle it.
        pub requested_height: U32,
        /// The relay's height from which it may be refunded.
        pub expires_height: U32,
        /// The transaction that settled it; zero before.
        pub payout_txid: [u8; 32],
        /// What that output pays.
        pub paid: U64,
        /// That output.
        pub payout_vout: U32,
        /// Where the BTC go.
        pub script: PackedScript,
        /// A [`RedemptionState`].
        pub state: u8,
    }
}

account!(Redemption, 184, [Redemption]);

/// Where a redemption stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum RedemptionState {
    /// Waits for the custodians.
    Open = 0,
    /// Paid in BTC; the tokens are burned.
    Settled = 1,
    /// The tokens went back.
    Refunded = 2,
}
