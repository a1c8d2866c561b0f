//! How [`Work`] is encoded: 16 bytes, big-endian, since DAG-CBOR has no integer above 64 bits and the work of one block
//! does not fit those; a decimal text where people read it, since JSON numbers lose digits.

use pow::Work;
use serde::de::{Deserialize as _, Deserializer, Error as _};
use serde::ser::{Serialize as _, Serializer};
use serde_bytes::ByteArray;

pub(crate) fn serialize<S: Serializer>(work: &Work, serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        serializer.collect_str(work)
    } else {
        ByteArray::new(work.to_hashes().to_be_bytes()).serialize(serializer)
    }
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Work, D::Error> {
    let hashes = if deserializer.is_human_readable() {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)?
    } else {
        u128::from_be_bytes(ByteArray::<16>::deserialize(deserializer)?.into_array())
    };
    Ok(Work::from_hashes(hashes))
}
