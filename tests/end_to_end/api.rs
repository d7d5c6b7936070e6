//! The OpenAPI description.

use tokio::process::Command;

use crate::{
    client::get,
    installed,
    nats::Nats,
    service::{Service, token},
    transport,
};

const COMMITTED: &str = include_str!("../../openapi/ocis-sse.json");

#[test]
fn committed_description_is_current() {
    let present = format!("{}\n", ocis_sse::composition::specification().expect("a description"));
    assert!(
        COMMITTED == present,
        "openapi/ocis-sse.json is stale; mend it with: cargo run -- openapi > openapi/ocis-sse.json"
    );
}

#[tokio::test]
async fn service_serves_its_description() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, &[("SSE_HTTP_ROOT", "/root")]);
    let served = get(service.http, "/root/openapi.json", &[]).await;
    assert_eq!(served.status, 200);
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
    let mut served = parse(&served.body);
    assert_eq!(served["servers"][0]["url"].take(), "/root");
    let mut committed = parse(COMMITTED);
    committed["servers"][0]["url"].take();
    assert_eq!(served, committed);
}

#[tokio::test]
async fn docs_page_loads_no_external_resource() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, &[]);
    let page = get(service.http, "/docs", &[]).await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    // The policy forbids to load anything as well.
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("http"), "{policy}");
    assert!(policy.ends_with("form-action 'none'; base-uri 'none'; frame-ancestors 'none'"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    for element in ["<link", "<iframe", "<img src=\"http", "<script src"] {
        assert!(!page.body.contains(element), "{element}");
    }
}

/// Every response to a valid or invalid request conforms to the description.
#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_no_violation() {
    let nats = Nats::start().await;
    // Schemathesis checks only complete responses, so streams end at once.
    let short = [("SSE_MAX_STREAM_AGE", "20ms"), ("SSE_KEEPALIVE_INTERVAL", "50ms")];
    let service = Service::start(&nats, &short).await;
    let description = format!("{}://{}/openapi.json", service.http.scheme(), service.http);
    let with_token = format!("x-access-token: {}", token("einstein"));
    for header in [Some(with_token), None] {
        // Schemathesis writes its findings to its working directory.
        let directory = tempfile::tempdir().expect("a directory");
        let mut schemathesis = Command::new(installed("SCHEMATHESIS", "schemathesis"));
        schemathesis.current_dir(&directory).args([
            "run",
            &description,
            "--checks",
            "all",
            "--max-examples",
            "50",
        ]);
        // Makes schemathesis trust the certificate of the tests.
        schemathesis.envs(transport::settings().iter().map(|(_, value)| ("REQUESTS_CA_BUNDLE", *value)));
        if let Some(header) = &header {
            schemathesis.args(["--header", header]);
        }
        let run = schemathesis.output().await.expect("schemathesis runs");
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
    }
}
