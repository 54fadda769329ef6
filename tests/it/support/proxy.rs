//! Stands between the module and the engine, notes what is asked, and breaks it when told.

use std::fmt;
use std::fs;
use std::io::{self, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::Engine;
use super::fault::{Fault, Trap};
use super::http::{Body, Head};

/// A socket that leads to the engine.
///
/// Each connection has its thread and its own connection to the engine; HTTP/1.1 sends requests one after the other, so an
/// exchange (request there, answer back) is the unit, see [`Connection::exchange`].
pub struct Proxy {
    directory: TempDir,
    shared: Arc<Mutex<Shared>>,
}

/// What all connections know.
#[derive(Default)]
struct Shared {
    requests: Vec<Request>,
    trap: Option<Trap>,
    /// Whether a late request has been answered, or was never made.
    was_late: bool,
    /// Where a socket is that nobody listens at, to take the place of the real one.
    dead_end: PathBuf,
    /// The real one.
    socket: PathBuf,
    /// Has the engine's process.
    engine_pid: PathBuf,
    /// Answered to `GET /info` in the engine's place.
    info: Option<String>,
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
        let proxy = Self { directory: engine.temp_dir(), shared: Arc::default() };
        let path = |name: &str| proxy.directory.path().join(name);
        let listener = UnixListener::bind(path("docker.sock")).unwrap();
        drop(UnixListener::bind(path("dead-end.sock")).unwrap());
        proxy.shared.lock().unwrap().dead_end = path("dead-end.sock");
        proxy.shared.lock().unwrap().socket = path("docker.sock");
        proxy.shared.lock().unwrap().engine_pid = engine.directory().join("dockerd.pid");
        let (engine, shared) = (engine.socket(), Arc::clone(&proxy.shared));
        thread::spawn(move || {
            for (number, client) in listener.incoming().enumerate() {
                let client = BufReader::new(client.unwrap());
                let (engine, shared) = (engine.clone(), Arc::clone(&shared));
                thread::spawn(move || {
                    // An engine that is down: the client is hung up on.
                    let Ok(engine) = UnixStream::connect(engine) else { return };
                    Connection { number, client, engine: BufReader::new(engine), shared }.serve();
                });
            }
        });
        proxy
    }

    /// The same, in front of an engine that says these fields of itself: `{"MemTotal": 1073741824}`.
    pub fn posing(engine: &Engine, fields: &Value) -> Self {
        let mut info: Value = serde_json::from_str(&engine.docker(&["info", "--format", "{{json .}}"])).unwrap();
        info.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let proxy = Self::new(engine);
        proxy.shared.lock().unwrap().info = Some(info.to_string());
        proxy
    }

    /// What goes into `docker_host`.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// The socket itself.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("docker.sock")
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.lock().unwrap().requests.clone()
    }

    /// Forgets all requests, and breaks those to come as `trap` says.
    pub fn set(&self, trap: Trap) {
        let mut shared = self.shared.lock().unwrap();
        shared.requests.clear();
        shared.was_late = false;
        if trap.is_refused(0) {
            shared.refuse();
        }
        shared.trap = Some(trap);
    }

    /// Whether the engine has done what came late; also when the module never came to that call.
    pub fn was_late(&self) -> bool {
        let shared = self.shared.lock().unwrap();
        shared.was_late || shared.trap.as_ref().is_none_or(|trap| shared.requests.len() <= trap.call)
    }

    /// Tells a trap that kills which process to kill.
    pub fn aim(&self, victim: Pid) {
        self.shared.lock().unwrap().trap.iter_mut().for_each(|trap| trap.set_victim(victim));
    }

    /// Breaks nothing more; whether it did break something.
    pub fn release(&self) -> bool {
        let mut shared = self.shared.lock().unwrap();
        let Some(trap) = shared.trap.take() else { return false };
        if !trap.is_refused(usize::MAX) {
            return shared.requests.len() > trap.call;
        }
        let refused = shared.is_refusing();
        if refused {
            fs::rename(&shared.socket, &shared.dead_end).unwrap();
            fs::rename(shared.aside(), &shared.socket).unwrap();
        }
        refused
    }

    /// Those of them that ask the engine to change something.
    pub fn writes(&self) -> Vec<Request> {
        self.requests().into_iter().filter(Request::is_write).collect()
    }

    /// How many connections carried a request.
    pub fn connections(&self) -> usize {
        let mut connections: Vec<_> = self.requests().iter().map(|request| request.connection).collect();
        connections.sort_unstable();
        connections.dedup();
        connections.len()
    }
}

impl Request {
    /// Whether it asks the engine to change something. A change of a container that cannot be is a question: does this Podman
    /// have the call?
    pub fn is_write(&self) -> bool {
        !["GET", "HEAD"].contains(&self.method.as_str()) && !self.path.contains(&format!("/{}/", "0".repeat(64)))
    }
}

/// `GET /containers/json?all=true`
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

impl Shared {
    /// From now on the kernel refuses connections.
    fn refuse(&mut self) {
        if !self.is_refusing() {
            fs::rename(&self.socket, self.aside()).unwrap();
            fs::rename(&self.dead_end, &self.socket).unwrap();
        }
    }

    fn is_refusing(&self) -> bool {
        self.aside().exists()
    }

    fn aside(&self) -> PathBuf {
        self.socket.with_extension("aside")
    }
}

struct Connection {
    number: usize,
    client: BufReader<UnixStream>,
    engine: BufReader<UnixStream>,
    shared: Arc<Mutex<Shared>>,
}

impl Connection {
    /// One exchange after the other until one side has had enough, which is no error.
    fn serve(mut self) {
        while let Ok(true) = self.exchange() {}
        for side in [&self.client, &self.engine] {
            let _ = side.get_ref().shutdown(Shutdown::Both);
        }
    }

    /// Passes one request on and its answer back, or breaks that; false when the connection ends with it.
    fn exchange(&mut self) -> io::Result<bool> {
        let Some(request) = Head::read(&mut self.client)? else { return Ok(false) };
        let (fault, last) = self.note(&request);
        let info = self.shared.lock().unwrap().info.clone().filter(|_| request.start().contains("/info "));
        if let Some(info) = info {
            let head = format!("HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: {}\r\n\r\n", info.len());
            self.client.get_mut().write_all(format!("{head}{info}").as_bytes())?;
            return Ok(true);
        }
        match fault {
            None | Some(Fault::Refused) => {}
            Some(Fault::DroppedBefore) => return Ok(false),
            Some(Fault::Status(code)) => {
                request.pass(&mut self.client, &mut io::sink(), request.body(Body::None))?;
                let message = "{\"message\": \"a fault on purpose\"}";
                let message = if request.is("HEAD") { "" } else { message };
                let length = message.len();
                let head = format!(
                    "HTTP/1.1 {code} Fault\r\nApi-Version: 1.41\r\nContent-Type: application/json\r\nContent-Length: {length}"
                );
                return self.client.get_mut().write_all(format!("{head}\r\n\r\n{message}").as_bytes()).map(|()| true);
            }
            Some(Fault::HangBefore) => return self.wait_for_hangup(),
            Some(Fault::KillBefore(signal)) => return self.kill(signal),
            Some(Fault::EngineEndsBefore(signal)) => return self.end_engine(signal),
            Some(after) => return self.break_answer(&request, after),
        }
        request.pass(&mut self.client, self.engine.get_mut(), request.body(Body::None))?;
        let Some(answer) = Head::read(&mut self.engine)? else { return Ok(false) };
        let body = answer.body_after(&request);
        answer.pass(&mut self.engine, self.client.get_mut(), body)?;
        Ok(body != Body::UntilClose && !last)
    }

    /// The engine does what is asked, and the client does not learn of it.
    fn break_answer(&mut self, request: &Head, fault: Fault) -> io::Result<bool> {
        let mut asked = Vec::new();
        request.pass(&mut self.client, &mut asked, request.body(Body::None))?;
        if let Fault::Late(lateness) = fault {
            self.wait_for_hangup()?;
            thread::sleep(lateness);
        }
        self.engine.get_mut().write_all(&asked)?;
        let Some(answer) = Head::read(&mut self.engine)? else { return Ok(false) };
        let mut answered = Vec::new();
        answer.pass(&mut self.engine, &mut answered, answer.body_after(request))?;
        if fault.is_late() {
            self.shared.lock().unwrap().was_late = true;
        }
        let client = self.client.get_mut();
        match fault {
            Fault::Garbage => client.write_all(b"\x16\x03\x01 this is no HTTP at all\r\n\r\n")?,
            Fault::Nonsense => {
                let page = "<html>\"Id\": {";
                let length = page.len();
                let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}");
                client.write_all(format!("{head}\r\n\r\n{page}").as_bytes())?;
            }
            Fault::Truncated => client.write_all(answered.get(..answered.len() * 2 / 3).unwrap_or_default())?,
            Fault::HangAfter => return self.wait_for_hangup(),
            Fault::KillAfter(signal) => return self.kill(signal),
            Fault::EngineEndsAfter(signal) => return self.end_engine(signal),
            _ => {}
        }
        Ok(false)
    }

    fn wait_for_hangup(&mut self) -> io::Result<bool> {
        io::copy(&mut self.client, &mut io::sink()).map(|_| false)
    }

    /// Ends the module, which waits for an answer.
    fn kill(&self, signal: Signal) -> io::Result<bool> {
        let victim = loop {
            // It may be quicker here than its parent is with its number.
            if let Some(victim) = self.shared.lock().unwrap().trap.as_ref().and_then(Trap::victim) {
                break victim;
            }
            thread::yield_now();
        };
        kill_process(victim, signal)?;
        Ok(false)
    }

    /// Ends the engine, and with it this exchange.
    fn end_engine(&self, signal: Signal) -> io::Result<bool> {
        let pid = fs::read_to_string(&self.shared.lock().unwrap().engine_pid)?;
        let pid = pid.trim().parse().ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
        kill_process(pid, signal)?;
        Ok(false)
    }

    /// Notes the request; what to do with it, and whether it is the last one before connections are refused.
    fn note(&self, request: &Head) -> (Option<Fault>, bool) {
        let mut words = request.start().split(' ');
        let method = words.next().unwrap().to_owned();
        let path = words.next().unwrap();
        let unversioned = path.strip_prefix("/v").and_then(|path| path.split_once('/')).map(|(_, path)| path);
        let path = unversioned.map_or_else(|| path.to_owned(), |path| format!("/{path}"));
        let mut shared = self.shared.lock().unwrap();
        let number = shared.requests.len();
        shared.requests.push(Request { connection: self.number, method, path });
        let last = shared.trap.as_ref().is_some_and(|trap| trap.is_refused(number + 1));
        if last {
            shared.refuse();
        }
        (shared.trap.as_ref().and_then(|trap| trap.at(number)), last)
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
