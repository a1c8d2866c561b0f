//! The bytes of accounts, read by what they hold.

use k2_interface::K2Address;
use k2_interface::state::{
    self, Buffer, Config, Cursor, Fork, Head, Kind, Ledger, Operator, OperatorSet, Proposal,
    Record, Redemption, Relay, StateError,
};
use solana_program_pack::Pack as _;
use spl_token_interface::state::{Account as SplAccount, Mint as SplMint};

use crate::address::address;

/// An account of the program, whatever it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // short-lived
#[non_exhaustive]
pub enum AnyAccount {
    /// The configuration.
    Config(Config),
    /// The operators' set.
    Operators(OperatorSet),
    /// The relay.
    Relay(Box<Relay>),
    /// A fork account.
    Fork(Box<Fork>),
    /// A cursor.
    Cursor(Cursor),
    /// A proof buffer.
    Buffer(Buffer),
    /// The record of a minted output.
    Deposit(Record),
    /// The record of a payout.
    Payout(Record),
    /// An operator's bond.
    Operator(Operator),
    /// A proposal.
    Proposal(Proposal),
    /// A ledger.
    Ledger(Ledger),
    /// A redemption.
    Redemption(Redemption),
}

impl AnyAccount {
    /// Reads an account by the kind its head names.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn decode(data: &[u8]) -> Result<Self, StateError> {
        let (head, _) =
            <Head as zerocopy::FromBytes>::ref_from_prefix(data).map_err(|_| StateError::Length)?;
        let kind = ALL_KINDS
            .into_iter()
            .find(|kind| *kind as u8 == head.kind)
            .ok_or(StateError::Kind)?;
        Ok(match kind {
            Kind::Config => Self::Config(*state::load(data, kind)?),
            Kind::Operators => Self::Operators(*state::load(data, kind)?),
            Kind::Relay => Self::Relay(Box::new(*state::load(data, kind)?)),
            Kind::Fork => Self::Fork(Box::new(*state::load(data, kind)?)),
            Kind::Cursor => Self::Cursor(*state::load(data, kind)?),
            Kind::Buffer => Self::Buffer(*state::load(data, kind)?),
            Kind::Deposit => Self::Deposit(*state::load(data, kind)?),
            Kind::Payout => Self::Payout(*state::load(data, kind)?),
            Kind::Operator => Self::Operator(*state::load(data, kind)?),
            Kind::Proposal => Self::Proposal(*state::load(data, kind)?),
            Kind::Ledger => Self::Ledger(*state::load(data, kind)?),
            Kind::Redemption => Self::Redemption(*state::load(data, kind)?),
            _ => return Err(StateError::Kind),
        })
    }
}

const ALL_KINDS: [Kind; 12] = [
    Kind::Config,
    Kind::Operators,
    Kind::Relay,
    Kind::Fork,
    Kind::Cursor,
    Kind::Buffer,
    Kind::Deposit,
    Kind::Payout,
    Kind::Operator,
    Kind::Proposal,
    Kind::Ledger,
    Kind::Redemption,
];

/// A token account of the wrapped token or any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct TokenAccount {
    /// Which token.
    pub mint: K2Address,
    /// Whose.
    pub owner: K2Address,
    /// How many, in the smallest unit (1 sat).
    pub amount: u64,
}

impl TokenAccount {
    /// Reads the bytes of a token account. `None` where they are none, or one that is not initialized.
    #[must_use]
    pub fn decode(data: &[u8]) -> Option<Self> {
        let account = SplAccount::unpack(data).ok()?;
        Some(Self {
            mint: address(&account.mint),
            owner: address(&account.owner),
            amount: account.amount,
        })
    }
}

/// A token's mint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Mint {
    /// Who may mint.
    pub authority: Option<K2Address>,
    /// How many there are, in the smallest unit.
    pub supply: u64,
    /// Digits after the point.
    pub decimals: u8,
}

impl Mint {
    /// Reads the bytes of a mint. `None` where they are none.
    #[must_use]
    pub fn decode(data: &[u8]) -> Option<Self> {
        let mint = SplMint::unpack(data).ok()?;
        Some(Self {
            authority: Option::<_>::from(mint.mint_authority).map(|key| address(&key)),
            supply: mint.supply,
            decimals: mint.decimals,
        })
    }
}
