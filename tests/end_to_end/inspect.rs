//! The inspection page and its data.

use hyper::Method;
use serde_json::{Value, json};

use crate::{
    client::{Response, Stream, get, head, request_with},
    eventually,
    nats::Nats,
    service::Service,
};

const TOKEN: (&str, &str) = ("authorization", "Bearer let me in");

/// Requests that the streams of `user` end.
async fn end(service: &Service, headers: &[(&str, &str)], user: &str) -> Response {
    let headers: Vec<_> = [("content-type", "application/json")].iter().chain(headers).copied().collect();
    let asked = json!({ "user": user }).to_string();
    request_with(service.debug, Method::POST, "/inspect/streams/end", &headers, asked).await
}

async fn with_token(nats: &Nats) -> Service {
    Service::start(nats, &[("SSE_DEBUG_TOKEN", "let me in")]).await
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// Returns the data of the next block of this type.
async fn next_of(stream: &mut Stream, event_type: &str) -> Value {
    loop {
        let block = stream.event().await;
        if block.field("event").as_deref() == Some(event_type) {
            return parse(&block.field("data").expect("data"));
        }
    }
}

#[tokio::test]
async fn page_is_public_and_self_contained() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, &[("SSE_DEBUG_TOKEN", "let me in")]);
    for (path, media_type) in [
        ("/inspect", "text/html; charset=utf-8"),
        ("/inspect/page.css", "text/css; charset=utf-8"),
        ("/inspect/page.js", "text/javascript; charset=utf-8"),
        ("/inspect/charts.js", "text/javascript; charset=utf-8"),
        ("/inspect/format.js", "text/javascript; charset=utf-8"),
    ] {
        let file = get(service.debug, path, &[]).await;
        assert_eq!((file.status, file.header("content-type")), (200, Some(media_type)), "{path}");
        let policy = file.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
        let elsewhere = file.body.replace("http://www.w3.org/2000/svg", "").contains("://");
        assert!(!elsewhere, "{path} refers to another host");
    }
}

#[tokio::test]
async fn data_requires_the_token() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, &[("SSE_DEBUG_TOKEN", "let me in")]);
    for path in ["/inspect/live", "/inspect/streams?user=einstein"] {
        assert_eq!(get(service.debug, path, &[]).await.status, 401, "{path}");
        let wrong = [("authorization", "Bearer let me i")];
        assert_eq!(get(service.debug, path, &wrong).await.status, 401, "{path}");
    }
    assert_eq!(end(&service, &[], "einstein").await.status, 401);
}

#[tokio::test]
async fn shows_live_figures_but_no_content() {
    let nats = Nats::start().await;
    let service = with_token(&nats).await;
    let mut live = Stream::open(service.debug, "/inspect/live", &[TOKEN]).await;
    let first = next_of(&mut live, "sample").await;
    assert_eq!((&first["streams"], &first["not_ready"]), (&json!(0), &Value::Null));
    assert_eq!(first["events_per_second"], Value::Null, "there is nothing to compare it with");

    let mut stream = service.follow("einstein").await;
    let publisher = nats.publisher().await;
    publisher.event(&["einstein", "marie"], "item-renamed", "a secret").await;
    stream.event().await;
    let events = next_of(&mut live, "events").await;
    let event = &events[0];
    assert_eq!((&event["type"], &event["recipients"]), (&json!("item-renamed"), &json!(2)));
    let text = events.to_string();
    assert!(!text.contains("secret") && !text.contains("einstein"), "{text}");

    publisher.event(&["marie"], "t", "").await;
    let events = next_of(&mut live, "events").await;
    assert_eq!((events.as_array().map(Vec::len), &events[0]["type"]), (Some(1), &json!("t")), "each once");
    let sample = next_of(&mut live, "sample").await;
    let shown = ["streams", "users", "opened", "bus_connected", "bus_lag"].map(|name| sample[name].clone());
    assert_eq!(shown, [json!(1), json!(1), json!(1), json!(true), json!(0)]);
}

#[tokio::test]
async fn rates_and_latencies_cover_the_last_interval() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let publisher = nats.publisher().await;
    publisher.event(&["einstein"], "t", "before").await;
    service.has_read(1).await;
    let mut live = Stream::open(service.debug, "/inspect/live", &[]).await;
    next_of(&mut live, "sample").await;
    let _tabs = [service.follow("einstein").await, service.follow("einstein").await];
    publisher.event(&["einstein"], "t", "now").await;
    let busy = loop {
        let sample = next_of(&mut live, "sample").await;
        if sample["latency_seconds"][0].is_number() {
            break sample;
        }
    };
    let [events, deliveries] =
        ["events", "deliveries"].map(|name| busy[format!("{name}_per_second")].as_f64().expect("a rate"));
    // One event in about a second; a late write can belong to the next interval.
    assert!(events <= 1.2 && deliveries <= 2.4, "{busy}");
    let quantiles: Vec<_> = (0..3).map(|n| busy["latency_seconds"][n].as_f64().expect("a time")).collect();
    assert!(quantiles.is_sorted() && quantiles[0] > 0.0, "{busy}");
    eventually("a quiet moment", async || {
        let sample = next_of(&mut live, "sample").await;
        sample["events_per_second"] == json!(0.0) && sample["latency_seconds"] == json!([null, null, null])
    })
    .await;
}

#[tokio::test]
async fn streams_of_a_user_are_listed_and_ended() {
    let nats = Nats::start().await;
    let service = with_token(&nats).await;
    let mut stream = service.follow_with("user/ü", &[("x-request-id", "tab-1")]).await;
    let mut other = service.follow("einstein").await;
    let found =
        async || parse(&get(service.debug, "/inspect/streams?user=user%2F%C3%BC", &[TOKEN]).await.body);
    let streams = found().await;
    assert_eq!(streams["may_end"], true);
    assert_eq!(streams["streams"].as_array().map(Vec::len), Some(1));
    assert_eq!(streams["streams"][0]["request_id"], "tab-1");

    assert_eq!(parse(&end(&service, &[TOKEN], "user/ü").await.body), json!({ "ended": 1 }));
    assert_eq!(stream.closing_comment().await, "an administrator has ended the stream");
    assert_eq!(found().await["streams"], json!([]));
    let ended = r#"sse_connections_closed_total{reason="administrator"}"#;
    let counted = get(service.debug, "/metrics", &[TOKEN]).await.body;
    assert!(counted.lines().any(|line| line == format!("{ended} 1")), "{counted}");
    nats.publisher().await.event(&["einstein"], "t", "still there").await;
    assert_eq!(other.content().await, "still there");

    let wrong = end(&service, &[TOKEN], "").await;
    assert_eq!((wrong.status, &*wrong.body), (422, "a user id is empty"));
    assert_eq!(get(service.debug, "/inspect/streams", &[TOKEN]).await.status, 400);
}

#[tokio::test]
async fn without_token_nobody_can_end_streams() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let mut stream = service.follow("einstein").await;
    let streams = parse(&get(service.debug, "/inspect/streams?user=einstein", &[]).await.body);
    assert_eq!((&streams["may_end"], streams["streams"].as_array().map(Vec::len)), (&json!(false), Some(1)));
    let response = end(&service, &[], "einstein").await;
    assert_eq!(response.status, 403);
    assert_eq!(response.body, "streams can be ended here when debug.token (SSE_DEBUG_TOKEN) is set");
    nats.publisher().await.event(&["einstein"], "t", "still there").await;
    assert_eq!(stream.content().await, "still there");
}

#[tokio::test]
async fn number_of_live_pages_is_limited() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, &[]);
    let mut pages = Vec::new();
    for _ in 0..16 {
        pages.push(Stream::open(service.debug, "/inspect/live", &[]).await);
    }
    let response = get(service.debug, "/inspect/live", &[]).await;
    assert_eq!((response.status, &*response.body), (503, "too many pages are open"));
    pages.pop();
    eventually("room", async || head(service.debug, "/inspect/live", &[]).await.0 == 200).await;
}

#[tokio::test]
async fn page_is_updated_until_shutdown() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, &[]);
    let mut live = Stream::open(service.debug, "/inspect/live", &[]).await;
    let reason = next_of(&mut live, "sample").await["not_ready"].to_string();
    assert!(reason.contains("starting") || reason.contains("cannot be read"), "{reason}");
    let _open = service.follow("einstein").await;
    service.stop();
    // A sample may have been taken before the stop.
    eventually("stopping", async || next_of(&mut live, "sample").await["not_ready"] == "stopping").await;
}
