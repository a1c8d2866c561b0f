//! Steps of operators and rounds, and claims.

use k2_interface::Role;
use k2_interface::instruction::RoundRoot;
use k2_interface::state::Pause;
use solana_pubkey::Pubkey;

use super::model::{InForce, Membership, Proposed, Stage};
use super::{Planned, UNBONDING, Walk};
use crate::rewards::{Entry, RewardList};

impl Walk {
    /// What the candidate's registration would be.
    #[track_caller]
    pub(super) fn register(&mut self, candidate: Pubkey) -> Option<Planned> {
        let call = self.world.register(candidate);
        let count = self.model.operator_count();
        let allowed =
            !self.model.operators.contains_key(&candidate) && 2 * self.model.quorum > count + 1;
        let joined = self.slot();
        Planned::new(call, allowed, move |model| {
            model
                .operators
                .insert(candidate, Membership { joined, left: None });
        })
    }

    /// Somebody joins, leaves, or has its bond back; or the quorum changes.
    #[track_caller]
    pub(super) fn plan_operator(&mut self) -> Option<Planned> {
        let candidate = *self.rng.pick(&self.candidates);
        let slot = self.slot();
        match self.rng.below(10) {
            0..=3 => self.register(candidate),
            4 => {
                let by = *self
                    .rng
                    .pick(&[candidate, self.model.authority, self.stranger]);
                let call = self.world.leave(candidate, by);
                let allowed = self.model.joined(&candidate).is_some() && by != self.stranger;
                Planned::new(call, allowed, move |model| {
                    model.operators.get_mut(&candidate).unwrap().left = Some(slot);
                })
            }
            5..=7 => {
                let gone = |key: &&Pubkey| {
                    (self.model.operators.get(*key))
                        .is_some_and(|membership| membership.left.is_some())
                };
                let candidate = self
                    .candidates
                    .iter()
                    .find(gone)
                    .copied()
                    .unwrap_or(candidate);
                if self.rng.chance(50) {
                    self.world.wait(UNBONDING);
                }
                let slot = self.slot();
                let call = self.world.withdraw_bond(candidate);
                let left = self
                    .model
                    .operators
                    .get(&candidate)
                    .and_then(|membership| membership.left);
                let allowed = left.is_some_and(|left| slot >= left + UNBONDING);
                Planned::new(call, allowed, move |model| {
                    model.operators.remove(&candidate);
                })
            }
            _ => {
                let count = self.model.operator_count();
                let majority = count / 2 + 1;
                let quorum = if self.rng.chance(60) {
                    majority
                } else {
                    self.rng.below(5) as u8
                };
                let by = self.mostly(self.model.authority);
                let call = self.world.set_quorum(quorum).with("authority", by);
                let allowed =
                    by == self.model.authority && 2 * quorum > count && quorum <= count + 1;
                Planned::new(call, allowed, move |model| model.quorum = quorum)
            }
        }
    }

    /// A list for the next round: what was finalized, and a little more for everybody. Now and then it takes something back.
    fn next_list(&mut self, round: u64) -> (usize, u64) {
        let before = self
            .model
            .rewards
            .as_ref()
            .map(|rewards| self.model.lists[rewards.list].clone());
        let total = self
            .model
            .rewards
            .as_ref()
            .map_or(0, |rewards| rewards.total);
        let free = self.model.proved_in.saturating_sub(total);
        let mut entries: Vec<Entry> = Vec::new();
        for owner in self.people.clone() {
            for role in [Role::Miner, Role::Operator] {
                let had = before
                    .as_ref()
                    .and_then(|list| list.find(role, owner))
                    .unwrap_or(0);
                let more = match self.rng.below(10) {
                    0 | 1 => 0,
                    2 if self.rng.chance(10) => free + 1,
                    _ => self.rng.below(free / 16 + 1),
                };
                let sats = if self.rng.chance(2) {
                    had / 2
                } else {
                    had + more
                };
                if sats > 0 {
                    entries.push((role, owner, sats));
                }
            }
        }
        if entries.is_empty() {
            entries.push((Role::Miner, self.people[0], 1));
        }
        let sum = entries.iter().map(|(_, _, sats)| sats).sum();
        self.model
            .lists
            .push(RewardList::new(self.world.program, round, &entries));
        (self.model.lists.len() - 1, sum)
    }

    /// An operator proposes the root of a new list, right or wrong.
    #[track_caller]
    pub(super) fn plan_proposal(&mut self) -> Option<Planned> {
        let operator = if self.rng.chance(92) {
            *self.rng.pick(&self.candidates)
        } else {
            self.stranger
        };
        let current = self
            .model
            .rewards
            .as_ref()
            .map_or((0, [0; 32]), |rewards| (rewards.round, rewards.root));
        let round = if self.rng.chance(8) {
            current.0
        } else {
            current.0 + 1 + self.rng.below(2)
        };
        let (list, _) = self.next_list(round);
        let previous = if self.rng.chance(4) {
            [7; 32]
        } else {
            current.1
        };
        let mut root = self.model.lists[list].root(previous);
        if self.rng.chance(10) {
            // A list that does not add up: its total says less than its leaves.
            root.total = root.total.saturating_sub(1 + self.rng.below(1_000));
        }
        let slot = self.slot();
        let call = self.world.propose(operator, root);
        let allowed = !self.model.is_paused(Pause::Rounds)
            && self
                .model
                .joined(&operator)
                .is_some_and(|joined| joined < slot)
            && self.model.may_follow(&root)
            && !self.model.proposals.contains_key(&(round, operator));
        Planned::new(call, allowed, move |model| {
            let key = (round, operator);
            let proposed = Proposed {
                root,
                list,
                slot,
                voters: [].into(),
                quorum_slot: None,
                stage: Stage::Open,
            };
            model.proposals.insert(key, proposed);
            model.add_vote(key, operator, slot);
        })
    }

    /// One of the proposals there are, most often one that can still come in force.
    fn some_proposal(&mut self) -> Option<((u64, Pubkey), Proposed)> {
        let model = &self.model;
        let current: Vec<_> = (model.proposals.iter())
            .filter(|(_, proposed)| {
                proposed.stage == Stage::Open && model.may_follow(&proposed.root)
            })
            .map(|(key, _)| *key)
            .collect();
        let all: Vec<_> = model.proposals.keys().copied().collect();
        let from = if current.is_empty() || self.rng.chance(15) {
            all
        } else {
            current
        };
        if from.is_empty() {
            return None;
        }
        let key = *self.rng.pick(&from);
        Some((key, self.model.proposals[&key].clone()))
    }

    /// Somebody attests something.
    #[track_caller]
    pub(super) fn plan_attestation(&mut self) -> Option<Planned> {
        let (key, proposed) = self.some_proposal()?;
        let may = |key: &&Pubkey| {
            (self.model.joined(key))
                .is_some_and(|joined| !proposed.voters.contains(&(**key, joined)))
        };
        let missing: Vec<Pubkey> = self.candidates.iter().filter(may).copied().collect();
        let anybody = missing.is_empty() || self.rng.chance(20);
        let operator = *self
            .rng
            .pick(if anybody { &self.candidates } else { &missing });
        let differs = self.rng.chance(8);
        let mut root = proposed.root;
        if differs {
            root.leaf_count += 1;
        }
        let call = self.world.attest(operator, key.1, root);
        let voted = |joined: u64| proposed.voters.contains(&(operator, joined));
        let allowed = !self.model.is_paused(Pause::Rounds)
            && proposed.stage == Stage::Open
            && (self.model.joined(&operator))
                .is_some_and(|joined| joined < proposed.slot && !voted(joined))
            && !differs
            && self.model.may_follow(&proposed.root);
        let slot = self.slot();
        Planned::new(call, allowed, move |model| {
            model.add_vote(key, operator, slot)
        })
    }

    /// Anybody puts a root in force, if it may be; mostly after some time.
    #[track_caller]
    pub(super) fn plan_finalization(&mut self) -> Option<Planned> {
        let (key, proposed) = self.some_proposal()?;
        if self.rng.chance(70) {
            self.world.wait(super::CHALLENGE);
        }
        let call = self.world.finalize(key.0, key.1);
        let allowed =
            !self.model.is_paused(Pause::Rounds) && self.model.may_finalize(&proposed, self.slot());
        let RoundRoot {
            round, root, total, ..
        } = proposed.root;
        let list = proposed.list;
        Planned::new(call, allowed, move |model| {
            model.rewards = Some(InForce {
                round,
                root,
                total,
                list,
            });
            model.proposals.get_mut(&key).unwrap().stage = Stage::Finalized;
            for (role, owner, sats) in model.lists[list].entries() {
                let best = model.best.entry((u8::from(*role), *owner)).or_default();
                *best = (*best).max(*sats);
            }
        })
    }

    /// A veto, by who may and who may not.
    #[track_caller]
    pub(super) fn plan_veto(&mut self) -> Option<Planned> {
        let (key, proposed) = self.some_proposal()?;
        let by = *self
            .rng
            .pick(&[self.model.guardian, self.model.authority, self.stranger]);
        let call = self.world.veto(by, key.0, key.1);
        let allowed = proposed.stage == Stage::Open && by != self.stranger;
        Planned::new(call, allowed, move |model| {
            model.proposals.get_mut(&key).unwrap().stage = Stage::Vetoed
        })
    }

    /// A proposal is closed, if it may be.
    #[track_caller]
    pub(super) fn plan_proposal_close(&mut self) -> Option<Planned> {
        let all: Vec<_> = self.model.proposals.keys().copied().collect();
        if all.is_empty() {
            return None;
        }
        let key = *self.rng.pick(&all);
        let proposed = &self.model.proposals[&key];
        let call = self.world.close_proposal(key.0, key.1);
        let past = self
            .model
            .rewards
            .as_ref()
            .is_some_and(|rewards| key.0 <= rewards.round);
        let ended = past || proposed.stage != Stage::Open;
        let allowed = ended && self.slot() >= proposed.slot + UNBONDING;
        Planned::new(call, allowed, move |model| {
            model.proposals.remove(&key);
        })
    }

    /// Somebody's bond is burned for two proposals, if they say so. Two of one round and one operator are looked for first.
    #[track_caller]
    pub(super) fn plan_slash(&mut self) -> Option<Planned> {
        let operator = *self.rng.pick(&self.candidates);
        let all: Vec<_> = self.model.proposals.keys().copied().collect();
        if all.is_empty() {
            return None;
        }
        let attested = |key: &(u64, Pubkey)| {
            let proposed = &self.model.proposals[key];
            let membership = self.model.operators.get(&operator);
            proposed.stage != Stage::Vetoed
                && membership.is_some_and(|membership| {
                    proposed.voters.contains(&(operator, membership.joined))
                })
        };
        let content = |key: &(u64, Pubkey)| {
            let root = self.model.proposals[key].root;
            (root.root, root.list, root.total, root.leaf_count)
        };
        let guilty = |one: &(u64, Pubkey), other: &(u64, Pubkey)| {
            one.0 == other.0 && content(one) != content(other) && attested(one) && attested(other)
        };
        let pairs = all
            .iter()
            .flat_map(|one| all.iter().map(move |other| (*one, *other)));
        let found: Vec<_> = pairs.filter(|(one, other)| guilty(one, other)).collect();
        let (one, other) = if found.is_empty() || self.rng.chance(30) {
            (*self.rng.pick(&all), *self.rng.pick(&all))
        } else {
            *self.rng.pick(&found)
        };
        let allowed = found.contains(&(one, other));
        let [first, second] =
            [one, other].map(|(round, proposer)| self.world.proposal_key(round, proposer));
        let call = self.world.slash(operator, first, second);
        Planned::new(call, allowed, move |model| {
            model.operators.remove(&operator);
        })
    }

    /// Somebody claims: mostly what the list in force says, else what another one says, or another amount.
    #[track_caller]
    pub(super) fn plan_claim(&mut self) -> Option<Planned> {
        if self.model.lists.is_empty() {
            return None;
        }
        let in_force = self.model.rewards.as_ref().map(|rewards| rewards.list);
        let any = self.rng.below(self.model.lists.len() as u64) as usize;
        let which = in_force.filter(|_| self.rng.chance(85)).unwrap_or(any);
        let list = self.model.lists[which].clone();
        let index = self.rng.below(list.entries().len() as u64) as usize;
        let (role, owner, sats) = list.entry(index);
        // A claim names no round: one of another list is good where the list in force has the same entry and siblings,
        // such as one entry alone.
        let is_proof = in_force.is_some_and(|in_force| {
            let in_force = &self.model.lists[in_force];
            in_force.entries().get(index) == Some(&list.entry(index))
                && in_force.claim(index).1 == list.claim(index).1
        });
        let (mut args, siblings) = list.claim(index);
        let lies = self.rng.chance(10);
        if lies {
            args.cumulative += 1 + self.rng.below(1_000);
        }
        let call = self.world.claim_with(args, &siblings, role, owner);
        let ledger = (u8::from(role), owner);
        let before = self.model.ledgers.get(&ledger).copied().unwrap_or(0);
        let total = self
            .model
            .rewards
            .as_ref()
            .map_or(0, |rewards| rewards.total);
        let more = sats.saturating_sub(before);
        let allowed = !self.model.is_paused(Pause::Claim)
            && is_proof
            && !lies
            && more > 0
            && self.model.claimed + more <= total;
        Planned::new(call, allowed, move |model| {
            model.ledgers.insert(ledger, sats);
            model.claimed += more;
            *model.balances.get_mut(&owner).unwrap() += more;
        })
    }
}
