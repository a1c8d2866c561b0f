//! The steps of a payout at which a test may end the process.
//!
//! A payout has to survive a power cut between any two writes, or between a write and what it announced. With the feature
//! `fault-injection` every such place is counted as it is reached, and the process ends at a chosen one as by `kill -9`:
//! nothing is flushed, nothing is dropped. Without the feature nothing of it is compiled.
//!
//! | variable | meaning |
//! |---|---|
//! | `ORCAPOOL_FAULT_AT` | the process ends at the n-th point reached, counted from 1 |
//! | `ORCAPOOL_FAULT_LIST` | a file to which the name of each point reached is added, one a line |

/// An act with a point before and a point after it.
pub fn around<T>(name: &'static str, act: impl FnOnce() -> T) -> T {
    point("before", name);
    let done = act();
    point("after", name);
    done
}

/// A place between two acts that must both happen, or be done again.
#[cfg(not(feature = "fault-injection"))]
#[inline(always)]
pub const fn point(_side: &'static str, _act: &'static str) {}

/// A place between two acts that must both happen, or be done again. Ends the process if it is the chosen one.
#[cfg(feature = "fault-injection")]
pub fn point(side: &'static str, act: &'static str) {
    counting::reached(side, act);
}

#[cfg(feature = "fault-injection")]
mod counting {
    use std::fs::OpenOptions;
    use std::io::Write as _;
    use std::sync::atomic::{AtomicU64, Ordering};

    static REACHED: AtomicU64 = AtomicU64::new(0);

    pub(super) fn reached(side: &str, act: &str) {
        let number = REACHED.fetch_add(1, Ordering::SeqCst) + 1;
        if let Some(path) = std::env::var_os("ORCAPOOL_FAULT_LIST") {
            let written = OpenOptions::new()
                .append(true)
                .create(true)
                .open(path)
                .and_then(|mut file| writeln!(file, "{side} {act}"));
            if let Err(error) = written {
                tracing::error!("ORCAPOOL_FAULT_LIST: {error}");
            }
        }
        let chosen = std::env::var("ORCAPOOL_FAULT_AT").ok();
        if chosen.and_then(|at| at.parse().ok()) == Some(number) {
            std::process::abort();
        }
    }
}
