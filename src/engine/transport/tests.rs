use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rstest::rstest;
use tempfile::TempDir;
use tokio::net::{UnixSocket, UnixStream};

use super::super::{Docker, Engine, Failure};
use super::*;
use crate::scanner::values::image::ImageRef;
use crate::scanner::values::name::Name;

/// An engine that answers each of `answers` to one request, on one connection; returns the first lines of these.
struct Engines {
    directory: TempDir,
    thread: JoinHandle<Vec<String>>,
}

impl Engines {
    fn new(answers: Vec<Vec<u8>>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("docker.sock")).unwrap();
        let answer = move || {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            let mut asked = Vec::new();
            for answer in answers {
                let head: Vec<_> =
                    stream.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
                asked.push(head[0].strip_suffix(" HTTP/1.1").unwrap().to_owned());
                // A client may have heard enough.
                let _ = stream.get_mut().write_all(&answer);
            }
            asked
        };
        Self { directory, thread: thread::spawn(answer) }
    }

    fn docker(&self) -> Docker {
        self.docker_within(Duration::from_secs(60))
    }

    fn docker_within(&self, timeout: Duration) -> Docker {
        let socket = format!("unix://{}", self.directory.path().join("docker.sock").display());
        Docker::new(DockerHost::parse(Some(&socket), None).unwrap(), timeout)
    }

    fn asked(self) -> Vec<String> {
        self.thread.join().unwrap()
    }
}

/// An answer of this status, of an engine of this API `version`.
fn answer(status: &str, version: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nApi-Version: {version}\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

fn ok(body: &str) -> Vec<u8> {
    answer("200 OK", "1.41", body)
}

/// An answer in chunks, one for each line.
fn chunks(lines: impl IntoIterator<Item = String>) -> Vec<u8> {
    let mut answer = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for line in lines {
        write!(answer, "{:x}\r\n{line}\r\n", line.len()).unwrap();
    }
    answer.extend(b"0\r\n\r\n");
    answer
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn name() -> Name {
    Name::parse("ab").unwrap()
}

const IMAGE: &str = r#"{"Id": "sha256:1", "RepoDigests": null, "Config": {"Env": ["A=1"]}}"#;

/// Podman reads each container's cgroup for a list, and one that ends meanwhile has none.
#[rstest]
#[case::passes(1, true)]
#[case::stays(4, false)]
fn podman_is_asked_again_for_what_it_failed_to_read(#[case] failures: usize, #[case] lists: bool) {
    let podman = |status: &str, body: &str| {
        let answer = String::from_utf8(answer(status, "1.41", body)).unwrap();
        answer.replacen("\r\n", "\r\nLibpod-Api-Version: 4.3.1\r\n", 1).into_bytes()
    };
    let failed = podman("500 Internal Server Error", r#"{"message": "read /proc/7/cgroup: no such process"}"#);
    let mut answers = vec![failed; failures];
    answers.extend(lists.then(|| podman("200 OK", r#"[{"Id": "1", "Names": ["/ab"]}]"#)));
    let engines = Engines::new(answers);
    let listed = block_on(engines.docker().containers(&[&name()]));
    match listed {
        Ok(listed) => assert_eq!((lists, listed.len()), (true, 1)),
        Err(failure) => {
            assert_eq!(failure.to_string(), "cannot list the containers: read /proc/7/cgroup: no such process");
            assert!(!lists);
        }
    }
    assert_eq!(engines.asked().len(), failures + usize::from(lists));
}

#[test]
fn a_run_with_nothing_to_do_makes_three_requests_on_one_connection() {
    let list = r#"[{"Id": "1", "Names": ["/other/ab", "/ab"]}, {"Id": "2", "Names": ["/cd", "/cd/ab"]}]"#;
    let container = r#"{"Id": "1", "Name": "/ab", "Image": "sha256:1", "Config": {"Env": ["A=1", "B=2"]}}"#;
    let engine = Engines::new(vec![ok(list), ok(IMAGE), ok(container)]);
    let docker = engine.docker();
    block_on(async {
        let name = name();
        let listed = docker.containers(&[&name]).await.unwrap();
        assert_eq!(listed.iter().map(|it| (it.id.as_str(), it.name.as_str())).collect::<Vec<_>>(), [("1", "ab")]);
        assert_eq!(docker.image("qualys/qcsa").await.unwrap().unwrap().id, "sha256:1");
        assert_eq!(docker.inspect("1").await.unwrap().unwrap().name, "ab");
    });
    let asked = engine.asked();
    assert!(asked[0].starts_with("GET /containers/json?all=true&filters=%7B%22name%22"), "{}", asked[0]);
    assert_eq!(asked[1..], ["GET /v1.41/images/qualys/qcsa/json", "GET /v1.41/containers/1/json"]);
}

#[rstest]
#[case::older("1.41", "v1.41")]
#[case::newer("1.99", "v1.53")]
#[case::much_newer("2.0", "v1.53")]
fn every_request_has_the_version_that_both_sides_know(#[case] says: &str, #[case] version: &str) {
    let engine = Engines::new(vec![answer("200 OK", says, IMAGE), answer("204 No Content", says, "")]);
    let docker = engine.docker();
    block_on(async {
        docker.image("a").await.unwrap();
        docker.start("1").await.unwrap();
    });
    assert_eq!(engine.asked(), ["GET /images/a/json".to_owned(), format!("POST /{version}/containers/1/start")]);
}

#[test]
fn only_before_a_first_request_that_writes_there_is_a_ping() {
    let engine = Engines::new(vec![ok("OK"), answer("204 No Content", "1.41", "")]);
    block_on(engine.docker().unpause("1")).unwrap();
    assert_eq!(engine.asked(), ["GET /_ping", "POST /v1.41/containers/1/unpause"]);
}

#[rstest]
#[case::no_version("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")]
#[case::odd_version("HTTP/1.1 200 OK\r\nApi-Version: new\r\nContent-Length: 2\r\n\r\n[]")]
#[case::odd_numbers("HTTP/1.1 200 OK\r\nApi-Version: 1.-4\r\nContent-Length: 2\r\n\r\n[]")]
#[case::refusal("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")]
#[case::not_http("+OK ready\r\n")]
#[case::nothing("")]
fn what_does_not_tell_its_version_is_not_an_engine(#[case] answer: &str) {
    let engine = Engines::new(vec![answer.as_bytes().to_vec()]);
    let docker = engine.docker();
    let name = name();
    let failure = block_on(docker.containers(&[&name])).unwrap_err();
    assert!(matches!(failure, Failure::NotAnEngine(_)), "{failure}");
}

/// More programs wait for the engine than it lets wait: a little later there is room.
#[test]
fn a_full_backlog_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("docker.sock");
    let docker = |timeout| {
        let host = DockerHost::parse(Some(&format!("unix://{}", path.display())), None).unwrap();
        Docker::new(host, timeout)
    };
    block_on(async {
        let socket = UnixSocket::new_stream().unwrap();
        socket.bind(&path).unwrap();
        let listener = socket.listen(1).unwrap();
        let mut waiting = Vec::new();
        while let Ok(client) = UnixStream::connect(&path).await {
            waiting.push(client);
        }
        let failure = docker(Duration::from_millis(100)).image("a").await.unwrap_err();
        assert!(matches!(failure, Failure::Silent(_)), "{failure}");

        let listener = listener.into_std().unwrap();
        listener.set_nonblocking(false).unwrap();
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(50));
            for mut stream in listener.incoming().map(Result::unwrap) {
                thread::spawn(move || {
                    stream.set_nonblocking(false).unwrap();
                    // Those who only wait send nothing.
                    stream.read_exact(&mut [0]).unwrap();
                    stream.write_all(&ok(IMAGE)).unwrap();
                });
            }
        });
        let image = docker(Duration::from_secs(20)).image("a").await;
        assert_eq!(image.unwrap().unwrap().id, "sha256:1");
    });
}

#[test]
fn who_does_not_answer_at_all_is_silent_and_later_only_late() {
    let engine = Engines::new(vec![ok(IMAGE), Vec::new()]);
    let docker = engine.docker_within(Duration::from_millis(200));
    block_on(async {
        docker.image("a").await.unwrap();
        // The connection stays open: its thread is blocked reading a third request, which never comes.
        let other =
            Docker::new(DockerHost::parse(Some("unix:///nonexistent/docker.sock"), None).unwrap(), Duration::MAX);
        assert!(matches!(other.image("a").await, Err(Failure::Unreachable(_))));
    });
    drop(docker);
    let silent = UnixListener::bind(engine.directory.path().join("silent.sock")).unwrap();
    let host = format!("unix://{}", engine.directory.path().join("silent.sock").display());
    let docker = Docker::new(DockerHost::parse(Some(&host), None).unwrap(), Duration::from_millis(50));
    assert!(matches!(block_on(docker.info()), Err(Failure::Silent(_))));
    drop(silent);
}

#[rstest]
#[case::not_found("404 Not Found", r#"{"message": "No such container: 1"}"#, true)]
#[case::podman("500 Internal Server Error", r#"{"message": "no such container", "cause": "x", "response": 500}"#, true)]
#[case::refusal("500 Internal Server Error", r#"{"message": "driver failed"}"#, false)]
fn a_container_that_is_gone(#[case] status: &str, #[case] body: &str, #[case] gone: bool) {
    let engine = Engines::new(vec![answer(status, "1.41", body)]);
    let inspected = block_on(engine.docker().inspect("1"));
    assert_eq!(inspected.is_ok_and(|container| container.is_none()), gone);
}

#[test]
fn an_answer_may_not_be_larger_than_it_ever_needs_to_be() {
    let long = |bytes: usize| format!(r#"{{"Id": "sha256:1", "More": "{}"}}"#, "x".repeat(bytes));
    let cases: [(usize, bool); 2] = [((1 << 20) - 200, true), (1 << 20, false)];
    for (bytes, allowed) in cases {
        let engine = Engines::new(vec![ok(IMAGE), ok(&long(bytes))]);
        let docker = engine.docker();
        let answer = block_on(async {
            docker.image("a").await.unwrap();
            docker.image("b").await
        });
        assert_eq!(answer.is_ok(), allowed, "{answer:?}");
        if let Err(failure) = answer {
            assert_eq!(*failure.root(), Failure::TooLarge);
            assert_eq!(failure.to_string(), Failure::TooLarge.during("inspect image `b`").to_string());
        }
    }
}

#[test]
fn a_list_may_be_longer() {
    let entry = format!(r#"{{"Id": "1", "Names": ["/cd"], "More": "{}"}}"#, "x".repeat(1 << 10));
    let list = format!("[{}]", vec![entry; 3000].join(","));
    let engine = Engines::new(vec![ok(&list)]);
    let name = name();
    assert_eq!(block_on(engine.docker().containers(&[&name])), Ok(Vec::new()));
}

#[test]
fn the_limit_holds_within_bollard_as_well() {
    let refusal = format!(r#"{{"message": "{}"}}"#, "x".repeat(2 << 20));
    let engine = Engines::new(vec![ok("OK"), answer("500 Internal Server Error", "1.41", &refusal)]);
    let failure = block_on(engine.docker().start("1")).unwrap_err();
    assert_eq!(*failure.root(), Failure::TooLarge);
}

#[rstest]
#[case::many_short_lines(vec!["{\"status\": \"Downloading\"}\r\n".to_owned(); 50_000], true)]
#[case::long_lines(vec![format!("{{\"status\": \"{}\"}}\r\n", "x".repeat((64 << 10) - 50)); 20], true)]
#[case::too_long(vec![format!("{{\"status\": \"{}\"}}\r\n", "x".repeat(64 << 10))], false)]
#[case::never_ends(vec!["x".repeat(1000); 1000], false)]
fn progress_may_be_endless_but_not_its_lines(#[case] lines: Vec<String>, #[case] allowed: bool) {
    let engine = Engines::new(vec![ok("OK"), chunks(lines)]);
    let pulled = block_on(engine.docker().pull(&ImageRef::parse("qualys/qcsa").unwrap(), None));
    let failure = pulled.map_err(|failure| failure.to_string());
    let expected = Failure::TooLarge.during("pull image `qualys/qcsa`").to_string();
    assert_eq!(failure, if allowed { Ok(()) } else { Err(expected) });
    assert_eq!(engine.asked()[1], "POST /v1.41/images/create?fromImage=qualys/qcsa&tag=latest");
}

#[test]
fn an_archive_goes_over_as_it_comes() {
    let engine = Engines::new(vec![ok("OK"), chunks(["{\"error\": \"invalid tar header\"}\r\n".to_owned()])]);
    let archive = futures_util::stream::iter([Ok(Bytes::from("not a tar"))]);
    let failure = block_on(engine.docker().load(archive)).unwrap_err();
    assert_eq!(failure.to_string(), "cannot load the image archive: invalid tar header");
}
