//! What rustc tells a linker of the flavour `bpf` (`BpfLinker` in rustc's `rustc_codegen_ssa/src/back/linker.rs`).

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The part of the command line that matters here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Bitcode files and archives of it, in rustc's order.
    pub(crate) inputs: Vec<PathBuf>,
    /// The program to write.
    pub(crate) output: PathBuf,
}

/// The command line is not one of rustc's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("`{0}` takes a value and has none")]
    NoValue(String),
    #[error("unknown argument `{0}`; is this rustc newer than the linker knows?")]
    Unknown(String),
    #[error("no output (-o)")]
    NoOutput,
    #[error("nothing to link")]
    NoInput,
}

impl Arguments {
    /// Reads the arguments after the program's name.
    ///
    /// Search paths, the CPU, optimisation and the list of symbols to export are rustc's choices for the kernel's BPF;
    /// `sbf-codegen` has its own.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Self, Error> {
        let (mut inputs, mut output) = (Vec::new(), None);
        while let Some(argument) = arguments.next() {
            let text = argument.to_string_lossy().into_owned();
            match text.as_str() {
                "-o" => output = Some(PathBuf::from(arguments.next().ok_or(Error::NoValue(text))?)),
                "-L" | "--cpu" | "--cpu-features" | "--export-symbols" => {
                    arguments.next().ok_or(Error::NoValue(text))?;
                }
                _ if text.starts_with("-O") || text.starts_with("--cpu=") || text == "--debug" => {}
                // No code: an ELF object that only mentions what is exported, so that linkers take it out of archives.
                _ if text.ends_with("/symbols.o") => {}
                _ if !text.starts_with('-') && is_input(Path::new(&argument)) => {
                    inputs.push(argument.into())
                }
                _ => return Err(Error::Unknown(text)),
            }
        }
        if inputs.is_empty() {
            return Err(Error::NoInput);
        }
        Ok(Self {
            inputs,
            output: output.ok_or(Error::NoOutput)?,
        })
    }
}

fn is_input(path: &Path) -> bool {
    path.extension().is_some_and(|extension| {
        ["o", "bc", "rlib", "a"]
            .iter()
            .any(|known| extension == *known)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(line: &str) -> Result<Arguments, Error> {
        Arguments::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn rustc_command_line() {
        let line = "--export-symbols /t/symbols /t/symbols.o /t/a.rcgu.o -L /t/deps /t/liballoc.rlib --cpu v2 --cpu-features +x -O2 -o /t/libp.so";
        let parsed = parse(line).unwrap();
        assert_eq!(
            parsed.inputs,
            [
                PathBuf::from("/t/a.rcgu.o"),
                PathBuf::from("/t/liballoc.rlib")
            ]
        );
        assert_eq!(parsed.output, PathBuf::from("/t/libp.so"));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        assert_eq!(parse("a.o -o"), Err(Error::NoValue("-o".into())));
        assert_eq!(parse("a.o"), Err(Error::NoOutput));
        assert_eq!(parse("-o p.so"), Err(Error::NoInput));
        assert_eq!(
            parse("a.o --gc-sections -o p.so"),
            Err(Error::Unknown("--gc-sections".into()))
        );
        assert_eq!(
            parse("a.o notes.txt -o p.so"),
            Err(Error::Unknown("notes.txt".into()))
        );
    }
}
