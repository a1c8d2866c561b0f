//! `orcapool k2 admin ...`: what authority and guardian may do.

use anyhow::bail;
use k2_interface::K2Address;
use k2_interface::bitcoin::ScriptPubkey;
use k2_interface::state::{CustodyScripts, Pause};
use work::PayoutScript;

use super::session::Session;
use crate::cli::{AdminCommand, PauseArg};

pub(super) async fn run(session: &Session, command: &AdminCommand) -> anyhow::Result<()> {
    let keypair = session.keypair()?;
    let (own, program) = (keypair.address(), session.program());
    let (action, instruction) = match command {
        AdminCommand::Pause { what } => ("pause", program.pause(own, flags(what))),
        AdminCommand::Resume { what } => ("resume", program.resume(own, flags(what))),
        AdminCommand::Quorum { quorum } => ("quorum", program.set_quorum(own, *quorum)),
        AdminCommand::Guardian { key } => ("guardian", program.set_guardian(own, *key)),
        AdminCommand::Authority {
            propose: Some(next),
            ..
        } => ("propose authority", program.propose_authority(own, *next)),
        AdminCommand::Authority { accept: true, .. } => {
            ("accept authority", program.accept_authority(own))
        }
        AdminCommand::Authority { cancel: true, .. } => (
            "cancel authority",
            program.propose_authority(own, K2Address::from_bytes([0; 32])),
        ),
        AdminCommand::Custody {
            propose: Some(coinbase),
            deposits,
            ..
        } => {
            let scripts = CustodyScripts {
                coinbase: packed(session, coinbase)?,
                deposit: match deposits {
                    Some(text) => packed(session, text)?,
                    None => k2_client::NO_SCRIPT,
                },
            };
            ("propose custody", program.propose_custody(own, &scripts))
        }
        AdminCommand::Custody { activate: true, .. } => {
            ("activate custody", program.activate_custody())
        }
        AdminCommand::Custody { cancel: true, .. } => {
            ("cancel custody", program.cancel_custody(own))
        }
        AdminCommand::Authority { .. } => bail!("give --propose, --accept or --cancel"),
        AdminCommand::Custody { .. } => bail!("give --propose, --activate or --cancel"),
    };
    session.act(action, [instruction], &[&keypair]).await
}

/// An address or descriptor as the program keeps scripts.
pub(super) fn packed(
    session: &Session,
    text: &str,
) -> anyhow::Result<k2_interface::state::PackedScript> {
    let script = PayoutScript::parse(text, session.settings.network)?;
    Ok(ScriptPubkey::parse(script.as_script().as_bytes())?.to_packed())
}

fn flags(what: &[PauseArg]) -> u8 {
    what.iter().fold(0, |flags, what| {
        flags
            | match what {
                PauseArg::Mint => Pause::Mint,
                PauseArg::Rounds => Pause::Rounds,
                PauseArg::Claim => Pause::Claim,
                PauseArg::Redeem => Pause::Redeem,
            } as u8
    })
}
