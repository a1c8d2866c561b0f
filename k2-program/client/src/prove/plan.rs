//! Which transaction comes next on the way to a proof: a pure function of what stands on chain.
//!
//! ```text
//! block in the relay's ring?   no: OpenCursor, AdvanceCursor until it stands on the block
//! proof fits the transaction?  no: OpenBuffer, WriteBuffer until it is whole
//! use it, as often in one transaction as fits; close the buffer
//! ```
//!
//! Before any of it: the block needs its confirmations, unless the proof is so long that its upload should not wait for them.

use k2_interface::K2Address;
use k2_interface::instruction::MAX_HEADERS;
use k2_interface::state::{MAX_PROOF, Relay};

use super::job::Job;
use crate::instructions::Anchoring;
use crate::pda::Program;
use crate::transaction::{Draft, MAX_TRANSACTION, MAX_UNITS};

/// A proof of so many bytes is uploaded while its block still waits for confirmations: one as long as a block takes a thousand
/// transactions, one after the other, and a redemption whose time is running out would be refunded meanwhile.
const LONG_PROOF: usize = 50_000;

/// Compute units that are allowed for one use besides hashing its proof, twice at half a unit a byte. The dearest measured
/// in 1.14 is below 50,000, and the search for a record's address varies by some 1,500 a try.
const USE_UNITS: usize = 100_000;

/// Where the payer's cursor stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CursorAt {
    /// The height.
    pub height: u32,
    /// The block, in internal byte order.
    pub hash: [u8; 32],
}

/// How far the job's buffer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferAt {
    /// Its announced length.
    pub length: u32,
    /// Its announced SHA-256.
    pub sha256: [u8; 32],
    /// Bytes written.
    pub written: u32,
}

/// What stands on chain.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The relay.
    pub relay: Box<Relay>,
    /// The payer's cursor.
    pub cursor: Option<CursorAt>,
    /// The job's buffer.
    pub buffer: Option<BufferAt>,
    /// The uses that are still to be made: their places in [`Job::uses`].
    pub open: Vec<usize>,
}

/// One transaction on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum ProofStep {
    /// OpenCursor.
    OpenCursor,
    /// AdvanceCursor by so many blocks.
    AdvanceCursor {
        /// Height of the first header.
        from: u32,
        /// Headers, at most ten.
        count: u32,
    },
    /// CloseCursor: it is below the block already.
    CloseCursor,
    /// OpenBuffer.
    OpenBuffer,
    /// WriteBuffer.
    WriteBuffer {
        /// First byte.
        offset: u32,
        /// Bytes.
        length: u32,
    },
    /// CloseBuffer: its proof is used, or it holds something else.
    CloseBuffer,
    /// The instructions the proof is for; the last ones close the buffer too where both fit.
    Use {
        /// With the cursor.
        cursor: bool,
        /// With the buffer.
        buffer: bool,
        /// How many of the open uses, from the first.
        count: usize,
    },
}

/// Why there is no way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoWay {
    /// Headers are missing.
    #[error(
        "block {height} has {confirmations} of the {required} confirmations it needs on the relay: relay headers up to {}",
        .height.saturating_add(required.saturating_sub(1))
    )]
    Immature {
        /// The block.
        height: u32,
        /// What it has.
        confirmations: u32,
        /// What it needs.
        required: u32,
    },
    /// It is on a branch that lost.
    #[error("block {height} of the bitcoin node is not the relay's: relay headers first")]
    OtherChain {
        /// The height.
        height: u32,
    },
    /// The program would not take it.
    #[error("the proof has {length} bytes, {MAX_PROOF} is the most")]
    ProofTooLong {
        /// Its length.
        length: usize,
    },
    /// Too many accounts.
    #[error("the transaction would have {size} bytes: it spends too many outputs to be proved")]
    TransactionTooLong {
        /// Its size.
        size: usize,
    },
}

/// What comes next; `None`: nothing is left to do.
///
/// # Errors
/// [`NoWay`].
pub fn next(
    job: &Job,
    observed: &Observed,
    program: &Program,
    payer: K2Address,
) -> Result<Option<ProofStep>, NoWay> {
    if observed.open.is_empty() {
        return Ok(observed.buffer.map(|_| ProofStep::CloseBuffer));
    }
    let (height, relay) = (job.height, &observed.relay);
    let confirmations = relay.confirmations(height);
    let immature = NoWay::Immature {
        height,
        confirmations,
        required: job.confirmations,
    };
    let is_mature = confirmations >= job.confirmations;
    if !is_mature && (confirmations == 0 || job.proof().len() < LONG_PROOF) {
        return Err(immature);
    }
    let same = |hash: &[u8; 32]| {
        if *hash == job.block_hash {
            Ok(())
        } else {
            Err(NoWay::OtherChain { height })
        }
    };
    let cursor = match relay.entry(height) {
        Some(entry) => {
            same(&entry.hash)?;
            false
        }
        None => match observed.cursor {
            None => return Ok(Some(ProofStep::OpenCursor)),
            Some(at) if at.height < height => return Ok(Some(ProofStep::CloseCursor)),
            Some(at) if at.height > height => {
                let count = (at.height - height).min(MAX_HEADERS as u32);
                let from = at.height;
                return Ok(Some(ProofStep::AdvanceCursor { from, count }));
            }
            Some(at) => {
                same(&at.hash)?;
                true
            }
        },
    };
    let bench = Bench {
        job,
        open: &observed.open,
        program,
        payer,
        cursor,
    };
    let length = u32::try_from(job.proof().len()).unwrap_or(u32::MAX);
    let piece = piece_room(program, payer, job.buffer_id());
    let (inline, buffered) = (bench.most(false), bench.most(true));
    let transactions = |count: usize| bench.open.len().div_ceil(count);
    let written = match observed.buffer {
        Some(buffer) if buffer.length == length && buffer.sha256 == job.digest() => {
            Some(buffer.written)
        }
        _ => None,
    };
    if let Some(count) = inline {
        let missing = length.saturating_sub(written.unwrap_or(0));
        let pieces = missing.div_ceil(piece) as usize + usize::from(written.is_none());
        if buffered.is_none_or(|buffered| transactions(count) <= pieces + transactions(buffered)) {
            return Ok(Some(ProofStep::Use {
                cursor,
                buffer: false,
                count,
            }));
        }
    }
    let Some(count) = buffered else {
        let size = bench.draft(1, true).size();
        return Err(NoWay::TransactionTooLong { size });
    };
    if length > MAX_PROOF {
        return Err(NoWay::ProofTooLong {
            length: job.proof().len(),
        });
    }
    Ok(Some(match (observed.buffer, written) {
        (None, _) => ProofStep::OpenBuffer,
        (Some(_), None) => ProofStep::CloseBuffer,
        (Some(_), Some(written)) if written < length => ProofStep::WriteBuffer {
            offset: written,
            length: piece.min(length - written),
        },
        (Some(_), Some(_)) if !is_mature => return Err(immature),
        (Some(_), Some(_)) => ProofStep::Use {
            cursor,
            buffer: true,
            count,
        },
    }))
}

/// All steps from here, if nothing else happens.
///
/// # Errors
/// [`NoWay`].
pub fn steps(
    job: &Job,
    observed: &Observed,
    program: &Program,
    payer: K2Address,
) -> Result<Vec<ProofStep>, NoWay> {
    let mut observed = observed.clone();
    let mut steps = Vec::new();
    while let Some(step) = next(job, &observed, program, payer)? {
        apply(job, step, &mut observed, program, payer);
        steps.push(step);
    }
    Ok(steps)
}

/// What stands on chain after a step.
fn apply(job: &Job, step: ProofStep, observed: &mut Observed, program: &Program, payer: K2Address) {
    let oldest = observed.relay.oldest_height.get();
    match step {
        ProofStep::OpenCursor => {
            observed.cursor = Some(CursorAt {
                height: oldest,
                hash: observed
                    .relay
                    .entry(oldest)
                    .map_or([0; 32], |entry| entry.hash),
            });
        }
        ProofStep::AdvanceCursor { from, count } => {
            observed.cursor = Some(CursorAt {
                height: from - count,
                // Which blocks lie between is not known here; the one that matters is.
                hash: job.block_hash,
            });
        }
        ProofStep::CloseCursor => observed.cursor = None,
        ProofStep::OpenBuffer => {
            observed.buffer = Some(BufferAt {
                length: job.proof().len() as u32,
                sha256: job.digest(),
                written: 0,
            });
        }
        ProofStep::WriteBuffer { offset, length } => {
            if let Some(buffer) = &mut observed.buffer {
                buffer.written = offset + length;
            }
        }
        ProofStep::CloseBuffer => observed.buffer = None,
        ProofStep::Use {
            cursor,
            buffer,
            count,
        } => {
            let (_, closes) = use_draft(job, observed, program, payer, (cursor, buffer, count));
            if closes {
                observed.buffer = None;
            }
            observed.open.drain(..count.min(observed.open.len()));
        }
    }
}

/// What uses are put together from.
struct Bench<'a> {
    job: &'a Job,
    open: &'a [usize],
    program: &'a Program,
    payer: K2Address,
    cursor: bool,
}

impl Bench<'_> {
    /// The first so many open uses in one transaction.
    fn draft(&self, count: usize, buffered: bool) -> Draft {
        let anchoring = if self.cursor {
            Anchoring::Cursor(super::CURSOR_ID)
        } else {
            Anchoring::Ring
        };
        let uses = self.open.iter().take(count);
        let instructions: Vec<_> = uses
            .filter_map(|place| self.job.uses.get(*place))
            .map(|used| (self.job).instruction(used, self.program, self.payer, anchoring, buffered))
            .collect();
        Draft::new(self.payer, instructions)
    }

    /// How many of the open uses one transaction takes; `None`: not even one.
    fn most(&self, buffered: bool) -> Option<usize> {
        // A proof of a megabyte is not put together to see that it does not fit.
        if !buffered && self.job.proof().len() > MAX_TRANSACTION {
            return None;
        }
        let units = USE_UNITS.saturating_add(self.job.proof().len());
        let affordable = (MAX_UNITS as usize / units).max(1);
        (1..=self.open.len().min(affordable))
            .take_while(|count| self.draft(*count, buffered).fits())
            .last()
    }
}

/// The draft of a [`ProofStep::Use`] - with cursor, with buffer, how many - and whether it closes the buffer.
pub(super) fn use_draft(
    job: &Job,
    observed: &Observed,
    program: &Program,
    payer: K2Address,
    (cursor, buffered, count): (bool, bool, usize),
) -> (Draft, bool) {
    let bench = Bench {
        job,
        open: &observed.open,
        program,
        payer,
        cursor,
    };
    let draft = bench.draft(count, buffered);
    if buffered && count >= observed.open.len() {
        let mut closing = draft.clone();
        let close = program.close_buffer(payer, job.buffer_id());
        closing.instructions.push(close);
        if closing.fits() {
            return (closing, true);
        }
    }
    (draft, false)
}

/// The longest piece of one WriteBuffer.
fn piece_room(program: &Program, payer: K2Address, id: u32) -> u32 {
    // The length of more than 127 bytes of instruction data takes a byte more than that of an empty piece.
    let empty = Draft::new(payer, [program.write_buffer(payer, id, 0, &[])]);
    let room = empty.room().unwrap_or(0).saturating_sub(1);
    u32::try_from(room).unwrap_or(0).max(1)
}
