//! `replay [--program FILE]... DIR`: replays every scenario below DIR in Solana 1.14.19, compiled and interpreted, and
//! compares outcomes and account states with what was recorded. Exit status 0: all equal; 1: something differs; 2: it could
//! not be done.

mod engine;
#[path = "../../scenario/src/format.rs"]
#[allow(dead_code)]
mod format;
mod replay;

use engine::Mode;
use format::{Scenario, FORMAT, MUST_DIFFER};
use replay::Report;
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

#[tokio::main]
async fn main() -> ExitCode {
    // The engine logs every transaction to stderr by default; what matters of that stands in the report.
    if env::var_os("RUST_LOG").is_none() {
        env::set_var("RUST_LOG", "off");
    }
    match run().await {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {}", error);
            ExitCode::from(2)
        }
    }
}

/// Returns the number of steps that differ, and of alterations that went unnoticed.
async fn run() -> Result<usize, String> {
    let (dir, elfs) = arguments()?;
    let files = scenario_files(&dir)?;
    if files.is_empty() {
        return Err(format!("no scenarios (*.json) below {}", dir.display()));
    }
    let version = solana_version::Version::default();
    println!(
        "Solana {} (feature set {}), compiled (jit) and interpreted",
        version, version.feature_set
    );
    let (mut scenarios, mut steps, mut bad, mut altered) = (0, 0, 0, 0);
    for file in &files {
        let in_file = |error: String| format!("{}: {}", file.display(), error);
        let scenario = read(file).map_err(in_file)?;
        let jit = replay::replay(&scenario, &elfs, Mode::Jit)
            .await
            .map_err(in_file)?;
        let interpreter = replay::replay(&scenario, &elfs, Mode::Interpreter)
            .await
            .map_err(in_file)?;
        if scenario.name.starts_with(MUST_DIFFER) {
            altered += 1;
            for (mode, reports) in [(Mode::Jit, jit), (Mode::Interpreter, interpreter)] {
                if reports.iter().all(|report| report.differences.is_empty()) {
                    let why = "this was altered, and the replay found nothing wrong";
                    println!("BLIND   {:<12}{}: {}", mode.name(), scenario.name, why);
                    bad += 1;
                }
            }
            continue;
        }
        for (jit, interpreter) in jit.iter().zip(&interpreter) {
            bad += show(&scenario.name, jit, interpreter);
        }
        scenarios += 1;
        steps += scenario.steps.len();
    }
    let verdict = if bad == 0 {
        "all equal".to_owned()
    } else {
        format!("{} DIFFER", bad)
    };
    println!(
        "{}: {} scenarios, {} steps, {}; {} altered ones noticed",
        version, scenarios, steps, verdict, altered
    );
    Ok(bad)
}

/// A step's line, or one for each mode if they differ. Returns how many of them are bad.
fn show(scenario: &str, jit: &Report, interpreter: &Report) -> usize {
    let bad = [jit, interpreter]
        .iter()
        .filter(|report| !report.differences.is_empty())
        .count();
    if bad == 0 && jit.compute_units == interpreter.compute_units {
        line(scenario, "both", jit);
    } else {
        line(scenario, Mode::Jit.name(), jit);
        line(scenario, Mode::Interpreter.name(), interpreter);
    }
    bad
}

fn line(scenario: &str, mode: &str, report: &Report) {
    let units = report
        .compute_units
        .map_or_else(|| "-".to_owned(), |units| units.to_string());
    let ceiling = report
        .ceiling
        .map_or_else(String::new, |ceiling| format!("<= {}", ceiling));
    let verdict = if report.differences.is_empty() {
        "equal"
    } else {
        "DIFFERS"
    };
    println!(
        "{:<8}{:<12}{:>9} CU {:<11}{} / {}",
        verdict, mode, units, ceiling, scenario, report.name
    );
    report
        .differences
        .iter()
        .for_each(|difference| println!("        {}", difference));
    if !report.differences.is_empty() {
        report
            .logs
            .iter()
            .for_each(|line| println!("        log: {}", line));
    }
}

type Elfs = BTreeMap<[u8; 32], Vec<u8>>;

fn arguments() -> Result<(PathBuf, Elfs), String> {
    const USAGE: &str = "usage: replay [--program FILE]... DIR";
    let (mut dir, mut elfs) = (None, Elfs::new());
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--program" {
            let file = arguments.next().ok_or(USAGE)?;
            let elf = fs::read(&file).map_err(|error| format!("{}: {}", file, error))?;
            elfs.insert(Sha256::digest(&elf).into(), elf);
        } else if argument.starts_with('-') || dir.replace(PathBuf::from(argument)).is_some() {
            return Err(USAGE.to_owned());
        }
    }
    Ok((dir.ok_or(USAGE)?, elfs))
}

/// Every `*.json` below `dir`, sorted by path.
fn scenario_files(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |error: std::io::Error| format!("{}: {}", dir.display(), error);
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            files.extend(scenario_files(&path)?);
        } else if path
            .extension()
            .map_or(false, |extension| extension == "json")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read(file: &Path) -> Result<Scenario, String> {
    let text = fs::read(file).map_err(|error| error.to_string())?;
    let scenario: Scenario = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    if scenario.format != FORMAT {
        return Err(format!(
            "format is `{}`, this reads `{}`",
            scenario.format, FORMAT
        ));
    }
    Ok(scenario)
}
