//! The HTTP side: what is no JSON-RPC request gets the answer a cluster gives, and nobody sends more than 50 KiB.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::genesis;
use k2_local::{Advance, LocalK2, LocalK2Options};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Sends a request as it stands and returns what comes back until the connection is closed.
async fn exchange(k2: &LocalK2, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(k2.addr()).await.unwrap();
    let len = body.len();
    let request =
        format!("{head}\r\nHost: k2\r\nConnection: close\r\nContent-Length: {len}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn the_http_of_a_cluster() {
    let mut options = LocalK2Options::new(genesis());
    options.port = 0;
    options.advance = Advance::ByHand;
    let k2 = LocalK2::start(options).await.unwrap();
    assert!(k2.addr().ip().is_loopback());
    let post = "POST / HTTP/1.1\r\nContent-Type: application/json";
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"getHealth"}"#;

    let answer = exchange(&k2, post, call).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        answer.contains("access-control-allow-origin: *"),
        "{answer}"
    );
    assert!(answer.contains(r#""result":"ok""#), "{answer}");
    let charset = format!("{post}; charset=utf-8");
    assert!(
        exchange(&k2, &charset, call)
            .await
            .starts_with("HTTP/1.1 200")
    );
    assert!(
        exchange(&k2, "GET /health HTTP/1.1", "")
            .await
            .ends_with("\r\n\r\nok")
    );
    assert!(
        exchange(&k2, "OPTIONS / HTTP/1.1", "")
            .await
            .starts_with("HTTP/1.1 204")
    );

    let plain = "POST / HTTP/1.1\r\nContent-Type: text/plain";
    assert!(exchange(&k2, plain, call).await.starts_with("HTTP/1.1 415"));
    assert!(
        exchange(&k2, "GET / HTTP/1.1", "")
            .await
            .starts_with("HTTP/1.1 405")
    );
    assert!(
        exchange(&k2, "GET /else HTTP/1.1", "")
            .await
            .starts_with("HTTP/1.1 404")
    );
    let most = format!("{call}{}", " ".repeat(50 * 1024 - call.len()));
    assert!(exchange(&k2, post, &most).await.starts_with("HTTP/1.1 200"));
    assert!(
        exchange(&k2, post, &format!("{most} "))
            .await
            .starts_with("HTTP/1.1 413")
    );

    // Slots pass by hand only.
    assert_eq!(k2.node().bank().slot(), 1);
    k2.advance_slots(9);
    assert_eq!(k2.node().bank().slot(), 10);
    k2.stop().await;
}

#[tokio::test]
async fn dropping_it_frees_the_ports() {
    let mut options = LocalK2Options::new(genesis());
    options.port = 0;
    let k2 = LocalK2::start(options.clone()).await.unwrap();
    options.port = k2.addr().port();
    drop(k2);
    for _ in 0..200 {
        if let Ok(again) = LocalK2::start(options.clone()).await {
            assert_eq!(again.addr().port(), options.port);
            return again.stop().await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("port {} is still taken", options.port);
}
