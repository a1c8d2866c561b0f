//! Steps on Bitcoin and its relay: blocks, re-organisations, minting, records, cursors and buffers.

use bitcoin::{OutPoint, Transaction};
use k2_interface::bitcoin::ScriptPubkey;
use k2_interface::state::{PackedScript, Pause};

use super::model::{Model, Used};
use super::{Planned, Walk, script_of};
use crate::bitcoin::{Chain, Proof, output, payment, sha256, somebodys_coin};
use crate::{BTC, scripts};

/// The longest proof beside which the accounts and arguments of every instruction fit a transaction of 1,232 bytes.
const MOST_INLINE: usize = 600;

/// Blocks in which something stands that the pool may want to prove.
#[derive(Clone)]
pub(super) struct Coin {
    /// Of the block.
    hash: [u8; 32],
    script: PackedScript,
    sats: u64,
    proof: Proof,
    /// A payment, to be included again where its block is taken back.
    transaction: Option<Transaction>,
    /// The output it stands in, to be spent.
    outpoint: OutPoint,
}

/// A payment to redeemers: its block and proof.
#[derive(Clone)]
pub(super) struct Payout {
    pub(super) hash: [u8; 32],
    pub(super) proof: Proof,
    pub(super) transaction: Transaction,
    pub(super) outputs: Vec<(PackedScript, u64)>,
    pub(super) ids: Vec<u64>,
}

impl Walk {
    /// Whether the block of this hash is the best chain's at this height.
    pub(super) fn stands(&self, height: u32, hash: &[u8; 32]) -> bool {
        let chain = &self.world.chain;
        height <= chain.tip() && chain.hash(height) == *hash
    }

    /// The relay is told of the chain up to its tip.
    #[track_caller]
    pub(super) fn relay_all(&mut self) {
        let mut next = self.world.relay().tip_height.get() + 1;
        while next <= self.tip() {
            let last = self.tip().min(next + self.rng.below(10) as u32);
            let submit = self
                .world
                .submit_headers(&self.world.chain.headers(next..=last));
            self.must(submit);
            next = last + 1;
        }
        self.model.oldest = self.model.oldest.max(self.tip().saturating_sub(191));
    }

    /// Blocks of the pool at once, so that there is something to walk with.
    #[track_caller]
    pub(super) fn mine_for_the_pool(&mut self, blocks: u32) {
        for number in 0..blocks {
            if number < 10 {
                self.mine_coinbase();
            } else {
                self.world.chain.mine(1);
            }
        }
        self.relay_all();
    }

    fn mine_coinbase(&mut self) {
        let script = match self.rng.below(10) {
            0 => scripts::p2wpkh("another pool"),
            1 => self.model.active.deposit,
            2 => self
                .model
                .previous
                .map_or(scripts::coinbase(), |(previous, _)| previous.coinbase),
            _ => self.model.active.coinbase,
        };
        let script = if script == scripts::NONE {
            scripts::coinbase()
        } else {
            script
        };
        let sats = match self.rng.below(12) {
            0 => self.rng.below(400),
            _ => BTC + self.rng.below(49 * BTC),
        };
        let height = self.world.chain.pay_coinbase(&script, sats);
        let chain = &self.world.chain;
        self.coinbases.push(Coin {
            hash: chain.hash(height),
            script,
            sats,
            proof: chain.coinbase_proof(height),
            transaction: None,
            outpoint: chain.outpoint(height, 0, 0),
        });
    }

    fn mine_deposit(&mut self) {
        let taken_back: Vec<usize> = (0..self.deposits.len())
            .filter(|number| {
                !self.stands(
                    self.deposits[*number].proof.height,
                    &self.deposits[*number].hash,
                )
            })
            .collect();
        let again = !taken_back.is_empty() && self.rng.chance(60);
        let (script, sats, transaction) = if again {
            let coin = &self.deposits[*self.rng.pick(&taken_back)];
            (coin.script, coin.sats, coin.transaction.clone().unwrap())
        } else {
            let script = match self.rng.below(6) {
                0 => script_of(9),
                1 => self.model.active.coinbase,
                _ => self.model.active.deposit,
            };
            let script = if script == scripts::NONE {
                scripts::deposit()
            } else {
                script
            };
            let sats = match self.rng.below(12) {
                0 => self.rng.below(400),
                _ => 1_000 + self.rng.below(20 * BTC),
            };
            let mut spent = vec![somebodys_coin(&format!("coin {}", self.id()))];
            if self.rng.chance(35) && !self.coinbases.is_empty() {
                let coins = if self.rng.chance(70) || self.deposits.is_empty() {
                    &self.coinbases
                } else {
                    &self.deposits
                };
                spent.push(self.rng.pick(coins).outpoint);
            }
            (script, sats, payment(&spent, vec![output(&script, sats)]))
        };
        // Bitcoin lets nothing be spent twice, nor a transaction stand twice.
        let chain = &self.world.chain;
        let on_chain =
            (self.deposits.iter()).filter(|coin| self.stands(coin.proof.height, &coin.hash));
        let spends = |coin: &Coin| {
            let inputs = &coin.transaction.as_ref().unwrap().input;
            inputs.iter().any(|input| {
                (transaction.input.iter()).any(|new| new.previous_output == input.previous_output)
            })
        };
        if on_chain.clone().any(spends) || chain.tip() < 2 {
            return;
        }
        let height = self.world.chain.include(vec![transaction.clone()]);
        let chain = &self.world.chain;
        let proof = chain.payment_proof(height, 1);
        self.deposits.push(Coin {
            hash: chain.hash(height),
            script,
            sats,
            outpoint: chain.outpoint(height, 1, 0),
            proof,
            transaction: Some(transaction),
        });
    }

    /// Some blocks, of the pool's and of others, with deposits; relayed.
    #[track_caller]
    pub(super) fn plan_mining(&mut self) -> Option<Planned> {
        for _ in 0..=self.rng.below(4) {
            match self.rng.below(4) {
                0 => self.mine_coinbase(),
                1 => self.mine_deposit(),
                _ => {
                    let blocks = 1 + self.rng.below(12) as u32;
                    self.world.chain.mine(blocks);
                }
            }
        }
        self.relay_all();
        None
    }

    /// The end of the chain is replaced, or somebody tries without enough work, or too deep.
    #[track_caller]
    pub(super) fn plan_reorganisation(&mut self) -> Option<Planned> {
        let deepest = 24.min(self.tip() - self.model.oldest);
        let depth = 1 + self.rng.below(u64::from(deepest)) as u32;
        let base = self.tip() - depth;
        let tag = format!("branch {}", self.id());
        let mut branch = self.world.chain.branch(base, &tag);
        branch.mine(depth);
        if depth <= 10 {
            let weak = self
                .world
                .submit_headers(&branch.headers(base + 1..=base + depth));
            self.try_call("as much work is not more", weak, false);
        }
        if self.tip() - self.model.oldest > 25 {
            let base = self.tip() - 25;
            let mut deep = self.world.chain.branch(base, "deep");
            deep.mine(1);
            let headers = deep.headers([base + 1]);
            let deep = self.world.submit_fork(base, &headers);
            self.try_call("too deep to collect", deep, false);
            let deep = self.world.submit_headers(&headers);
            self.try_call("too deep", deep, false);
        }
        branch.mine(1);
        let stop = self.rng.chance(15);
        self.submit_branch(base, &branch, stop);
        None
    }

    /// Shows a branch that has more work with its last block: at once, or collected; or gives it up.
    #[track_caller]
    fn submit_branch(&mut self, base: u32, branch: &Chain, give_up: bool) {
        let tip = branch.tip();
        if tip - base <= 10 && !give_up {
            let submit = self.world.submit_headers(&branch.headers(base + 1..=tip));
            self.must(submit);
        } else {
            let last = if give_up { tip - 1 } else { tip };
            let mut next = base + 1;
            while next <= last {
                let to = last.min(next + 9);
                let submit = self.world.submit_fork(base, &branch.headers(next..=to));
                self.must(submit);
                next = to + 1;
            }
            let close = self.world.close_fork();
            // Where the branch was adopted its account is closed.
            self.try_call("CloseFork", close, give_up);
            if give_up {
                return;
            }
        }
        self.world.chain = branch.clone();
        self.model.oldest = self.model.oldest.max(tip.saturating_sub(191));
    }

    /// A coinbase or deposit is minted, if it may be: any that ever stood in a block.
    #[track_caller]
    pub(super) fn plan_mint(&mut self) -> Option<Planned> {
        if self.deposits.is_empty() || self.rng.chance(60) {
            let coin = self.rng.pick(&self.coinbases).clone();
            self.plan_mint_of(coin, false)
        } else {
            let coin = self.rng.pick(&self.deposits).clone();
            self.plan_mint_of(coin, true)
        }
    }

    #[track_caller]
    fn plan_mint_of(&mut self, coin: Coin, is_deposit: bool) -> Option<Planned> {
        let (height, tip) = (coin.proof.height, self.tip());
        let stands = self.stands(height, &coin.hash);
        let mut proof = coin.proof.clone();
        let in_ring = height >= self.model.oldest && height <= tip;
        let walked = stands && height < self.model.oldest && self.rng.chance(70);
        if walked {
            let id = self.id();
            let chain = self.world.chain.clone();
            self.world.walk_down(id, &chain, height);
            proof = proof.at_cursor(id);
        }
        proof = self.carried(proof);
        let model = &self.model;
        let honoured = if is_deposit {
            model.honours_deposit(&coin.script, height)
        } else {
            model.honours_coinbase(&coin.script, height)
        };
        let mature = if is_deposit {
            Model::has_payment_confirmations(tip, height)
        } else {
            tip >= height && tip - height + 1 >= 100
        };
        let outpoint = (proof.txid, proof.vout);
        let spent: Vec<_> = if is_deposit {
            proof.spent.clone()
        } else {
            Vec::new()
        };
        let fresh = !model.used.contains_key(&outpoint)
            && !spent
                .iter()
                .any(|spent| model.used.get(spent).is_some_and(|used| used.minted));
        let dust = ScriptPubkey::from_packed(&coin.script)
            .unwrap()
            .dust_limit();
        let allowed = !model.is_paused(Pause::Mint)
            && stands
            && (in_ring || walked)
            && !model.is_below_horizon(height)
            && mature
            && honoured
            && coin.sats >= dust
            && fresh
            && model.fits_window(tip, coin.sats);
        let call = if is_deposit {
            self.world.mint_deposit(&proof)
        } else {
            self.world.mint_coinbase(&proof)
        };
        let (payer, sats) = (self.world.payer, coin.sats);
        Planned::new(call, allowed, move |model| {
            model.mint(tip, sats);
            model.used.insert(
                outpoint,
                Used {
                    height,
                    minted: true,
                    payer,
                },
            );
            for outpoint in spent {
                model.used.entry(outpoint).or_insert(Used {
                    height,
                    minted: false,
                    payer,
                });
            }
        })
    }

    /// A record of a used output is closed, if it may be.
    #[track_caller]
    pub(super) fn plan_record_close(&mut self) -> Option<Planned> {
        if self.rng.chance(50) && !self.model.payouts.is_empty() {
            let all: Vec<_> = self
                .model
                .payouts
                .iter()
                .map(|(at, record)| (*at, *record))
                .collect();
            let (outpoint, (height, payer)) = *self.rng.pick(&all);
            let receiver = self.mostly(payer);
            let record = self.world.payout_key(&outpoint.0, outpoint.1);
            let call = self.world.close_payout(record, receiver);
            let allowed = receiver == payer && self.model.is_closable(height);
            return Planned::new(call, allowed, move |model| {
                model.payouts.remove(&outpoint);
            });
        }
        // The oldest are the first that may be closed.
        let mut all: Vec<_> = self
            .model
            .used
            .iter()
            .map(|(at, used)| (used.height, *at, used.payer))
            .collect();
        all.sort_unstable();
        all.truncate(4);
        if all.is_empty() {
            return None;
        }
        let (height, outpoint, payer) = *self.rng.pick(&all);
        let receiver = self.mostly(payer);
        let record = self.world.deposit_key(&outpoint.0, outpoint.1);
        let call = self.world.close_deposit(record, receiver);
        let allowed = receiver == payer && self.model.is_closable(height);
        Planned::new(call, allowed, move |model| {
            model.used.remove(&outpoint);
        })
    }

    /// The proof as it travels: one too long for a transaction, and now and then another, through a buffer.
    pub(super) fn carried(&mut self, proof: Proof) -> Proof {
        if proof.bytes.len() <= MOST_INLINE && !self.rng.chance(10) {
            return proof;
        }
        let id = self.id();
        self.world.fill_buffer(id, &proof.bytes);
        proof.in_buffer(id)
    }

    /// Cursors and buffers come and go, and change nothing else.
    #[track_caller]
    pub(super) fn plan_helpers(&mut self) -> Option<Planned> {
        let id = self.id();
        if self.rng.chance(50) {
            let bytes = id.to_le_bytes();
            let open = self.world.open_buffer(id, 4, sha256(&[&bytes]));
            self.carry_out(Planned::new(open, true, |_| {}));
            let write = self.world.write_buffer(id, 0, &bytes);
            self.carry_out(Planned::new(write, true, |_| {}));
            return Planned::new(self.world.close_buffer(id), true, |_| {});
        }
        let open = self.world.open_cursor(id);
        self.carry_out(Planned::new(open, true, |_| {}));
        let oldest = self.model.oldest;
        let wrong = self.rng.chance(30);
        let headers = self
            .world
            .chain
            .headers([if wrong { oldest + 1 } else { oldest }]);
        let advance = self.world.advance_cursor(id, &headers);
        // Below the genesis block there is nothing.
        self.carry_out(Planned::new(advance, !wrong && oldest > 0, |_| {}));
        Planned::new(self.world.close_cursor(id), true, |_| {})
    }
}
