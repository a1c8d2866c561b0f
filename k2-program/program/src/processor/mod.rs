//! The instructions, one file per group.

mod admin;
mod buffer;
mod checkpoint;
mod claim;
mod cursor;
mod custody;
mod fork;
mod initialize;
mod mint;
mod operators;
mod parameters;
mod proof;
mod records;
mod redeem;
mod relay;
mod rounds;
mod settle;
mod slash;

use k2_interface::PoolError;
use k2_interface::instruction::{Instruction, InstructionError};
use solana_program::account_info::AccountInfo;
use solana_program::pubkey::Pubkey;

use crate::accounts::Context;
use crate::error::Result;

/// Reads an instruction and carries it out.
///
/// # Errors
/// The first rule or account that does not hold; then the runtime undoes everything.
pub fn process(program_id: &Pubkey, infos: &[AccountInfo<'_>], data: &[u8]) -> Result<()> {
    let instruction = Instruction::parse(data).map_err(|error| match error {
        InstructionError::UnknownTag(_) => PoolError::UnknownInstruction,
        _ => PoolError::InstructionLength,
    })?;
    let context = &Context {
        program_id,
        infos,
        kind: instruction.kind(),
    };
    match instruction {
        Instruction::Initialize { args } => initialize::initialize(context, &args),
        Instruction::InitializeRelay { args, headers } => {
            checkpoint::initialize(context, &args, headers)
        }
        Instruction::SubmitHeaders { headers } => relay::submit_headers(context, headers),
        Instruction::SubmitFork { args, headers } => fork::submit(context, &args, headers),
        Instruction::CloseFork {} => fork::close(context),
        Instruction::OpenCursor { args } => cursor::open(context, &args),
        Instruction::AdvanceCursor { headers } => cursor::advance(context, headers),
        Instruction::CloseCursor {} => cursor::close(context),
        Instruction::OpenBuffer { args } => buffer::open(context, &args),
        Instruction::WriteBuffer { args, piece } => buffer::write(context, &args, piece),
        Instruction::CloseBuffer {} => buffer::close(context),
        Instruction::MintCoinbase { args, proof } => mint::coinbase(context, &args, proof),
        Instruction::MintDeposit { args, proof } => mint::deposit(context, &args, proof),
        Instruction::CloseDeposit {} => records::close_deposit(context),
        Instruction::ClosePayout {} => records::close_payout(context),
        Instruction::ProposeAuthority { args } => admin::propose_authority(context, &args),
        Instruction::AcceptAuthority {} => admin::accept_authority(context),
        Instruction::SetGuardian { args } => admin::set_guardian(context, &args),
        Instruction::Pause { args } => admin::pause(context, &args),
        Instruction::Resume { args } => admin::resume(context, &args),
        Instruction::ProposeCustody { args } => custody::propose(context, &args),
        Instruction::CancelCustody {} => custody::cancel(context),
        Instruction::ActivateCustody {} => custody::activate(context),
        Instruction::SetQuorum { args } => operators::set_quorum(context, &args),
        Instruction::RegisterOperator {} => operators::register(context),
        Instruction::LeaveOperator {} => operators::leave(context),
        Instruction::WithdrawBond {} => operators::withdraw_bond(context),
        Instruction::SlashOperator {} => slash::slash(context),
        Instruction::ProposeRound { args } => rounds::propose(context, &args),
        Instruction::AttestRound { args } => rounds::attest(context, &args),
        Instruction::FinalizeRound {} => rounds::finalize(context),
        Instruction::VetoRound {} => rounds::veto(context),
        Instruction::CloseProposal {} => rounds::close_proposal(context),
        Instruction::Claim { args, siblings } => claim::claim(context, &args, siblings),
        Instruction::RequestRedeem { args } => redeem::request(context, &args),
        Instruction::SettleRedeem { args, proof } => settle::settle(context, &args, proof),
        Instruction::RefundRedeem { args } => redeem::refund(context, &args),
        Instruction::CloseRedemption {} => redeem::close(context),
    }
}
