//! The directory store on a real disk: conformance, damage, and kills.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use content::{Block, BlockStore, Cid, Codec, DirStore, MAX_BLOCK_BYTES, MemoryStore, parse_cid};
use futures::TryStreamExt as _;

fn leaf(bytes: impl Into<Vec<u8>>) -> Block {
    Block::new(Codec::Raw, bytes.into()).unwrap()
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.file_name().unwrap() != "lock" {
            found.push(path);
        }
    }
    found
}

async fn listed(store: &dyn BlockStore) -> Vec<Cid> {
    let mut cids: Vec<Cid> = store.list().try_collect().await.unwrap();
    cids.sort();
    cids
}

/// What every store promises.
async fn conforms(store: &dyn BlockStore) {
    let blocks = [
        leaf(""),
        leaf("a"),
        leaf(vec![7; MAX_BLOCK_BYTES]),
        content::dag_cbor::encode(&[1, 2, 3]).unwrap(),
    ];
    for block in &blocks {
        assert_eq!(store.get(block.cid()).await.unwrap(), None);
        assert!(!store.has(block.cid()).await.unwrap());
        store.put(block).await.unwrap();
        store.put(block).await.unwrap();
        assert_eq!(store.get(block.cid()).await.unwrap().as_ref(), Some(block));
        assert!(store.has(block.cid()).await.unwrap());
    }
    // The same bytes under another codec are another block.
    let raw = leaf(blocks[3].bytes().to_vec());
    assert_eq!(store.get(raw.cid()).await.unwrap(), None);
    // A CID no block can have is absent, not an error.
    let foreign = Cid::new_v1(0x70, *raw.cid().hash());
    assert_eq!(store.get(&foreign).await.unwrap(), None);
    assert!(!store.remove(&foreign).await.unwrap());

    let mut expected: Vec<Cid> = blocks.iter().map(|block| *block.cid()).collect();
    expected.sort();
    assert_eq!(listed(store).await, expected);

    assert!(store.remove(blocks[1].cid()).await.unwrap());
    assert!(!store.remove(blocks[1].cid()).await.unwrap());
    assert_eq!(store.get(blocks[1].cid()).await.unwrap(), None);
    assert_eq!(listed(store).await.len(), 3);
}

#[tokio::test]
async fn conformance() {
    let directory = tempfile::tempdir().unwrap();
    conforms(&DirStore::open(directory.path()).unwrap()).await;
    conforms(&MemoryStore::new()).await;
}

#[tokio::test]
async fn blocks_outlive_the_store_and_are_shared_between_openers() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("not/there/yet");
    let first = DirStore::open(&path).unwrap();
    first.put(&leaf("a")).await.unwrap();
    let second = DirStore::open(&path).unwrap();
    assert!(second.has(leaf("a").cid()).await.unwrap());
    second.put(&leaf("b")).await.unwrap();
    assert!(first.has(leaf("b").cid()).await.unwrap());
    drop((first, second));
    let third = DirStore::open(&path).unwrap();
    assert_eq!(listed(&third).await.len(), 2);
}

#[tokio::test]
async fn damage_is_noticed_counted_and_mended() {
    let directory = tempfile::tempdir().unwrap();
    let store = DirStore::open(directory.path()).unwrap();
    let block = leaf("shares");
    store.put(&block).await.unwrap();
    let [file] = &files(directory.path())[..] else {
        panic!("one block, one file");
    };
    let damages: [&[u8]; 4] = [b"", b"share", b"sharez", &[0; MAX_BLOCK_BYTES + 2]];
    for (i, damage) in damages.into_iter().enumerate() {
        fs::write(file, damage).unwrap();
        assert_eq!(store.get(block.cid()).await.unwrap(), None);
        assert!(!store.has(block.cid()).await.unwrap());
        assert_eq!(listed(&store).await, [*block.cid()]);
        let before = store.damaged_reads();
        assert_eq!(before, 3 * i as u64 + 2);
        store.put(&block).await.unwrap();
        assert_eq!(store.get(block.cid()).await.unwrap(), Some(block.clone()));
    }
}

#[tokio::test]
async fn left_overs_are_swept_but_not_those_of_a_running_process() {
    let directory = tempfile::tempdir().unwrap();
    let store = DirStore::open(directory.path()).unwrap();
    let left_over = directory.path().join("v1/tmp/put-x");
    fs::write(&left_over, "half a blo").unwrap();
    let foreign = directory.path().join("v1/00/README");
    fs::write(&foreign, "what is this?").unwrap();

    let second = DirStore::open(directory.path()).unwrap();
    assert!(left_over.exists());
    drop((store, second));
    let store = DirStore::open(directory.path()).unwrap();
    assert!(!left_over.exists());
    assert!(foreign.exists());
    assert!(listed(&store).await.is_empty());
}

#[tokio::test]
async fn concurrent_puts_of_one_block_agree() {
    let directory = tempfile::tempdir().unwrap();
    let store = DirStore::open(directory.path()).unwrap();
    let block = leaf(vec![1; 100_000]);
    let puts = (0..16).map(|_| store.put(&block));
    futures::future::try_join_all(puts).await.unwrap();
    assert_eq!(store.get(block.cid()).await.unwrap(), Some(block));
    assert_eq!(files(directory.path()).len(), 1);
}

#[test]
fn an_unusable_directory_is_an_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = DirStore::open(file.path()).unwrap_err();
    assert!(error.to_string().contains("cannot create"), "{error}");
}

const CHILD: &str = "CONTENT_TEST_WRITER_DIRECTORY";

/// Not a test by itself: the process the next one kills. Says a block's CID once `put` has returned.
#[test]
fn writer_to_be_killed() {
    let Some(directory) = std::env::var_os(CHILD) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = DirStore::open(directory).unwrap();
        for i in 0u64.. {
            let seed = (u64::from(std::process::id()) << 32) + i;
            let mut bytes = seed.to_le_bytes().to_vec();
            bytes.resize(64 * 1024, i as u8);
            let block = leaf(bytes);
            store.put(&block).await.unwrap();
            let mut out = std::io::stdout().lock();
            writeln!(out, "\nput {}", block.cid()).unwrap();
            out.flush().unwrap();
        }
    });
}

/// kill -9 at any moment: every acknowledged block is whole, nothing is half there, and the next start cleans up.
#[tokio::test]
async fn acknowledged_blocks_survive_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for round in 1..=10 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["writer_to_be_killed", "--exact", "--nocapture"])
            .env(CHILD, directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut puts = 0;
        for line in &mut lines {
            if let Some(cid) = line.unwrap().strip_prefix("put ") {
                acknowledged.push(parse_cid(cid).unwrap());
                puts += 1;
                if puts == round * 3 {
                    break;
                }
            }
        }
        // Somewhere within the next puts.
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged.extend(
            lines
                .map_while(Result::ok)
                .filter_map(|line| parse_cid(line.strip_prefix("put ")?).ok()),
        );
        assert!(puts == round * 3, "the writer stopped by itself");
    }
    let store = DirStore::open(directory.path()).unwrap();
    assert!(acknowledged.len() >= 165);
    for cid in &acknowledged {
        assert!(store.has(cid).await.unwrap(), "{cid} was acknowledged");
    }
    for cid in listed(&store).await {
        assert!(store.has(&cid).await.unwrap(), "{cid} is half there");
    }
    assert_eq!(store.damaged_reads(), 0);
    assert_eq!(
        fs::read_dir(directory.path().join("v1/tmp"))
            .unwrap()
            .count(),
        0
    );
}
