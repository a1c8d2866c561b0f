//! What can be wrong with a program.

use std::fmt;

use crate::syscalls;

/// One reason why K2 could not load a program.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Not an ELF file at all, or one whose tables point outside of it.
    #[error("not a readable 64-bit little-endian ELF file: {0}")]
    Unreadable(String),
    /// Larger than a program account can be.
    #[error("{0} bytes are more than a program account holds ({max})", max = crate::MAX_PROGRAM_BYTES)]
    TooLarge(usize),
    /// A field of the file's header.
    #[error("the header's {field} is {found}, and the loader wants {wanted}")]
    Header {
        /// The field's name in the ELF specification.
        field: &'static str,
        /// What the file has.
        found: u64,
        /// What the loader takes.
        wanted: u64,
    },
    /// The code has to be in exactly one section `.text`.
    #[error("{0} sections named .text, and the loader wants one")]
    TextSections(usize),
    /// A program has no memory of its own that it may write.
    #[error("section {0} is writable data, which a program cannot have")]
    WritableSection(String),
    /// The entry point is outside the code or between two instructions.
    #[error("the entry point {0:#x} is no instruction in .text")]
    EntryPoint(u64),
    /// The symbol `entrypoint` is not defined.
    #[error(
        "the function `entrypoint` is not exported; does the program use solana_program::entrypoint!, and is the feature no-entrypoint off?"
    )]
    NoEntrySymbol,
    /// A name that is not UTF-8 or longer than any syscall's.
    #[error("the symbol `{0}` has a name that no syscall has")]
    SymbolName(String),
    /// Something that 1.14 does not offer.
    #[error("the program imports `{name}`: {reason}", reason = syscalls::refusal(.name))]
    Import {
        /// The symbol.
        name: String,
    },
    /// A relocation type that the loader does not know.
    #[error("{count} relocations of type {kind}, which the loader does not know")]
    Relocation {
        /// `r_type` of the ELF relocation.
        kind: u32,
        /// How many of them.
        count: usize,
    },
    /// A relocation outside the file, or of a symbol that is not there.
    #[error("the relocation at {0:#x} is outside the program or of a symbol that is not there")]
    RelocationTarget(u64),
    /// The loader finds relocations by the dynamic table, this check by the sections.
    #[error("the dynamic table has its relocations at {0:#x}, where no section has them")]
    DynamicRelocations(u64),
}

/// All the reasons why a program was refused; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    problems: Vec<Problem>,
}

impl Refused {
    pub(crate) fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }

    /// The reasons, in the order of the file.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}
