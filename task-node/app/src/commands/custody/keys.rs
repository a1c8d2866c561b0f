//! `orcapool keys ...`

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use bitcoin::{Network, NetworkKind};
use clap::ValueEnum as _;
use custody::Setup;
use custody::keys::{CustodianKey, KeyFile, KeyInfo, Purpose};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::secrets::{self, Protect};
use crate::cli::{
    CustodyArgs, ExportKeyArgs, KeyNetwork, KeysCommand, NewKeyArgs, RotateKeyArgs, ShowKeyArgs,
};
use crate::commands::output;
use crate::config::load;

#[expect(clippy::unused_async, reason = "other commands wait")]
pub(crate) async fn run(common: &CustodyArgs, command: &KeysCommand) -> anyhow::Result<ExitCode> {
    match command {
        KeysCommand::New { args, show_words } => {
            let key = generate(network(common, args)?)?;
            make(common, args, &key)?;
            show_new_words(common, &key, &args.out, *show_words)?;
        }
        KeysCommand::Import(args) => {
            let network = network(common, args)?;
            refuse_existing(&args.out)?;
            make(
                common,
                args,
                &CustodianKey::import(network, &secrets::words()?)?,
            )?;
        }
        KeysCommand::Show(args) => show(common, args)?,
        KeysCommand::Rotate(args) => rotate(common, args)?,
        KeysCommand::Export(args) => return export(common, args),
    }
    Ok(ExitCode::SUCCESS)
}

/// Encrypts a key to a new file.
fn make(common: &CustodyArgs, args: &NewKeyArgs, key: &CustodianKey) -> anyhow::Result<()> {
    refuse_existing(&args.out)?;
    let protection = Protect {
        passphrase_file: args.passphrase_file.as_deref(),
        recipients: &args.recipient,
        allow_weak: args.allow_weak,
        flag: "--passphrase-file or --recipient",
    };
    let file = key.seal(&protection.protection()?, &args.label, now()?)?;
    file.create(&args.out)?;
    report(common, &args.out, &file, vec![])
}

/// Before anybody types words or thinks of a passphrase; what counts is that the file is created, never overwritten.
fn refuse_existing(path: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(
        !path.exists(),
        "{} exists; keys are never overwritten, choose another name",
        path.display()
    );
    Ok(())
}

fn show(common: &CustodyArgs, args: &ShowKeyArgs) -> anyhow::Result<()> {
    let file = KeyFile::read(&args.file)?;
    if args.open {
        file.open(&secrets::unlock(&args.unlock, &file)?)?;
    }
    let opened = ("opened", args.open.into());
    report(common, &args.file, &file, vec![opened])?;
    if !common.json && !args.open {
        output::line("not opened: --open makes sure that the key in the file is this one")?;
    }
    Ok(())
}

fn rotate(common: &CustodyArgs, args: &RotateKeyArgs) -> anyhow::Result<()> {
    let old = KeyFile::read(&args.file)?;
    // Whoever cannot open the old key cannot sign the sweep to the new one.
    let old_key = old.open(&secrets::unlock(&args.unlock, &old)?)?;
    let protection = Protect {
        passphrase_file: args.new_passphrase_file.as_deref(),
        recipients: &args.recipient,
        allow_weak: args.allow_weak,
        flag: "--new-passphrase-file or --recipient",
    }
    .protection()?;
    let info = old.info();
    if args.passphrase {
        let file = old_key.seal(&protection, &info.label, info.created)?;
        file.reseal(&args.file)?;
        return report(common, &args.file, &file, vec![]);
    }
    let key = generate(info.network)?;
    let file = key.seal(&protection, &info.label, now()?)?;
    let retired = file.rotate(&args.file)?;
    let retired = retired.display().to_string();
    report(common, &args.file, &file, vec![("retired", retired.into())])?;
    if !common.json {
        output::line("the retired key is needed until its wallet is swept and empty: keep it")?;
    }
    show_new_words(common, &key, &args.file, args.show_words)
}

fn export(common: &CustodyArgs, args: &ExportKeyArgs) -> anyhow::Result<ExitCode> {
    let file = KeyFile::read(&args.file)?;
    let info = file.info();
    if args.words {
        let question = format!(
            "The words of key {} will be shown; whoever sees them has the key.",
            info.fingerprint()
        );
        if !args.yes && !secrets::confirm(&question)? {
            return Ok(ExitCode::from(1));
        }
        let key = file.open(&secrets::unlock(&args.unlock, &file)?)?;
        print_words(common, &key)?;
        return Ok(ExitCode::SUCCESS);
    }
    let (name, text) = if args.xpub {
        ("multisig", info.multisig.to_string())
    } else {
        // The text is the same on every test network.
        let network = match info.network {
            NetworkKind::Main => Network::Bitcoin,
            NetworkKind::Test => Network::Signet,
        };
        let setup = Setup::single(network, info.cosigner(Purpose::Single))?;
        ("descriptor", setup.to_string())
    };
    if common.json {
        output::json(&json!({ name: text }))?;
    } else {
        output::line(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn generate(network: NetworkKind) -> anyhow::Result<CustodianKey> {
    let mut entropy = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *entropy)
        .context("the operating system's random generator does not work")?;
    Ok(CustodianKey::generate(network, &entropy)?)
}

/// The open part of a key, with what the other custodians need first.
fn report(
    common: &CustodyArgs,
    path: &Path,
    file: &KeyFile,
    more: Vec<(&str, Value)>,
) -> anyhow::Result<()> {
    let KeyInfo {
        network,
        label,
        created,
        single,
        multisig,
    } = file.info();
    let fingerprint = file.info().fingerprint();
    let network = match network {
        NetworkKind::Main => "main",
        NetworkKind::Test => "test",
    };
    if common.json {
        let mut object = json!({
            "fingerprint": fingerprint.to_string(), "multisig": multisig.to_string(),
            "single": single.to_string(), "network": network, "label": label, "created": created,
            "file": path.display().to_string(),
        });
        for (name, value) in more {
            object[name] = value;
        }
        return output::json(&object);
    }
    let label = match label.as_str() {
        "" => "none",
        label => label,
    };
    output::line(&format!(
        "multisig     {multisig}\nfingerprint  {fingerprint}\nsingle-sig   {single}\nnetwork      {network}\n\
         label        {label}\ncreated      {created} (Unix seconds)\nfile         {}",
        path.display()
    ))?;
    for (name, value) in more {
        if let Value::String(value) = value {
            output::line(&format!("{name:<12} {value}"))?;
        }
    }
    Ok(())
}

/// Shows a new key's words where a person sees them, or where they were asked for.
fn show_new_words(
    common: &CustodyArgs,
    key: &CustodianKey,
    file: &Path,
    show: bool,
) -> anyhow::Result<()> {
    if show || (std::io::stdout().is_terminal() && !common.json) {
        if !common.json {
            output::line(
                "\nWrite these words on paper now, in this order; they are not shown again unasked:",
            )?;
        }
        return print_words(common, key);
    }
    let mut stderr = std::io::stderr().lock();
    writeln!(
        stderr,
        "the words for paper were not printed: orcapool keys export {} --words",
        file.display()
    )?;
    Ok(())
}

#[derive(serde::Serialize)]
struct Words<'a> {
    words: &'a str,
}

/// Four columns to copy from; as JSON, one line with all words.
fn print_words(common: &CustodyArgs, key: &CustodianKey) -> anyhow::Result<()> {
    let words = key.words();
    // Room for everything from the start: a text that grows leaves copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(1024));
    if common.json {
        serde_json::to_writer(&mut *text, &Words { words: &words })?;
    } else {
        for (index, word) in words.split(' ').enumerate() {
            let number = index + 1;
            match number % 4 {
                0 => writeln!(&mut *text, "{number:>2} {word}")?,
                _ => write!(&mut *text, "{number:>2} {word:<9} ")?,
            }
        }
    }
    Ok(output::line(std::str::from_utf8(&text)?)?)
}

fn network(common: &CustodyArgs, args: &NewKeyArgs) -> anyhow::Result<NetworkKind> {
    if let Some(network) = args.network {
        return Ok(network.into());
    }
    // Only this one value: a custodian's machine need not have a whole configuration.
    let config = &common.config;
    let raw = load(config.config.as_deref(), &config.assignments())
        .map_err(|error| anyhow::anyhow!("the configuration is wrong:\n{error}"))?;
    let name = raw.bitcoin.network;
    let network = KeyNetwork::from_str(&name, true).map_err(|_| {
        anyhow::anyhow!("bitcoin.network: `{name}` is none of mainnet, testnet4, signet, regtest")
    })?;
    Ok(network.into())
}

/// Unix seconds.
fn now() -> anyhow::Result<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Ok(since
        .context("this machine's clock stands before 1970")?
        .as_secs())
}
