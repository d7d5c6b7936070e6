//! SIGHUP: settings that can change without a restart change, and an error changes nothing.

use std::{fs, net::SocketAddr, os::unix::fs::symlink, path::PathBuf};

use jsonwebtoken::{EncodingKey, Header};
use rustix::{
    fs::{CWD, FileType, Mode, mknodat},
    process::Signal,
    pty::{OpenptFlags, openpt, ptsname, unlockpt},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpStream, UnixDatagram};
use tokio_rustls::rustls::RootCertStore;

use crate::{
    DEADLINE,
    client::{Stream, get, send_bytes},
    eventually,
    nats::Nats,
    program::{Program, server_with},
    service::{SECRET, token},
    tls::Files,
    transport::{self, Server},
};

/// The message of each error in a configuration.
const INVALID: &str = "configuration error";
/// The message of the last line about a reload.
const RELOADED: &str = "configuration reloaded";
const NOT_RELOADED: &str = "configuration not reloaded, nothing changed";
/// The message about settings that need a restart.
const PENDING: &str = "changed settings that take effect after a restart";

/// A service with a configuration file.
struct Configured {
    directory: TempDir,
    program: Program,
    http: Server,
    debug: SocketAddr,
}

impl Configured {
    async fn start(nats: &Nats, file: &str) -> Self {
        Self::start_with(nats, file, &[]).await
    }

    async fn start_with(nats: &Nats, file: &str, variables: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("sse.yaml"), file).expect("written");
        let directory_path = directory.path().to_str().expect("Unicode").to_owned();
        // An empty level selects the level of the file.
        let variables =
            [&[("OCIS_CONFIG_DIR", directory_path.as_str()), ("SSE_LOG_LEVEL", "")], variables].concat();
        let mut program = server_with(nats, &variables);
        let (http, debug) = program.logged_addresses().await;
        Self { directory, program, http, debug }
    }

    /// Waits until the queue exists.
    async fn is_ready(&self) {
        eventually("ready", async || get(self.debug, "/readyz", &[]).await.status == 200).await;
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("sse.yaml")
    }

    /// Reloads with this text in the file. The last line that is returned has the result.
    async fn reload(&mut self, file: &str) -> Vec<Value> {
        fs::write(self.file(), file).expect("written");
        self.sighup().await
    }

    async fn sighup(&mut self) -> Vec<Value> {
        self.program.signal(Signal::HUP);
        let mut lines = Vec::new();
        loop {
            let line = self.program.error_line().await.expect("a line about the reload");
            let line: Value = serde_json::from_str(&line).expect("JSON");
            let is_last = line["message"] == RELOADED || line["message"] == NOT_RELOADED;
            lines.push(line);
            if is_last {
                return lines;
            }
        }
    }

    /// Reloads with this valid text in the file, and returns the changes.
    async fn reloaded(&mut self, file: &str) -> String {
        let last = self.reload(file).await.pop().expect("a line");
        assert_eq!(last["message"], RELOADED, "{last}");
        last["changed"].as_str().expect("a text").to_owned()
    }

    /// Reloads an invalid configuration, and returns the errors.
    async fn rejected(&mut self) -> Vec<String> {
        let mut lines = self.sighup().await;
        let last = lines.pop().expect("a line");
        assert_eq!((&last["message"], &last["level"]), (&NOT_RELOADED.into(), &"error".into()));
        let lines = lines.iter().filter(|line| line["message"] == INVALID);
        let errors = lines.filter_map(|line| line["error"].as_str());
        let errors: Vec<_> = errors.map(|error| error.replace(&self.directory_path(), "DIR")).collect();
        assert_eq!(last["errors"], errors.len(), "each of them is named");
        errors
    }

    fn directory_path(&self) -> String {
        self.directory.path().display().to_string()
    }

    async fn follow(&self, user: &str) -> Stream {
        Stream::open(self.http, "/sse", &[("x-access-token", &token(user))]).await
    }

    /// Returns the status of a request that opens a stream if it is accepted.
    async fn status_of(&self, token: &str) -> u16 {
        get(self.http, "/sse", &[("x-access-token", token)]).await.status
    }
}

/// The service manager that a service notifies.
struct ServiceManager {
    socket: UnixDatagram,
    directory: TempDir,
}

impl ServiceManager {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = UnixDatagram::bind(directory.path().join("notify")).expect("a socket");
        Self { socket, directory }
    }

    /// Returns the value of `NOTIFY_SOCKET`.
    fn path(&self) -> String {
        self.directory.path().join("notify").to_str().expect("Unicode").to_owned()
    }

    async fn next_notification(&self) -> String {
        let mut buffer = [0; 128];
        let received = tokio::time::timeout(DEADLINE, self.socket.recv(&mut buffer)).await.expect("in time");
        String::from_utf8(buffer[..received.expect("a message")].to_vec()).expect("a text")
    }

    async fn is_notified(&self, state: &str) {
        while self.next_notification().await.trim() != state {}
    }
}

#[tokio::test]
async fn changes_the_log_level() {
    let (nats, manager) = (Nats::start().await, ServiceManager::new());
    let variables = [("NOTIFY_SOCKET", &*manager.path())];
    let mut service = Configured::start_with(&nats, "log: {level: info}", &variables).await;
    service.is_ready().await;
    manager.is_notified("READY=1").await;
    let changed = service.reloaded("log: {level: debug}").await;
    assert_eq!(changed, r#"log.level: "info" -> "debug""#);
    get(service.http, "/openapi.json", &[]).await;
    while !service.program.error_line().await.expect("a line").contains("access-log") {}
    // The change to a higher level is still logged.
    manager.is_notified("READY=1").await;
    assert_eq!(service.reloaded("log: {level: error}").await, r#"log.level: "debug" -> "error""#);
    // The level is lower once the reload is complete.
    manager.is_notified("READY=1").await;
    get(service.http, "/openapi.json", &[]).await;
    service.program.terminate();
    assert_eq!(service.program.remaining_errors().await, "");
}

#[tokio::test]
async fn lowers_a_limit_for_new_streams_alone() {
    let nats = Nats::start().await;
    let mut service =
        Configured::start(&nats, "log: {level: info}\nlimits: {max_connections_per_user: 2}").await;
    service.is_ready().await;
    let mut open = [service.follow("einstein").await, service.follow("einstein").await];
    let changed = service
        .reloaded("log: {level: info}\nlimits: {max_connections_per_user: 1, max_connections: 3}")
        .await;
    assert_eq!(changed, r#"limits.max_connections: "" -> "3"; limits.max_connections_per_user: "2" -> "1""#);
    assert_eq!(service.status_of(&token("einstein")).await, 429);
    let _marie = service.follow("marie").await;
    assert_eq!(service.status_of(&token("richard")).await, 503);
    nats.publisher().await.event(&["einstein"], "t", "hello").await;
    for stream in &mut open {
        assert_eq!(stream.content().await, "hello");
    }
    service.reloaded("log: {level: info}\nlimits: {max_connections_per_user: 3, max_connections: 4}").await;
    service.follow("einstein").await;
}

#[tokio::test]
async fn gives_an_open_stream_keepalives() {
    let nats = Nats::down();
    let mut service = Configured::start(&nats, "log: {level: info}").await;
    let mut stream = service.follow("einstein").await;
    service.reloaded("log: {level: info}\nkeepalive_interval: 20ms").await;
    for _ in 0..3 {
        assert_eq!(stream.next().await.expect("a comment").0, ": keepalive\n\n");
    }
}

#[tokio::test]
async fn changes_which_origins_may_read() {
    let nats = Nats::down();
    let file =
        |origin: &str| format!("log: {{level: info}}\nhttp: {{cors: {{allow_origins: ['{origin}']}}}}");
    let mut service = Configured::start(&nats, &file("https://a.example")).await;
    let http = service.http;
    let allowed = async |origin: &str| {
        let answer = get(http, "/openapi.json", &[("origin", origin)]).await;
        answer.header("access-control-allow-origin") == Some(origin)
    };
    assert!(allowed("https://a.example").await && !allowed("https://b.example").await);
    service.reloaded(&file("https://b.example")).await;
    assert!(!allowed("https://a.example").await && allowed("https://b.example").await);
}

#[tokio::test]
async fn changes_secrets_that_are_in_files() {
    let nats = Nats::start().await;
    let secrets = tempfile::tempdir().expect("a directory");
    let [jwt, previous, debug] = ["jwt", "previous", "debug"].map(|name| secrets.path().join(name));
    fs::write(&jwt, SECRET).expect("written");
    fs::write(&previous, "a secret that has signed no token at all").expect("written");
    fs::write(&debug, "one").expect("written");
    let variables = [
        ("SSE_JWT_SECRET_FILE", jwt.to_str().expect("Unicode")),
        ("SSE_JWT_SECRET_PREVIOUS_FILE", previous.to_str().expect("Unicode")),
        ("SSE_DEBUG_TOKEN_FILE", debug.to_str().expect("Unicode")),
    ];
    let mut service = Configured::start_with(&nats, "log: {level: info}", &variables).await;
    service.is_ready().await;
    let mut stream = service.follow("einstein").await;
    let new_secret = "another secret of more than thirty-two bytes";
    let key = EncodingKey::from_secret(new_secret.as_bytes());
    let claims = json!({ "aud": ["reva"], "exp": 4_000_000_000_u64, "user": { "id": { "opaque_id": "marie" } }, "scope": { "user": {} } });
    let new = jsonwebtoken::encode(&Header::default(), &claims, &key).expect("signs");
    assert_eq!(service.status_of(&new).await, 401);
    fs::write(&jwt, new_secret).expect("written");
    fs::write(&previous, SECRET).expect("written");
    fs::write(&debug, "two").expect("written");
    let log = service.sighup().await;
    assert_eq!(
        log.last().expect("a line")["changed"],
        "debug.token; token_manager.jwt_secret; token_manager.jwt_secret_previous",
        "no value"
    );
    // Both secrets are accepted.
    Stream::open(service.http, "/sse", &[("x-access-token", &new)]).await;
    service.follow("einstein").await;
    let status = async |token: &str| {
        get(service.debug, "/metrics", &[("authorization", &format!("Bearer {token}"))]).await.status
    };
    assert_eq!((status("one").await, status("two").await), (401, 200));
    // Only the new secret is accepted. The stream that was opened with the old one stays open.
    fs::write(&previous, "a secret that has signed no token at all").expect("written");
    service.sighup().await;
    assert_eq!(service.status_of(&token("einstein")).await, 401);
    nats.publisher().await.event(&["einstein"], "t", "hello").await;
    assert_eq!(stream.content().await, "hello");
}

#[tokio::test]
async fn loads_the_certificate() {
    let (nats, files) = (Nats::start().await, Files::new());
    let [certificate, key] = ["certificate", "key"].map(|name| files.path(name).display().to_string());
    let old = files.renew();
    let variables = [
        ("OCIS_HTTP_TLS_ENABLED", "true"),
        ("OCIS_HTTP_TLS_CERTIFICATE", certificate.as_str()),
        ("OCIS_HTTP_TLS_KEY", key.as_str()),
    ];
    let mut service = Configured::start_with(&nats, "log: {level: info}", &variables).await;
    service.is_ready().await;
    let http = service.http;
    let connect = async |roots: &RootCertStore| {
        let stream = TcpStream::connect(http.address).await.expect("connected");
        transport::connector(roots, b"http/1.1").connect(http.address.ip().into(), stream).await
    };
    let headers = [("x-access-token", &*token("einstein"))];
    let mut stream =
        Stream::open_on(connect(&old).await.expect("a known server"), http, "/sse", &headers).await;

    // No other setting changes while the certificate is invalid.
    fs::write(service.file(), "log: {level: info}\nlimits: {max_connections_per_user: 5}").expect("written");
    fs::write(files.path("certificate"), "no PEM").expect("written");
    let errors = service.rejected().await;
    assert!(errors[0].contains("has no certificate (-----BEGIN CERTIFICATE-----)"), "{errors:?}");
    connect(&old).await.expect("the same server");

    let new = files.renew();
    let log = service.sighup().await;
    let changed = log.last().expect("a line")["changed"].as_str().expect("a text");
    assert!(changed.starts_with(r#"limits.max_connections_per_user: "64" -> "5""#), "{changed}");
    connect(&new).await.expect("a new certificate");
    assert!(connect(&old).await.is_err(), "the old one is not shown any more");
    nats.publisher().await.event(&["einstein"], "t", "hello").await;
    assert_eq!(stream.content().await, "hello");
}

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
async fn names_what_needs_a_restart() {
    let nats = Nats::down();
    let mut service = Configured::start(&nats, "log: {level: info}").await;
    let file = "log: {level: info}\nhttp: {root: /events}\nevents: {username: u, password: 'hidden'}";
    for _ in 0..2 {
        // The message is repeated on each reload until the restart.
        let log = service.reload(file).await;
        let warning = log.iter().find(|line| line["message"] == PENDING).expect("a warning");
        assert_eq!(warning["level"], "warn");
        assert_eq!(
            warning["settings"],
            r#"events.username: "" -> "u"; events.password: "" -> "***"; http.root: "/" -> "/events""#
        );
        assert_eq!(log.last().expect("a line")["changed"], "nothing");
    }
    let headers = [("x-access-token", &*token("einstein"))];
    Stream::open(service.http, "/sse", &headers).await;
    let shown = get(service.debug, "/config", &[]).await.body;
    assert!(shown.contains("\n  root: / # default\n"), "what is in effect: {shown}");
    let log = service.reload("log: {level: info}").await;
    assert!(log.iter().all(|line| line["message"] != PENDING), "{log:?}");
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

#[tokio::test]
async fn ends_nothing_at_any_time() {
    let nats = Nats::down();
    // During startup.
    let mut program = server_with(&nats, &[]);
    while !program.catches(Signal::HUP) {
        tokio::task::yield_now().await;
    }
    program.signal(Signal::HUP);
    let (http, _) = program.logged_addresses().await;
    // Several at once.
    for _ in 0..3 {
        program.signal(Signal::HUP);
    }
    while !program.error_line().await.expect("a line").contains(RELOADED) {}
    // During shutdown: an unfinished request delays it.
    let mut unfinished = http.connect().await.expect("connected");
    send_bytes(&mut unfinished, b"GET /sse HTTP/1.1\r\nhost:").await;
    let mut stream = Stream::open(http, "/sse", &[("x-access-token", &token("einstein"))]).await;
    program.terminate();
    assert_eq!(stream.closing_comment().await, "the service is stopping");
    program.signal(Signal::HUP);
    assert_eq!(program.status().await, Some(0));
}

#[tokio::test]
async fn notifies_the_service_manager() {
    let (nats, manager) = (Nats::down(), ServiceManager::new());
    let mut program = server_with(&nats, &[("NOTIFY_SOCKET", &*manager.path())]);
    assert_eq!(manager.next_notification().await.trim(), "READY=1");
    program.signal(Signal::HUP);
    let reloading = manager.next_notification().await;
    let lines: Vec<_> = reloading.lines().collect();
    assert_eq!(lines[0], "RELOADING=1");
    let time = lines[1].strip_prefix("MONOTONIC_USEC=").expect("the time");
    assert!(time.parse::<u64>().is_ok(), "{time}");
    assert_eq!(manager.next_notification().await.trim(), "READY=1");
    program.terminate();
    assert_eq!(manager.next_notification().await.trim(), "STOPPING=1");
    assert_eq!(program.status().await, Some(0));
}

/// Another path takes effect after a restart, so the files at the old path may be gone.
#[tokio::test]
async fn keeps_the_certificate_when_its_path_changes() {
    let (nats, files) = (Nats::start().await, Files::new());
    files.renew();
    let tls = |folder: &str| {
        let [certificate, key] =
            ["certificate", "key"].map(|name| files.path(&format!("{folder}{name}")).display().to_string());
        format!("http: {{tls: {{enabled: true, cert: '{certificate}', key: '{key}'}}}}")
    };
    let mut service = Configured::start(&nats, &format!("log: {{level: info}}\n{}", tls(""))).await;
    for name in ["certificate", "key"] {
        fs::rename(files.path(name), files.path(&format!("new-{name}"))).expect("moved");
    }
    let file = format!("log: {{level: info}}\nlimits: {{max_connections_per_user: 5}}\n{}", tls("new-"));
    assert_eq!(service.reloaded(&file).await, r#"limits.max_connections_per_user: "64" -> "5""#);
}

#[tokio::test]
async fn warns_of_a_debug_server_without_its_token() {
    let nats = Nats::down();
    let mut service = Configured::start(&nats, "log: {level: info}\ndebug: {token: one}").await;
    let log = service.reload("log: {level: info}").await;
    let warning = log.iter().find(|line| line["setting"] == "debug.token").expect("a warning");
    assert_eq!(warning["level"], "warn");
    let log = service.reload("log: {level: info}").await;
    assert!(log.iter().all(|line| line["setting"] != "debug.token"), "the warning is logged once: {log:?}");
}
