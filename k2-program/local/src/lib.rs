//! A K2 of one's own: a real SVM that runs real programs, behind the JSON-RPC and the WebSocket subscriptions of a Solana
//! cluster, on this machine. Stock clients talk to it as to any cluster; the tests do so with `@solana/web3.js` and
//! `solana-rpc-client`.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use k2_local::{Genesis, LocalK2, LocalK2Options};
//!
//! let mut genesis = Genesis::new(1_700_000_000, [7; 32]);
//! genesis.programs = vec![]; // the program of this pool, with its upgrade authority
//! let k2 = LocalK2::start(LocalK2Options::new(genesis)).await?;
//! println!("{} and {}", k2.rpc_url(), k2.ws_url());
//! k2.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! Three layers: [`bank`] is the chain as a state machine over LiteSVM, [`rpc`] its methods without a socket, and
//! [`LocalK2`] puts sockets and a timer around them. Nothing is kept on disk. How far it is like K2 and where it is not
//! stands at the head of [`bank`]; the runtime is newer than K2's 1.14, so figures of compute units are not taken here.

use std::{io, net::SocketAddr, sync::Arc};

use actix_web::dev::ServerHandle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use crate::{
    bank::{Bank, GenesisError, program_data_address},
    options::{Advance, Genesis, GenesisProgram, LocalK2Options, SLOT_MILLIS},
    rpc::Node,
};

pub mod bank;
mod options;
pub mod rpc;
mod server;

/// Why a local K2 did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The chain itself could not be made.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The ports could not be taken.
    #[error(
        "cannot listen on {address} and the port above it ({source}): stop what uses them or choose another port"
    )]
    Listen {
        /// Where the JSON-RPC should have been.
        address: SocketAddr,
        /// The system's answer.
        source: io::Error,
    },
    /// A background thread ended.
    #[error("the chain could not be set up: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// A running local K2. Dropping it stops it; [`LocalK2::stop`] also waits for that.
#[derive(Debug)]
pub struct LocalK2 {
    node: Arc<Node>,
    rpc: SocketAddr,
    ws: SocketAddr,
    stop: CancellationToken,
    server: ServerHandle,
    tasks: Vec<JoinHandle<()>>,
}

impl LocalK2 {
    /// Makes the chain and serves it. Needs a Tokio runtime.
    ///
    /// # Errors
    /// [`StartError`] where the genesis does not hold or a port is taken.
    pub async fn start(options: LocalK2Options) -> Result<Self, StartError> {
        let LocalK2Options {
            genesis,
            advance,
            ip,
            port,
        } = options;
        let slot_millis = genesis.slot_millis;
        let at = |source| StartError::Listen {
            address: SocketAddr::new(ip, port),
            source,
        };
        let listeners = server::listen(ip, port).map_err(at)?;
        let rpc = listeners.0.local_addr().map_err(at)?;
        let ws = listeners.1.local_addr().map_err(at)?;
        // Programs are verified and compiled here.
        let bank = tokio::task::spawn_blocking(move || Bank::new(&genesis)).await??;
        tracing::info!(%rpc, %ws, genesis = %bank.genesis_hash(), faucet = %bank.faucet(), "local K2");
        let node = Arc::new(Node::new(bank));
        let stop = CancellationToken::new();
        let running = server::serve(node.clone(), listeners, stop.clone()).map_err(at)?;
        let server = running.handle();
        let mut tasks = vec![tokio::spawn(async move {
            if let Err(error) = running.await {
                tracing::error!(%error, "the local K2's server ended");
            }
        })];
        if advance == Advance::Timer {
            tasks.push(tokio::spawn(server::tick(
                node.clone(),
                slot_millis,
                stop.clone(),
            )));
        }
        Ok(Self {
            node,
            rpc,
            ws,
            stop,
            server,
            tasks,
        })
    }

    /// Where the JSON-RPC listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.rpc
    }

    /// Where subscriptions are taken: one port above [`LocalK2::addr`].
    #[must_use]
    pub const fn ws_addr(&self) -> SocketAddr {
        self.ws
    }

    /// The JSON-RPC's URL, for clients.
    #[must_use]
    pub fn rpc_url(&self) -> String {
        format!("http://{}", self.rpc)
    }

    /// The subscriptions' URL; most clients find it from the other.
    #[must_use]
    pub fn ws_url(&self) -> String {
        format!("ws://{}", self.ws)
    }

    /// The chain behind the sockets, for callers in this process.
    #[must_use]
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Lets `slots` slots pass at once, beside those that pass by themselves.
    pub fn advance_slots(&self, slots: u64) {
        self.node.advance(slots);
    }

    /// Closes the connections, lets answers under way be finished, and waits for it.
    pub async fn stop(mut self) {
        self.stop.cancel();
        self.server.stop(true).await;
        for task in std::mem::take(&mut self.tasks) {
            task.await.ok();
        }
        tracing::info!(rpc = %self.rpc, "local K2 stopped");
    }
}

impl Drop for LocalK2 {
    fn drop(&mut self) {
        self.stop.cancel();
        // The command is sent at once; only its confirmation would have to be awaited.
        drop(self.server.stop(false));
    }
}
