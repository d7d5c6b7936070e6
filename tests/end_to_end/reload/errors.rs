//! Reloads of an invalid configuration, which change nothing.

use std::{fs, os::unix::fs::symlink};

use rustix::{
    fs::{CWD, FileType, Mode, mknodat},
    pty::{OpenptFlags, openpt, ptsname, unlockpt},
};

use super::Configured;
use crate::{
    client::get,
    nats::Nats,
    service::{SECRET, token},
};

#[tokio::test]
async fn names_every_error_and_changes_nothing() {
    let nats = Nats::down();
    let secrets = tempfile::tempdir().expect("a directory");
    let token_file = secrets.path().join("token");
    fs::write(&token_file, "one").expect("written");
    let variables = [("SSE_DEBUG_TOKEN_FILE", token_file.to_str().expect("Unicode"))];
    let file = "log: {level: info}\nlimits: {max_connections_per_user: 1}";
    let mut service = Configured::start_with(&nats, file, &variables).await;
    let _open = service.follow("einstein").await;
    fs::write(&token_file, "").expect("written");
    let wrong = "log: {level: loud}\nhtp: {addr: 'a:1'}\nlimits: {max_connections_per_user: 2}";
    fs::write(service.file(), wrong).expect("written");
    let errors: Vec<_> = service.rejected().await;
    let secret = format!("SSE_DEBUG_TOKEN_FILE: {:?} is an empty file", token_file.display().to_string());
    assert_eq!(
        errors,
        [
            "DIR/sse.yaml, htp: is not a setting; use http",
            "DIR/sse.yaml, log.level: \"loud\" is not a log level (panic, fatal, error, warn, info, debug, trace); use for example info",
            &secret,
        ]
    );
    assert_eq!(service.status_of(&token("einstein")).await, 429, "the limit is as before");
    let headers = [("authorization", "Bearer one")];
    assert_eq!(get(service.debug, "/config", &headers).await.status, 200, "and so is the token");
    // A corrected value is accepted.
    fs::write(&token_file, "one").expect("written");
    let changed = service.reloaded(&wrong.replace("loud", "info").replace("htp: {addr: 'a:1'}", "")).await;
    assert_eq!(changed, r#"limits.max_connections_per_user: "1" -> "2""#);
    service.follow("einstein").await;
    let shown = get(service.debug, "/config", &headers).await.body;
    assert!(shown.contains("max_connections_per_user: 2 # "), "{shown}");
}

#[tokio::test]
async fn rejects_unusable_files() {
    let nats = Nats::down();
    let mut service = Configured::start(&nats, "log: {level: info}").await;
    fs::remove_file(service.file()).expect("removed");
    let vanished = "DIR/sse.yaml: cannot be read: No such file or directory (os error 2)";
    assert_eq!(service.rejected().await, [vanished]);
    // This pipe has no writer.
    mknodat(CWD, service.file(), FileType::Fifo, Mode::RUSR, 0).expect("a pipe");
    assert_eq!(service.rejected().await, ["DIR/sse.yaml: cannot be read: it did not end within 5s"]);
    fs::remove_file(service.file()).expect("removed");
    fs::write(service.file(), "#".repeat(2 << 20)).expect("written");
    assert_eq!(service.rejected().await, ["DIR/sse.yaml: is larger than 1048576 bytes"]);
    fs::write(service.file(), "log: {level: debug, pret").expect("written");
    assert!(service.rejected().await[0].starts_with("DIR/sse.yaml: is not valid YAML"));
    assert_eq!(service.reloaded("log: {level: info}").await, "nothing");
    service.program.terminate();
    assert_eq!(service.program.status().await, Some(0));
}

#[tokio::test]
async fn gives_up_on_an_unresponsive_file() {
    let nats = Nats::down();
    let secrets = tempfile::tempdir().expect("a directory");
    let file = secrets.path().join("token");
    let [secret, previous] = ["secret", "previous"].map(|name| secrets.path().join(name));
    for file in [&file, &secret, &previous] {
        fs::write(file, SECRET).expect("written");
    }
    let variables = [
        ("SSE_DEBUG_TOKEN_FILE", file.to_str().expect("Unicode")),
        ("SSE_JWT_SECRET_FILE", secret.to_str().expect("Unicode")),
        ("SSE_JWT_SECRET_PREVIOUS_FILE", previous.to_str().expect("Unicode")),
    ];
    let mut service = Configured::start_with(&nats, "log: {level: info}", &variables).await;
    // A terminal without input.
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    unlockpt(&terminal).expect("unlocked");
    let path = ptsname(&terminal, Vec::new()).expect("a path").into_string().expect("Unicode");
    fs::remove_file(&file).expect("removed");
    symlink(&path, &file).expect("a link");
    let [error] = &service.rejected().await[..] else { panic!("one error") };
    assert!(error.contains("cannot be read: it did not end within 5s"), "{error}");
    // Several such files together take too long.
    fs::remove_file(service.file()).expect("removed");
    symlink(&file, service.file()).expect("a link");
    for file in [&secret, &previous] {
        fs::remove_file(file).expect("removed");
        symlink(&path, file).expect("a link");
    }
    assert_eq!(service.rejected().await, ["the configuration: was not read within 10 s"]);
    // Nor does the end wait for it.
    service.program.terminate();
    assert_eq!(service.program.status().await, Some(0));
}
