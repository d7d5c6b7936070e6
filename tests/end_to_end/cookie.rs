//! The token in a cookie.

use crate::{
    client::{self, Stream},
    nats::Nats,
    service::{Service, token},
};

const SETTINGS: [(&str, &str); 2] =
    [("SSE_TOKEN_COOKIE", "token"), ("SSE_CORS_ALLOW_ORIGINS", "https://cloud.example.org")];

#[tokio::test]
async fn opens_streams_only_for_trusted_origins() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &SETTINGS).await;
    let cookie = format!("theme=dark; token={}", token("einstein"));
    let check = async |name, value, expected: u16| {
        let headers = [("cookie", &*cookie), (name, value)];
        let (status, _) = client::head(service.http, "/sse", &headers).await;
        assert_eq!(status, expected, "{name}: {value}");
    };
    check("origin", "https://cloud.example.org", 200).await;
    check("sec-fetch-site", "same-origin", 200).await;
    check("origin", "https://evil.example.org", 401).await;
    check("origin", "null", 401).await;
    check("sec-fetch-site", "same-site", 401).await;
    check("sec-fetch-site", "none", 401).await;
    check("accept", "text/event-stream", 401).await;

    let headers = [("cookie", &*cookie), ("origin", "https://cloud.example.org")];
    let mut stream = Stream::open(service.http, "/sse", &headers).await;
    nats.publisher().await.event(&["einstein"], "t", "hello").await;
    assert_eq!(stream.content().await, "hello");
    let header = |name: &str| stream.headers.get(name).and_then(|value| value.to_str().ok());
    assert_eq!(header("access-control-allow-origin"), Some("https://cloud.example.org"));
    assert_eq!(header("access-control-allow-credentials"), Some("true"));
}

#[tokio::test]
async fn header_precedes_the_cookie() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &SETTINGS).await;
    let (cookie, wrong) = (format!("token={}", token("einstein")), "token=nonsense");
    let origin = ("origin", "https://cloud.example.org");
    let (status, _) =
        client::head(service.http, "/sse", &[("x-access-token", "nonsense"), ("cookie", &cookie), origin])
            .await;
    assert_eq!(status, 401);
    let mut stream = service.follow_with("marie", &[("cookie", wrong), origin]).await;
    nats.publisher().await.event(&["marie"], "t", "hello").await;
    assert_eq!(stream.content().await, "hello");
}

#[tokio::test]
async fn is_ignored_without_the_setting() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, &[SETTINGS[1]]);
    let cookie = format!("token={}", token("einstein"));
    let headers = [("cookie", &*cookie), ("origin", "https://cloud.example.org")];
    let response = client::get(service.http, "/sse", &headers).await;
    assert_eq!(response.status, 401);
    assert_eq!(response.header("www-authenticate"), Some("Bearer"));
}
