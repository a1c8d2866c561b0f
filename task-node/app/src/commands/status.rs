//! `orcapool status`: the operator's four questions, asked of the running node, or of its store when none runs.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use work::{Clock as _, SystemClock};

use super::healthcheck::own_address;
use super::status_text::text;
use super::{configuration, output};
use crate::cli::StatusArgs;
use crate::config::load;
use crate::node::{open_store_to_read, room, stored};
use crate::status::{StatusView, answer};

/// A node asks gateways and K2, five seconds each at most, before it answers.
const PATIENCE: Duration = Duration::from_secs(15);
/// `--watch` asks this often.
const EVERY: Duration = Duration::from_secs(2);
/// An answer is a few kilobytes.
const MAX_ANSWER: usize = 1 << 20;
/// There is nobody to ask.
const NOBODY: u8 = 2;

pub(super) async fn run(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let base = match &args.url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => format!("http://{}", own_address(listen(args)?)),
    };
    loop {
        let code = once(args, &base).await?;
        if !args.watch {
            return Ok(code);
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn once(args: &StatusArgs, base: &str) -> anyhow::Result<ExitCode> {
    let (status, code) = match ask(base).await {
        Ok(status) => {
            let code = u8::from(!status.well);
            (status, code)
        }
        Err(error) => {
            let silence = format!("no answer from {base}: {error:#}");
            ensure!(args.url.is_none(), "{silence}");
            eprintln!("{silence}");
            match from_store(args).await {
                Ok(status) => (status, NOBODY),
                // Watching goes on: the node may be about to start.
                Err(error) if args.watch => {
                    eprintln!("{error:#}");
                    return Ok(ExitCode::from(NOBODY));
                }
                Err(error) => return Err(error),
            }
        }
    };
    if args.json {
        output::json(&status)?;
    } else {
        if args.watch && std::io::stdout().is_terminal() {
            // Home and clear, as `watch` does.
            output::line("\u{1b}[H\u{1b}[2J")?;
        }
        output::line(&text(&status))?;
    }
    Ok(ExitCode::from(code))
}

/// Only one key is read: a node that runs has checked the others.
fn listen(args: &StatusArgs) -> anyhow::Result<SocketAddr> {
    let raw = load(args.config.config.as_deref(), &args.config.assignments())
        .map_err(|error| anyhow::anyhow!("the configuration is wrong:\n{error}"))?;
    raw.http.listen.parse().with_context(|| {
        format!(
            "http.listen: `{}` is not of the form 0.0.0.0:8080",
            raw.http.listen
        )
    })
}

async fn ask(base: &str) -> anyhow::Result<StatusView> {
    let client = reqwest::Client::builder()
        .timeout(PATIENCE)
        .tls_backend_preconfigured(chain::tls::client_config()?);
    // A proxy is for what is far away.
    let client = if base.contains("//127.0.0.1") || base.contains("//[::1]") {
        client.no_proxy()
    } else {
        client
    };
    let mut response = client
        .build()?
        .get(format!("{base}/api/status"))
        .send()
        .await
        .map_err(reqwest::Error::without_url)?;
    let code = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(reqwest::Error::without_url)?
    {
        body.extend_from_slice(&chunk);
        ensure!(body.len() <= MAX_ANSWER, "not the answer of a task node");
    }
    if !code.is_success() {
        let error: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        bail!(
            "{code}: {}",
            error["error"]
                .as_str()
                .unwrap_or("is it a task node of this version?")
        );
    }
    serde_json::from_slice(&body)
        .context("not the answer of a task node: something else listens there")
}

async fn from_store(args: &StatusArgs) -> anyhow::Result<StatusView> {
    let config = configuration(&args.config)?;
    let store = open_store_to_read(&config).with_context(|| {
        format!(
            "no node runs here, and there is nothing to read in {}",
            config.data_dir.display()
        )
    })?;
    let mut facts = stored(&store, SystemClock::new().now()).await?;
    facts.disk_free = room(&config.data_dir);
    Ok(answer(&facts))
}
