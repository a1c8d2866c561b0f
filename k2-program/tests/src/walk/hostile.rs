//! Right calls made wrong, and calls that work once.

use k2_interface::instruction::InstructionKind;
use solana_instruction::AccountMeta;

use super::Walk;
use crate::Call;

impl Walk {
    /// The same call with a signature, a right to write or an account less, an account more, or bytes cut off or added.
    pub(super) fn spoil(&mut self, mut call: Call) -> (String, Call) {
        let name = call.kind.name();
        let place = self.rng.below(call.accounts.len() as u64) as usize;
        let (spec, meta) = &mut call.accounts[place];
        let what = match self.rng.below(5) {
            0 if spec.signer => {
                meta.is_signer = false;
                "a signature is missing"
            }
            1 if spec.writable => {
                meta.is_writable = false;
                "an account is read-only"
            }
            2 => {
                call.accounts.truncate(place);
                "accounts are missing"
            }
            3 => {
                let spec = *spec;
                let extra = AccountMeta {
                    pubkey: self.stranger,
                    is_signer: false,
                    is_writable: spec.writable,
                };
                call.accounts.push((spec, extra));
                "one account more"
            }
            _ => {
                call.data.clear();
                "no data"
            }
        };
        (format!("{name}: {what}"), call)
    }
}

/// Whether the same call must be refused the second time.
pub(super) const fn is_once(kind: InstructionKind) -> bool {
    !matches!(
        kind,
        InstructionKind::ProposeAuthority
            | InstructionKind::SetGuardian
            | InstructionKind::Pause
            | InstructionKind::Resume
            | InstructionKind::ProposeCustody
            | InstructionKind::SetQuorum
            | InstructionKind::SubmitFork
    )
}
