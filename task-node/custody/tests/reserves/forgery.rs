//! What a liar tries who holds earlier proofs, and everything but the custodians' keys.

use std::sync::OnceLock;

use bitcoin::consensus;
use bitcoin::secp256k1::{Message, Secp256k1};
use bitcoin::sighash::SighashCache;
use bitcoin::{Amount, EcdsaSighashType, OutPoint, ScriptBuf, TxOut, Witness, opcodes};
use orcapool_custody::reserves::{
    ChainFacts, Claim, ClaimError, File, FileError, Found, K2Facts, Proof, VerifyError, verify,
};
use proptest::prelude::*;

use crate::world::{COINBASE, World, forged, key, no_block, outpoints, restated};

/// A proof and everything a verifier knows, made once: a node takes seconds to start.
struct Known {
    proof: Proof,
    bytes: Vec<u8>,
    chain: ChainFacts,
    k2: K2Facts,
}

fn known() -> &'static Known {
    static KNOWN: OnceLock<Known> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let world = World::two_of_three();
        let proof = world.proof(&[1, 3]);
        Known {
            bytes: File::Proof(proof.clone()).encode().unwrap(),
            chain: world.chain().facts(proof.claim()).unwrap(),
            k2: world.k2,
            proof,
        }
    })
}

fn judge(proof: &Proof, chain: &ChainFacts) -> Result<(), VerifyError> {
    verify(proof, chain, &known().k2, None).map(|_| ())
}

fn refused(claim: Claim) -> VerifyError {
    judge(&forged(claim, &[&known().proof]), &known().chain).unwrap_err()
}

#[test]
fn the_signatures_are_for_one_statement() {
    let Known { proof, .. } = known();
    assert!(judge(proof, &known().chain).is_ok());
    let at = |slot| restated(proof, |statement| statement.slot = slot);
    let error = refused(at(999));
    assert!(matches!(error, VerifyError::Signature { .. }), "{error}");
    // Each field is in the message; some are compared before anything is looked up.
    let block = refused(restated(proof, |statement| statement.block = no_block()));
    assert_eq!(block, VerifyError::Block(no_block()));
    let program = refused(restated(proof, |statement| {
        statement.program = statement.mint
    }));
    assert!(matches!(program, VerifyError::Elsewhere { .. }));
    let totals = refused(restated(proof, |statement| {
        statement.proved_in -= Amount::from_sat(1);
    }));
    assert_eq!(totals, VerifyError::Totals);
    let earlier = refused(restated(proof, |statement| {
        statement.slot -= 1;
        statement.proved_in -= Amount::from_sat(1);
    }));
    assert!(matches!(earlier, VerifyError::Signature { .. }));
}

#[test]
fn a_coin_more_or_less_spoils_all_signatures() {
    let Known { proof, .. } = known();
    let coins = proof.claim().coins();
    let claim = |coins: Vec<_>| Claim::new(proof.claim().statement().clone(), coins);
    let error = refused(claim(coins[1..].to_vec()).unwrap());
    assert!(matches!(error, VerifyError::Signature { .. }), "{error}");

    let mut twice = coins.to_vec();
    twice.insert(1, coins[0].clone());
    assert_eq!(claim(twice), Err(ClaimError::Order(coins[0].outpoint)));

    let mut invented = coins.to_vec();
    let last = invented.last_mut().unwrap();
    last.outpoint = OutPoint::new(last.outpoint.txid, 7);
    let outpoint = last.outpoint;
    invented.sort_by_key(|coin| coin.outpoint);
    let error = refused(claim(invented).unwrap());
    assert!(matches!(error, VerifyError::Coin { outpoint: wrong, .. } if wrong == outpoint));

    let mut richer = coins.to_vec();
    richer[0].amount += Amount::from_sat(1);
    let error = refused(claim(richer).unwrap());
    assert!(matches!(error, VerifyError::Coin { .. }), "{error}");
    let mut older = coins.to_vec();
    let immature = older
        .iter_mut()
        .find(|coin| !coin.is_mature(proof.claim().statement().height));
    immature.unwrap().is_coinbase = false;
    let error = refused(claim(older).unwrap());
    assert!(matches!(error, VerifyError::Coin { .. }), "{error}");
}

/// Somebody else's coin: it exists, and nobody here can sign for it.
#[test]
fn a_foreign_coin_is_not_signed_for() {
    let Known { proof, chain, .. } = known();
    let mut chain = chain.clone();
    let mut coins = proof.claim().coins().to_vec();
    let mut foreign = coins[0].clone();
    foreign.outpoint.vout = 1;
    let found = Found {
        txout: TxOut {
            value: COINBASE,
            script_pubkey: crate::support::regtest::elsewhere(),
        },
        height: foreign.height,
        is_coinbase: foreign.is_coinbase,
        spent: None,
    };
    foreign.amount = COINBASE;
    chain.coins.insert(foreign.outpoint, found);
    coins.insert(1, foreign);
    let claim = Claim::new(proof.claim().statement().clone(), coins).unwrap();
    let error = judge(&forged(claim, &[proof]), &chain).unwrap_err();
    assert!(matches!(error, VerifyError::Signature { .. }), "{error}");
}

#[test]
fn the_signatures_of_another_proof_do_not_fit() {
    let mut world = World::single();
    let one = world.proof(&[1]);
    world.k2.slot += 1;
    let other = world.proof(&[1]);
    assert_eq!(outpoints(&one), outpoints(&other));
    let error = world
        .verify(&forged(other.claim().clone(), &[&one]))
        .unwrap_err();
    assert!(matches!(error, VerifyError::Signature { .. }), "{error}");
}

/// A signature that leaves out the other inputs and the outputs is valid in every proof there will ever be. Consensus code
/// takes it, and so does a verifier who reads the kind of signature from the PSBT.
#[test]
fn a_signature_of_sighash_none_is_refused() {
    let world = World::single();
    let proof = world.proof(&[1]);
    let facts = world.chain().facts(proof.claim()).unwrap();
    let mut transaction = proof.transaction().clone();
    let secp = Secp256k1::new();
    let words = key(1).words();
    let seed = bip39::Mnemonic::parse(words.as_str()).unwrap().to_seed("");
    let master = bitcoin::bip32::Xpriv::new_master(bitcoin::Network::Regtest, &seed).unwrap();
    let path: bitcoin::bip32::DerivationPath = "84h/1h/0h/0/0".parse().unwrap();
    let secret = master.derive_priv(&secp, &path).unwrap().to_priv();
    let kind = EcdsaSighashType::NonePlusAnyoneCanPay;
    let script = world.setup.coinbase_script().unwrap();
    let hash = SighashCache::new(&transaction)
        .p2wpkh_signature_hash(1, &script, COINBASE, kind)
        .unwrap();
    let signature = bitcoin::ecdsa::Signature {
        signature: secp.sign_ecdsa(&Message::from(hash), &secret.inner),
        sighash_type: kind,
    };
    transaction.input[1].witness = Witness::p2wpkh(&signature, &secret.inner.public_key(&secp));
    consensus::verify_script(&script, 1, COINBASE, &consensus::serialize(&transaction)).unwrap();
    let forged = Proof::new(proof.claim().clone(), transaction).unwrap();
    let error = verify(&forged, &facts, &world.k2, None).unwrap_err();
    assert!(error.to_string().contains("SIGHASH_ALL"), "{error}");
}

/// A coin that anybody can spend satisfies consensus code without any signature, so it proves nothing.
#[test]
fn a_coin_anybody_can_spend_is_no_reserve() {
    let world = World::single();
    let script = ScriptBuf::builder()
        .push_opcode(opcodes::OP_TRUE)
        .into_script();
    let hash = world.node.mine(1, &script.to_p2wsh())[0];
    world.node.mine_elsewhere(100);
    let proof = world.proof(&[1]);
    let coinbase = world.node.block(hash).txdata.remove(0);
    let mut coins = proof.claim().coins().to_vec();
    let mut free = coins[0].clone();
    free.outpoint = OutPoint::new(coinbase.compute_txid(), 0);
    free.height = world.node.height() - 100;
    coins.push(free.clone());
    coins.sort_by_key(|coin| coin.outpoint);
    let claim = Claim::new(proof.claim().statement().clone(), coins).unwrap();
    let mut transaction = claim.transaction();
    for input in &mut transaction.input {
        if input.previous_output == free.outpoint {
            input.witness = Witness::from_slice(&[script.as_bytes()]);
        }
    }
    let forged = Proof::new(claim.clone(), transaction).unwrap();
    let facts = world.chain().facts(&claim).unwrap();
    let found = &facts.coins[&free.outpoint];
    let index = 1 + claim
        .coins()
        .iter()
        .position(|coin| coin.outpoint == free.outpoint)
        .unwrap();
    consensus::verify_script(
        &found.txout.script_pubkey,
        index,
        found.txout.value,
        &consensus::serialize(forged.transaction()),
    )
    .unwrap();
    // The other coins are looked at first or later; alone it is refused for what it is.
    let alone = Claim::new(claim.statement().clone(), vec![free]).unwrap();
    let mut transaction = alone.transaction();
    transaction.input[1].witness = Witness::from_slice(&[script.as_bytes()]);
    let alone = Proof::new(alone, transaction).unwrap();
    let error = verify(&alone, &facts, &world.k2, None).unwrap_err();
    assert!(matches!(error, VerifyError::Signature { .. }), "{error}");
}

#[test]
fn totals_are_those_of_the_coins() {
    let text = String::from_utf8(known().bytes.clone()).unwrap();
    let mature = format!("\"mature\": {}", known().proof.claim().mature().to_sat());
    assert!(text.contains(&mature));
    let altered = text.replace(&mature, "\"mature\": 10000000001");
    let error = File::parse(altered.as_bytes()).unwrap_err();
    assert!(
        matches!(error, FileError::Claim(ClaimError::Totals)),
        "{error}"
    );
    // The same numbers, written otherwise.
    let error = File::parse(text.replace("\n", "\r\n").as_bytes()).unwrap_err();
    assert!(matches!(error, FileError::Altered), "{error}");
}

fn judge_bytes(bytes: &[u8]) -> Result<(), String> {
    match File::parse(bytes) {
        Ok(File::Proof(proof)) => judge(&proof, &known().chain).map_err(|error| error.to_string()),
        Ok(File::Draft(_)) => Err("a draft".into()),
        Err(error) => Err(error.to_string()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_flipped_bit_anywhere_is_refused(at: prop::sample::Index, bit in 0_u8..8) {
        let mut bytes = known().bytes.clone();
        prop_assert!(judge_bytes(&bytes).is_ok());
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(judge_bytes(&bytes).is_err(), "byte {}", at);
    }

    #[test]
    fn a_cut_file_is_refused(len: prop::sample::Index) {
        let bytes = &known().bytes;
        prop_assert!(File::parse(&bytes[..len.index(bytes.len())]).is_err());
    }

    /// No back door: of the signatures a proof gathers, none is valid in any transaction without the challenge.
    #[test]
    fn without_the_challenge_no_signature_is_valid(
        drop_coins: u8,
        lock_time: u32,
        value in 0_u64..=150_0000_0000,
        script in prop::collection::vec(any::<u8>(), 0..40),
        keep_output: bool,
    ) {
        let Known { proof, chain, .. } = known();
        let mut transaction = proof.transaction().clone();
        transaction.input.remove(0);
        let mut place = 0;
        transaction.input.retain(|_| {
            place += 1;
            place == 1 || drop_coins >> place & 1 == 0
        });
        transaction.lock_time = bitcoin::absolute::LockTime::from_consensus(lock_time);
        if !keep_output {
            transaction.output = vec![TxOut {
                value: Amount::from_sat(value),
                script_pubkey: ScriptBuf::from_bytes(script),
            }];
        }
        let bytes = consensus::serialize(&transaction);
        for (index, input) in transaction.input.iter().enumerate() {
            let spent = &chain.coins[&input.previous_output].txout;
            let judged = consensus::verify_script(&spent.script_pubkey, index, spent.value, &bytes);
            prop_assert!(judged.is_err());
        }
    }
}
