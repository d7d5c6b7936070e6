//! The program as a process: exit status, output and signals.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

use ocis_sse::configuration::SETTINGS;
use rustix::process::Signal;

use crate::{
    DEADLINE,
    client::{Stream, send_bytes},
    eventually,
    nats::Nats,
    program::{Program, server, server_with},
    service::{SECRET, token},
};

#[tokio::test]
async fn exit_status_and_message_name_the_error() {
    let check = async |arguments: &[&str], environment: &[(&str, &str)], status: i32, message: &str| {
        let mut program = Program::start(arguments, environment);
        let remaining_errors = program.remaining_errors().await;
        assert_eq!(program.status().await, Some(status), "{arguments:?}: {remaining_errors}");
        assert!(remaining_errors.contains(message), "{arguments:?}: {remaining_errors}");
    };
    let secret = ("OCIS_JWT_SECRET", SECRET);
    check(&["version"], &[], 0, "").await;
    check(&["sse", "version"], &[], 0, "").await;
    check(&[], &[], 2, "Usage: ocis-sse <COMMAND>").await;
    check(&["sse"], &[], 2, "Usage: ocis-sse <COMMAND>").await;
    check(&["serve"], &[], 2, "unrecognized subcommand 'serve'").await;
    check(&["sse", "serve"], &[], 2, "unrecognized subcommand 'serve'").await;
    check(&["proxy", "server"], &[], 2, "unrecognized subcommand 'proxy'").await;
    check(&["server"], &[], 64, "OCIS_JWT_SECRET, OC_JWT_SECRET, SSE_JWT_SECRET or token_manager.jwt_secret")
        .await;
    let wrong = [secret, ("SSE_KEEPALIVE_INTERVAL", "30")];
    check(&["server"], &wrong, 64, "SSE_KEEPALIVE_INTERVAL: \"30\" is not a duration").await;
    check(&["health"], &wrong, 64, "SSE_KEEPALIVE_INTERVAL").await;
    check(&["sse", "health"], &wrong, 64, "SSE_KEEPALIVE_INTERVAL").await;
    check(&["server", "--config", "/nowhere"], &[secret], 64, "/nowhere: cannot be read").await;
    check(&["health"], &[secret, ("SSE_DEBUG_ADDR", "127.0.0.1:1")], 1, "no connection to the debug server")
        .await;

    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let environment = [secret, ("SSE_HTTP_ADDR", &address)];
    check(&["server"], &environment, 1, &format!("http.addr: cannot listen on {address}")).await;
    let no_roots =
        [secret, ("OCIS_EVENTS_ENABLE_TLS", "true"), ("OCIS_EVENTS_TLS_ROOT_CA_CERTIFICATE", "/dev/null")];
    let named = "OCIS_EVENTS_TLS_ROOT_CA_CERTIFICATE: \"/dev/null\" is not a regular file";
    check(&["server"], &no_roots, 64, named).await;
    let directory = tempfile::tempdir().expect("a directory");
    let [certificate, other_key] = ["certificate", "key"].map(|name| directory.path().join(name));
    let [made, other] =
        [(); 2].map(|()| rcgen::generate_simple_self_signed(["a.example".to_owned()]).expect("made"));
    std::fs::write(&certificate, made.cert.pem()).expect("written");
    std::fs::write(&other_key, other.signing_key.serialize_pem()).expect("written");
    let no_pair = [
        secret,
        ("OCIS_HTTP_TLS_ENABLED", "true"),
        ("OCIS_HTTP_TLS_CERTIFICATE", certificate.to_str().expect("Unicode")),
        ("OCIS_HTTP_TLS_KEY", other_key.to_str().expect("Unicode")),
    ];
    check(&["server"], &no_pair, 64, "is not the key of the first certificate in http.tls.cert").await;
    let log = [secret, ("SSE_LOG_FILE", "/nowhere/sse.log")];
    check(&["server"], &log, 1, "log.file: cannot open /nowhere/sse.log").await;
}

fn output_of(arguments: &[&str]) -> String {
    let ended = std::process::Command::new(env!("CARGO_BIN_EXE_ocis-sse")).args(arguments).output();
    String::from_utf8(ended.expect("it runs").stdout).expect("text")
}

/// Otherwise a debug token with an invalid byte would count as unset.
#[test]
fn non_unicode_variable_is_an_error() {
    let ended = std::process::Command::new(env!("CARGO_BIN_EXE_ocis-sse"))
        .arg("config")
        .env_clear()
        .env("OCIS_JWT_SECRET", SECRET)
        .env("SSE_DEBUG_TOKEN", OsStr::from_bytes(b"to\xffken"))
        .output()
        .expect("it runs");
    assert_eq!(ended.status.code(), Some(64));
    let remaining_errors = String::from_utf8(ended.stderr).expect("text");
    assert!(remaining_errors.contains("SSE_DEBUG_TOKEN: is not UTF-8"), "{remaining_errors}");
}

#[tokio::test]
async fn sigterm_stops_cleanly() {
    let nats = Nats::start().await;
    let mut program = server(&nats);
    let address = program.logged_addresses().await.0;
    let mut stream = Stream::open(address, "/sse", &[("x-access-token", &token("einstein"))]).await;
    program.terminate();
    assert_eq!(stream.closing_comment().await, "the service is stopping");
    assert_eq!(program.status().await, Some(0));
}

#[tokio::test]
async fn second_signal_stops_at_once() {
    let nats = Nats::start().await;
    let mut program = server_with(&nats, &[("SSE_DRAIN_TIMEOUT", "1m")]);
    let address = program.logged_addresses().await.0;
    // An unfinished request delays the shutdown after the first signal, for much longer than the second one takes to arrive.
    let mut unfinished = address.connect().await.expect("connected");
    send_bytes(&mut unfinished, b"GET /sse HTTP/1.1\r\nhost:").await;
    let mut stream = Stream::open(address, "/sse", &[("x-access-token", &token("einstein"))]).await;
    program.terminate();
    assert_eq!(stream.closing_comment().await, "the service is stopping");
    program.terminate();
    assert_eq!(program.status().await, Some(143));
    // Until the process ends, other threads may log more lines after this one.
    program.line_with("stopped immediately by a second signal").await;
}

#[tokio::test]
async fn health_queries_the_running_instance() {
    let nats = Nats::down();
    let mut program = server(&nats);
    let debug = program.logged_addresses().await.1.to_string();
    let environment = [("OCIS_JWT_SECRET", SECRET), ("SSE_DEBUG_ADDR", &*debug)];
    let mut health = Program::start(&["health"], &environment);
    assert_eq!(health.status().await, Some(0));
}

#[tokio::test]
async fn secrets_and_tokens_are_never_logged() {
    let nats = Nats::start().await;
    let mut program = server_with(&nats, &[("SSE_LOG_LEVEL", "trace")]);
    let address = program.logged_addresses().await.0;
    let (good, bad) = (token("einstein"), token("marie").replace('.', "-"));
    drop(Stream::open(address, "/sse", &[("x-access-token", &good)]).await);
    crate::client::get(address, "/sse", &[("authorization", &format!("Bearer {bad}"))]).await;
    program.terminate();
    let log = program.remaining_errors().await;
    assert!(log.contains("access-log"), "{log}");
    for secret in [SECRET, &good, &bad, &good[good.len() - 20..]] {
        assert!(!log.contains(secret), "{secret} is in {log}");
    }
}

#[tokio::test]
async fn config_prints_the_effective_values() {
    let environment = [("OCIS_JWT_SECRET", SECRET), ("SSE_HTTP_ROOT", "/events")];
    let mut config = Program::start(&["config"], &environment);
    let mut printed = String::new();
    while !printed.contains("  root: /events # SSE_HTTP_ROOT\n") {
        printed += &config.line().await;
    }
    assert_eq!(config.status().await, Some(0));
    let mut defaults = Program::start(&["config", "--defaults"], &[]);
    assert_eq!(defaults.line().await, "# yaml-language-server: $schema=sse.schema.json\n");
    assert_eq!(defaults.status().await, Some(0));
}

#[test]
fn man_page_has_every_setting_and_command() {
    let page = output_of(&["man"]);
    // In roff a hyphen is `\-`.
    let plain = page.replace('\\', "");
    for variable in SETTINGS.iter().flat_map(|setting| setting.variables) {
        assert!(plain.contains(variable), "{variable}");
    }
    let help = output_of(&["--help"]);
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands: Vec<_> = commands.map_while(|line| line.split_whitespace().next()).collect();
    assert!(commands.contains(&"server"), "{help}");
    for command in commands.iter().filter(|command| **command != "help") {
        assert!(plain.contains(&format!(".TP\nfB{command}fR\n")), "{command}");
    }
}

#[test]
fn bash_completes_commands_and_options() {
    let script = output_of(&["completions", "bash"]);
    let complete = |words: &str, last: usize| {
        let script = format!(
            "{script}\nCOMP_WORDS=({words}); COMP_CWORD={last}; function=$(complete -p ocis-sse | grep -o ' _[^ ]*'); \
             $function ocis-sse \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"; echo \"${{COMPREPLY[*]}}\""
        );
        let ended = std::process::Command::new("bash").args(["-c", &script]).output().expect("it runs");
        String::from_utf8(ended.stdout).expect("text").trim().to_owned()
    };
    assert_eq!(complete("ocis-sse ser", 1), "server");
    assert_eq!(complete("ocis-sse config --def", 2), "--defaults");
}

#[tokio::test]
async fn log_file_can_be_rotated() {
    let nats = Nats::down();
    let directory = tempfile::tempdir().expect("a directory");
    let (log, moved) = (directory.path().join("sse.log"), directory.path().join("sse.log.1"));
    let mut program = server_with(&nats, &[("OCIS_LOG_FILE", log.to_str().expect("Unicode"))]);
    let contains = |path: &std::path::Path, text: &str| {
        std::fs::read_to_string(path).is_ok_and(|log| log.lines().any(|line| line.contains(text)))
    };
    eventually("a line", async || contains(&log, r#""message":"listening""#)).await;
    std::fs::rename(&log, &moved).expect("moved");
    program.signal(Signal::HUP);
    eventually("a new file", async || contains(&log, "log file reopened")).await;
    program.terminate();
    assert_eq!(program.status().await, Some(0));
    assert!(contains(&log, r#""message":"stopping""#));
    assert_eq!(program.error_line().await, None, "nothing on standard error");
}

#[tokio::test]
async fn pretty_log_is_not_json() {
    let nats = Nats::down();
    let mut program = server_with(&nats, &[("SSE_LOG_PRETTY", "true"), ("SSE_LOG_COLOR", "true")]);
    let line = program.error_line().await.expect("a line");
    assert!(line.contains("\u{1b}[32m INFO\u{1b}[0m") && line.contains("listening"), "{line:?}");
}

#[tokio::test]
async fn service_manager_is_notified() {
    let nats = Nats::down();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("notify");
    let socket = tokio::net::UnixDatagram::bind(&path).expect("a socket");
    let mut program = server_with(&nats, &[("NOTIFY_SOCKET", path.to_str().expect("Unicode"))]);
    let notification = async || {
        let mut buffer = [0; 64];
        let received = tokio::time::timeout(DEADLINE, socket.recv(&mut buffer)).await.expect("in time");
        String::from_utf8(buffer[..received.expect("a message")].to_vec()).expect("a text")
    };
    assert_eq!(notification().await.trim(), "READY=1");
    program.terminate();
    // The drain timeout of a second, and fifteen seconds for everything else.
    assert_eq!(notification().await.trim(), "STOPPING=1\nEXTEND_TIMEOUT_USEC=16000000");
    assert_eq!(program.status().await, Some(0));
}

#[tokio::test]
async fn weak_secret_is_warned_of_and_not_shown() {
    let nats = Nats::down();
    let mut program = server_with(&nats, &[("SSE_JWT_SECRET", "too short"), ("SSE_LOG_LEVEL", "warn")]);
    let line = program.error_line().await.expect("a warning");
    assert!(line.contains("secret is too short to be safe"), "{line}");
    assert!(line.contains(r#""setting":"token_manager.jwt_secret""#), "{line}");
    assert!(line.contains(r#""bytes":9"#) && !line.contains("too short\""), "{line}");
}

#[tokio::test]
async fn requests_are_logged() {
    let nats = Nats::down();
    let mut program = server_with(&nats, &[("SSE_LOG_LEVEL", "debug")]);
    let (address, _) = program.logged_addresses().await;
    let headers = [("x-request-id", "tab 7"), ("x-access-token", &*token("einstein"))];
    drop(Stream::open(address, "/sse", &headers).await);
    crate::client::get(address, "/sse", &headers[..1]).await;
    let mut logged = Vec::new();
    while logged.len() < 2 {
        let line = program.log_line().await;
        if line["request-id"] == "tab 7" && line["message"] == "access-log" {
            assert_eq!(line["level"], "debug");
            assert!(line["duration"].is_f64(), "{line}");
            logged.push(line);
        }
    }
    let opened = &logged[0];
    assert_eq!([&opened["proto"], &opened["method"], &opened["path"]], ["HTTP/1.1", "GET", "/sse"]);
    assert_eq!((&opened["status"], &opened["bytes"]), (&200.into(), &serde_json::Value::Null));
    assert_eq!(logged[1]["status"], 401);
    assert!(logged[1]["bytes"].as_u64() > Some(50), "{}", logged[1]);
}

#[tokio::test]
async fn openings_and_ends_of_streams_are_logged() {
    let nats = Nats::start().await;
    let mut program = server(&nats);
    let (address, _) = program.logged_addresses().await;
    let token = token("einstein");
    let headers = [
        ("x-request-id", "tab 7"),
        ("x-access-token", &*token),
        ("x-forwarded-for", "203.0.113.9, 198.51.100.7"),
    ];
    let mut lines = Vec::new();
    let mut line_with = async |message: &str| loop {
        let line = program.log_line().await;
        lines.push(line.to_string());
        if line["message"] == message {
            return line;
        }
    };
    line_with("reading from NATS").await;
    let mut stream = Stream::open(address, "/sse", &headers).await;
    let opened = line_with("stream opened").await;
    let (client, user) = ("198.51.100.7", "einstein");
    assert_eq!([&opened["level"], &opened["user"], &opened["client"]], ["info", user, client]);
    assert_eq!(opened["request-id"], "tab 7");
    let publisher = nats.publisher().await;
    for content in ["one", "two"] {
        publisher.event(&["einstein"], "t", content).await;
        assert_eq!(stream.content().await, content);
    }
    publisher.event(&["einstein"], "backchannel-logout", "{}").await;
    let ended = line_with("stream ended").await;
    assert_eq!([&ended["user"], &ended["client"], &ended["reason"]], [user, client, "logout"]);
    assert_eq!((&ended["request-id"], &ended["events"]), (&"tab 7".into(), &3.into()));
    assert!(ended["duration"].is_f64() && ended["bytes"].as_u64() > Some(100), "{ended}");
    assert!(lines.iter().all(|line| !line.contains(&token) && !line.contains("backchannel")), "{lines:?}");
}
