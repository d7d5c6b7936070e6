//! Rejected requests and their responses.

use hyper::Method;
use serde_json::{Value, json};

use crate::{
    client::{self, Response, get, request},
    nats::Nats,
    service::{SECRET, Service, token, token_with},
};

/// The path of the stream in the platform's API.
const STREAM: &str = "/ocs/v2.php/apps/notifications/api/v1/notifications/sse";

/// Asserts that a response has problem details (RFC 9457).
#[track_caller]
fn is_problem(response: &Response, status: u16, detail: &str) {
    assert_eq!(response.header("content-type"), Some("application/problem+json"), "{}", response.body);
    // So that an administrator sees whether a path leads to this service.
    assert_eq!(response.header("x-sse-version"), Some(env!("CARGO_PKG_VERSION")));
    let problem: Value = serde_json::from_str(&response.body).expect("JSON");
    assert_eq!(response.status, status);
    assert_eq!(problem["status"], status);
    assert_eq!(problem["type"], "about:blank");
    assert_eq!(problem["detail"], detail);
}

#[tokio::test]
async fn rejected_requests_get_the_reason() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, &[]);
    let claims = json!({
        "aud": ["reva"], "exp": 4_000_000_000_u64,
        "user": { "id": { "opaque_id": "einstein" } }, "scope": { "user": {} },
    });
    let changed = |key: &str, value: Value| {
        let mut claims = claims.clone();
        claims[key] = value;
        token_with(&claims)
    };
    let check = async |token: &str, challenge: Option<&str>, status: u16, detail: &str| {
        let response = get(service.http, "/sse", &[("x-access-token", token)]).await;
        is_problem(&response, status, detail);
        assert_eq!(response.header("www-authenticate"), challenge);
        assert!(token.is_empty() || !response.body.contains(token));
    };
    let invalid = Some(r#"Bearer error="invalid_token""#);
    check("", Some("Bearer"), 401, "send the access token in x-access-token").await;
    check("nonsense", invalid, 401, "the token is not valid").await;
    check("no ASCII: é", invalid, 401, "the token is not valid").await;
    check(&changed("aud", json!(["other"])), invalid, 401, "the token is not valid").await;
    check(&changed("exp", json!(1_000_000_000)), invalid, 401, "the token has expired").await;
    check(&changed("user", json!({})), invalid, 401, "the token names no user").await;
    let scope = "the token's scope gives no access to a user's events";
    check(&changed("scope", json!({ "publicshare:1": {} })), None, 403, scope).await;

    let without = get(service.http, "/sse", &[]).await;
    is_problem(&without, 401, "send the access token in x-access-token");
    for (reason, times) in [("missing", 2), ("invalid", 3), ("expired", 1), ("no_user", 1), ("scope", 1)] {
        let sample = format!("sse_auth_failures_total{{reason=\"{reason}\"}}");
        assert_eq!(service.metric(&sample).await, times, "{reason}");
    }
}

#[tokio::test]
async fn bearer_scheme_is_case_insensitive() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    for scheme in ["Bearer ", "bearer ", "BEARER ", "Bearer   "] {
        let authorization = format!("{scheme}{}", token("einstein"));
        let (status, _) = client::head(service.http, "/sse", &[("authorization", &authorization)]).await;
        assert_eq!(status, 200, "{scheme:?}");
    }
}

#[tokio::test]
async fn other_paths_and_methods_are_rejected() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, &[("SSE_HTTP_ROOT", "/root")]);
    let einstein = token("einstein");
    let headers = [("x-access-token", &*einstein)];
    for path in ["/", "/sse", "/root/other", "/root/sse/x"] {
        is_problem(&get(service.http, path, &headers).await, 404, "there is nothing at this path");
    }
    let check = async |method: Method, path: &str, allowed: &str| {
        let response = request(service.http, method.clone(), path, &headers).await;
        assert_eq!((response.status, response.header("allow")), (405, Some(allowed)), "{method} {path}");
        if method != Method::HEAD {
            is_problem(&response, 405, &format!("{method} is not allowed at this path; use {allowed}"));
        }
    };
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
        for path in ["/root/sse", &format!("/root{STREAM}")] {
            check(method.clone(), path, "GET").await;
        }
        for path in ["/root/docs", "/root/docs/", "/root/openapi.json"] {
            check(method.clone(), path, "GET, HEAD").await;
        }
    }
    check(Method::POST, &format!("/root{STREAM}/language"), "GET, HEAD, PUT, DELETE").await;
    // A response to HEAD is that of a stream without its body.
    for path in ["/root/sse", &format!("/root{STREAM}")] {
        check(Method::HEAD, path, "GET").await;
    }
    assert_eq!(service.metric("sse_connections_opened_total").await, 0);
}

#[tokio::test]
async fn head_is_answered_like_get() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, &[]);
    let einstein = token("einstein");
    let headers = [("x-access-token", &*einstein)];
    for path in ["/docs", "/openapi.json", &format!("{STREAM}/language"), "/nothing", "/ocs/nothing"] {
        let get = request(service.http, Method::GET, path, &headers).await;
        let head = request(service.http, Method::HEAD, path, &headers).await;
        assert_eq!((head.status, &*head.body), (get.status, ""), "{path}");
        for name in ["content-type", "content-length", "content-security-policy", "cache-control"] {
            assert_eq!(head.header(name), get.header(name), "{name} of {path}");
        }
    }
}

#[tokio::test]
async fn wildcard_origin_is_allowed_without_credentials() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, &[]);
    let response = get(service.http, "/sse", &[("origin", "https://evil.example")]).await;
    assert_eq!(response.header("access-control-allow-origin"), Some("*"));
    assert_eq!(response.header("access-control-allow-credentials"), Some("true"));
    assert_eq!(response.header("vary"), Some("Origin"));

    let preflight = [("origin", "https://evil.example"), ("access-control-request-method", "GET")];
    let response = request(service.http, Method::OPTIONS, "/sse", &preflight).await;
    assert_eq!(response.status, 204);
    assert_eq!(response.header("access-control-allow-origin"), Some("*"));
    assert_eq!(response.header("access-control-allow-methods"), Some("GET, PUT, DELETE"));
    assert_eq!(
        response.header("access-control-allow-headers"),
        Some(
            "Authorization, Origin, Content-Type, Accept, X-Requested-With, X-Request-Id, Ocs-Apirequest, Last-Event-Id"
        )
    );

    let without = get(service.http, "/sse", &[]).await;
    assert_eq!(without.header("access-control-allow-origin"), None);
    assert_eq!(without.header("vary"), Some("Origin"));
}

#[tokio::test]
async fn only_listed_origins_get_cors_headers() {
    let nats = Nats::down();
    let settings = [("SSE_CORS_ALLOW_ORIGINS", "https://a.example,https://*.b.example")];
    let service = Service::start_unready(&nats, &settings);
    let check = async |origin: &str, expected: Option<&str>| {
        let response = get(service.http, "/sse", &[("origin", origin)]).await;
        assert_eq!(response.header("access-control-allow-origin"), expected, "{origin}");
        let credentials = response.header("access-control-allow-credentials");
        assert_eq!(credentials, expected.map(|_| "true"), "{origin}");
    };
    check("https://a.example", Some("https://a.example")).await;
    check("https://x.b.example", Some("https://x.b.example")).await;
    check("https://c.example", None).await;
    check("null", None).await;
}

#[tokio::test]
async fn silent_connection_is_closed() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, &[("SSE_REQUEST_TIMEOUT", "1s")]);
    for sent in ["", "GET /sse HTTP/1.1\r\nhost:", "PRI * HT"] {
        let answer = client::exchange(service.http, sent.as_bytes()).await;
        // A client that starts with the HTTP/2 preface gets the server's SETTINGS at once.
        let got_settings = sent.starts_with("PRI") && !answer.contains("HTTP");
        assert!(got_settings || answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{sent:?}: {answer}");
    }
}

#[tokio::test]
async fn malformed_requests_do_no_harm() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, &[]);
    let no_ascii = b"GET /sse HTTP/1.1\r\nhost: a\r\norigin: https://\xff\r\nx-request-id: \xff\r\nx-access-token: \xff\r\nconnection: close\r\n\r\n";
    let answer = client::exchange(service.http, no_ascii).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    let long = format!("GET /sse HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(1 << 20));
    for request in ["\0\0\0\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\r\n\r\nGET\r\n\r\n", &long] {
        let answer = client::exchange(service.http, request.as_bytes()).await;
        let is_rejected = answer.is_empty() || answer.starts_with("HTTP/1.1 4");
        assert!(is_rejected, "{:?}: {answer}", &request[..request.len().min(40)]);
    }
    assert_eq!(get(service.http, "/sse", &[]).await.status, 401);
}

/// After a change of the platform's secret, open streams and existing tokens stay valid.
#[tokio::test]
async fn previous_secret_is_accepted_only_if_configured() {
    let nats = Nats::start().await;
    let changed = ("SSE_JWT_SECRET", "another secret of at least thirty-two bytes");
    let token = token("einstein");
    let service = Service::start(&nats, &[changed]).await;
    assert_eq!(get(service.http, "/sse", &[("x-access-token", &token)]).await.status, 401);
    let service = Service::start(&nats, &[changed, ("SSE_JWT_SECRET_PREVIOUS", SECRET)]).await;
    let mut stream = service.follow("einstein").await;
    nats.publisher().await.event(&["einstein"], "t", "hello").await;
    assert_eq!(stream.content().await, "hello");
}
