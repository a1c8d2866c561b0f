//! Pools with redemptions that custody has paid.

use bitcoin::{Transaction, TxOut};
use k2_interface::bitcoin::RedeemIds;
use k2_interface::state::{Kind, PackedScript, Redemption};
use solana_pubkey::Pubkey;

use crate::bitcoin::{Chain, Template, data_output, output, payment, somebodys_coin};
use crate::minting::{REWARD, REWARDED};
use crate::{BTC, World, scripts};

/// What a redemption may cost in fees.
pub const MAX_FEE: u64 = 10_000;
/// Sats of one redemption of many.
pub const EACH: u64 = 1_000_000;

impl World {
    /// A pool that has minted a coinbase, of which somebody holds two BTC; and the chain.
    #[track_caller]
    pub fn redeemable(story: &str) -> (Self, Chain, Pubkey) {
        let (mut k2, chain) = Self::matured(story);
        let mint = k2.mint_coinbase(&chain.coinbase_proof(REWARDED));
        k2.send("a coinbase is minted", mint).must_succeed();
        let owner = k2.somebody("owner");
        let (tokens, _) = k2.associated(owner);
        let (mint, authority) = (k2.mint_key(), k2.token_authority_key());
        let vault = k2.vault_key();
        k2.k2.set_token_account(tokens, mint, owner, 2 * BTC);
        k2.k2
            .set_token_account(vault, mint, authority, REWARD - 2 * BTC);
        (k2, chain, owner)
    }

    /// So many redemptions, from 0 on, and a block, six confirmations deep, whose transaction 1 pays them all out of so many
    /// coins; its coinbase pays these outputs. Returns its height.
    #[track_caller]
    pub fn paid_in_one(
        story: &str,
        redemptions: u64,
        coins: u64,
        coinbase: Vec<TxOut>,
    ) -> (Self, Chain, u32) {
        let (mut k2, mut chain, owner) = Self::redeemable(story);
        for id in 0..redemptions {
            let request = k2.request_redeem(owner, EACH, MAX_FEE, wallet(id));
            k2.send("a redemption is requested", request).must_succeed();
        }
        let height = chain.push(Template {
            coinbase,
            transactions: vec![pays_all(redemptions, coins)],
            ..Template::default()
        });
        chain.mine(5);
        k2.relay_on(&chain);
        (k2, chain, height)
    }

    /// One redemption more, with this id, and its payout in a block of its own. Returns the height.
    #[track_caller]
    pub fn pays_another(&mut self, chain: &mut Chain, owner: Pubkey, id: u64) -> u32 {
        let request = self.request_redeem(owner, EACH, MAX_FEE, wallet(id));
        self.send("a redemption is requested", request)
            .must_succeed();
        let outputs = vec![
            output(&wallet(id), EACH - MAX_FEE),
            data_output(RedeemIds::encode(&[id]).unwrap()),
        ];
        let height = chain.include(vec![payment(&[somebodys_coin("another")], outputs)]);
        chain.mine(5);
        self.relay_on(chain);
        height
    }

    /// A redemption.
    #[track_caller]
    pub fn redemption(&self, id: u64) -> Redemption {
        self.read(self.redemption_key(id), Kind::Redemption)
    }
}

/// Outputs that make a coinbase as long as its finder likes: 34 bytes each.
pub fn padding(outputs: usize) -> Vec<TxOut> {
    vec![data_output(vec![0x6a; 25]); outputs]
}

/// Where the owner of a redemption wants the BTC.
fn wallet(id: u64) -> PackedScript {
    scripts::p2wsh(&format!("wallet {id}"))
}

/// The payout of the redemptions from 0 on, as custody makes it: with change, and their ids.
fn pays_all(redemptions: u64, coins: u64) -> Transaction {
    let ids: Vec<u64> = (0..redemptions).collect();
    let coins: Vec<_> = (0..coins)
        .map(|coin| somebodys_coin(&format!("custody's {coin}")))
        .collect();
    let mut outputs: Vec<_> = ids
        .iter()
        .map(|id| output(&wallet(*id), EACH - MAX_FEE))
        .collect();
    outputs.push(output(&scripts::p2wsh("change"), BTC));
    outputs.push(data_output(RedeemIds::encode(&ids).unwrap()));
    payment(&coins, outputs)
}
