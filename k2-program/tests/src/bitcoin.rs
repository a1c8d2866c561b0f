//! Bitcoin chains in memory: mined, branched, proved from. Blocks and transactions are the `bitcoin` crate's, so what the
//! program is given was not made by the code it is tested with.

use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version};
use bitcoin::consensus::serialize;
use bitcoin::hashes::Hash as _;
use bitcoin::script::{Builder, PushBytesBuf};
use bitcoin::transaction::Version as TxVersion;
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, Network, OutPoint, ScriptBuf, Sequence, Transaction,
    TxIn, TxMerkleNode, TxOut, Txid, Witness, constants::genesis_block,
};
use k2_interface::bitcoin::{CoinbaseProof, PaymentProof, merkle};
use k2_interface::state::PackedScript;
use sha2::{Digest as _, Sha256};

/// Regtest's only target, which every second hash meets; and the easiest one of the chains here.
pub const EASY: u32 = 0x207f_ffff;
/// A target that every eighth hash meets. A chain at it has blocks of different work, as testnet4 has: one more than twenty
/// minutes after its parent is [`EASY`].
pub const HARD: u32 = 0x201f_ffff;

/// Seconds between two blocks, if nothing else is said.
const SPACING: u32 = 600;

/// A chain, from its first block on.
#[derive(Debug, Clone)]
pub struct Chain {
    first_height: u32,
    bits: u32,
    blocks: Vec<Block>,
    /// Work of the chain up to and including each of them.
    work: Vec<u128>,
    /// What the coinbases say, so that blocks of two branches are never the same.
    tag: String,
}

/// What a block is to be like; the rest follows.
#[derive(Debug, Clone, Default)]
pub struct Template {
    /// Its time; ten minutes after its parent.
    pub time: Option<u32>,
    /// Its compact target; what the rules demand.
    pub bits: Option<u32>,
    /// Its version; 2^29, which signals nothing.
    pub version: Option<i32>,
    /// What its coinbase pays; 50 BTC to nobody.
    pub coinbase: Vec<TxOut>,
    /// Its other transactions.
    pub transactions: Vec<Transaction>,
}

/// A proof of a transaction, and what must be said with it.
#[derive(Debug, Clone)]
pub struct Proof {
    /// Height of the block.
    pub height: u32,
    /// Which output it is about.
    pub vout: u32,
    /// The transaction's id.
    pub txid: [u8; 32],
    /// What it spends.
    pub spent: Vec<([u8; 32], u32)>,
    /// The proof.
    pub bytes: Vec<u8>,
    /// The payer's cursor that stands on the block; none: it is in the ring.
    pub cursor: Option<u32>,
    /// The payer's buffer with the proof; none: it follows the arguments.
    pub buffer: Option<u32>,
}

impl Chain {
    /// Regtest's genesis block.
    pub fn regtest() -> Self {
        Self {
            first_height: 0,
            bits: EASY,
            blocks: vec![genesis_block(Network::Regtest)],
            work: vec![2],
            tag: "best".to_owned(),
        }
    }

    /// A chain whose first block is at this height; nobody knows what was before, but that it was some work. Its epochs have
    /// this target.
    pub fn starting_at(height: u32, bits: u32) -> Self {
        let mut chain = Self {
            first_height: height,
            bits,
            blocks: Vec::new(),
            work: Vec::new(),
            tag: "best".to_owned(),
        };
        chain.mine(1);
        chain
    }

    /// The same chain up to this height, to be continued otherwise.
    #[must_use]
    pub fn branch(&self, height: u32, tag: &str) -> Self {
        let mut branch = self.clone();
        let count = self.place(height) + 1;
        branch.blocks.truncate(count);
        branch.work.truncate(count);
        branch.tag = tag.to_owned();
        branch
    }

    /// Mines so many blocks that pay nobody.
    pub fn mine(&mut self, blocks: u32) -> &mut Self {
        for _ in 0..blocks {
            self.push(Template::default());
        }
        self
    }

    /// Mines so many blocks at the easiest target, each half an hour after its parent.
    pub fn mine_slowly(&mut self, blocks: u32) -> &mut Self {
        for _ in 0..blocks {
            let time = self.time(self.tip()) + 1_800;
            self.push(Template {
                time: Some(time),
                ..Template::default()
            });
        }
        self
    }

    /// Mines a block and returns its height.
    pub fn push(&mut self, template: Template) -> u32 {
        let block = self.next(template);
        self.append(block)
    }

    /// Appends a block made by [`Chain::next`], or of it, and returns its height.
    pub fn append(&mut self, block: Block) -> u32 {
        let before = self.work.last().copied().unwrap_or(1_000_000);
        self.work.push(before + work(&block.header));
        self.blocks.push(block);
        self.tip()
    }

    /// Mines a block whose coinbase pays this script, and returns its height.
    pub fn pay_coinbase(&mut self, script: &PackedScript, sats: u64) -> u32 {
        self.push(Template {
            coinbase: vec![output(script, sats)],
            ..Template::default()
        })
    }

    /// Mines a block with these transactions besides its coinbase, and returns its height.
    pub fn include(&mut self, transactions: Vec<Transaction>) -> u32 {
        self.push(Template {
            transactions,
            ..Template::default()
        })
    }

    /// The block that would follow.
    pub fn next(&self, template: Template) -> Block {
        let height = self.first_height + self.blocks.len() as u32;
        let (prev_blockhash, parent_time) = match self.blocks.last() {
            Some(parent) => (parent.block_hash(), parent.header.time),
            None => (
                BlockHash::from_byte_array(Sha256::digest("unknown").into()),
                1_600_000_000,
            ),
        };
        let time = template.time.unwrap_or(parent_time + SPACING);
        let easy = time > parent_time + 1_200 && !height.is_multiple_of(2_016);
        let bits = template.bits.unwrap_or(if easy { EASY } else { self.bits });
        let mut coinbase = template.coinbase;
        if coinbase.is_empty() {
            coinbase.push(TxOut {
                value: Amount::from_int_btc(50),
                script_pubkey: ScriptBuf::from_bytes(vec![0x51]),
            });
        }
        let mut txdata = vec![self.coinbase(height, coinbase)];
        txdata.extend(template.transactions);
        let mut block = Block {
            header: Header {
                version: Version::from_consensus(template.version.unwrap_or(0x2000_0000)),
                prev_blockhash,
                merkle_root: TxMerkleNode::all_zeros(),
                time,
                bits: CompactTarget::from_consensus(bits),
                nonce: 0,
            },
            txdata,
        };
        block.header.merkle_root = block.compute_merkle_root().unwrap();
        solve(&mut block.header);
        block
    }

    fn coinbase(&self, height: u32, output: Vec<TxOut>) -> Transaction {
        let tag = PushBytesBuf::try_from(self.tag.clone().into_bytes()).unwrap();
        let script_sig = Builder::new()
            .push_int(i64::from(height))
            .push_slice(tag)
            .into_script();
        Transaction {
            version: TxVersion::TWO,
            lock_time: LockTime::ZERO,
            input: vec![TxIn {
                previous_output: OutPoint::null(),
                script_sig,
                sequence: Sequence::MAX,
                witness: Witness::new(),
            }],
            output,
        }
    }

    /// Height of its first block.
    pub const fn first(&self) -> u32 {
        self.first_height
    }

    /// Height of its last block.
    pub fn tip(&self) -> u32 {
        self.first_height + self.blocks.len() as u32 - 1
    }

    /// The block at this height.
    pub fn block(&self, height: u32) -> &Block {
        &self.blocks[self.place(height)]
    }

    fn place(&self, height: u32) -> usize {
        (height - self.first_height) as usize
    }

    /// The hash of the block at this height.
    pub fn hash(&self, height: u32) -> [u8; 32] {
        self.block(height).block_hash().to_byte_array()
    }

    /// The time of the block at this height.
    pub fn time(&self, height: u32) -> u32 {
        self.block(height).header.time
    }

    /// Work of the chain up to and including the block at this height.
    pub fn work(&self, height: u32) -> u128 {
        self.work[self.place(height)]
    }

    /// The target of its epochs.
    pub const fn bits(&self) -> u32 {
        self.bits
    }

    /// The headers of these heights, one after the other.
    pub fn headers(&self, heights: impl IntoIterator<Item = u32>) -> Vec<u8> {
        heights
            .into_iter()
            .flat_map(|height| header_bytes(self.block(height)))
            .collect()
    }

    /// A transaction of the block at this height.
    pub fn transaction(&self, height: u32, index: usize) -> &Transaction {
        &self.block(height).txdata[index]
    }

    /// Where the output of a transaction of the block at this height is spent from.
    pub fn outpoint(&self, height: u32, index: usize, vout: u32) -> OutPoint {
        OutPoint {
            txid: self.transaction(height, index).compute_txid(),
            vout,
        }
    }

    /// The proof of the coinbase of the block at this height, about its first output.
    pub fn coinbase_proof(&self, height: u32) -> Proof {
        let coinbase = stripped(self.transaction(height, 0));
        let bytes =
            CoinbaseProof::encode(&self.header(height), &coinbase, &self.branch_of(height, 0));
        Proof::new(height, self.transaction(height, 0), bytes.unwrap())
    }

    /// The proof of another transaction of the block at this height, about its first output.
    pub fn payment_proof(&self, height: u32, index: u32) -> Proof {
        let transaction = self.transaction(height, index as usize);
        let bytes = PaymentProof::encode(
            &self.header(height),
            &stripped(transaction),
            index,
            &self.branch_of(height, index),
            &stripped(self.transaction(height, 0)),
            &self.branch_of(height, 0),
        );
        Proof::new(height, transaction, bytes.unwrap())
    }

    fn header(&self, height: u32) -> [u8; 80] {
        self.headers([height]).try_into().unwrap()
    }

    /// The merkle branch of a transaction of the block at this height.
    pub fn branch_of(&self, height: u32, index: u32) -> Vec<[u8; 32]> {
        let txids: Vec<_> = self.block(height).txdata.iter().map(txid).collect();
        merkle::branch(&txids, index, sha256).unwrap()
    }
}

impl Proof {
    /// About the first output, from the ring, with its bytes in the instruction.
    pub fn new(height: u32, transaction: &Transaction, bytes: Vec<u8>) -> Self {
        let spent = transaction.input.iter().map(|input| input.previous_output);
        Self {
            height,
            vout: 0,
            txid: txid(transaction),
            spent: spent
                .map(|spent| (spent.txid.to_byte_array(), spent.vout))
                .collect(),
            bytes,
            cursor: None,
            buffer: None,
        }
    }

    /// The same about another output.
    #[must_use]
    pub fn vout(self, vout: u32) -> Self {
        Self { vout, ..self }
    }

    /// The same of another height.
    #[must_use]
    pub fn height(self, height: u32) -> Self {
        Self { height, ..self }
    }

    /// The same with other bytes.
    #[must_use]
    pub fn bytes(self, bytes: Vec<u8>) -> Self {
        Self { bytes, ..self }
    }

    /// The same, its block known from this cursor of the payer's.
    #[must_use]
    pub fn at_cursor(self, id: u32) -> Self {
        Self {
            cursor: Some(id),
            ..self
        }
    }

    /// The same, its bytes in this buffer of the payer's.
    #[must_use]
    pub fn in_buffer(self, id: u32) -> Self {
        Self {
            buffer: Some(id),
            ..self
        }
    }
}

/// The 80 bytes of a block's header.
pub fn header_bytes(block: &Block) -> Vec<u8> {
    serialize(&block.header)
}

/// Finds a nonce with which the header meets its target.
pub fn solve(header: &mut Header) {
    search(header, true);
}

/// Finds a nonce with which it does not.
pub fn spoil(header: &mut Header) {
    search(header, false);
}

fn search(header: &mut Header, meets: bool) {
    header.nonce = 0;
    while header.target().is_met_by(header.block_hash()) != meets {
        header.nonce += 1;
    }
}

/// Work of one block with this header.
pub fn work(header: &Header) -> u128 {
    let work = header.work().to_be_bytes();
    u128::from_be_bytes(work[16..].try_into().unwrap())
}

/// An output of so many sats to a script.
pub fn output(script: &PackedScript, sats: u64) -> TxOut {
    let [length, bytes @ ..] = script;
    TxOut {
        value: Amount::from_sat(sats),
        script_pubkey: ScriptBuf::from_bytes(bytes[..usize::from(*length)].to_vec()),
    }
}

/// An output of zero sats with this script, as an OP_RETURN.
pub fn data_output(script: Vec<u8>) -> TxOut {
    TxOut {
        value: Amount::ZERO,
        script_pubkey: ScriptBuf::from_bytes(script),
    }
}

/// A transaction that spends these outputs. Nobody checks its signatures here: in a block they were valid.
pub fn payment(spent: &[OutPoint], output: Vec<TxOut>) -> Transaction {
    let input = spent.iter().map(|spent| TxIn {
        previous_output: *spent,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::MAX,
        witness: Witness::from_slice(&[[7_u8; 71]]),
    });
    Transaction {
        version: TxVersion::TWO,
        lock_time: LockTime::ZERO,
        input: input.collect(),
        output,
    }
}

/// An output of a transaction nobody here knows.
pub fn somebodys_coin(name: &str) -> OutPoint {
    OutPoint {
        txid: Txid::from_byte_array(Sha256::digest(name).into()),
        vout: 1,
    }
}

/// A transaction without its witness: what its id commits to.
pub fn stripped(transaction: &Transaction) -> Vec<u8> {
    let mut transaction = transaction.clone();
    for input in &mut transaction.input {
        input.witness = Witness::new();
    }
    serialize(&transaction)
}

/// A transaction's id in internal byte order.
pub fn txid(transaction: &Transaction) -> [u8; 32] {
    transaction.compute_txid().to_byte_array()
}

/// SHA-256 of the concatenated parts.
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}
