//! `orcapool books ...`

use std::process::ExitCode;

use anyhow::Context as _;
use bitcoin::{OutPoint, ScriptBuf};
use custody::K2View;
use custody::books::{Account, BooksFile, Check, Facts, K2Sums, Transactions, check, planned};
use custody::journal::{Journal, JournalError};
use custody::view::{BitcoinView, Payment};

use super::books_text::{self as text, CheckView, LineView};
use super::k2_sums::k2_sums;
use super::session::{Session, blocking};
use crate::cli::{BooksCommand, CustodyArgs, ReadBooksArgs};
use crate::commands::output;

pub(crate) async fn run(common: &CustodyArgs, command: &BooksCommand) -> anyhow::Result<ExitCode> {
    let session = Session::open(common)?;
    match command {
        BooksCommand::Show(args) => {
            let file = read(&session, args).await?;
            if session.json {
                for account in text::accounts(file.books()) {
                    output::json(&account)?;
                }
            } else {
                output::line(&text::balances(file.books(), file.looked()))?;
            }
        }
        BooksCommand::Entries {
            from,
            account,
            read: args,
        } => {
            let account = account.as_deref().map(named).transpose()?;
            let file = read(&session, args).await?;
            for line in file.lines(*from, account)? {
                if session.json {
                    output::json(&LineView::of(&line))?;
                } else {
                    output::line(&text::entry(&line.entry)?)?;
                }
            }
        }
        BooksCommand::Check => {
            let (_, checks) = update(&session).await?;
            for check in &checks {
                if session.json {
                    output::json(&CheckView::from(check))?;
                } else {
                    output::line(&text::check(check))?;
                }
            }
            if !checks.iter().all(Check::holds) {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn named(name: &str) -> anyhow::Result<Account> {
    Account::named(name).with_context(|| {
        let names: Vec<_> = Account::ALL.iter().map(|account| account.name()).collect();
        format!(
            "there is no account \"{name}\"; there are {}",
            names.join(", ")
        )
    })
}

async fn read(session: &Session, args: &ReadBooksArgs) -> anyhow::Result<BooksFile> {
    if !args.offline {
        return Ok(update(session).await?.0);
    }
    // Opening the wallet takes its folder's lock.
    let watch = session.watch().await?;
    blocking(move || BooksFile::open(watch.dir().path())).await
}

/// What the books are held against, owned.
struct Known {
    script: ScriptBuf,
    bitcoin: BitcoinView,
    transactions: Transactions,
    k2: K2View,
    sums: K2Sums,
    planned: Vec<Payment>,
    confirmations: u32,
}

impl Known {
    fn facts(&self) -> Facts<'_> {
        Facts {
            coinbase_script: &self.script,
            bitcoin: &self.bitcoin,
            transactions: &self.transactions,
            k2: &self.k2,
            sums: &self.sums,
            planned: &self.planned,
            confirmations: self.confirmations,
        }
    }
}

/// What the coordinator does with the books after each turn. Payouts never wait for them: whatever is wrong is said, and done
/// again after the next turn.
pub(super) async fn keep(session: &Session) {
    match update(session).await {
        Ok((_, checks)) => {
            for check in checks.iter().filter(|check| !check.holds()) {
                tracing::warn!("the books do not agree: {}", text::check(check));
            }
        }
        Err(error) => tracing::warn!("the books are not up to date: {error:#}"),
    }
}

/// Brings the books up to date with node and K2, and checks them.
pub(super) async fn update(session: &Session) -> anyhow::Result<(BooksFile, Vec<Check>)> {
    let (watch, _) = session.sync(session.watch().await?).await?;
    let script = watch.setup().coinbase_script()?;
    let transactions = watch.transactions();
    let coinbases: Vec<OutPoint> = transactions
        .iter()
        .filter(|(_, seen)| seen.transaction.is_coinbase())
        .flat_map(|(txid, seen)| {
            let outputs = (0..).zip(&seen.transaction.output);
            let own = outputs.filter(|(_, output)| output.script_pubkey == script);
            own.map(|(vout, _)| OutPoint::new(*txid, vout))
        })
        .collect();
    let (k2, sums) = k2_sums(&session.client()?, session.settings.network, &coinbases)
        .await
        .context("K2 could not be read")?;
    let confirmations = session.settings.confirmations;
    blocking(move || {
        let dir = watch.dir().path();
        let planned = match Journal::open_existing(dir) {
            Ok(journal) => planned(&journal)?,
            // Nothing was ever planned or signed here.
            Err(JournalError::Missing(_)) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let known = Known {
            script,
            bitcoin: watch.view(),
            transactions,
            k2,
            sums,
            planned,
            confirmations,
        };
        let mut file = BooksFile::open(dir)?;
        file.update(&known.facts())?;
        let checks = check(file.books(), &known.facts());
        Ok::<_, anyhow::Error>((file, checks))
    })
    .await
}
