//! What the debug server shows, and to whom.

use crate::{
    client::get,
    nats::Nats,
    service::{SECRET, Service},
};

#[tokio::test]
async fn without_a_token_everybody_sees_everything_but_secrets() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, &[]).await;
    assert_eq!(get(service.debug, "/healthz", &[]).await.body, "OK");
    let metrics = get(service.debug, "/metrics", &[]).await;
    assert_eq!(metrics.status, 200);
    assert!(
        metrics.header("content-type").is_some_and(|kind| kind.starts_with("application/openmetrics-text"))
    );
    let configuration = get(service.debug, "/config", &[]).await;
    assert!(configuration.body.contains("jwt_secret: \"***\" # SSE_JWT_SECRET"), "{}", configuration.body);
    assert!(!configuration.body.contains(SECRET));
    assert_eq!(get(service.debug, "/other", &[]).await.status, 404);
}

#[tokio::test]
async fn with_a_token_only_whoever_has_it_does_but_probes_need_none() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, &[("SSE_DEBUG_TOKEN", "let me in")]).await;
    let check = async |path: &str, authorization: Option<&str>, status: u16| {
        let headers: Vec<_> = authorization.map(|value| ("authorization", value)).into_iter().collect();
        let response = get(service.debug, path, &headers).await;
        assert_eq!(response.status, status, "{path} {authorization:?}");
        if status == 401 {
            assert_eq!((response.header("www-authenticate"), &*response.body), (Some("Bearer"), ""));
        }
    };
    check("/healthz", None, 200).await;
    check("/readyz", None, 503).await;
    for path in ["/metrics", "/config"] {
        check(path, Some("Bearer let me in"), 200).await;
        check(path, None, 401).await;
        check(path, Some("Bearer let me i"), 401).await;
        check(path, Some("let me in"), 401).await;
    }
}
