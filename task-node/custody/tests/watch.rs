//! The watch-only wallet against a real node.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use bitcoin::{Amount, TxOut};
use serde_json::{Value, json};
use support::regtest::{core_pays, elsewhere};
use support::{Custodian, Regtest, Spendable, spend};

#[test]
fn any_two_custodians_can_move_a_coin_of_the_setup() {
    let node = Regtest::start();
    let setup = Custodian::two_of_three();
    let hash = node.mine(1, &setup.coinbase_script().unwrap())[0];
    node.mine_elsewhere(100);
    let coinbase = node.block(hash).txdata.remove(0);
    let coin = Spendable::of(&setup, &coinbase);
    let out = TxOut {
        value: Amount::from_sat(49_9999_0000),
        script_pubkey: elsewhere(),
    };
    let all = [1, 2, 3].map(Custodian::new);
    for (a, b) in [(0, 1), (1, 2), (0, 2)] {
        let paid = spend(
            &setup,
            &[&all[a], &all[b]],
            std::slice::from_ref(&coin),
            vec![out.clone()],
        );
        let answer: Value = node.call(
            "testmempoolaccept",
            &[json!([bitcoin::consensus::encode::serialize_hex(&paid)])],
        );
        assert_eq!(answer[0]["allowed"], true, "{answer}");
    }
    let core = node.rich_core_wallet("rich", 1);
    let paid = core_pays(&core, &setup.coinbase_script().unwrap(), Amount::ONE_BTC);
    assert!(node.mempool().contains(&paid));
}
