//! The standard output scripts, the only ones the pool pays to or is paid by.

errors! {
    /// Why a script is refused.
    pub enum ScriptError {
        /// None of the [`ScriptType`]s.
        NotStandard = 1 => "the script is not P2PKH, P2SH, P2WPKH, P2WSH or P2TR: use an ordinary address",
        /// A packed script whose padding is not zero.
        Padding = 2 => "a packed script must be padded with zeros",
        /// A packed script of length zero: none was set.
        Empty = 3 => "no script is set",
    }
}

/// Length of the longest script.
pub const MAX_SCRIPT_LEN: usize = 34;
/// Length of the packed form.
pub const PACKED_LEN: usize = 1 + MAX_SCRIPT_LEN;

const OP_PUSH_20: u8 = 20;
const OP_PUSH_32: u8 = 32;
const OP_0: u8 = 0;
const OP_1: u8 = 0x51;
const OP_DUP: u8 = 0x76;
const OP_EQUAL: u8 = 0x87;
const OP_EQUALVERIFY: u8 = 0x88;
const OP_HASH160: u8 = 0xa9;
const OP_CHECKSIG: u8 = 0xac;

/// What kind of address a script belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScriptType {
    /// `1..`: a public key's hash.
    P2pkh,
    /// `3..`: a script's hash (BIP16).
    P2sh,
    /// `bc1q..`, short: a public key's hash (BIP141).
    P2wpkh,
    /// `bc1q..`, long: a script's hash (BIP141).
    P2wsh,
    /// `bc1p..`: a tweaked public key (BIP341).
    P2tr,
}

impl ScriptType {
    /// What a script is, by its exact bytes.
    ///
    /// # Errors
    /// [`ScriptError::NotStandard`].
    pub const fn of(script: &[u8]) -> Result<Self, ScriptError> {
        match script {
            [
                OP_DUP,
                OP_HASH160,
                OP_PUSH_20,
                ..,
                OP_EQUALVERIFY,
                OP_CHECKSIG,
            ] if script.len() == 25 => Ok(Self::P2pkh),
            [OP_HASH160, OP_PUSH_20, .., OP_EQUAL] if script.len() == 23 => Ok(Self::P2sh),
            [OP_0, OP_PUSH_20, ..] if script.len() == 22 => Ok(Self::P2wpkh),
            [OP_0, OP_PUSH_32, ..] if script.len() == 34 => Ok(Self::P2wsh),
            [OP_1, OP_PUSH_32, ..] if script.len() == 34 => Ok(Self::P2tr),
            _ => Err(ScriptError::NotStandard),
        }
    }

    /// Sats below which an output costs more to spend than it is worth, and nodes do not relay it: Core's
    /// `GetDustThreshold` at its default of 3 sat/vB. That is the length of the output and of the input that spends it, 148
    /// bytes or with a witness 67, times three.
    #[must_use]
    pub const fn dust_limit(self) -> u64 {
        match self {
            Self::P2pkh => 546,
            Self::P2sh => 540,
            Self::P2wpkh => 294,
            Self::P2wsh | Self::P2tr => 330,
        }
    }
}

/// A standard output script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ScriptPubkey {
    kind: ScriptType,
    len: u8,
    bytes: [u8; MAX_SCRIPT_LEN],
}

impl ScriptPubkey {
    /// Takes a standard script.
    ///
    /// # Errors
    /// [`ScriptError::NotStandard`].
    pub fn parse(script: &[u8]) -> Result<Self, ScriptError> {
        let kind = ScriptType::of(script)?;
        let mut bytes = [0; MAX_SCRIPT_LEN];
        for (to, from) in bytes.iter_mut().zip(script) {
            *to = *from;
        }
        Ok(Self {
            kind,
            len: script.len() as u8,
            bytes,
        })
    }

    /// Reads the packed form, which accounts and instructions use: a byte of length, the script, zeros up to 35 bytes.
    ///
    /// # Errors
    /// [`ScriptError`]; [`ScriptError::Empty`] where all bytes are zero.
    pub fn from_packed(packed: &[u8; PACKED_LEN]) -> Result<Self, ScriptError> {
        let [len, bytes @ ..] = packed;
        let (script, padding) = bytes
            .split_at_checked(usize::from(*len))
            .ok_or(ScriptError::NotStandard)?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(ScriptError::Padding);
        }
        if script.is_empty() {
            return Err(ScriptError::Empty);
        }
        Ok(Self {
            kind: ScriptType::of(script)?,
            len: *len,
            bytes: *bytes,
        })
    }

    /// The packed form.
    #[must_use]
    pub fn to_packed(&self) -> [u8; PACKED_LEN] {
        let mut packed = [0; PACKED_LEN];
        let [len, bytes @ ..] = &mut packed;
        *len = self.len;
        *bytes = self.bytes;
        packed
    }

    /// The script itself.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// What kind it is.
    #[must_use]
    pub const fn kind(&self) -> ScriptType {
        self.kind
    }

    /// [`ScriptType::dust_limit`].
    #[must_use]
    pub const fn dust_limit(&self) -> u64 {
        self.kind.dust_limit()
    }
}
