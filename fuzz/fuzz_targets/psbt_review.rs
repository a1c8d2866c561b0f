//! A PSBT from outside, and an own one that was altered on its way: read, described and reviewed. A refusal names a rule,
//! and what passes was built by ourselves.
#![no_main]

use std::collections::BTreeSet;
use std::sync::LazyLock;

use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash as _;
use bitcoin::{
    Amount, FeeRate, Network, OutPoint, Psbt, ScriptBuf, Transaction, TxIn, TxOut, WPubkeyHash,
    transaction,
};
use custody::payment::{
    Known, Limits, PlanInput, combine, describe, finalize, plan, read_psbt, review,
};
use custody::{BitcoinView, Coin, K2View, Redemption, Setup};
use k2_interface::state::RedemptionState;
use libfuzzer_sys::fuzz_target;

/// BIP84's first test vector, on the test networks.
const DESCRIPTOR: &str = "wpkh([73c5da0a/84h/1h/0h]tpubDC8msFGeGuwnKG9Upg7DM2b4DaRqg3CUZa5g8v2SRQ6K4NSkxUgd7HsL2XVWbVm39yBA4LAxysQAm397zwQSQoQgewGiYZqrA9DsP4zbQ1M/<0;1>/*)";

struct Wallet {
    setup: Setup,
    bitcoin: BitcoinView,
    k2: K2View,
}

static WALLET: LazyLock<Wallet> = LazyLock::new(|| {
    let setup = Setup::parse(Network::Regtest, DESCRIPTOR).unwrap();
    let script = setup.coinbase_script().unwrap();
    let funding = Transaction {
        version: transaction::Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            script_sig: ScriptBuf::from_bytes(vec![0x51, 0x51]),
            ..TxIn::default()
        }],
        output: vec![TxOut {
            value: Amount::from_sat(5_000_000),
            script_pubkey: script.clone(),
        }],
    };
    let (keychain, index) = setup.find(&script, 1).unwrap();
    let coin = Coin {
        outpoint: OutPoint::new(funding.compute_txid(), 0),
        txout: funding.output[0].clone(),
        keychain,
        index,
        height: Some(1),
        is_coinbase: true,
    };
    let redemption = Redemption {
        id: 1,
        amount: Amount::from_sat(1_000_000),
        max_fee: Amount::from_sat(10_000),
        script: ScriptBuf::new_p2wpkh(&WPubkeyHash::from_byte_array([7; 20])),
        requested: 190,
        expires: 400,
        state: RedemptionState::Open,
    };
    Wallet {
        setup,
        bitcoin: BitcoinView {
            tip: 200,
            coins: [(coin.outpoint, coin)].into(),
            funding: [(funding.compute_txid(), funding)].into(),
            ..BitcoinView::default()
        },
        k2: K2View {
            slot: 1,
            relay_tip: 200,
            redemptions: [(1, redemption)].into(),
            scripts: vec![script],
            ..K2View::default()
        },
    }
});

impl Wallet {
    fn known<'a>(&'a self, limits: &'a Limits) -> Known<'a> {
        Known {
            setup: &self.setup,
            bitcoin: &self.bitcoin,
            k2: &self.k2,
            signed: &[],
            born: 0,
            limits,
        }
    }
}

/// What the coordinator hands out.
static PLANNED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let plan = plan(&PlanInput {
        known: WALLET.known(&Limits::default()),
        fee_rate: FeeRate::BROADCAST_MIN,
        replaced_fee: Amount::ZERO,
        change: 0,
        reserved: &BTreeSet::new(),
        again: &BTreeSet::new(),
    });
    plan.unwrap().payment.unwrap().psbt().serialize()
});

fuzz_target!(|input: (Vec<(u16, u8)>, &[u8])| {
    let (flips, foreign) = input;
    check(foreign);
    let mut own = PLANNED.clone();
    for (at, mask) in flips {
        let at = usize::from(at) % own.len();
        own[at] ^= mask;
    }
    check(&own);
});

fn check(bytes: &[u8]) {
    let Ok(psbt) = read_psbt(bytes) else { return };
    let limits = Limits::default();
    let known = WALLET.known(&limits);
    let unverified = describe(&psbt, Network::Regtest, None);
    assert!(!unverified.to_string().is_empty());
    let description = describe(&psbt, Network::Regtest, Some(&known));
    assert!(!description.to_string().is_empty());
    let _ = combine(&[psbt.clone(), psbt.clone()]);
    let _ = finalize(&psbt, &WALLET.setup, &WALLET.bitcoin);
    match review(&psbt, &known) {
        Err(refused) => assert_eq!(description.refused, Some(refused)),
        Ok(reviewed) => {
            assert_eq!(reviewed.psbt().unsigned_tx, psbt.unsigned_tx);
            // It passes again as it was rebuilt, and from its bytes.
            let again = Psbt::deserialize(&reviewed.psbt().serialize()).unwrap();
            assert_eq!(review(&again, &known).as_ref(), Ok(&reviewed));
        }
    }
}
