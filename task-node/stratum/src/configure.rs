//! `mining.configure` (BIP310): what a client can do beyond the first Stratum.

use pow::ShareDifficulty;
use serde_json::{Map, Value, json};
use work::VersionMask;

/// BIP310 names four extensions; a list longer than this is not from a miner.
const MAX_EXTENSIONS: usize = 16;
/// BIP310: a client that gives no mask can roll every bit.
const ALL_BITS: u32 = u32::MAX;

/// What a client negotiated, and the reply that tells it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Negotiated {
    /// The bits it may roll, if it asked for version rolling and got it.
    pub(crate) version_mask: Option<VersionMask>,
    /// The difficulty it never wants to fall below.
    pub(crate) minimum_difficulty: Option<ShareDifficulty>,
    /// The result object.
    pub(crate) result: Value,
}

/// Negotiates the extensions in `params`: `[[names], {options}]`. `hardest` bounds the minimum difficulty: above it a client
/// would wait for whole blocks and earn nothing.
///
/// # Errors
/// A text for the client if `params` has not that form. An extension that cannot be granted is no error but a text in the
/// result (BIP310).
pub(crate) fn negotiate(
    params: &[Value],
    hardest: ShareDifficulty,
) -> Result<Negotiated, &'static str> {
    const FORM: &str = "mining.configure takes a list of extension names and an object of options";
    let names = params.first().and_then(Value::as_array).ok_or(FORM)?;
    if names.len() > MAX_EXTENSIONS {
        return Err("mining.configure: too many extensions");
    }
    let none = Map::new();
    let options = match params.get(1) {
        None | Some(Value::Null) => &none,
        Some(Value::Object(options)) => options,
        Some(_) => return Err(FORM),
    };

    let mut negotiated = Negotiated {
        version_mask: None,
        minimum_difficulty: None,
        result: Value::Null,
    };
    let mut result = Map::new();
    for name in names {
        let name = name.as_str().ok_or(FORM)?;
        let answer = match name {
            "version-rolling" => match version_rolling(options) {
                Ok(mask) => {
                    negotiated.version_mask = Some(mask);
                    result.insert("version-rolling.mask".to_owned(), json!(mask.to_string()));
                    json!(true)
                }
                Err(text) => json!(text),
            },
            "minimum-difficulty" => match minimum_difficulty(options, hardest) {
                Ok(difficulty) => {
                    negotiated.minimum_difficulty = Some(difficulty);
                    json!(true)
                }
                Err(text) => json!(text),
            },
            // The extranonce never changes within a session, so there is nothing to tell; `info` asks for no answer.
            "subscribe-extranonce" | "info" => json!(true),
            _ => json!(false),
        };
        // serde_json's map is sorted and without order of insertion; names are at most a line long.
        result.insert(name.to_owned(), answer);
    }
    negotiated.result = Value::Object(result);
    Ok(negotiated)
}

fn version_rolling(options: &Map<String, Value>) -> Result<VersionMask, String> {
    let wanted = match options.get("version-rolling.mask") {
        None => ALL_BITS,
        Some(value) => value
            .as_str()
            .filter(|text| (1..=8).contains(&text.len()))
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|text| u32::from_str_radix(text, 16).ok())
            .ok_or("version-rolling.mask must be 8 hex digits")?,
    };
    let needed = match options.get("version-rolling.min-bit-count") {
        None => 0,
        Some(value) => value
            .as_u64()
            .ok_or("version-rolling.min-bit-count must be a whole number")?,
    };
    let mask = VersionMask::negotiate(wanted);
    let granted = u64::from(mask.to_u32().count_ones());
    if granted < needed {
        return Err(format!(
            "only {granted} of the {needed} bits asked for may be rolled (mask {})",
            VersionMask::BIP320
        ));
    }
    if granted == 0 {
        return Err(format!(
            "no bit of the mask may be rolled (mask {})",
            VersionMask::BIP320
        ));
    }
    Ok(mask)
}

fn minimum_difficulty(
    options: &Map<String, Value>,
    hardest: ShareDifficulty,
) -> Result<ShareDifficulty, String> {
    let wanted = options
        .get("minimum-difficulty.value")
        .and_then(Value::as_f64)
        .ok_or("minimum-difficulty.value must be a number")?;
    // BIP310 allows 0 for "no minimum".
    if wanted.total_cmp(&0.0).is_eq() {
        return Ok(ShareDifficulty::MIN);
    }
    let difficulty = ShareDifficulty::at_least(wanted).map_err(|error| error.to_string())?;
    if difficulty > hardest {
        return Err(format!("no share is as hard as that: at most {hardest}"));
    }
    Ok(difficulty)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn ask(names: &[&str], options: Value) -> Negotiated {
        negotiate(&[json!(names), options], ShareDifficulty::MAX).unwrap()
    }

    #[test]
    fn version_rolling_grants_the_common_bits() {
        let got = ask(
            &["version-rolling"],
            json!({"version-rolling.mask": "ffffffff", "version-rolling.min-bit-count": 16}),
        );
        assert_eq!(got.version_mask, Some(VersionMask::BIP320));
        assert_eq!(
            got.result,
            json!({"version-rolling": true, "version-rolling.mask": "1fffe000"})
        );
        let got = ask(
            &["version-rolling"],
            json!({"version-rolling.mask": "00C00000"}),
        );
        assert_eq!(got.version_mask.unwrap().to_u32(), 0x00c0_0000);
        assert_eq!(
            ask(&["version-rolling"], Value::Null).version_mask,
            Some(VersionMask::BIP320)
        );
    }

    #[test]
    fn version_rolling_says_why_not() {
        for options in [
            json!({"version-rolling.mask": "1fffe000", "version-rolling.min-bit-count": 17}),
            json!({"version-rolling.mask": "00000001"}),
            json!({"version-rolling.mask": "+1fffe00"}),
            json!({"version-rolling.mask": 7}),
            json!({"version-rolling.mask": "1fffe0000"}),
            json!({"version-rolling.min-bit-count": -1}),
        ] {
            let got = ask(&["version-rolling"], options);
            assert_eq!(got.version_mask, None);
            assert!(got.result["version-rolling"].is_string(), "{}", got.result);
        }
    }

    #[test]
    fn minimum_difficulty_is_rounded_up_and_bounded() {
        let options = json!({"minimum-difficulty.value": 2_000});
        let got = ask(&["minimum-difficulty"], options.clone());
        assert_eq!(
            got.minimum_difficulty,
            Some(ShareDifficulty::at_most(2_048.0).unwrap())
        );
        let bounded = negotiate(
            &[json!(["minimum-difficulty"]), options],
            ShareDifficulty::ONE,
        )
        .unwrap();
        assert_eq!(bounded.minimum_difficulty, None);
        assert!(bounded.result["minimum-difficulty"].is_string());
        for bad in [
            json!({}),
            json!({"minimum-difficulty.value": -3}),
            json!({"minimum-difficulty.value": "9"}),
        ] {
            assert_eq!(ask(&["minimum-difficulty"], bad).minimum_difficulty, None);
        }
    }

    #[test]
    fn unknown_extensions_are_declined() {
        let got = ask(&["subscribe-extranonce", "frobnicate"], json!({}));
        assert_eq!(
            got.result,
            json!({"subscribe-extranonce": true, "frobnicate": false})
        );
        for bad in [
            vec![],
            vec![json!("version-rolling")],
            vec![json!([7])],
            vec![json!([]), json!(7)],
            vec![json!(vec!["a"; 17])],
        ] {
            assert!(negotiate(&bad, ShareDifficulty::MAX).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn granted_bits_were_asked_for_and_are_bip320_s(wanted: u32, needed in 0_u32..40) {
            let got = ask(
                &["version-rolling"],
                json!({"version-rolling.mask": format!("{wanted:08x}"), "version-rolling.min-bit-count": needed}),
            );
            if let Some(mask) = got.version_mask {
                prop_assert_eq!(mask.to_u32() & !wanted, 0);
                prop_assert!(VersionMask::BIP320.allows(mask.to_u32()));
                prop_assert!(mask.to_u32().count_ones() >= needed);
            }
        }
    }
}
