//! One connection to the engine, kept: bollard's own unix transport opens a new one for each request.
//!
//! bollard makes every request that writes, and reads containers whole, since a successor takes over all of one. What is
//! read for a few fields only is read here into types of just those fields: a tenth of the code, and an engine that says
//! something unexpected elsewhere in its answer does no harm.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bollard::{API_DEFAULT_VERSION, BollardRequest, ClientVersion, Docker, body_full};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use hyperlocal::UnixConnector;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::failure::Failure;
use super::host::DockerHost;

/// The transport itself never gives up: some calls may take long, and those above know which ones.
const NEVER: u64 = 1 << 32;
/// A header that only Podman's answers have.
const LIBPOD: &str = "libpod-api-version";

/// The way to one engine; clones share the connection.
#[derive(Clone)]
pub struct Transport {
    client: Client<UnixConnector, <BollardRequest as RequestBody>::Body>,
    /// hyperlocal's notation of the socket's path, in the place of a URL's host.
    address: String,
    podman: Arc<AtomicBool>,
}

/// Names the body type of bollard's requests, which bollard itself does not export.
trait RequestBody {
    type Body;
}

impl<B> RequestBody for Request<B> {
    type Body = B;
}

/// An engine's refusal.
#[derive(Deserialize)]
struct Refusal {
    message: String,
}

impl Transport {
    /// The way to `host`; nothing is sent yet.
    #[must_use]
    pub fn new(host: &DockerHost) -> Self {
        let address = hyper::Uri::from(hyperlocal::Uri::new(host.socket(), "/"));
        Self {
            client: Client::builder(TokioExecutor::new()).build(UnixConnector),
            address: address.authority().map(ToString::to_string).unwrap_or_default(),
            podman: Arc::default(),
        }
    }

    /// A bollard on this connection that has agreed on an API version. Whoever calls it bounds its calls in time: its own
    /// limit would be one for all of them, also those that take as long as they take.
    ///
    /// # Errors
    /// When nothing answers, or not as an engine would.
    pub async fn bollard(&self) -> Result<Docker, Failure> {
        let transport = self.clone();
        let send = move |request: BollardRequest| {
            let transport = transport.clone();
            async move { transport.send(request).await.map_err(bollard::errors::Error::from) }
        };
        let address = format!("unix://{}", self.address);
        let docker = Docker::connect_with_custom_transport(send, Some(address), NEVER, API_DEFAULT_VERSION);
        let docker = docker.map_err(|error| Failure::new(&error))?;
        docker.negotiate_version().await.map_err(|error| Failure::new(&error))
    }

    /// Whether Podman has answered.
    #[must_use]
    pub fn is_podman(&self) -> bool {
        self.podman.load(Ordering::Relaxed)
    }

    /// What the engine answers to `GET path`.
    ///
    /// # Errors
    /// When it refuses, or its answer is no `T`.
    pub async fn get<T: DeserializeOwned>(&self, version: ClientVersion, path: &str) -> Result<T, Failure> {
        let uri = format!("unix://{}/v{}.{}{path}", self.address, version.major_version, version.minor_version);
        let request = Request::get(uri).body(body_full(hyper::body::Bytes::new())).map_err(|_| Failure::Garbled)?;
        let response = self.send(request).await.map_err(|error| Failure::of_connection(&error))?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|error| Failure::of_connection(&error))?.to_bytes();
        if !status.is_success() {
            let message = serde_json::from_slice(&body).map(|refusal: Refusal| refusal.message).unwrap_or_default();
            return Err(Failure::of_status(status.as_u16(), &message));
        }
        serde_json::from_slice(&body).map_err(|_| Failure::Garbled)
    }

    async fn send(&self, request: BollardRequest) -> Result<Response<Incoming>, hyper_util::client::legacy::Error> {
        let response = self.client.request(request).await?;
        self.podman.fetch_or(response.headers().contains_key(LIBPOD), Ordering::Relaxed);
        Ok(response)
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("address", &self.address).finish_non_exhaustive()
    }
}
