//! One connection, kept: bollard's own unix transport opens a new one for each request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use hyperlocal::UnixConnector;

use super::failure::Failure;
use super::host::DockerHost;

/// A header that only Podman's answers have.
const LIBPOD: &str = "libpod-api-version";

/// Connects to `host` and agrees on an API version; also says whether Podman is answering.
///
/// # Errors
/// When nothing answers, or not as an engine would.
pub async fn connect(host: &DockerHost, timeout: Duration) -> Result<(Docker, bool), Failure> {
    let podman = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&podman);
    let client = Client::builder(TokioExecutor::new()).build(UnixConnector);
    let transport = move |request: BollardRequest| {
        let (answer, seen) = (client.request(request), Arc::clone(&seen));
        async move {
            let answer = answer.await?;
            seen.fetch_or(answer.headers().contains_key(LIBPOD), Ordering::Relaxed);
            Ok(answer)
        }
    };
    let address = hyper::Uri::from(hyperlocal::Uri::new(host.socket(), "/"));
    let address = address.authority().map(ToString::to_string).unwrap_or_default();
    let docker = Docker::connect_with_custom_transport(
        transport,
        Some(format!("unix://{address}")),
        timeout.as_secs(),
        API_DEFAULT_VERSION,
    );
    let docker = docker.map_err(|error| Failure::new(&error))?;
    let docker = docker.negotiate_version().await.map_err(|error| Failure::new(&error))?;
    Ok((docker, podman.load(Ordering::Relaxed)))
}
