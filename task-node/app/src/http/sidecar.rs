//! Who may drive rounds.
//!
//! The Orca sidecar sends no credentials, so its routes cannot ask for any. But it lives in the container's own network
//! namespace and calls 127.0.0.1, while other nodes and miners come from elsewhere for `/ipfs` and the dashboard. Without
//! this check anybody who reaches the port could end a node's rounds for good with one `/task/9007199254740990`.

use std::future::{Ready, ready};
use std::net::IpAddr;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};

use crate::refusal::Refusal;

/// Where the routes that drive rounds may be called from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlAccess {
    /// This machine, which in a pod is the pod.
    Loopback,
    /// Anywhere: the operator keeps strangers out by other means.
    Anywhere,
}

impl ControlAccess {
    fn allows(self, caller: Option<IpAddr>) -> bool {
        match self {
            Self::Anywhere => true,
            Self::Loopback => caller.is_some_and(|caller| caller.to_canonical().is_loopback()),
        }
    }
}

/// Proof that the caller may drive rounds.
#[derive(Debug)]
pub(super) struct Sidecar;

impl FromRequest for Sidecar {
    type Error = Refusal;
    type Future = Ready<Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let access = request
            .app_data::<web::Data<ControlAccess>>()
            .map_or(ControlAccess::Loopback, |access| *access.get_ref());
        // The socket's own address: headers such as X-Forwarded-For are the caller's word.
        let caller = request.peer_addr().map(|address| address.ip());
        ready(if access.allows(caller) {
            Ok(Self)
        } else {
            Err(Refusal::Forbidden(
                "only the Orca sidecar may call this, from this machine: if yours calls from elsewhere, keep strangers off \
                 this port and set http.control_from_anywhere = true"
                    .to_owned(),
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use actix_web::test::TestRequest;

    use super::*;

    async fn asked(access: ControlAccess, caller: &str) -> bool {
        let request = TestRequest::post()
            .uri("/task/1")
            .peer_addr(caller.parse().unwrap())
            .insert_header(("X-Forwarded-For", "127.0.0.1"))
            .app_data(web::Data::new(access))
            .to_http_request();
        Sidecar::extract(&request).await.is_ok()
    }

    #[actix_web::test]
    async fn strangers_cannot_drive_rounds() {
        for caller in [
            "127.0.0.1:5000",
            "127.9.9.9:5000",
            "[::1]:5000",
            "[::ffff:127.0.0.1]:5000",
        ] {
            assert!(asked(ControlAccess::Loopback, caller).await, "{caller}");
        }
        for caller in [
            "10.0.0.2:5000",
            "192.0.2.1:5000",
            "[2001:db8::1]:5000",
            "[::ffff:10.0.0.2]:5000",
        ] {
            assert!(!asked(ControlAccess::Loopback, caller).await, "{caller}");
            assert!(asked(ControlAccess::Anywhere, caller).await, "{caller}");
        }
    }
}
