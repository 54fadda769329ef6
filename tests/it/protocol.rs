//! What goes in and out of the binary, whatever the engine says.

use rstest::rstest;

use crate::support::{Engine, Module, Scanner, execute};

#[rstest]
#[case::empty(b"")]
#[case::truncated(br#"{"name": "scanner""#)]
#[case::no_object(br#"["name"]"#)]
#[case::not_utf8(b"{\"name\": \"\xff\"}")]
fn an_args_file_that_cannot_be_read_is_one_json_failure(#[case] file: &[u8]) {
    let message = execute(file, Vec::new()).refused("invalid_arguments");
    assert!(!message.is_empty());
}

#[test]
fn name_is_required() {
    let message = Module::new(Engine::shared()).arg("state", "absent").run().refused("invalid_arguments");
    assert_eq!(message, "missing required arguments: name");
}

#[test]
fn the_engine_may_be_given_by_the_environment() {
    let scanner = Scanner::new(Engine::shared());
    scanner.by_hand(&[]);
    let module = || scanner.module().without("docker_host");
    module().env("DOCKER_HOST", Engine::shared().host()).run().unchanged();
    module().env("DOCKER_HOST", "unix:///nonexistent/docker.sock").run().refused("engine_unreachable");
}
