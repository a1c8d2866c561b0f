//! The server over real TCP: limits, slow and broken clients, resumption, shutdown.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;
use stratum::PortSettings;
use support::tcp::{Client, PATIENCE, PORT, node, recipe};
use support::{EASY, Recipe, Share, difficulty, easy, user};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test]
async fn shares_are_recorded_and_answered() {
    let node = node(|_| {}).await;
    let mut miner = node.miner().await;
    for _ in 0..5 {
        let id = miner.submit().await;
        assert_eq!(miner.reply(id).await.unwrap()["result"], true);
    }
    assert_eq!(node.sink.shares.lock().unwrap().len(), 5);
    let stats = node.server.stats();
    assert_eq!(stats.connections, 1);
    assert_eq!(stats.workers[0].accepted, 5);
}

#[tokio::test]
async fn new_work_and_blocks_pass_through() {
    let node = node(|_| {}).await;
    let mut miner = node.miner().await;
    let easy_work = Recipe {
        nbits: EASY,
        prev: 2,
        ..recipe()
    };
    node.work.send_replace(Some(easy_work.cook()));
    let notify = miner.until("mining.notify").await;
    assert_eq!(notify["params"][8], true);
    let id = miner.submit().await;
    assert_eq!(miner.reply(id).await.unwrap()["result"], true);
    node.server.shutdown().await;
    let blocks = node.sink.blocks.lock().unwrap();
    assert_eq!(blocks.len(), 1);
    assert!(node.sink.shares.lock().unwrap().contains(&blocks[0]));
}

#[tokio::test]
async fn miners_whose_work_is_withdrawn_are_let_go_and_wait_for_new() {
    let node = node(|_| {}).await;
    let mut miner = node.miner().await;
    node.work.send_replace(None);
    while miner.next().await.is_some() {}
    node.connections_become(0).await;
    // It may come back, and is given nothing until there is something.
    let mut back = node.connect().await;
    back.send(&json!({"id": 1, "method": "mining.subscribe", "params": ["test"]}))
        .await;
    let params = json!([user(1, "rig"), "x"]);
    back.send(&json!({"id": 2, "method": "mining.authorize", "params": params}))
        .await;
    assert_eq!(back.reply(2).await.unwrap()["result"], true);
    assert!(back.job.is_none());
    node.work.send_replace(Some(recipe().cook()));
    back.until("mining.notify").await;
    // A second withdrawal after none was given in between changes nothing for who waits.
    node.work.send_replace(None);
    while back.next().await.is_some() {}
    let mut waiting = node.connect().await;
    waiting
        .send(&json!({"id": 1, "method": "mining.subscribe", "params": ["test"]}))
        .await;
    assert!(waiting.reply(1).await.is_some());
    node.work.send_replace(None);
    waiting
        .send(&json!({"id": 2, "method": "mining.authorize", "params": params}))
        .await;
    assert_eq!(waiting.reply(2).await.unwrap()["result"], true);
}

#[tokio::test]
async fn a_stream_without_a_socket_is_served() {
    let node = node(|settings| settings.limits.max_connections = 0).await;
    let (ours, theirs) = tokio::io::duplex(4096);
    let server = node.server.clone();
    let serving = tokio::spawn(async move { server.serve_stream(theirs, PORT).await });
    let mut miner = Client::over(ours);
    miner.log_in(None).await;
    let id = miner.submit().await;
    assert_eq!(miner.reply(id).await.unwrap()["result"], true);
    drop(miner);
    tokio::time::timeout(PATIENCE, serving)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(node.server.stats().connections, 0);
}

#[tokio::test]
async fn a_failed_recording_can_be_repeated() {
    let node = node(|_| {}).await;
    let mut miner = node.miner().await;
    let request = |id: u64, share: &Share| json!({"id": id, "method": "mining.submit", "params": share.params(&user(1, "rig"))});
    let share = miner.share(7);
    for (id, trouble) in [(10, &node.sink.fails), (11, &node.sink.panics)] {
        trouble.store(true, Ordering::SeqCst);
        miner.send(&request(id, &share)).await;
        assert_eq!(miner.reply(id).await.unwrap()["error"][0], 20);
        trouble.store(false, Ordering::SeqCst);
    }
    miner.send(&request(12, &share)).await;
    assert_eq!(miner.reply(12).await.unwrap()["result"], true);
    miner.send(&request(13, &share)).await;
    assert_eq!(miner.reply(13).await.unwrap()["error"][0], 22);
}

#[tokio::test]
async fn a_share_is_recorded_although_its_miner_is_gone() {
    let node = node(|_| {}).await;
    node.sink.waits.store(true, Ordering::SeqCst);
    let mut miner = node.miner().await;
    miner.submit().await;
    // Its line is known to have been read once the next one is answered.
    miner
        .send(&json!({"id": 9, "method": "mining.ping", "params": []}))
        .await;
    miner.reply(9).await.unwrap();
    drop(miner);
    node.sink.go_on.notify_one();
    node.server.shutdown().await;
    assert_eq!(node.sink.shares.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_client_that_closed_its_side_still_gets_its_answers() {
    let node = node(|_| {}).await;
    node.sink.waits.store(true, Ordering::SeqCst);
    let mut miner = node.miner().await;
    let id = miner.submit().await;
    miner.stream.shutdown().await.unwrap();
    node.sink.go_on.notify_one();
    assert_eq!(miner.reply(id).await.unwrap()["result"], true);
    assert_eq!(miner.next().await, None);
}

#[tokio::test]
async fn half_lines_are_put_together() {
    let node = node(|_| {}).await;
    let mut client = node.connect().await;
    let line = b"{\"id\":\"a\",\"method\":\"mining.ping\",\"params\":[]}\r\n\r\n";
    for byte in line {
        client.stream.write_all(&[*byte]).await.unwrap();
        client.stream.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    let reply = client.next().await.unwrap();
    assert_eq!(reply, json!({"id": "a", "result": "pong", "error": null}));
}

#[tokio::test]
async fn a_line_of_10_megabytes_ends_the_connection() {
    let node = node(|_| {}).await;
    let mut client = node.connect().await;
    let chunk = vec![b'a'; 64 * 1024];
    let mut sent = 0;
    // The server closes after 8 KiB; how much the kernel swallows until then is its business.
    while sent < 10 * 1024 * 1024 {
        match client.stream.write_all(&chunk).await {
            Ok(()) => sent += chunk.len(),
            Err(_) => break,
        }
    }
    assert_eq!(client.next().await, None);
    node.connections_become(0).await;
}

#[tokio::test]
async fn garbage_leads_to_a_ban() {
    let node = node(|_| {}).await;
    for _ in 0..2 {
        let mut client = node.connect().await;
        for _ in 0..10 {
            if client
                .stream
                .write_all(b"\xff\xfe garbage\n")
                .await
                .is_err()
            {
                break;
            }
        }
        while client.next().await.is_some() {}
        node.connections_become(0).await;
    }
    // The ban is entered a moment after the connection is gone.
    let turned_away = async {
        loop {
            let mut client = node.connect().await;
            let ping = b"{\"id\":1,\"method\":\"mining.ping\"}\n";
            if client.stream.write_all(ping).await.is_err() || client.next().await.is_none() {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, turned_away)
        .await
        .expect("a ban");
}

#[tokio::test]
async fn connections_per_address_and_in_total_are_limited() {
    for per_ip in [true, false] {
        let node = node(|settings| {
            if per_ip {
                settings.limits.max_connections_per_ip = 2;
            } else {
                settings.limits.max_connections = 2;
            }
        })
        .await;
        let (first, _second) = (node.miner().await, node.miner().await);
        let mut third = node.connect().await;
        assert_eq!(third.next().await, None);
        drop(first);
        node.connections_become(1).await;
        let again = async {
            loop {
                let mut client = node.connect().await;
                let ping = b"{\"id\":1,\"method\":\"mining.ping\"}\n";
                if client.stream.write_all(ping).await.is_ok() && client.next().await.is_some() {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, again)
            .await
            .expect("a free place");
    }
}

#[tokio::test]
async fn a_slow_reader_is_dropped() {
    let node = node(|settings| {
        settings.limits.write_timeout = Duration::from_millis(500);
    })
    .await;
    let mut client = node.miner().await;
    // Asks without end and reads nothing.
    let flood = b"{\"id\":1,\"method\":\"mining.ping\"}\n".repeat(1_000);
    let flooding = async { while client.stream.write_all(&flood).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, flooding)
        .await
        .expect("the end of it");
    node.connections_become(0).await;
}

#[tokio::test]
async fn a_client_that_asks_faster_than_it_reads_is_held_back_not_dropped() {
    const PINGS: usize = 40_000;
    let node = node(|_| {}).await;
    let (ours, theirs) = tokio::io::duplex(4096);
    let server = node.server.clone();
    tokio::spawn(async move { server.serve_stream(theirs, PORT).await });
    let (read, mut write) = tokio::io::split(ours);
    let mut asking = tokio::spawn(async move {
        let hundred = b"{\"id\":1,\"method\":\"mining.ping\"}\n".repeat(100);
        for _ in 0..PINGS / 100 {
            write.write_all(&hundred).await.unwrap();
        }
        write
    });
    // The replies do not fit any buffer on the way, so the client cannot get rid of all its pings before it reads.
    let held_back = tokio::time::timeout(Duration::from_secs(1), &mut asking).await;
    assert!(held_back.is_err());
    let mut lines = tokio::io::BufReader::new(read).lines();
    for number in 0..PINGS {
        let line = lines.next_line().await.unwrap();
        assert!(line.is_some(), "the end after {number} replies");
    }
    asking.await.unwrap();
}

#[tokio::test]
async fn the_memory_of_shares_is_bounded_and_cleared_by_a_block_sri_2297() {
    let node = node(|settings| settings.limits.remembered_shares = 3).await;
    let mut miner = node.miner().await;
    for number in 1..=4 {
        let id = miner.submit().await;
        let reply = miner.reply(id).await.unwrap();
        assert_eq!(reply["result"] == true, number < 4, "{reply}");
    }
    let next = Recipe {
        prev: 2,
        ..recipe()
    };
    node.work.send_replace(Some(next.cook()));
    miner.until("mining.notify").await;
    let id = miner.submit().await;
    assert_eq!(miner.reply(id).await.unwrap()["result"], true);
}

#[tokio::test]
async fn a_session_is_resumed_over_tcp() {
    let node = node(|_| {}).await;
    let first = node.miner().await;
    let (id, extranonce1) = (first.session_id.clone(), first.extranonce1.clone());
    drop(first);
    node.connections_become(0).await;
    let mut second = node.connect().await;
    second.log_in(Some(&id)).await;
    assert_eq!(second.extranonce1, extranonce1);
    let other = node.miner().await;
    assert_ne!(other.extranonce1, extranonce1);
}

#[tokio::test]
async fn shutdown_answers_what_is_under_way_and_says_goodbye() {
    let node = node(|_| {}).await;
    node.sink.waits.store(true, Ordering::SeqCst);
    let mut miner = node.miner().await;
    let id = miner.submit().await;
    miner
        .send(&json!({"id": 9, "method": "mining.ping", "params": []}))
        .await;
    miner.reply(9).await.unwrap();
    let server = node.server.clone();
    let stopping = tokio::spawn(async move { server.shutdown().await });
    miner.until("client.reconnect").await;
    node.sink.go_on.notify_one();
    assert_eq!(miner.reply(id).await.unwrap()["result"], true);
    assert_eq!(miner.next().await, None);
    tokio::time::timeout(PATIENCE, stopping)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(node.server.stats().connections, 0);
    assert!(
        TcpStream::connect(node.address).await.is_err(),
        "nobody listens"
    );
}

#[tokio::test]
async fn two_ports_two_starting_difficulties() {
    let node = node(|_| {}).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = node.server.clone();
    let port = PortSettings {
        start_difficulty: easy(6),
    };
    tokio::spawn(async move { server.listen(listener, port).await });
    let low = node.miner().await;
    let mut high = Client::over(TcpStream::connect(address).await.unwrap());
    high.log_in(None).await;
    assert_eq!(difficulty(low.difficulty), easy(0));
    assert_eq!(difficulty(high.difficulty), easy(6));
}
