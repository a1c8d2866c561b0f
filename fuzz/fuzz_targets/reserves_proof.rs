//! A proof of reserves from somebody who wants to be believed: one form, a transaction nobody can mine, sums that are right.
#![no_main]

use bitcoin::Amount;
use custody::reserves::File;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = File::parse(bytes) else {
        return;
    };
    assert_eq!(file.encode().unwrap(), bytes);
    let (claim, transaction) = match &file {
        File::Draft(draft) => (draft.claim(), &draft.psbt().unsigned_tx),
        File::Proof(proof) => (proof.claim(), proof.transaction()),
    };
    let challenge = claim.statement().challenge();
    assert_eq!(transaction.input[0].previous_output, challenge);
    assert_eq!(transaction.input.len(), claim.coins().len() + 1);
    assert_eq!(transaction.output.len(), 1);
    assert!(transaction.output[0].script_pubkey.is_op_return());
    let coins = claim.coins().iter().map(|coin| coin.amount);
    let sum = coins.fold(Amount::ZERO, |sum, amount| sum + amount);
    assert_eq!(transaction.output[0].value, sum);
    assert_eq!(claim.mature() + claim.immature(), sum);
    if let File::Draft(draft) = file {
        let coins = draft.claim().coins().len();
        assert!(draft.signed().values().all(|signed| *signed <= coins));
        // What is wrong in it is told, whatever it is.
        let _ = custody::reserves::Draft::finish(vec![draft]);
    }
});
