//! A job as a miner hears it, and the shares it finds on it.

use pow::{Algorithm as _, Sha256d};
use serde_json::{Value, json};
use work::VersionMask;

/// The parameters of a `mining.notify`, and the difficulty announced before it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HeardJob {
    pub(crate) id: String,
    pub(crate) prev: Vec<u8>,
    coinb1: Vec<u8>,
    coinb2: Vec<u8>,
    branch: Vec<Vec<u8>>,
    version: u32,
    nbits: u32,
    pub(crate) ntime: u32,
    pub(crate) clean: bool,
    pub(crate) difficulty: f64,
}

/// What a miner submits, as text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Share {
    pub(crate) job: String,
    pub(crate) extranonce2: String,
    pub(crate) ntime: String,
    pub(crate) nonce: String,
    pub(crate) version_bits: Option<String>,
    pub(crate) hash: [u8; 32],
}

impl Share {
    pub(crate) fn params(&self, name: &str) -> Value {
        let mut params = vec![
            json!(name),
            json!(self.job),
            json!(self.extranonce2),
            json!(self.ntime),
            json!(self.nonce),
        ];
        params.extend(self.version_bits.as_ref().map(|bits| json!(bits)));
        Value::Array(params)
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn word(value: &Value) -> u32 {
    u32::from_str_radix(value.as_str().unwrap(), 16).unwrap()
}

impl HeardJob {
    pub(crate) fn of(params: &Value, difficulty: f64) -> Self {
        let mut prev = bytes(&params[1]);
        // Stratum's order: every 4-byte word reversed.
        prev.chunks_exact_mut(4).for_each(<[u8]>::reverse);
        Self {
            id: params[0].as_str().unwrap().to_owned(),
            prev,
            coinb1: bytes(&params[2]),
            coinb2: bytes(&params[3]),
            branch: params[4].as_array().unwrap().iter().map(bytes).collect(),
            version: word(&params[5]),
            nbits: word(&params[6]),
            ntime: word(&params[7]),
            clean: params[8].as_bool().unwrap(),
            difficulty,
        }
    }

    /// The coinbase without what the miner varies: two jobs with the same one have the same search space.
    pub(crate) fn search_space(&self) -> (Vec<u8>, Vec<u8>, u32) {
        (self.coinb1.clone(), self.coinb2.clone(), self.ntime)
    }

    /// Tries nonces until `wanted` likes the hash.
    pub(crate) fn search(
        &self,
        extranonce1: &str,
        extranonce2: u64,
        version_bits: Option<u32>,
        wanted: impl Fn(&[u8; 32]) -> bool,
    ) -> Share {
        self.search_at(extranonce1, extranonce2, version_bits, self.ntime, wanted)
    }

    pub(crate) fn search_at(
        &self,
        extranonce1: &str,
        extranonce2: u64,
        version_bits: Option<u32>,
        ntime: u32,
        wanted: impl Fn(&[u8; 32]) -> bool,
    ) -> Share {
        let coinbase = [
            &self.coinb1[..],
            &hex::decode(extranonce1).unwrap(),
            &extranonce2.to_be_bytes(),
            &self.coinb2,
        ]
        .concat();
        let mut root = Sha256d::hash(&coinbase);
        for sibling in &self.branch {
            root = Sha256d::hash(&[&root[..], sibling].concat());
        }
        let version = version_bits.map_or(self.version, |bits| {
            (self.version & !VersionMask::BIP320.to_u32()) | bits
        });
        let mut header = Vec::with_capacity(80);
        header.extend(version.to_le_bytes());
        header.extend(&self.prev);
        header.extend(root);
        header.extend(ntime.to_le_bytes());
        header.extend(self.nbits.to_le_bytes());
        header.extend([0; 4]);
        for nonce in 0_u32.. {
            header[76..].copy_from_slice(&nonce.to_le_bytes());
            let hash = Sha256d::hash(&header);
            if wanted(&hash) {
                return Share {
                    job: self.id.clone(),
                    extranonce2: format!("{extranonce2:016x}"),
                    ntime: format!("{ntime:08x}"),
                    nonce: format!("{nonce:08x}"),
                    version_bits: version_bits.map(|bits| format!("{bits:08x}")),
                    hash,
                };
            }
        }
        panic!("no nonce");
    }
}
