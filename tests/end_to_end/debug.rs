//! The debug server and its access control.

use hyper::Method;

use crate::{
    client::{Response, get, get_bytes, request},
    eventually,
    nats::Nats,
    program::server_with,
    service::{SECRET, Service},
};

/// Checks that a page cannot be framed, cannot send forms and is not cached.
#[track_caller]
fn has_headers_of_a_page(page: &Response, scripts: &str) {
    let policy = page.header("content-security-policy").expect("a policy");
    let everywhere = "form-action 'none'; base-uri 'none'; frame-ancestors 'none'";
    assert!(policy.starts_with("default-src 'none'; ") && policy.ends_with(everywhere), "{policy}");
    assert!(policy.contains(scripts), "{policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn without_token_pages_are_public_but_hide_secrets() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, &[]);
    assert_eq!(get(service.debug, "/healthz", &[]).await.body, "OK");
    let metrics = get(service.debug, "/metrics", &[]).await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.header("content-type").is_some_and(|kind| kind.starts_with("text/plain; version=0.0.4")));
    let configuration = get(service.debug, "/config", &[]).await;
    assert!(configuration.body.contains("jwt_secret: \"***\" # SSE_JWT_SECRET"), "{}", configuration.body);
    assert!(!configuration.body.contains(SECRET));
    assert_eq!(get(service.debug, "/other", &[]).await.status, 404);
}

#[tokio::test]
async fn token_protects_all_but_the_probes() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, &[("SSE_DEBUG_TOKEN", "let me in")]);
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
        for scheme in ["Bearer ", "bearer ", "BEARER ", "Bearer   "] {
            check(path, Some(&format!("{scheme}let me in")), 200).await;
        }
        check(path, None, 401).await;
        check(path, Some("Bearer let me i"), 401).await;
        for wrong in ["let me in", "Bearer", "Bearerlet me in", "Basic let me in", "Bearer let me in too"] {
            check(path, Some(wrong), 401).await;
        }
    }
}

#[tokio::test]
async fn profiles_and_spans_are_opt_in_and_protected() {
    let nats = Nats::start().await;
    let settings =
        [("SSE_DEBUG_PPROF", "true"), ("SSE_DEBUG_ZPAGES", "true"), ("SSE_DEBUG_TOKEN", "let me in")];
    let mut program = server_with(&nats, &settings);
    let (http, debug) = program.logged_addresses().await;
    let paths = ["/debug/pprof/?seconds=1", "/debug/pprof/profile?seconds=1", "/debug/tracez"];
    for path in paths {
        assert_eq!(get(debug, path, &[]).await.status, 401, "{path}");
    }
    let token = [("authorization", "Bearer let me in")];
    assert_eq!(get(http, "/sse", &[]).await.status, 401);
    eventually("a span", async || {
        get(debug, "/debug/tracez", &token).await.body.contains("<td>admit<td>under")
    })
    .await;
    has_headers_of_a_page(&get(debug, "/debug/tracez", &token).await, "script-src 'none'");

    let busy = tokio::spawn(async move {
        loop {
            get(http, "/sse", &[]).await;
        }
    });
    let picture = get(debug, "/debug/pprof/?seconds=1", &token).await;
    let profile = get_bytes(debug, "/debug/pprof/profile?seconds=1", &token).await;
    busy.abort();
    // Field 1 of a Profile, its sample types, is a message (perftools.profiles).
    assert_eq!(profile.first(), Some(&0x0a));
    assert_eq!((picture.status, picture.header("content-type")), (200, Some("image/svg+xml")));
    assert!(picture.body.contains("<svg"), "{}", picture.body);
    has_headers_of_a_page(&picture, "script-src 'unsafe-inline'");
    let wrong = get(debug, "/debug/pprof/profile?seconds=61", &token).await;
    assert_eq!((wrong.status, &*wrong.body), (400, "seconds=61 is not between 1 and 60"));

    for (path, allowed) in [("/debug/tracez", "GET, HEAD"), ("/debug/pprof/", "GET")] {
        let response = request(debug, Method::POST, path, &token).await;
        assert_eq!((response.status, response.header("allow")), (405, Some(allowed)), "{path}");
    }

    let service = Service::start_unready(&nats, &[]);
    for path in paths {
        assert_eq!(get(service.debug, path, &[]).await.status, 404, "{path} was not asked for");
    }
}
