//! Child processes: `orcapool` as a task node or a miner.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use tokio::process::{Child, Command};

/// How long a child may take to stop after SIGTERM, as long as Koii's agent gives a pod.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// How much of a log an error repeats.
const LAST_LINES: usize = 8;

/// A running child; killed when dropped.
#[derive(Debug)]
pub struct OwnChild {
    child: Child,
    name: String,
    log: PathBuf,
}

impl OwnChild {
    /// Starts `program` with `arguments`; what it prints is added to the file `log`.
    ///
    /// # Errors
    /// The process or its log file cannot be made.
    pub fn start(
        program: &Path,
        name: &str,
        arguments: &[String],
        log: &Path,
    ) -> anyhow::Result<Self> {
        let file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("{}", log.display()))?;
        let mut command = Command::new(program);
        without_settings(&mut command);
        let child = command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::from(file.try_clone()?))
            .stderr(Stdio::from(file))
            // Ctrl-C in a terminal reaches the whole process group; children are to stop when told, in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        Ok(Self {
            child,
            name: name.to_owned(),
            log: log.to_owned(),
        })
    }

    /// Its process id; `None` once it has ended and was waited for.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Fails if the child has ended by itself.
    ///
    /// # Errors
    /// It has, with its exit status and the end of its log.
    pub fn check_alive(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(anyhow::anyhow!(
                "{} ended ({status}); the end of {}:\n{}",
                self.name,
                self.log.display(),
                last_lines(&self.log)
            )),
        }
    }

    /// Kills it without a word (SIGKILL) and waits for its end.
    ///
    /// # Errors
    /// The operating system refuses.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Asks it to stop, waits, and kills it if it does not.
    ///
    /// # Errors
    /// The operating system refuses to tell how it ended.
    pub async fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok())
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            // It may have ended in between; `wait` says so.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        match tokio::time::timeout(STOP_PATIENCE, self.child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => {
                tracing::warn!(name = self.name, "did not stop in time, killed");
                self.child.kill().await?;
                Ok(self.child.wait().await?)
            }
        }
    }
}

/// A child is configured by its arguments alone, whatever this process was told.
pub(super) fn without_settings(command: &mut Command) {
    for (key, _) in std::env::vars_os() {
        if key.to_string_lossy().starts_with("ORCAPOOL_") {
            command.env_remove(key);
        }
    }
}

/// The last lines of a log, for an error message.
fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}
