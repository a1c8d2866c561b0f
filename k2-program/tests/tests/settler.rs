//! The client settles payouts: `Settler` against the program as it is built.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "settler/cluster.rs"]
mod cluster;

use std::sync::Arc;

use cluster::{Blocks, Cluster, payer, rival};
use k2_client::redeem::{Payout, Settled, Settler};
use k2_client::{Budget, Draft, Keypair};
use k2_interface::state::{Record, RedemptionState};
use k2_tests::World;
use k2_tests::bitcoin::Chain;
use k2_tests::redeeming::{EACH, MAX_FEE, padding};
use solana_pubkey::Pubkey;

/// What a transaction with one signature costs.
const FEE: u64 = 5_000;

struct Story {
    cluster: Arc<Cluster>,
    node: Arc<Blocks>,
    program: Pubkey,
    rent: u64,
}

impl Story {
    /// So many redemptions that are paid in one transaction, in a block whose coinbase has so many outputs.
    fn new(name: &str, redemptions: u64, outputs: usize) -> Self {
        let coins = redemptions.div_ceil(2);
        let (mut k2, chain, _) = World::paid_in_one(name, redemptions, coins, padding(outputs));
        Self::of(&mut k2, chain)
    }

    fn of(k2: &mut World, chain: Chain) -> Self {
        Self {
            cluster: Cluster::new(k2),
            node: Arc::new(Blocks(chain)),
            program: k2.program,
            rent: k2.k2.rent(size_of::<Record>()),
        }
    }

    fn settler_of(&self, keypair: Keypair) -> Settler {
        let client = self.cluster.client(self.program);
        Settler::new(client, self.node.clone(), Arc::new(keypair))
    }

    fn settler(&self) -> Settler {
        self.settler_of(payer())
    }

    /// All redemptions are settled, each by its own output, and the payer's buffers are closed.
    async fn must_be_settled(&self, redemptions: u64) {
        let client = self.cluster.client(self.program);
        let accounts = client.accounts();
        let ids: Vec<u64> = (0..redemptions).collect();
        for (id, redemption) in ids.iter().zip(accounts.redemptions_of(&ids).await.unwrap()) {
            let redemption = redemption.unwrap();
            assert_eq!(redemption.state, RedemptionState::Settled as u8, "{id}");
            assert_eq!(u64::from(redemption.payout_vout.get()), *id);
            assert_eq!(redemption.paid.get(), EACH - MAX_FEE);
        }
        let totals = accounts.config().await.unwrap().totals;
        assert_eq!(totals.burned.get(), redemptions * EACH);
        assert_eq!(totals.escrowed.get(), 0);
        let buffers = accounts.buffers(&payer().address()).await.unwrap();
        assert!(buffers.is_empty());
    }
}

fn signed(settled: &[Settled]) -> usize {
    settled.iter().filter(|s| s.signature.is_some()).count()
}

/// One upload, and eight settlements in each transaction. The figures stand in BENCHMARKS.md.
#[tokio::test(start_paused = true)]
async fn a_hundred_redemptions_take_one_upload() {
    let story = Story::new("settler/hundred", 100, 1);
    let before = story.cluster.lamports(&payer().address());
    let settled = story.settler().settle_all().await.unwrap();
    assert_eq!((settled.len(), signed(&settled)), (100, 100));
    story.must_be_settled(100).await;
    let transactions = story.cluster.landed();
    // OpenBuffer, the proof of 6.5 KB in seven pieces, and thirteen that settle, of which the last one closes the buffer.
    assert_eq!(transactions, 1 + 7 + 13);
    // What it cost: the fees, and the rent of the records.
    let spent = before - story.cluster.lamports(&payer().address());
    assert_eq!(spent, 21 * FEE + 100 * story.rent);
    // Nothing is left to do.
    assert_eq!(story.settler().settle_all().await.unwrap(), []);
    assert_eq!(story.cluster.landed(), 21);
}

/// Killed before or after any question to the cluster, and started again.
#[tokio::test(start_paused = true)]
async fn it_goes_on_wherever_it_was_killed() {
    const REDEMPTIONS: u64 = 20;
    let story = |number| Story::new(&format!("settler/killed_{number}"), REDEMPTIONS, 1);
    let whole = story(0);
    whole.settler().settle_all().await.unwrap();
    let (calls, transactions) = (whole.cluster.calls(), whole.cluster.landed());
    assert!(calls > 30, "{calls}");
    for call in (1..calls).step_by(2) {
        let story = story(call);
        story.cluster.die_after(Some(call));
        // The last calls are only read.
        let _ = story.settler().settle_all().await;
        story.cluster.die_after(None);
        story.settler().settle_all().await.unwrap();
        close_what_is_left(&story).await;
        story.must_be_settled(REDEMPTIONS).await;
        let took = story.cluster.landed();
        assert!(took <= transactions + 1, "call {call}: {took}");
    }
}

/// All redemptions were settled and then it was killed: nothing tells the next one of the buffer, but `k2 close` finds it.
async fn close_what_is_left(story: &Story) {
    let client = story.cluster.client(story.program);
    let own = payer().address();
    for buffer in client.accounts().buffers(&own).await.unwrap() {
        let close = client.program().close_buffer(own, buffer.id.get());
        let draft = Draft::new(own, [close]);
        client.send(&draft, &[&payer()]).await.unwrap();
    }
}

/// The transactions in which another settler settles these redemptions, all of which fit one each.
async fn rivals(story: &Story, payouts: &[Payout]) -> Vec<Vec<u8>> {
    let settler = story.settler_of(rival());
    let job = settler.job(payouts).await.unwrap();
    let client = story.cluster.client(story.program);
    let (program, own) = (client.program(), rival().address());
    let id = job.buffer_id();
    let mut drafts = vec![program.open_buffer(own, id, job.proof().len() as u32, job.digest())];
    let mut offset = 0;
    for piece in job.proof().chunks(900) {
        drafts.push(program.write_buffer(own, id, offset, piece));
        offset += piece.len() as u32;
    }
    for used in &job.uses {
        let ring = k2_client::Anchoring::Ring;
        drafts.push(job.instruction(used, program, own, ring, true));
    }
    let hash = client.k2().latest_blockhash(client.commitment()).await;
    let hash = hash.unwrap().hash;
    let sign = |instruction| {
        let draft = Draft::new(own, [instruction]);
        draft.sign(Budget::MOST, hash, &[&rival()]).unwrap().bytes
    };
    drafts.into_iter().map(sign).collect()
}

#[tokio::test(start_paused = true)]
async fn another_settler_may_be_faster() {
    // Before the upload, in the middle of it, after it, and between the settlements.
    for (after, wanted) in [(1, 15), (3, 15), (5, 19), (6, 23), (7, 27)] {
        let story = Story::new(&format!("settler/rival_{after}"), 30, 1);
        let payouts = story.settler().find().await.unwrap();
        let theirs: Vec<_> = payouts.iter().copied().step_by(2).collect();
        let others = rivals(&story, &theirs).await;
        story.cluster.meanwhile(after, others);
        let settled = story.settler().settle(payouts).await.unwrap();
        assert_eq!(settled.len(), 30);
        assert!(settled.iter().all(|settled| settled.waiting.is_none()));
        assert_eq!(signed(&settled), wanted, "after {after}");
        story.must_be_settled(30).await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_refused_holds_up_no_other() {
    let story = Story::new("settler/refused", 30, 1);
    let mut payouts = story.settler().find().await.unwrap();
    for wrong in [3, 17] {
        payouts[wrong].vout += 1;
    }
    let settled = story.settler().settle(payouts.clone()).await.unwrap();
    for (settled, id) in settled.iter().zip(0..) {
        assert_eq!(settled.payout.redemption, id);
        assert_eq!(settled.signature.is_none(), [3, 17].contains(&id));
        let waiting = settled.waiting.as_deref().unwrap_or_default();
        assert_eq!(waiting.contains("SettleRedeem"), [3, 17].contains(&id));
    }
    // Another run settles what was given wrongly.
    let settled = story.settler().settle_all().await.unwrap();
    assert_eq!(signed(&settled), 2);
    story.must_be_settled(30).await;
}

/// Who cannot pay the rent of a very long proof can still settle the others.
#[tokio::test(start_paused = true)]
async fn a_proof_that_costs_too_much_holds_up_no_other() {
    let (mut k2, mut chain, height) = World::paid_in_one("settler/poor", 3, 2, padding(26_500));
    let owner = k2.somebody("owner");
    let other = k2.pays_another(&mut chain, owner, 3);
    let story = Story::of(&mut k2, chain);
    story
        .cluster
        .set_lamports(&payer().address(), 1_000_000_000);
    let settled = story.settler().settle_all().await.unwrap();
    let heights: Vec<_> = settled
        .iter()
        .map(|settled| settled.payout.height)
        .collect();
    assert_eq!(heights, [other, height, height, height]);
    assert!(settled[0].signature.is_some());
    for poor in &settled[1..] {
        let waiting = poor.waiting.as_deref().unwrap();
        assert!(
            waiting.contains("the payer has too few lamports"),
            "{waiting}"
        );
    }
}

/// A miner who hides a payout behind his coinbase: the client writes all of it, and gets its rent back.
#[tokio::test(start_paused = true)]
async fn a_huge_coinbase_takes_longer_and_costs_the_fees() {
    let story = Story::new("settler/huge_coinbase", 3, 26_500);
    let before = story.cluster.lamports(&payer().address());
    let settled = story.settler().settle_all().await.unwrap();
    assert_eq!(signed(&settled), 3);
    story.must_be_settled(3).await;
    // OpenBuffer, 929 pieces, and one for each redemption: hashing takes most of what a transaction may spend.
    let transactions = story.cluster.landed() as u64;
    assert_eq!(transactions, 1 + 929 + 3);
    let spent = before - story.cluster.lamports(&payer().address());
    assert_eq!(spent, transactions * FEE + 3 * story.rent);
}
