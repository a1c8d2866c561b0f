//! The skeleton of a CBOR item (RFC 8949, section 3): heads, lengths and nesting, looked at without recursion.

use super::CborError;

/// Levels of arrays, maps and tags within each other. A bundle has 4.
pub(super) const MAX_DEPTH: usize = 32;

/// Checks that `bytes` are one item with everything it claims to hold, nested no deeper than [`MAX_DEPTH`].
///
/// What the parts mean (text encoding, tags, canonical lengths) is for the decoder.
///
/// # Errors
/// [`CborError::TooDeep`]; [`CborError::Decode`] for bytes cut off or left over and for indefinite lengths.
pub(super) fn check(bytes: &[u8]) -> Result<(), CborError> {
    let mut rest = bytes;
    // How many items are still due in each open array, map or tag; the outermost is the item itself.
    let mut due = vec![1u64];
    while let Some(items) = due.last_mut() {
        let Some(left) = items.checked_sub(1) else {
            due.pop();
            continue;
        };
        *items = left;
        let (major, argument) = head(&mut rest)?;
        let inner = match major {
            // Byte string, text.
            2 | 3 => {
                let length = usize::try_from(argument).map_err(|_| cut_off())?;
                rest = rest.get(length..).ok_or_else(cut_off)?;
                continue;
            }
            4 => argument,
            5 => argument.checked_mul(2).ok_or_else(cut_off)?,
            6 => 1,
            // Integers, simple values and floats end with their head.
            _ => continue,
        };
        // An item takes a byte at least.
        if u64::try_from(rest.len()).is_ok_and(|left| inner > left) {
            return Err(cut_off());
        }
        if due.len() > MAX_DEPTH {
            return Err(CborError::TooDeep { limit: MAX_DEPTH });
        }
        due.push(inner);
    }
    if rest.is_empty() {
        Ok(())
    } else {
        Err(CborError::Decode("bytes follow the value".to_owned()))
    }
}

/// Takes a head: major type and argument.
fn head(rest: &mut &[u8]) -> Result<(u8, u64), CborError> {
    let (&first, tail) = rest.split_first().ok_or_else(cut_off)?;
    let width = match first & 0x1f {
        small @ 0..=23 => {
            *rest = tail;
            return Ok((first >> 5, u64::from(small)));
        }
        24 => 1,
        25 => 2,
        26 => 4,
        27 => 8,
        _ => {
            return Err(CborError::Decode(
                "indefinite or reserved length".to_owned(),
            ));
        }
    };
    let (argument, tail) = tail.split_at_checked(width).ok_or_else(cut_off)?;
    *rest = tail;
    let argument = argument
        .iter()
        .fold(0u64, |value, byte| (value << 8) | u64::from(*byte));
    Ok((first >> 5, argument))
}

fn cut_off() -> CborError {
    CborError::Decode("the value is cut off".to_owned())
}
