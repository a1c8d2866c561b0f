//! The SVM itself: LiteSVM with K2's feature set, its sysvars and genesis programs.
//!
//! LiteSVM's own checks of blockhash, signature and history are switched off: it knows a single blockhash and a short
//! history, whereas the bank keeps both as a cluster does.

use agave_feature_set::{
    FeatureSet, deprecate_rent_exemption_threshold, replace_spl_token_with_p_token,
};
use litesvm::{LiteSVM, error::LiteSVMError};
use solana_hash::Hash;
use solana_loader_v3_interface::state::UpgradeableLoaderState;
use solana_pubkey::Pubkey;
use solana_sdk_ids::bpf_loader_upgradeable;
#[allow(deprecated)] // removed from later clusters, present on K2
use solana_sysvar::recent_blockhashes::{IterItem, MAX_ENTRIES, RecentBlockhashes};
use solana_sysvar::{clock::Clock, epoch_schedule::EpochSchedule, slot_hashes::SlotHashes};

use crate::options::GenesisProgram;

/// Lamports a transaction pays for each signature.
pub(crate) const LAMPORTS_PER_SIGNATURE: u64 = 5_000;

/// Slots of an epoch, without the short first epochs of a cluster that warms up.
pub(crate) fn epoch_schedule() -> EpochSchedule {
    EpochSchedule::without_warmup()
}

/// The features this chain runs with: those of Solana's main network, less two that change what a program from 2023 sees.
/// K2 has the classic SPL Token program, not p-token, and a Rent sysvar with a threshold of two years.
fn features() -> FeatureSet {
    let mut features = FeatureSet::default();
    for id in LiteSVM::mainnet_feature_set().active().keys() {
        features.activate(id, 0);
    }
    features.deactivate(&replace_spl_token_with_p_token::id());
    features.deactivate(&deprecate_rent_exemption_threshold::id());
    features
}

/// An SVM at slot 0 with native and SPL programs.
pub(crate) fn start() -> LiteSVM {
    let mut svm = LiteSVM::default()
        .with_feature_set(features())
        .with_builtins()
        .with_sysvars()
        .with_sigverify(false)
        .with_blockhash_check(false)
        .with_transaction_history(0);
    // Before the programs: they count as deployed in the slot of the clock.
    svm.set_sysvar(&Clock::default());
    svm.set_sysvar(&epoch_schedule());
    svm.with_feature_accounts().with_default_programs()
}

/// Address of the account that holds an upgradeable program's code and upgrade authority.
#[must_use]
pub fn program_data_address(program: &Pubkey) -> Pubkey {
    Pubkey::find_program_address(&[program.as_ref()], &bpf_loader_upgradeable::id()).0
}

/// Installs `program` as if it had been deployed in slot 0.
pub(crate) fn install(svm: &mut LiteSVM, program: &GenesisProgram) -> Result<(), LiteSVMError> {
    svm.add_program(program.id, &program.elf)?;
    // LiteSVM installs programs without an authority; only the head of the ProgramData account differs.
    let address = program_data_address(&program.id);
    let head = UpgradeableLoaderState::size_of_programdata_metadata();
    let state = UpgradeableLoaderState::ProgramData {
        slot: 0,
        upgrade_authority_address: program.upgrade_authority,
    };
    if let Some(mut account) = svm.get_account(&address)
        && let Some(bytes) = account.data.get_mut(..head)
    {
        bytes.fill(0);
        bincode::serialize_into(bytes, &state)
            .map_err(|error| LiteSVMError::ProgramLoad(error.to_string()))?;
        svm.set_account(address, account)?;
    }
    Ok(())
}

/// Writes the sysvars that change from slot to slot. `recent` are blockhashes, newest first, the first one of `clock.slot`.
pub(crate) fn set_slot(
    svm: &mut LiteSVM,
    clock: &Clock,
    recent: impl Iterator<Item = (u64, Hash)> + Clone,
) {
    svm.set_sysvar(clock);
    // A slot's own hash is only known to later slots.
    let hashes: Vec<_> = recent.clone().skip(1).collect();
    svm.set_sysvar(&SlotHashes::new(&hashes));
    #[allow(deprecated)]
    {
        let recent: Vec<_> = recent.take(MAX_ENTRIES).collect();
        let items = recent
            .iter()
            .map(|(slot, hash)| IterItem(*slot, hash, LAMPORTS_PER_SIGNATURE));
        svm.set_sysvar(&items.collect::<RecentBlockhashes>());
    }
}

/// The accounts that [`set_slot`] writes.
pub(crate) const SLOT_SYSVARS: [Pubkey; 3] = [
    solana_sdk_ids::sysvar::clock::ID,
    solana_sdk_ids::sysvar::slot_hashes::ID,
    solana_sdk_ids::sysvar::recent_blockhashes::ID,
];
