//! A pool at work: blocks are found and minted, roots come in force, people are paid.

use k2_interface::Role;
use k2_interface::instruction::RoundRoot;
use solana_pubkey::Pubkey;
use spl_associated_token_account_interface::instruction::create_associated_token_account_idempotent;

use crate::bitcoin::Chain;
use crate::rewards::{Entry, RewardList};
use crate::{BTC, NOBODY, World, scripts};

impl World {
    /// The relay begins at regtest's genesis block.
    #[track_caller]
    pub fn start_relay(&mut self) {
        let chain = self.chain.clone();
        self.relay_from(&chain, 0);
    }

    /// So many blocks that pay somebody else are found, and relayed.
    #[track_caller]
    pub fn mine_and_relay(&mut self, blocks: u32) {
        self.chain.mine(blocks);
        let chain: Chain = self.chain.clone();
        self.relay_on(&chain);
    }

    /// The pool finds so many blocks of 50 BTC; when they have 100 confirmations they are minted. Returns how much that is, in
    /// sats. The relay is started where it is not yet.
    #[track_caller]
    pub fn earn(&mut self, blocks: u32) -> u64 {
        if self.is_gone(self.relay_key()) {
            self.start_relay();
        }
        let reward = 50 * BTC;
        let heights: Vec<u32> = (0..blocks)
            .map(|_| self.chain.pay_coinbase(&scripts::coinbase(), reward))
            .collect();
        self.mine_and_relay(100);
        for height in heights {
            let mint = self.mint_coinbase(&self.chain.coinbase_proof(height));
            self.send("a block's reward is minted", mint).must_succeed();
        }
        reward * u64::from(blocks)
    }

    /// The first two operators agree on a root, nobody challenges it, and it is in force.
    #[track_caller]
    pub fn put_root_in_force(&mut self, root: RoundRoot) {
        let set = self.operators();
        let mut operators = (set.slots.iter())
            .filter(|slot| slot.operator != NOBODY)
            .map(|slot| Pubkey::new_from_array(*slot.operator.as_bytes()));
        let (proposer, other) = (operators.next().unwrap(), operators.next().unwrap());
        let propose = self.propose(proposer, root);
        self.send("a root is proposed", propose).must_succeed();
        let attest = self.attest(other, proposer, root);
        self.send("and attested", attest).must_succeed();
        self.wait(self.config().parameters.challenge_slots.get());
        let finalize = self.finalize(root.round, proposer);
        self.send("and put in force", finalize).must_succeed();
    }

    /// The same of a list, after the root that is in force.
    #[track_caller]
    pub fn put_in_force(&mut self, list: &RewardList) {
        let previous = self.config().rewards.root;
        self.put_root_in_force(list.root(previous));
    }

    /// Somebody with an associated token account for the wrapped token.
    #[track_caller]
    pub fn holder(&mut self, name: &str) -> Pubkey {
        let owner = self.somebody(name);
        let open = create_associated_token_account_idempotent(
            &self.payer,
            &owner,
            &self.mint_key(),
            &spl_token_interface::ID,
        );
        self.k2
            .send(&format!("{name} opens a token account"), open)
            .must_succeed();
        owner
    }

    /// Each earns so much as a miner in the next round, and claims it.
    #[track_caller]
    pub fn give(&mut self, shares: &[(Pubkey, u64)]) {
        let round = self.config().rewards.round.get() + 1;
        let entries: Vec<Entry> = (shares.iter())
            .map(|(owner, sats)| (Role::Miner, *owner, *sats))
            .collect();
        let list = RewardList::new(self.program, round, &entries);
        self.put_in_force(&list);
        for index in 0..entries.len() {
            let claim = self.claim(&list, index);
            self.send("everybody claims", claim).must_succeed();
        }
    }

    /// The sats in somebody's associated token account.
    pub fn balance(&self, owner: Pubkey) -> u64 {
        self.k2.token_balance(&self.associated(owner).0)
    }
}
