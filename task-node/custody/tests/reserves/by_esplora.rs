//! An Esplora server tells a verifier the same as a node.

use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, TxOut, Txid};
use orcapool_custody::reserves::chain::PublicChain;
use orcapool_custody::reserves::{Proof, verify};

use crate::support::esplora::Esplora;
use crate::support::regtest::elsewhere;
use crate::world::{COINBASE, World};

#[track_caller]
fn the_same_as_the_node(server: &PublicChain, world: &World, proof: &Proof) {
    let facts = server.facts(proof.claim()).unwrap();
    assert_eq!(facts, world.chain().facts(proof.claim()).unwrap());
    let by_server = verify(proof, &facts, &world.k2, None);
    let by_node = world.verify(proof);
    assert_eq!(format!("{by_server:?}"), format!("{by_node:?}"));
}

#[test]
fn an_esplora_server_tells_a_verifier_the_same() {
    let world = World::two_of_three();
    let server = Esplora::start(&world.node);
    let server = PublicChain::esplora(&server.url());
    let proof = world.proof(&[1, 2]);
    assert_eq!(server.tip().unwrap(), world.tip());
    assert_eq!(server.hash_at(world.tip().0 + 1).unwrap(), None);
    the_same_as_the_node(&server, &world, &proof);

    // What is in the memory pool spends nothing yet.
    let coins = world.view().coins;
    let mut coins = coins.values();
    let coin = coins.find(|coin| coin.is_spendable(world.node.height()));
    let coin = coin.unwrap().outpoint;
    let out = TxOut {
        value: Amount::from_sat(49_9999_0000),
        script_pubkey: elsewhere(),
    };
    let thief = world.signed(&[coin], vec![out]);
    world.node.send(&thief);
    the_same_as_the_node(&server, &world, &proof);
    world.node.mine_elsewhere(1);
    let (txid, height) = (thief.compute_txid(), world.tip().0);
    let wanted = [(txid, height), (coin.txid, height), (Txid::all_zeros(), 1)];
    let found = server.transactions(&wanted).unwrap();
    assert_eq!(found, world.chain().transactions(&wanted).unwrap());
    assert_eq!(found.into_keys().collect::<Vec<_>>(), [txid]);
    the_same_as_the_node(&server, &world, &proof);
    let facts = server.facts(proof.claim()).unwrap();
    let report = verify(&proof, &facts, &world.k2, None).unwrap();
    assert_eq!(report.now.reserves, COINBASE);

    // The proof's own block is given up.
    world.node.invalidate(proof.claim().statement().block);
    world.node.mine_elsewhere(3);
    the_same_as_the_node(&server, &world, &proof);
}
