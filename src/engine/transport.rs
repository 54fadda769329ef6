//! Requests to the engine, at the newest API version that both sides know, each with a limit for the size of the answer.
//!
//! The version is agreed on with the first answer, whichever it is: a request without a version is answered at the engine's
//! newest one, and each answer of an engine names that. Only when the first request is to write, a ping goes before it.
//!
//! bollard makes most requests that write. What is read is read here into types of just the fields that are used: an
//! engine that says something unexpected elsewhere in its answer does no harm.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, BollardRequest, ClientVersion, body_full};
use futures_util::future::LocalBoxFuture;
use http_body_util::{BodyExt, Collected};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Request, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::sleep;

use super::answer::TOO_MANY;
use super::connection::{Body, Connections};
use super::entries::Entries;
use super::failure::Failure;
use super::host::DockerHost;

/// bollard has one timeout for all calls, also for pulls; this program bounds each call by itself.
const NEVER: u64 = 1 << 32;

/// A header of every answer: the newest API version that the engine speaks.
const API_VERSION: &str = "api-version";
/// A header that only Podman's answers have.
const LIBPOD: &str = "libpod-api-version";

/// The most bytes that any answer needs.
const ANSWER: usize = 1 << 20;
/// The most bytes of a list, which has an entry for each container.
const LIST: usize = 32 << 20;
/// The most bytes of a stream: its lines are limited where they are read ([`super::progress`]).
const STREAM: usize = usize::MAX;

/// How often to ask again, and after how long.
const AGAIN: u32 = 3;
const PAUSE: Duration = Duration::from_millis(50);

/// A header that names the user of a registry.
const REGISTRY_AUTH: &str = "X-Registry-Auth";

/// The transport to one engine; clones share the connections.
#[derive(Clone)]
pub struct Transport {
    connections: Connections,
    host: DockerHost,
    version: Arc<OnceLock<ClientVersion>>,
    podman: Arc<AtomicBool>,
}

/// What goes with a request beside its path.
#[derive(Default)]
pub struct Call {
    /// The user of a registry, as a header has it.
    pub user: Option<String>,
    /// The body.
    pub body: Option<Body>,
}

/// An engine's refusal.
#[derive(Deserialize)]
struct Refusal {
    message: Option<String>,
}

impl Transport {
    /// The transport to `host`; nothing is sent yet.
    pub fn new(host: DockerHost) -> Self {
        let connections = Connections::new(host.socket().to_owned());
        Self { connections, host, version: Arc::default(), podman: Arc::default() }
    }

    /// Where the engine listens.
    pub const fn host(&self) -> &DockerHost {
        &self.host
    }

    /// Whether an engine has answered.
    pub fn is_agreed(&self) -> bool {
        self.version.get().is_some()
    }

    /// Whether Podman has answered.
    pub fn is_podman(&self) -> bool {
        self.podman.load(Ordering::Relaxed)
    }

    /// A bollard on these connections, at the API version that both sides know. Boxed like [`Self::whole`].
    #[inline(never)]
    pub fn bollard(&self) -> LocalBoxFuture<'_, Result<bollard::Docker, Failure>> {
        Box::pin(async move {
            let version = self.agree().await?;
            let transport = self.clone();
            let send = move |mut request: BollardRequest| {
                let transport = transport.clone();
                async move {
                    // bollard loses the version on the way to its URI.
                    let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str).to_owned();
                    *request.uri_mut() = format!("/v{version}{path}").parse()?;
                    transport.send(request, ANSWER).await
                }
            };
            let docker =
                bollard::Docker::connect_with_custom_transport(send, Some("http://localhost"), NEVER, &version);
            docker.map_err(|error| Failure::new(&error, &self.host))
        })
    }

    /// What the engine answers to `GET path`.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        read(&self.whole(Method::GET, path, Call::default()).await?)
    }

    /// What the engine answers to `GET path` in the name of the `user` of a registry.
    pub async fn get_for<T: DeserializeOwned>(&self, path: &str, user: Option<String>) -> Result<T, Failure> {
        read(&self.whole(Method::GET, path, Call { user, ..Call::default() }).await?)
    }

    /// Gives each entry of the engine's answer to `GET path`, which is a list, to `take`.
    pub async fn list(&self, path: &str, take: &mut dyn FnMut(&[u8]) -> Result<(), Failure>) -> Result<(), Failure> {
        let mut body = self.body(Method::GET, path, LIST, Call::default()).await?;
        let mut entries = Entries::default();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Failure::of_connection(&error, &self.host))?;
            if let Some(bytes) = frame.data_ref() {
                entries.read(bytes, take)?;
            }
        }
        if entries.is_whole() { Ok(()) } else { Err(Failure::Garbled) }
    }

    /// What the engine answers to `body` at `POST path`.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Bytes, Failure> {
        self.agree().await?;
        let call = Call { body: Some(body_full(Bytes::from(body.to_string()))), ..Call::default() };
        self.whole(Method::POST, path, call).await
    }

    /// The body of the engine's answer to `call` at `POST path`, which takes as long as it takes.
    pub async fn stream(&self, path: &str, call: Call) -> Result<Incoming, Failure> {
        self.body(Method::POST, path, STREAM, call).await
    }

    /// The body of the engine's answer to a request, unless that is a refusal. Boxed like [`Self::whole`].
    #[inline(never)]
    fn body<'a>(
        &'a self,
        method: Method,
        path: &'a str,
        limit: usize,
        call: Call,
    ) -> LocalBoxFuture<'a, Result<Incoming, Failure>> {
        Box::pin(async move {
            let response = self.ask(method, path, limit, call).await?;
            if response.status().is_success() {
                return Ok(response.into_body());
            }
            let status = response.status();
            let body = http_body_util::Limited::new(response.into_body(), ANSWER).collect().await;
            Err(refusal(status, &body.map(Collected::to_bytes).unwrap_or_default()))
        })
    }

    /// Agrees on the newest API version that both sides know. `GET /version` has it as well, but to answer that an engine runs
    /// programs to ask for their versions, which takes it longer than all else that a run wants to know.
    pub async fn agree(&self) -> Result<ClientVersion, Failure> {
        if self.version.get().is_none() {
            self.whole(Method::GET, "/_ping", Call::default()).await?;
        }
        self.version.get().copied().ok_or_else(|| Failure::NotAnEngine(self.host.clone()))
    }

    /// The whole answer to a request. Boxed, or the binary would have all of this once for each type of answer.
    #[inline(never)]
    fn whole<'a>(&'a self, method: Method, path: &'a str, call: Call) -> LocalBoxFuture<'a, Result<Bytes, Failure>> {
        Box::pin(async move {
            let (head, body) = self.ask(method, path, ANSWER, call).await?.into_parts();
            let body = body.collect().await.map_err(|error| Failure::of_connection(&error, &self.host))?.to_bytes();
            if head.status.is_success() { Ok(body) } else { Err(refusal(head.status, &body)) }
        })
    }

    /// The answer to a request. Podman fails to read what ends or goes meanwhile (`no such process`), and is asked again. Boxed
    /// like [`Self::whole`].
    #[inline(never)]
    fn ask<'a>(
        &'a self,
        method: Method,
        path: &'a str,
        limit: usize,
        mut call: Call,
    ) -> LocalBoxFuture<'a, Result<Response<Incoming>, Failure>> {
        Box::pin(async move {
            let mut again = if method == Method::GET { AGAIN } else { 0 };
            loop {
                let request = self.request(&method, path, std::mem::take(&mut call))?;
                let answer = self.send(request, limit).await.map_err(|error| Failure::new(&error, &self.host))?;
                if !self.is_agreed() {
                    return Err(Failure::NotAnEngine(self.host.clone()));
                }
                if again == 0 || answer.status() != StatusCode::INTERNAL_SERVER_ERROR || !self.is_podman() {
                    return Ok(answer);
                }
                again -= 1;
                sleep(PAUSE).await;
            }
        })
    }

    /// Without a version in its path as long as none is agreed on.
    fn request(&self, method: &Method, path: &str, call: Call) -> Result<Request<Body>, Failure> {
        let prefix = self.version.get().map(|version| format!("/v{version}")).unwrap_or_default();
        let mut request = Request::builder().method(method).uri(format!("{prefix}{path}"));
        request = request.header(CONTENT_TYPE, "application/json");
        if let Some(user) = call.user {
            request = request.header(REGISTRY_AUTH, user);
        }
        request.body(call.body.unwrap_or_else(|| body_full(Bytes::new()))).map_err(|_| Failure::Garbled)
    }

    async fn send(&self, request: BollardRequest, limit: usize) -> Result<Response<Incoming>, bollard::errors::Error> {
        let response = self.connections.send(request, limit).await?;
        self.podman.fetch_or(response.headers().contains_key(LIBPOD), Ordering::Relaxed);
        if let Some(newest) = newest_version(response.headers()) {
            self.version.get_or_init(|| if newest < *API_DEFAULT_VERSION { newest } else { *API_DEFAULT_VERSION });
        }
        Ok(response)
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("host", &self.host).finish_non_exhaustive()
    }
}

fn refusal(status: StatusCode, body: &[u8]) -> Failure {
    let refusal: Option<Refusal> = serde_json::from_slice(body).ok();
    Failure::of_status(status.as_u16(), &refusal.and_then(|refusal| refusal.message).unwrap_or_default())
}

/// A whole answer, or an entry of one; what the parser says of it is not shown, since it quotes it.
pub fn read<T: DeserializeOwned>(answer: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(answer).map_err(|error| match error.to_string() {
        text if text.starts_with(TOO_MANY) => Failure::TooLarge,
        _ => Failure::Garbled,
    })
}

/// `1.41`
fn newest_version(headers: &HeaderMap) -> Option<ClientVersion> {
    let (major, minor) = headers.get(API_VERSION)?.to_str().ok()?.trim().split_once('.')?;
    Some(ClientVersion { major_version: major.parse().ok()?, minor_version: minor.parse().ok()? })
}

#[cfg(test)]
mod tests;
