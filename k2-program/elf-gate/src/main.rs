//! `elf-gate PROGRAM.so`: says what a program is made of, or why K2 could not load it (exit status 1).

use std::path::PathBuf;
use std::process::ExitCode;
use std::{fs, io::Write as _};

use clap::Parser;
use elf_gate::{Report, check};

/// Checks that a compiled program is one that K2 (Solana 1.14) can load.
#[derive(Debug, Parser)]
struct Arguments {
    /// The `.so` to check.
    program: PathBuf,
    /// One line of JSON on standard output instead of text: {"ok":true,...} or {"ok":false,"problems":[...]}.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("cannot write: {0}")]
    Write(#[from] std::io::Error),
    #[error("cannot encode the report: {0}")]
    Json(#[from] serde_json::Error),
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("elf-gate: error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether the program passed.
fn run(arguments: &Arguments) -> Result<bool, Error> {
    let path = arguments.program.clone();
    let bytes = fs::read(&path).map_err(|source| Error::Read {
        path: path.clone(),
        source,
    })?;
    let result = check(&bytes);
    let mut out = std::io::stdout().lock();
    match &result {
        Ok(report) if arguments.json => {
            let mut value = serde_json::to_value(report)?;
            value["ok"] = true.into();
            writeln!(out, "{value}")?;
        }
        Ok(report) => writeln!(out, "{}: {}", path.display(), summary(report))?,
        Err(refused) if arguments.json => {
            let problems: Vec<_> = refused.problems().iter().map(ToString::to_string).collect();
            writeln!(
                out,
                "{}",
                serde_json::json!({ "ok": false, "problems": problems })
            )?;
        }
        Err(refused) => {
            for problem in refused.problems() {
                eprintln!("{}: error: {problem}", path.display());
            }
        }
    }
    Ok(result.is_ok())
}

fn summary(report: &Report) -> String {
    format!(
        "SBF v0, {} bytes ({} code, {} constants, {} relocations), rent {} lamports, imports {}",
        report.bytes,
        report.code_bytes,
        report.constant_bytes,
        report.relocations,
        report.rent_lamports,
        report.imports.join(" ")
    )
}
