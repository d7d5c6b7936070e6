//! The description of the API.

use crate::{client::get, nats::Nats, service::Service};

const COMMITTED: &str = include_str!("../../openapi/ocis-sse.json");

#[test]
fn the_committed_description_is_the_present_one() {
    let present = format!("{}\n", ocis_sse::composition::specification());
    assert!(
        COMMITTED == present,
        "openapi/ocis-sse.json is stale; mend it with: cargo run -- openapi > openapi/ocis-sse.json"
    );
}

#[tokio::test]
async fn the_running_service_describes_itself() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, &[("SSE_HTTP_ROOT", "/root")]).await;
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
async fn the_page_needs_nothing_from_elsewhere() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, &[]).await;
    let page = get(service.http, "/docs", &[]).await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    for element in ["<link", "<iframe", "<img src=\"http", "<script src"] {
        assert!(!page.body.contains(element), "{element}");
    }
}
