//! `orcapool k2 propose`, `attest`, `finalize`, `veto`: reward roots.

use anyhow::{Context as _, bail};
use k2_interface::K2Address;
use k2_interface::instruction::RoundRoot;
use k2_interface::state::{Proposal, ProposalState};
use work::RoundNumber;

use super::session::Session;
use super::settlement;
use crate::cli::RoundArgs;

pub(super) async fn propose(session: &Session, args: &RoundArgs) -> anyhow::Result<()> {
    let keypair = session.keypair()?;
    let config = session.client.accounts().config().await?;
    let settlement = settlement::fetch(&args.node, args.round).await?;
    let root = settlement::round_root(&settlement, session.program().id(), config.rewards.root)?;
    let Some(root) = root else {
        return session.say(&format!(
            "round {}: nobody has earned a claimable amount yet; there is nothing to propose",
            args.round
        ));
    };
    let instruction = session.program().propose_round(keypair.address(), root);
    session
        .act(
            &format!("propose round {}", args.round),
            [instruction],
            &[&keypair],
        )
        .await
}

pub(super) async fn attest(session: &Session, args: &RoundArgs) -> anyhow::Result<()> {
    let keypair = session.keypair()?;
    let accounts = session.client.accounts();
    let proposals = open(session, args.round).await?;
    let settlement = settlement::fetch(&args.node, args.round).await?;
    let own = settlement::round_root(
        &settlement,
        session.program().id(),
        accounts.config().await?.rewards.root,
    )?
    .with_context(|| {
        format!(
            "round {}: by this node's computation nobody has earned yet, but a root is proposed: do not attest it",
            args.round
        )
    })?;
    let Some(proposal) = proposals.iter().find(|proposal| says(proposal, &own)) else {
        let list: Vec<String> = proposals.iter().map(|p| difference(p, &own)).collect();
        bail!(
            "round {}: no proposal is what this node computed:\n{}",
            args.round,
            list.join("\n")
        );
    };
    let instruction = session
        .program()
        .attest_round(keypair.address(), proposal.proposer, own);
    session
        .act(
            &format!("attest round {} of {}", args.round, proposal.proposer),
            [instruction],
            &[&keypair],
        )
        .await
}

pub(super) async fn finalize(session: &Session, round: RoundNumber) -> anyhow::Result<()> {
    let keypair = session.keypair()?;
    let proposals = open(session, round).await?;
    let best = proposals
        .iter()
        .max_by_key(|proposal| proposal.votes.get().count_ones())
        .context("no proposal")?;
    let instruction = session.program().finalize_round(round.get(), best.proposer);
    session
        .act(
            &format!("finalize round {round} of {}", best.proposer),
            [instruction],
            &[&keypair],
        )
        .await
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
    session
        .act(
            &format!("veto round {round} of {proposer}"),
            [instruction],
            &[&keypair],
        )
        .await
}

/// The round's proposals that are neither finalized nor vetoed.
async fn open(session: &Session, round: RoundNumber) -> anyhow::Result<Vec<Proposal>> {
    let proposals = session.client.accounts().proposals(round.get()).await?;
    let open: Vec<Proposal> = proposals
        .into_iter()
        .map(|(_, proposal)| proposal)
        .filter(|proposal| proposal.state == ProposalState::Open as u8)
        .collect();
    if open.is_empty() {
        bail!(
            "round {round}: nothing is proposed (`orcapool k2 propose`), or it is finalized already"
        );
    }
    Ok(open)
}

/// Whether a proposal says exactly what was computed.
pub(super) fn says(proposal: &Proposal, own: &RoundRoot) -> bool {
    proposal.round.get() == own.round
        && proposal.root == own.root
        && proposal.previous_root == own.previous_root
        && proposal.list == own.list
        && proposal.total.get() == own.total
        && proposal.leaf_count.get() == own.leaf_count
}

/// What a proposal says otherwise, for whoever has to find out why.
fn difference(proposal: &Proposal, own: &RoundRoot) -> String {
    let mut differs = Vec::new();
    if proposal.previous_root != own.previous_root {
        differs.push("it builds on another root than the one finalized last".to_owned());
    }
    if proposal.root != own.root || proposal.list != own.list {
        differs.push("another list".to_owned());
    }
    if proposal.total.get() != own.total {
        differs.push(format!(
            "total {} instead of {}",
            proposal.total.get(),
            own.total
        ));
    }
    if proposal.leaf_count.get() != own.leaf_count {
        differs.push(format!(
            "{} leaves instead of {}",
            proposal.leaf_count.get(),
            own.leaf_count
        ));
    }
    format!("  {}: {}", proposal.proposer, differs.join(", "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use k2_interface::K2Address;
    use k2_interface::instruction::RoundRoot;
    use k2_interface::state::{Kind, Proposal, create};

    use super::{difference, says};

    fn own() -> RoundRoot {
        RoundRoot {
            round: 7,
            root: [1; 32],
            previous_root: [2; 32],
            list: [3; 32],
            total: 500,
            leaf_count: 9,
        }
    }

    fn proposal(change: impl FnOnce(&mut Proposal)) -> Proposal {
        let mut bytes = [0; size_of::<Proposal>()];
        let proposal: &mut Proposal = create(&mut bytes, Kind::Proposal, 255).unwrap();
        let own = own();
        proposal.round = own.round.into();
        proposal.proposer = K2Address::from_bytes([4; 32]);
        proposal.root = own.root;
        proposal.previous_root = own.previous_root;
        proposal.list = own.list;
        proposal.total = own.total.into();
        proposal.leaf_count = own.leaf_count.into();
        change(proposal);
        *proposal
    }

    /// An operator signs only what it computed itself, to the last field.
    #[test]
    fn nothing_else_is_attested() {
        assert!(says(&proposal(|_| {}), &own()));
        let others: [fn(&mut Proposal); 6] = [
            |p| p.round = 8.into(),
            |p| p.root = [9; 32],
            |p| p.previous_root = [9; 32],
            |p| p.list = [9; 32],
            |p| p.total = 501.into(),
            |p| p.leaf_count = 10.into(),
        ];
        for other in others {
            assert!(!says(&proposal(other), &own()));
        }
        let text = difference(&proposal(|p| p.total = 501.into()), &own());
        assert!(text.ends_with(": total 501 instead of 500"), "{text}");
    }
}
