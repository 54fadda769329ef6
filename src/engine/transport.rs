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
use hyper::body::{Bytes, Incoming};
use hyper::http::response::Parts;
use hyper::http::uri::{InvalidUri, PathAndQuery};
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use hyperlocal::UnixConnector;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::failure::Failure;
use super::host::DockerHost;

/// The transport itself never gives up: some calls may take long, and those above know which ones.
const NEVER: u64 = 1 << 32;

/// A header of every answer: the newest API version that the engine speaks.
const API_VERSION: &str = "api-version";

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
        let address = Uri::from(hyperlocal::Uri::new(host.socket(), "/"));
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
        let version = self.negotiate().await?;
        let transport = self.clone();
        let send = move |mut request: BollardRequest| {
            let transport = transport.clone();
            async move {
                // bollard loses the version on the way to its URI, and to an engine no version is its own newest one.
                let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
                *request.uri_mut() = transport.uri(version, path)?;
                transport.send(request).await.map_err(bollard::errors::Error::from)
            }
        };
        let address = format!("unix://{}", self.address);
        let docker = Docker::connect_with_custom_transport(send, Some(address), NEVER, &version);
        docker.map_err(|error| Failure::new(&error))
    }

    /// The newest API version that bollard and the engine know. `GET /version` has it as well, but to answer that an engine
    /// runs programs to ask for their versions, which takes it longer than all else that a run wants to know.
    async fn negotiate(&self) -> Result<ClientVersion, Failure> {
        let (head, _) = self.fetch(format!("unix://{}/_ping", self.address).parse()).await?;
        let version = head.headers.get(API_VERSION).and_then(|version| version.to_str().ok()).and_then(parse_version);
        match version.ok_or(Failure::Garbled)? {
            older if older < *API_DEFAULT_VERSION => Ok(older),
            _ => Ok(*API_DEFAULT_VERSION),
        }
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
        let (_, body) = self.fetch(self.uri(version, path)).await?;
        serde_json::from_slice(&body).map_err(|_| Failure::Garbled)
    }

    /// Where the engine has `path` at API `version`.
    fn uri(&self, version: ClientVersion, path: &str) -> Result<Uri, InvalidUri> {
        format!("unix://{}/v{version}{path}", self.address).parse()
    }

    /// The whole answer to `GET uri`.
    async fn fetch(&self, uri: Result<Uri, InvalidUri>) -> Result<(Parts, Bytes), Failure> {
        let request = uri.ok().and_then(|uri| Request::get(uri).body(body_full(Bytes::new())).ok());
        let request = request.ok_or(Failure::Garbled)?;
        let response = self.send(request).await.map_err(|error| Failure::of_connection(&error))?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| Failure::of_connection(&error))?.to_bytes();
        if head.status.is_success() {
            return Ok((head, body));
        }
        let message = serde_json::from_slice(&body).map(|refusal: Refusal| refusal.message).unwrap_or_default();
        Err(Failure::of_status(head.status.as_u16(), &message))
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

/// `1.41`
fn parse_version(text: &str) -> Option<ClientVersion> {
    let (major, minor) = text.trim().split_once('.')?;
    Some(ClientVersion { major_version: major.parse().ok()?, minor_version: minor.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::os::unix::net::UnixListener;

    use super::*;
    use rstest::rstest;

    /// Answers each line of `answers` to one request; returns the first lines of these.
    fn engine(listener: &UnixListener, answers: &[&str]) -> Vec<String> {
        let (stream, _) = listener.accept().unwrap();
        let mut stream = BufReader::new(stream);
        let mut asked = Vec::new();
        for answer in answers {
            let head: Vec<_> =
                stream.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
            asked.push(head[0].clone());
            write!(stream.get_mut(), "HTTP/1.1 {answer}\r\n\r\n").unwrap();
        }
        asked
    }

    fn transport(
        answers: &'static [&'static str],
    ) -> (tempfile::TempDir, std::thread::JoinHandle<Vec<String>>, Transport) {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("docker.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let host = DockerHost::parse(Some(&format!("unix://{}", socket.display())), None).unwrap();
        (directory, std::thread::spawn(move || engine(&listener, answers)), Transport::new(&host))
    }

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    #[rstest]
    #[case::older("200 OK\r\nApi-Version: 1.41\r\nContent-Length: 0", "/v1.41/")]
    #[case::newer("200 OK\r\nApi-Version: 1.99\r\nContent-Length: 0", "/v1.53/")]
    #[case::much_newer("200 OK\r\napi-version: 2.0\r\nContent-Length: 0", "/v1.53/")]
    fn every_request_has_the_version_that_both_sides_know(#[case] ping: &'static str, #[case] version: &str) {
        // The line ends after it count.
        let nothing = "200 OK\r\nContent-Length: 6\r\n\r\n{}";
        let answers: &[&str] = Box::leak(Box::new([ping, nothing, "204 No Content"]));
        let (_directory, engine, transport) = transport(answers);
        block_on(async {
            let docker = transport.bollard().await.unwrap();
            let _: serde_json::Value = transport.get(docker.client_version(), "/info").await.unwrap();
            docker.start_container("ab", None).await.unwrap();
        });
        let asked = engine.join().unwrap();
        assert_eq!(asked[0], "GET /_ping HTTP/1.1");
        assert_eq!(asked[1], format!("GET {version}info HTTP/1.1"));
        assert_eq!(asked[2], format!("POST {version}containers/ab/start HTTP/1.1"));
    }

    #[rstest]
    #[case::no_version("200 OK\r\nContent-Length: 0")]
    #[case::odd_version("200 OK\r\nApi-Version: new\r\nContent-Length: 0")]
    #[case::odd_numbers("200 OK\r\nApi-Version: 1.-4\r\nContent-Length: 0")]
    #[case::refusal("404 Not Found\r\nApi-Version: 1.41\r\nContent-Length: 0")]
    fn what_does_not_tell_its_version_is_no_engine(#[case] ping: &'static str) {
        let answers: &[&str] = Box::leak(Box::new([ping]));
        let (directory, engine, transport) = transport(answers);
        let failure = block_on(transport.bollard()).unwrap_err();
        let host =
            DockerHost::parse(Some(&format!("unix://{}/docker.sock", directory.path().display())), None).unwrap();
        let message = failure.on_connect(&host).message;
        assert!(message.starts_with("what answers is no Docker engine"), "{message}");
        assert_eq!(engine.join().unwrap(), ["GET /_ping HTTP/1.1"]);
    }
}
