//! Answers like an engine, with whatever a test wants it to say.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};
use std::thread;

use tempfile::TempDir;

/// Status and body of an answer.
pub type Answer = (u16, Vec<u8>);

/// Says what to answer to a method and a path without API version and query.
type Answers = Box<dyn Fn(&str, &str) -> Answer + Send>;

/// A socket that answers without an engine behind it. Its thread lives as long as the process.
pub struct FakeEngine {
    directory: TempDir,
    answers: Arc<Mutex<Answers>>,
}

impl FakeEngine {
    /// Listens; answers 404 to everything.
    pub fn new() -> Self {
        Self::serving(serve)
    }

    /// Writes `head` and then `rest` again and again, whatever it is asked.
    pub fn endless(head: &'static str, rest: &'static str) -> Self {
        Self::serving(move |mut client, _| {
            client.read_exact(&mut [0])?;
            client.write_all(head.as_bytes())?;
            let many = rest.repeat(4096);
            loop {
                client.write_all(many.as_bytes())?;
            }
        })
    }

    fn serving(serve: impl Fn(UnixStream, &Mutex<Answers>) -> io::Result<()> + Clone + Send + 'static) -> Self {
        let nothing: Answers = Box::new(|_, _| (404, br#"{"message": "page not found"}"#.to_vec()));
        let engine = Self { directory: TempDir::new().unwrap(), answers: Arc::new(Mutex::new(nothing)) };
        let listener = UnixListener::bind(engine.directory.path().join("docker.sock")).unwrap();
        let answers = Arc::clone(&engine.answers);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, answers, serve) = (client.unwrap(), Arc::clone(&answers), serve.clone());
                // A client that goes away in the middle is no error.
                thread::spawn(move || serve(client, &answers));
            }
        });
        engine
    }

    /// What it answers from now on.
    pub fn answer(&self, answers: impl Fn(&str, &str) -> Answer + Send + 'static) {
        *self.answers.lock().unwrap() = Box::new(answers);
    }

    /// What goes into `docker_host`.
    pub fn host(&self) -> String {
        format!("unix://{}", self.directory.path().join("docker.sock").display())
    }

    /// A directory that goes away with it.
    pub fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }
}

fn serve(client: UnixStream, answers: &Mutex<Answers>) -> io::Result<()> {
    let mut client = BufReader::new(client);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            let from = head.len();
            if client.read_line(&mut head)? == 0 {
                return Ok(());
            }
            if let Some(value) = head[from..].to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        io::copy(&mut client.by_ref().take(length), &mut io::sink())?;

        let mut words = head.split_ascii_whitespace();
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let path = path.split('?').next().unwrap_or_default();
        let unversioned = path.strip_prefix("/v").and_then(|path| path.split_once('/'));
        let path = unversioned.map_or_else(|| path.to_owned(), |(_, path)| format!("/{path}"));
        let (status, body) = answers.lock().unwrap()(method, &path);
        let bodiless = status == 204 || status == 304;
        let length = if bodiless { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        write!(
            client.get_mut(),
            "HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nApi-Version: 1.41\r\n{length}\r\n"
        )?;
        if !bodiless && method != "HEAD" {
            client.get_mut().write_all(&body)?;
        }
    }
}
