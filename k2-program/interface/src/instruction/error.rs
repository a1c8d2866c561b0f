//! Why bytes are not an instruction.

use core::fmt;

/// Why bytes are not an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InstructionError {
    /// No such tag.
    UnknownTag(u8),
    /// The arguments end too early, or bytes follow that the instruction does not take.
    Length,
}

impl fmt::Display for InstructionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownTag(tag) => write!(
                f,
                "no instruction has the tag {tag}: is the client newer than the program?"
            ),
            Self::Length => f.write_str("the instruction's data is too short or too long"),
        }
    }
}

impl core::error::Error for InstructionError {}
