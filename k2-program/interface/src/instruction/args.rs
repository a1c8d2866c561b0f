//! The fixed arguments of the instructions, in Borsh.

use crate::K2Address;
use crate::layout::arguments;
use crate::state::PackedScript;

arguments! {
    /// Everything Initialize sets.
    pub struct Initialize {
        /// The Bitcoin network: 0 main, 1 testnet4, 2 signet, 3 regtest.
        pub network: u8,
        /// Operators that must attest a root.
        pub quorum: u8,
        /// The authority.
        pub authority: K2Address,
        /// The guardian.
        pub guardian: K2Address,
        /// See [`Parameters`](crate::state::Parameters).
        pub deposit_confirmations: u32,
        /// Blocks.
        pub mint_horizon: u32,
        /// Blocks.
        pub mint_window_blocks: u32,
        /// Blocks.
        pub redeem_expiry_blocks: u32,
        /// Blocks.
        pub custody_grace_blocks: u32,
        /// Sats.
        pub mint_window_cap: u64,
        /// Sats.
        pub supply_cap: u64,
        /// Sats.
        pub redeem_min: u64,
        /// Slots.
        pub challenge_slots: u64,
        /// Slots.
        pub custody_delay_slots: u64,
        /// Slots.
        pub unbonding_slots: u64,
        /// Lamports.
        pub bond_lamports: u64,
        /// Script of the pool's coinbases.
        pub coinbase_script: PackedScript,
        /// Script of deposits, or empty.
        pub deposit_script: PackedScript,
    }

    /// The relay's checkpoint. Headers follow: the first one whole, each further one without the hash of its predecessor (48
    /// bytes); at most 11, the last one the checkpoint itself; fewer than 11 only where the first is the genesis block.
    pub struct InitializeRelay {
        /// Height of the last header.
        pub height: u32,
        /// Time of the first block of the last header's retarget epoch.
        pub epoch_start_time: u32,
        /// Compact target of that epoch.
        pub epoch_bits: u32,
        /// Work of the chain up to and including the last header.
        pub chain_work: u128,
    }

    /// A branch. Headers follow: 80 bytes each, at most 10, continuing what the fork account already holds.
    pub struct SubmitFork {
        /// Height of the last block the branch has in common with the best chain.
        pub base_height: u32,
    }

    /// Names one of the payer's cursors.
    pub struct CursorId {
        /// Any number.
        pub id: u32,
    }

    /// Announces a proof.
    pub struct OpenBuffer {
        /// Any number.
        pub id: u32,
        /// Its length in bytes, at most 1,000,970: what a proof about the largest block takes.
        pub length: u32,
        /// Its SHA-256.
        pub sha256: [u8; 32],
    }

    /// Writes the next piece; the bytes follow.
    pub struct WriteBuffer {
        /// Where the piece begins: what has been written so far.
        pub offset: u32,
    }

    /// Where a proof stands and which output it is about. The proof's bytes follow unless they stand in a buffer.
    pub struct ProveOutput {
        /// Height of the block.
        pub height: u32,
        /// Which output of the transaction.
        pub vout: u32,
        /// An [`Anchor`].
        pub anchor: u8,
        /// A [`Source`].
        pub source: u8,
    }

    /// A key that takes over, after it has accepted; all zeros takes the proposal back.
    pub struct NewAuthority {
        /// The key.
        pub key: K2Address,
    }

    /// A new guardian.
    pub struct NewGuardian {
        /// The key.
        pub key: K2Address,
    }

    /// What is paused or resumed.
    pub struct PauseFlags {
        /// Bits of [`Pause`](crate::state::Pause).
        pub flags: u8,
    }

    /// Custody scripts for a rotation.
    pub struct ProposeCustody {
        /// Script of the pool's coinbases.
        pub coinbase_script: PackedScript,
        /// Script of deposits, or empty.
        pub deposit_script: PackedScript,
    }

    /// How many operators must attest.
    pub struct SetQuorum {
        /// More than half of the operators, at most one more than there are (to let another one join).
        pub quorum: u8,
    }

    /// A reward root and everything an attestor must have computed itself to sign it.
    pub struct RoundRoot {
        /// The round.
        pub round: u64,
        /// The reward tree's root.
        pub root: [u8; 32],
        /// The root finalized before; zero before the first.
        pub previous_root: [u8; 32],
        /// SHA-256 digest in the list's CID (CIDv1, dag-cbor, sha2-256).
        pub list: [u8; 32],
        /// What the list adds up to, in sats.
        pub total: u64,
        /// Leaves of the tree.
        pub leaf_count: u32,
    }

    /// A claim. The proof's siblings follow, 32 bytes each, leaf level first.
    pub struct Claim {
        /// 0 miner, 1 operator.
        pub role: u8,
        /// Place of the leaf in the tree.
        pub index: u32,
        /// Everything earned so far, in sats, as in the leaf.
        pub cumulative: u64,
        /// Bump of the owner's associated token account; unused where the owner signs.
        pub destination_bump: u8,
    }

    /// A redemption.
    pub struct RequestRedeem {
        /// Sats to burn.
        pub amount: u64,
        /// The most of them that may go to Bitcoin fees.
        pub max_fee: u64,
        /// Where the BTC go.
        pub script: PackedScript,
    }

    /// A refund.
    pub struct RefundRedeem {
        /// Bump of the owner's associated token account; unused where the owner signs.
        pub destination_bump: u8,
    }
}

/// Where the block of a proof is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Anchor {
    /// The relay's ring.
    Ring = 0,
    /// A cursor.
    Cursor = 1,
}

/// Where the proof's bytes stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Source {
    /// After the arguments.
    Inline = 0,
    /// In a buffer.
    Buffer = 1,
}

impl ProveOutput {
    /// The anchor, if the byte names one.
    #[must_use]
    pub const fn anchor(&self) -> Option<Anchor> {
        match self.anchor {
            0 => Some(Anchor::Ring),
            1 => Some(Anchor::Cursor),
            _ => None,
        }
    }

    /// The source, if the byte names one.
    #[must_use]
    pub const fn source(&self) -> Option<Source> {
        match self.source {
            0 => Some(Source::Inline),
            1 => Some(Source::Buffer),
            _ => None,
        }
    }
}
