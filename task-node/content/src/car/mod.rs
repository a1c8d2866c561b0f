//! CARv1: a whole DAG as one stream (<https://ipld.io/specs/transport/car/carv1/>).
//!
//! ```text
//! varint(length) dag-cbor{roots: [cid], version: 1}   then for each block   varint(length) cid bytes
//! ```
//!
//! Written by hand over `unsigned-varint` because `iroh-car`, the maintained crate, is not made for hostile input: it
//! hashes nothing, takes a stream that ends inside a length for a whole one, allocates up to 4 MiB on a length's
//! word, and has no limit on the number of blocks or on their sum. Here every block is hashed on arrival, memory grows with what
//! has arrived, and a block that no earlier one links is refused: a peer can neither fill the store nor hide a block.
//!
//! So a CAR must list parents before children, as [`export`], Kubo and the trustless gateways do.

mod decoder;
mod error;
mod read;
mod write;

pub use decoder::{CarDecoder, CarItem};
pub use error::CarError;
pub(crate) use read::import_into;
pub use read::{CarContents, ImportReport, import, read_all};
pub use write::{ExportReport, export, export_stream};

#[cfg(test)]
mod tests;
