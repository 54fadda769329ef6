//! Stands between the module and the engine, and notes what is asked.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

use super::Engine;

/// A socket that leads to the engine.
///
/// Each connection has its thread and its own connection to the engine; HTTP/1.1 sends requests one after the other, so an
/// exchange (request there, answer back) is the unit, see [`Connection::exchange`].
pub struct Proxy {
    directory: TempDir,
    requests: Arc<Mutex<Vec<Request>>>,
}

/// A request that came by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The connection it came on, counted from 0.
    pub connection: usize,
    pub method: String,
    /// The path with its query, without the API version.
    pub path: String,
}

impl Proxy {
    /// Listens, until dropped, at a socket of its own.
    pub fn new(engine: &Engine) -> Self {
        Self::serving(engine, None)
    }

    /// The same, in front of an engine that says these fields of itself: `{"MemTotal": 1073741824}`.
    pub fn posing(engine: &Engine, fields: &Value) -> Self {
        let mut info: Value = serde_json::from_str(&engine.docker(&["info", "--format", "{{json .}}"])).unwrap();
        info.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        Self::serving(engine, Some(info.to_string()))
    }

    fn serving(engine: &Engine, info: Option<String>) -> Self {
        let proxy = Self { directory: engine.temp_dir(), requests: Arc::default() };
        let listener = UnixListener::bind(proxy.directory.path().join("docker.sock")).unwrap();
        let (socket, requests) = (engine.socket(), Arc::clone(&proxy.requests));
        thread::spawn(move || {
            for (number, client) in listener.incoming().enumerate() {
                let connection = Connection {
                    number,
                    client: BufReader::new(client.unwrap()),
                    engine: BufReader::new(UnixStream::connect(&socket).unwrap()),
                    requests: Arc::clone(&requests),
                    info: info.clone(),
                };
                thread::spawn(move || connection.serve());
            }
        });
        proxy
    }

    /// What goes into `docker_host`.
    pub fn host(&self) -> String {
        format!("unix://{}", self.directory.path().join("docker.sock").display())
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// Those of them that ask the engine to change something.
    pub fn writes(&self) -> Vec<Request> {
        self.requests().into_iter().filter(|request| !["GET", "HEAD"].contains(&request.method.as_str())).collect()
    }

    /// How many connections carried a request.
    pub fn connections(&self) -> usize {
        let mut connections: Vec<_> = self.requests().iter().map(|request| request.connection).collect();
        connections.sort_unstable();
        connections.dedup();
        connections.len()
    }
}

/// `GET /containers/json?all=true`
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

struct Connection {
    number: usize,
    client: BufReader<UnixStream>,
    engine: BufReader<UnixStream>,
    requests: Arc<Mutex<Vec<Request>>>,
    /// Answered to `GET /info` in the engine's place.
    info: Option<String>,
}

impl Connection {
    /// One exchange after the other until one side has had enough, which is no error.
    fn serve(mut self) {
        while let Ok(true) = self.exchange() {}
        for side in [&self.client, &self.engine] {
            let _ = side.get_ref().shutdown(Shutdown::Both);
        }
    }

    /// Passes one request on and its answer back; false when the connection ends with it.
    fn exchange(&mut self) -> io::Result<bool> {
        let Some(request) = Head::read(&mut self.client)? else { return Ok(false) };
        self.note(&request);
        if let Some(info) = self.info.as_ref().filter(|_| request.start().contains("/info ")) {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", info.len());
            self.client.get_mut().write_all(format!("{head}{info}").as_bytes())?;
            return Ok(true);
        }
        request.pass(&mut self.client, self.engine.get_mut(), request.body(Body::None))?;

        let Some(answer) = Head::read(&mut self.engine)? else { return Ok(false) };
        let body = if request.start().starts_with("HEAD ") || answer.is_bodiless() {
            Body::None
        } else {
            answer.body(Body::UntilClose)
        };
        answer.pass(&mut self.engine, self.client.get_mut(), body)?;
        Ok(body != Body::UntilClose)
    }

    fn note(&self, request: &Head) {
        let mut words = request.start().split(' ');
        let method = words.next().unwrap().to_owned();
        let path = words.next().unwrap();
        let unversioned = path.strip_prefix("/v").and_then(|path| path.split_once('/')).map(|(_, path)| path);
        let path = unversioned.map_or_else(|| path.to_owned(), |path| format!("/{path}"));
        self.requests.lock().unwrap().push(Request { connection: self.number, method, path });
    }
}

/// How a message's end is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    None,
    Length(u64),
    Chunked,
    UntilClose,
}

/// The first line and the headers of a request or an answer, as they came.
struct Head(String);

impl Head {
    /// None when the peer closed the connection instead.
    fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if from.read_line(&mut head)? == 0 {
                return Ok(None);
            }
        }
        Ok(Some(Self(head)))
    }

    fn start(&self) -> &str {
        self.0.lines().next().unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.0.lines().skip(1).filter_map(|line| line.split_once(':'));
        headers.find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    fn body(&self, unsaid: Body) -> Body {
        if self.header("transfer-encoding").is_some() {
            return Body::Chunked;
        }
        self.header("content-length").map_or(unsaid, |length| Body::Length(length.parse().unwrap()))
    }

    fn is_bodiless(&self) -> bool {
        ["204", "304"].contains(&self.start().split(' ').nth(1).unwrap())
    }

    /// Passes the whole message on.
    fn pass(&self, from: &mut impl BufRead, to: &mut impl Write, body: Body) -> io::Result<()> {
        to.write_all(self.0.as_bytes())?;
        match body {
            Body::None => Ok(()),
            Body::Length(length) => copy(from.take(length), to),
            Body::UntilClose => copy(from, to),
            Body::Chunked => copy_chunks(from, to),
        }
    }
}

fn copy(mut from: impl Read, to: &mut impl Write) -> io::Result<()> {
    io::copy(&mut from, to).map(drop)
}

/// Each chunk is passed on when it comes: a log or a pull's progress may go on for long.
fn copy_chunks(from: &mut impl BufRead, to: &mut impl Write) -> io::Result<()> {
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        to.write_all(line.as_bytes())?;
        let length = u64::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)?;
        copy(from.take(length + 2), to)?; // the line end after the chunk, or, after the last one, that of no trailers
        if length == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::super::engine::stdout;
    use super::super::{Scanner, eventually};
    use super::*;

    #[test]
    fn notes_requests_and_passes_bodies_of_every_kind() {
        let engine = Engine::shared();
        let proxy = Proxy::new(engine);
        let docker =
            |arguments: &[&str]| stdout(Command::new("docker").args(["--host", &proxy.host()]).args(arguments));

        let scanner = Scanner::new(engine);
        let id = scanner.by_hand(&[]);
        eventually("scanner is up", || docker(&["logs", &id]).contains(" is up"));
        let archive = proxy.directory.path().join("image.tar");
        let archive = archive.to_str().unwrap();
        docker(&["save", "qualys/qcsa:1", "--output", archive]);
        docker(&["load", "--input", archive]);
        docker(&["rename", &id, &format!("{}-renamed", scanner.name)]);

        let requests: Vec<_> = proxy.requests().iter().map(ToString::to_string).collect();
        assert!(
            requests.starts_with(&["HEAD /_ping".to_owned(), format!("GET /containers/{id}/json")]),
            "{requests:?}"
        );
        let writes: Vec<_> = proxy.writes().iter().map(ToString::to_string).collect();
        assert_eq!(writes.len(), 2, "{writes:?}");
        assert!(writes[0].starts_with("POST /images/load?"), "{writes:?}");
        assert_eq!(writes[1], format!("POST /containers/{id}/rename?name={}-renamed", scanner.name));
        assert_eq!(proxy.connections(), requests.iter().filter(|request| *request == "HEAD /_ping").count());
    }
}
