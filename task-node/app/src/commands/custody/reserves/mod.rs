//! `orcapool reserves ...`

mod facts;
mod text;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use bitcoin::{Transaction, Txid};
use custody::keys::KeyFile;
use custody::reserves::chain::PublicChain;
use custody::reserves::{Draft, File, MAX_FILE, Own, review, verify};
use custody::watch::Source;
use custody::{BitcoinView, Setup};
use k2_client::{Accounts, Client, Commitment};

use super::secrets;
use super::session::{Session, blocking};
use crate::cli::{CustodyArgs, ReservesCommand, SignReservesArgs, VerifyReservesArgs};
use crate::commands::k2;

pub(crate) async fn run(
    common: &CustodyArgs,
    command: &ReservesCommand,
) -> anyhow::Result<ExitCode> {
    let session = Session::open(common)?;
    match command {
        ReservesCommand::Prove { out } => prove(&session, out).await,
        ReservesCommand::Sign(args) => sign(&session, args).await,
        ReservesCommand::Finish { files, out } => finish(&session, files, out),
        ReservesCommand::Verify(args) => verify_file(session, args).await,
    }
}

async fn prove(session: &Session, out: &Path) -> anyhow::Result<ExitCode> {
    refuse_existing(out)?;
    let client = session.client()?;
    let k2 = facts::k2(&client).await?;
    let relay_tip = relay_tip(&client).await?;
    let (watch, _) = session.sync(session.watch().await?).await?;
    let (view, tip) = (watch.view(), watch.tip());
    ensure!(
        tip.height >= relay_tip,
        "the wallet is at block {} and K2 has seen block {relay_tip}: coins that are minted already would be missing; wait \
         until the Bitcoin node has caught up",
        tip.height
    );
    let chain = facts::chain(session.settings.sources.clone()).await?;
    let payments = payments(chain, naming(&view)).await?;
    let statement = k2.statement(session.settings.network, (tip.height, tip.hash), &payments);
    let draft = Draft::new(statement, watch.setup(), &view)?;
    text::draft(session, "begun", &draft)?;
    write(out, &File::Draft(draft))?;
    session.say(&format!(
        "wrote {}; next, as many custodians as the wallet needs: orcapool reserves sign {} --key KEY --out FILE",
        out.display(),
        out.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

async fn sign(session: &Session, args: &SignReservesArgs) -> anyhow::Result<ExitCode> {
    refuse_existing(&args.out)?;
    let draft = match read(&args.file)? {
        Ok(File::Draft(draft)) => draft,
        Ok(File::Proof(_)) => bail!(
            "{} is finished: nothing is left to sign",
            args.file.display()
        ),
        Err(refused) => return no(session, &refused),
    };
    let key_file = KeyFile::read(&args.key)?;
    let k2 = facts::k2(&session.client()?).await?;
    let (watch, _) = session.sync(session.watch().await?).await?;
    let view = watch.view();
    let chain = facts::chain(session.settings.sources.clone()).await?;
    let statement = draft.claim().statement().clone();
    let wanted: Vec<_> = statement
        .paid
        .iter()
        .map(|paid| (paid.txid, paid.height))
        .collect();
    let (block, payments) = blocking(move || {
        let block = chain.hash_at(statement.height)?;
        anyhow::Ok((block, chain.transactions(&wanted)?))
    })
    .await?;
    let own = Own {
        setup: watch.setup(),
        bitcoin: &view,
        block,
        k2: &k2,
        payments: &payments,
    };
    let reviewed = match review(&draft, &own) {
        Ok(reviewed) => reviewed,
        Err(refusal) => return no(session, &refusal.to_string()),
    };
    text::draft(session, "reviewed", &draft)?;
    if !args.yes && !secrets::confirm("Sign this proof of reserves? It pays nobody.")? {
        return no(session, "not signed");
    }
    let key = key_file.open(&secrets::unlock(&args.unlock, &key_file)?)?;
    let (signed, signatures) = reviewed.sign(&key)?;
    if signatures == 0 {
        let fingerprint = key.fingerprint();
        return no(
            session,
            &format!("key {fingerprint} is none of this wallet's: nothing was signed"),
        );
    }
    write(&args.out, &File::Draft(signed))?;
    session.say(&format!(
        "wrote {} with {signatures} signatures of key {}",
        args.out.display(),
        key.fingerprint()
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn finish(session: &Session, files: &[std::path::PathBuf], out: &Path) -> anyhow::Result<ExitCode> {
    refuse_existing(out)?;
    let mut drafts = Vec::with_capacity(files.len());
    for path in files {
        match read(path)? {
            Ok(File::Draft(draft)) => drafts.push(draft),
            Ok(File::Proof(_)) => bail!("{} is finished already", path.display()),
            Err(refused) => return no(session, &format!("{}: {refused}", path.display())),
        }
    }
    match Draft::finish(drafts) {
        Ok(proof) => write(out, &File::Proof(proof))?,
        Err(error) => return no(session, &error.to_string()),
    }
    session.say(&format!(
        "wrote {}: publish it; anybody checks it with `orcapool reserves verify {}`",
        out.display(),
        out.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

async fn verify_file(mut session: Session, args: &VerifyReservesArgs) -> anyhow::Result<ExitCode> {
    let proof = match read(&args.file)? {
        Ok(File::Proof(proof)) => proof,
        Ok(File::Draft(_)) => {
            return text::refused(
                &session,
                "it is a draft: the custodians have not all signed",
            );
        }
        Err(refused) => return text::refused(&session, &refused),
    };
    if !args.rpc.is_empty() {
        session.k2.rpc.clone_from(&args.rpc);
    }
    if let Some(program) = args.program {
        session.k2.program = program;
    }
    // The proof's own word on which pool it is of is not taken.
    let client = k2::client(&session.k2)?;
    let network = proof.claim().statement().bitcoin;
    let setup = match &args.descriptor {
        Some(descriptor) => Some(Setup::parse(network, descriptor)?),
        None => None,
    };
    let sources = match &args.esplora {
        Some(url) => vec![Source::Esplora { url: url.clone() }],
        None => session.settings.sources.clone(),
    };
    // K2 before the chain: what was owed is held against what was there a moment later, never the other way round.
    let k2 = facts::k2(&client).await?;
    let chain = facts::chain(sources).await?;
    let claim = proof.claim().clone();
    let facts = blocking(move || chain.facts(&claim)).await?;
    match verify(&proof, &facts, &k2, setup.as_ref()) {
        Ok(report) => text::report(&session, &proof, &report, (facts.tip, k2.slot), args.then),
        Err(error) if error.is_refusal() => text::refused(&session, &error.to_string()),
        Err(error) => Err(error.into()),
    }
}

/// The wallet's confirmed transactions that name redemptions.
fn naming(view: &BitcoinView) -> Vec<(Txid, u32)> {
    view.payments
        .iter()
        .filter_map(|payment| Some((payment.txid, payment.height?)))
        .collect()
}

async fn payments(
    chain: PublicChain,
    wanted: Vec<(Txid, u32)>,
) -> anyhow::Result<BTreeMap<Txid, (Transaction, u32)>> {
    blocking(move || chain.transactions(&wanted)).await
}

async fn relay_tip(client: &Client) -> anyhow::Result<u32> {
    let accounts = Accounts::new(client.k2(), client.program(), Commitment::Finalized);
    let relay = accounts.relay_if_any().await?;
    Ok(relay.map_or(0, |relay| relay.tip_height.get()))
}

/// The answer is "no".
fn no(session: &Session, why: &str) -> anyhow::Result<ExitCode> {
    session.say(&format!("refused: {why}"))?;
    Ok(ExitCode::from(1))
}

/// A file's content; the inner error is what is wrong with it.
fn read(path: &Path) -> anyhow::Result<Result<File, String>> {
    let mut bytes = Vec::new();
    // One byte more than is allowed, so that it is noticed.
    let limit = u64::try_from(MAX_FILE)?.saturating_add(1);
    std::fs::File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .with_context(|| format!("cannot read {}", path.display()))?;
    Ok(File::parse(&bytes).map_err(|error| error.to_string()))
}

/// Before a node is asked for minutes; what counts is that the file is created, never overwritten.
fn refuse_existing(path: &Path) -> anyhow::Result<()> {
    ensure!(
        !path.exists(),
        "{} exists; nothing is overwritten, choose another name",
        path.display()
    );
    Ok(())
}

fn write(path: &Path, file: &File) -> anyhow::Result<()> {
    let bytes = file.encode()?;
    std::fs::File::create_new(path)
        .and_then(|mut file| {
            file.write_all(&bytes)?;
            file.sync_all()
        })
        .with_context(|| format!("cannot write {}", path.display()))
}
