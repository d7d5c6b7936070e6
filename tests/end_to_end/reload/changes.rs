//! Settings and files that change with a reload.

use std::fs;

use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::rustls::RootCertStore;

use super::{Configured, PENDING, ServiceManager};
use crate::{
    client::{Stream, get},
    nats::Nats,
    service::{SECRET, token},
    tls::Files,
    transport,
};

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
async fn changes_what_the_audit_log_has() {
    let nats = Nats::start().await;
    let mut service = Configured::start(&nats, "log: {level: info}").await;
    service.is_ready().await;
    let token = token("einstein");
    let headers = [("x-access-token", &*token), ("x-forwarded-for", "198.51.100.7")];
    let http = service.http;
    let open = async || Stream::open(http, "/sse", &headers).await;
    let _first = open().await;
    assert_eq!(service.logged("stream opened").await["client"], "198.51.100.7");
    service.reloaded("log: {level: info}\nhttp: {trusted_proxies: 192.0.2.1}").await;
    let _second = open().await;
    assert_eq!(service.logged("stream opened").await["client"], "127.0.0.1");
    service.reloaded("log: {level: info, audit: false}").await;
    let _third = open().await;
    service.program.terminate();
    let rest = service.program.remaining_errors().await;
    assert_eq!(
        (rest.matches("stream opened").count(), rest.matches("stream ended").count()),
        (0, 2),
        "{rest}"
    );
}

#[tokio::test]
async fn changes_whose_tickets_are_accepted() {
    let nats = Nats::down();
    let file = |clients: &str| format!("log: {{level: info}}\nhttp: {{ticket_clients: '{clients}'}}");
    let mut service = Configured::start(&nats, &file("")).await;
    let http = service.http;
    let token = token("einstein");
    let request = async || get(http, "/sse/ticket", &[("x-access-token", &*token)]).await;
    assert_eq!(request().await.status, 404);
    service.reloaded(&file("127.0.0.0/8")).await;
    let issued = request().await;
    let ticket = issued.header("x-sse-ticket").expect("a ticket");
    Stream::open(http, "/sse", &[("x-sse-ticket", ticket)]).await;
    service.reloaded(&file("192.0.2.1")).await;
    assert_eq!(get(http, "/sse", &[("x-sse-ticket", ticket)]).await.status, 401);
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
async fn warns_of_a_debug_server_without_its_token() {
    let nats = Nats::down();
    let mut service = Configured::start(&nats, "log: {level: info}\ndebug: {token: one}").await;
    let log = service.reload("log: {level: info}").await;
    let warning = log.iter().find(|line| line["setting"] == "debug.token").expect("a warning");
    assert_eq!(warning["level"], "warn");
    let log = service.reload("log: {level: info}").await;
    assert!(log.iter().all(|line| line["setting"] != "debug.token"), "the warning is logged once: {log:?}");
}
