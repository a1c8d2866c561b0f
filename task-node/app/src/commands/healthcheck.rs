//! `orcapool healthcheck`: asks the node on this machine whether it is alive, as a container's health check does.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;

use super::output;
use crate::cli::ConfigArgs;
use crate::config::load;

/// How long the node may take to answer. Engines give a health check a time of their own, 30 seconds by default.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is read of the answer.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    /// Whether it hands out jobs.
    pub(super) ready: bool,
    /// Where it stands, for a person.
    pub(super) message: String,
}

pub(super) async fn run(args: &ConfigArgs, ready: bool) -> anyhow::Result<ExitCode> {
    // Only one key is read: a node that runs has checked the others.
    let raw = load(args.config.as_deref(), &args.assignments())
        .map_err(|error| anyhow::anyhow!("the configuration is wrong:\n{error}"))?;
    let listen: SocketAddr = raw.http.listen.parse().with_context(|| {
        format!(
            "http.listen: `{}` is not of the form 0.0.0.0:8080",
            raw.http.listen
        )
    })?;
    Ok(match ask(listen).await {
        Ok(answer) => {
            output::line(&answer.message)?;
            if ready && !answer.ready {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            }
        }
        Err(error) => {
            output::line(&format!(
                "no answer from {}: {error:#}",
                own_address(listen)
            ))?;
            ExitCode::FAILURE
        }
    })
}

/// Asks the node that listens on `listen`.
///
/// # Errors
/// Nothing answers there, or something that is no orcapool.
pub(super) async fn ask(listen: SocketAddr) -> anyhow::Result<Answer> {
    let client = reqwest::Client::builder()
        .timeout(PATIENCE)
        // A proxy is for what is far away.
        .no_proxy()
        .tls_backend_preconfigured(chain::tls::client_config()?)
        .build()?;
    let response = client
        .get(format!("http://{}/healthz", own_address(listen)))
        .send()
        .await
        .map_err(reqwest::Error::without_url)?
        .error_for_status()?;
    response
        .json()
        .await
        .context("not the answer of a task node: something else listens there")
}

/// Where this machine reaches what listens on `listen`.
pub(super) fn own_address(listen: SocketAddr) -> SocketAddr {
    match listen {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => ([127, 0, 0, 1], v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            (std::net::Ipv6Addr::LOCALHOST, v6.port()).into()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_node_that_listens_everywhere_is_asked_here() {
        for (listen, asked) in [
            ("0.0.0.0:8080", "127.0.0.1:8080"),
            ("[::]:8080", "[::1]:8080"),
            ("192.0.2.1:80", "192.0.2.1:80"),
        ] {
            assert_eq!(own_address(listen.parse().unwrap()).to_string(), asked);
        }
    }
}
