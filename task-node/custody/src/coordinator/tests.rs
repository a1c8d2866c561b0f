//! The judgement, by views made by hand. Coins are numbers, and batch `n` has transaction `n`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;

use bdk_wallet::KeychainKind;
use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, FeeRate, OutPoint, ScriptBuf, TxOut, Txid};
use k2_interface::state::RedemptionState;
use work::UnixTime;

use super::action::{Action, Alarm, Policy, Role, State, Stop};
use super::advance::advance;
use crate::journal::{Batch, BatchId, BatchState, Kind};
use crate::view::{BitcoinView, Coin, K2View, Payment, Redemption, Spent};

use BatchState::{
    Cancelled, Confirmed, Dead, Forfeited, Loose, Planned, Replaced, Sent, Settled, Signed,
    Withdrawn,
};

const TIP: u32 = 1000;

fn coin(number: u8) -> OutPoint {
    OutPoint::new(Txid::from_byte_array([0xc0; 32]), number.into())
}

fn txid(batch: u32) -> Txid {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&batch.to_le_bytes());
    Txid::from_byte_array(bytes)
}

fn rate(sat_per_vb: u32) -> FeeRate {
    FeeRate::from_sat_per_vb_u32(sat_per_vb)
}

/// A payout by coins of redemptions.
fn payout(id: u32, coins: &[u8], ids: &[u64], state: BatchState) -> Batch {
    Batch {
        id: BatchId(id),
        kind: Kind::Payout,
        payment: Payment {
            txid: txid(id),
            inputs: coins.iter().copied().map(coin).collect(),
            ids: ids.iter().copied().collect(),
            height: None,
        },
        state,
        replaces: None,
        fee: Some(Amount::from_sat(500)),
        rate: Some(rate(2)),
        sent_at: matches!(state, Sent).then_some(TIP),
        is_own: state != Loose,
        is_complete: !matches!(state, Planned | Withdrawn | Loose),
        is_closed: false,
        created: UnixTime(0),
        updated: UnixTime(0),
    }
}

fn cancel(id: u32, coins: &[u8], of: u32, state: BatchState) -> Batch {
    Batch {
        kind: Kind::Cancel,
        replaces: Some(BatchId(of)),
        ..payout(id, coins, &[], state)
    }
}

fn bump(id: u32, coins: &[u8], ids: &[u64], of: u32, state: BatchState) -> Batch {
    Batch {
        replaces: Some(BatchId(of)),
        ..payout(id, coins, ids, state)
    }
}

/// Chain and K2 beside a journal.
struct World {
    state: State,
    bitcoin: BitcoinView,
    k2: K2View,
    policy: Policy,
    rate: Option<FeeRate>,
}

impl World {
    /// Coins 0 to 9, and open redemptions that expire far away.
    fn new(batches: Vec<Batch>, open: &[u64]) -> Self {
        let mut world = Self {
            state: State {
                batches,
                ..State::default()
            },
            bitcoin: BitcoinView {
                tip: TIP,
                ..BitcoinView::default()
            },
            k2: K2View {
                slot: 1,
                relay_tip: TIP,
                ..K2View::default()
            },
            policy: Policy::default(),
            rate: Some(rate(2)),
        };
        for number in 0..10 {
            let coin = Coin {
                outpoint: coin(number),
                txout: TxOut {
                    value: Amount::from_sat(100_000),
                    script_pubkey: ScriptBuf::new(),
                },
                keychain: KeychainKind::External,
                index: 0,
                height: Some(1),
                is_coinbase: true,
            };
            world.bitcoin.coins.insert(coin.outpoint, coin);
        }
        for id in open {
            world = world.redemption(*id, RedemptionState::Open);
        }
        world
    }

    fn redemption(mut self, id: u64, state: RedemptionState) -> Self {
        let redemption = Redemption {
            id,
            amount: Amount::from_sat(50_000),
            max_fee: Amount::from_sat(1_000),
            script: ScriptBuf::new(),
            requested: 900,
            expires: 2_000,
            state,
        };
        self.k2.redemptions.insert(id, redemption);
        self
    }

    fn expires(mut self, id: u64, expires: u32) -> Self {
        self.k2.redemptions.get_mut(&id).unwrap().expires = expires;
        self
    }

    /// A transaction spends a coin in a block.
    fn mined(mut self, by: u32, coins: &[u8], height: u32) -> Self {
        for number in coins {
            self.bitcoin.coins.remove(&coin(*number));
            let spent = Spent {
                by: txid(by),
                height,
            };
            self.bitcoin.spent.insert(coin(*number), spent);
        }
        self
    }

    /// The node sees a payment without a block.
    fn seen(mut self, by: u32, coins: &[u8], ids: &[u64]) -> Self {
        let payment = payout(by, coins, ids, Sent).payment;
        self.bitcoin.payments.push(payment);
        self
    }

    /// Signatures of two are needed.
    fn two_sign(mut self) -> Self {
        self.policy.threshold = 2;
        self
    }

    /// Seen by a custodian who signed.
    fn custodian(mut self) -> Self {
        self.policy.role = Role::Custodian;
        self.two_sign()
    }

    fn rate(mut self, sat_per_vb: u32) -> Self {
        self.rate = Some(rate(sat_per_vb));
        self
    }

    fn actions(&self) -> Vec<Action> {
        let Self { policy, rate, .. } = self;
        advance(&self.state, &self.bitcoin, &self.k2, policy, *rate)
    }

    /// The actions after what they record is in the journal: what a second turn does.
    fn again(mut self) -> Vec<Action> {
        for action in self.actions() {
            let (id, state) = match action {
                Action::Record(id, state) => (id, state),
                Action::Withdraw(id, _) => (id, Withdrawn),
                _ => continue,
            };
            let batch = self.state.batches.iter_mut().find(|batch| batch.id == id);
            batch.unwrap().state = state;
        }
        self.actions()
    }
}

const fn id(number: u32) -> BatchId {
    BatchId(number)
}

#[test]
fn the_life_of_a_payout() {
    let one = |state| World::new(vec![payout(1, &[0], &[7], state)], &[7]);
    let confirmed = Confirmed { height: 990 };
    let settled = Settled { height: 990 };
    let table = [
        ("nothing is there", World::new(vec![], &[]), vec![]),
        (
            "a redemption is requested",
            World::new(vec![], &[7]),
            vec![Action::Plan],
        ),
        (
            "it waits for signatures",
            one(Planned),
            vec![Action::HandOut(id(1))],
        ),
        ("it is whole", one(Signed), vec![Action::Send(id(1))]),
        ("it waits for a block", one(Sent), vec![Action::Send(id(1))]),
        (
            "it is in a block",
            one(Sent).mined(1, &[0], 990),
            vec![Action::Record(id(1), confirmed), Action::Settle(id(1))],
        ),
        (
            "somebody else sent it, and it is in a block",
            one(Planned).mined(1, &[0], 990),
            vec![Action::Record(id(1), confirmed), Action::Settle(id(1))],
        ),
        (
            "it was settled",
            one(confirmed)
                .mined(1, &[0], 990)
                .redemption(7, RedemptionState::Settled),
            vec![Action::Record(id(1), settled)],
        ),
        (
            "it is settled",
            one(settled)
                .mined(1, &[0], 990)
                .redemption(7, RedemptionState::Settled),
            vec![],
        ),
        (
            "it is settled for a day",
            one(Settled { height: 857 })
                .mined(1, &[0], 857)
                .redemption(7, RedemptionState::Settled),
            vec![Action::Close(id(1))],
        ),
    ];
    for (name, world, actions) in table {
        assert_eq!(world.actions(), actions, "{name}");
    }
}

#[test]
fn one_batch_at_a_time() {
    for state in [Planned, Signed, Sent] {
        let world = World::new(vec![payout(1, &[0], &[7], state)], &[7, 8]);
        assert!(!world.actions().contains(&Action::Plan), "{state:?}");
    }
    let confirmed = payout(1, &[0], &[7], Confirmed { height: 990 });
    let world = World::new(vec![confirmed], &[7, 8]).mined(1, &[0], 990);
    assert_eq!(world.actions(), [Action::Settle(id(1)), Action::Plan]);
    let sweep = Batch {
        kind: Kind::Sweep,
        ..payout(1, &[0], &[], Planned)
    };
    assert_eq!(
        World::new(vec![sweep], &[8]).actions(),
        [Action::HandOut(id(1))]
    );
}

#[test]
fn nothing_is_planned_without_a_rate_or_too_late() {
    let mut world = World::new(vec![], &[7]);
    world.rate = None;
    assert_eq!(world.actions(), []);
    // At 1036 it may be refunded, and a payment needs 36 blocks.
    assert_eq!(World::new(vec![], &[7]).expires(7, 1036).actions(), []);
    assert_eq!(
        World::new(vec![], &[7]).expires(7, 1037).actions(),
        [Action::Plan]
    );
}

/// A re-organisation takes the payment's block: it is sent again, and settled only when it has one.
#[test]
fn a_block_that_is_gone_is_waited_for_anew() {
    for was in [Confirmed { height: 990 }, Settled { height: 990 }] {
        let world = World::new(vec![payout(1, &[0], &[7], was)], &[7]);
        let actions = [Action::Record(id(1), Sent), Action::Send(id(1))];
        assert_eq!(world.actions(), actions);
        assert_eq!(world.again(), [Action::Send(id(1))]);
    }
    let moved = payout(1, &[0], &[7], Confirmed { height: 990 });
    let world = World::new(vec![moved], &[7]).mined(1, &[0], 995);
    let now = Confirmed { height: 995 };
    assert_eq!(
        world.actions(),
        [Action::Record(id(1), now), Action::Settle(id(1))]
    );
}

/// K2 has burned the tokens, so the payment is owed whatever happens to its block; it is neither cancelled nor forgotten,
/// and its coins are not spent otherwise.
#[test]
fn what_k2_has_burned_for_is_sent_until_it_has_a_block() {
    for known in [Some(RedemptionState::Settled), None] {
        let batch = payout(1, &[0], &[7], Settled { height: 990 });
        let mut world = World::new(vec![batch], &[8]);
        if let Some(state) = known {
            world = world.redemption(7, state).expires(7, 1001);
        }
        assert_eq!(world.actions(), [Action::Send(id(1))]);
    }
    // Burned before this journal saw its block.
    let world = World::new(vec![payout(1, &[0], &[7, 8], Sent)], &[8])
        .redemption(7, RedemptionState::Settled)
        .expires(8, 1001);
    assert_eq!(world.actions(), [Action::Send(id(1))]);
}

#[test]
fn a_redemption_that_was_refunded_is_not_paid() {
    let stop = Stop::Refunded { id: 7 };
    let refunded = |state| {
        World::new(vec![payout(1, &[0], &[7], state)], &[]).redemption(7, RedemptionState::Refunded)
    };
    assert_eq!(refunded(Planned).actions(), [Action::Withdraw(id(1), stop)]);
    // Whole transactions can be sent by anybody who has them.
    for state in [Signed, Sent] {
        assert_eq!(refunded(state).actions(), [Action::Cancel(id(1), stop)]);
    }
    let gone = World::new(vec![payout(1, &[0], &[7], Sent)], &[]);
    assert_eq!(
        gone.actions(),
        [Action::Cancel(id(1), Stop::Closed { id: 7 })]
    );
    let forfeited = Forfeited { height: 990 };
    let txid = txid(1);
    let alarm = Action::Alarm(Alarm::PaidAndRefunded { id: 7, txid });
    assert_eq!(
        refunded(Sent).mined(1, &[0], 990).actions(),
        [Action::Record(id(1), forfeited), alarm]
    );
    // That it was closed afterwards does not make it good.
    let closed = World::new(vec![payout(1, &[0], &[7], forfeited)], &[]).mined(1, &[0], 990);
    let alarm = Action::Alarm(Alarm::PaidAndRefunded { id: 7, txid });
    assert_eq!(closed.actions(), [alarm]);
}

/// Refunding and closing can be one transaction on K2: no turn sees the redemption refunded.
#[test]
fn what_is_gone_was_settled_only_if_k2_has_a_record_of_it() {
    let confirmed = Confirmed { height: 990 };
    let gone = || World::new(vec![payout(1, &[0], &[7, 8], confirmed)], &[]).mined(1, &[0], 990);
    let txid = txid(1);
    let alarm = |id| Action::Alarm(Alarm::PaidAndRefunded { id, txid });
    let forfeited = Action::Record(id(1), Forfeited { height: 990 });
    assert_eq!(gone().actions(), [forfeited.clone(), alarm(7), alarm(8)]);
    // The first output pays the lower id.
    let mut first = gone();
    first.k2.paid.insert(OutPoint::new(txid, 0));
    assert_eq!(first.actions(), [forfeited, alarm(8)]);
    first.k2.paid.insert(OutPoint::new(txid, 1));
    let settled = Action::Record(id(1), Settled { height: 990 });
    assert_eq!(first.actions(), std::slice::from_ref(&settled));
    // Records of old blocks are closed in their time.
    let mut old = gone();
    old.k2.records_from = 991;
    assert_eq!(old.actions(), [settled]);
    // During a rotation some are the other wallet's to pay.
    let mut others = gone();
    others.k2.others = BTreeSet::from([7, 8]);
    assert_eq!(others.actions(), [Action::Settle(id(1))]);
}

#[test]
fn what_k2_could_have_been_shown_long_ago_is_told() {
    let confirmed = |height| {
        let batch = payout(1, &[0], &[7], Confirmed { height });
        World::new(vec![batch], &[7]).mined(1, &[0], height)
    };
    assert_eq!(confirmed(989).actions(), [Action::Settle(id(1))]);
    let (txid, height) = (txid(1), 988);
    let alarm = Action::Alarm(Alarm::Unsettled { txid, height });
    assert_eq!(
        confirmed(988).actions(),
        [Action::Settle(id(1)), alarm.clone()]
    );
    assert_eq!(confirmed(988).custodian().actions(), [alarm]);
    // A relay that lags behind is not the settler's fault.
    let mut lagging = confirmed(988);
    lagging.k2.relay_tip = 980;
    assert_eq!(lagging.actions(), []);
}

#[test]
fn a_payment_that_would_confirm_too_late_is_cancelled() {
    let late = |batches| World::new(batches, &[7, 8]).expires(8, 1024);
    let stop = Stop::Expiring {
        id: 8,
        expires: 1024,
    };
    let batch = || payout(1, &[0, 1], &[7, 8], Sent);
    assert_eq!(late(vec![batch()]).actions(), [Action::Cancel(id(1), stop)]);
    let table = [
        (Planned, vec![Action::HandOut(id(2))]),
        (Signed, vec![Action::Send(id(2))]),
        (Sent, vec![Action::Send(id(2))]),
    ];
    for (state, actions) in table {
        let world = late(vec![batch(), cancel(2, &[1], 1, state)]);
        assert_eq!(world.actions(), actions, "the payment is not sent again");
    }
    let withdrawn = late(vec![batch(), cancel(2, &[1], 1, Withdrawn)]);
    assert_eq!(withdrawn.actions(), [Action::Cancel(id(1), stop)]);
    // The relay may lag behind the chain.
    let mut world = World::new(vec![batch()], &[7, 8]).expires(8, 1025);
    world.k2.relay_tip = 900;
    assert_eq!(world.actions(), [Action::Send(id(1))]);
    world.bitcoin.tip = 1001;
    assert!(matches!(world.actions()[..], [Action::Cancel(..)]));
}

#[test]
fn a_cancellation_frees_its_redemptions_when_it_is_buried() {
    let batches = || {
        vec![
            payout(1, &[0], &[7], Sent),
            cancel(2, &[0], 1, Confirmed { height: 990 }),
        ]
    };
    // Not buried: the payment is left alone, and whether the redemption can be planned is for the plan to say.
    let world = World::new(batches(), &[7]).mined(2, &[0], 990);
    assert_eq!(world.actions(), [Action::Plan]);
    let mut world = World::new(batches(), &[7]).mined(2, &[0], 990);
    world.bitcoin.tip = 1013;
    assert_eq!(
        world.actions(),
        [
            Action::Record(id(1), Cancelled { by: id(2) }),
            Action::Record(id(2), Settled { height: 990 }),
            Action::Plan
        ]
    );
    // A re-organisation deeper than any: it is whole, and can be sent.
    let mut batches = batches();
    batches[0].state = Cancelled { by: id(2) };
    batches[1].state = Settled { height: 990 };
    let actions = World::new(batches, &[7]).actions();
    let states = [Action::Record(id(1), Sent), Action::Record(id(2), Sent)];
    assert_eq!(actions[..2], states);
}

#[test]
fn a_payment_came_before_its_cancellation() {
    let batches = vec![
        payout(1, &[0], &[7], Sent),
        cancel(2, &[0], 1, Planned),
        bump(3, &[0], &[7], 1, Signed),
    ];
    let stop = Stop::Spent { by: txid(1) };
    let world = World::new(batches, &[7]).mined(1, &[0], 999);
    assert_eq!(
        world.actions(),
        [
            Action::Record(id(1), Confirmed { height: 999 }),
            Action::Settle(id(1)),
            Action::Withdraw(id(2), stop),
            Action::Withdraw(id(3), stop),
        ]
    );
}

#[test]
fn a_payment_that_blocks_pass_by_is_bumped() {
    let sent_at = |sent_at| Batch {
        sent_at: Some(sent_at),
        ..payout(1, &[0], &[7], Sent)
    };
    let send = Action::Send(id(1));
    let bumped = [send.clone(), Action::Bump(id(1))];
    let world = |batches| World::new(batches, &[7]).rate(3);
    assert_eq!(world(vec![sent_at(997)]).actions(), bumped);
    assert_eq!(world(vec![sent_at(998)]).actions(), bumped[..1], "too soon");
    assert_eq!(
        World::new(vec![sent_at(900)], &[7]).rate(2).actions(),
        bumped[..1],
        "nothing more is needed"
    );
    let waiting = vec![sent_at(900), bump(2, &[0], &[7], 1, Planned)];
    assert_eq!(
        world(waiting).actions(),
        [send, Action::HandOut(id(2))],
        "it is being signed; the first one may confirm meanwhile"
    );
    let replaced = vec![
        payout(1, &[0], &[7], Replaced { by: id(2) }),
        bump(2, &[0], &[7], 1, Sent),
    ];
    assert_eq!(World::new(replaced, &[7]).actions(), [Action::Send(id(2))]);
}

#[test]
fn either_of_a_payment_and_its_bump_may_confirm() {
    let batches = || {
        vec![
            payout(1, &[0], &[7], Replaced { by: id(2) }),
            bump(2, &[0, 1], &[7], 1, Sent),
        ]
    };
    let first = World::new(batches(), &[7]).mined(1, &[0], 990);
    let confirmed = Confirmed { height: 990 };
    assert_eq!(
        first.actions(),
        [Action::Record(id(1), confirmed), Action::Settle(id(1))]
    );
    let mut first = World::new(batches(), &[7]).mined(1, &[0], 990);
    first.bitcoin.tip = 1013;
    let dead = Action::Record(id(2), Replaced { by: id(1) });
    assert!(first.actions().contains(&dead));
    // The bump needs a coin that something else has spent for good: the first one stands again.
    let mut second = World::new(batches(), &[7]).mined(9, &[1], 900);
    second.bitcoin.tip = 1013;
    assert_eq!(
        second.actions(),
        [
            Action::Record(id(1), Sent),
            Action::Record(id(2), Dead),
            Action::Send(id(1)),
        ]
    );
}

/// A lost journal, or a payment made by hand: it is taken in before anything is decided.
#[test]
fn a_payment_the_journal_does_not_know_is_adopted() {
    let world = || World::new(vec![], &[7, 8]).seen(5, &[0], &[7]);
    let payment = payout(5, &[0], &[7], Sent).payment;
    assert_eq!(world().actions(), [Action::Adopt(payment.clone())]);
    let mut known = world();
    known.state.closed.insert(payment.txid);
    assert_eq!(known.actions(), [Action::Plan]);
    // Anybody can name redemptions in a transaction that pays the wallet a little.
    let gift = World::new(vec![], &[7]).seen(5, &[77], &[7]);
    assert_eq!(gift.actions(), [Action::Plan]);
}

#[test]
fn what_was_withdrawn_and_sent_after_all_counts() {
    let world = World::new(vec![payout(1, &[0], &[7], Withdrawn)], &[7]);
    assert_eq!(world.actions(), [Action::Plan]);
    let seen = world.seen(1, &[0], &[7]);
    let txid = txid(1);
    assert_eq!(
        seen.actions(),
        [
            Action::Record(id(1), Sent),
            Action::Alarm(Alarm::Unsendable { txid }),
        ]
    );
}

fn expiring(id: u64, expires: u32) -> Stop {
    Stop::Expiring { id, expires }
}

fn withheld(batch: u32, stop: Stop) -> Action {
    let txid = txid(batch);
    Action::Alarm(Alarm::Withheld { txid, stop })
}

/// Whoever gave the last signature may have it whole, wait for the expiry, take the tokens back, and send it then.
#[test]
fn a_payment_that_somebody_may_hold_back_is_taken_back() {
    let handed_out = |state| World::new(vec![payout(1, &[0], &[7], state)], &[7]).two_sign();
    let late = expiring(7, 1036);
    // Nobody signs any more.
    assert_eq!(
        handed_out(Planned).expires(7, 1036).actions(),
        [Action::Withdraw(id(1), late)]
    );
    assert_eq!(handed_out(Withdrawn).expires(7, 1025).actions(), []);
    let late = expiring(7, 1024);
    let cancel_it = [withheld(1, late), Action::Cancel(id(1), late)];
    assert_eq!(
        handed_out(Withdrawn).expires(7, 1024).actions(),
        cancel_it,
        "what was handed out may have been signed"
    );
    assert_eq!(handed_out(Sent).expires(7, 1024).actions(), cancel_it);
    for (k2, stop) in [
        (Some(RedemptionState::Refunded), Stop::Refunded { id: 7 }),
        (None, Stop::Closed { id: 7 }),
    ] {
        let mut world = World::new(vec![payout(1, &[0], &[7], Withdrawn)], &[]).two_sign();
        if let Some(state) = k2 {
            world = world.redemption(7, state);
        }
        assert_eq!(
            world.actions(),
            [withheld(1, stop), Action::Cancel(id(1), stop)]
        );
    }
    // With one key there is nobody else.
    let single = World::new(vec![payout(1, &[0], &[7], Withdrawn)], &[7]).expires(7, 1010);
    assert_eq!(single.actions(), []);
}

/// A cancellation that nobody signs, because nobody signed what it cancels, holds up nothing.
#[test]
fn the_cancellation_of_what_was_only_handed_out_is_not_waited_for() {
    let late = expiring(7, 1020);
    let batches = |state| vec![payout(1, &[0], &[7], Withdrawn), cancel(2, &[0], 1, state)];
    let world = |state| {
        let world = World::new(batches(state), &[7, 8]).two_sign();
        world.expires(7, 1020)
    };
    assert_eq!(
        world(Planned).actions(),
        [withheld(1, late), Action::HandOut(id(2)), Action::Plan]
    );
    // One that is whole was wanted.
    assert_eq!(
        world(Sent).actions(),
        [withheld(1, late), Action::Send(id(2))]
    );
}

#[test]
fn a_payment_that_excludes_it_is_waited_for_as_long_as_there_is_time() {
    let batches = || {
        vec![
            payout(1, &[0], &[7, 8], Withdrawn),
            payout(2, &[0, 1], &[8], Sent),
        ]
    };
    let world = |expires| {
        World::new(batches(), &[7, 8])
            .two_sign()
            .expires(7, expires)
    };
    assert_eq!(world(1013).actions(), [Action::Send(id(2))]);
    let late = expiring(7, 1012);
    assert_eq!(
        world(1012).actions(),
        [
            withheld(1, late),
            Action::Cancel(id(1), late),
            Action::Send(id(2))
        ]
    );
}

#[test]
fn a_custodian_takes_back_what_it_signed_and_plans_nothing() {
    let signed = payout(1, &[0], &[7], Loose).payment;
    let mut world = World::new(vec![], &[7, 8]).custodian();
    world.state.signed = vec![signed.clone()];
    assert_eq!(world.actions(), [Action::TakeUp(signed)]);
    let loose = || World::new(vec![payout(1, &[0], &[7], Loose)], &[7, 8]).custodian();
    assert_eq!(loose().actions(), []);
    // The coordinator has its chance first.
    assert_eq!(loose().expires(7, 1019).actions(), []);
    let late = expiring(7, 1018);
    assert_eq!(
        loose().expires(7, 1018).actions(),
        [withheld(1, late), Action::Cancel(id(1), late)]
    );
    // Seen: it is on its way, and whoever sent it sees to it.
    assert_eq!(
        loose().seen(1, &[0], &[7]).actions(),
        [Action::Record(id(1), Sent)]
    );
    // A cancellation in a block is enough.
    let cancelled = loose().expires(7, 1010).mined(9, &[0], 999);
    assert_eq!(cancelled.actions(), []);
}

#[test]
fn two_payments_of_one_redemption_are_told() {
    let batches = vec![
        payout(1, &[0], &[7, 8], Settled { height: 990 }),
        payout(2, &[1], &[8], Settled { height: 991 }),
    ];
    let world = World::new(batches, &[])
        .redemption(7, RedemptionState::Settled)
        .redemption(8, RedemptionState::Settled)
        .mined(1, &[0], 990)
        .mined(2, &[1], 991);
    let (first, second) = (txid(1), txid(2));
    let alarm = Alarm::PaidTwice {
        id: 8,
        first,
        second,
    };
    assert_eq!(world.actions(), [Action::Alarm(alarm)]);
}

#[test]
fn two_lines_of_conflict_are_followed_by_themselves() {
    // Two families in flight, as after a lost journal was found again: each is sent, each expires by itself.
    let batches = vec![
        payout(1, &[0], &[7], Sent),
        payout(2, &[1], &[8], Sent),
        cancel(3, &[1], 2, Sent),
    ];
    let world = World::new(batches, &[7, 8]).expires(8, 1005);
    assert_eq!(world.actions(), [Action::Send(id(1)), Action::Send(id(3))]);
}

mod any {
    use proptest::prelude::*;

    use super::*;

    fn state() -> impl Strategy<Value = BatchState> {
        prop_oneof![
            Just(Planned),
            Just(Signed),
            Just(Sent),
            Just(Dead),
            Just(Withdrawn),
            Just(Loose),
            (900_u32..1001).prop_map(|height| Confirmed { height }),
            (900_u32..1001).prop_map(|height| Settled { height }),
            (900_u32..1001).prop_map(|height| Forfeited { height }),
            (1_u32..4).prop_map(|by| Replaced { by: id(by) }),
            (1_u32..4).prop_map(|by| Cancelled { by: id(by) }),
        ]
    }

    fn batch(number: u32) -> impl Strategy<Value = Batch> {
        let coins = prop::collection::btree_set(0_u8..4, 1..3);
        let ids = prop::collection::btree_set(0_u64..4, 1..3);
        let kind =
            prop_oneof![3 => Just(Kind::Payout), 1 => Just(Kind::Cancel), 1 => Just(Kind::Sweep)];
        (coins, ids, state(), kind, any::<bool>()).prop_map(
            move |(coins, ids, state, kind, is_complete)| {
                let coins: Vec<u8> = coins.into_iter().collect();
                let ids: Vec<u64> = ids.into_iter().filter(|_| kind == Kind::Payout).collect();
                Batch {
                    kind,
                    is_complete: state == Signed
                        || (is_complete && !matches!(state, Planned | Loose)),
                    ..payout(number, &coins, &ids, state)
                }
            },
        )
    }

    fn world() -> impl Strategy<Value = World> {
        let redemption = prop_oneof![
            Just(None),
            (1000_u32..1050).prop_map(|expires| Some((RedemptionState::Open, expires))),
            Just(Some((RedemptionState::Settled, 1500))),
            Just(Some((RedemptionState::Refunded, 1500))),
        ];
        let redemptions = prop::collection::vec(redemption, 4);
        // Each coin: unspent, or spent by one of the batches or a stranger.
        let spent = prop::collection::vec(prop::option::of((1_u32..5, 850_u32..1001)), 4);
        let policy = (1_usize..3, any::<bool>());
        ((batch(1), batch(2), batch(3)), redemptions, spent, policy).prop_map(
            |((one, two, three), redemptions, spent, (threshold, is_custodian))| {
                let mut world = World::new(vec![one, two, three], &[]);
                world.policy.threshold = threshold;
                if is_custodian {
                    world.policy.role = Role::Custodian;
                }
                for (id, redemption) in (0..).zip(redemptions) {
                    if let Some((state, expires)) = redemption {
                        world = world.redemption(id, state).expires(id, expires);
                    }
                }
                for (number, spent) in (0..).zip(spent) {
                    let Some((by, height)) = spent else { continue };
                    world = world.mined(by, &[number], height);
                }
                world
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        /// Whatever state a crash, a person or an attacker left behind.
        #[test]
        fn no_payment_is_sent_that_may_be_one_too_many(world in world()) {
            let actions = world.actions();
            let late = match world.policy.role {
                Role::Coordinator => 24,
                Role::Custodian => 18,
            };
            let of = |id: BatchId| world.state.batches.iter().find(|batch| batch.id == id).unwrap();
            let burned = |batch: &Batch| batch.payment.ids.iter().any(|id| {
                let known = world.k2.redemptions.get(id);
                known.is_some_and(|redemption| redemption.state == RedemptionState::Settled)
            });
            for action in &actions {
                match action {
                    Action::Send(id) => {
                        let batch = of(*id);
                        prop_assert!(batch.is_complete);
                        for input in &batch.payment.inputs {
                            prop_assert!(!world.bitcoin.spent.contains_key(input), "it cannot confirm");
                        }
                        let owed = batch.state.is_settled() || burned(batch);
                        for redemption in batch.payment.ids.iter().filter(|_| !owed) {
                            let redemption = &world.k2.redemptions[redemption];
                            prop_assert_eq!(redemption.state, RedemptionState::Open);
                            prop_assert!(redemption.expires > TIP + late);
                        }
                    }
                    Action::HandOut(id) => {
                        prop_assert_eq!(of(*id).state, Planned);
                        for redemption in &of(*id).payment.ids {
                            let redemption = &world.k2.redemptions[redemption];
                            prop_assert_eq!(redemption.state, RedemptionState::Open);
                            prop_assert!(redemption.expires > TIP + 36);
                        }
                    }
                    Action::Plan | Action::Settle(_) => {
                        prop_assert_eq!(world.policy.role, Role::Coordinator);
                    }
                    Action::Cancel(id, _) => prop_assert!(!burned(of(*id))),
                    Action::Record(id, state) => {
                        prop_assert!(!matches!(state, Planned | Signed), "no state comes back by itself");
                        prop_assert_ne!(of(*id).state, *state);
                    }
                    _ => {}
                }
            }
            let planned = actions.iter().filter(|action| **action == Action::Plan).count();
            let busy = actions.iter().any(|action| {
                matches!(action, Action::Send(_) | Action::HandOut(_) | Action::Cancel(..) | Action::Bump(_))
            });
            prop_assert!(planned <= 1 && !(planned == 1 && busy), "coins are promised once");
        }

        /// What a turn records is what the next one finds: nothing swings.
        #[test]
        fn states_come_to_rest(world in world()) {
            let again = world.again();
            let moved = again.iter().find(|action| matches!(action, Action::Record(..)));
            prop_assert!(moved.is_none(), "{moved:?}");
        }
    }

    impl std::fmt::Debug for World {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(
                f,
                "{:#?} {:?} {:?}",
                self.state.batches, self.bitcoin.spent, self.k2.redemptions
            )
        }
    }
}
