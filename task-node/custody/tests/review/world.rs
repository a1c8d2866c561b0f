//! A wallet with coins and redemptions, made by hand, and its custodians.

use std::collections::{BTreeMap, BTreeSet};

use bdk_wallet::KeychainKind;
use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash as _;
use bitcoin::{
    Amount, FeeRate, OutPoint, PubkeyHash, ScriptBuf, ScriptHash, Sequence, Transaction, TxIn,
    TxOut, Txid, WPubkeyHash, WScriptHash, Witness, transaction,
};
use k2_interface::state::RedemptionState;
use orcapool_custody::payment::{self, Known, Limits, Plan, PlanInput, Reviewed};
use orcapool_custody::{BitcoinView, Coin, K2View, Payment, Redemption, Setup};

use crate::support::Custodian;

/// The tip of every world.
pub const TIP: u32 = 1_000;

#[derive(Clone)]
pub struct World {
    pub setup: Setup,
    pub bitcoin: BitcoinView,
    pub k2: K2View,
    pub signed: Vec<Payment>,
    pub born: u32,
    pub limits: Limits,
    pub reserved: BTreeSet<OutPoint>,
    pub again: BTreeSet<u64>,
    pub rate: FeeRate,
    pub replaced_fee: Amount,
}

impl World {
    /// No coins, no redemptions; the journal is as old as the chain.
    pub fn new(setup: Setup) -> Self {
        let script = setup.coinbase_script().unwrap();
        Self {
            setup,
            bitcoin: BitcoinView {
                tip: TIP,
                ..BitcoinView::default()
            },
            k2: K2View {
                slot: 77,
                relay_tip: TIP,
                scripts: vec![script],
                ..K2View::default()
            },
            signed: Vec::new(),
            born: 0,
            limits: Limits::default(),
            reserved: BTreeSet::new(),
            again: BTreeSet::new(),
            rate: FeeRate::from_sat_per_vb_u32(2),
            replaced_fee: Amount::ZERO,
        }
    }

    /// Coins of these values, 2-of-3; redemptions 1, 2, ... of these amounts and highest fees.
    pub fn with(coins: &[u64], redemptions: &[(u64, u64)]) -> Self {
        let mut world = Self::new(Custodian::two_of_three());
        for value in coins {
            world.coinbase(*value, 10);
        }
        for (id, (amount, max_fee)) in (1..).zip(redemptions) {
            world.redemption(id, *amount, *max_fee);
        }
        world
    }

    fn add(&mut self, coin: Coin, funding: Transaction) -> OutPoint {
        let outpoint = coin.outpoint;
        self.bitcoin.funding.insert(outpoint.txid, funding);
        self.bitcoin.coins.insert(outpoint, coin);
        outpoint
    }

    fn coin(
        &mut self,
        value: u64,
        height: Option<u32>,
        place: (KeychainKind, u32),
        is_coinbase: bool,
    ) -> OutPoint {
        let (keychain, index) = place;
        let txout = TxOut {
            value: Amount::from_sat(value),
            script_pubkey: self.setup.script(keychain, index).unwrap(),
        };
        // Every transaction is another one.
        let tag = u32::try_from(self.bitcoin.funding.len()).unwrap();
        let funding = Transaction {
            version: transaction::Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![TxIn {
                previous_output: match is_coinbase {
                    true => OutPoint::null(),
                    false => OutPoint::new(Txid::from_byte_array([0xfe; 32]), tag),
                },
                script_sig: ScriptBuf::builder()
                    .push_int(i64::from(tag) + 1_000_000)
                    .into_script(),
                sequence: Sequence::MAX,
                witness: Witness::new(),
            }],
            output: vec![txout.clone()],
        };
        let coin = Coin {
            outpoint: OutPoint::new(funding.compute_txid(), 0),
            txout,
            keychain,
            index,
            height,
            is_coinbase,
        };
        self.add(coin, funding)
    }

    /// A coinbase of the pool.
    pub fn coinbase(&mut self, value: u64, height: u32) -> OutPoint {
        self.coin(value, Some(height), (KeychainKind::External, 0), true)
    }

    /// A coin of the keychain of change.
    pub fn change(&mut self, value: u64, height: Option<u32>, index: u32) -> OutPoint {
        self.coin(value, height, (KeychainKind::Internal, index), false)
    }

    /// A redemption that is open for long, to a script of its own.
    pub fn redemption(&mut self, id: u64, amount: u64, max_fee: u64) {
        let redemption = Redemption {
            id,
            amount: Amount::from_sat(amount),
            max_fee: Amount::from_sat(max_fee),
            script: redeemer(id),
            requested: TIP - 5,
            expires: TIP + 144,
            state: RedemptionState::Open,
        };
        self.k2.redemptions.insert(id, redemption);
    }

    /// One redemption, to alter it.
    pub fn edit(&mut self, id: u64) -> &mut Redemption {
        self.k2.redemptions.get_mut(&id).unwrap()
    }

    pub fn known(&self) -> Known<'_> {
        Known {
            setup: &self.setup,
            bitcoin: &self.bitcoin,
            k2: &self.k2,
            signed: &self.signed,
            born: self.born,
            limits: &self.limits,
        }
    }

    pub fn input(&self) -> PlanInput<'_> {
        PlanInput {
            known: self.known(),
            fee_rate: self.rate,
            replaced_fee: self.replaced_fee,
            change: 3,
            reserved: &self.reserved,
            again: &self.again,
        }
    }

    pub fn plan(&self) -> Plan {
        payment::plan(&self.input()).unwrap()
    }

    /// The payment of all that can be paid.
    pub fn payment(&self) -> Reviewed {
        let plan = self.plan();
        let waiting = plan.waiting;
        plan.payment
            .unwrap_or_else(|| panic!("nothing is paid: {waiting:?}"))
    }

    /// Writes a payment into the journal.
    pub fn sign(&mut self, payment: &Reviewed) -> Payment {
        let payment = payment.payment().unwrap();
        self.signed.push(payment.clone());
        payment
    }

    /// Puts a transaction into the block after the tip, and blocks on top of it.
    pub fn confirm(&mut self, reviewed: &Reviewed, above: u32) {
        let transaction = &reviewed.psbt().unsigned_tx;
        let (txid, height) = (transaction.compute_txid(), self.bitcoin.tip + 1);
        self.bitcoin.tip = height + above;
        self.k2.relay_tip = self.bitcoin.tip;
        let payment = Payment::of(transaction, Some(height));
        self.bitcoin.payments.extend(payment);
        for input in &transaction.input {
            self.bitcoin.coins.remove(&input.previous_output).unwrap();
            let spent = orcapool_custody::view::Spent { by: txid, height };
            self.bitcoin.spent.insert(input.previous_output, spent);
        }
        for (vout, output) in (0..).zip(&transaction.output) {
            if let Some((keychain, index)) = self.setup.find(&output.script_pubkey, 8) {
                let coin = Coin {
                    outpoint: OutPoint::new(txid, vout),
                    txout: output.clone(),
                    keychain,
                    index,
                    height: Some(height),
                    is_coinbase: false,
                };
                self.add(coin, transaction.clone());
            }
        }
    }
}

/// Scripts of every form that K2 accepts, each of its own.
pub fn redeemer(id: u64) -> ScriptBuf {
    let tag = u8::try_from(id % 251).unwrap();
    let high = u8::try_from(id / 251 % 251).unwrap();
    let mut short = [tag; 20];
    let mut long = [tag; 32];
    (short[0], long[0]) = (high, high);
    match id % 4 {
        0 => ScriptBuf::new_p2pkh(&PubkeyHash::from_byte_array(short)),
        1 => ScriptBuf::new_p2wpkh(&WPubkeyHash::from_byte_array(short)),
        2 => ScriptBuf::new_p2sh(&ScriptHash::from_byte_array(short)),
        _ => ScriptBuf::new_p2wsh(&WScriptHash::from_byte_array(long)),
    }
}

/// The ids that a payment pays, with what each gets.
pub fn paid(reviewed: &Reviewed) -> BTreeMap<u64, u64> {
    match reviewed.purpose() {
        payment::Purpose::Payout { payouts, .. } => payouts
            .iter()
            .map(|payout| (payout.id, payout.paid.to_sat()))
            .collect(),
        other => panic!("{other:?}"),
    }
}
