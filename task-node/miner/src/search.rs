//! The search as a pure function, and its tests against brute force.

use std::ops::RangeInclusive;

use pow::Target;

use crate::{Kernel, PortableKernel, PreparedHeader};

/// The lowest nonce of the range with which `header` meets `target`; the nonce in `header` does not matter.
#[must_use]
pub fn search(header: &[u8; 80], target: &Target, nonces: RangeInclusive<u32>) -> Option<u32> {
    PortableKernel.search(&PreparedHeader::new(header), target, nonces)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bitcoin::Network;
    use bitcoin::consensus::serialize;
    use pow::{Algorithm, NBits, Sha256d};
    use proptest::prelude::*;

    use super::*;

    fn brute_force(header: &[u8; 80], target: &Target, nonces: RangeInclusive<u32>) -> Option<u32> {
        let mut header = *header;
        nonces.into_iter().find(|nonce| {
            header[76..].copy_from_slice(&nonce.to_le_bytes());
            target.is_met_by_le(&Sha256d::hash(&header))
        })
    }

    #[test]
    fn genesis_blocks_are_found_at_their_nonces() {
        for network in [
            Network::Bitcoin,
            Network::Testnet,
            Network::Signet,
            Network::Regtest,
        ] {
            let genesis = bitcoin::constants::genesis_block(network).header;
            let header: [u8; 80] = serialize(&genesis).try_into().unwrap();
            let target = NBits::from_consensus(genesis.bits.to_consensus())
                .unwrap()
                .target();
            let nonce = genesis.nonce;
            let from = nonce.saturating_sub(20_000);
            // Signet's and regtest's targets are easy: something lower may meet them, so ask brute force.
            let expected = brute_force(&header, &target, from..=nonce);
            assert!(expected.is_some());
            assert_eq!(search(&header, &target, from..=nonce), expected);
            assert_eq!(search(&header, &target, nonce..=nonce), Some(nonce));
            if network == Network::Bitcoin {
                assert_eq!(nonce, 2_083_236_893);
                assert_eq!(search(&header, &target, from..=nonce + 9), Some(nonce));
                assert_eq!(search(&header, &target, from..=nonce - 1), None);
            }
        }
    }

    #[test]
    fn the_ends_of_the_nonce_space_are_tried() {
        let all = Target::from_be_bytes([0xff; 32]);
        let none = Target::from_be_bytes([0; 32]);
        let header = [7; 80];
        assert_eq!(search(&header, &all, 0..=u32::MAX), Some(0));
        assert_eq!(search(&header, &all, u32::MAX..=u32::MAX), Some(u32::MAX));
        assert_eq!(search(&header, &none, u32::MAX - 5..=u32::MAX), None);
        #[allow(clippy::reversed_empty_ranges)]
        let empty = 5..=4;
        assert_eq!(search(&header, &all, empty), None);
    }

    #[test]
    fn a_hash_equal_to_the_target_meets_it() {
        let mut header = [3; 80];
        header[76..].copy_from_slice(&77_u32.to_le_bytes());
        let mut hash = Sha256d::hash(&header);
        hash.reverse();
        assert_eq!(
            search(&header, &Target::from_be_bytes(hash), 77..=77),
            Some(77)
        );
        // One less: no. The hash does not end in a zero byte, or this would not be one less.
        assert_ne!(hash[31], 0);
        hash[31] -= 1;
        assert_eq!(search(&header, &Target::from_be_bytes(hash), 77..=77), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn finds_what_brute_force_finds(
            header in prop::array::uniform32(any::<u8>()),
            rest in prop::array::uniform32(any::<u8>()),
            end in prop::array::uniform16(any::<u8>()),
            start: u32, length in 0..2_000_u32,
            // From one hash in two to about one in 4,000, with noise below the top word.
            shift in 1..12_u32, noise: [u8; 28],
        ) {
            let mut bytes = [0; 80];
            bytes[..32].copy_from_slice(&header);
            bytes[32..64].copy_from_slice(&rest);
            bytes[64..].copy_from_slice(&end);
            let mut target = [0; 32];
            target[..4].copy_from_slice(&(u32::MAX >> shift).to_be_bytes());
            target[4..].copy_from_slice(&noise);
            let target = Target::from_be_bytes(target);
            let range = start..=start.saturating_add(length);
            prop_assert_eq!(
                search(&bytes, &target, range.clone()),
                brute_force(&bytes, &target, range)
            );
        }
    }
}
