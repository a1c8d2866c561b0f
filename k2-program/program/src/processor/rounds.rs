//! Reward roots: proposed, attested, challenged, put in force.

use k2_interface::instruction::RoundRoot;
use k2_interface::reward_tree::MAX_LEAVES;
use k2_interface::state::{Config, Kind, OperatorSet, Pause, Proposal, ProposalState, Rewards};
use k2_interface::{K2Address, PoolError, pda};
use solana_program::clock::Clock;
use solana_program::sysvar::Sysvar as _;

use super::admin::require_guardian_or_authority;
use crate::accounts::Context;
use crate::error::Result;
use crate::token::require_system_program;

fn require_not_paused(config: &Config) -> Result<()> {
    if config.is_paused(Pause::Rounds) {
        return Err(PoolError::Paused.into());
    }
    Ok(())
}

/// A root can only follow the one in force, for a later round, and take nothing back that was earned.
fn require_next(rewards: &Rewards, round: u64, previous_root: &[u8; 32], total: u64) -> Result<()> {
    if rewards.finalized.get() > 0 && round <= rewards.round.get() {
        return Err(PoolError::OldRound.into());
    }
    if *previous_root != rewards.root {
        return Err(PoolError::StaleRoot.into());
    }
    if total < rewards.total.get() {
        return Err(PoolError::TotalFalls.into());
    }
    Ok(())
}

/// The vote of an operator on something proposed at this slot: one bit, at its place.
///
/// Whoever joins in a slot may attest only from the next one on. Within a slot the order could not be told later: neither
/// whose vote stands at a place that changed hands, nor who answers for it.
fn vote(set: &OperatorSet, operator: &K2Address, proposed_slot: u64) -> Result<u32> {
    let index = set.index_of(operator).ok_or(PoolError::NotOperator)?;
    let joined = set
        .slots
        .get(index)
        .ok_or(PoolError::NotOperator)?
        .joined_slot;
    if joined.get() >= proposed_slot {
        return Err(PoolError::JoinedLater.into());
    }
    let bit = 1_u32.checked_shl(index as u32);
    Ok(bit.ok_or(PoolError::NotOperator)?)
}

/// ProposeRound.
pub(super) fn propose(context: &Context<'_, '_>, args: &RoundRoot) -> Result<()> {
    let [operator_key, config, operators, proposal, system_program] = &context.accounts()?;
    require_system_program(system_program)?;
    let config = config.load::<Config>(context.program_id, Kind::Config)?;
    let set = operators.load::<OperatorSet>(context.program_id, Kind::Operators)?;
    require_not_paused(&config)?;
    let slot = Clock::get()?.slot;
    let proposer = operator_key.key();
    let votes = vote(&set, &proposer, slot)?;
    if args.root == [0; 32] {
        return Err(PoolError::NullRoot.into());
    }
    if args.leaf_count == 0 || args.leaf_count > MAX_LEAVES {
        return Err(PoolError::BadLeafCount.into());
    }
    require_next(&config.rewards, args.round, &args.previous_root, args.total)?;

    let round = args.round.to_le_bytes();
    let seeds = [pda::ROUND, &round, proposer.as_bytes()];
    let mut proposal =
        proposal.create::<Proposal>(context, operator_key, Kind::Proposal, &seeds, 0)?;
    proposal.round = args.round.into();
    proposal.proposer = proposer;
    proposal.root = args.root;
    proposal.previous_root = args.previous_root;
    proposal.list = args.list;
    proposal.total = args.total.into();
    proposal.proposed_slot = slot.into();
    proposal.leaf_count = args.leaf_count.into();
    proposal.state = ProposalState::Open as u8;
    count(&mut proposal, &set, votes, config.quorum, slot);
    Ok(())
}

/// AttestRound.
pub(super) fn attest(context: &Context<'_, '_>, args: &RoundRoot) -> Result<()> {
    let [operator_key, config, operators, proposal] = &context.accounts()?;
    let config = config.load::<Config>(context.program_id, Kind::Config)?;
    let set = operators.load::<OperatorSet>(context.program_id, Kind::Operators)?;
    let mut proposal = proposal.load_mut::<Proposal>(context.program_id, Kind::Proposal)?;
    require_not_paused(&config)?;
    require_open(&proposal)?;
    let votes = vote(&set, &operator_key.key(), proposal.proposed_slot.get())?;
    let same = proposal.round.get() == args.round
        && proposal.root == args.root
        && proposal.previous_root == args.previous_root
        && proposal.list == args.list
        && proposal.total.get() == args.total
        && proposal.leaf_count.get() == args.leaf_count;
    if !same {
        return Err(PoolError::OtherRoot.into());
    }
    if proposal.votes.get() & votes != 0 {
        return Err(PoolError::AlreadyAttested.into());
    }
    // What can no longer be finalized needs no signatures, and so gets none that could be held against somebody.
    require_next(&config.rewards, args.round, &args.previous_root, args.total)?;
    let slot = Clock::get()?.slot;
    count(&mut proposal, &set, votes, config.quorum, slot);
    Ok(())
}

/// Adds a vote. The challenge begins with the vote that makes the quorum; again, if the quorum was lost since, because an
/// operator left or the quorum rose: the time to veto is counted from when a root last became one to veto.
fn count(proposal: &mut Proposal, set: &OperatorSet, vote: u32, quorum: u8, slot: u64) {
    let proposed = proposal.proposed_slot.get();
    let quorum = u32::from(quorum);
    let had =
        proposal.quorum_slot.get() > 0 && set.count_votes(proposal.votes.get(), proposed) >= quorum;
    let votes = proposal.votes.get() | vote;
    proposal.votes = votes.into();
    if !had && set.count_votes(votes, proposed) >= quorum {
        proposal.quorum_slot = slot.into();
    }
}

fn require_open(proposal: &Proposal) -> Result<()> {
    if proposal.state == ProposalState::Open as u8 {
        Ok(())
    } else {
        Err(PoolError::NotOpen.into())
    }
}

/// FinalizeRound. The votes are counted once more, by the operators and the quorum of now: the vote of one that has left
/// since, or was slashed, no longer counts. A proposal that has enough only because the quorum fell never had its
/// challenge; the next round, whose list contains it, will.
pub(super) fn finalize(context: &Context<'_, '_>) -> Result<()> {
    let [config, operators, proposal] = &context.accounts()?;
    let set = operators.load::<OperatorSet>(context.program_id, Kind::Operators)?;
    let mut config = config.load_mut::<Config>(context.program_id, Kind::Config)?;
    let mut proposal = proposal.load_mut::<Proposal>(context.program_id, Kind::Proposal)?;
    require_not_paused(&config)?;
    require_open(&proposal)?;
    let total = proposal.total.get();
    require_next(
        &config.rewards,
        proposal.round.get(),
        &proposal.previous_root,
        total,
    )?;
    let quorum_slot = proposal.quorum_slot.get();
    let votes = set.count_votes(proposal.votes.get(), proposal.proposed_slot.get());
    if quorum_slot == 0 || votes < u32::from(config.quorum) {
        return Err(PoolError::NoQuorum.into());
    }
    let challenge = config.parameters.challenge_slots.get();
    let end = quorum_slot
        .checked_add(challenge)
        .ok_or(PoolError::Overflow)?;
    if Clock::get()?.slot < end {
        return Err(PoolError::InChallenge.into());
    }
    // The vault holds what was proved in less what was claimed, so this keeps every finalized sat payable.
    if total > config.totals.proved_in.get() {
        return Err(PoolError::NotCovered.into());
    }
    let finalized = config.rewards.finalized.get().checked_add(1);
    config.rewards = Rewards {
        finalized: finalized.ok_or(PoolError::Overflow)?.into(),
        round: proposal.round,
        total: proposal.total,
        leaf_count: proposal.leaf_count,
        root: proposal.root,
        list: proposal.list,
    };
    proposal.state = ProposalState::Finalized as u8;
    Ok(())
}

/// VetoRound.
pub(super) fn veto(context: &Context<'_, '_>) -> Result<()> {
    let [guardian, config, proposal] = &context.accounts()?;
    let config = config.load::<Config>(context.program_id, Kind::Config)?;
    let mut proposal = proposal.load_mut::<Proposal>(context.program_id, Kind::Proposal)?;
    require_guardian_or_authority(&config, guardian)?;
    require_open(&proposal)?;
    proposal.state = ProposalState::Vetoed as u8;
    Ok(())
}

/// CloseProposal.
pub(super) fn close_proposal(context: &Context<'_, '_>) -> Result<()> {
    let [rent_receiver, config, proposal] = &context.accounts()?;
    {
        let config = config.load::<Config>(context.program_id, Kind::Config)?;
        let proposal = proposal.load::<Proposal>(context.program_id, Kind::Proposal)?;
        rent_receiver.require_key(&proposal.proposer)?;
        let rewards = &config.rewards;
        let past = rewards.finalized.get() > 0 && proposal.round <= rewards.round;
        let evidence_until = proposal
            .proposed_slot
            .get()
            .checked_add(config.parameters.unbonding_slots.get())
            .ok_or(PoolError::Overflow)?;
        let ended = past || proposal.state != ProposalState::Open as u8;
        if !ended || Clock::get()?.slot < evidence_until {
            return Err(PoolError::StillNeeded.into());
        }
    }
    proposal.close(rent_receiver)
}
