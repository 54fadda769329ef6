//! The layers of `docs/development.md`: a module uses its own layer and those below it.

use std::fs;
use std::path::{Path, PathBuf};

/// Each layer, top first, and the layers that it may use. `testing` does not exist outside tests.
const ARROWS: &[(&str, &[&str])] = &[
    ("main", &["ansible", "error"]),
    ("testing", &["ansible", "scanner", "error"]),
    ("ansible", &["run", "engine", "scanner", "values", "error", "secret", "file", "testing"]),
    ("run", &["engine", "host", "scanner", "values", "error", "secret", "file", "testing"]),
    ("engine", &["scanner", "values", "error", "secret", "file", "testing"]),
    ("host", &["scanner", "values", "error", "secret", "file", "testing"]),
    ("scanner", &["values", "error", "secret", "testing"]),
    ("values", &["error", "secret"]),
    ("error", &[]),
    ("secret", &[]),
    ("file", &[]),
];

#[test]
fn arrows_go_down_only() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in files(&src).into_iter().filter(|file| !file.ends_with("lib.rs")) {
        let path = file.strip_prefix(&src).unwrap().with_extension("").display().to_string();
        let mut module: Vec<_> = path.split('/').filter(|part| *part != "mod").collect();
        let from = layer(&module);
        let (_, allowed) = ARROWS.iter().find(|(name, _)| *name == from).unwrap_or_else(|| panic!("{path}: no layer"));
        for line in fs::read_to_string(&file).unwrap().lines() {
            module.extend((line == "mod tests {").then_some("tests"));
            let code = line.split("//").next().unwrap_or_default();
            for used in code.split(|c: char| !c.is_alphanumeric() && !"_:".contains(c)).filter(|it| it.contains("::")) {
                let up = used.split("::").take_while(|part| *part == "super").count();
                let parent = match used.split("::").next() {
                    Some("crate" | "qcss_scanner") => &[],
                    Some("super") => &module[..module.len() - up],
                    _ => continue,
                };
                let rest = used.split("::").skip(up.max(1)).filter(|part| !part.is_empty());
                let to = layer(&parent.iter().copied().chain(rest).collect::<Vec<_>>());
                let arrow = format!("{path}: {from} must not use {to}: {}", line.trim());
                assert!(to == from || allowed.contains(&to), "{arrow}");
            }
        }
    }
}

fn layer<'a>(module: &[&'a str]) -> &'a str {
    if let ["scanner", "values", ..] = module {
        "values"
    } else {
        module.first().copied().unwrap_or("the crate's root")
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}
