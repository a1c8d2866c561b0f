//! The operator's first page: the four answers of `/api/status`, then miners, rounds and blocks in tables.

use actix_web::HttpResponse;

/// One page without any outside resource, so that it works inside a pod and loads nothing from anybody.
const PAGE: &str = include_str!("dashboard.html");

pub(super) async fn page() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((
            "Content-Security-Policy",
            "default-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'",
        ))
        .body(PAGE)
}
