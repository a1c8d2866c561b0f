//! The sockets: JSON-RPC over HTTP, subscriptions over WebSocket, the timer of the slots.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    dev::Server,
    http::header::{self, HeaderValue},
    middleware::DefaultHeaders,
    web::{self, Bytes, Data, Payload, PayloadConfig},
};
use actix_ws::{AggregatedMessage, AggregatedMessageStream, Session};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::rpc::{MAX_REQUEST_BYTES, Node, pubsub::Subscriptions};

/// Seconds that answers under way get when the server stops.
const SHUTDOWN_SECONDS: u64 = 2;
/// Connections a worker serves at a time; further ones wait.
const MAX_CONNECTIONS: usize = 512;
/// Ports tried for a free pair.
const PORT_ATTEMPTS: usize = 64;

/// Listens on `port` and the one above. Of port 0, on any such pair.
pub(crate) fn listen(ip: IpAddr, port: u16) -> io::Result<(TcpListener, TcpListener)> {
    let pair = |port: u16| {
        let first = TcpListener::bind(SocketAddr::new(ip, port))?;
        let above = first.local_addr()?.port().checked_add(1);
        let above = above.ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
        let second = TcpListener::bind(SocketAddr::new(ip, above))?;
        Ok((first, second))
    };
    let attempts = if port == 0 { PORT_ATTEMPTS } else { 1 };
    let mut result = pair(port);
    for _ in 1..attempts {
        if result.is_ok() {
            break;
        }
        result = pair(port);
    }
    result
}

/// Serves `node` on both listeners until the returned server is told to stop.
pub(crate) fn serve(
    node: Arc<Node>,
    (http, ws): (TcpListener, TcpListener),
    stop: CancellationToken,
) -> io::Result<Server> {
    let app = move || {
        App::new()
            .app_data(Data::from(node.clone()))
            .app_data(Data::new(stop.clone()))
            .app_data(PayloadConfig::new(MAX_REQUEST_BYTES))
            // Wallets in a browser come from other origins; a cluster lets all of them in.
            .wrap(DefaultHeaders::new().add((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")))
            .route("/", web::post().to(post))
            .route("/", web::get().to(upgrade))
            .route(
                "/",
                web::method(actix_web::http::Method::OPTIONS).to(options),
            )
            .route("/health", web::get().to(async || "ok"))
    };
    Ok(HttpServer::new(app)
        .workers(2)
        .max_connections(MAX_CONNECTIONS)
        .disable_signals()
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .listen(http)?
        .listen(ws)?
        .run())
}

async fn post(request: HttpRequest, node: Data<Node>, body: Bytes) -> HttpResponse {
    let json = HeaderValue::from_static("application/json");
    let content_type = request.headers().get(header::CONTENT_TYPE);
    if !content_type.is_some_and(|given| given.as_bytes().starts_with(json.as_bytes())) {
        return HttpResponse::UnsupportedMediaType().body(
            "Supplied content type is not allowed. Content-Type: application/json is required\n",
        );
    }
    // A transaction runs for milliseconds, too long for a thread that serves sockets.
    let answer = web::block(move || node.handle(&body)).await;
    match answer {
        Ok(answer) => HttpResponse::Ok()
            .insert_header((header::CONTENT_TYPE, json))
            .body(answer.unwrap_or_default()),
        Err(error) => {
            tracing::error!(%error, "a JSON-RPC request was not answered");
            HttpResponse::InternalServerError().finish()
        }
    }
}

async fn options() -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((header::ALLOW, "OPTIONS, GET, POST"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"))
        .insert_header((
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "content-type, solana-client",
        ))
        .finish()
}

async fn upgrade(
    request: HttpRequest,
    body: Payload,
    node: Data<Node>,
    stop: Data<CancellationToken>,
) -> Result<HttpResponse, actix_web::Error> {
    if !request.headers().contains_key(header::UPGRADE) {
        return Ok(HttpResponse::MethodNotAllowed()
            .insert_header((header::ALLOW, "OPTIONS, POST"))
            .body("Used HTTP Method is not allowed. POST or OPTIONS is required\n"));
    }
    let (response, session, messages) = actix_ws::handle(&request, body)?;
    let messages = messages
        .max_frame_size(MAX_REQUEST_BYTES)
        .aggregate_continuations()
        .max_continuation_size(MAX_REQUEST_BYTES);
    actix_web::rt::spawn(converse(
        node.into_inner(),
        session,
        messages,
        stop.get_ref().clone(),
    ));
    Ok(response)
}

/// One WebSocket connection.
async fn converse(
    node: Arc<Node>,
    mut session: Session,
    mut messages: AggregatedMessageStream,
    stop: CancellationToken,
) {
    let mut changed = node.watch();
    let mut subscriptions = Subscriptions::default();
    let reason = loop {
        let said = tokio::select! {
            () = stop.cancelled() => break None,
            message = messages.recv() => match message {
                Some(Ok(AggregatedMessage::Text(text))) => {
                    let bank = node.bank();
                    let mut said: Vec<_> =
                        subscriptions.handle(&bank, text.as_bytes()).into_iter().collect();
                    said.extend(subscriptions.notifications(&bank));
                    said
                }
                Some(Ok(AggregatedMessage::Ping(payload))) => {
                    if session.pong(&payload).await.is_err() {
                        return;
                    }
                    continue;
                }
                Some(Ok(AggregatedMessage::Pong(_) | AggregatedMessage::Binary(_))) => continue,
                Some(Ok(AggregatedMessage::Close(reason))) => break reason,
                Some(Err(error)) => {
                    tracing::debug!(%error, "WebSocket connection ended");
                    break None;
                }
                None => break None,
            },
            change = changed.changed() => {
                if change.is_err() {
                    break None;
                }
                subscriptions.notifications(&node.bank())
            }
        };
        for text in said {
            if session.text(text).await.is_err() {
                return;
            }
        }
    };
    // The other side may already be gone.
    session.close(reason).await.ok();
}

/// Lets a slot pass each `slot_millis` of the monotonic clock, and those together that it could not keep up with.
pub(crate) async fn tick(node: Arc<Node>, slot_millis: u64, stop: CancellationToken) {
    let began = Instant::now();
    let mut passed = 0;
    let mut timer = tokio::time::interval(Duration::from_millis(slot_millis));
    timer.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = timer.tick() => {}
        }
        let due = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX) / slot_millis;
        let slots = due.saturating_sub(passed);
        passed = due;
        let node = node.clone();
        // The bank may be busy with a transaction; no socket should wait for that.
        if let Err(error) = tokio::task::spawn_blocking(move || node.advance(slots)).await {
            tracing::error!(%error, "a slot did not pass");
        }
    }
}
