//! Connections to the engine's socket: kept between requests, and metered.
//!
//! bollard reads an answer's body without a limit, and its type of body cannot be wrapped. So the bytes are counted where
//! they come from the socket: whatever is made of them above, no answer can be larger than its request allows.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bollard::BollardRequest;
use bollard::errors::Error;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

use super::failure::Failure;
use crate::file::are_too_many;

/// The most bytes that hyper reads ahead.
const BUFFER: usize = 64 << 10;
/// How long to wait for a connection before the next try.
const PAUSE: Duration = Duration::from_millis(10);
/// How often to try again while there is no descriptor for a connection: one whose answer was just read will do.
const TRIES: usize = 100;

/// All connections to one socket; clones share them.
#[derive(Clone)]
pub struct Connections {
    socket: PathBuf,
    all: Arc<Mutex<Vec<Connection>>>,
}

struct Connection {
    sender: SendRequest<Body>,
    /// The bytes that may still be read.
    left: Arc<AtomicUsize>,
}

/// The body of bollard's requests, a type that bollard itself does not export.
pub type Body = <BollardRequest as HasBody>::Body;

/// Names the type of a request's body.
pub trait HasBody {
    /// That type.
    type Body;
}

impl<B> HasBody for Request<B> {
    type Body = B;
}

impl Connections {
    /// Connects to `socket` with the first request.
    pub fn new(socket: PathBuf) -> Self {
        Self { socket, all: Arc::default() }
    }

    /// Sends `request` on a connection that is idle, or else on a new one; its URI is a path. Of the answer no more than
    /// `limit` bytes are read, its head and HTTP's framing included.
    pub async fn send(&self, mut request: BollardRequest, limit: usize) -> Result<Response<Incoming>, Error> {
        request.headers_mut().insert(HOST, HeaderValue::from_static("localhost"));
        let mut tries = 0;
        loop {
            let (mut connection, is_new) = match self.idle().await {
                Some(idle) => (idle, false),
                None => match self.connect().await {
                    Ok(new) => (new, true),
                    Err(error) if is_busy(&error) || (are_too_many(&error) && tries < TRIES) => {
                        tries += 1;
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                },
            };
            connection.left.store(limit, Ordering::Relaxed);
            let sending = connection.sender.try_send_request(request);
            self.lock().push(connection);
            match sending.await {
                Ok(response) => return Ok(response),
                // The engine had closed the idle connection before anything was sent.
                Err(mut failed) => match failed.take_message().filter(|_| !is_new) {
                    Some(unsent) => request = unsent,
                    None => return Err(failed.into_error().into()),
                },
            }
        }
    }

    /// Takes a connection out whose last answer is read to its end.
    async fn idle(&self) -> Option<Connection> {
        for _ in 0..2 {
            {
                let mut all = self.lock();
                all.retain(|connection| !connection.sender.is_closed());
                if let Some(at) = all.iter().position(|connection| connection.sender.is_ready()) {
                    return Some(all.swap_remove(at));
                }
            }
            // The task of a connection whose answer was just read may not know that yet.
            tokio::task::yield_now().await;
        }
        None
    }

    async fn connect(&self) -> io::Result<Connection> {
        let left = Arc::new(AtomicUsize::new(0));
        let stream = Metered { stream: UnixStream::connect(&self.socket).await?, left: Arc::clone(&left) };
        let (sender, driver) = http1::Builder::new()
            .max_buf_size(BUFFER)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        // The caller that waits for the answer gets the connection's error.
        tokio::spawn(async { drop(driver.await) });
        Ok(Connection { sender, left })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether more programs are waiting for the engine than it lets wait. The limit of the call bounds how long this one does.
fn is_busy(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// A socket from which no more is read than is allowed.
struct Metered {
    stream: UnixStream,
    left: Arc<AtomicUsize>,
}

impl AsyncRead for Metered {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let read = buffer.filled().len().saturating_sub(before);
        let subtract = |left: usize| left.checked_sub(read);
        let allowed = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, subtract).is_ok();
        Poll::Ready(if allowed { Ok(()) } else { Err(io::Error::other(Failure::TooLarge)) })
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
