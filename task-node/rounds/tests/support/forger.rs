//! A forger's workshop: a bundle taken apart into its fields, and put together again with every hash, sum, order and
//! count made to fit, so that only the lie itself is left to be found.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use std::collections::BTreeMap;

use bytes::Bytes;
use cid::Cid;
use ipld_core::ipld::Ipld;
use pow::{NBits, Work};
use rounds::{Bundle, EncodedBundle, Leaf, MerkleSumTree, PackedShare, encode_chunk};

use super::Blocks;

pub type Map = BTreeMap<String, Ipld>;

/// A bundle in pieces. Everything in it fits into one block of each kind.
#[derive(Debug, Clone)]
pub struct Draft {
    pub root: Map,
    pub jobs: Vec<Map>,
    pub claims: Vec<Map>,
    pub shares: Vec<PackedShare>,
}

pub fn map(ipld: Ipld) -> Map {
    match ipld {
        Ipld::Map(map) => map,
        other => panic!("not a map: {other:?}"),
    }
}

pub fn from_cbor(bytes: &[u8]) -> Ipld {
    serde_ipld_dagcbor::from_slice(bytes).unwrap()
}

pub fn to_cbor(ipld: &Ipld) -> Vec<u8> {
    serde_ipld_dagcbor::to_vec(ipld).unwrap()
}

fn link(list: &Ipld) -> Option<Cid> {
    let Ipld::List(links) = list else {
        panic!("not a list")
    };
    assert!(links.len() <= 1, "the draft is for small bundles");
    links.first().map(|first| match first {
        Ipld::List(fields) => match fields.first() {
            Some(Ipld::Link(cid)) => *cid,
            other => panic!("not a link: {other:?}"),
        },
        other => panic!("not a link: {other:?}"),
    })
}

pub fn number(ipld: &Ipld) -> i128 {
    match ipld {
        Ipld::Integer(number) => *number,
        other => panic!("not a number: {other:?}"),
    }
}

impl Draft {
    pub fn of(bundle: &EncodedBundle) -> Self {
        let blocks = Blocks::of(bundle);
        let root_bytes = blocks.get(&bundle.cid).unwrap();
        let read = Bundle::read(&bundle.cid, &root_bytes, |cid| blocks.get(cid)).unwrap();
        let root = map(from_cbor(&root_bytes));
        let table = |name: &str| {
            let Some(cid) = link(&root[name]) else {
                return Vec::new();
            };
            let Ipld::List(entries) = from_cbor(&blocks.get(&cid).unwrap()) else {
                panic!("no table")
            };
            entries.into_iter().map(map).collect()
        };
        Self {
            jobs: table("jobs"),
            claims: table("claims"),
            shares: read
                .present()
                .flat_map(|chunk| read.shares(chunk).unwrap())
                .collect(),
            root,
        }
    }

    /// The smallest ntime of a job's shares becomes its base time.
    pub fn rebase(&mut self) {
        for (index, job) in self.jobs.iter_mut().enumerate() {
            let times = self
                .shares
                .iter()
                .filter(|s| s.job as usize == index)
                .map(|s| s.ntime);
            let base = Ipld::Integer(i128::from(times.min().unwrap()));
            job.insert("mintime".to_owned(), base.clone());
            job.insert("curtime".to_owned(), base);
        }
    }

    /// Puts tables and shares into canonical order.
    pub fn sort(&mut self) {
        let job_key = |job: &Map| {
            (
                number(&job["height"]),
                work::JobTemplateId(sha256(&to_cbor(&Ipld::Map(job.clone())))),
            )
        };
        let claim_key = |claim: &Map| {
            let Ipld::Bytes(miner) = claim["miner"].clone() else {
                panic!("miner")
            };
            let Ipld::Bytes(extension) = claim["extension"].clone() else {
                panic!("extension")
            };
            // Greater nBits are easier.
            (miner, -number(&claim["bits"]), extension)
        };
        let job_order = order(&self.jobs, job_key);
        let claim_order = order(&self.claims, claim_key);
        self.jobs = job_order.iter().map(|&i| self.jobs[i].clone()).collect();
        self.claims = claim_order
            .iter()
            .map(|&i| self.claims[i].clone())
            .collect();
        for share in &mut self.shares {
            share.job = job_order
                .iter()
                .position(|&i| i == share.job as usize)
                .unwrap() as u32;
            share.claim = claim_order
                .iter()
                .position(|&i| i == share.claim as usize)
                .unwrap() as u32;
        }
        self.shares.sort();
    }

    fn work(&self) -> Work {
        let of = |claim: &Map| {
            let bits = u32::try_from(number(&claim["bits"])).unwrap_or(0);
            NBits::from_consensus(bits).map_or(Work::ZERO, NBits::work)
        };
        self.shares
            .iter()
            .map(|share| of(&self.claims[share.claim as usize]))
            .sum()
    }

    /// Everything fitted together. `None` if the shares cannot be encoded at all.
    pub fn seal(&self) -> Option<(Cid, Blocks)> {
        let base_times: Vec<u32> = self
            .jobs
            .iter()
            .map(|job| u32::try_from(number(&job["mintime"])).ok())
            .collect::<Option<_>>()?;
        let chunk = encode_chunk(&self.shares, &base_times).ok()?;
        self.seal_with(chunk, self.shares.len() as u64, self.work())
    }

    pub fn seal_with(&self, chunk: Vec<u8>, shares: u64, work: Work) -> Option<(Cid, Blocks)> {
        let table = |entries: &[Map]| {
            to_cbor(&Ipld::List(
                entries.iter().cloned().map(Ipld::Map).collect(),
            ))
        };
        self.seal_blocks(table(&self.jobs), table(&self.claims), chunk, shares, work)
    }

    /// From the bytes of each block, links and sums made to fit.
    pub fn seal_blocks(
        &self,
        jobs: Vec<u8>,
        claims: Vec<u8>,
        chunk: Vec<u8>,
        shares: u64,
        work: Work,
    ) -> Option<(Cid, Blocks)> {
        let mut blocks = Blocks::default();
        let mut put = |codec, bytes: Vec<u8>| {
            let block = content::Block::new(codec, Bytes::from(bytes)).unwrap();
            blocks.0.insert(*block.cid(), block.bytes().clone());
            *block.cid()
        };
        let jobs = put(content::Codec::DagCbor, jobs);
        let claims = put(content::Codec::DagCbor, claims);
        let chunk = put(content::Codec::Raw, chunk);
        let tree = MerkleSumTree::new(&[Leaf {
            digest: chunk.hash().digest().try_into().unwrap(),
            shares,
            work,
        }])?;

        let work = Ipld::Bytes(work.to_hashes().to_be_bytes().to_vec());
        let count = |n: usize| Ipld::Integer(n as i128);
        let list = |fields| Ipld::List(vec![Ipld::List(fields)]);
        let mut root = self.root.clone();
        root.insert(
            "jobs".to_owned(),
            list(vec![Ipld::Link(jobs), count(self.jobs.len())]),
        );
        root.insert(
            "claims".to_owned(),
            list(vec![Ipld::Link(claims), count(self.claims.len())]),
        );
        root.insert(
            "shares".to_owned(),
            list(vec![
                Ipld::Link(chunk),
                count(shares as usize),
                work.clone(),
            ]),
        );
        let mut totals = map(root["totals"].clone());
        totals.insert("shares".to_owned(), count(shares as usize));
        totals.insert("work".to_owned(), work);
        root.insert("totals".to_owned(), Ipld::Map(totals));
        root.insert("sum".to_owned(), Ipld::Bytes(tree.root().to_vec()));
        Some(seal_root(&root, blocks))
    }
}

/// A bundle in which one chunk holds other shares and says to have other work; everything else is made to fit.
pub fn replace_chunk(
    bundle: &EncodedBundle,
    index: usize,
    chunk: Vec<u8>,
    work: Work,
) -> (Cid, Blocks) {
    let mut blocks = Blocks::of(bundle);
    let block = content::Block::new(content::Codec::Raw, Bytes::from(chunk)).unwrap();
    blocks.0.insert(*block.cid(), block.bytes().clone());
    let mut chunks = bundle.root.chunks().to_vec();
    (chunks[index].cid, chunks[index].work) = (*block.cid(), work);
    let leaves: Vec<Leaf> = chunks
        .iter()
        .map(|chunk| Leaf {
            digest: chunk.cid.hash().digest().try_into().unwrap(),
            shares: u64::from(chunk.shares),
            work: chunk.work,
        })
        .collect();
    let tree = MerkleSumTree::new(&leaves).unwrap();
    let bytes = |work: Work| Ipld::Bytes(work.to_hashes().to_be_bytes().to_vec());
    let mut root = map(from_cbor(&blocks.get(&bundle.cid).unwrap()));
    let links = chunks.iter().map(|chunk| {
        Ipld::List(vec![
            Ipld::Link(chunk.cid),
            Ipld::Integer(i128::from(chunk.shares)),
            bytes(chunk.work),
        ])
    });
    root.insert("shares".to_owned(), Ipld::List(links.collect()));
    let mut totals = map(root["totals"].clone());
    totals.insert("work".to_owned(), bytes(tree.work()));
    root.insert("totals".to_owned(), Ipld::Map(totals));
    root.insert("sum".to_owned(), Ipld::Bytes(tree.root().to_vec()));
    seal_root(&root, blocks)
}

/// Adds a root block as it stands.
pub fn seal_root(root: &Map, mut blocks: Blocks) -> (Cid, Blocks) {
    let bytes = to_cbor(&Ipld::Map(root.clone()));
    let block = content::Block::new(content::Codec::DagCbor, Bytes::from(bytes)).unwrap();
    blocks.0.insert(*block.cid(), block.bytes().clone());
    (*block.cid(), blocks)
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    content::Block::new(content::Codec::Raw, bytes.to_vec())
        .unwrap()
        .cid()
        .hash()
        .digest()
        .try_into()
        .unwrap()
}

fn order<T, K: Ord>(entries: &[T], key: impl Fn(&T) -> K) -> Vec<usize> {
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by_key(|&i| key(&entries[i]));
    order
}

/// All values that differ from this one by one bit in one byte, at every place: numbers as `bytes` bytes, byte strings
/// and texts byte by byte, lists entry by entry, maps field by field, links in their digest.
pub fn one_byte_lies(value: &Ipld, bytes: u32, bit: u8) -> Vec<Ipld> {
    match value {
        Ipld::Integer(n) => (0..bytes)
            .map(|i| Ipld::Integer(n ^ (i128::from(bit) << (8 * i))))
            .collect(),
        Ipld::Bytes(b) => flips(b, bit).map(Ipld::Bytes).collect(),
        Ipld::String(s) => flips(s.as_bytes(), bit & 0x7f | 1)
            .filter_map(|b| String::from_utf8(b).ok().map(Ipld::String))
            .collect(),
        Ipld::Link(cid) => flips(cid.hash().digest(), bit)
            .map(|digest| {
                Ipld::Link(Cid::new_v1(
                    cid.codec(),
                    cid::multihash::Multihash::wrap(0x12, &digest).unwrap(),
                ))
            })
            .collect(),
        Ipld::List(list) => (0..list.len())
            .flat_map(|i| {
                one_byte_lies(&list[i], bytes, bit)
                    .into_iter()
                    .map(move |lie| {
                        let mut list = list.clone();
                        list[i] = lie;
                        Ipld::List(list)
                    })
            })
            .collect(),
        Ipld::Map(fields) => fields
            .iter()
            .flat_map(|(name, value)| {
                one_byte_lies(value, bytes, bit)
                    .into_iter()
                    .map(move |lie| {
                        let mut fields = fields.clone();
                        fields.insert(name.clone(), lie);
                        Ipld::Map(fields)
                    })
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn flips(bytes: &[u8], bit: u8) -> impl Iterator<Item = Vec<u8>> {
    (0..bytes.len()).map(move |i| {
        let mut flipped = bytes.to_vec();
        flipped[i] ^= bit;
        flipped
    })
}
