//! `orcapool payout ...`: the coordinator.
//!
//! | file | responsibility |
//! |---|---|
//! | `turn` | one turn: views, signed files, what is to be done, the single-sig key |
//! | `outside` | files and nodes, as the coordinator reaches them |
//! | `folders` | outbox and inbox |
//! | `settle` | shows K2 what Bitcoin confirmed |
//! | `text` | what happened, in words |
//!
//! A command opens the wallet's folder, which is locked meanwhile, and closes it again: `run` does so for each turn, so that
//! others can be used beside it.

mod folders;
mod outside;
mod settle;
mod text;
mod turn;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bitcoin::{Address, FeeRate, ScriptBuf};
use custody::coordinator::{Done, Role, Submitted};
use custody::journal::{BatchId, Journal};
use custody::{K2View, Setup};

use super::books;
use super::session::{Session, blocking};
use crate::cli::{CustodyArgs, PayoutCommand, TurnArgs};
use crate::commands::output;
use settle::Settling;
use turn::{Desk, OwnKey};

pub(crate) async fn run(common: &CustodyArgs, command: &PayoutCommand) -> anyhow::Result<ExitCode> {
    let session = Session::open(common)?;
    match command {
        PayoutCommand::Run { turn, every } => {
            let shift = Shift::coordinator(&session, turn)?;
            shift.keep(&session, Duration::from_secs(*every)).await
        }
        PayoutCommand::Once { turn } => {
            let shift = Shift::coordinator(&session, turn)?;
            Ok(is_well(&shift.turn(&session, &[]).await?))
        }
        PayoutCommand::Guard {
            once,
            every,
            fee_rate,
        } => {
            let shift = Shift::custodian(*fee_rate);
            if *once {
                return Ok(is_well(&shift.turn(&session, &[]).await?));
            }
            shift.keep(&session, Duration::from_secs(*every)).await
        }
        PayoutCommand::Plan { fee_rate } => plan(&session, *fee_rate).await,
        PayoutCommand::Submit { files } => submit(&session, files).await,
        PayoutCommand::List { all, batch } => list(&session, *all, batch.map(BatchId)).await,
        PayoutCommand::Bump { batch, fee_rate } => {
            let (id, rate) = (BatchId(*batch), *fee_rate);
            act(&session, Some(rate), move |desk, turn| {
                let done = turn.bump(id, Some(rate));
                desk.with_hint(done)
            })
            .await
        }
        PayoutCommand::Cancel { batch, fee_rate } => {
            let id = BatchId(*batch);
            act(&session, *fee_rate, move |desk, turn| {
                let done = turn.cancel(id, None);
                desk.with_hint(done)
            })
            .await
        }
        PayoutCommand::Sweep { to, fee_rate, .. } => {
            let (to, rate) = (to.clone(), *fee_rate);
            act(&session, rate, move |desk, turn| {
                let script = target(turn.setup, turn.k2, to.as_deref())?;
                let done = turn.sweep(&script, rate);
                desk.with_hint(done)
            })
            .await
        }
    }
}

fn answer(is_yes: bool) -> ExitCode {
    if is_yes {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    }
}

fn is_well(done: &[Done]) -> ExitCode {
    answer(!done.iter().any(|done| matches!(done, Done::Alarm(_))))
}

/// What one turn after the other is done with.
struct Shift {
    role: Role,
    fallback: Option<FeeRate>,
    key: Option<Arc<OwnKey>>,
    settling: Option<Settling>,
}

impl Shift {
    fn coordinator(session: &Session, args: &TurnArgs) -> anyhow::Result<Self> {
        let key = args
            .key
            .as_deref()
            .map(|file| OwnKey::open(file, &args.unlock))
            .transpose()?;
        let keypair = args.keypair.as_ref().or(session.k2.keypair.as_ref());
        let settling = keypair
            .map(|file| Settling::open(session, file))
            .transpose()?;
        Ok(Self {
            role: Role::Coordinator,
            fallback: args.fee_rate,
            key: key.map(Arc::new),
            settling,
        })
    }

    const fn custodian(fallback: Option<FeeRate>) -> Self {
        Self {
            role: Role::Custodian,
            fallback,
            key: None,
            settling: None,
        }
    }

    /// Turn after turn. What fails - a node away, K2 away, a full disk - is said, and done again at the next one.
    async fn keep(&self, session: &Session, every: Duration) -> anyhow::Result<ExitCode> {
        let what = match self.role {
            Role::Coordinator => "paying redemptions",
            Role::Custodian => "watching over what was signed here",
        };
        tracing::info!(wallet = %session.settings.dir.display(), "{what}");
        let mut before = Vec::new();
        loop {
            // A turn that has begun is ended: it is short, and whoever cannot wait kills it.
            match self.turn(session, &before).await {
                Ok(done) => before = done,
                Err(error) => tracing::warn!("{error:#}"),
            }
            tokio::select! {
                () = session.stop().cancelled() => return Ok(ExitCode::SUCCESS),
                () = tokio::time::sleep(every) => {}
            }
        }
    }

    /// One turn, and what it shows to K2. What the turn `before` said is not said again, but for alarms.
    async fn turn(&self, session: &Session, before: &[Done]) -> anyhow::Result<Vec<Done>> {
        let mut desk = Desk::open(session, self.role, self.fallback).await?;
        let key = self.key.clone();
        let done = blocking(move || desk.whole_turn(key.as_deref())).await?;
        for done in &done {
            if matches!(done, Done::Alarm(_)) || !before.contains(done) {
                text::say(session, done)?;
            }
        }
        if let Some(settling) = &self.settling {
            settling.settle(session, &done).await?;
        }
        if self.role == Role::Coordinator {
            books::keep(session).await;
        }
        Ok(done)
    }
}

/// Something a person asked for, with everything a turn knows.
async fn act(
    session: &Session,
    fallback: Option<FeeRate>,
    what: impl FnOnce(&turn::Hints, &mut custody::coordinator::Turn<'_>) -> anyhow::Result<Done>
    + Send
    + 'static,
) -> anyhow::Result<ExitCode> {
    let desk = Desk::open(session, Role::Coordinator, fallback).await?;
    let done = blocking(move || {
        let mut desk = desk;
        desk.turn(what)
    })
    .await?;
    text::say(session, &done)?;
    Ok(ExitCode::SUCCESS)
}

async fn plan(session: &Session, fallback: Option<FeeRate>) -> anyhow::Result<ExitCode> {
    let desk = Desk::open(session, Role::Coordinator, fallback).await?;
    let (plan, batches) = blocking(move || {
        let mut desk = desk;
        let batches = desk.journal.open_batches()?;
        let rate = desk
            .rate
            .context("the node cannot say what fee is needed: give --fee-rate")?;
        let plan = desk.turn(|_, turn| Ok(turn.look(rate)?))?;
        anyhow::Ok((plan, batches))
    })
    .await?;
    text::plan(session, &plan, &batches)?;
    Ok(ExitCode::SUCCESS)
}

async fn submit(session: &Session, files: &[std::path::PathBuf]) -> anyhow::Result<ExitCode> {
    let groups = folders::read_groups(files)?;
    // Whatever the folder is for: what is whole is sent, and no payment is planned.
    let desk = Desk::open(session, Role::Custodian, None).await?;
    let (submitted, done) = blocking(move || {
        let mut desk = desk;
        let submitted = groups
            .iter()
            .map(|group| desk.turn(|_, turn| Ok(turn.submit(group)?)))
            .collect::<Vec<anyhow::Result<Submitted>>>();
        let done = desk.whole_turn(None)?;
        anyhow::Ok((submitted, done))
    })
    .await?;
    let mut is_complete = true;
    for submitted in &submitted {
        match submitted {
            Ok(submitted) => {
                is_complete &= matches!(submitted, Submitted::Complete { .. });
                text::submitted(session, submitted)?;
            }
            Err(error) => {
                is_complete = false;
                tracing::error!("{error:#}");
            }
        }
    }
    for done in &done {
        is_complete &= !matches!(done, Done::Failed { act: "send", .. });
        text::say(session, done)?;
    }
    Ok(answer(is_complete))
}

async fn list(session: &Session, closed: bool, batch: Option<BatchId>) -> anyhow::Result<ExitCode> {
    let dir = session.settings.dir.clone();
    let journal = blocking(move || Journal::open_existing(&dir)).await?;
    if let Some(id) = batch {
        text::one(session, &journal.batch(id)?, &journal.events(Some(id))?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let batches = if closed {
        journal.batches()?
    } else {
        journal.open_batches()?
    };
    if session.json {
        for batch in &batches {
            output::json(&text::BatchRow::of(batch))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    output::line(&text::table(&batches))?;
    Ok(ExitCode::SUCCESS)
}

/// Where a sweep goes.
fn target(setup: &Setup, k2: &K2View, to: Option<&str>) -> anyhow::Result<ScriptBuf> {
    if let Some(address) = to {
        let address: Address<_> = address.parse().context("--to is no Bitcoin address")?;
        let script = address
            .require_network(setup.network())
            .context("--to is an address of another network")?
            .script_pubkey();
        ensure!(
            k2.scripts.contains(&script),
            "K2 does not register this address: `orcapool k2 admin` announces a script, and it counts after its delay"
        );
        return Ok(script);
    }
    let own = setup.coinbase_script()?;
    let others: Vec<&ScriptBuf> = k2.scripts.iter().filter(|script| **script != own).collect();
    match others.as_slice() {
        [] if k2.scripts.contains(&own) => Ok(own),
        [] => bail!(
            "K2 registers no script: announce one with `orcapool k2 admin`, and wait for its delay"
        ),
        [one] => Ok((*one).clone()),
        _ => bail!(
            "K2 registers several scripts that are not this wallet's: say which with --to ADDRESS"
        ),
    }
}
