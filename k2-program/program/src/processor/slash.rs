//! Two roots for one round: the signatures stand in the proposals, so anybody can show them.

use k2_interface::PoolError;
use k2_interface::state::{Kind, Operator, OperatorSet, OperatorState, Proposal, ProposalState};
use solana_program::incinerator;

use super::operators::remove;
use crate::accounts::Context;
use crate::error::Result;
use k2_interface::AccountFault;

/// SlashOperator.
///
/// The whole account is burned, rent and all: nobody gains by a slashing, least of all the operator itself, which could
/// otherwise have a second key of its own collect.
pub(super) fn slash(context: &Context<'_, '_>) -> Result<()> {
    let [operators, operator, one, other, incinerator] = &context.accounts()?;
    incinerator.require(
        incinerator::check_id(incinerator.info.key),
        AccountFault::WrongAddress,
    )?;
    {
        let mut set = operators.load_mut::<OperatorSet>(context.program_id, Kind::Operators)?;
        let operator = operator.load::<Operator>(context.program_id, Kind::Operator)?;
        let one = one.load::<Proposal>(context.program_id, Kind::Proposal)?;
        let other = other.load::<Proposal>(context.program_id, Kind::Proposal)?;
        if one.round != other.round
            || same_content(&one, &other)
            || !attested(&operator, &one)
            || !attested(&operator, &other)
        {
            return Err(PoolError::NoEquivocation.into());
        }
        if operator.state == OperatorState::Active as u8 {
            remove(&mut set, &operator)?;
        }
    }
    operator.close(incinerator)
}

/// Whether they say the same about the round. On which root they build does not matter: when an earlier round is finalized
/// late, the same list has to be proposed and attested again.
fn same_content(one: &Proposal, other: &Proposal) -> bool {
    one.root == other.root
        && one.list == other.list
        && one.total == other.total
        && one.leaf_count == other.leaf_count
}

/// Whether the operator attested the proposal, and answers for it. After a veto nobody does: a veto says that the round must
/// be computed again, and those who then do must not pay for it.
///
/// The vote at the operator's place is its own exactly if the proposal was made after it joined and not after it left: an
/// operator attests only what was proposed after it joined, so a later holder of the place could attest no such
/// proposal.
fn attested(operator: &Operator, proposal: &Proposal) -> bool {
    let proposed = proposal.proposed_slot.get();
    let left = operator.left_slot.get();
    let active = operator.state == OperatorState::Active as u8;
    proposal.state != ProposalState::Vetoed as u8
        && proposal
            .votes
            .get()
            .checked_shr(u32::from(operator.index))
            .is_some_and(|votes| votes & 1 == 1)
        && proposed > operator.joined_slot.get()
        && (active || proposed <= left)
}
