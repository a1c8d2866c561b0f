//! What has to be submitted so that the relay follows a Bitcoin node: a pure function of both.

use bitcoin::block::Header;
use bitcoin::hashes::Hash as _;
use k2_interface::bitcoin::time_window::MEDIAN_TIME_SPAN;
use k2_interface::instruction::MAX_HEADERS;
use k2_interface::state::{Fork, MAX_FORK, MAX_REORG, Relay};

/// The node's best chain above the last block it shares with the relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    /// Height of the last common block.
    pub base_height: u32,
    /// What follows it on the node's best chain, or the beginning of it.
    pub headers: Vec<Header>,
}

/// One transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// SubmitHeaders: at most ten headers that extend the best chain or replace its end.
    Submit {
        /// Height of the block before the first header.
        parent_height: u32,
        /// The headers.
        headers: Vec<Header>,
    },
    /// SubmitFork: at most ten headers more of a branch that leaves the best chain after `base_height`.
    Fork {
        /// Height of the last block in common.
        base_height: u32,
        /// The headers.
        headers: Vec<Header>,
    },
    /// CloseFork: a branch that leads nowhere any more.
    CloseFork,
}

/// Why the relay cannot follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Blocked {
    /// The program's limit.
    #[error(
        "the node's chain takes back {depth} of the relay's blocks, {MAX_REORG} is the most the relay follows: the pool must be paused"
    )]
    TooDeep {
        /// Blocks to take back.
        depth: u32,
    },
    /// The program's limit: a branch leaves after a block that has ten before it in the ring.
    #[error(
        "the node's chain takes back blocks of the relay's checkpoint, which are final: the pool must be paused"
    )]
    CheckpointFinal,
    /// The program's limit.
    #[error(
        "the node's branch needs {needed} headers to have more work than the relay's chain, {MAX_FORK} fit a fork account"
    )]
    ForkTooLong {
        /// Headers needed.
        needed: usize,
    },
    /// The ring lacks the common block; only a foreign or broken account looks like that.
    #[error("the relay does not hold block {height}, which it should")]
    Ring {
        /// The block.
        height: u32,
    },
}

/// The transactions that bring the relay to the end of `branch`, in their order. Empty: nothing to do, or the branch has
/// no more work yet than the relay's chain.
///
/// `fork` is the payer's fork account. One that is a beginning of the branch is continued; any other is closed.
///
/// # Errors
/// [`Blocked`].
pub fn plan(relay: &Relay, fork: Option<&Fork>, branch: &Branch) -> Result<Vec<Step>, Blocked> {
    let (tip, base) = (relay.tip_height.get(), branch.base_height);
    let depth = tip.saturating_sub(base);
    if branch.headers.is_empty() {
        // A relay ahead of the node may well need its branch still; one at the same block does not.
        let idle = depth == 0;
        return Ok(fork
            .filter(|_| idle)
            .map(|_| Step::CloseFork)
            .into_iter()
            .collect());
    }
    if depth == 0 {
        let mut steps = submit(base, &branch.headers);
        steps.extend(fork.map(|_| Step::CloseFork));
        return Ok(steps);
    }
    if depth > MAX_REORG {
        return Err(Blocked::TooDeep { depth });
    }
    if base.saturating_sub(MEDIAN_TIME_SPAN as u32 - 1) < relay.oldest_height.get() {
        return Err(Blocked::CheckpointFinal);
    }
    let Some(needed) = headers_needed(relay, branch)? else {
        return Ok(Vec::new());
    };
    if needed <= MAX_HEADERS {
        let mut steps = submit(base, &branch.headers);
        steps.extend(fork.map(|_| Step::CloseFork));
        return Ok(steps);
    }
    if needed > MAX_FORK {
        return Err(Blocked::ForkTooLong { needed });
    }
    let mut steps = Vec::new();
    let collected = match fork {
        Some(fork) => continues(relay, fork, branch).unwrap_or_else(|| {
            steps.push(Step::CloseFork);
            0
        }),
        None => 0,
    };
    // The branch becomes the best chain, and the account is closed, with the header that gives it more work: no fork
    // transaction goes beyond that one.
    let end = needed.max(collected + 1);
    let (Some(missing), Some(rest)) = (
        branch.headers.get(collected..end),
        branch.headers.get(end..),
    ) else {
        return Ok(steps);
    };
    steps.extend(missing.chunks(MAX_HEADERS).map(|headers| Step::Fork {
        base_height: base,
        headers: headers.to_vec(),
    }));
    steps.extend(submit(base + end as u32, rest));
    Ok(steps)
}

fn submit(base: u32, headers: &[Header]) -> Vec<Step> {
    (base..)
        .step_by(MAX_HEADERS)
        .zip(headers.chunks(MAX_HEADERS))
        .map(|(parent_height, headers)| Step::Submit {
            parent_height,
            headers: headers.to_vec(),
        })
        .collect()
}

/// How many of the branch's headers have more work than what they replace; `None`: not even all of them.
fn headers_needed(relay: &Relay, branch: &Branch) -> Result<Option<usize>, Blocked> {
    let work = |height| {
        let entry = relay.entry(height).ok_or(Blocked::Ring { height })?;
        Ok(entry.chain_work.get())
    };
    let most = work(relay.tip_height.get())?;
    let mut sum = work(branch.base_height)?;
    for (index, header) in branch.headers.iter().enumerate() {
        sum = sum.saturating_add(work_of(header));
        if sum > most {
            return Ok(Some(index + 1));
        }
    }
    Ok(None)
}

/// Expected hashes behind a header; more than fits is as good as the most that does.
pub(crate) fn work_of(header: &Header) -> u128 {
    narrow(header.work())
}

/// As the relay counts.
pub(crate) fn narrow(work: bitcoin::Work) -> u128 {
    let bytes = work.to_be_bytes();
    let (high, low) = bytes.split_at(16);
    match low.try_into() {
        Ok(low) if high.iter().all(|byte| *byte == 0) => u128::from_be_bytes(low),
        _ => u128::MAX,
    }
}

/// How many of the branch's headers the fork account holds; `None` where it holds something else.
fn continues(relay: &Relay, fork: &Fork, branch: &Branch) -> Option<usize> {
    let count = fork.count.get() as usize;
    let same_base = fork.base_height.get() == branch.base_height
        && relay.entry(branch.base_height)?.hash == fork.base_hash;
    let (held, wanted) = (fork.entries.get(..count)?, branch.headers.get(..count)?);
    let same = held
        .iter()
        .zip(wanted)
        .all(|(entry, header)| entry.hash == header.block_hash().to_byte_array());
    (same_base && same).then_some(count)
}
