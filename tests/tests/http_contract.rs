//! The HTTP contract with the Orca sidecar, byte by byte where it matters.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use orcapool_tests::{PoolOptions, TestPool};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

fn is_json(response: &Response) -> bool {
    response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind == "application/json")
}

/// Status and JSON body; every answer of the contract is JSON, errors included.
async fn answer(response: Response) -> (u16, Value) {
    assert!(is_json(&response), "{response:?}");
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap();
    if status != 200 {
        assert_eq!(body["status"], json!(status), "{body}");
        assert!(
            body["error"].as_str().is_some_and(|text| !text.is_empty()),
            "{body}"
        );
    }
    (status, body)
}

#[tokio::test]
async fn the_sidecar_s_requests_are_answered_as_it_expects() {
    let pool = TestPool::start(&PoolOptions::default()).await.unwrap();
    let node = &pool.nodes[0];
    let http = Client::new();
    let url = |path: &str| format!("http://{}{path}", node.http);

    // Health: one generation posts {}, another one gets and reads `status` from the body.
    for request in [
        http.post(url("/healthz"))
            .header(CONTENT_TYPE, "application/json")
            .body("{}"),
        http.post(url("/healthz")).header(CONTENT_LENGTH, 0),
        http.get(url("/healthz")),
    ] {
        let (status, body) = answer(request.send().await.unwrap()).await;
        assert_eq!((status, &body["status"]), (200, &json!(200)));
    }

    // No submission before there is a round; 404 with JSON.
    let (status, _) = answer(http.get(url("/submission/0")).send().await.unwrap()).await;
    assert_eq!(status, 404);

    // /task is a POST without body and content type; again and again; GET as Koii's README has it.
    for request in [
        http.post(url("/task/0")).header(CONTENT_LENGTH, 0),
        http.post(url("/task/0")).header(CONTENT_LENGTH, 0),
        http.get(url("/task/0")),
    ] {
        let (status, body) = answer(request.send().await.unwrap()).await;
        assert_eq!((status, &body["round"]), (200, &json!(0)));
    }

    // Not round numbers; a later one skips; an earlier one is behind.
    for bad in [
        "-1",
        "01",
        "1e3",
        "x",
        "9007199254740992",
        "0x10",
        "%20",
        "99999999999999999999999",
    ] {
        let (status, _) = answer(
            http.post(url(&format!("/task/{bad}")))
                .send()
                .await
                .unwrap(),
        )
        .await;
        assert_eq!(status, 400, "{bad}");
    }
    let (status, _) = answer(http.post(url("/task/7")).send().await.unwrap()).await;
    assert_eq!(status, 200);
    let (status, _) = answer(http.post(url("/task/3")).send().await.unwrap()).await;
    assert_eq!(status, 409);
    // A slot that jumps: doubted, however often it is said, and the node goes on where it was.
    for _ in 0..2 {
        let jumped = http.post(url("/task/1000000")).send().await.unwrap();
        let (status, body) = answer(jumped).await;
        assert_eq!(status, 409);
        assert!(
            body["error"]
                .as_str()
                .unwrap()
                .contains("too far after round 7"),
            "{body}"
        );
    }

    // An empty round is a submission too: Koii restarts tasks that do not submit.
    let (status, first) = answer(http.get(url("/submission/0")).send().await.unwrap()).await;
    assert_eq!(status, 200);
    assert_eq!(first["shares"], json!(0));
    assert!(first["cid"].as_str().unwrap().starts_with("bafyrei"));
    for name in ["taskId", "roundNumber", "stakingKey"] {
        assert!(
            first.get(name).is_none(),
            "{name} would override the wrapper's"
        );
    }
    let (_, again) = answer(http.get(url("/submission/0")).send().await.unwrap()).await;
    assert_eq!(first, again);
    // Rounds this node skipped do not exist.
    let (status, _) = answer(http.get(url("/submission/5")).send().await.unwrap()).await;
    assert_eq!(status, 404);

    // Audit answers a bare JSON boolean: text/plain "false" would be truthy on the other side.
    let submission = node
        .orca
        .submission(pool.task, work::RoundNumber::ZERO)
        .await
        .unwrap();
    let response = http
        .post(url("/audit"))
        .json(&json!({"submission": submission}))
        .send()
        .await
        .unwrap();
    assert!(is_json(&response));
    assert_eq!(response.text().await.unwrap(), "true");
    let mut lie = submission.clone();
    lie.insert("shares".to_owned(), json!(1));
    let response = http
        .post(url("/audit"))
        .json(&json!({"submission": lie}))
        .send()
        .await
        .unwrap();
    assert!(is_json(&response));
    assert_eq!(response.text().await.unwrap(), "false");

    // What its submitter signed is no submission of this pool: not valid. An error would be no vote, and K2 accepts
    // what nobody votes against. What the wrapper itself got wrong is an error.
    for (field, value, expected) in [
        ("cid", Value::Null, "false"),
        ("cid", json!("no CID"), "false"),
        ("work", json!(5), "false"),
        ("shares", json!("many"), "false"),
        ("root", json!([]), "false"),
        ("roundNumber", json!("0"), "400"),
        ("stakingKey", json!("nobody"), "400"),
    ] {
        let mut lie = submission.clone();
        lie.insert(field.to_owned(), value);
        let response = http
            .post(url("/audit"))
            .json(&json!({"submission": lie}))
            .send()
            .await
            .unwrap();
        assert!(is_json(&response));
        let answer = match response.status().as_u16() {
            200 => response.text().await.unwrap(),
            status => status.to_string(),
        };
        assert_eq!(answer, expected, "{field}");
    }

    // Distribution of an empty round is the empty list.
    let response = http
        .post(url("/distribution/0"))
        .json(&json!({"bounty": 1000, "submissions": [submission]}))
        .send()
        .await
        .unwrap();
    assert!(is_json(&response));
    assert_eq!(response.text().await.unwrap(), "{}");

    // The operator sees the same: what was submitted, and that it was accepted.
    let (status, said) = answer(http.get(url("/api/status")).send().await.unwrap()).await;
    assert_eq!(status, 200);
    assert_eq!(said["running"], json!(true));
    assert_eq!(said["submission"]["round"], json!(0));
    assert_eq!(said["submission"]["cid"], first["cid"]);
    assert_eq!(said["submission"]["decided_round"], json!(0));
    assert_eq!(said["submission"]["answer"], json!("yes"));
    assert_eq!(said["submission"]["fetched"], json!(0));
    let ipfs = url(&format!(
        "/ipfs/{}?format=raw",
        first["cid"].as_str().unwrap()
    ));
    assert_eq!(http.get(ipfs).send().await.unwrap().status(), 200);
    let (_, said) = answer(http.get(url("/api/status")).send().await.unwrap()).await;
    assert_eq!(said["submission"]["fetched"], json!(1));
    // Nobody mines here, and it is said.
    assert_eq!(said["mining"]["answer"], json!("no"));
    assert_eq!(said["mining"]["round"], json!(7));
}

#[tokio::test]
async fn bad_requests_are_errors_in_json_and_nothing_is_lost() {
    let pool = TestPool::start(&PoolOptions::default()).await.unwrap();
    let node = &pool.nodes[0];
    let http = Client::new();
    let url = |path: &str| format!("http://{}{path}", node.http);
    node.orca.task(work::RoundNumber::ZERO).await.unwrap();

    for (body, expected) in [
        (String::new(), 400),
        ("null".to_owned(), 400),
        ("[]".to_owned(), 400),
        ("{\"submission\":{}}".to_owned(), 400),
        ("{\"submission\":".to_owned(), 400),
        ("[".repeat(100_000), 400),
        (
            format!("{{\"submission\":\"{}\"}}", "x".repeat(2_000_000)),
            413,
        ),
    ] {
        let response = http
            .post(url("/audit"))
            .header(CONTENT_TYPE, "application/json")
            .body(body.clone())
            .send()
            .await
            .unwrap();
        let (status, _) = answer(response).await;
        assert_eq!(status, expected, "{:.40}", body);
    }
    // Another content type does not change what a body is.
    let response = http
        .post(url("/audit"))
        .header(CONTENT_TYPE, "text/plain")
        .body("{}")
        .send()
        .await
        .unwrap();
    assert_eq!(answer(response).await.0, 400);

    for (method, path, expected) in [
        (Method::DELETE, "/healthz", 405),
        (Method::GET, "/audit", 405),
        (Method::POST, "/submission/0", 405),
        (Method::GET, "/distribution/0", 405),
        (Method::GET, "/nothing/here", 404),
        (Method::GET, "/ipfs/nonsense?format=raw", 400),
        (
            Method::GET,
            "/ipfs/bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua?format=raw",
            404,
        ),
        (
            Method::GET,
            "/ipfs/bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua",
            400,
        ),
        (Method::GET, "/api/rounds/0/distribution", 404),
        (Method::GET, "/api/rounds?limit=many", 400),
    ] {
        let response = http
            .request(method.clone(), url(path))
            .send()
            .await
            .unwrap();
        assert_eq!(answer(response).await.0, expected, "{method} {path}");
    }

    // The node is none the worse.
    assert!(node.orca.is_ready().await.unwrap());
    assert_eq!(
        node.orca.get("/api/stats").await.unwrap()["health"]["round"],
        json!(0)
    );
}

#[tokio::test]
async fn the_served_openapi_document_is_the_committed_one() {
    let pool = TestPool::start(&PoolOptions::default()).await.unwrap();
    let served = pool.nodes[0].orca.get("/api/openapi.json").await.unwrap();
    let committed: Value = serde_json::from_str(include_str!("../../docs/openapi.json")).unwrap();
    assert!(
        served == committed,
        "docs/openapi.json is out of date: run `orcapool openapi > docs/openapi.json`"
    );
    for path in [
        "/healthz",
        "/task/{round}",
        "/submission/{round}",
        "/audit",
        "/distribution/{round}",
    ] {
        assert!(served["paths"].get(path).is_some(), "{path}");
    }
}
