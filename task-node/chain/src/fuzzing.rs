//! What the fuzz targets throw bytes at: parsers that are private to this crate otherwise.

use bitcoin::{Network, block::Header};
use work::BlockTemplate;

use crate::wire::{CheckedTemplate, TemplateJson, check_template};

/// A node's answer to `getblocktemplate`, on the way it takes in [`crate::RpcNode`].
///
/// # Errors
/// What is wrong with it, in words.
pub fn template(json: &[u8], network: Network) -> Result<BlockTemplate, String> {
    let answer: TemplateJson = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    match check_template(answer)? {
        CheckedTemplate::Parts { parts, .. } => {
            BlockTemplate::new(&parts, network).map_err(|error| error.to_string())
        }
        CheckedTemplate::UnknownRule(rule) => Err(rule),
    }
}

/// A peer's answer to a question for headers.
///
/// # Errors
/// What is wrong with it, in words.
pub fn peer_headers(bytes: &[u8]) -> Result<Vec<Header>, String> {
    Ok(crate::peer::decode_headers(bytes)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_seed_of_the_fuzz_target_is_a_template() {
        let seed = include_bytes!("../../../fuzz/corpus/getblocktemplate/regtest");
        let template = template(seed, Network::Regtest).unwrap();
        assert_eq!((template.height(), template.transactions().len()), (102, 2));
        let cut = &seed[..seed.len() - 1];
        assert!(super::template(cut, Network::Regtest).is_err());
    }
}
