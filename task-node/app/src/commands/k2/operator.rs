//! `orcapool k2 operator ...`: places in the set that attests, and bonds.

use anyhow::ensure;

use super::session::{Session, or_own, read_keypair};
use crate::cli::OperatorCommand;

pub(super) async fn run(session: &Session, command: &OperatorCommand) -> anyhow::Result<()> {
    let keypair = session.keypair()?;
    let (own, program) = (keypair.address(), session.program());
    match command {
        OperatorCommand::Register { authority } => {
            let authority = read_keypair(authority)?;
            let instruction = program.register_operator(own, authority.address());
            session
                .act("register operator", [instruction], &[&keypair, &authority])
                .await
        }
        OperatorCommand::Leave { operator } => {
            let instruction = program.leave_operator(own, or_own(*operator, &keypair));
            session
                .act("leave operator", [instruction], &[&keypair])
                .await
        }
        OperatorCommand::Withdraw => {
            let instruction = program.withdraw_bond(own);
            session
                .act("withdraw bond", [instruction], &[&keypair])
                .await
        }
        OperatorCommand::Slash {
            operator,
            round,
            proposers,
        } => {
            ensure!(proposers.len() == 2, "name the two proposers");
            let [one, other] =
                [proposers[0], proposers[1]].map(|p| program.proposal(round.get(), &p).address);
            let instruction = program.slash_operator(*operator, one, other);
            session
                .act("slash operator", [instruction], &[&keypair])
                .await
        }
    }
}
