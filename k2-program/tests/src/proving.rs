//! The relay, proofs, and what they are for, on a [`World`].

use k2_interface::bitcoin::linked;
use k2_interface::instruction::{self as args, Instruction, MAX_HEADERS, ProveOutput};
use k2_interface::pda;
use k2_interface::state::{Buffer, EpochSlot, Kind, RING, Record, Relay};
use scenario::Outcome;
use solana_pubkey::Pubkey;
use zerocopy::IntoBytes as _;

use crate::bitcoin::{Chain, Proof, sha256};
use crate::{Call, Sent, World};

/// The most bytes of a buffer's piece: what leaves room for the rest of a transaction of 1,232 bytes.
const PIECE: usize = 850;

impl World {
    // ---- addresses ---------------------------------------------------------------------------------------------------

    /// The payer's branch.
    pub fn fork_key(&self, payer: Pubkey) -> Pubkey {
        self.derived(&[pda::FORK, payer.as_ref()])
    }

    /// A cursor.
    pub fn cursor_key(&self, payer: Pubkey, id: u32) -> Pubkey {
        self.derived(&[pda::CURSOR, payer.as_ref(), &id.to_le_bytes()])
    }

    /// A buffer.
    pub fn buffer_key(&self, payer: Pubkey, id: u32) -> Pubkey {
        self.derived(&[pda::BUFFER, payer.as_ref(), &id.to_le_bytes()])
    }

    /// The record of a minted output.
    pub fn deposit_key(&self, txid: &[u8; 32], vout: u32) -> Pubkey {
        self.derived(&[pda::DEPOSIT, txid, &vout.to_le_bytes()])
    }

    /// The record of a payout.
    pub fn payout_key(&self, txid: &[u8; 32], vout: u32) -> Pubkey {
        self.derived(&[pda::PAYOUT, txid, &vout.to_le_bytes()])
    }

    // ---- the relay ---------------------------------------------------------------------------------------------------

    /// What InitializeRelay is told for a checkpoint at this height of the chain, and the headers: eleven, or all there
    /// are. Where the chain's first block is in the checkpoint's epoch the epoch's start is made up.
    pub fn checkpoint(&self, chain: &Chain, height: u32) -> (args::InitializeRelay, Vec<u8>) {
        let first = height.saturating_sub(10).max(chain.first());
        let args = args::InitializeRelay {
            height,
            epoch_start_time: epoch_start_time(chain, height),
            epoch_bits: chain.bits(),
            chain_work: chain.work(height),
        };
        let headers = chain.headers(first..=height);
        (args, linked::encode(headers.as_chunks().0))
    }

    /// InitializeRelay.
    pub fn initialize_relay(&self, args: args::InitializeRelay, headers: &[u8]) -> Call {
        self.call(&Instruction::InitializeRelay { args, headers }, &[])
    }

    /// A checkpoint at this height of the chain, and everything after it relayed.
    #[track_caller]
    pub fn relay_from(&mut self, chain: &Chain, height: u32) {
        let (args, headers) = self.checkpoint(chain, height);
        let initialize = self.initialize_relay(args, &headers);
        self.send("the relay is set up", initialize).must_succeed();
        self.relay_on(chain);
    }

    /// Relays what follows the relay's tip on this chain.
    #[track_caller]
    pub fn relay_on(&mut self, chain: &Chain) {
        let mut next = self.relay().tip_height.get() + 1;
        while next <= chain.tip() {
            let last = chain.tip().min(next + MAX_HEADERS as u32 - 1);
            let submit = self.submit_headers(&chain.headers(next..=last));
            self.send("headers are relayed", submit).must_succeed();
            next = last + 1;
        }
    }

    /// SubmitHeaders.
    pub fn submit_headers(&self, headers: &[u8]) -> Call {
        self.call(&Instruction::SubmitHeaders { headers }, &[])
    }

    /// SubmitFork, by the payer.
    pub fn submit_fork(&self, base_height: u32, headers: &[u8]) -> Call {
        let args = args::SubmitFork { base_height };
        let fork = self.fork_key(self.payer);
        self.call(
            &Instruction::SubmitFork { args, headers },
            &[("fork", fork)],
        )
    }

    /// Relays the branch of this chain that leaves the best one after this height, in as many transactions as it takes.
    #[track_caller]
    pub fn relay_branch(&mut self, base_height: u32, chain: &Chain) {
        self.relay_branch_of(self.payer, base_height, chain);
    }

    /// The same, paid by somebody else.
    #[track_caller]
    pub fn relay_branch_by(&mut self, name: &str, base_height: u32, chain: &Chain) {
        let payer = self.somebody(name);
        self.relay_branch_of(payer, base_height, chain);
    }

    #[track_caller]
    fn relay_branch_of(&mut self, payer: Pubkey, base_height: u32, chain: &Chain) {
        let fork = self.fork_key(payer);
        let mut next = base_height + 1;
        while next <= chain.tip() {
            let last = chain.tip().min(next + MAX_HEADERS as u32 - 1);
            let submit = self.submit_fork(base_height, &chain.headers(next..=last));
            let submit = submit.with("payer", payer).with("fork", fork);
            self.send("a branch is collected", submit).must_succeed();
            next = last + 1;
            if self.is_gone(fork) {
                // It is the best chain now.
                return self.relay_on(chain);
            }
        }
    }

    /// CloseFork, by the payer.
    pub fn close_fork(&self) -> Call {
        let fork = self.fork_key(self.payer);
        self.call(&Instruction::CloseFork {}, &[("fork", fork)])
    }

    // ---- cursors and buffers -----------------------------------------------------------------------------------------

    /// OpenCursor, by the payer.
    pub fn open_cursor(&self, id: u32) -> Call {
        let cursor = self.cursor_key(self.payer, id);
        let args = args::CursorId { id };
        self.call(&Instruction::OpenCursor { args }, &[("cursor", cursor)])
    }

    /// AdvanceCursor, by the payer.
    pub fn advance_cursor(&self, id: u32, headers: &[u8]) -> Call {
        let cursor = self.cursor_key(self.payer, id);
        self.call(
            &Instruction::AdvanceCursor { headers },
            &[("cursor", cursor)],
        )
    }

    /// CloseCursor, by the payer.
    pub fn close_cursor(&self, id: u32) -> Call {
        let cursor = self.cursor_key(self.payer, id);
        self.call(&Instruction::CloseCursor {}, &[("cursor", cursor)])
    }

    /// Opens a cursor and walks down to this height of the chain.
    #[track_caller]
    pub fn walk_down(&mut self, id: u32, chain: &Chain, height: u32) {
        let open = self.open_cursor(id);
        self.send("a cursor is opened", open).must_succeed();
        let mut at = self.relay().oldest_height.get();
        while at > height {
            let down_to = height.max(at.saturating_sub(MAX_HEADERS as u32));
            let headers = chain.headers((down_to + 1..=at).rev());
            let advance = self.advance_cursor(id, &headers);
            self.send("the cursor walks down", advance).must_succeed();
            at = down_to;
        }
    }

    /// OpenBuffer, by the payer.
    pub fn open_buffer(&self, id: u32, length: u32, sha256: [u8; 32]) -> Call {
        let buffer = self.buffer_key(self.payer, id);
        let args = args::OpenBuffer { id, length, sha256 };
        self.call(&Instruction::OpenBuffer { args }, &[("buffer", buffer)])
    }

    /// WriteBuffer, by the payer.
    pub fn write_buffer(&self, id: u32, offset: u32, piece: &[u8]) -> Call {
        let buffer = self.buffer_key(self.payer, id);
        let args = args::WriteBuffer { offset };
        self.call(
            &Instruction::WriteBuffer { args, piece },
            &[("buffer", buffer)],
        )
    }

    /// CloseBuffer, by the payer.
    pub fn close_buffer(&self, id: u32) -> Call {
        let buffer = self.buffer_key(self.payer, id);
        self.call(&Instruction::CloseBuffer {}, &[("buffer", buffer)])
    }

    /// Announces bytes and writes them, piece by piece.
    #[track_caller]
    pub fn fill_buffer(&mut self, id: u32, bytes: &[u8]) {
        let open = self.open_buffer(id, bytes.len() as u32, sha256(&[bytes]));
        self.send("a proof is announced", open).must_succeed();
        self.write_on(id, bytes);
    }

    /// Announces bytes and lets so many of them stand in the buffer, past every rule of the runtime: the same as
    /// [`fill_buffer`](Self::fill_buffer) without a thousand steps to tell.
    #[track_caller]
    pub fn place_buffer(&mut self, id: u32, bytes: &[u8], written: usize) {
        let open = self.open_buffer(id, bytes.len() as u32, sha256(&[bytes]));
        self.send("a proof is announced", open).must_succeed();
        let key = self.buffer_key(self.payer, id);
        let mut account = self.k2.account(&key).unwrap();
        let mut buffer: Buffer = self.read(key, Kind::Buffer);
        buffer.written = (written as u32).into();
        account.data = [buffer.as_bytes(), &bytes[..written]].concat();
        self.k2.set_account(key, account);
    }

    /// Writes what is missing in a buffer of these bytes.
    #[track_caller]
    pub fn write_on(&mut self, id: u32, bytes: &[u8]) {
        let buffer: Buffer = self.read(self.buffer_key(self.payer, id), Kind::Buffer);
        let mut offset = buffer.written.get();
        for piece in bytes[offset as usize..].chunks(PIECE) {
            let write = self.write_buffer(id, offset, piece);
            self.send("a piece is written", write).must_succeed();
            offset += piece.len() as u32;
        }
    }

    // ---- what proofs are for -----------------------------------------------------------------------------------------

    /// MintCoinbase.
    pub fn mint_coinbase(&self, proof: &Proof) -> Call {
        let args = prove_output(proof);
        let record = self.deposit_key(&proof.txid, proof.vout);
        let mut keys = self.further(proof);
        keys.push(("deposit", record));
        let proof = inline(proof);
        self.call(&Instruction::MintCoinbase { args, proof }, &keys)
    }

    /// MintDeposit.
    pub fn mint_deposit(&self, proof: &Proof) -> Call {
        let args = prove_output(proof);
        let record = self.deposit_key(&proof.txid, proof.vout);
        let mut keys = self.further(proof);
        keys.push(("deposit", record));
        for (txid, vout) in &proof.spent {
            keys.push(("spent", self.deposit_key(txid, *vout)));
        }
        let proof = inline(proof);
        self.call(&Instruction::MintDeposit { args, proof }, &keys)
    }

    /// SettleRedeem.
    pub fn settle(&self, id: u64, proof: &Proof) -> Call {
        let args = prove_output(proof);
        let mut keys = self.further(proof);
        keys.push(("redemption", self.redemption_key(id)));
        keys.push(("payout", self.payout_key(&proof.txid, proof.vout)));
        let proof = inline(proof);
        self.call(&Instruction::SettleRedeem { args, proof }, &keys)
    }

    fn further(&self, proof: &Proof) -> Vec<(&'static str, Pubkey)> {
        let mut keys = Vec::new();
        if let Some(id) = proof.cursor {
            keys.push(("cursor", self.cursor_key(self.payer, id)));
        }
        if let Some(id) = proof.buffer {
            keys.push(("buffer", self.buffer_key(self.payer, id)));
        }
        keys
    }

    /// CloseDeposit.
    pub fn close_deposit(&self, record: Pubkey, receiver: Pubkey) -> Call {
        self.call(
            &Instruction::CloseDeposit {},
            &[("deposit", record), ("rent_receiver", receiver)],
        )
    }

    /// ClosePayout.
    pub fn close_payout(&self, record: Pubkey, receiver: Pubkey) -> Call {
        self.call(
            &Instruction::ClosePayout {},
            &[("payout", record), ("rent_receiver", receiver)],
        )
    }

    // ---- what came of it ---------------------------------------------------------------------------------------------

    /// Sends one instruction, which may spend at most so many compute units in Solana 1.14.
    #[track_caller]
    pub fn send_within(&mut self, ceiling: u64, step: &str, call: Call) -> Sent {
        let step = self.k2.step(step).instruction(call.clone().into());
        let outcome: Outcome = step.ceiling(ceiling).send();
        Sent { call, outcome }
    }

    /// The record of a minted output.
    #[track_caller]
    pub fn deposit_record(&self, txid: &[u8; 32], vout: u32) -> Record {
        self.read(self.deposit_key(txid, vout), Kind::Deposit)
    }

    /// The relay holds this chain up to its tip, the oldest block being at this height; and nothing else.
    #[track_caller]
    pub fn relay_must_hold(&self, chain: &Chain, oldest: u32) {
        let relay = self.relay();
        assert_eq!(relay.tip_height.get(), chain.tip(), "tip");
        assert_eq!(relay.oldest_height.get(), oldest, "oldest");
        assert!(chain.tip() - oldest < RING as u32);
        for height in oldest..=chain.tip() {
            let entry = relay.entry(height).unwrap();
            assert_eq!(entry.hash, chain.hash(height), "hash at {height}");
            assert_eq!(entry.time.get(), chain.time(height), "time at {height}");
            assert_eq!(
                entry.chain_work.get(),
                chain.work(height),
                "work at {height}"
            );
        }
        assert_eq!(relay.entry(oldest.wrapping_sub(1)), None);
        assert_eq!(relay.entry(chain.tip() + 1), None);
        epochs_must_be(&relay, chain);
    }
}

/// The tip's epoch is remembered, and of the others only such as the chain has.
#[track_caller]
fn epochs_must_be(relay: &Relay, chain: &Chain) {
    let epoch = |height: u32| EpochSlot {
        start_height: (height - height % 2_016).into(),
        start_time: epoch_start_time(chain, height).into(),
        bits: chain.bits().into(),
        work: work_of(chain.bits()).into(),
    };
    assert_eq!(relay.epoch(chain.tip()), Some(&epoch(chain.tip())));
    for slot in relay.epochs.iter().filter(|slot| slot.bits.get() != 0) {
        let start = slot.start_height.get();
        assert!(start <= chain.tip(), "the epoch of {start} is to come");
        assert_eq!(*slot, epoch(start));
    }
}

/// The time of the first block of the epoch of this height; made up where the chain begins later.
fn epoch_start_time(chain: &Chain, height: u32) -> u32 {
    let start = height - height % 2_016;
    if start >= chain.first() {
        chain.time(start)
    } else {
        chain.time(chain.first()) - 600 * (chain.first() - start)
    }
}

fn work_of(bits: u32) -> u128 {
    let target = bitcoin::Target::from_compact(bitcoin::CompactTarget::from_consensus(bits));
    let work = target.to_work().to_be_bytes();
    u128::from_be_bytes(work[16..].try_into().unwrap())
}

/// A proof's arguments.
pub fn prove_output(proof: &Proof) -> ProveOutput {
    ProveOutput {
        height: proof.height,
        vout: proof.vout,
        anchor: u8::from(proof.cursor.is_some()),
        source: u8::from(proof.buffer.is_some()),
    }
}

/// The bytes that follow the arguments.
fn inline(proof: &Proof) -> &[u8] {
    if proof.buffer.is_some() {
        &[]
    } else {
        &proof.bytes
    }
}
