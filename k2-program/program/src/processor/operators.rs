//! The operators that attest: joining with a bond, leaving, and the quorum.
//!
//! # The quorum
//!
//! It is always more than half of the operators, so that two quorums share somebody: two roots of one round cannot both
//! get one without an operator who signed both and loses its bond. Therefore an operator may join only while
//! `2 * quorum > operators` still holds with it; raise the quorum first. The quorum may be above the number of operators,
//! which stops rounds: by one through SetQuorum, because one operator with a quorum of one must be able to become two
//! with a quorum of two; by more where operators left, and from the beginning, so that the first to join cannot finalize
//! anything before the others are there.

use k2_interface::instruction::SetQuorum;
use k2_interface::state::{
    Config, Kind, MAX_OPERATORS, Operator, OperatorSet, OperatorSlot, OperatorState,
};
use k2_interface::{PoolError, pda};
use solana_program::clock::Clock;
use solana_program::program::invoke;
use solana_program::sysvar::Sysvar as _;
use solana_system_interface::instruction::transfer;

use super::admin::{NOBODY, require_authority};
use crate::accounts::Context;
use crate::error::Result;
use crate::token::require_system_program;

/// Whether two quorums of so many operators always share one.
const fn is_majority(quorum: u8, operators: u8) -> bool {
    quorum > operators / 2
}

/// SetQuorum.
pub(super) fn set_quorum(context: &Context<'_, '_>, args: &SetQuorum) -> Result<()> {
    let [authority, config, operators] = &context.accounts()?;
    let count = operators
        .load::<OperatorSet>(context.program_id, Kind::Operators)?
        .count;
    let mut config = config.load_mut::<Config>(context.program_id, Kind::Config)?;
    require_authority(&config, authority)?;
    let most = usize::from(count).saturating_add(1).min(MAX_OPERATORS);
    if !is_majority(args.quorum, count) || usize::from(args.quorum) > most {
        return Err(PoolError::BadQuorum.into());
    }
    config.quorum = args.quorum;
    Ok(())
}

/// RegisterOperator.
pub(super) fn register(context: &Context<'_, '_>) -> Result<()> {
    let [
        operator_key,
        authority,
        config,
        operators,
        operator,
        system_program,
    ] = &context.accounts()?;
    require_system_program(system_program)?;
    let (quorum, bond) = {
        let config = config.load::<Config>(context.program_id, Kind::Config)?;
        require_authority(&config, authority)?;
        (config.quorum, config.parameters.bond_lamports)
    };
    let key = operator_key.key();
    let slot = Clock::get()?.slot;
    let mut set = operators.load_mut::<OperatorSet>(context.program_id, Kind::Operators)?;
    let seeds = [pda::OPERATOR, key.as_bytes()];
    operator.require_derived(context.program_id, &seeds)?;
    // One that has left stands here until it has withdrawn its bond: its old signatures can still cost it.
    if set.index_of(&key).is_some() || operator.info.owner == context.program_id {
        return Err(PoolError::AlreadyOperator.into());
    }
    let index = set.index_of(&NOBODY).ok_or(PoolError::OperatorsFull)?;
    let count = set.count.checked_add(1).ok_or(PoolError::Overflow)?;
    if !is_majority(quorum, count) {
        return Err(PoolError::BadQuorum.into());
    }
    let place = set.slots.get_mut(index).ok_or(PoolError::OperatorsFull)?;
    *place = OperatorSlot {
        operator: key,
        joined_slot: slot.into(),
    };
    set.count = count;
    drop(set);

    {
        let mut account =
            operator.create::<Operator>(context, operator_key, Kind::Operator, &seeds, 0)?;
        account.operator = key;
        account.bond = bond;
        account.joined_slot = slot.into();
        account.index = index as u8;
        account.state = OperatorState::Active as u8;
    }
    invoke(
        &transfer(operator_key.info.key, operator.info.key, bond.get()),
        &[operator_key.info.clone(), operator.info.clone()],
    )?;
    Ok(())
}

/// LeaveOperator.
pub(super) fn leave(context: &Context<'_, '_>) -> Result<()> {
    let [signer, config, operators, operator] = &context.accounts()?;
    let config = config.load::<Config>(context.program_id, Kind::Config)?;
    let mut set = operators.load_mut::<OperatorSet>(context.program_id, Kind::Operators)?;
    let mut operator = operator.load_mut::<Operator>(context.program_id, Kind::Operator)?;
    if signer.key() != operator.operator {
        require_authority(&config, signer)?;
    }
    if operator.state != OperatorState::Active as u8 {
        return Err(PoolError::NotOperator.into());
    }
    remove(&mut set, &operator)?;
    operator.state = OperatorState::Leaving as u8;
    operator.left_slot = Clock::get()?.slot.into();
    Ok(())
}

/// Frees the place of an active operator.
///
/// # Errors
/// [`PoolError::NotOperator`]: it is not there.
pub(super) fn remove(set: &mut OperatorSet, operator: &Operator) -> Result<()> {
    let place = set
        .slots
        .get_mut(usize::from(operator.index))
        .filter(|place| place.operator == operator.operator)
        .ok_or(PoolError::NotOperator)?;
    *place = OperatorSlot {
        operator: NOBODY,
        joined_slot: 0.into(),
    };
    set.count = set.count.checked_sub(1).ok_or(PoolError::Overflow)?;
    Ok(())
}

/// WithdrawBond.
pub(super) fn withdraw_bond(context: &Context<'_, '_>) -> Result<()> {
    let [operator_key, config, operator] = &context.accounts()?;
    let unbonding = {
        let config = config.load::<Config>(context.program_id, Kind::Config)?;
        config.parameters.unbonding_slots.get()
    };
    {
        let operator = operator.load::<Operator>(context.program_id, Kind::Operator)?;
        operator_key.require_key(&operator.operator)?;
        if operator.state != OperatorState::Leaving as u8 {
            return Err(PoolError::StillActive.into());
        }
        let free = operator
            .left_slot
            .get()
            .checked_add(unbonding)
            .ok_or(PoolError::Overflow)?;
        if Clock::get()?.slot < free {
            return Err(PoolError::NotYet.into());
        }
    }
    operator.close(operator_key)
}

#[cfg(test)]
mod tests {
    use super::is_majority;

    #[test]
    fn two_majorities_share_an_operator() {
        for operators in 0..=32_u8 {
            for quorum in 0..=33_u8 {
                let disjoint = quorum.saturating_mul(2) <= operators;
                assert_eq!(is_majority(quorum, operators), !disjoint);
            }
        }
    }

    /// From one operator to 32 by single steps, without ever being stuck: SetQuorum takes at most one more than there are.
    #[test]
    fn a_set_can_always_grow() {
        let mut quorum = 1;
        for operators in 1..32_u8 {
            let next = operators.saturating_add(1);
            if !is_majority(quorum, next) {
                quorum = next;
            }
            assert!(is_majority(quorum, next) && quorum <= next);
        }
    }
}
