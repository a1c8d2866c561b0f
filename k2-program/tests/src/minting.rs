//! Pools with coins on their way, and what became of them.

use bitcoin::Transaction;
use k2_interface::PoolError;
use k2_interface::instruction::Initialize;
use k2_interface::state::{Config, Record};

use crate::bitcoin::{Chain, Proof, output, payment, somebodys_coin};
use crate::rewards::address;
use crate::{Call, World, scripts};

/// What a coinbase may cost in Solana 1.14, record and token program included.
pub const MINT_COINBASE_UNITS: u64 = 40_000;

/// A block's subsidy and some fees.
pub const REWARD: u64 = 312_512_345;

/// The height of the block whose coinbase pays custody in [`World::matured`].
pub const REWARDED: u32 = 21;

/// A transaction of one input that pays the deposit script.
pub fn deposit(sats: u64) -> Transaction {
    payment(
        &[somebodys_coin("a coin")],
        vec![output(&scripts::deposit(), sats)],
    )
}

impl World {
    /// A pool on regtest with other rules than [`World::rules`].
    #[track_caller]
    pub fn with_rules(story: &str, change: impl FnOnce(&mut Initialize)) -> Self {
        let mut k2 = Self::deployed(story);
        let mut rules = k2.rules();
        change(&mut rules);
        let initialize = k2.initialize(rules);
        k2.send("the pool is set up", initialize).must_succeed();
        k2
    }

    /// A pool, and a chain whose block 21 pays custody by its coinbase and has 100 confirmations.
    #[track_caller]
    pub fn matured(story: &str) -> (Self, Chain) {
        Self::matured_with(story, |_| {})
    }

    /// The same with other rules.
    #[track_caller]
    pub fn matured_with(story: &str, change: impl FnOnce(&mut Initialize)) -> (Self, Chain) {
        let mut chain = Chain::regtest();
        chain.mine(REWARDED - 1);
        chain.pay_coinbase(&scripts::coinbase(), REWARD);
        chain.mine(99);
        let mut k2 = Self::with_rules(story, change);
        k2.relay_from(&chain, 0);
        (k2, chain)
    }

    /// A pool, and a chain with a block of these transactions that has six confirmations; and its height.
    #[track_caller]
    pub fn deposited(story: &str, transactions: Vec<Transaction>) -> (Self, Chain, u32) {
        let mut chain = Chain::regtest();
        let height = chain.mine(20).include(transactions);
        chain.mine(5);
        let mut k2 = Self::new(story);
        k2.relay_from(&chain, 0);
        (k2, chain, height)
    }

    /// Sends an instruction that is refused for breaking this rule.
    #[track_caller]
    pub fn must_refuse(&mut self, step: &str, call: Call, error: PoolError) {
        self.send(step, call).must_fail_with(error);
    }

    /// So much has been minted since, all of it into the vault, and the totals say so.
    #[track_caller]
    pub fn must_have_minted(&self, before: &Config, sats: u64) {
        let mut wanted = *before;
        let proved_in = before.totals.proved_in.get() + sats;
        wanted.totals.proved_in = proved_in.into();
        wanted.window = self.config().window;
        assert_eq!(self.config(), wanted);
        let supply = proved_in - before.totals.burned.get();
        assert_eq!(self.k2.mint_supply(&self.mint_key()), supply);
        let vault = proved_in - before.totals.claimed.get();
        assert_eq!(self.k2.token_balance(&self.vault_key()), vault);
    }

    /// The output this proof is about is recorded as minted, at this value.
    #[track_caller]
    pub fn must_be_recorded(&self, proof: &Proof, sats: u64) {
        let record: Record = self.deposit_record(&proof.txid, proof.vout);
        assert_eq!(record.payer, address(self.payer));
        assert_eq!(record.txid, proof.txid);
        assert_eq!(record.vout.get(), proof.vout);
        assert_eq!(record.height.get(), proof.height);
        assert_eq!(record.value.get(), sats);
    }
}
