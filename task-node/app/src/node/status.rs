//! Gathers what the operator's four questions are answered from.

use std::path::Path;

use chain::{Condition, WatcherPhase};
use k2_interface::Role;
use ledger::{Distribution, Stake};
use rounds::Settlement;
use store::{BlockStatus, RoundState, ShareStore, StoreError};
use work::{K2Address, RoundNumber, UnixTime};

use super::settlement::Held;
use super::{Node, relay_witness, unavailable};
use crate::refusal::Refusal;
use crate::status::{
    AuditsFact, BitcoinFact, BlockFact, EarnedFact, Facts, LiveFact, MinersFact, Phase, RelayFact,
    RoundFact, SealFact, SettledFact, StatusView, TemplateFact, answer,
};

/// Rounds that are looked at.
const ROUNDS: u32 = 20;
/// Blocks that are looked at.
const BLOCKS: u32 = 100;

/// Which settlement and which distribution [`EarnedFact`] was read from.
type EarnedKey = (Option<RoundNumber>, Option<RoundNumber>);

/// What was earned, kept until something newer is settled or distributed: both records are large in a large pool.
#[derive(Debug, Default)]
pub(super) struct EarnedCache(Option<(EarnedKey, EarnedFact)>);

/// What a store alone knows. Also read from the store of a node that does not run.
///
/// # Errors
/// The store cannot be read, or holds what cannot be decoded.
pub(crate) async fn stored(store: &dyn ShareStore, now: UnixTime) -> Result<Facts, Refusal> {
    let mut cache = EarnedCache::default();
    stored_with(store, now, &mut cache).await
}

async fn stored_with(
    store: &dyn ShareStore,
    now: UnixTime,
    cache: &mut EarnedCache,
) -> Result<Facts, Refusal> {
    let identity = store.identity();
    let mut rounds = Vec::new();
    let mut distributed = None;
    for record in store.rounds(ROUNDS).await? {
        let accepted = store.accepted(record.round).await?;
        if accepted.is_some() && distributed.is_none() {
            distributed = Some(record.round);
        }
        let own = accepted.as_ref().map(|accepted| {
            accepted.iter().any(|one| {
                one.node == identity.node
                    && record.state.seal().is_some_and(|seal| seal.cid == one.cid)
            })
        });
        let all = accepted.map_or(0, |accepted| accepted.len());
        rounds.push(RoundFact {
            round: record.round.get(),
            opened: record.opened.at.0,
            closed: record.state.closed().map(|mark| mark.at.0),
            shares: record.shares,
            difficulty: record.work.difficulty_for_display(),
            seal: match record.state {
                RoundState::Sealed { seal, .. } => Some(SealFact {
                    cid: seal.cid.to_string(),
                    at: seal.at.0,
                    fetched: None,
                }),
                RoundState::Open | RoundState::Closed(_) => None,
            },
            others: all.saturating_sub(usize::from(own == Some(true))),
            accepted: own,
        });
    }
    let sealed = rounds.iter().find(|round| round.seal.is_some());
    let audits = match sealed.map(|round| RoundNumber::try_from(round.round)) {
        Some(Ok(round)) => {
            let audits = store.audits(round).await?;
            let valid = audits.iter().filter(|audit| audit.valid).count();
            AuditsFact {
                valid,
                invalid: audits.len() - valid,
            }
        }
        _ => AuditsFact::default(),
    };
    Ok(Facts {
        node: identity.node.to_string(),
        task: identity.task.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        now: now.0,
        live: None,
        rounds,
        audits,
        blocks: blocks(store).await?,
        earned: earned(store, identity.node, distributed, cache).await?,
        disk_free: None,
    })
}

async fn blocks(store: &dyn ShareStore) -> Result<Vec<BlockFact>, StoreError> {
    let blocks = store.blocks(BLOCKS).await?;
    let fact = |block: store::BlockRecord| BlockFact {
        height: block.height,
        hash: block.hash.to_string(),
        at: block.at.0,
        waits: block.status == BlockStatus::Submitted,
        stale: block.status == BlockStatus::Stale,
        refused: match block.status {
            BlockStatus::Rejected(reason) => Some(reason),
            _ => None,
        },
    };
    Ok(blocks.into_iter().map(fact).collect())
}

async fn earned(
    store: &dyn ShareStore,
    node: K2Address,
    distributed: Option<RoundNumber>,
    cache: &mut EarnedCache,
) -> Result<EarnedFact, Refusal> {
    let newest = store.newest_settled().await?;
    let key = (newest, distributed);
    if let Some((_, earned)) = cache.0.as_ref().filter(|(kept, _)| *kept == key) {
        return Ok(earned.clone());
    }
    let settlement = async |round: Option<RoundNumber>| match round {
        Some(round) => store.settlement(round).await,
        None => Ok(None),
    };
    let settled = settlement(newest).await?;
    let before = settlement(newest.and_then(RoundNumber::previous)).await?;
    let distribution = match distributed {
        Some(round) => store.distribution(round).await?.map(|bytes| (round, bytes)),
        None => None,
    };
    let reading = tokio::task::spawn_blocking(move || {
        let fact = |bytes: Option<Vec<u8>>| {
            bytes
                .map(|bytes| settled_fact(&bytes, node))
                .transpose()
                .map_err(unavailable)
        };
        let bounty = match distribution {
            None => None,
            Some((round, bytes)) => {
                let list = Distribution::from_bytes(&bytes)
                    .map_err(unavailable)?
                    .koii_list();
                Some((
                    round.get(),
                    list.get(&node.to_string()).copied().unwrap_or_default(),
                ))
            }
        };
        Ok::<_, Refusal>(EarnedFact {
            settled: fact(settled)?,
            before: fact(before)?,
            bounty,
        })
    });
    let earned = reading.await.map_err(unavailable)??;
    cache.0 = Some((key, earned.clone()));
    Ok(earned)
}

fn settled_fact(bytes: &[u8], node: K2Address) -> Result<SettledFact, rounds::SettlementError> {
    let settlement = Settlement::from_bytes(bytes)?;
    let miners = &settlement.distribution().record().miners;
    let of = |role| miners.of(Stake::new(role, node)).to_sat();
    Ok(SettledFact {
        round: settlement.round().get(),
        operator: of(Role::Operator),
        miner: of(Role::Miner),
    })
}

/// Room left on the disk of a directory, in bytes.
pub(crate) fn room(dir: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(dir).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// How often this node's newest bundles were fetched from it. Only their roots are counted, and only the last few.
#[derive(Debug, Default)]
pub(super) struct Fetched(Vec<(cid::Cid, u64)>);

/// Bundles whose fetches are counted.
const COUNTED: usize = 8;

impl Fetched {
    /// A bundle was sealed by this process.
    pub(super) fn sealed(&mut self, cid: cid::Cid) {
        if self.0.iter().all(|(known, _)| *known != cid) {
            if self.0.len() >= COUNTED {
                self.0.remove(0);
            }
            self.0.push((cid, 0));
        }
    }

    fn served(&mut self, cid: &cid::Cid) {
        if let Some((_, times)) = self.0.iter_mut().find(|(known, _)| known == cid) {
            *times = times.saturating_add(1);
        }
    }

    fn of(&self, cid: &str) -> Option<u64> {
        let known = self.0.iter().find(|(known, _)| known.to_string() == cid);
        known.map(|(_, times)| *times)
    }
}

impl Node {
    /// Counts that content was served, if it is a bundle of this node's own.
    pub async fn note_served(&self, cid: &cid::Cid) {
        self.fetched.lock().await.served(cid);
    }

    /// The operator's four questions, answered.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn status(&self) -> Result<StatusView, Refusal> {
        let now = self.clock.now();
        let mut facts = {
            let mut cache = self.earned.lock().await;
            stored_with(self.store.as_ref(), now, &mut cache).await?
        };
        let fetched = self.fetched.lock().await;
        for seal in facts
            .rounds
            .iter_mut()
            .filter_map(|round| round.seal.as_mut())
        {
            // A count that began later says nothing.
            seal.fetched = fetched.of(&seal.cid);
        }
        drop(fetched);
        facts.disk_free = room(&self.data_dir);
        let outside = self.outside.look(self).await;
        facts.live = Some(LiveFact {
            started: self.started.0,
            claimed: self.keeper.claimed().borrow().map(RoundNumber::get),
            bitcoin: self.bitcoin_fact(),
            miners: self.miners_fact(),
            settling_trouble: match &self.settling.lock().await.held {
                Some((_, Held::Trouble(refusal, _))) => Some(refusal.to_string()),
                _ => None,
            },
            gateways: outside.gateways,
            k2: outside.k2,
        });
        Ok(answer(&facts))
    }

    fn bitcoin_fact(&self) -> BitcoinFact {
        let watcher = self.templates.status().borrow().clone();
        let age = watcher.published.map(|at| at.elapsed().as_secs());
        BitcoinFact {
            phase: match watcher.phase {
                WatcherPhase::Syncing {
                    verification_ppm, ..
                } => Phase::Syncing {
                    ppm: verification_ppm,
                },
                WatcherPhase::Running => Phase::Running,
                _ => Phase::Connecting,
            },
            error: watcher.error,
            nodes: self
                .bitcoin
                .status()
                .into_iter()
                .map(|member| match member.condition {
                    Condition::Demoted { reason, .. } => (member.name, Some(reason)),
                    _ => (member.name, None),
                })
                .collect(),
            template: self
                .templates
                .latest()
                .zip(age)
                .map(|(template, age)| TemplateFact {
                    height: template.height(),
                    age,
                    node_time: template.cur_time().into(),
                }),
            refresh: self.template_refresh.as_secs(),
            relay: self.peers.as_ref().and_then(|peers| {
                let (testimony, heard) = peers.testimony()?;
                Some(RelayFact {
                    words: testimony.to_string(),
                    is_wrong: relay_witness::is_wrong(&testimony),
                    age: heard.as_secs(),
                })
            }),
        }
    }

    fn miners_fact(&self) -> MinersFact {
        let mut miners = MinersFact {
            built_in_rate: self.built_in.map(|_| 0.0),
            ..MinersFact::default()
        };
        for worker in self.stratum.stats().workers {
            let rejected = worker.rejected;
            miners.accepted = miners.accepted.saturating_add(worker.accepted);
            for refused in [
                rejected.stale,
                rejected.duplicate,
                rejected.low_difficulty,
                rejected.time,
                rejected.version_bits,
                rejected.other,
            ] {
                miners.rejected = miners.rejected.saturating_add(refused);
            }
            miners.last_share = miners.last_share.max(worker.last_share.map(|at| at.0));
            let is_built_in = self.built_in == Some(worker.miner)
                && worker.worker == crate::mining::BUILT_IN_WORKER;
            match miners.built_in_rate.as_mut().filter(|_| is_built_in) {
                Some(rate) => *rate += worker.hash_rate,
                None => {
                    miners.sessions += worker.sessions;
                    miners.workers += usize::from(worker.sessions > 0);
                    miners.stratum_rate += worker.hash_rate;
                }
            }
        }
        miners
    }
}

/// Whether the root that is in force on K2 is the one that this node computed, and what its leaves give this node's key.
pub(super) fn of_root(
    bytes: &[u8],
    node: K2Address,
    root: [u8; 32],
) -> Result<(bool, u64), Refusal> {
    let settlement = Settlement::from_bytes(bytes).map_err(unavailable)?;
    let agrees = settlement.distribution().record().root == Some(root);
    let list = ledger::RewardList::from_distribution(settlement.distribution());
    let list = list.map_err(unavailable)?;
    let leaves = [Role::Operator, Role::Miner]
        .into_iter()
        .filter_map(|role| {
            let (leaf, _) = list.as_ref()?.leaf(role, node)?;
            Some(leaf.cumulative)
        });
    Ok((agrees, leaves.fold(0, u64::saturating_add)))
}
