//! The files in `deploy/` and the pages about them match the code.

mod compatibility;
mod compose;
mod kubernetes;
mod metrics;
mod prometheus;
mod rolling_updates;
mod troubleshooting;

use std::{collections::BTreeSet, path::PathBuf, process::Command};

use ocis_sse::configuration::{SETTINGS, Setting};

const DIRECT_STREAMS: &str = include_str!("../../docs/direct-streams.md");
const DOCKERFILE: &str = include_str!("../../deploy/docker/Dockerfile");
const PROXIES: &str = include_str!("../../docs/proxies.md");
const SOCKET: &str = include_str!("../../deploy/systemd/ocis-sse.socket");
const UNIT: &str = include_str!("../../deploy/systemd/ocis-sse.service");

/// Returns every word of `text` that starts with one of `beginnings`.
fn words<'a>(text: &'a str, beginnings: &[&str]) -> BTreeSet<&'a str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| beginnings.iter().any(|beginning| word.starts_with(beginning)))
        .collect()
}

/// Returns the path of a program, which `scripts/NAME` fetches if needed.
fn program(name: &str) -> PathBuf {
    let script = Command::new(format!("{}/scripts/{name}", env!("CARGO_MANIFEST_DIR"))).output();
    let script = script.expect("the script runs");
    assert!(script.status.success(), "{name}: {}", String::from_utf8_lossy(&script.stderr));
    String::from_utf8(script.stdout).expect("a path").trim_end().into()
}

#[test]
fn deployed_settings_exist() {
    let known: BTreeSet<String> = SETTINGS.iter().flat_map(Setting::all_variables).collect();
    for (file, text) in [("Dockerfile", DOCKERFILE), ("ocis-sse.service", UNIT), ("ocis-sse.socket", SOCKET)]
    {
        for name in words(text, &["SSE_", "MICRO_REGISTRY"]) {
            let variable = name.strip_suffix("_FILE").unwrap_or(name);
            assert!(known.contains(name) || known.contains(variable), "{file}: {name} is no setting");
        }
    }
}

#[test]
fn debian_changelog_has_the_version() {
    let changelog = include_str!("../../deploy/debian/changelog");
    assert!(changelog.starts_with(concat!("ocis-sse (", env!("CARGO_PKG_VERSION"), ") ")), "{changelog}");
}

/// The end-to-end tests show that the service reloads on SIGHUP and notifies systemd.
#[test]
fn systemd_reloads_with_sighup() {
    let says = |line: &str| UNIT.lines().any(|found| found == line);
    assert!(says("Type=notify") && says("ExecReload=/bin/kill -USR2 $MAINPID"));
}

#[test]
fn proxies_page_shows_the_deployed_files() {
    let files = [
        include_str!("../../deploy/proxies/nginx.conf"),
        include_str!("../../deploy/proxies/Caddyfile"),
        include_str!("../../deploy/proxies/haproxy.cfg"),
        include_str!("../../deploy/proxies/traefik/traefik.yaml"),
        include_str!("../../deploy/proxies/traefik/platform.yaml"),
    ];
    shows("docs/proxies.md", PROXIES, &files);
}

#[test]
fn page_of_direct_streams_shows_the_deployed_files() {
    let files = [
        include_str!("../../deploy/proxies/direct/nginx.conf"),
        include_str!("../../deploy/proxies/direct/Caddyfile"),
        include_str!("../../deploy/proxies/direct/traefik/platform.yaml"),
    ];
    shows("docs/direct-streams.md", DIRECT_STREAMS, &files);
}

/// Checks that a page shows each of these files whole.
fn shows(name: &str, page: &str, files: &[&str]) {
    for file in files {
        let shown: Vec<_> =
            file.lines()
                .map(|line| {
                    if line.is_empty() { String::new() } else { format!("    {line}").replace('\t', "    ") }
                })
                .collect();
        let shown = shown.join("\n");
        assert!(page.contains(&shown), "{name} should show:\n{shown}");
    }
}

/// The image builds the dependencies before the sources are copied. Cargo fails to do so when a target of a manifest is
/// missing.
#[test]
fn image_build_has_every_cargo_target() {
    let instructions = DOCKERFILE.replace("\\\n", " ");
    let builder = instructions.split("\nFROM ").nth(1).expect("its first stage");
    let (before, _) = builder.split_once("&& cargo build").expect("where it builds");
    let directory = tempfile::tempdir().expect("a directory");
    let run = |program: &str, arguments: &[&str]| {
        let ended = Command::new(program).args(arguments).current_dir(&directory).output().expect("it runs");
        (ended.status.success(), String::from_utf8(ended.stderr).expect("text"))
    };
    for instruction in before.lines() {
        let commands = if let Some(copied) = instruction.strip_prefix("COPY ") {
            let (files, to) = copied.rsplit_once(' ').expect("what is copied, and where to");
            let files =
                files.split(' ').map(|file| concat!(env!("CARGO_MANIFEST_DIR"), "/").to_owned() + file);
            format!("mkdir -p {to} && cp -r {} {to}", files.collect::<Vec<_>>().join(" "))
        } else if let Some(commands) = instruction.strip_prefix("RUN ").filter(|run| run.starts_with("mkdir"))
        {
            commands.to_owned()
        } else {
            continue;
        };
        let (succeeds, error) = run("sh", &["-c", &commands]);
        assert!(succeeds, "{commands}: {error}");
    }
    // `cargo check` for a missing target fails before it builds anything, but checks the targets of the manifest first.
    let (_, error) = run(env!("CARGO"), &["check", "--offline", "--locked", "--bin", "none"]);
    assert!(error.contains("no bin target named `none`"), "{error}");
}
