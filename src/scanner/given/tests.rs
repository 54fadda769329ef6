use rstest::rstest;
use serde_json::{Value, json};

use super::super::example::{by_hand, environment};
use super::*;
use crate::scanner::values::limits::MemorySwap;
use crate::testing::parse;

const GIB: u64 = 1 << 30;

fn adjusted(options: &Value, observed: &Observed) -> Result<Desired> {
    let mut all = json!({"name": "scanner"});
    all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    parse(&all)?.adjustment.unwrap().adjusted(observed, &Capacity { memory: 8 * GIB, swap: None, cpus: 4 })
}

#[test]
fn what_is_not_named_is_what_the_scanner_has() {
    let observed =
        by_hand().with_env("EXTRA", "1").with_mount("/srv/else", mount::PRIVATE, "").limited(GIB, 3 << 30, 0);
    let desired = adjusted(&json!({"restart_policy": "always"}), &observed).unwrap();
    assert_eq!(desired.identity_dir().as_str(), "/srv/else");
    assert_eq!((desired.image.as_str(), desired.shared_dir.as_str()), ("qualys/qcsa", "/usr/qualys/shared"));
    assert_eq!(desired.limits.given(), (Some(GIB), Some(MemorySwap::Bytes(3 * GIB)), None));
    let own = ["EXTRA=1", "PERSONALIZATION_CODE=code-4711", "QUALYS_URL=https://qualysguard.qualys.com"];
    assert_eq!(desired.variables(), environment(&own));
    let managed: Vec<_> = OPTIONS.iter().filter(|option| !desired.kept.contains(option)).collect();
    assert_eq!(managed, [&"restart_policy"]);
}

#[test]
fn env_sets_what_it_names_and_keeps_the_rest() {
    let observed = by_hand().with_env("A", "1").with_env("B", "2").with_env("HTTPS_PROXY", "h:1");
    let options = json!({"env": {"B": "3", "VERSION": "mine"}, "https_proxy": "h:2", "polling_interval": 60});
    let variables = adjusted(&options, &observed).unwrap().variables();
    let named = ["A", "B", "VERSION", "HTTPS_PROXY", "SCAND_POLL_INTERVAL_SEC"].map(|name| variables.value(name));
    assert_eq!(named, [Some("1"), Some("3"), Some("mine"), Some("h:2"), Some("60")]);
    assert_eq!(variables.value("PATH"), None, "the image's own stays the image's");
}

#[rstest]
#[case::nothing((1, 2, 0), json!({"cpus": 1}), Ok((Some(1), Some(2))))]
#[case::memory_alone((1, 2, 0), json!({"memory": "2g"}), Ok((Some(2), None)))]
#[case::another_swap_stays((1, 3, 0), json!({"memory": "2g"}), Ok((Some(2), Some(3))))]
#[case::another_swap_is_too_small((1, 3, 0), json!({"memory": "4g"}), Err("memory_swap"))]
#[case::taken_away((1, 3, 0), json!({"memory": 0}), Ok((None, None)))]
#[case::taken_away_with_its_swap((1, 3, 0), json!({"memory": 0, "memory_swap": "1g"}), Err("memory_swap"))]
#[case::swap_alone((1, 2, 0), json!({"memory_swap": "5g"}), Ok((Some(1), Some(5))))]
#[case::swap_without_memory((0, 0, 0), json!({"memory_swap": "5g"}), Err("memory_swap"))]
#[case::first_limit((0, 0, 0), json!({"memory": "25%"}), Ok((Some(2), None)))]
fn memory_and_swap(
    #[case] (memory, swap, cpus): (u64, i64, u64),
    #[case] options: Value,
    #[case] expected: Result<(Option<u64>, Option<u64>), &str>,
) {
    let observed = match memory {
        0 => by_hand(),
        memory => by_hand().limited(memory * GIB, swap * (1 << 30), cpus),
    };
    let bytes = |swap| match swap {
        MemorySwap::Bytes(bytes) => bytes / GIB,
        MemorySwap::Unlimited => panic!("unlimited"),
    };
    match (adjusted(&options, &observed), expected) {
        (Ok(desired), Ok(expected)) => {
            let (memory, swap, _) = desired.limits.given();
            assert_eq!((memory.map(|memory| memory / GIB), swap.map(bytes)), expected);
        }
        (Err(error), Err(named)) => assert!(error.message.starts_with(named), "{error}"),
        (desired, _) => panic!("{desired:?}"),
    }
}

#[rstest]
#[case::shared(by_hand().without_mount(mount::SHARED), "mount at /usr/local/qualys")]
#[case::identity(by_hand().without_mount(mount::PRIVATE), "mount at /usr/local/qualys/admin/etc")]
#[case::code(by_hand().without_env("PERSONALIZATION_CODE"), "PERSONALIZATION_CODE")]
#[case::url(by_hand().without_env("QUALYS_URL"), "QUALYS_URL")]
fn half_a_scanner_is_not_adjusted(#[case] observed: Observed, #[case] lacking: &str) {
    let message = adjusted(&json!({"memory": "1g"}), &observed).unwrap_err().message;
    assert!(
        message.starts_with(&format!("the scanner has no {lacking}, ")) && message.ends_with("`scanner`"),
        "{message}"
    );
}
