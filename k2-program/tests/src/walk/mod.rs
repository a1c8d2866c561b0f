//! A random walk through all instructions, right ones and wrong ones, beside a model that knows what each must do.
//!
//! The model is written from the rules, not from the program: it keeps sets and maps where the program keeps bits and
//! bumps. Before a step it says whether the step may succeed, after it the chain is compared with it, account by account.
//!
//! A walk is reproduced by its seed.

mod admin;
mod bitcoin;
mod hostile;
mod model;
mod redeem;
mod rng;
mod rounds;

use std::collections::{BTreeMap, BTreeSet};

use k2_interface::Role;
use k2_interface::instruction::InstructionKind;
use k2_interface::state::{Kind, Ledger, PackedScript, Redemption, RedemptionState, Relay};
use scenario::SOL;
use solana_pubkey::Pubkey;

use crate::{BTC, Call, World, scripts};
use bitcoin::{Coin, Payout};
use model::{Fate, Model};
pub use rng::Rng;

/// Rules under which a walk of some hundred steps sees everything happen.
const WINDOW_BLOCKS: u32 = 60;
const WINDOW_CAP: u64 = 400 * BTC;
const HORIZON: u32 = 217;
const REDEEM_MIN: u64 = 10_000;
const EXPIRY: u32 = 30;
const GRACE: u32 = 10;
const CONFIRMATIONS: u32 = 6;
const CHALLENGE: u64 = 20;
const CUSTODY_DELAY: u64 = 50;
const UNBONDING: u64 = 100;

/// A step that is planned: the call, whether it may succeed, and what the model becomes if it does.
struct Planned {
    call: Call,
    allowed: bool,
    apply: Box<dyn FnOnce(&mut Model)>,
}

impl Planned {
    fn new(call: Call, allowed: bool, apply: impl FnOnce(&mut Model) + 'static) -> Option<Self> {
        Some(Self {
            call,
            allowed,
            apply: Box::new(apply),
        })
    }
}

/// How often each instruction succeeded and was refused.
pub type Tally = BTreeMap<InstructionKind, (u32, u32)>;

/// A walk.
pub struct Walk {
    world: World,
    model: Model,
    rng: Rng,
    /// People with token accounts.
    people: Vec<Pubkey>,
    /// Those who are operators now and then.
    candidates: Vec<Pubkey>,
    /// Somebody without any right.
    stranger: Pubkey,
    /// Outputs that were in blocks, with their proofs; of coinbases and of payments.
    coinbases: Vec<Coin>,
    deposits: Vec<Coin>,
    payouts: Vec<Payout>,
    /// Numbers for what must be unique: branches, coins, cursors, buffers.
    next_id: u32,
    /// Work of the relay's tip after the last step.
    work: u128,
    tally: Tally,
}

impl Walk {
    /// A walk on a pool of its own.
    #[track_caller]
    pub fn new(story: &str, seed: u64) -> Self {
        let mut world = World::deployed(story);
        let mut rules = world.rules();
        rules.mint_window_blocks = WINDOW_BLOCKS;
        rules.mint_window_cap = WINDOW_CAP;
        rules.mint_horizon = HORIZON;
        rules.redeem_min = REDEEM_MIN;
        rules.redeem_expiry_blocks = EXPIRY;
        rules.custody_grace_blocks = GRACE;
        rules.deposit_confirmations = CONFIRMATIONS;
        rules.challenge_slots = CHALLENGE;
        rules.custody_delay_slots = CUSTODY_DELAY;
        rules.unbonding_slots = UNBONDING;
        rules.bond_lamports = SOL;
        let initialize = world.initialize(rules);
        world.send("the pool is set up", initialize).must_succeed();
        world.start_relay();
        let people = ["mia", "max", "eve", "joe"]
            .map(|name| world.holder(name))
            .to_vec();
        let candidates = ["ann", "bob", "cyd", "dan"]
            .map(|name| world.somebody(name))
            .to_vec();
        let stranger = world.somebody("stranger");
        let model = Model::new(world.authority, world.guardian, &people);
        let mut walk = Self {
            work: world.chain.work(0),
            world,
            model,
            rng: Rng::new(seed),
            people,
            candidates,
            stranger,
            coinbases: Vec::new(),
            deposits: Vec::new(),
            payouts: Vec::new(),
            next_id: 0,
            tally: Tally::from([
                (InstructionKind::Initialize, (1, 0)),
                (InstructionKind::InitializeRelay, (1, 0)),
            ]),
        };
        for candidate in walk.candidates.clone().into_iter().take(3) {
            let planned = walk.register(candidate);
            walk.carry_out(planned);
        }
        walk.world.wait(1);
        walk.mine_for_the_pool(110);
        walk
    }

    /// One step, and the comparison with the model.
    ///
    /// # Panics
    /// Where program and model differ.
    #[track_caller]
    pub fn step(&mut self) {
        let planned = match self.rng.below(100) {
            _ if self.model.paused != 0 && self.rng.chance(10) => self.plan_resumption(),
            0..=11 => self.plan_mining(),
            12..=25 => self.plan_mint(),
            26..=29 => self.plan_reorganisation(),
            30..=32 => self.plan_record_close(),
            33..=36 => self.plan_helpers(),
            37..=42 => self.plan_proposal(),
            43..=49 => self.plan_attestation(),
            50..=55 => self.plan_finalization(),
            56 => self.plan_veto(),
            57..=58 => self.plan_proposal_close(),
            59..=68 => self.plan_claim(),
            69..=73 => self.plan_request(),
            74..=76 => self.plan_payout(),
            77..=80 => self.plan_settlement(),
            81..=83 => self.plan_refund(),
            84..=85 => self.plan_redemption_close(),
            86..=89 => self.plan_operator(),
            90..=91 => self.plan_slash(),
            92..=94 => self.plan_custody(),
            95..=97 => self.plan_admin(),
            _ => {
                let slots = *self.rng.pick(&[1, 5, CHALLENGE, CUSTODY_DELAY, UNBONDING]);
                self.world.wait(slots);
                None
            }
        };
        self.carry_out(planned);
        self.compare();
    }

    /// How often each instruction succeeded and was refused so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Carries out what was planned: as it is, or first spoiled, or twice.
    #[track_caller]
    fn carry_out(&mut self, planned: Option<Planned>) {
        let Some(Planned {
            call,
            allowed,
            apply,
        }) = planned
        else {
            return;
        };
        if self.rng.chance(15) {
            let (what, spoiled) = self.spoil(call.clone());
            self.try_call(&what, spoiled, false);
        }
        let name = call.kind.name();
        let once = hostile::is_once(call.kind);
        if self.try_call(name, call.clone(), allowed) {
            apply(&mut self.model);
            if once && self.rng.chance(30) {
                self.try_call(&format!("{name} again"), call, false);
            }
        }
    }

    /// Sends a call that must succeed.
    #[track_caller]
    fn must(&mut self, call: Call) {
        self.try_call(call.kind.name(), call, true);
    }

    #[track_caller]
    fn try_call(&mut self, step: &str, call: Call, allowed: bool) -> bool {
        let kind = call.kind;
        let sent = self.world.send(step, call);
        let refused = sent.code().map(|code| sent.call.explain(code));
        assert_eq!(
            refused.is_none(),
            allowed,
            "{step}: the model allows {allowed}, refused {refused:?}"
        );
        let count = self.tally.entry(kind).or_default();
        if allowed {
            count.0 += 1;
        } else {
            count.1 += 1;
        }
        allowed
    }

    fn id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id
    }

    fn tip(&self) -> u32 {
        self.world.chain.tip()
    }

    fn slot(&self) -> u64 {
        self.world.slot()
    }

    /// Somebody, most often who should.
    fn mostly(&mut self, who: Pubkey) -> Pubkey {
        if self.rng.chance(85) {
            who
        } else {
            self.stranger
        }
    }

    /// The chain is as the model says, and what must hold after every instruction holds.
    #[track_caller]
    fn compare(&mut self) {
        let (world, model) = (&self.world, &self.model);
        let config = world.config();
        let totals = config.totals;
        let supply = world.k2.mint_supply(&world.mint_key());
        let vault = world.k2.token_balance(&world.vault_key());
        let escrow = world.k2.token_balance(&world.escrow_key());

        // The four sums.
        assert_eq!(
            Some(supply),
            totals.proved_in.get().checked_sub(totals.burned.get()),
            "supply"
        );
        assert_eq!(
            Some(vault),
            totals.proved_in.get().checked_sub(totals.claimed.get()),
            "vault"
        );
        assert!(
            vault >= config.rewards.total.get() - totals.claimed.get(),
            "the vault is short"
        );
        assert_eq!(escrow, totals.escrowed.get(), "escrow");
        let held: u64 = self.people.iter().map(|owner| world.balance(*owner)).sum();
        assert_eq!(held + vault + escrow, supply, "every token is somebody's");
        let relay: Relay = world.relay();
        let tip = relay.entry(relay.tip_height.get()).unwrap();
        assert!(tip.chain_work.get() >= self.work, "the relay's work fell");
        self.work = tip.chain_work.get();

        // What the model knows of them.
        assert_eq!(totals.proved_in.get(), model.proved_in);
        assert_eq!(totals.burned.get(), model.burned);
        assert_eq!(totals.claimed.get(), model.claimed);
        assert_eq!(
            totals.escrowed.get(),
            model
                .open()
                .map(|redemption| redemption.amount)
                .sum::<u64>()
        );
        assert_eq!(totals.redemptions.get(), model.redemptions.len() as u64);
        assert_eq!((config.paused, config.quorum), (model.paused, model.quorum));
        assert_eq!(config.authority.as_bytes(), model.authority.as_array());
        assert_eq!(config.guardian.as_bytes(), model.guardian.as_array());
        assert_eq!(config.custody.active, model.active);
        assert_eq!(relay.tip_height.get(), world.chain.tip());
        assert_eq!(tip.hash, world.chain.hash(world.chain.tip()));
        assert_eq!(relay.oldest_height.get(), model.oldest);
        for owner in &self.people {
            assert_eq!(world.balance(*owner), model.balances[owner]);
        }
        self.compare_rounds();
        self.compare_redemptions();
    }

    #[track_caller]
    fn compare_rounds(&self) {
        let (world, model) = (&self.world, &self.model);
        let config = world.config();
        let rewards = model.rewards.as_ref();
        assert_eq!(
            config.rewards.round.get(),
            rewards.map_or(0, |rewards| rewards.round)
        );
        assert_eq!(
            config.rewards.total.get(),
            rewards.map_or(0, |rewards| rewards.total)
        );
        for (&(role, owner), &best) in &model.best {
            let key = world.ledger_key(Role::try_from(role).unwrap(), owner);
            let claimed = match world.is_gone(key) {
                true => 0,
                false => world.read::<Ledger>(key, Kind::Ledger).claimed.get(),
            };
            assert_eq!(
                claimed,
                model.ledgers.get(&(role, owner)).copied().unwrap_or(0)
            );
            assert!(claimed <= best, "more was claimed than any list ever said");
        }
        let set = world.operators();
        let active: BTreeSet<[u8; 32]> = (set.slots.iter())
            .map(|slot| *slot.operator.as_bytes())
            .filter(|operator| *operator != [0; 32])
            .collect();
        let wanted: BTreeSet<[u8; 32]> =
            model.active_operators().map(|key| key.to_bytes()).collect();
        assert_eq!(active, wanted);
        assert_eq!(usize::from(set.count), wanted.len());
    }

    #[track_caller]
    fn compare_redemptions(&self) {
        for (id, redemption) in self.model.redemptions.iter().enumerate() {
            let key = self.world.redemption_key(id as u64);
            assert_eq!(self.world.is_gone(key), redemption.fate == Fate::Closed);
            if redemption.fate == Fate::Closed {
                continue;
            }
            let account: Redemption = self.world.read(key, Kind::Redemption);
            let wanted = match redemption.fate {
                Fate::Open => RedemptionState::Open,
                Fate::Settled => RedemptionState::Settled,
                _ => RedemptionState::Refunded,
            };
            assert_eq!(account.state, wanted as u8);
            assert_eq!(account.amount.get(), redemption.amount);
        }
    }
}

/// Where somebody's BTC go.
fn script_of(number: usize) -> PackedScript {
    match number % 3 {
        0 => scripts::p2wpkh(&format!("somebody {number}")),
        1 => scripts::p2tr(&format!("somebody {number}")),
        _ => scripts::p2pkh(&format!("somebody {number}")),
    }
}
