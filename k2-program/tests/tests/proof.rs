//! Proofs: malformed ones, where they stand, and what their blocks are known from.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bitcoin::hashes::Hash as _;
use k2_interface::bitcoin::PaymentProof;
use k2_interface::{AccountFault, PoolError};
use k2_tests::bitcoin::{
    Chain, Proof, Template, output, payment, sha256, solve, somebodys_coin, stripped,
};
use k2_tests::minting::{MINT_COINBASE_UNITS, REWARD, deposit};
use k2_tests::{BTC, World, scripts};

/// Offsets in a coinbase proof: the transaction's length, and the transaction.
const LENGTH_AT: usize = 80;
const TX_AT: usize = 82;

#[test]
fn malformed_coinbase_proofs() {
    let mut chain = Chain::regtest();
    chain.mine(20);
    let others = ["one", "two"].map(|name| {
        payment(
            &[somebodys_coin(name)],
            vec![output(&scripts::p2wpkh(name), BTC)],
        )
    });
    chain.push(Template {
        coinbase: vec![output(&scripts::coinbase(), REWARD)],
        transactions: others.to_vec(),
        ..Template::default()
    });
    chain.mine(99);
    let mut k2 = World::new("mint/malformed_coinbase");
    k2.relay_from(&chain, 0);
    let proof = chain.coinbase_proof(21);
    let whole = &proof.bytes;
    let tx = stripped(chain.transaction(21, 0));
    let siblings = &whole[TX_AT + tx.len()..];
    assert_eq!(siblings.len(), 64);
    let with_tx = |tx: &[u8]| {
        let length = u16::try_from(tx.len()).unwrap().to_le_bytes();
        [&whole[..LENGTH_AT], &length, tx, siblings].concat()
    };

    // The input count is one byte at 4, the script's length follows the null outpoint at 41.
    let long_count = [&tx[..4], &[0xfd, 1, 0], &tx[5..]].concat();
    let long_script = [&tx[..41], &[0xfd, tx[41], 0], &tx[42..]].concat();
    let witness = [
        &tx[..4],
        &[0, 1],
        &tx[4..tx.len() - 4],
        &[1, 1, 7],
        &tx[tx.len() - 4..],
    ]
    .concat();
    let trailing = [&tx[..], &[0]].concat();
    let mut two_inputs = tx.clone();
    two_inputs[4] = 2;
    let mut overspent = tx.clone();
    let value_at = tx.len() - 4 - 34 - 1 - 8;
    overspent[value_at + 7] = 1;
    let sixty_four = vec![0; 64];
    let fifty_nine = vec![0; 59];
    let mut bad: Vec<(&str, Vec<u8>, PoolError)> = vec![
        ("nothing", Vec::new(), PoolError::BadProof),
        (
            "no transaction",
            whole[..TX_AT].to_vec(),
            PoolError::BadProof,
        ),
        (
            "cut short",
            whole[..TX_AT + 20].to_vec(),
            PoolError::BadProof,
        ),
        (
            "half a sibling",
            whole[..whole.len() - 16].to_vec(),
            PoolError::BadProof,
        ),
        (
            "one byte more",
            [&whole[..], &[0]].concat(),
            PoolError::BadProof,
        ),
        (
            "a level less",
            whole[..whole.len() - 32].to_vec(),
            PoolError::WrongMerkleRoot,
        ),
        (
            "a level more",
            [&whole[..], &[7; 32]].concat(),
            PoolError::WrongMerkleRoot,
        ),
        (
            "21 levels",
            [&whole[..], &[7; 19 * 32]].concat(),
            PoolError::BadMerkleBranch,
        ),
        (
            "64 bytes",
            with_tx(&sixty_four),
            PoolError::BadTransactionLength,
        ),
        (
            "59 bytes",
            with_tx(&fifty_nine),
            PoolError::BadTransactionLength,
        ),
        (
            "a long count",
            with_tx(&long_count),
            PoolError::BadTransaction,
        ),
        (
            "a long length",
            with_tx(&long_script),
            PoolError::BadTransaction,
        ),
        (
            "with its witness",
            with_tx(&witness),
            PoolError::BadTransaction,
        ),
        (
            "with a byte more",
            with_tx(&trailing),
            PoolError::BadTransaction,
        ),
        (
            "cut short",
            with_tx(&tx[..tx.len() - 1]),
            PoolError::BadTransaction,
        ),
        (
            "with another count",
            with_tx(&two_inputs),
            PoolError::BadTransaction,
        ),
        (
            "of too many sats",
            with_tx(&overspent),
            PoolError::BadTransaction,
        ),
        (
            "no coinbase",
            with_tx(&stripped(&others[0])),
            PoolError::NotCoinbase,
        ),
    ];
    let mut richer = tx;
    richer[value_at] ^= 1;
    bad.push(("a sat more", with_tx(&richer), PoolError::WrongMerkleRoot));
    for (step, bytes, error) in bad {
        // Some are too long for a transaction with all its accounts; they go through a buffer.
        let proof = proof.clone().bytes(bytes);
        let proof = if proof.bytes.len() > 600 {
            k2.fill_buffer(0, &proof.bytes);
            proof.in_buffer(0)
        } else {
            proof
        };
        let mint = k2.mint_coinbase(&proof);
        k2.must_refuse(step, mint, error);
    }
    let mint = k2.mint_coinbase(&proof);
    k2.send("as it should be", mint).must_succeed();
}

#[test]
fn any_bit_of_a_coinbase_proof_matters() {
    let (mut k2, chain) = World::matured("mint/bits");
    let proof = chain.coinbase_proof(21);
    for at in 0..proof.bytes.len() {
        let mut bytes = proof.bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        let mint = k2.mint_coinbase(&proof.clone().bytes(bytes));
        let sent = k2.send("a bit is flipped", mint);
        assert!(sent.code().is_some(), "bit {} of byte {at}", at % 8);
    }
    let mint = k2.mint_coinbase(&proof);
    k2.send("as it should be", mint).must_succeed();
}

#[test]
fn malformed_payment_proofs() {
    let transactions: Vec<_> = ["one", "two", "three"]
        .iter()
        .map(|name| {
            payment(
                &[somebodys_coin(name)],
                vec![output(&scripts::deposit(), BTC)],
            )
        })
        .collect();
    // With the coinbase four; a fifth one makes the last levels repeat it.
    let fifth = payment(
        &[somebodys_coin("five")],
        vec![output(&scripts::deposit(), BTC)],
    );
    let all = transactions.into_iter().chain([fifth]).collect();
    let (mut k2, chain, height) = World::deposited("mint/malformed_payment", all);
    let header: [u8; 80] = chain.headers([height]).try_into().unwrap();
    let coinbase = stripped(chain.transaction(height, 0));
    let coinbase_branch = chain.branch_of(height, 0);
    let proof = chain.payment_proof(height, 4);
    let tx = stripped(chain.transaction(height, 4));
    let branch = chain.branch_of(height, 4);
    let third = stripped(chain.transaction(height, 3));
    let third_branch = chain.branch_of(height, 3);
    assert_eq!(branch.len(), 3);
    let encode = |index: u32, branch: &[[u8; 32]], coinbase_branch: &[[u8; 32]]| {
        raw_payment(&header, &tx, index, branch, &coinbase, coinbase_branch)
    };
    assert_eq!(encode(4, &branch, &coinbase_branch), proof.bytes);

    let pad = |branch: &[[u8; 32]], last: [u8; 32]| [branch, &[last]].concat();
    let index_at = 82 + tx.len();
    let mut depth = proof.bytes.clone();
    depth[index_at + 4] = 4;
    let changed = |at: usize, by: u8| {
        let mut coinbase = coinbase.clone();
        coinbase[at] ^= by;
        coinbase
    };
    let (version, two_inputs, not_null) = (changed(0, 1), changed(4, 3), changed(40, 1));
    let witness = [&coinbase[..4], &[0, 1], &coinbase[4..]].concat();
    let bad = [
        // CVE-2012-2459: the last transaction of an odd level stands in its repetition's place too.
        (
            "as its own repetition",
            encode(5, &branch, &coinbase_branch),
            PoolError::BadMerkleBranch,
        ),
        (
            "two levels repeated",
            encode(6, &branch, &coinbase_branch),
            PoolError::BadMerkleBranch,
        ),
        (
            "a high index bit",
            encode(4 + 8, &branch, &coinbase_branch),
            PoolError::BadMerkleBranch,
        ),
        (
            "the highest",
            encode(4 | 1 << 31, &branch, &coinbase_branch),
            PoolError::BadMerkleBranch,
        ),
        (
            "another index",
            raw_payment(
                &header,
                &third,
                2,
                &third_branch,
                &coinbase,
                &coinbase_branch,
            ),
            PoolError::WrongMerkleRoot,
        ),
        (
            "index 0",
            encode(0, &branch, &coinbase_branch),
            PoolError::IsCoinbase,
        ),
        (
            "another branch",
            encode(4, &third_branch, &coinbase_branch),
            PoolError::WrongMerkleRoot,
        ),
        (
            "another coinbase branch",
            encode(4, &branch, &branch),
            PoolError::WrongMerkleRoot,
        ),
        (
            "a level less",
            raw_payment(
                &header,
                &third,
                3,
                &third_branch[..2],
                &coinbase,
                &coinbase_branch[..2],
            ),
            PoolError::WrongMerkleRoot,
        ),
        (
            "a level more",
            encode(4, &pad(&branch, [1; 32]), &pad(&coinbase_branch, [1; 32])),
            PoolError::WrongMerkleRoot,
        ),
        // What stands for the coinbase's length then is zeros of its null input.
        ("another depth", depth, PoolError::BadTransactionLength),
        (
            "cut short",
            proof.bytes[..proof.bytes.len() - 1].to_vec(),
            PoolError::BadProof,
        ),
        (
            "one byte more",
            [&proof.bytes[..], &[0]].concat(),
            PoolError::BadProof,
        ),
        (
            "no coinbase",
            proof.bytes[..index_at + 5 + 96].to_vec(),
            PoolError::BadProof,
        ),
        (
            "another first transaction",
            raw_payment(&header, &tx, 4, &branch, &tx, &coinbase_branch),
            PoolError::NotCoinbase,
        ),
        (
            "the coinbase itself",
            raw_payment(&header, &coinbase, 4, &branch, &coinbase, &coinbase_branch),
            PoolError::IsCoinbase,
        ),
        (
            "a coinbase of 64 bytes",
            raw_payment(&header, &tx, 4, &branch, &coinbase[..64], &coinbase_branch),
            PoolError::BadTransactionLength,
        ),
        (
            "of 59 bytes",
            raw_payment(&header, &tx, 4, &branch, &coinbase[..59], &coinbase_branch),
            PoolError::BadTransactionLength,
        ),
        (
            "with its witness",
            raw_payment(&header, &tx, 4, &branch, &witness, &coinbase_branch),
            PoolError::BadTransaction,
        ),
        (
            "with two inputs",
            raw_payment(&header, &tx, 4, &branch, &two_inputs, &coinbase_branch),
            PoolError::NotCoinbase,
        ),
        (
            "with an input of its own",
            raw_payment(&header, &tx, 4, &branch, &not_null, &coinbase_branch),
            PoolError::NotCoinbase,
        ),
        (
            "of another version",
            raw_payment(&header, &tx, 4, &branch, &version, &coinbase_branch),
            PoolError::WrongMerkleRoot,
        ),
    ];
    for (step, bytes, error) in bad {
        let mint = k2.mint_deposit(&proof.clone().bytes(bytes));
        k2.must_refuse(step, mint, error);
    }
    let mint = k2.mint_deposit(&proof);
    k2.send("as it should be", mint).must_succeed();
    // The coinbase of that block is no deposit, and a deposit no coinbase.
    let coinbase = k2.mint_coinbase(&chain.coinbase_proof(height));
    k2.must_refuse("another's coinbase", coinbase, PoolError::Immature);
}

/// GHSA-wg2x-rv86-mmpx: 64 bytes in a block, whose halves are presented as the ids of a level more. The coinbase shows how
/// deep the tree is.
#[test]
fn ghsa_wg2x_rv86_mmpx_a_transaction_that_is_not_there() {
    let forged = deposit(BTC);
    // What a miner would have to grind for some 2^61 hashes: a transaction of 64 bytes whose second half is the forged
    // one's id. It is none here, and the block is made of its id alone.
    let mut node = [7; 64];
    node[32..].copy_from_slice(&forged.compute_txid().to_byte_array());
    let node_id = sha256(&[&sha256(&[&node])]);

    let mut chain = Chain::regtest();
    chain.mine(20);
    let mut block = chain.next(Template::default());
    let coinbase = block.txdata[0].clone();
    let coinbase_id = coinbase.compute_txid().to_byte_array();
    let root = sha256(&[&sha256(&[&coinbase_id, &node_id])]);
    block.header.merkle_root = bitcoin::TxMerkleNode::from_byte_array(root);
    solve(&mut block.header);
    let height = chain.append(block);
    chain.mine(5);
    let mut k2 = World::new("mint/ghsa_wg2x_rv86_mmpx");
    k2.relay_from(&chain, 0);

    let header: [u8; 80] = chain.headers([height]).try_into().unwrap();
    let (tx, coinbase) = (stripped(&forged), stripped(&coinbase));
    let first_half: [u8; 32] = node[..32].try_into().unwrap();
    let branch = [first_half, coinbase_id];
    // The forged branch does lead to the root.
    let proof = Proof::new(height, &forged, Vec::new());
    for (step, coinbase_branch, error) in [
        (
            "the coinbase's own depth",
            vec![node_id],
            PoolError::BadProof,
        ),
        (
            "a level made up",
            vec![node_id, [0; 32]],
            PoolError::WrongMerkleRoot,
        ),
        (
            "a level repeated",
            vec![coinbase_id, node_id],
            PoolError::WrongMerkleRoot,
        ),
    ] {
        let bytes = raw_payment(&header, &tx, 3, &branch, &coinbase, &coinbase_branch);
        let mint = k2.mint_deposit(&proof.clone().bytes(bytes));
        k2.must_refuse(step, mint, error);
    }
    // And the node itself is no transaction.
    let bytes = raw_payment(&header, &node, 1, &[coinbase_id], &coinbase, &[node_id]);
    let mint = k2.mint_deposit(&proof.bytes(bytes));
    k2.must_refuse("the node", mint, PoolError::BadTransactionLength);
}

/// A payment proof's bytes, whatever they say.
fn raw_payment(
    header: &[u8; 80],
    tx: &[u8],
    index: u32,
    branch: &[[u8; 32]],
    coinbase: &[u8],
    coinbase_branch: &[[u8; 32]],
) -> Vec<u8> {
    [
        &header[..],
        &(tx.len() as u16).to_le_bytes(),
        tx,
        &index.to_le_bytes(),
        &[branch.len() as u8],
        branch.as_flattened(),
        &(coinbase.len() as u32).to_le_bytes(),
        coinbase,
        coinbase_branch.as_flattened(),
    ]
    .concat()
}

#[test]
fn any_bit_of_a_payment_proof_matters() {
    let (mut k2, chain, height) = World::deposited("mint/payment_bits", vec![deposit(BTC)]);
    let proof = chain.payment_proof(height, 1);
    assert!(PaymentProof::parse(&proof.bytes).is_ok());
    for at in 0..proof.bytes.len() {
        let mut bytes = proof.bytes.clone();
        bytes[at] ^= 1 << (at * 3 % 8);
        let mint = k2.mint_deposit(&proof.clone().bytes(bytes));
        let sent = k2.send("a bit is flipped", mint);
        assert!(sent.code().is_some(), "byte {at}");
    }
    let mint = k2.mint_deposit(&proof);
    k2.send("as it should be", mint).must_succeed();
}

#[test]
fn arguments_name_an_anchor_and_a_source() {
    let (mut k2, chain) = World::matured("mint/arguments");
    let mint = k2.mint_coinbase(&chain.coinbase_proof(21));
    // The tag, height and vout stand before them.
    for (at, byte) in [(9, 2), (9, 255), (10, 2), (10, 255)] {
        let mut mint = mint.clone();
        mint.data[at] = byte;
        k2.must_refuse("an unknown one", mint, PoolError::BadArgument);
    }
    for (at, account) in [(9, 9), (10, 9)] {
        let mut mint = mint.clone();
        mint.data[at] = 1;
        k2.send("an account is missing", mint)
            .must_fail_with(AccountFault::Missing.at(account));
    }
}

#[test]
fn a_proof_may_stand_in_a_buffer() {
    let (mut k2, chain) = World::matured("mint/buffer");
    let before = k2.config();
    let proof = chain.coinbase_proof(21).in_buffer(3);
    let mint = k2.mint_coinbase(&proof);
    k2.send("it was not opened", mint.clone())
        .must_fault("buffer", AccountFault::Uninitialized);
    let (length, digest) = (proof.bytes.len() as u32, sha256(&[&proof.bytes]));
    let open = k2.open_buffer(3, length, digest);
    k2.send("it is announced", open).must_succeed();
    k2.must_refuse(
        "nothing is written",
        mint.clone(),
        PoolError::BufferIncomplete,
    );
    let (most, last) = proof.bytes.split_at(proof.bytes.len() - 1);
    let write = k2.write_buffer(3, 0, most);
    k2.send("all but a byte", write).must_succeed();
    k2.must_refuse(
        "a byte is missing",
        mint.clone(),
        PoolError::BufferIncomplete,
    );
    let write = k2.write_buffer(3, length - 1, last);
    k2.send("the last byte", write).must_succeed();

    let mut both = mint.clone();
    both.data.push(0);
    k2.must_refuse("bytes in both places", both, PoolError::BadArgument);
    let other = k2.somebody("other payer");
    let theirs = mint.clone().with("payer", other);
    k2.must_refuse("somebody else's buffer", theirs, PoolError::NotPayer);
    k2.send_within(MINT_COINBASE_UNITS, "it is minted", mint)
        .must_succeed();
    k2.must_have_minted(&before, REWARD);
    k2.must_be_recorded(&proof, REWARD);
    // It stays, to be closed by who paid for it.
    let close = k2.close_buffer(3);
    k2.send("the buffer is closed", close).must_succeed();
}

#[test]
fn a_buffer_holds_what_was_announced() {
    let (mut k2, chain) = World::matured("mint/buffer_hash");
    let proof = chain.coinbase_proof(21).in_buffer(0);
    let open = k2.open_buffer(0, proof.bytes.len() as u32, sha256(&[b"another proof"]));
    k2.send("another proof is announced", open).must_succeed();
    let write = k2.write_buffer(0, 0, &proof.bytes);
    k2.send("this one is written", write).must_succeed();
    let mint = k2.mint_coinbase(&proof);
    k2.must_refuse("it is not that", mint, PoolError::BufferIncomplete);
}
