//! A call of every instruction that is right in all respects, on a world in which it may be made: what a test makes wrong in
//! one respect at a time.

use k2_interface::Role;
use k2_interface::bitcoin::RedeemIds;
use k2_interface::instruction::{InstructionKind, RoundRoot};
use solana_pubkey::Pubkey;

use crate::bitcoin::{Chain, data_output, output, payment, sha256, somebodys_coin};
use crate::rewards::RewardList;
use crate::{Call, World, scripts};

/// A right call.
pub struct Valid {
    /// Where it may be made.
    pub world: World,
    /// The call.
    pub call: Call,
    /// Accounts of the same kind that stand there too, but for somebody or something else: name and address.
    pub others: Vec<(&'static str, Pubkey)>,
}

impl Valid {
    fn new(world: World, call: Call) -> Self {
        Self {
            world,
            call,
            others: Vec::new(),
        }
    }

    fn beside(mut self, name: &'static str, key: Pubkey) -> Self {
        self.others.push((name, key));
        self
    }
}

/// A right call of this instruction; where it takes cursor and buffer, with both.
#[track_caller]
pub fn valid(kind: InstructionKind, story: &str) -> Valid {
    match kind {
        InstructionKind::Initialize => {
            let k2 = World::deployed(story);
            let call = k2.initialize(k2.rules());
            Valid::new(k2, call)
        }
        InstructionKind::InitializeRelay => {
            let k2 = World::new(story);
            let (args, headers) = k2.checkpoint(&k2.chain, 0);
            let call = k2.initialize_relay(args, &headers);
            Valid::new(k2, call)
        }
        InstructionKind::SubmitHeaders => {
            let mut k2 = related(story, 3);
            k2.chain.mine(2);
            let call = k2.submit_headers(&k2.chain.headers(4..=5));
            Valid::new(k2, call)
        }
        InstructionKind::SubmitFork => {
            let mut k2 = related(story, 5);
            let other = other_payer(&mut k2, World::open_fork);
            let call = k2.open_fork();
            Valid::new(k2, call).beside("fork", other.key("fork"))
        }
        InstructionKind::CloseFork => {
            let mut k2 = related(story, 5);
            let other = other_payer(&mut k2, World::open_fork);
            let open = k2.open_fork();
            k2.send("a branch is begun", open).must_succeed();
            let call = k2.close_fork();
            Valid::new(k2, call).beside("fork", other.key("fork"))
        }
        InstructionKind::OpenCursor => {
            let mut k2 = related(story, 5);
            let other = other_payer(&mut k2, |k2| k2.open_cursor(1));
            let call = k2.open_cursor(1);
            Valid::new(k2, call).beside("cursor", other.key("cursor"))
        }
        InstructionKind::AdvanceCursor => {
            let mut k2 = related_late(story);
            let other = other_payer(&mut k2, |k2| k2.open_cursor(1));
            let open = k2.open_cursor(1);
            k2.send("a cursor is opened", open).must_succeed();
            let oldest = k2.relay().oldest_height.get();
            let call = k2.advance_cursor(1, &k2.chain.headers([oldest, oldest - 1]));
            Valid::new(k2, call).beside("cursor", other.key("cursor"))
        }
        InstructionKind::CloseCursor => {
            let mut k2 = related(story, 5);
            let other = other_payer(&mut k2, |k2| k2.open_cursor(1));
            let open = k2.open_cursor(1);
            k2.send("a cursor is opened", open).must_succeed();
            let call = k2.close_cursor(1);
            Valid::new(k2, call).beside("cursor", other.key("cursor"))
        }
        InstructionKind::OpenBuffer => {
            let mut k2 = World::new(story);
            let other = other_payer(&mut k2, announce);
            let call = announce(&k2);
            Valid::new(k2, call).beside("buffer", other.key("buffer"))
        }
        InstructionKind::WriteBuffer | InstructionKind::CloseBuffer => {
            let mut k2 = World::new(story);
            let other = other_payer(&mut k2, announce);
            let open = announce(&k2);
            k2.send("a proof is announced", open).must_succeed();
            let call = match kind {
                InstructionKind::WriteBuffer => k2.write_buffer(1, 0, b"the"),
                _ => k2.close_buffer(1),
            };
            Valid::new(k2, call).beside("buffer", other.key("buffer"))
        }
        InstructionKind::MintCoinbase => mint_coinbase(story),
        InstructionKind::MintDeposit => mint_deposit(story),
        InstructionKind::CloseDeposit => close_deposit(story),
        InstructionKind::ClosePayout => close_payout(story),
        InstructionKind::ProposeAuthority => {
            let k2 = World::new(story);
            let call = k2.propose_authority(k2.payer);
            Valid::new(k2, call)
        }
        InstructionKind::AcceptAuthority => {
            let mut k2 = World::new(story);
            let next = k2.somebody("next authority");
            let propose = k2.propose_authority(next);
            k2.send("an authority is proposed", propose).must_succeed();
            let call = k2.accept_authority(next);
            Valid::new(k2, call)
        }
        InstructionKind::SetGuardian => {
            let k2 = World::new(story);
            let call = k2.set_guardian(k2.payer);
            Valid::new(k2, call)
        }
        InstructionKind::Pause => {
            let k2 = World::new(story);
            let call = k2.pause(k2.guardian, 1);
            Valid::new(k2, call)
        }
        InstructionKind::Resume => {
            let mut k2 = World::new(story);
            let pause = k2.pause(k2.guardian, 1);
            k2.send("something is paused", pause).must_succeed();
            let call = k2.resume(k2.authority, 1);
            Valid::new(k2, call)
        }
        InstructionKind::ProposeCustody => {
            let k2 = World::new(story);
            let call = k2.propose_custody(scripts::p2tr("next"), scripts::NONE);
            Valid::new(k2, call)
        }
        InstructionKind::CancelCustody => {
            let mut k2 = World::new(story);
            announce_custody(&mut k2);
            let call = k2.cancel_custody(k2.guardian);
            Valid::new(k2, call)
        }
        InstructionKind::ActivateCustody => {
            let mut k2 = related(story, 3);
            announce_custody(&mut k2);
            k2.wait(1_000);
            let call = k2.activate_custody();
            Valid::new(k2, call)
        }
        InstructionKind::SetQuorum => {
            let mut k2 = World::new(story);
            k2.operators_named(["ann", "bob"]);
            let call = k2.set_quorum(3);
            Valid::new(k2, call)
        }
        InstructionKind::RegisterOperator => {
            let mut k2 = World::new(story);
            let [ann] = k2.operators_named(["ann"]);
            let bob = k2.somebody("bob");
            let call = k2.register(bob);
            let other = k2.operator_key(ann);
            Valid::new(k2, call).beside("operator", other)
        }
        InstructionKind::LeaveOperator => {
            let mut k2 = World::new(story);
            let [ann, bob] = k2.operators_named(["ann", "bob"]);
            let call = k2.leave(ann, ann);
            let other = k2.operator_key(bob);
            Valid::new(k2, call).beside("operator", other)
        }
        InstructionKind::WithdrawBond => {
            let mut k2 = World::new(story);
            let [ann, bob] = k2.operators_named(["ann", "bob"]);
            for operator in [ann, bob] {
                let leave = k2.leave(operator, operator);
                k2.send("an operator leaves", leave).must_succeed();
            }
            k2.wait(2_000);
            let call = k2.withdraw_bond(ann);
            let other = k2.operator_key(bob);
            Valid::new(k2, call).beside("operator", other)
        }
        InstructionKind::SlashOperator => {
            let mut k2 = World::new(story);
            let [ann, bob] = k2.operators_named(["ann", "bob"]);
            let [one, other] = [1, 2].map(|sats| root(&k2, 1, sats));
            for (operator, root) in [(ann, one), (bob, other)] {
                let propose = k2.propose(operator, root);
                k2.send("a root is proposed", propose).must_succeed();
            }
            let attest = k2.attest(ann, bob, other);
            k2.send("ann attests a second one", attest).must_succeed();
            let [one, other] = [ann, bob].map(|proposer| k2.proposal_key(1, proposer));
            let call = k2.slash(ann, one, other);
            let honest = k2.operator_key(bob);
            Valid::new(k2, call).beside("operator", honest)
        }
        InstructionKind::ProposeRound => {
            let mut k2 = World::new(story);
            let [ann, bob] = k2.operators_named(["ann", "bob"]);
            let propose = k2.propose(bob, root(&k2, 1, 1));
            k2.send("bob proposes", propose).must_succeed();
            let call = k2.propose(ann, root(&k2, 1, 1));
            let other = k2.proposal_key(1, bob);
            Valid::new(k2, call).beside("proposal", other)
        }
        InstructionKind::AttestRound => {
            let mut k2 = World::new(story);
            let [ann, bob, cyd] = k2.operators_named(["ann", "bob", "cyd"]);
            for (operator, sats) in [(ann, 1), (cyd, 2)] {
                let propose = k2.propose(operator, root(&k2, 1, sats));
                k2.send("a root is proposed", propose).must_succeed();
            }
            let call = k2.attest(bob, ann, root(&k2, 1, 1));
            let other = k2.proposal_key(1, cyd);
            Valid::new(k2, call).beside("proposal", other)
        }
        InstructionKind::FinalizeRound | InstructionKind::VetoRound => {
            let mut k2 = World::new(story);
            let [ann, bob, cyd] = k2.operators_named(["ann", "bob", "cyd"]);
            let root = RoundRoot {
                total: 0,
                ..root(&k2, 1, 1)
            };
            for operator in [ann, cyd] {
                let propose = k2.propose(operator, root);
                k2.send("a root is proposed", propose).must_succeed();
            }
            let attest = k2.attest(bob, ann, root);
            k2.send("bob attests ann's", attest).must_succeed();
            let veto = k2.veto(k2.authority, 1, cyd);
            k2.send("cyd's is vetoed", veto).must_succeed();
            k2.wait(100);
            let call = match kind {
                InstructionKind::FinalizeRound => k2.finalize(1, ann),
                _ => k2.veto(k2.guardian, 1, ann),
            };
            let other = k2.proposal_key(1, cyd);
            Valid::new(k2, call).beside("proposal", other)
        }
        InstructionKind::CloseProposal => {
            let mut k2 = World::new(story);
            let [ann, bob] = k2.operators_named(["ann", "bob"]);
            for operator in [ann, bob] {
                let propose = k2.propose(operator, root(&k2, 1, 1));
                k2.send("a root is proposed", propose).must_succeed();
                let veto = k2.veto(k2.guardian, 1, operator);
                k2.send("and vetoed", veto).must_succeed();
            }
            k2.wait(2_000);
            let call = k2.close_proposal(1, ann);
            let other = k2.proposal_key(1, bob);
            Valid::new(k2, call).beside("proposal", other)
        }
        InstructionKind::Claim => claim(story, false),
        InstructionKind::RequestRedeem => {
            let (mut k2, [mia, max]) = holders(story, ["mia", "max"]);
            let request = k2.request_redeem(max, 10_000, 0, scripts::p2tr("max's"));
            k2.send("max asks for BTC", request).must_succeed();
            let call = k2.request_redeem(mia, 10_000, 0, scripts::p2tr("mia's"));
            let [account, redemption] = [k2.associated(max).0, k2.redemption_key(0)];
            Valid::new(k2, call)
                .beside("source", account)
                .beside("redemption", redemption)
        }
        InstructionKind::SettleRedeem => settle(story),
        InstructionKind::RefundRedeem => {
            let (mut k2, [mia, max]) = holders(story, ["mia", "max"]);
            for owner in [mia, max] {
                let request = k2.request_redeem(owner, 10_000, 0, scripts::p2tr("hers"));
                k2.send("somebody asks for BTC", request).must_succeed();
            }
            k2.mine_and_relay(30);
            let call = k2.refund_redeem(0, mia);
            let [account, redemption] = [k2.associated(max).0, k2.redemption_key(1)];
            Valid::new(k2, call)
                .beside("destination", account)
                .beside("redemption", redemption)
        }
        InstructionKind::CloseRedemption => {
            let (mut k2, [mia]) = holders(story, ["mia"]);
            let request = k2.request_redeem(mia, 10_000, 0, scripts::p2tr("mia's"));
            k2.send("mia asks for BTC", request).must_succeed();
            k2.mine_and_relay(30);
            let refund = k2.refund_redeem(0, mia);
            k2.send("and is refunded", refund).must_succeed();
            let payer = k2.somebody("other payer");
            let request = k2.request_redeem(mia, 10_000, 0, scripts::p2tr("mia's"));
            k2.send("mia asks again", request.with("payer", payer))
                .must_succeed();
            let call = k2.close_redemption(0, k2.payer);
            let other = k2.redemption_key(1);
            Valid::new(k2, call).beside("redemption", other)
        }
    }
}

/// A claim by somebody who has claimed before: its ledger exists.
#[track_caller]
pub fn second_claim(story: &str) -> Valid {
    claim(story, true)
}

/// A pool whose relay has so many blocks after regtest's genesis.
#[track_caller]
fn related(story: &str, blocks: u32) -> World {
    let mut k2 = World::new(story);
    k2.start_relay();
    k2.mine_and_relay(blocks);
    k2
}

/// A pool whose relay begins at block 30 with eleven blocks: those before it are known to cursors only.
#[track_caller]
fn related_late(story: &str) -> World {
    let mut k2 = World::new(story);
    k2.chain.mine(30);
    let chain = k2.chain.clone();
    k2.relay_from(&chain, 30);
    k2
}

/// Another payer does the same for itself.
#[track_caller]
fn other_payer(k2: &mut World, call: impl Fn(&World) -> Call) -> Call {
    let other = k2.somebody("other payer");
    let payer = std::mem::replace(&mut k2.payer, other);
    let call = call(k2);
    k2.send("somebody else does it too", call.clone())
        .must_succeed();
    k2.payer = payer;
    call
}

impl World {
    /// A branch of one block, which has as much work as the best chain's last and is collected.
    fn open_fork(&self) -> Call {
        let base = self.chain.tip() - 1;
        let branch = {
            let mut branch = self.chain.branch(base, "other");
            branch.mine(1);
            branch
        };
        self.submit_fork(base, &branch.headers([base + 1]))
    }
}

const PROOF: &[u8] = b"the proof";

fn announce(k2: &World) -> Call {
    k2.open_buffer(1, PROOF.len() as u32, sha256(&[PROOF]))
}

#[track_caller]
fn announce_custody(k2: &mut World) {
    let propose = k2.propose_custody(scripts::p2tr("next"), scripts::NONE);
    k2.send("new scripts are announced", propose).must_succeed();
}

/// A root that was never minted for.
fn root(k2: &World, round: u64, sats: u64) -> RoundRoot {
    RewardList::new(k2.program, round, &[(Role::Miner, k2.payer, sats)]).root([0; 32])
}

/// A block below the relay's ring, proved from a cursor by a proof in a buffer, with both of them for somebody else too.
#[track_caller]
fn mint_coinbase(story: &str) -> Valid {
    let mut k2 = World::new(story);
    let height = k2.chain.pay_coinbase(&scripts::coinbase(), 5_000_000_000);
    let proof = k2.chain.coinbase_proof(height);
    let next = k2.chain.pay_coinbase(&scripts::coinbase(), 5_000_000_000);
    k2.chain.mine(100);
    let (key, other) = prove_from_below(&mut k2, height, &proof.bytes);
    let txid = k2.chain.coinbase_proof(next).txid;
    let call = k2.mint_coinbase(&proof.at_cursor(1).in_buffer(1));
    let record = k2.deposit_key(&txid, 0);
    Valid::new(k2, call)
        .beside("cursor", key)
        .beside("buffer", other)
        .beside("deposit", record)
}

/// The same of a payment to the deposit script with two inputs.
#[track_caller]
fn mint_deposit(story: &str) -> Valid {
    let mut k2 = World::new(story);
    let coins = ["one", "two"].map(somebodys_coin);
    let pays = payment(&coins, vec![output(&scripts::deposit(), 700_000)]);
    let height = k2.chain.include(vec![pays]);
    let proof = k2.chain.payment_proof(height, 1);
    k2.chain.mine(40);
    let (cursor, buffer) = prove_from_below(&mut k2, height, &proof.bytes);
    let call = k2.mint_deposit(&proof.at_cursor(1).in_buffer(1));
    Valid::new(k2, call)
        .beside("cursor", cursor)
        .beside("buffer", buffer)
}

/// The relay begins at the tip; cursors of two payers walk down to this height, and both announce the proof.
#[track_caller]
fn prove_from_below(k2: &mut World, height: u32, proof: &[u8]) -> (Pubkey, Pubkey) {
    let chain: Chain = k2.chain.clone();
    k2.relay_from(&chain, chain.tip());
    let other = k2.somebody("other payer");
    let payer = k2.payer;
    for payer in [other, payer] {
        k2.payer = payer;
        k2.walk_down(1, &chain, height);
        k2.fill_buffer(1, proof);
    }
    (k2.cursor_key(other, 1), k2.buffer_key(other, 1))
}

/// Rules under which an output is soon too old.
fn short_horizon(story: &str) -> World {
    let mut k2 = World::deployed(story);
    let mut rules = k2.rules();
    rules.mint_horizon = 217;
    let initialize = k2.initialize(rules);
    k2.send("the pool is set up", initialize).must_succeed();
    k2.operators_named(["ann", "bob"]);
    k2
}

#[track_caller]
fn close_deposit(story: &str) -> Valid {
    let mut k2 = short_horizon(story);
    k2.start_relay();
    let heights = [(); 2].map(|()| k2.chain.pay_coinbase(&scripts::coinbase(), 5_000_000_000));
    k2.mine_and_relay(100);
    let proofs = heights.map(|height| k2.chain.coinbase_proof(height));
    let other = k2.somebody("other payer");
    let mint = k2.mint_coinbase(&proofs[0]);
    k2.send("a block is minted", mint).must_succeed();
    let mint = k2.mint_coinbase(&proofs[1]).with("payer", other);
    k2.send("another, by another payer", mint).must_succeed();
    k2.mine_and_relay(217 + 24);
    let [record, other] = proofs.map(|proof| k2.deposit_key(&proof.txid, 0));
    let call = k2.close_deposit(record, k2.payer);
    Valid::new(k2, call).beside("deposit", other)
}

/// A payout of these redemptions to these scripts, in a block with six confirmations. It returns the block's height.
#[track_caller]
pub fn pay_out(k2: &mut World, payouts: &[(u64, k2_interface::state::PackedScript, u64)]) -> u32 {
    let ids: Vec<u64> = payouts.iter().map(|(id, ..)| *id).collect();
    let mut outputs: Vec<_> = payouts
        .iter()
        .map(|(_, script, sats)| output(script, *sats))
        .collect();
    outputs.push(data_output(RedeemIds::encode(&ids).unwrap()));
    let height = k2
        .chain
        .include(vec![payment(&[somebodys_coin("custody's")], outputs)]);
    k2.mine_and_relay(5);
    height
}

#[track_caller]
fn close_payout(story: &str) -> Valid {
    let mut k2 = short_horizon(story);
    k2.earn(1);
    let mia = k2.holder("mia");
    k2.give(&[(mia, 1_000_000)]);
    let script = scripts::p2tr("mia's");
    for _ in 0..2 {
        let request = k2.request_redeem(mia, 10_000, 0, script);
        k2.send("mia asks for BTC", request).must_succeed();
    }
    let height = pay_out(&mut k2, &[(0, script, 10_000), (1, script, 10_000)]);
    let proof = k2.chain.payment_proof(height, 1);
    let other = k2.somebody("other payer");
    let settle = k2.settle(0, &proof);
    k2.send("one is settled", settle).must_succeed();
    let settle = k2.settle(1, &proof.clone().vout(1)).with("payer", other);
    k2.send("and the other, by another payer", settle)
        .must_succeed();
    k2.mine_and_relay(217 + 24);
    let [record, other] = [0, 1].map(|vout| k2.payout_key(&proof.txid, vout));
    let call = k2.close_payout(record, k2.payer);
    Valid::new(k2, call).beside("payout", other)
}

/// A settlement from a cursor and a buffer. The relay is behind until the payout has left what it will know.
#[track_caller]
fn settle(story: &str) -> Valid {
    let (mut k2, [mia]) = holders(story, ["mia"]);
    let script = scripts::p2tr("mia's");
    for _ in 0..2 {
        let request = k2.request_redeem(mia, 20_000, 500, script);
        k2.send("mia asks for BTC", request).must_succeed();
    }
    let height = pay_out(&mut k2, &[(0, script, 19_500), (1, script, 19_600)]);
    let proof = k2.chain.payment_proof(height, 1);
    k2.mine_and_relay(200);
    let other = k2.somebody("other payer");
    let chain = k2.chain.clone();
    let payer = k2.payer;
    for payer in [other, payer] {
        k2.payer = payer;
        k2.walk_down(1, &chain, height);
        k2.fill_buffer(1, &proof.bytes);
    }
    let paid = k2.payout_key(&proof.txid, 1);
    let settle = k2.settle(1, &proof.clone().vout(1).at_cursor(1).in_buffer(1));
    k2.send("one is settled", settle).must_succeed();
    let call = k2.settle(0, &proof.at_cursor(1).in_buffer(1));
    let (cursor, buffer, settled) = (
        k2.cursor_key(other, 1),
        k2.buffer_key(other, 1),
        k2.redemption_key(1),
    );
    Valid::new(k2, call)
        .beside("cursor", cursor)
        .beside("buffer", buffer)
        .beside("redemption", settled)
        .beside("payout", paid)
}

/// A pool with 50 BTC in its vault, two operators, and people with token accounts.
#[track_caller]
fn claimants<const N: usize>(story: &str, names: [&str; N]) -> (World, [Pubkey; N]) {
    let mut k2 = World::new(story);
    k2.operators_named(["ann", "bob"]);
    k2.earn(1);
    let people = names.map(|name| k2.holder(name));
    (k2, people)
}

/// The same, and each has a million sats.
#[track_caller]
fn holders<const N: usize>(story: &str, names: [&str; N]) -> (World, [Pubkey; N]) {
    let (mut k2, people) = claimants(story, names);
    k2.give(&people.map(|owner| (owner, 1_000_000)));
    (k2, people)
}

#[track_caller]
fn claim(story: &str, has_claimed: bool) -> Valid {
    let (mut k2, [mia, max]) = claimants(story, ["mia", "max"]);
    let mut first = vec![(max, 1)];
    if has_claimed {
        first.push((mia, 1));
    }
    k2.give(&first);
    let list = RewardList::new(
        k2.program,
        2,
        &[(Role::Miner, mia, 700), (Role::Miner, max, 300)],
    );
    k2.put_in_force(&list);
    let call = k2.claim(&list, 0);
    let [ledger, account] = [k2.ledger_key(Role::Miner, max), k2.associated(max).0];
    Valid::new(k2, call)
        .beside("ledger", ledger)
        .beside("destination", account)
}
