//! Steps of redemptions: asked for, paid on Bitcoin, settled, refunded, closed.

use k2_interface::bitcoin::RedeemIds;
use k2_interface::state::{PackedScript, Pause};

use super::bitcoin::Payout;
use super::model::{Fate, Model, Redeeming};
use super::{EXPIRY, Planned, REDEEM_MIN, Walk, script_of};
use crate::bitcoin::{data_output, output, payment, somebodys_coin};

impl Walk {
    /// Somebody asks for BTC, for as much as there is, or more.
    #[track_caller]
    pub(super) fn plan_request(&mut self) -> Option<Planned> {
        let number = self.rng.below(self.people.len() as u64) as usize;
        let owner = self.people[number];
        let balance = self.model.balances[&owner];
        let amount = match self.rng.below(6) {
            0 => self.rng.below(2 * REDEEM_MIN),
            1 => balance + 1,
            2 => balance,
            _ => balance / (2 + self.rng.below(6)),
        };
        let max_fee = match self.rng.below(5) {
            0 => amount.saturating_sub(REDEEM_MIN),
            1 => amount.saturating_add(1),
            _ => self.rng.below(1_000),
        };
        let script = script_of(number);
        let call = self.world.request_redeem(owner, amount, max_fee, script);
        let payout = amount.checked_sub(max_fee);
        let allowed = !self.model.is_paused(Pause::Redeem)
            && payout.is_some_and(|payout| payout >= REDEEM_MIN)
            && amount <= balance;
        let requested = self.tip();
        Planned::new(call, allowed, move |model| {
            *model.balances.get_mut(&owner).unwrap() -= amount;
            model.redemptions.push(Redeeming {
                owner,
                amount,
                max_fee,
                script,
                requested,
                expires: requested + EXPIRY,
                fate: Fate::Open,
            });
        })
    }

    /// Custodians pay some redemptions, too little now and then, or those that ended already; or a payment that was taken
    /// back comes into a block again.
    #[track_caller]
    pub(super) fn plan_payout(&mut self) -> Option<Planned> {
        let taken_back: Vec<usize> = (0..self.payouts.len())
            .filter(|number| {
                !self.stands(
                    self.payouts[*number].proof.height,
                    &self.payouts[*number].hash,
                )
            })
            .collect();
        let paid = if !taken_back.is_empty() && self.rng.chance(70) {
            let again = self.payouts[*self.rng.pick(&taken_back)].clone();
            let stands = |payout: &&Payout| {
                payout.transaction == again.transaction
                    && self.stands(payout.proof.height, &payout.hash)
            };
            if self.payouts.iter().any(|payout| stands(&payout)) {
                return None;
            }
            (again.ids, again.outputs, again.transaction)
        } else {
            let mut ids: Vec<u64> = Vec::new();
            let open: Vec<u64> = (0..self.model.redemptions.len())
                .filter(|id| self.model.redemptions[*id].fate == Fate::Open || self.rng.chance(10))
                .map(|id| id as u64)
                .collect();
            for id in open {
                if self.rng.chance(60) && ids.first().is_none_or(|first| id - first < 512) {
                    ids.push(id);
                }
            }
            if ids.is_empty() {
                return None;
            }
            let mut outputs: Vec<(PackedScript, u64)> = Vec::new();
            for id in &ids {
                let redemption = &self.model.redemptions[*id as usize];
                let least = redemption.amount - redemption.max_fee;
                let sats = if self.rng.chance(15) {
                    least - 1
                } else {
                    least + self.rng.below(redemption.max_fee + 1)
                };
                outputs.push((redemption.script, sats));
            }
            // Now and then one is forgotten in the list of those that are paid.
            let mut named = ids.clone();
            if named.len() > 1 && self.rng.chance(20) {
                named.pop();
            }
            let mut txout: Vec<_> = outputs
                .iter()
                .map(|(script, sats)| output(script, *sats))
                .collect();
            txout.push(data_output(RedeemIds::encode(&named).unwrap()));
            let coin = somebodys_coin(&format!("custody's {}", self.id()));
            (named, outputs, payment(&[coin], txout))
        };
        let (ids, outputs, transaction) = paid;
        let height = self.world.chain.include(vec![transaction.clone()]);
        let proof = self.world.chain.payment_proof(height, 1);
        self.payouts.push(Payout {
            hash: self.world.chain.hash(height),
            proof,
            transaction,
            outputs,
            ids,
        });
        let blocks = self.rng.below(8) as u32;
        self.world.chain.mine(blocks);
        self.relay_all();
        None
    }

    /// Some redemption is settled by some output of some payout, if it may be.
    #[track_caller]
    pub(super) fn plan_settlement(&mut self) -> Option<Planned> {
        if self.payouts.is_empty() || self.model.redemptions.is_empty() {
            return None;
        }
        let payout = self.rng.pick(&self.payouts).clone();
        let vout = self.rng.below(payout.outputs.len() as u64) as usize;
        let id = if self.rng.chance(80) {
            let paid = payout.outputs[vout];
            let fitting: Vec<u64> = (payout.ids.iter().copied())
                .filter(|id| self.model.redemptions[*id as usize].script == paid.0)
                .collect();
            if fitting.is_empty() {
                payout.ids[0]
            } else {
                *self.rng.pick(&fitting)
            }
        } else {
            self.rng.below(self.model.redemptions.len() as u64)
        };
        let (tip, height) = (self.tip(), payout.proof.height);
        let proof = self.carried(payout.proof.clone().vout(vout as u32));
        let model = &self.model;
        let redemption = &model.redemptions[id as usize];
        let outpoint = (proof.txid, proof.vout);
        let (script, paid) = payout.outputs[vout];
        let allowed = redemption.fate == Fate::Open
            && self.stands(height, &payout.hash)
            && height >= model.oldest
            && Model::has_payment_confirmations(tip, height)
            && height > redemption.requested
            && script == redemption.script
            && paid >= redemption.amount - redemption.max_fee
            && (payout.ids == [id] || payout.ids.get(vout) == Some(&id))
            && !model.payouts.contains_key(&outpoint);
        let call = self.world.settle(id, &proof);
        let payer = self.world.payer;
        Planned::new(call, allowed, move |model| {
            let redemption = &mut model.redemptions[id as usize];
            redemption.fate = Fate::Settled;
            model.burned += redemption.amount;
            model.payouts.insert(outpoint, (height, payer));
        })
    }

    /// Some redemption is refunded, if it may be.
    #[track_caller]
    pub(super) fn plan_refund(&mut self) -> Option<Planned> {
        if self.model.redemptions.is_empty() {
            return None;
        }
        let id = self.rng.below(self.model.redemptions.len() as u64);
        let redemption = self.model.redemptions[id as usize].clone();
        let owner = self.mostly(redemption.owner);
        let call = self.world.refund_redeem(id, owner);
        let expired = self.tip() >= redemption.expires;
        let allowed = redemption.fate == Fate::Open && expired && owner == redemption.owner;
        Planned::new(call, allowed, move |model| {
            let redemption = &mut model.redemptions[id as usize];
            redemption.fate = Fate::Refunded;
            *model.balances.get_mut(&redemption.owner).unwrap() += redemption.amount;
        })
    }

    /// Some redemption is closed, if it may be.
    #[track_caller]
    pub(super) fn plan_redemption_close(&mut self) -> Option<Planned> {
        if self.model.redemptions.is_empty() {
            return None;
        }
        let id = self.rng.below(self.model.redemptions.len() as u64);
        let receiver = self.mostly(self.world.payer);
        let ended = matches!(
            self.model.redemptions[id as usize].fate,
            Fate::Settled | Fate::Refunded
        );
        let call = self.world.close_redemption(id, receiver);
        let allowed = ended && receiver == self.world.payer;
        Planned::new(call, allowed, move |model| {
            model.redemptions[id as usize].fate = Fate::Closed
        })
    }
}
