//! `orcapool psbt ...`

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use bitcoin::Psbt;
use custody::fault::{self, Side};
use custody::journal::Journal;
use custody::payment::{Description, Known, Limits, MAX_PSBT_FILE, combine, describe, read_psbt};
use custody::{BitcoinView, K2View, Payment, Setup};

use super::session::Session;
use crate::cli::{CombinePsbtArgs, CustodyArgs, PsbtCommand, ShowPsbtArgs};
use crate::commands::output;

/// One byte more than `read_psbt` takes: a larger file is not read whole.
const MAX_FILE: u64 = MAX_PSBT_FILE as u64 + 1;

pub(crate) async fn run(common: &CustodyArgs, command: &PsbtCommand) -> anyhow::Result<ExitCode> {
    match command {
        PsbtCommand::Show(args) => show(common, args).await,
        PsbtCommand::Combine(args) => combine_files(common, args),
    }
}

async fn show(common: &CustodyArgs, args: &ShowPsbtArgs) -> anyhow::Result<ExitCode> {
    let psbt = read(&args.file)?;
    let session = Session::open(common)?;
    // A folder that was named must be there; the usual one may be missing.
    let has_wallet = common.wallet.is_some() || session.settings.dir.join("wallet.json").exists();
    if args.offline || !has_wallet {
        let description = describe(&psbt, session.settings.network, None);
        say(&description, session.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    let (watch, bitcoin, k2) = session.views().await?;
    let facts = Facts::read(&session, watch.setup(), bitcoin, k2)?;
    let description = describe(&psbt, session.settings.network, Some(&facts.known()));
    say(&description, session.json)?;
    Ok(match description.refused {
        None => ExitCode::SUCCESS,
        Some(_) => ExitCode::FAILURE,
    })
}

fn combine_files(common: &CustodyArgs, args: &CombinePsbtArgs) -> anyhow::Result<ExitCode> {
    let psbts = args
        .files
        .iter()
        .map(|file| read(file))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let combined = combine(&psbts)?;
    write(&args.out, &combined)?;
    if common.json {
        output::json(&serde_json::json!({
            "txid": combined.unsigned_tx.compute_txid(),
            "written": args.out,
        }))?;
    } else {
        output::line(&format!("wrote {}", args.out.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What a custodian knows, owned.
pub(super) struct Facts {
    setup: Setup,
    bitcoin: BitcoinView,
    k2: K2View,
    signed: Vec<Payment>,
    born: u32,
    pub(super) limits: Limits,
}

impl Facts {
    /// With the journal as it is. One that is missing would be born now, and `show` does not make one.
    fn read(
        session: &Session,
        setup: &Setup,
        bitcoin: BitcoinView,
        k2: K2View,
    ) -> anyhow::Result<Self> {
        let height = bitcoin.tip.max(k2.relay_tip);
        let (signed, born) = match Journal::open_existing(&session.settings.dir) {
            Ok(journal) => (journal.payments()?, journal.born()),
            Err(custody::journal::JournalError::Missing(_)) => (Vec::new(), height),
            Err(error) => return Err(error.into()),
        };
        Ok(Self {
            setup: setup.clone(),
            bitcoin,
            k2,
            signed,
            born,
            limits: limits(session),
        })
    }

    /// With a journal that is open.
    pub(super) fn with(
        session: &Session,
        setup: &Setup,
        bitcoin: BitcoinView,
        k2: K2View,
        journal: &Journal,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            setup: setup.clone(),
            bitcoin,
            k2,
            signed: journal.payments()?,
            born: journal.born(),
            limits: limits(session),
        })
    }

    /// As the rules take it.
    pub(super) const fn known(&self) -> Known<'_> {
        Known {
            setup: &self.setup,
            bitcoin: &self.bitcoin,
            k2: &self.k2,
            signed: self.signed.as_slice(),
            born: self.born,
            limits: &self.limits,
        }
    }
}

/// The custodian's own bounds.
pub(super) const fn limits(session: &Session) -> Limits {
    let settings = &session.settings;
    Limits {
        max_fee_rate: settings.max_fee_rate,
        max_fee: settings.max_fee,
        expiry_margin: settings.expiry_margin,
        unknown_cancel: false,
    }
}

/// Says what a transaction does.
pub(super) fn say(description: &Description, json: bool) -> anyhow::Result<()> {
    if json {
        return output::json(description);
    }
    Ok(output::line(&description.to_string())?)
}

/// Reads a PSBT file of either form.
pub(super) fn read(path: &Path) -> anyhow::Result<Psbt> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("{shown} cannot be read"))?;
    let mut content = Vec::new();
    file.take(MAX_FILE)
        .read_to_end(&mut content)
        .with_context(|| format!("{shown} cannot be read"))?;
    read_psbt(&content).with_context(|| shown.to_string())
}

/// Writes a PSBT file, binary, whole or not at all, and never over another one: it may hold the only signatures.
pub(super) fn write(path: &Path, psbt: &Psbt) -> anyhow::Result<()> {
    fault::around("psbt: write", || write_whole(path, psbt)).with_context(|| {
        let shown = path.display();
        format!("{shown} cannot be written, or is there already")
    })
}

fn write_whole(path: &Path, psbt: &Psbt) -> std::io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    // A file that was cut off would be in the way of the next attempt, because nothing is written over.
    let mut file = tempfile::Builder::new()
        .prefix(".psbt-")
        .tempfile_in(folder)?;
    file.write_all(&psbt.serialize())?;
    file.as_file().sync_all()?;
    fault::point(Side::Amid, "psbt: write");
    file.persist_noclobber(path)?;
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        // Some file systems cannot sync a folder.
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
        other => other,
    }
}
