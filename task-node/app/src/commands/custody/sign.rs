//! `orcapool sign`: what a custodian does, in this order, so that no signature exists that its journal does not know.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use bitcoin::{Address, Network, Script};
use custody::Setup;
use custody::journal::Journal;
use custody::keys::{CustodianKey, KeyFile};
use custody::payment::{External, Purpose, Signer, describe, review, sign};

use super::psbt::{Facts, read, say, write};
use super::secrets::{confirm, unlock};
use super::session::{Session, blocking};
use crate::cli::SignArgs;
use crate::commands::output;

pub(crate) async fn run(args: &SignArgs) -> anyhow::Result<ExitCode> {
    let psbt = read(&args.file)?;
    let session = Session::open(&args.common)?;
    let out = out(args)?;
    let (watch, bitcoin, k2) = session.views().await?;
    let height = bitcoin.tip.max(k2.relay_tip);
    let mut journal = Journal::open(watch.dir().path(), height)?;
    journal.see(k2.slot)?;
    let mut facts = Facts::with(&session, watch.setup(), bitcoin, k2, &journal)?;
    facts.limits.unknown_cancel = args.unknown_cancel;
    let known = facts.known();
    say(
        &describe(&psbt, session.settings.network, Some(&known)),
        session.json,
    )?;
    let reviewed = match review(&psbt, &known) {
        Ok(reviewed) => reviewed,
        Err(refused) => {
            if !session.json {
                output::line(&format!("not signed: {refused}"))?;
            }
            return Ok(ExitCode::FAILURE);
        }
    };
    if let Purpose::Sweep { to, .. } = reviewed.purpose() {
        let network = session.settings.network;
        if let Err(reason) = check_sweep(to, watch.setup(), network, args.sweep_to.as_deref()) {
            session.say(&format!("not signed: {reason:#}"))?;
            return Ok(ExitCode::FAILURE);
        }
    }
    let question = match args.external {
        false => "Sign this?",
        true => "Hand this out to be signed?",
    };
    if !args.yes && !confirm(question)? {
        session.say("not signed: you said no")?;
        return Ok(ExitCode::FAILURE);
    }
    // Opened before anything is written down: a wrong passphrase leaves no trace.
    let signer: Box<dyn Signer> = match &args.key {
        Some(path) => {
            let key = key(args, path).await?;
            let mut cosigners = watch.setup().cosigners().iter();
            anyhow::ensure!(
                cosigners.any(|cosigner| cosigner.fingerprint == key.fingerprint()),
                "the key {} is not one of this wallet's: which key file, or which wallet's folder, is the right one?",
                key.fingerprint()
            );
            Box::new(key)
        }
        None => Box::new(External),
    };
    let intended = reviewed.intend(|payment, cost| journal.record_signed(payment, cost))?;
    let signed = sign(&intended, signer.as_ref())?;
    write(&out, &signed)?;
    if session.json {
        return output::json(&serde_json::json!({
            "txid": intended.reviewed().txid(),
            "written": out,
            "signed": !args.external,
        }))
        .map(|()| ExitCode::SUCCESS);
    }
    let what = match args.external {
        false => "signed: send it to the coordinator",
        true => "unsigned: let your hardware wallet sign it and send the result to the coordinator",
    };
    output::line(&format!("wrote {}, {what}", out.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// K2 registers what its authority announced; whether that is the wallet this custodian means, only he can say.
fn check_sweep(
    to: &Script,
    own: &Setup,
    network: Network,
    wanted: Option<&str>,
) -> anyhow::Result<()> {
    if own.coinbase_script()?.as_script() == to {
        return Ok(());
    }
    let wanted = wanted.context(
        "this sweep leaves the wallet: say where it must go with --sweep-to ADDRESS, the first address of the next wallet by \
         your own `orcapool wallet show`",
    )?;
    let wanted: Address<_> = wanted.parse().context("--sweep-to is no Bitcoin address")?;
    let wanted = wanted
        .require_network(network)
        .context("--sweep-to is an address of another network")?;
    anyhow::ensure!(
        wanted.script_pubkey().as_script() == to,
        "it goes to the script {to:x}, which is not the one of {wanted}"
    );
    Ok(())
}

async fn key(args: &SignArgs, path: &Path) -> anyhow::Result<CustodianKey> {
    let file = KeyFile::read(path)?;
    let unlock = unlock(&args.unlock, &file)?;
    // Scrypt takes a second on purpose.
    blocking(move || file.open(&unlock)).await
}

/// Where the result goes. Known before anything is done, because it is refused where a file is there.
fn out(args: &SignArgs) -> anyhow::Result<PathBuf> {
    let out = match (&args.out, &args.key) {
        (Some(out), _) => out.clone(),
        (None, Some(key)) => {
            let info = KeyFile::read(key)?;
            let fingerprint = info.info().fingerprint();
            args.file.with_extension(format!("{fingerprint}.psbt"))
        }
        (None, None) => args.file.with_extension("reviewed.psbt"),
    };
    anyhow::ensure!(
        !out.exists(),
        "{} is there already: give another -o",
        out.display()
    );
    out.file_name().context("-o must name a file")?;
    Ok(out)
}
