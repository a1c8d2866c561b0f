//! One turn: views, signed files, what is to be done, and the single-sig key.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use bitcoin::{FeeRate, Psbt, Txid};
use custody::coordinator::{Done, Policy, Role, Submitted, Turn, TurnError, node};
use custody::fault;
use custody::journal::{Batch, BatchState, Journal};
use custody::keys::{CustodianKey, KeyFile};
use custody::{BitcoinView, K2View, Setup};
use work::UnixTime;

use super::folders;
use super::outside::Shell;
use crate::cli::UnlockArgs;
use crate::commands::custody::psbt::limits;
use crate::commands::custody::secrets;
use crate::commands::custody::session::{Session, blocking, now};

/// How often a turn may lead to another one at once: planned, signed, sent.
const MAX_ROUNDS: usize = 4;

/// The only key of a single-sig wallet.
pub(super) struct OwnKey(CustodianKey);

impl OwnKey {
    pub(super) fn open(file: &Path, unlock: &UnlockArgs) -> anyhow::Result<Self> {
        let at = || file.display().to_string();
        let file = KeyFile::read(file).with_context(at)?;
        let unlock = secrets::unlock(unlock, &file)?;
        Ok(Self(file.open(&unlock).with_context(at)?))
    }
}

/// Everything a turn knows and may do. While it is there, the wallet's folder is locked.
pub(super) struct Desk {
    pub(super) journal: Journal,
    /// What nodes ask for; none: they cannot say.
    pub(super) rate: Option<FeeRate>,
    setup: Setup,
    bitcoin: BitcoinView,
    k2: K2View,
    policy: Policy,
    shell: Shell,
}

/// What an error of a person's command can be explained with.
pub(super) struct Hints {
    outbox: PathBuf,
}

impl Hints {
    /// The result as the program tells it.
    pub(super) fn with_hint(&self, done: Result<Done, TurnError>) -> anyhow::Result<Done> {
        let done = done?;
        if let Done::Planned { txid, .. } = &done {
            tracing::info!(
                "to be signed: {}",
                self.outbox.join(format!("{txid}.psbt")).display()
            );
        }
        Ok(done)
    }
}

impl Desk {
    /// Syncs the wallet, reads K2, opens the journal. `fallback`: the fee rate where no node can say one.
    pub(super) async fn open(
        session: &Session,
        role: Role,
        fallback: Option<FeeRate>,
    ) -> anyhow::Result<Self> {
        let (watch, bitcoin, k2) = session.views().await?;
        let settings = &session.settings;
        let policy = Policy {
            role,
            threshold: watch.setup().threshold(),
            limits: limits(session),
            ..Policy::default()
        };
        let sources = settings.sources.clone();
        let now = now()?;
        blocking(move || {
            let rate = sources.iter().find_map(|source| {
                node::fee_rate(source)
                    .inspect_err(|error| tracing::warn!("{error}"))
                    .ok()
                    .flatten()
            });
            // No request that a lost journal has seen is above both.
            let height = bitcoin.tip.max(k2.relay_tip);
            let mut journal = Journal::open(watch.dir().path(), height)?;
            journal.see(k2.slot)?;
            anyhow::Ok(Self {
                journal,
                rate: rate.or(fallback),
                setup: watch.setup().clone(),
                bitcoin,
                k2,
                policy,
                shell: Shell {
                    watch,
                    sources,
                    now,
                },
            })
        })
        .await
    }

    /// Something with all that is known.
    pub(super) fn turn<T>(
        &mut self,
        what: impl FnOnce(&Hints, &mut Turn<'_>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let hints = Hints {
            outbox: self.shell.watch.dir().path().join("outbox"),
        };
        let mut turn = Turn {
            journal: &mut self.journal,
            setup: &self.setup,
            bitcoin: &self.bitcoin,
            k2: &self.k2,
            policy: &self.policy,
            rate: self.rate,
            now: UnixTime(self.shell.now),
            outside: &mut self.shell,
        };
        what(&hints, &mut turn)
    }

    /// What the inbox holds, what is to be done, and with the wallet's only key its signature at once.
    pub(super) fn whole_turn(&mut self, key: Option<&OwnKey>) -> anyhow::Result<Vec<Done>> {
        ensure!(
            key.is_none() || self.setup.threshold() == 1,
            "--key is for wallets of one key; of this one each custodian signs by himself, with `orcapool sign`"
        );
        let mut done = self.take_in()?;
        done.extend(self.turn(|_, turn| Ok(turn.run()?))?);
        self.tidy()?;
        let Some(OwnKey(key)) = key else {
            return Ok(done);
        };
        for _ in 0..MAX_ROUNDS {
            let planned: Vec<_> = self
                .journal
                .open_batches()?
                .into_iter()
                .filter(|batch| batch.state == BatchState::Planned)
                .collect();
            let mut has_signed = false;
            for batch in planned {
                let signed = self.turn(|_, turn| {
                    let psbt = turn.sign(batch.id, key)?;
                    Ok(turn.submit(&[psbt])?)
                });
                match signed {
                    Ok(_) => has_signed = true,
                    Err(error) => done.push(Done::Failed {
                        batch: Some(batch.id),
                        act: "sign",
                        reason: format!("{error:#}"),
                    }),
                }
            }
            if !has_signed {
                break;
            }
            done.extend(self.turn(|_, turn| Ok(turn.run()?))?);
        }
        Ok(done)
    }

    /// Takes out of the outbox what is not to be signed any more, and a turn that was cut off has left there.
    fn tidy(&self) -> anyhow::Result<()> {
        let dir = self.shell.watch.dir().path();
        let handed_out = folders::outbox(dir)?;
        if handed_out.is_empty() {
            return Ok(());
        }
        let mut done = self.journal.closed()?;
        let open = self.journal.open_batches()?;
        let signed = open
            .iter()
            .filter(|batch| batch.state != BatchState::Planned);
        done.extend(signed.map(Batch::txid));
        // What the journal does not know is somebody else's.
        for txid in handed_out.intersection(&done) {
            fault::around("outbox: remove", || folders::remove(dir, *txid))?;
        }
        Ok(())
    }

    /// What custodians have put into the inbox. A file that is of no use is put aside and holds up no other.
    fn take_in(&mut self) -> anyhow::Result<Vec<Done>> {
        let dir = self.shell.watch.dir().path().to_owned();
        let mut done = Vec::new();
        let mut groups: BTreeMap<Txid, (Vec<PathBuf>, Vec<Psbt>)> = BTreeMap::new();
        for file in folders::inbox(&dir)? {
            let checked = file.psbt.and_then(|psbt| {
                // Alone first: one wrong signature must not spoil the others'.
                let alone =
                    self.turn(|_, turn| match turn.submit(std::slice::from_ref(&psbt)) {
                        // The chain's fault, not the file's.
                        Err(TurnError::Finish(_)) => Ok(None),
                        other => Ok(Some(other?)),
                    })?;
                Ok((psbt, alone))
            });
            match checked {
                Ok((psbt, alone)) => {
                    let txid = psbt.unsigned_tx.compute_txid();
                    let (paths, psbts) = groups.entry(txid).or_default();
                    paths.push(file.path);
                    if matches!(alone, Some(Submitted::Incomplete { .. }) | None) {
                        psbts.push(psbt);
                    }
                }
                Err(error)
                    if error
                        .downcast_ref::<custody::journal::JournalError>()
                        .is_some() =>
                {
                    return Err(error);
                }
                Err(error) => {
                    done.push(Done::Failed {
                        batch: None,
                        act: "take in",
                        reason: format!("{}: {error:#}", file.path.display()),
                    });
                    put_aside(&file.path, "refused")?;
                }
            }
        }
        for (txid, (paths, psbts)) in groups {
            let submitted = if psbts.is_empty() {
                None
            } else {
                Some(self.turn(|_, turn| Ok(turn.submit(&psbts)?)))
            };
            match submitted {
                None => {}
                Some(Ok(Submitted::Complete { .. })) => {}
                Some(Ok(Submitted::Incomplete { have, need, .. })) => {
                    tracing::info!(%txid, "{have} of {need} signatures");
                    continue;
                }
                Some(Err(error)) => {
                    done.push(Done::Failed {
                        batch: None,
                        act: "take in",
                        reason: format!("{txid}: {error:#}"),
                    });
                    continue;
                }
            }
            // Only what is written down is put aside.
            for path in paths {
                put_aside(&path, "taken")?;
            }
        }
        Ok(done)
    }
}

fn put_aside(path: &Path, to: &str) -> std::io::Result<()> {
    fault::around("inbox: put aside", || folders::put_aside(path, to))
}
