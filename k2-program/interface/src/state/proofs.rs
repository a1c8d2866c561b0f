//! What helps to prove: cursors for old blocks, buffers for large proofs.

use zerocopy::little_endian::U32;

use super::{Account, Head, Kind, account};
use crate::K2Address;
use crate::bitcoin::PaymentProof;
use crate::layout::pod;

/// The longest proof a buffer takes, in bytes: what any transaction of any block needs, so that no miner can make one
/// unprovable by the coinbase he puts beside it.
pub const MAX_PROOF: u32 = PaymentProof::MAX_LEN as u32;
const _: () = assert!(MAX_PROOF == 1_000_970);

pod! {
    /// A block below the relay's ring, reached from the ring's oldest block by following previous-block hashes. The relay
    /// never re-organises its oldest block, so whatever a cursor has reached is an ancestor of the best chain for good.
    pub struct Cursor {
        /// Kind and version.
        pub head: Head,
        /// Who may move and close it, and gets the rent back.
        pub payer: K2Address,
        /// Which of the payer's cursors.
        pub id: U32,
        /// Height of the block.
        pub height: U32,
        /// Hash of the block, in internal byte order.
        pub hash: [u8; 32],
    }
}

account!(Cursor, 80, [Cursor]);

pod! {
    /// A proof that arrives in pieces; what is written of it follows. The account grows with each piece, because the
    /// runtime lets one instruction add no more than 10,240 bytes; the rent of all of it is paid when it is opened. Its
    /// hash is committed to first, so nobody can be made to consume other bytes than were announced.
    pub struct Buffer {
        /// Kind and version.
        pub head: Head,
        /// Who may write, use and close it, and gets the rent back.
        pub payer: K2Address,
        /// Which of the payer's buffers.
        pub id: U32,
        /// Length of the whole proof in bytes.
        pub length: U32,
        /// Bytes written so far; pieces come in order.
        pub written: U32,
        /// SHA-256 of the whole proof.
        pub sha256: [u8; 32],
    }
}

impl Account for Buffer {
    const KINDS: &'static [Kind] = &[Kind::Buffer];
    const HAS_TAIL: bool = true;
    fn head(&self) -> &Head {
        &self.head
    }
}
const _: () = assert!(size_of::<Buffer>() == 84);
