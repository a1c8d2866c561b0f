//! The HTTP server: what Orca calls, what other nodes fetch, what the operator looks at.

// utoipa's expansion qualifies query types that are already in scope.
#[allow(unused_qualifications)]
mod chain;
#[allow(unused_qualifications)]
mod content;
mod dashboard;
mod error;
mod koii;
mod openapi;
mod rewards;
mod sidecar;
#[allow(unused_qualifications)]
mod stats;
mod status;

use std::net::TcpListener;

use actix_web::dev::Server;
use actix_web::{App, HttpServer, web};
use anyhow::Context as _;

pub use openapi::document;
pub use sidecar::ControlAccess;

use crate::node::Node;
use crate::refusal::Refusal;

/// The sidecar's socket dies at 1 MB; honest requests are a few hundred bytes a submission.
const MAX_BODY_BYTES: usize = 512 * 1024;
/// As long as an impatient pod manager waits after SIGTERM, less what the rest needs.
const SHUTDOWN_SECONDS: u64 = 4;

/// All routes; the tests use the same.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .app_data(web::PayloadConfig::new(MAX_BODY_BYTES))
        .app_data(
            web::QueryConfig::default()
                .error_handler(|error, _| Refusal::BadRequest(format!("query: {error}")).into()),
        )
        .service(
            web::resource("/healthz")
                .route(web::get().to(koii::healthz))
                .route(web::post().to(koii::healthz))
                .default_service(web::to(|| wrong_method("GET or POST"))),
        )
        .service(
            // Koii's README says GET where its template sends POST: both are answered.
            web::resource("/task/{round}")
                .route(web::post().to(koii::task))
                .route(web::get().to(koii::task))
                .default_service(web::to(|| wrong_method("POST"))),
        )
        .service(
            web::resource("/submission/{round}")
                .route(web::get().to(koii::submission))
                .default_service(web::to(|| wrong_method("GET"))),
        )
        .service(
            web::resource("/audit")
                .route(web::post().to(koii::audit))
                .default_service(web::to(|| wrong_method("POST"))),
        )
        .service(
            web::resource("/distribution/{round}")
                .route(web::post().to(koii::distribution))
                .default_service(web::to(|| wrong_method("POST"))),
        )
        .service(
            web::resource("/ipfs/{cid}")
                .route(web::get().to(content::ipfs))
                .route(web::head().to(content::ipfs))
                .default_service(web::to(|| wrong_method("GET"))),
        )
        .app_data(web::Data::new(chain::Downloads::default()))
        .route("/chain/tip", web::get().to(chain::tip))
        .route("/chain/template", web::get().to(chain::template))
        .route(
            "/chain/headers/{from_height}",
            web::get().to(chain::headers),
        )
        .route("/chain/header/{hash}", web::get().to(chain::header))
        .service(
            web::resource("/chain/block")
                .route(web::post().to(chain::block))
                .default_service(web::to(|| wrong_method("POST"))),
        )
        .route("/api/status", web::get().to(status::status))
        .route("/api/stats", web::get().to(stats::stats))
        .route("/api/rounds", web::get().to(stats::rounds))
        .route("/api/rounds/{round}/audits", web::get().to(stats::audits))
        .route(
            "/api/rounds/{round}/distribution",
            web::get().to(stats::distribution),
        )
        .route(
            "/api/rounds/{round}/settlement",
            web::get().to(rewards::settlement),
        )
        .route("/api/rewards/{address}", web::get().to(rewards::rewards))
        .route("/api/openapi.json", web::get().to(openapi::serve))
        .route("/", web::get().to(dashboard::page))
        .default_service(web::to(|| async {
            Err::<actix_web::HttpResponse, _>(Refusal::NotFound(
                "no such route: see /api/openapi.json".to_owned(),
            ))
        }));
}

async fn wrong_method(allowed: &str) -> Result<actix_web::HttpResponse, Refusal> {
    Err(Refusal::MethodNotAllowed(format!("use {allowed}")))
}

/// Starts serving on a socket that is already bound, so that a taken port is a start-up error.
///
/// # Errors
/// The socket cannot be used.
pub fn serve(
    listener: TcpListener,
    node: web::Data<Node>,
    control: ControlAccess,
) -> anyhow::Result<Server> {
    let control = web::Data::new(control);
    let app = move || {
        App::new()
            .app_data(node.clone())
            .app_data(control.clone())
            .configure(routes)
    };
    Ok(HttpServer::new(app)
        .workers(2)
        .disable_signals()
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .listen(listener)
        .context("HTTP server")?
        .run())
}
