//! `orcapool wallet ...`

use std::io::Read as _;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use custody::journal::Journal;
use custody::watch::{Synced, WalletEvent, Watch};
use custody::{Cosigner, Setup};

use super::session::{Session, blocking};
use super::wallet_text::{self as text, WalletInfo};
use crate::cli::{CreateWalletArgs, CustodyArgs, ReadWalletArgs, WalletCommand};
use crate::commands::output;

/// How far back a new wallet looks: custodians may make theirs on different days, and the pool may mine before the last one
/// did. Two weeks of blocks.
const LOOK_BACK: u32 = 2016;
/// The longest key file that is read, in bytes.
const MAX_KEY_FILE: u64 = 64 * 1024;

pub(crate) async fn run(common: &CustodyArgs, command: &WalletCommand) -> anyhow::Result<ExitCode> {
    let session = Session::open(common)?;
    match command {
        WalletCommand::Create(args) => create(&session, args).await?,
        WalletCommand::Restore {
            descriptor,
            birthday,
        } => {
            let setup = Setup::parse(session.settings.network, descriptor)?;
            make(&session, setup, *birthday).await?;
        }
        WalletCommand::Sync => {
            let (watch, synced) = session.sync(session.watch().await?).await?;
            say_synced(&session, &watch, &synced)?;
        }
        WalletCommand::Show => show(&session, &session.watch().await?)?,
        WalletCommand::Address => {
            let info = WalletInfo::of(&session.watch().await?)?;
            if session.json {
                output::json(&info.coinbase)?;
            } else {
                output::line(&info.coinbase.address)?;
            }
        }
        WalletCommand::Balance(args) => {
            let watch = read(&session, args).await?;
            let balances = text::BalancesView::of(&watch);
            if session.json {
                output::json(&balances)?;
            } else {
                output::line(&balances.text())?;
            }
        }
        WalletCommand::History(args) => {
            let watch = read(&session, args).await?;
            let entries = watch.history().into_iter().map(text::EntryView::from);
            list(&session, entries, text::history, "no transactions yet")?;
        }
        WalletCommand::Utxos(args) => {
            let watch = read(&session, args).await?;
            let coins = watch.utxos().into_iter();
            let coins = coins.map(|utxo| text::UtxoView::of(&utxo, watch.tip().height));
            list(&session, coins, text::utxos, "no coins")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn create(session: &Session, args: &CreateWalletArgs) -> anyhow::Result<()> {
    let network = session.settings.network;
    let setup = match (&args.single, &args.multisig) {
        (Some(key), _) => Setup::single(network, &cosigner(key, "single")?)?,
        (None, Some(values)) => {
            let (threshold, keys) = values
                .split_first()
                .context("--multisig takes the number of signatures, then the keys")?;
            let threshold = threshold.parse().with_context(|| {
                format!(
                    "--multisig takes the number of signatures first, such as `--multisig 2 @alice.pub @bob.pub \
                     @carol.pub`; \"{threshold}\" is no number"
                )
            })?;
            let keys = keys
                .iter()
                .map(|key| cosigner(key, "multisig"))
                .collect::<anyhow::Result<Vec<_>>>()?;
            Setup::multisig(network, threshold, &keys)?
        }
        (None, None) => bail!("give --single or --multisig"),
    };
    let birthday = match args.birthday {
        Some(birthday) => birthday,
        None => session
            .height()
            .await
            .context("the wallet's birthday could not be asked for: give --birthday, a block before its first coinbase")?
            .saturating_sub(LOOK_BACK),
    };
    make(session, setup, birthday).await
}

async fn make(session: &Session, setup: Setup, birthday: u32) -> anyhow::Result<()> {
    let dir = session.settings.dir.clone();
    let height = session.height().await;
    let watch = blocking(move || {
        let watch = Watch::create(&dir, &setup, birthday)?;
        match height {
            // What is requested later cannot have been signed before, so it needs no fence.
            Ok(height) => drop(Journal::open(watch.dir().path(), height)?),
            Err(error) => tracing::warn!(
                "no Bitcoin node answers ({error:#}): the journal begins when the wallet is used first"
            ),
        }
        anyhow::Ok(watch)
    })
    .await?;
    show(session, &watch)
}

fn show(session: &Session, watch: &Watch) -> anyhow::Result<()> {
    let info = WalletInfo::of(watch)?;
    if session.json {
        output::json(&info)
    } else {
        Ok(output::line(&info.text())?)
    }
}

async fn read(session: &Session, args: &ReadWalletArgs) -> anyhow::Result<Watch> {
    let watch = session.watch().await?;
    if args.offline {
        return Ok(watch);
    }
    Ok(session.sync(watch).await?.0)
}

/// One object a line, or a table.
fn list<T: serde::Serialize>(
    session: &Session,
    rows: impl Iterator<Item = T>,
    table: impl Fn(&[T]) -> String,
    none: &str,
) -> anyhow::Result<()> {
    let rows: Vec<T> = rows.collect();
    if session.json {
        return rows.iter().try_for_each(output::json);
    }
    if rows.is_empty() {
        return Ok(output::line(none)?);
    }
    Ok(output::line(&table(&rows))?)
}

fn say_synced(session: &Session, watch: &Watch, synced: &Synced) -> anyhow::Result<()> {
    if session.json {
        return output::json(&text::SyncedView::of(watch, synced));
    }
    for event in &synced.events {
        if !matches!(event, WalletEvent::Tip { .. }) {
            output::line(&text::event(event))?;
        }
    }
    Ok(output::line(&format!(
        "at block {} ({}), {} new",
        synced.tip.height, synced.tip.hash, synced.blocks
    ))?)
}

/// An xpub with its origin, or a file that holds one. `purpose` is what a key file calls the account.
fn cosigner(given: &str, purpose: &str) -> anyhow::Result<Cosigner> {
    let Some(path) = given.strip_prefix('@') else {
        return Ok(given.parse()?);
    };
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_KEY_FILE).read_to_string(&mut text))
        .with_context(|| format!("cannot read {path}"))?;
    // A key file is JSON, and its open part names both accounts; anything else is the key itself.
    let key = match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(file) => file
            .get(purpose)
            .and_then(|key| key.as_str())
            .with_context(|| format!("{path} names no key for a {purpose} wallet"))?
            .to_owned(),
        Err(_) => text.trim().to_owned(),
    };
    key.parse().with_context(|| format!("the key in {path}"))
}
