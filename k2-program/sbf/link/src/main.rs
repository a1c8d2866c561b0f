//! The linker that rustc calls for the `sbf-solana` target: bitcode in, a program for the Solana machine (SBF v0) out.
//!
//! `sbf-codegen` (in the folder beside this one) makes one BPF object of all the bitcode, and the crate `sbpf-linker` lays
//! that out as the shared object a Solana loader takes. Both `sbf-codegen` and `builtins.ll` are looked for beside this
//! program. `SBF_DUMP=PREFIX` in the environment keeps the intermediate code as `PREFIX.optimised.ll` and `PREFIX.legal.ll`.

mod arguments;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};
use std::{env, fs, io};

use arguments::Arguments;
use sbpf_linker::{OptimizationConfig, ProgramOptions, SbpfArch, SbpfLinkerError, link_program};

/// Bytes of a stack frame in SBF v0. `sbf-codegen` refuses functions that need more.
const FRAME_SIZE: i32 = 4096;

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0}")]
    Arguments(#[from] arguments::Error),
    #[error("cannot tell where this program is: {0}")]
    OwnPath(io::Error),
    #[error("cannot start {}: {source}; scripts/build-program puts it there", .path.display())]
    Start { path: PathBuf, source: io::Error },
    #[error("sbf-codegen ended with {0}; its messages are above")]
    Codegen(ExitStatus),
    #[error("cannot read or write {}: {source}", .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the object cannot be laid out as a program:\n{0}")]
    Layout(String),
}

fn main() -> ExitCode {
    match link(env::args_os().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sbf-link: error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn link(arguments: impl Iterator<Item = OsString>) -> Result<(), Error> {
    let Arguments { inputs, output } = Arguments::parse(arguments)?;
    let object = output.with_extension("o");
    generate(&inputs, &object)?;
    let bytes = fs::read(&object).map_err(|source| Error::File {
        path: object.clone(),
        source,
    })?;
    // The optimiser of this crate works on instructions; LLVM has been there already.
    let options = ProgramOptions::new(OptimizationConfig::disabled(), SbpfArch::V0, FRAME_SIZE);
    let program = link_program(&bytes, options)
        .map_err(|errors| Error::Layout(SbpfLinkerError::format_errors(&errors)))?;
    fs::write(&output, program).map_err(|source| Error::File {
        path: output,
        source,
    })
}

/// Runs `sbf-codegen`: `inputs` (bitcode files and archives of it) become `object`.
fn generate(inputs: &[PathBuf], object: &Path) -> Result<(), Error> {
    let own = env::current_exe().map_err(Error::OwnPath)?;
    let codegen = own.with_file_name("sbf-codegen");
    let mut command = Command::new(&codegen);
    command
        .arg("--builtins")
        .arg(own.with_file_name("builtins.ll"))
        .arg("-o")
        .arg(object);
    if let Some(prefix) = env::var_os("SBF_DUMP") {
        command.arg("--dump").arg(prefix);
    }
    let status = command
        .args(inputs)
        .status()
        .map_err(|source| Error::Start {
            path: codegen,
            source,
        })?;
    if status.success() {
        Ok(())
    } else {
        Err(Error::Codegen(status))
    }
}
