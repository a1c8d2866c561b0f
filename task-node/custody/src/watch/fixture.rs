//! A chain of the tests' own making: BDK is handed blocks and asks nobody about their work.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bdk_wallet::chain::BlockId;
use bdk_wallet::{KeychainKind, Wallet};
use bitcoin::block::{Header, Version};
use bitcoin::constants::genesis_block;
use bitcoin::hashes::Hash as _;
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, Network, OutPoint, ScriptBuf, Sequence, Transaction,
    TxIn, TxMerkleNode, TxOut, Witness, absolute, transaction,
};
use k2_interface::bitcoin::RedeemIds;

use crate::Setup;

/// A single-sig wallet; the key is the first test vector's of BIP84.
pub(crate) fn setup() -> Setup {
    let xpub = "[73c5da0a/84h/1h/0h]tpubDC8msFGeGuwnKG9Upg7DM2b4DaRqg3CUZa5g8v2SRQ6K4NSkxUgd7HsL2XVWbVm39yBA4LAxysQAm397zwQSQoQgewGiYZqrA9DsP4zbQ1M";
    Setup::single(Network::Regtest, &xpub.parse().unwrap()).unwrap()
}

pub(crate) fn btc(whole: u64) -> Amount {
    Amount::from_int_btc(whole)
}

fn elsewhere() -> ScriptBuf {
    ScriptBuf::new_p2wpkh(&bitcoin::WPubkeyHash::from_byte_array([0xee; 20]))
}

fn spend(previous_output: OutPoint) -> TxIn {
    TxIn {
        previous_output,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
        witness: Witness::new(),
    }
}

/// Pays each of `ids` a million sats out of `coins`, with change to index 0 last but one, a fee of 1,000, and their names.
pub(crate) fn payment(setup: &Setup, coins: &[OutPoint], sum: Amount, ids: &[u64]) -> Transaction {
    let each = Amount::from_sat(1_000_000);
    let out = |value, script_pubkey| TxOut {
        value,
        script_pubkey,
    };
    let mut output: Vec<TxOut> = ids.iter().map(|_| out(each, elsewhere())).collect();
    let rest = sum - each * ids.len() as u64 - Amount::from_sat(1000);
    output.push(out(rest, setup.script(KeychainKind::Internal, 0).unwrap()));
    output.push(out(
        Amount::ZERO,
        ScriptBuf::from_bytes(RedeemIds::encode(ids).unwrap()),
    ));
    Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: coins.iter().copied().map(spend).collect(),
        output,
    }
}

/// A wallet and the chain it was shown.
pub(crate) struct Chain {
    pub(crate) wallet: Wallet,
    setup: Setup,
    hashes: Vec<BlockHash>,
    salt: u8,
}

impl Chain {
    pub(crate) fn new(setup: &Setup) -> Self {
        let [external, internal] =
            [KeychainKind::External, KeychainKind::Internal].map(|kind| setup.keychain(kind));
        let wallet = Wallet::create(external.clone(), internal.clone())
            .network(setup.network())
            .lookahead(5)
            .create_wallet_no_persist()
            .unwrap();
        Self {
            wallet,
            setup: setup.clone(),
            hashes: vec![genesis_block(setup.network()).block_hash()],
            salt: 0,
        }
    }

    fn add(&mut self, script_pubkey: ScriptBuf, transactions: &[Transaction]) -> Transaction {
        let height = u32::try_from(self.hashes.len()).unwrap();
        let previous = *self.hashes.last().unwrap();
        let mut input = spend(OutPoint::null());
        input.script_sig = bitcoin::script::Builder::new()
            .push_int(i64::from(height))
            .push_slice([self.salt])
            .into_script();
        let coinbase = Transaction {
            version: transaction::Version::TWO,
            lock_time: absolute::LockTime::ZERO,
            input: vec![input],
            output: vec![TxOut {
                value: btc(50),
                script_pubkey,
            }],
        };
        let mut block = Block {
            header: Header {
                version: Version::TWO,
                prev_blockhash: previous,
                merkle_root: TxMerkleNode::all_zeros(),
                time: 1_600_000_000 + height,
                bits: CompactTarget::from_consensus(0x207f_ffff),
                nonce: 0,
            },
            txdata: std::iter::once(&coinbase)
                .chain(transactions)
                .cloned()
                .collect(),
        };
        block.header.merkle_root = block.compute_merkle_root().unwrap();
        let connected_to = BlockId {
            height: height - 1,
            hash: previous,
        };
        self.wallet
            .apply_block_connected_to(&block, height, connected_to)
            .unwrap();
        self.hashes.push(block.block_hash());
        coinbase
    }

    /// A block whose reward is the wallet's; `salt` makes it differ from others.
    pub(crate) fn mine_own(&mut self, salt: u8) -> Transaction {
        self.salt = salt;
        self.add(self.setup.coinbase_script().unwrap(), &[])
    }

    /// Blocks whose rewards are somebody else's.
    pub(crate) fn mine(&mut self, blocks: u32) {
        for _ in 0..blocks {
            self.add(elsewhere(), &[]);
        }
    }

    /// A block with these transactions.
    pub(crate) fn mine_with(&mut self, transactions: &[Transaction]) {
        self.add(elsewhere(), transactions);
    }

    /// The last `lost` blocks are replaced by `new` other ones.
    pub(crate) fn reorganise(&mut self, lost: usize, new: u32) {
        self.salt = self.salt.wrapping_add(100);
        self.hashes.truncate(self.hashes.len() - lost);
        self.mine(new);
    }

    /// A transaction enters the mempool at a time.
    pub(crate) fn see(&mut self, transaction: &Transaction, at: u64) {
        self.wallet
            .apply_unconfirmed_txs([(transaction.clone(), at)]);
    }
}
