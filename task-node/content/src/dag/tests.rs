#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;

use super::*;
use crate::{block::Codec, store::MemoryStore};

fn leaf(bytes: impl Into<Vec<u8>>) -> Block {
    Block::new(Codec::Raw, bytes.into()).unwrap()
}

fn node(children: &[&Block]) -> Block {
    let links: Vec<Cid> = children.iter().map(|child| *child.cid()).collect();
    dag_cbor::encode(&links).unwrap()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    futures::executor::block_on(future)
}

fn store_of(blocks: &[&Block]) -> MemoryStore {
    let store = MemoryStore::new();
    for block in blocks {
        block_on(store.put(block)).unwrap();
    }
    store
}

fn order_of(store: &MemoryStore, root: &Block) -> Vec<Cid> {
    let mut walk = DagWalk::new(*root.cid(), DagLimits::default()).unwrap();
    let mut order = Vec::new();
    while let Some(step) = block_on(walk.next(store)).unwrap() {
        order.push(match step {
            Step::Block(block) => *block.cid(),
            Step::Missing(cid) => cid,
        });
    }
    order
}

const WIDE: DagLimits = DagLimits {
    max_blocks: 1000,
    max_total_bytes: 1 << 30,
    max_depth: 100,
};

#[test]
fn depth_first_and_each_block_once() {
    let (c, d) = (leaf("c"), leaf("d"));
    let b = node(&[&c, &d, &c]);
    let a = node(&[&b, &c, &b, &d]);
    let store = store_of(&[&a, &b, &c, &d]);
    assert_eq!(
        order_of(&store, &a),
        [*a.cid(), *b.cid(), *c.cid(), *d.cid()]
    );
    let summary = block_on(walk(&store, *a.cid(), WIDE)).unwrap();
    assert_eq!(summary.blocks, 4);
    let lengths = [&a, &b, &c, &d].map(|block| block.bytes().len() as u64);
    assert_eq!(summary.bytes, lengths.iter().sum::<u64>());
    assert_eq!(summary.missing, []);
}

/// 60 blocks, 2^60 paths: the walk must count blocks, not paths.
#[test]
fn exponentially_many_paths_are_walked_once() {
    let mut store = vec![leaf("bottom")];
    for _ in 0..60 {
        let below = store.last().unwrap();
        store.push(node(&[below, below]));
    }
    let root = *store.last().unwrap().cid();
    let store = store_of(&store.iter().collect::<Vec<_>>());
    assert_eq!(block_on(walk(&store, root, WIDE)).unwrap().blocks, 61);
}

#[test]
fn missing_blocks_are_reported_and_walked_around() {
    let (c, d) = (leaf("c"), leaf("d"));
    let b = node(&[&c]);
    let a = node(&[&b, &d, &b]);
    let store = store_of(&[&a, &c, &d]);
    assert_eq!(order_of(&store, &a), [*a.cid(), *b.cid(), *d.cid()]);
    let summary = block_on(walk(&store, *a.cid(), WIDE)).unwrap();
    assert_eq!((summary.blocks, summary.missing), (2, vec![*b.cid()]));

    let nothing = block_on(walk(&MemoryStore::new(), *a.cid(), WIDE)).unwrap();
    assert_eq!((nothing.blocks, nothing.missing), (0, vec![*a.cid()]));
}

#[test]
fn limits_hold_to_the_last_block_byte_and_link() {
    let leaves: Vec<Block> = (0..5u8).map(|i| leaf([i; 10])).collect();
    let b = node(&leaves.iter().collect::<Vec<_>>());
    let a = node(&[&b]);
    let mut all: Vec<&Block> = leaves.iter().collect();
    all.extend([&a, &b]);
    let store = store_of(&all);
    let bytes: u64 = all.iter().map(|block| block.bytes().len() as u64).sum();
    let exact = DagLimits {
        max_blocks: 7,
        max_total_bytes: bytes,
        max_depth: 2,
    };
    let check = |limits| match block_on(walk(&store, *a.cid(), limits)) {
        Ok(summary) => Ok(summary.blocks),
        Err(DagError::Invalid(violation)) => Err(violation),
        Err(other) => panic!("{other}"),
    };
    assert_eq!(check(exact), Ok(7));
    assert_eq!(
        check(DagLimits {
            max_blocks: 6,
            ..exact
        }),
        Err(DagViolation::TooManyBlocks { limit: 6 })
    );
    assert_eq!(
        check(DagLimits {
            max_blocks: 0,
            ..exact
        }),
        Err(DagViolation::TooManyBlocks { limit: 0 })
    );
    assert_eq!(
        check(DagLimits {
            max_total_bytes: bytes - 1,
            ..exact
        }),
        Err(DagViolation::TooManyBytes { limit: bytes - 1 })
    );
    assert_eq!(
        check(DagLimits {
            max_depth: 1,
            ..exact
        }),
        Err(DagViolation::TooDeep {
            cid: *leaves[0].cid(),
            limit: 1
        })
    );
}

/// The surplus must be refused when it is linked, before anybody fetches it.
#[test]
fn a_root_with_too_many_links_is_refused_at_the_root() {
    let leaves: Vec<Block> = (0..1000u32).map(|i| leaf(i.to_le_bytes())).collect();
    let root = node(&leaves.iter().collect::<Vec<_>>());
    let mut frontier = Frontier::new(*root.cid(), WIDE).unwrap();
    assert_eq!(
        frontier.accept(&root),
        Err(DagViolation::TooManyBlocks { limit: 1000 })
    );
    assert_eq!(frontier.missing(), [*root.cid()]);
}

#[test]
fn blocks_that_nothing_links_are_refused() {
    let (linked, stranger) = (leaf("linked"), leaf("stranger"));
    let root = node(&[&linked]);
    let mut frontier = Frontier::new(*root.cid(), WIDE).unwrap();
    for early in [&linked, &stranger] {
        assert_eq!(
            frontier.accept(early),
            Err(DagViolation::Unexpected { cid: *early.cid() })
        );
    }
    assert_eq!(
        frontier.accept(&root),
        Ok(Accepted::New(vec![*linked.cid()]))
    );
    assert_eq!(frontier.accept(&root), Ok(Accepted::Repeated));
    assert!(frontier.accept(&stranger).is_err());
    assert!(!frontier.is_complete());
    assert_eq!(frontier.accept(&linked), Ok(Accepted::New(Vec::new())));
    assert!(frontier.is_complete());
}

#[test]
fn garbage_and_foreign_links_are_the_dags_fault() {
    let garbage = Block::new(Codec::DagCbor, &b"\xff"[..]).unwrap();
    let foreign = dag_cbor::encode(&Cid::new_v1(0x70, *leaf("x").cid().hash())).unwrap();
    for block in [garbage, foreign] {
        let mut frontier = Frontier::new(*block.cid(), WIDE).unwrap();
        assert!(matches!(
            frontier.accept(&block),
            Err(DagViolation::Undecodable { cid, .. }) if cid == *block.cid()
        ));
    }
    let dag_pb = Cid::new_v1(0x70, *leaf("x").cid().hash());
    assert!(matches!(
        Frontier::new(dag_pb, WIDE),
        Err(DagViolation::Root { .. })
    ));
}

/// Random DAGs: node i links some of the nodes before it; the last is the root.
fn arb_dag() -> impl Strategy<Value = Vec<Block>> {
    proptest::collection::vec(
        proptest::collection::vec(any::<prop::sample::Index>(), 0..5),
        1..30,
    )
    .prop_map(|plan| {
        let mut blocks = vec![leaf("0")];
        for (i, links) in plan.iter().enumerate() {
            let children: Vec<Cid> = links
                .iter()
                .map(|index| *blocks[index.index(blocks.len())].cid())
                .collect();
            blocks.push(dag_cbor::encode(&(i as u64, children)).unwrap());
        }
        blocks
    })
}

proptest! {
    #[test]
    fn the_walk_meets_what_is_reachable(blocks in arb_dag(), hole in any::<prop::sample::Index>()) {
        let root = *blocks.last().unwrap().cid();
        let by_cid: HashMap<Cid, &Block> = blocks.iter().map(|b| (*b.cid(), b)).collect();
        // The plain way, without limits or stores.
        let reachable = |absent: Option<Cid>| {
            let mut met = HashSet::new();
            let mut open = vec![root];
            while let Some(cid) = open.pop() {
                if met.insert(cid) && Some(cid) != absent {
                    open.extend(dag_cbor::links(by_cid[&cid]).unwrap());
                }
            }
            met
        };
        let store = store_of(&blocks.iter().collect::<Vec<_>>());
        let summary = block_on(walk(&store, root, WIDE)).unwrap();
        prop_assert_eq!(summary.blocks, reachable(None).len());
        prop_assert!(summary.missing.is_empty());

        let absent = *blocks[hole.index(blocks.len())].cid();
        block_on(store.remove(&absent)).unwrap();
        let met = reachable(Some(absent));
        let summary = block_on(walk(&store, root, WIDE)).unwrap();
        let expected: Vec<Cid> = met.contains(&absent).then_some(absent).into_iter().collect();
        prop_assert_eq!(summary.blocks, met.len() - expected.len());
        prop_assert_eq!(summary.missing, expected);
    }
}
