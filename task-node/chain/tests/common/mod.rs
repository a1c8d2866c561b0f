//! Real nodes and real blocks for the tests of this folder.
#![allow(dead_code)]

use std::{future::Future, sync::Arc, time::Duration};

use bitcoin::{
    Amount, Block, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxMerkleNode, TxOut, Witness,
    absolute,
    block::{Header, Version},
    hashes::Hash as _,
    opcodes::OP_TRUE,
    script::Builder,
    transaction,
};
use chain::{Bitcoind, BitcoindOptions, PrivateChain, bitcoind::find_binary};
use work::BlockTemplate;

/// A node with its data in a directory that goes when it goes.
pub(crate) struct TestNode {
    pub(crate) bitcoind: Bitcoind,
    pub(crate) dir: tempfile::TempDir,
}

impl TestNode {
    pub(crate) async fn restart(self) -> Self {
        let bitcoind = self.bitcoind.stop().await.unwrap().start().await.unwrap();
        Self {
            bitcoind,
            dir: self.dir,
        }
    }

    pub(crate) async fn crash_and_restart(self) -> Self {
        let bitcoind = self.bitcoind.kill().await.unwrap().start().await.unwrap();
        Self {
            bitcoind,
            dir: self.dir,
        }
    }
}

/// Fails, and says how to get one, where there is no bitcoind: a skipped test would look like a passed one.
pub(crate) async fn start(chain: PrivateChain) -> TestNode {
    let binary = find_binary(None).unwrap_or_else(|error| panic!("{error}"));
    let dir = tempfile::tempdir().unwrap();
    let options = BitcoindOptions::new(binary, dir.path().join("node"), chain);
    let bitcoind = Bitcoind::start(options)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    TestNode { bitcoind, dir }
}

/// Not a measurement: a hanging test should end as a failed one.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future)
        .await
        .unwrap_or_else(|_| panic!("{what} never happened"))
}

/// Waits for a condition that needs a moment.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    soon(what, async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

pub(crate) fn anyone_can_spend() -> ScriptBuf {
    Builder::new().push_opcode(OP_TRUE).into_script()
}

/// A solved block without transactions on top of a template's parent; `tag` makes siblings differ.
pub(crate) fn solve(template: &Arc<BlockTemplate>, tag: u8) -> Block {
    let coinbase = Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            script_sig: Builder::new()
                .push_int(i64::from(template.height()))
                .push_slice([tag; 4])
                .into_script(),
            sequence: Sequence::MAX,
            witness: Witness::new(),
        }],
        output: vec![TxOut {
            value: Amount::from_sat(1000),
            script_pubkey: anyone_can_spend(),
        }],
    };
    let header = Header {
        version: Version::from_consensus(0x2000_0000),
        prev_blockhash: template.prev_hash(),
        merkle_root: TxMerkleNode::from_raw_hash(coinbase.compute_txid().to_raw_hash()),
        time: template.cur_time(),
        bits: bitcoin::CompactTarget::from_consensus(template.nbits().to_consensus()),
        nonce: 0,
    };
    let mut block = Block {
        header,
        txdata: vec![coinbase],
    };
    assert_ne!(block.header.merkle_root, TxMerkleNode::all_zeros());
    while block.header.validate_pow(block.header.target()).is_err() {
        block.header.nonce += 1;
    }
    block
}
