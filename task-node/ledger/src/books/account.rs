//! The accounts, and on which side each of them grows.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One half of a posting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Left.
    Debit,
    /// Right.
    Credit,
}

impl Side {
    /// The other one.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Debit => Self::Credit,
            Self::Credit => Self::Debit,
        }
    }
}

/// What has a balance of its own. No entry sets a satoshi on Bitcoin against one on K2: each sheet balances alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sheet {
    /// The wallet's coins: where they came from is what is left of them and where the rest went.
    Bitcoin,
    /// The wrapped sats: what backs them is where they are.
    K2,
}

macro_rules! accounts {
    ($($(#[$doc:meta])+ $name:ident = $text:literal, $sheet:ident, $normal:ident;)+) => {
        /// An account. All are in sats.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum Account {
            $($(#[$doc])+ $name,)+
        }

        impl Account {
            /// All of them, in the order of a report.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Its name, as it is stored and shown.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// Which sheet it stands on.
            #[must_use]
            pub const fn sheet(self) -> Sheet {
                match self {
                    $(Self::$name => Sheet::$sheet,)+
                }
            }

            /// The side on which it grows.
            #[must_use]
            pub const fn normal(self) -> Side {
                match self {
                    $(Self::$name => Side::$normal,)+
                }
            }
        }
    };
}

accounts! {
    /// Coinbases in a block that are less than 100 deep.
    Immature = "immature", Bitcoin, Debit;
    /// Coins that may be spent and are promised to nobody.
    Mature = "mature", Bitcoin, Debit;
    /// Promised to a payout that was signed or written down and that the node does not have.
    Reserved = "reserved", Bitcoin, Debit;
    /// In a payout that waits for a block.
    InFlight = "in_flight", Bitcoin, Debit;
    /// In a payout that a block holds and that is not deep enough to be final. The coins are gone, and may come back.
    Confirming = "confirming", Bitcoin, Debit;
    /// Paid to redeemers for good.
    Paid = "paid", Bitcoin, Debit;
    /// Bitcoin's fees of payouts: redeemers bear them.
    NetworkFees = "network_fees", Bitcoin, Debit;
    /// Bitcoin's fees of sweeps and cancels: the only way the reserves shrink without a burn.
    OwnFees = "own_fees", Bitcoin, Debit;
    /// Swept to another wallet whose script K2 honours.
    MovedOut = "moved_out", Bitcoin, Debit;
    /// Left the wallet and nothing the pool owes says why. Anything but zero is an alarm.
    Unexplained = "unexplained", Bitcoin, Debit;
    /// Coinbases whose block was replaced.
    Orphaned = "orphaned", Bitcoin, Debit;
    /// Coinbases to the registered script, the orphaned ones included.
    Mined = "mined", Bitcoin, Credit;
    /// Everything else that came in: custodians' deposits, a sweep of another wallet, gifts. It never becomes wrapped sats.
    TopUps = "top_ups", Bitcoin, Credit;

    /// The wallet's coinbases that stand, whether minted or not: what wrapped sats are made of.
    Backing = "backing", K2, Debit;
    /// Minted from outputs that this wallet does not have: another wallet's, or from before its birthday.
    Elsewhere = "elsewhere", K2, Debit;
    /// Coinbases that are not minted yet.
    Unminted = "unminted", K2, Credit;
    /// Minted, and no finalized round has promised it to anybody.
    Vault = "vault", K2, Credit;
    /// Promised by finalized rounds and not claimed.
    Owed = "owed", K2, Credit;
    /// Claimed: in the hands of holders.
    Circulating = "circulating", K2, Credit;
    /// Locked by open redemptions.
    Escrow = "escrow", K2, Credit;
    /// Burned by settled redemptions.
    Burned = "burned", K2, Credit;
}

impl Account {
    /// The wallet's coins: what the node says it has is the sum of these.
    pub const RESERVES: &[Self] = &[Self::Immature, Self::Mature, Self::Reserved, Self::InFlight];

    /// The wrapped token's supply.
    pub const SUPPLY: &[Self] = &[Self::Vault, Self::Owed, Self::Circulating, Self::Escrow];

    /// The account of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|account| account.name() == name)
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
