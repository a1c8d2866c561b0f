//! A node whose chain pays a wallet, and what everybody around a proof knows of it.
#![allow(unreachable_pub)]

use std::collections::{BTreeMap, BTreeSet};

use bdk_wallet::KeychainKind;
use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, BlockHash, Network, NetworkKind, OutPoint, Transaction, TxOut, Txid};
use k2_interface::K2Address;
use orcapool_custody::keys::{CustodianKey, Purpose};
use orcapool_custody::reserves::chain::PublicChain;
use orcapool_custody::reserves::{
    Claim, Draft, File, K2Facts, Own, Proof, Refusal, Report, Reviewed, Statement, VerifyError,
    review, verify,
};
use orcapool_custody::view::{Payment, Spent};
use orcapool_custody::{BitcoinView, Coin, Setup};

use crate::support::Regtest;
use crate::support::regtest::elsewhere;

/// What a coinbase pays on a young regtest chain.
pub const COINBASE: Amount = Amount::from_sat(50_0000_0000);

/// The key of a custodian, the same for the same number.
pub fn key(number: u8) -> CustodianKey {
    let entropy = bitcoin::hashes::sha256::Hash::hash(&[number]).to_byte_array();
    CustodianKey::generate(NetworkKind::Test, &entropy).unwrap()
}

/// A wallet, its node, and K2.
pub struct World {
    pub node: Regtest,
    pub setup: Setup,
    pub k2: K2Facts,
}

impl World {
    /// Key 1 alone.
    pub fn single() -> Self {
        let cosigner = key(1).cosigner(Purpose::Single).clone();
        Self::new(Setup::single(Network::Regtest, &cosigner).unwrap())
    }

    /// Any two of the keys 1, 2 and 3.
    pub fn two_of_three() -> Self {
        let cosigners = [1, 2, 3].map(|number| key(number).cosigner(Purpose::Multisig).clone());
        Self::new(Setup::multisig(Network::Regtest, 2, &cosigners).unwrap())
    }

    /// Two matured coinbases, one of them minted, and an immature one.
    fn new(setup: Setup) -> Self {
        let node = Regtest::start();
        let script = setup.coinbase_script().unwrap();
        node.mine(2, &script);
        node.mine_elsewhere(99);
        node.mine(1, &script);
        let k2 = K2Facts {
            genesis: K2Address::from_bytes([1; 32]),
            program: K2Address::from_bytes([2; 32]),
            mint: K2Address::from_bytes([3; 32]),
            slot: 1_000,
            proved_in: COINBASE * 2,
            burned: Amount::ZERO,
            scripts: vec![script],
            redemptions: BTreeMap::new(),
        };
        Self { node, setup, k2 }
    }

    pub fn chain(&self) -> PublicChain {
        PublicChain::node(self.node.client())
    }

    pub fn tip(&self) -> (u32, BlockHash) {
        let height = self.node.height();
        (height, self.node.hash_at(height))
    }

    /// What the wallet knows: every block read from the first.
    pub fn view(&self) -> BitcoinView {
        let scripts: BTreeMap<_, _> = [KeychainKind::External, KeychainKind::Internal]
            .into_iter()
            .flat_map(|keychain| (0..10).map(move |index| (keychain, index)))
            .map(|at| (self.setup.script(at.0, at.1).unwrap(), at))
            .collect();
        let mut view = BitcoinView {
            tip: self.node.height(),
            ..BitcoinView::default()
        };
        for height in 1..=view.tip {
            for transaction in self.node.block(self.node.hash_at(height)).txdata {
                let txid = transaction.compute_txid();
                for input in &transaction.input {
                    if view.coins.remove(&input.previous_output).is_some() {
                        let spent = Spent { by: txid, height };
                        view.spent.insert(input.previous_output, spent);
                    }
                }
                for (vout, txout) in (0..).zip(&transaction.output) {
                    let Some((keychain, index)) = scripts.get(&txout.script_pubkey) else {
                        continue;
                    };
                    let outpoint = OutPoint::new(txid, vout);
                    let coin = Coin {
                        outpoint,
                        txout: txout.clone(),
                        keychain: *keychain,
                        index: *index,
                        height: Some(height),
                        is_coinbase: transaction.is_coinbase(),
                    };
                    view.coins.insert(outpoint, coin);
                    view.funding.insert(txid, transaction.clone());
                }
                view.payments
                    .extend(Payment::of(&transaction, Some(height)));
            }
        }
        view
    }

    /// The confirmed transactions that name redemptions.
    pub fn payments(&self) -> BTreeMap<Txid, (Transaction, u32)> {
        let payments = self.view().payments;
        let wanted: Vec<_> = payments
            .iter()
            .filter_map(|payment| Some((payment.txid, payment.height?)))
            .collect();
        self.chain().transactions(&wanted).unwrap()
    }

    pub fn statement(&self) -> Statement {
        self.k2
            .statement(Network::Regtest, self.tip(), &self.payments())
    }

    pub fn draft(&self) -> Draft {
        Draft::new(self.statement(), &self.setup, &self.view()).unwrap()
    }

    /// What this custodian says to a draft, with its own node and endpoint.
    pub fn review(&self, draft: &Draft) -> Result<Reviewed, Refusal> {
        self.review_with(draft, &self.k2, &self.setup)
    }

    pub fn review_with(
        &self,
        draft: &Draft,
        k2: &K2Facts,
        setup: &Setup,
    ) -> Result<Reviewed, Refusal> {
        let (view, payments) = (self.view(), self.payments());
        let own = Own {
            setup,
            bitcoin: &view,
            block: self
                .chain()
                .hash_at(draft.claim().statement().height)
                .unwrap(),
            k2,
            payments: &payments,
        };
        review(draft, &own)
    }

    /// As the file goes from hand to hand.
    pub fn signed_by(&self, draft: &Draft, number: u8) -> Draft {
        let bytes = File::Draft(draft.clone()).encode().unwrap();
        let File::Draft(received) = File::parse(&bytes).unwrap() else {
            panic!("a draft is a draft");
        };
        let (signed, signatures) = self
            .review(&received)
            .unwrap_or_else(|refusal| panic!("{refusal}"))
            .sign(&key(number))
            .unwrap();
        assert_eq!(signatures, draft.claim().coins().len());
        signed
    }

    /// The proof, signed by these custodians.
    pub fn proof(&self, signers: &[u8]) -> Proof {
        let draft = self.draft();
        let signed = signers
            .iter()
            .map(|number| self.signed_by(&draft, *number))
            .collect();
        Draft::finish(signed).unwrap()
    }

    /// What anybody finds out about it.
    pub fn verify(&self, proof: &Proof) -> Result<Report, VerifyError> {
        let facts = self.chain().facts(proof.claim()).unwrap();
        verify(proof, &facts, &self.k2, None)
    }

    /// Spends coins of the wallet by a transaction that is mined at once.
    pub fn spend(&self, coins: &[OutPoint], outputs: Vec<TxOut>) -> Transaction {
        let transaction = self.signed(coins, outputs);
        self.node.mine_exactly(&elsewhere(), &[&transaction]);
        transaction
    }

    /// A transaction that spends coins of the wallet.
    pub fn signed(&self, coins: &[OutPoint], outputs: Vec<TxOut>) -> Transaction {
        use miniscript::psbt::PsbtExt as _;

        let (view, secp) = (self.view(), bitcoin::secp256k1::Secp256k1::new());
        let coins: Vec<_> = coins
            .iter()
            .map(|outpoint| crate::support::Spendable {
                funding: view.funding[&outpoint.txid].clone(),
                vout: outpoint.vout,
                keychain: view.coins[outpoint].keychain,
                index: view.coins[outpoint].index,
            })
            .collect();
        let mut psbt = crate::support::custodian::psbt(&self.setup, &coins, outputs);
        for number in 1..=self.setup.threshold() {
            key(u8::try_from(number).unwrap()).sign(&mut psbt).unwrap();
        }
        psbt.finalize_mut(&secp).unwrap();
        psbt.extract(&secp).unwrap()
    }

    /// Change, at an index of its keychain.
    pub fn change(&self, index: u32, value: Amount) -> TxOut {
        TxOut {
            value,
            script_pubkey: self.setup.script(KeychainKind::Internal, index).unwrap(),
        }
    }
}

/// A claim about the same coins, with something else stated.
pub fn restated(proof: &Proof, change: impl FnOnce(&mut Statement)) -> Claim {
    let mut statement = proof.claim().statement().clone();
    change(&mut statement);
    Claim::new(statement, proof.claim().coins().to_vec()).unwrap()
}

/// All a liar can do: whatever he claims, in a transaction of the right form, with the signatures he has got, each where its
/// coin is.
pub fn forged(claim: Claim, signatures: &[&Proof]) -> Proof {
    let mut transaction = claim.transaction();
    for proof in signatures {
        for theirs in &proof.transaction().input {
            for input in &mut transaction.input {
                if input.previous_output == theirs.previous_output {
                    input.witness = theirs.witness.clone();
                }
            }
        }
    }
    Proof::new(claim, transaction).unwrap()
}

/// No block has this hash.
pub fn no_block() -> BlockHash {
    BlockHash::from_byte_array([7; 32])
}

/// The ids of a set of coins.
pub fn outpoints(proof: &Proof) -> BTreeSet<OutPoint> {
    let coins = proof.claim().coins().iter();
    coins.map(|coin| coin.outpoint).collect()
}
