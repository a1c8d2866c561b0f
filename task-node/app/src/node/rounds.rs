//! Rounds as Koii drives them.

use std::sync::Arc;
use std::time::Duration;

use ::rounds::BothClocks;
use store::{Mark, RoundShares, RoundState, Tip};
use work::RoundNumber;

use super::Node;
use crate::refusal::Refusal;
use crate::requests::SubmissionView;

/// The longest `/task` waits for a round to be open.
const AT_ONCE: Duration = Duration::from_secs(1);

impl Node {
    /// Opens a round; says what happened.
    ///
    /// # Errors
    /// The round is behind the newest one or doubtfully far ahead of it, or the store fails.
    pub async fn start_round(self: &Arc<Self>, round: RoundNumber) -> Result<String, Refusal> {
        let now = BothClocks {
            wall: self.clock.now(),
            monotonic: self.clock.monotonic(),
        };
        if let Err(newest) = self.jumps.lock().await.believe(round, now) {
            tracing::warn!(%round, %newest, "K2's slot seems to have jumped: the round is not begun");
            return Err(Refusal::Conflict(format!(
                "round {round} is too far after round {newest} for the time since then: if K2 really is there, the next \
                 round is begun"
            )));
        }
        if let Some(newest) = *self.keeper.claimed().borrow()
            && round < newest
        {
            return match self.store.round(round).await? {
                Some(_) => Ok(format!(
                    "round {round} was opened before; round {newest} is newest"
                )),
                None => Err(Refusal::Conflict(format!(
                    "round {round} is behind round {newest}, which this node is mining for: rounds only move forward"
                ))),
            };
        }
        let Some(mark) = self.mark() else {
            // Koii asks once. Without a tip no round can be opened, so it is opened as soon as there is one.
            let mut wanted = self.wanted.lock().await;
            if wanted.is_none_or(|wanted| wanted < round) {
                *wanted = Some(round);
                drop(wanted);
                self.open_later(round);
            }
            return Ok(format!(
                "round {round} begins as soon as a Bitcoin node gives a template"
            ));
        };
        // Sealing a large round holds the keeper for seconds, and `/task` must return at once: the opening goes on by
        // itself if it takes longer.
        let node = Arc::clone(self);
        let opening = tokio::spawn(async move {
            node.keeper.start(round, mark).await.inspect_err(|error| {
                tracing::error!(%error, %round, "the round could not be opened");
            })
        });
        match tokio::time::timeout(AT_ONCE, opening).await {
            Err(_) => Ok(format!(
                "round {round} begins as soon as the one before it is sealed"
            )),
            Ok(Err(error)) => Err(Refusal::Unavailable(error.to_string())),
            Ok(Ok(opened)) => {
                opened?;
                Ok(format!("mining for round {round}"))
            }
        }
    }

    /// Waits for the first template, then opens `round` unless a later one came meanwhile.
    fn open_later(self: &Arc<Self>, round: RoundNumber) {
        let node = Arc::clone(self);
        let mut templates = self.templates.clone();
        tokio::spawn(async move {
            if templates.next().await.is_none() {
                return;
            }
            let is_latest = *node.wanted.lock().await == Some(round);
            if let (true, Some(mark)) = (is_latest, node.mark())
                && let Err(error) = node.keeper.start(round, mark).await
            {
                tracing::error!(%error, %round, "the round could not be opened");
            }
        });
    }

    /// Seals a round and says what is in it.
    ///
    /// # Errors
    /// This node took no part in it, or it cannot be sealed now.
    pub async fn submission(&self, round: RoundNumber) -> Result<SubmissionView, Refusal> {
        let not_ours = || {
            Refusal::NotFound(format!(
                "this node has no submission for round {round}: it was not asked to mine for it"
            ))
        };
        let record = self.store.round(round).await?.ok_or_else(not_ours)?;
        // A restart without a Bitcoin node must not keep a finished round from being submitted.
        let last_seen = match (self.mark(), record.state) {
            (None, RoundState::Open) => {
                last_seen(record.opened, &self.store.round_shares(round).await?)
            }
            _ => record.opened,
        };
        let mark = || self.mark().unwrap_or(last_seen);
        let seal = self
            .keeper
            .submission(round, &mark)
            .await?
            .ok_or_else(not_ours)?;
        self.pin_soon.notify_one();
        // Nobody can have asked for it before it was named.
        if seal.at >= self.started {
            self.fetched.lock().await.sealed(seal.cid);
        }
        Ok(SubmissionView {
            cid: seal.cid,
            shares: seal.shares,
            work: seal.work,
            difficulty: seal.work.difficulty_for_display(),
            root: hex::encode(seal.root),
            gateway: self.public_url.clone(),
        })
    }

    /// Now, on both clocks; `None` before the first template.
    fn mark(&self) -> Option<Mark> {
        let template = self.templates.latest()?;
        Some(Mark {
            at: self.clock.now(),
            tip: Tip {
                hash: template.prev_hash(),
                height: template.height().saturating_sub(1),
            },
        })
    }
}

/// The last moment of a round this node can vouch for: that of its last share, on the tip it was mined on. An older tip
/// with the present time would be one that was no tip any more, and auditors would have to refuse the bundle.
fn last_seen(opened: Mark, shares: &RoundShares) -> Mark {
    let moments = shares.shares.iter().filter_map(|share| {
        let at = shares.jobs.binary_search_by_key(&share.job, |(id, _)| *id);
        let (_, job) = shares.jobs.get(at.ok()?)?;
        Some((share.at, job.height(), job.prev_hash()))
    });
    moments.max().map_or(opened, |(at, height, hash)| Mark {
        at: at.max(opened.at),
        tip: Tip {
            hash,
            height: height.saturating_sub(1),
        },
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bitcoin::hashes::Hash as _;
    use bitcoin::{BlockHash, Network};
    use pow::ShareDifficulty;
    use store::StoredShare;
    use work::{
        BlockTemplate, Claim, Extranonce, JobTemplate, K2Address, PayoutScript, PoolTag,
        ShareFields, TaskId, TemplateParts, UnixTime,
    };

    use super::*;

    fn tip(height: u32) -> Tip {
        Tip {
            hash: BlockHash::from_byte_array([height as u8; 32]),
            height,
        }
    }

    fn job(height: u32) -> JobTemplate {
        let parts = TemplateParts {
            height: height + 1,
            prev_hash: tip(height).hash.to_byte_array(),
            version: 0x2000_0000,
            nbits: 0x207f_ffff,
            min_time: 1,
            cur_time: 2,
            coinbase_value: 5_000_000_000,
            transactions: Vec::new(),
            witness_commitment_script: None,
        };
        let block = BlockTemplate::new(&parts, Network::Regtest).unwrap();
        let payout = PayoutScript::parse(
            "wpkh(0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798)",
            Network::Regtest,
        );
        JobTemplate::new(&block, &payout.unwrap(), PoolTag::default())
    }

    #[test]
    fn without_a_bitcoin_node_a_round_ends_with_its_last_share() {
        let opened = Mark {
            at: UnixTime(1000),
            tip: tip(100),
        };
        let mut shares = RoundShares {
            jobs: Vec::new(),
            shares: Vec::new(),
        };
        assert_eq!(last_seen(opened, &shares), opened);

        for (height, at) in [(100, 1200), (103, 2900), (102, 2500), (100, 900)] {
            let template = job(height);
            let id = template.id().unwrap();
            shares.jobs.push((id, template));
            shares.shares.push(StoredShare {
                job: id,
                claim: Arc::new(Claim {
                    task: TaskId::from_bytes([1; 32]),
                    round: RoundNumber::ZERO,
                    node: K2Address::from_bytes([2; 32]),
                    miner: K2Address::from_bytes([3; 32]),
                    difficulty: ShareDifficulty::MIN,
                    extension: Vec::new(),
                }),
                fields: ShareFields {
                    extranonce: Extranonce::from_bytes([0; 12]),
                    ntime: 2,
                    nonce: 0,
                    version_bits: Some(0),
                },
                hash: BlockHash::all_zeros(),
                is_block: false,
                worker: "rig".into(),
                at: UnixTime(at),
            });
        }
        shares.jobs.sort_by_key(|(id, _)| *id);
        shares.jobs.dedup_by_key(|(id, _)| *id);
        let end = Mark {
            at: UnixTime(2900),
            tip: tip(103),
        };
        assert_eq!(last_seen(opened, &shares), end);
    }
}
