//! The shape of the house, as ARCHITECTURE.md tells it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// What each crate depends on, apart from its tests.
fn dependencies(of: &str) -> BTreeSet<String> {
    let metadata = MetadataCommand::new().no_deps().exec().expect("cargo metadata");
    let package = metadata.packages.iter().find(|package| package.name == of).expect("a crate of ours");
    let normal = package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal);
    normal.map(|dependency| dependency.name.clone()).collect()
}

fn ours(of: &str) -> Vec<String> {
    dependencies(of)
        .into_iter()
        .filter(|name| ["domain", "ports", "adapters", "ocis-sse"].contains(&name.as_str()))
        .collect()
}

/// Every Rust file below `folder`, with its text.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut sources = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a text");
                sources.push((path, text));
            }
        }
    }
    assert!(!sources.is_empty(), "{folder}");
    sources
}

#[test]
fn the_domain_depends_on_nothing_of_ours_and_nothing_that_acts() {
    // A grammar and a derive macro, both without any effect.
    assert_eq!(dependencies("domain").into_iter().collect::<Vec<_>>(), ["oxilangtag", "thiserror"]);
}

#[test]
fn dependencies_point_inwards() {
    assert_eq!(ours("ports"), ["domain"]);
    assert_eq!(ours("adapters"), ["domain", "ports"]);
    assert_eq!(ours("ocis-sse"), ["adapters", "domain", "ports"]);
}

#[test]
fn ports_name_no_vendor() {
    // `Bytes` and `Span` are common language, like what comes with Rust.
    let allowed = ["async-trait", "bytes", "domain", "mockall", "thiserror", "tracing"];
    assert!(dependencies("ports").iter().all(|name| allowed.contains(&name.as_str())));
}

#[test]
fn the_domain_never_awaits() {
    for (path, text) in sources("domain/src") {
        for word in ["async ", ".await", "std::fs", "std::net", "std::io", "std::thread", "std::env"] {
            assert!(!text.contains(word), "{} contains {word}", path.display());
        }
    }
}

#[test]
fn only_the_composition_root_names_an_adapter() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/composition");
    let naming: Vec<_> = sources("src")
        .into_iter()
        .filter(|(_, text)| text.contains("adapters::"))
        .map(|(path, _)| path)
        .collect();
    assert!(!naming.is_empty());
    assert!(naming.iter().all(|path| path.starts_with(&root)), "{naming:?}");
}

#[test]
fn no_adapter_names_another() {
    let side = |side: &str, own: &[&str]| {
        for (path, text) in sources(&format!("adapters/src/{side}")) {
            let named = text.match_indices("crate::").map(|(at, _)| &text[at + "crate::".len()..]);
            for named in named.filter(|named| named.starts_with("inbound") || named.starts_with("outbound")) {
                let allowed = own.iter().any(|own| named.starts_with(own));
                let line = named.lines().next().unwrap_or_default();
                assert!(allowed, "{} names crate::{line}", path.display());
            }
        }
    };
    side("inbound", &["inbound::http::event_stream_parser"]);
    side("outbound", &[]);
}

#[test]
fn every_test_that_the_guarantees_name_exists() {
    let sources: Vec<_> = ["domain", "adapters", "src", "tests"].into_iter().flat_map(sources).collect();
    let page = include_str!("../docs/guarantees.md");
    let browser_tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    // In the tables, what is quoted in the last column are tests, or modules of them, or files of those with real clients.
    let proofs =
        page.lines().filter_map(|line| line.strip_suffix('|')?.rsplit_once('|')).map(|(_, proofs)| proofs);
    let named: Vec<_> = proofs.flat_map(|proofs| proofs.split('`').skip(1).step_by(2)).collect();
    assert!(named.len() > 30, "{named:?}");
    for name in named {
        let last = name.rsplit("::").next().unwrap_or_default();
        let (function, module) = (format!("fn {last}("), format!("mod {last};"));
        let exists = sources.iter().any(|(_, text)| text.contains(&function) || text.contains(&module))
            || (name.ends_with(".test.js") && browser_tests.join(name).is_file());
        assert!(exists, "docs/guarantees.md names {name}, which is no test");
    }
}
