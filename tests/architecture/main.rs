//! The invariants of ARCHITECTURE.md.

mod paths;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use cargo_metadata::{DependencyKind, MetadataCommand};

use paths::find_paths;

/// Returns the dependencies of a crate, without those of its tests.
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

/// Returns every Rust file below `folder` with its text.
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
fn domain_has_no_internal_or_io_dependency() {
    // A grammar and a derive macro, both pure, and a model checker that is built only for its own test.
    assert_eq!(dependencies("domain").into_iter().collect::<Vec<_>>(), ["loom", "oxilangtag", "thiserror"]);
}

#[test]
fn dependencies_point_inwards() {
    assert_eq!(ours("ports"), ["domain"]);
    assert_eq!(ours("adapters"), ["domain", "ports"]);
    assert_eq!(ours("ocis-sse"), ["adapters", "domain", "ports"]);
}

#[test]
fn ports_name_no_vendor() {
    // `Bytes` and `Span` are vocabulary types, like those of the standard library.
    let allowed = ["async-trait", "bytes", "domain", "mockall", "thiserror", "tracing"];
    assert!(dependencies("ports").iter().all(|name| allowed.contains(&name.as_str())));
}

#[test]
fn domain_never_awaits() {
    for (path, text) in sources("domain/src") {
        for word in ["async ", ".await", "std::fs", "std::net", "std::io", "std::thread", "std::env"] {
            assert!(!text.contains(word), "{} contains {word}", path.display());
        }
    }
}

#[test]
fn only_composition_root_names_adapters() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/composition");
    let naming: Vec<_> = sources("src")
        .into_iter()
        .filter(|(_, text)| text.contains("adapters::"))
        .map(|(path, _)| path)
        .collect();
    assert!(!naming.is_empty());
    assert!(naming.iter().all(|path| path.starts_with(&root)), "{naming:?}");
}

/// Returns the module of a file of adapters/src: `["inbound", "http"]` for inbound/http/mod.rs.
fn module_of(path: &Path) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("adapters/src");
    let path = path.strip_prefix(root).expect("a file of adapters/src").with_extension("");
    let mut module: Vec<_> = path.iter().map(|part| part.to_str().expect("UTF-8").to_owned()).collect();
    module.pop_if(|name| ["mod", "lib"].contains(&name.as_str()));
    module
}

fn borrowed(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}

/// Returns whether code in `module` may name `path`. An adapter may name itself. An inbound adapter may also name the
/// HTTP server and `web`, which name no adapter; every module may name `any_certificate` and `error_text`. No adapter may name the parents of all adapters, with or without a
/// glob: the crate, `inbound` and `outbound`.
fn may_name(module: &[&str], path: &[&str]) -> bool {
    match (module, path) {
        (_, ["any_certificate" | "error_text", ..])
        | (["http_server" | "inbound", ..], ["http_server", ..])
        | (["web" | "inbound", ..], ["web", ..]) => true,
        ([side @ ("inbound" | "outbound"), adapter, ..], [named_side, named_adapter, ..]) => {
            side == named_side && adapter == named_adapter
        }
        _ => false,
    }
}

#[test]
fn no_adapter_names_another_adapter() {
    let mut adapters = BTreeSet::new();
    for (path, text) in sources("adapters/src") {
        let module = module_of(&path);
        let module = borrowed(&module);
        if let [side @ ("inbound" | "outbound"), adapter, ..] = module[..] {
            adapters.insert(format!("{side}::{adapter}"));
        }
        for found in find_paths(&module, &text) {
            let allowed = may_name(&module, &borrowed(&found.path));
            let (path, line) = (path.display(), found.line);
            assert!(allowed, "{path}:{line} names crate::{}", found.path.join("::"));
        }
    }
    assert!(adapters.len() > 5, "{adapters:?}");
}

#[test]
fn adapters_are_recognized_by_path() {
    for (path, text) in sources("adapters/src") {
        // A file elsewhere would have another module than its path says; an included file would have none.
        for word in ["#[path", "include!("] {
            assert!(!text.contains(word), "{} contains {word}", path.display());
        }
        // A module above the adapters could re-export one of them to another: `pub use http::Http`.
        if matches!(borrowed(&module_of(&path))[..], [] | ["inbound" | "outbound"]) {
            let declares_a_module = |line: &str| {
                let line = line.strip_prefix("pub ").unwrap_or(line);
                line.starts_with("mod ") && line.ends_with(';')
            };
            let beside = text
                .lines()
                .find(|line| !line.is_empty() && !line.starts_with("//") && !declares_a_module(line));
            assert_eq!(beside, None, "{} declares more than modules", path.display());
        }
    }
}

#[test]
fn adapter_names_only_allowed_paths() {
    let verdicts = |module: &[&str], text: &str| -> Vec<bool> {
        find_paths(module, text).iter().map(|found| may_name(module, &borrowed(&found.path))).collect()
    };
    let inbound = ["inbound", "http", "queue"];
    for allowed in [
        "use super::{frame::Frame, *};",
        "use crate::inbound::http::event_stream_parser::parse;",
        "use crate::http_server::{self, App};",
        "use crate::web::page;",
        "mod tests { use super::super::*; }",
        "pub(in super::super) struct S;",
    ] {
        assert!(verdicts(&inbound, allowed).into_iter().all(|verdict| verdict), "{allowed}");
    }
    for rejected in [
        "use crate::outbound::jwt::Tokens;",
        "use super::super::debug::Debug;",
        "use super::{super::{debug as d}};",
        "use {std::fmt, crate::inbound::demo};",
        "use crate as root;",
        "extern crate self as root;",
        "use crate::*;",
        "use super::super as side;",
        "use super::super::*;",
        "use crate::outbound;",
        "use crate::outbound::{self as out};",
        "use crate::Reexported;",
        "fn f(page: &super::super::demo::Page) {}",
        "fn f() { crate::outbound::host::address::<u8>() }",
        "fn f() { tokio::select! { x = y => super::super::debug::f(x) } }",
        "macro_rules! m { () => { $crate::outbound::jwt::f() } }",
        "#[serde(with = \"super::super::demo\")] struct S;",
        "mod tests { use super::super::super::debug; }",
    ] {
        assert_eq!(verdicts(&inbound, rejected), [false], "{rejected}");
    }
    assert_eq!(verdicts(&["outbound", "jwt"], "use crate::http_server::App;"), [false]);
    assert_eq!(verdicts(&["outbound", "jwt"], "use super::clock::SystemClock;"), [false]);
    assert_eq!(verdicts(&["http_server", "reactor"], "use super::super::inbound::http;"), [false]);
    assert_eq!(verdicts(&["http_server", "reactor"], "use super::super::http_server::peer;"), [true]);
}

#[test]
fn tests_named_in_the_guarantees_exist() {
    let sources: Vec<_> = ["domain", "adapters", "src", "tests"].into_iter().flat_map(sources).collect();
    let page = include_str!("../../docs/guarantees.md");
    let package_tests = include_str!("../package/inside");
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    // In the tables, the quoted names in the last column are tests, modules of tests, files of tests, or tests of the package.
    let proofs =
        page.lines().filter_map(|line| line.strip_suffix('|')?.rsplit_once('|')).map(|(_, proofs)| proofs);
    let named: Vec<_> = proofs.flat_map(|proofs| proofs.split('`').skip(1).step_by(2)).collect();
    assert!(named.len() > 30, "{named:?}");
    for name in named {
        let last = name.rsplit("::").next().unwrap_or_default();
        let (function, module) = (format!("fn {last}("), format!("mod {last};"));
        let exists = sources.iter().any(|(_, text)| text.contains(&function) || text.contains(&module))
            || (name.ends_with(".test.js")
                && ["browser", "image"].iter().any(|part| tests.join(part).join(name).is_file()))
            || package_tests.contains(&format!("\n{name}() {{\n"));
        assert!(exists, "docs/guarantees.md names {name}, which is no test");
    }
}
