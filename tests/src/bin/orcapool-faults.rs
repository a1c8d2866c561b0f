//! `orcapool`, ended at a chosen point of a payout as by `kill -9`: nothing is flushed, nothing is dropped.
//!
//! | variable | meaning |
//! |---|---|
//! | `ORCAPOOL_FAULT_AT` | the process ends at the n-th point reached, counted from 1, or at the first of this name |
//! | `ORCAPOOL_FAULT_LIST` | a file to which the name of each point reached is added, one a line |
//!
//! The program `orcapool` itself reads neither.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use custody::fault::{self, Side};

static REACHED: AtomicU64 = AtomicU64::new(0);

fn reached(side: Side, act: &'static str) {
    let number = REACHED.fetch_add(1, Ordering::SeqCst) + 1;
    let name = format!("{} {act}", side.name());
    if let Some(path) = std::env::var_os("ORCAPOOL_FAULT_LIST") {
        let written = OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .and_then(|mut file| writeln!(file, "{name}"));
        if let Err(error) = written {
            eprintln!("ORCAPOOL_FAULT_LIST: {error}");
        }
    }
    let chosen = std::env::var("ORCAPOOL_FAULT_AT").ok();
    if chosen.is_some_and(|at| at == name || at.parse() == Ok(number)) {
        std::process::abort();
    }
}

fn main() -> ExitCode {
    fault::observe(reached);
    orcapool::program()
}
