//! `orcapool k2 propose`, `attest`, `finalize`, `veto`: reward roots.

use k2_client::rounds::{Root, Rounds};
use k2_interface::K2Address;
use work::RoundNumber;

use super::session::Session;
use super::settlement;
use crate::cli::RoundArgs;

pub(super) async fn propose(session: &Session, args: &RoundArgs) -> anyhow::Result<()> {
    let keypair = session.keypair()?;
    let Some(root) = computed(session, args).await? else {
        return Ok(());
    };
    let draft = Rounds::new(&session.client)
        .propose_draft(keypair.address(), &root)
        .await?;
    let action = format!("propose round {}", args.round);
    session.act(&action, draft.instructions, &[&keypair]).await
}

/// Attests every open proposal that is what the own node computed, and no other.
pub(super) async fn attest(session: &Session, args: &RoundArgs) -> anyhow::Result<()> {
    let keypair = session.keypair()?;
    let Some(root) = computed(session, args).await? else {
        return Ok(());
    };
    let rounds = Rounds::new(&session.client);
    let action = format!("attest round {}", args.round);
    if session.dry_run() {
        let statuses = rounds.status(args.round.get()).await?;
        if statuses.is_empty() {
            return session.say(&format!("{action}: nobody has proposed it"));
        }
        for status in statuses {
            let proposer = status.proposal.proposer;
            let draft = rounds
                .attest_draft(keypair.address(), proposer, &root)
                .await?;
            session
                .preview(&format!("{action} of {proposer}"), &draft)
                .await?;
        }
        return Ok(());
    }
    let attested = rounds.attest(&keypair, &root).await?;
    if attested.is_empty() {
        return session.say(&format!("{action}: already done"));
    }
    for (proposer, confirmed) in attested {
        session.done(&format!("{action} of {proposer}"), &confirmed)?;
    }
    Ok(())
}

pub(super) async fn finalize(session: &Session, round: RoundNumber) -> anyhow::Result<()> {
    let keypair = session.keypair()?;
    let rounds = Rounds::new(&session.client);
    let action = format!("finalize round {round}");
    if session.dry_run() {
        let statuses = rounds.status(round.get()).await?;
        if statuses.is_empty() {
            return session.say(&format!("{action}: nobody has proposed it"));
        }
        for status in statuses {
            let proposer = status.proposal.proposer;
            let draft = rounds.finalize_draft(keypair.address(), round.get(), proposer);
            session
                .preview(&format!("{action} of {proposer}"), &draft)
                .await?;
        }
        return Ok(());
    }
    match rounds.finalize(&keypair, round.get()).await? {
        Some(confirmed) => session.done(&action, &confirmed),
        None => session.say(&format!("{action}: already done")),
    }
}

pub(super) async fn veto(
    session: &Session,
    round: RoundNumber,
    proposer: K2Address,
) -> anyhow::Result<()> {
    let keypair = session.keypair()?;
    let instruction = session
        .program()
        .veto_round(keypair.address(), round.get(), proposer);
    let action = format!("veto round {round} of {proposer}");
    session.act(&action, [instruction], &[&keypair]).await
}

/// What the own node computed; `None`, and a word about it, where there is nothing to put in force yet.
async fn computed(session: &Session, args: &RoundArgs) -> anyhow::Result<Option<Root>> {
    let settlement = settlement::fetch(&args.node, args.round).await?;
    let root = settlement::root(&settlement, session.program().id())?;
    if root.is_none() {
        session.say(&format!(
            "round {}: nobody has earned a claimable amount yet; there is nothing to put in force",
            args.round
        ))?;
    }
    Ok(root)
}
