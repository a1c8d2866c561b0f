//! `orcapool k2 close`: the rent of what is spent goes back to who paid it.

use k2_client::{Keypair, Outpoint};
use k2_interface::state::{ProposalState, RedemptionState};
use solana_instruction::Instruction;

use super::session::Session;

pub(super) async fn run(session: &Session) -> anyhow::Result<()> {
    let keypair = session.keypair()?;
    let closable = closable(session, &keypair).await?;
    if closable.is_empty() {
        return session.say("nothing to close");
    }
    for (action, instruction) in closable {
        session.act(&action, [instruction], &[&keypair]).await?;
    }
    Ok(())
}

/// What the program would let go now.
async fn closable(
    session: &Session,
    keypair: &Keypair,
) -> anyhow::Result<Vec<(String, Instruction)>> {
    let (own, program) = (keypair.address(), session.program());
    let accounts = session.client.accounts();
    let config = accounts.config().await?;
    let slot = session
        .client
        .k2()
        .slot(session.client.commitment())
        .await?;
    let mut closable = Vec::new();
    for (_, proposal) in accounts.all_proposals().await? {
        let round = proposal.round.get();
        let past = config.rewards.finalized.get() > 0 && round <= config.rewards.round.get();
        let evidence_until = proposal
            .proposed_slot
            .get()
            .saturating_add(config.parameters.unbonding_slots.get());
        let ended = past || proposal.state != ProposalState::Open as u8;
        if proposal.proposer == own && ended && slot >= evidence_until {
            closable.push((
                format!("close the proposal of round {round}"),
                program.close_proposal(round, own),
            ));
        }
    }
    for redemption in accounts.redemptions().await? {
        let id = redemption.id.get();
        if redemption.payer == own && redemption.state != RedemptionState::Open as u8 {
            closable.push((
                format!("close redemption {id}"),
                program.close_redemption(id, own),
            ));
        }
    }
    // What an upload that was cut off left behind, while somebody else used the output. One under way begins anew.
    for buffer in accounts.buffers(&own).await? {
        let (id, written) = (buffer.id.get(), buffer.written.get());
        let action = format!(
            "close proof buffer {id} ({written} of {} bytes written)",
            buffer.length.get()
        );
        closable.push((action, program.close_buffer(own, id)));
    }
    if accounts.fork(&own).await?.is_some() {
        closable.push(("close the fork account".to_owned(), program.close_fork(own)));
    }
    if let Some(relay) = accounts.relay_if_any().await? {
        let horizon = config.parameters.mint_horizon.get();
        for record in accounts.deposits().await? {
            if record.payer == own && relay.is_record_closable(record.height.get(), horizon) {
                let outpoint = Outpoint {
                    txid: record.txid,
                    vout: record.vout.get(),
                };
                closable.push((
                    format!("close the record of height {}", record.height.get()),
                    program.close_deposit(own, &outpoint),
                ));
            }
        }
    }
    Ok(closable)
}
