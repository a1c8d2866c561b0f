//! An IPFS node of the operator's, commanded through Kubo's RPC API: it pins what this node seals, so that any IPFS
//! peer can fetch it, also while this node is away.
//!
//! The IPFS node is trusted to keep what it was given and with nothing else: it gets CARs of public data, its answers
//! are bounded, and blocks that come from it ([`crate::Source`]) are hashed like any others.
//!
//! Written over `reqwest`: the API is a handful of POSTs, and the crates for it bring another HTTP stack with limits of its
//! own, or none.

pub mod answer;
mod endpoint;
mod error;

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use cid::Cid;
use futures::TryStreamExt as _;
use reqwest::{Body, Client, RequestBuilder, multipart};

pub use answer::KuboVersion;
pub use endpoint::{Credentials, Endpoint, EndpointError};
pub use error::KuboError;

use crate::{
    car::{self, CarError},
    dag::DagLimits,
    fetch::{SourceError, answer_of, http_client, read_limited, transport_error},
    store::BlockStore,
};

/// The longest answer read, in bytes: a few roots, or one pin.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// How long a question may take. Listing a pin can mean looking through all of them.
const QUESTION: Duration = Duration::from_secs(60);

/// How long an import may take: the largest bundle to a slow disk.
const IMPORT: Duration = Duration::from_secs(600);

/// js-ipfs would write them in base58.
const CID_BASE: (&str, &str) = ("cid-base", "base32");

/// What [`KuboRpc::pin`] had to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pinned {
    /// Nothing.
    Already,
    /// The DAG was sent and is pinned now.
    Now,
}

/// The RPC API of an IPFS node. Clones share its connections.
#[derive(Debug, Clone)]
pub struct KuboRpc {
    http: Client,
    endpoint: Endpoint,
}

impl KuboRpc {
    /// The API at `endpoint`.
    ///
    /// # Errors
    /// [`KuboError::Setup`] where TLS cannot be set up.
    pub fn new(endpoint: Endpoint) -> Result<Self, KuboError> {
        // An import is silent while it uploads, so only the whole of a command is limited.
        let http = http_client()
            .map_err(|error| KuboError::Setup(error.to_string()))?
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| KuboError::Setup(error.without_url().to_string()))?;
        Ok(Self { http, endpoint })
    }

    /// Where it is, without credentials.
    #[must_use]
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Which version answers.
    ///
    /// # Errors
    /// [`KuboError::Answer`], [`KuboError::Unreadable`].
    pub async fn version(&self) -> Result<KuboVersion, KuboError> {
        let command = "version";
        let bytes = ask(self.command(command, &[]), QUESTION).await?;
        answer::version(&bytes).map_err(|_| KuboError::Unreadable { command })
    }

    /// Whether `cid` is pinned with everything below it.
    ///
    /// # Errors
    /// [`KuboError::Answer`], [`KuboError::Unreadable`].
    pub async fn is_pinned(&self, cid: &Cid) -> Result<bool, KuboError> {
        let command = "pin/ls";
        let arguments = [("arg", &*cid.to_string()), ("type", "recursive"), CID_BASE];
        match ask(self.command(command, &arguments), QUESTION).await {
            Ok(bytes) => {
                answer::is_pinned(&bytes, cid).map_err(|_| KuboError::Unreadable { command })
            }
            // The way Kubo says no: a failure with this text.
            Err(SourceError::Rpc(message)) if message.contains("is not pinned") => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends the whole DAG under `root` from `store` and has it pinned, unless it is. May be repeated and cut off at any
    /// point.
    ///
    /// # Errors
    /// [`KuboError`]; [`KuboError::Local`] where the store cannot give the DAG.
    pub async fn pin(
        &self,
        store: Arc<dyn BlockStore>,
        root: Cid,
        limits: DagLimits,
    ) -> Result<Pinned, KuboError> {
        if self.is_pinned(&root).await? {
            return Ok(Pinned::Already);
        }
        self.import(store, root, limits).await?;
        // What counts is that it says so afterwards: a proxy in between may have dropped `pin-roots`.
        if !self.is_pinned(&root).await? {
            let arguments = [("arg", &*root.to_string()), ("recursive", "true")];
            ask(self.command("pin/add", &arguments), QUESTION).await?;
            if !self.is_pinned(&root).await? {
                return Err(KuboError::NotPinned {
                    cid: root,
                    reason: "it took the pin and does not list it".to_owned(),
                });
            }
        }
        Ok(Pinned::Now)
    }

    async fn import(
        &self,
        store: Arc<dyn BlockStore>,
        root: Cid,
        limits: DagLimits,
    ) -> Result<(), KuboError> {
        let command = "dag/import";
        let parts = car::export_stream(store, root, limits)
            .await
            .map_err(KuboError::Local)?;
        // A body can only fail as a whole; whose fault it was is kept here.
        let own_fault: Arc<Mutex<Option<CarError>>> = Arc::default();
        let noted = Arc::clone(&own_fault);
        let parts = parts.map_err(move |error| {
            let text = error.to_string();
            *noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            io::Error::other(text)
        });
        // The form's boundary is random: a miner chooses bytes of shares, and must not be able to end it.
        let car = multipart::Part::stream(Body::wrap_stream(parts))
            .file_name(format!("{root}.car"))
            .mime_str("application/vnd.ipld.car")
            .map_err(|error| KuboError::Setup(error.to_string()))?;
        let request = self
            .command(command, &[("pin-roots", "true"), CID_BASE])
            .multipart(multipart::Form::new().part("file", car));
        let outcome = ask(request, IMPORT).await;
        let own_fault = own_fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(error) = own_fault {
            return Err(KuboError::Local(error));
        }
        let answer = answer::import(&outcome?).map_err(|_| KuboError::Unreadable { command })?;
        if let Some(reason) = answer.complaint {
            return Err(KuboError::NotPinned { cid: root, reason });
        }
        if answer.roots != [root] {
            return Err(KuboError::WrongRoot { expected: root });
        }
        Ok(())
    }

    fn command(&self, command: &str, arguments: &[(&str, &str)]) -> RequestBuilder {
        self.endpoint.command(&self.http, command, arguments)
    }
}

/// Sends a command and reads its whole answer.
async fn ask(request: RequestBuilder, patience: Duration) -> Result<bytes::Bytes, SourceError> {
    let asking = async {
        let response = request.send().await.map_err(transport_error)?;
        read_limited(answer_of(response).await?, MAX_ANSWER_BYTES).await
    };
    tokio::time::timeout(patience, asking)
        .await
        .map_err(|_| SourceError::Timeout(patience))?
}
