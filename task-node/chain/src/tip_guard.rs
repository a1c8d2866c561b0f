//! Decides whether a template may replace the one being mined on. Pure; the watcher does the asking.
//!
//! Late answers, lagging nodes and re-orgs look alike from outside: a template that builds on another block than the
//! current one. Height cannot tell them apart (a re-org may end at the same height, or at a lower one with more
//! work), so the node that gave the template is asked how it sees the block that is being mined on now.

use bitcoin::{BlockHash, Work};

/// The block a template builds on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tip {
    pub(crate) hash: BlockHash,
    pub(crate) height: u32,
    /// Filled in when known; compared only with a node that does not know the other block.
    pub(crate) chain_work: Option<Work>,
}

/// How the node that gave the candidate sees the current tip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// On its active chain.
    Active,
    /// Known, and off its active chain.
    Stale,
    /// Never seen.
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// Same previous block: fresher transactions and time, jobs before it stay valid.
    Refresh,
    /// Another previous block: all older jobs are stale.
    NewTip,
    /// Builds on a block that has been overtaken; must not be published.
    Outdated,
}

/// `view` is needed only when the previous blocks differ.
pub(crate) fn judge(current: Option<&Tip>, candidate: &Tip, view: View) -> Judgement {
    let Some(current) = current else {
        return Judgement::NewTip;
    };
    if candidate.hash == current.hash {
        return Judgement::Refresh;
    }
    let newer = match view {
        // The node dropped our block for the candidate's branch: a re-org, whatever the heights.
        View::Stale => true,
        // Both are on one chain: the higher one is newer.
        View::Active => candidate.height > current.height,
        // Either the node lags or it follows a branch we have not seen; more work wins, as everywhere in Bitcoin.
        View::Unknown => match (candidate.chain_work, current.chain_work) {
            (Some(candidate), Some(current)) => candidate > current,
            _ => candidate.height > current.height,
        },
    };
    if newer {
        Judgement::NewTip
    } else {
        Judgement::Outdated
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash as _;

    use super::*;

    fn tip(id: u8, height: u32, work: Option<u8>) -> Tip {
        let work = work.map(|w| {
            let mut bytes = [0; 32];
            bytes[31] = w;
            Work::from_be_bytes(bytes)
        });
        Tip {
            hash: BlockHash::from_byte_array([id; 32]),
            height,
            chain_work: work,
        }
    }

    #[test]
    fn the_first_template_is_always_news() {
        assert_eq!(
            judge(None, &tip(1, 5, None), View::Unknown),
            Judgement::NewTip
        );
    }

    #[test]
    fn same_height_reorg_is_clean_para() {
        // A pool that compares heights keeps its miners on the losing sibling.
        assert_eq!(
            judge(Some(&tip(1, 100, None)), &tip(2, 100, None), View::Stale),
            Judgement::NewTip
        );
        assert_eq!(
            judge(Some(&tip(1, 100, None)), &tip(2, 98, None), View::Stale),
            Judgement::NewTip
        );
    }

    #[test]
    fn same_block_is_a_refresh_whatever_the_view() {
        for view in [View::Active, View::Stale, View::Unknown] {
            assert_eq!(
                judge(Some(&tip(1, 100, None)), &tip(1, 100, None), view),
                Judgement::Refresh
            );
        }
    }

    #[test]
    fn a_late_answer_never_takes_miners_back() {
        let current = tip(2, 101, Some(50));
        assert_eq!(
            judge(Some(&current), &tip(1, 100, Some(40)), View::Active),
            Judgement::Outdated
        );
        assert_eq!(
            judge(Some(&current), &tip(3, 102, Some(60)), View::Active),
            Judgement::NewTip
        );
    }

    #[test]
    fn a_lagging_node_never_takes_miners_back() {
        let current = tip(2, 101, Some(50));
        assert_eq!(
            judge(Some(&current), &tip(1, 100, Some(40)), View::Unknown),
            Judgement::Outdated
        );
        // Higher but with less work: a weaker branch.
        assert_eq!(
            judge(Some(&current), &tip(1, 150, Some(49)), View::Unknown),
            Judgement::Outdated
        );
        assert_eq!(
            judge(Some(&current), &tip(1, 100, Some(51)), View::Unknown),
            Judgement::NewTip
        );
        // A sibling of equal work: first seen wins.
        assert_eq!(
            judge(Some(&current), &tip(1, 101, Some(50)), View::Unknown),
            Judgement::Outdated
        );
        assert_eq!(
            judge(Some(&current), &tip(1, 102, None), View::Unknown),
            Judgement::NewTip
        );
        assert_eq!(
            judge(Some(&current), &tip(1, 101, None), View::Unknown),
            Judgement::Outdated
        );
    }
}
