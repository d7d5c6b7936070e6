//! The diagnosis, of a service as it should be and of each way in which its surroundings can be wrong.

mod buffering;
mod canned;
mod findings;
mod nginx;
mod token;

use std::time::{Duration, SystemTime};

use adapters::outbound::{
    clock::SystemClock,
    nats::{KeyValueRegistry, Node},
};
use ports::outbound::{Clock as _, ServiceRegistry as _};

use self::{buffering::Buffering, canned::Canned, findings::Findings, nginx::Nginx};
use crate::{
    buckets::connection_to,
    nats::{Nats, ReservedPort},
    permissions::{CREDENTIALS, nats_permitting, nats_without},
    platform::Platform,
    reverse_proxies::{Kind, ReverseProxy},
    service::{Service, token},
};

/// The registry's name of the service on Infinite Scale.
const NAME: &str = "com.owncloud.sse.sse";

/// Registers another address under `name`, as an instance does.
async fn register(nats: &Nats, name: &str, address: &str) {
    let node = Node { service: name.into(), version: "1".into(), address: address.into(), tls: false };
    let connection = connection_to(&nats.address());
    let registry = KeyValueRegistry::new(&connection, &node, Duration::from_secs(30));
    registry.announce().await.expect("announced");
    connection.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn healthy_service_has_no_fault() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let proxy = Nginx::forwarding_to(&service, "").await;
    let findings = Findings::of(&nats, &service, &["--url", &proxy.url(), "--idle", "1s"], &[]).await;
    assert_eq!(findings.not_ok(), [""; 0]);
    assert_eq!(findings.status, 0);
    for check in [
        "configuration",
        "nats",
        "nats.stores",
        "nats.clock",
        "registry",
        "ready",
        "stream",
        "clock",
        "event",
        "public",
        "public.clock",
        "public.route",
        "public.stream",
        "public.headers",
        "public.compression",
        "public.events",
        "public.idle",
    ] {
        assert!(findings.has(check), "{check}");
    }
}

/// A removed event would look to an instance that has not read it like a lost one, and cause gaps.
#[tokio::test(flavor = "multi_thread")]
async fn only_three_events_stay() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let jetstream = nats.publisher().await.jetstream;
    let counts = async || {
        let mut counts = Vec::new();
        for name in ["main-queue", "KV_sse-resume", "KV_sse-languages", "KV_service-registry"] {
            let stream = jetstream.get_stream(name).await.expect("a stream");
            let state = &stream.cached_info().state;
            counts.push((name, state.messages, state.consumer_count));
        }
        counts
    };
    let mut expected = counts().await;
    expected[0].1 += 3;
    let proxy = Nginx::forwarding_to(&service, "").await;
    let findings = Findings::of(&nats, &service, &["--url", &proxy.url()], &[]).await;
    assert_eq!(findings.status, 0, "{findings:?}");
    crate::eventually("as before", async || counts().await == expected).await;
    let queue = jetstream.get_stream("main-queue").await.expect("a queue");
    let state = &queue.cached_info().state;
    assert_eq!(state.last_sequence, state.messages, "nothing is removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn proxy_that_buffers() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let check = async |interval, seen: &str| {
        let proxy = Buffering::in_front_of(&service, interval).await;
        let findings = Findings::of(&nats, &service, &["--url", &proxy.url()], &[]).await;
        assert_eq!((findings.status, findings.failed()), (1, vec!["public.events"]));
        assert!(findings.seen("public.events").contains(seen), "{findings:?}");
        assert!(findings.advice("public.events").contains("buffering"), "{findings:?}");
    };
    check(Duration::from_secs(3), "arrived together").await;
    check(Duration::from_hours(1), "did not arrive within 10 seconds").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn proxy_that_compresses() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let proxy = Nginx::forwarding_to(
        &service,
        "gzip on; gzip_proxied any; gzip_types text/event-stream; gzip_min_length 0;",
    )
    .await;
    let findings = Findings::of(&nats, &service, &["--url", &proxy.url()], &[]).await;
    assert_eq!(findings.failed(), ["public.compression"]);
    assert!(findings.seen("public.compression").contains("gzip"));
    // The rest was checked without compression.
    assert!(findings.has("public.events"));
}

#[tokio::test(flavor = "multi_thread")]
async fn proxy_that_cuts_silence() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let proxy = Nginx::forwarding_to(&service, "proxy_read_timeout 5s;").await;
    let findings = Findings::of(&nats, &service, &["--url", &proxy.url(), "--idle", "30s"], &[]).await;
    assert_eq!(findings.failed(), ["public.idle"]);
    let seen = findings.seen("public.idle");
    assert!(seen.starts_with("cut after 4 s") || seen.starts_with("cut after 5 s"), "{seen}");
    let advice = findings.advice("public.idle");
    assert!(advice.contains("SSE_KEEPALIVE_INTERVAL to 2s"), "{advice}");
}

#[tokio::test(flavor = "multi_thread")]
async fn protocols_of_the_public_name() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let url = format!("{}://{}", service.http.scheme(), service.http);
    let findings = Findings::of(&nats, &service, &["--url", &url, "--insecure"], &[]).await;
    assert_eq!(findings.not_ok(), [""; 0]);
    let protocols =
        if service.http.uses_tls() { "TLS 1.3 (certificate not verified), HTTP/2" } else { "HTTP/1.1" };
    assert!(findings.seen("public").ends_with(protocols), "{findings:?}");
    if service.http.uses_tls() {
        let verified = Findings::of(&nats, &service, &["--url", &url], &[]).await;
        assert_eq!(verified.failed(), ["public"]);
        assert!(verified.seen("public").contains("certificate"), "{verified:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn platform_that_authenticates() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let platform = Nginx::authenticating(&service, &token("einstein")).await;
    let without = Findings::of(&nats, &service, &["--url", &platform.url()], &[]).await;
    assert_eq!((without.status, without.not_ok()), (0, vec!["public.route", "public.stream"]));
    assert!(without.advice("public.route").contains("--token"));
    let with = Findings::of(&nats, &service, &["--url", &platform.url(), "--token", "browser"], &[]).await;
    assert_eq!((with.status, with.not_ok()), (0, vec![]), "{with:?}");
    assert!(with.has("public.events"));
    let expired = Findings::of(&nats, &service, &["--url", &platform.url(), "--token", "old"], &[]).await;
    assert_eq!(expired.failed(), ["public.user", "public.stream"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_of_browsers() {
    let nats = Nats::start().await;
    let off = Service::start(&nats, &[]).await;
    let check = async |url: &str, service: &Service, bearer: &str| {
        let findings = Findings::of(&nats, service, &["--url", url, "--token", bearer], &[]).await;
        let verdict = findings.verdict("public.ticket").map(ToOwned::to_owned);
        (verdict.expect("a verdict"), findings.seen("public.ticket").to_owned())
    };
    let platform = Nginx::authenticating(&off, &token("einstein")).await;
    let (verdict, seen) = check(&platform.url(), &off, "browser").await;
    assert!(verdict == "ok" && seen.contains("tickets are off"), "{verdict}: {seen}");

    let on = Service::start(&nats, &[("SSE_TICKET_CLIENTS", "127.0.0.1")]).await;
    let platform = Nginx::authenticating(&on, &token("einstein")).await;
    let (verdict, seen) = check(&platform.url(), &on, "browser").await;
    assert!(verdict == "warning" && seen.contains("is not removed"), "{verdict}: {seen}");

    let platform = Platform::in_front_of(on.http).await;
    let authorization = platform.sign_in("einstein", None);
    let edge = ReverseProxy::with_direct_streams(Kind::Caddy, platform.address, &[on.http]).await;
    let bearer = authorization.strip_prefix("Bearer ").expect("a bearer token");
    let (verdict, seen) = check(&format!("http://{}", edge.address()), &on, bearer).await;
    assert!(verdict == "ok" && seen.contains("is removed"), "{verdict}: {seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn proxy_that_removes_the_token() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let proxy = Nginx::forwarding_to(&service, "proxy_set_header x-access-token '';").await;
    let findings = Findings::of(&nats, &service, &["--url", &proxy.url()], &[]).await;
    assert_eq!((findings.status, findings.not_ok()), (0, vec!["public.stream"]));
    assert!(findings.advice("public.stream").contains("--token"));
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_that_the_service_ends_is_not_cut() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[("SSE_MAX_STREAM_AGE", "4s")]).await;
    let proxy = Nginx::forwarding_to(&service, "").await;
    let findings = Findings::of(&nats, &service, &["--url", &proxy.url(), "--idle", "30s"], &[]).await;
    assert_eq!((findings.status, findings.not_ok()), (0, vec!["public.idle"]));
    let seen = findings.seen("public.idle");
    assert_eq!(seen, "the service ended the stream itself: the stream has reached its age");
}

#[tokio::test(flavor = "multi_thread")]
async fn public_name_that_redirects() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let head =
        "HTTP/1.1 301 Moved Permanently\r\nlocation: https://other.example/\r\ncontent-length: 0\r\n\r\n";
    let public = Canned::server(head).await;
    let url = format!("http://{}", public.address);
    let findings = Findings::of(&nats, &service, &["--url", &url, "--token", "browser"], &[]).await;
    assert_eq!(findings.failed(), ["public.route"]);
    assert_eq!(findings.seen("public.route"), "redirects to https://other.example/");
    let requests = public.requests();
    assert!(requests.len() == 1 && !requests[0].to_lowercase().contains("authorization"), "{requests:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_token_is_a_usage_error() {
    let url = ["--url", "https://cloud.example.org"];
    for token in ["", "Bearer ", "two words"] {
        let arguments = [&["doctor"], &url[..], &["--token", token]].concat();
        let mut program = crate::program::Program::start(&arguments, &[]);
        assert_eq!(program.status().await, Some(2), "{token:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn platform_with_another_secret() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let platform = Nginx::authenticating(&service, "a.foreign.token").await;
    let findings =
        Findings::of(&nats, &service, &["--url", &platform.url(), "--token", "browser"], &[]).await;
    assert_eq!(findings.failed(), ["public.stream"]);
    assert!(findings.advice("public.stream").contains("OCIS_JWT_SECRET"));
}

#[tokio::test(flavor = "multi_thread")]
async fn instance_with_another_secret() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let secret = ("OCIS_JWT_SECRET", "another secret of at least thirty-two bytes");
    let findings = Findings::of(&nats, &service, &[], &[secret]).await;
    assert_eq!(findings.failed(), ["stream"]);
    assert!(findings.advice("stream").contains("OCIS_JWT_SECRET"));
    assert!(!format!("{findings:?}").contains(secret.1));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_service_name() {
    let nats = Nats::start().await;
    let name = ("SSE_SERVICE_NAME", "com.example.sse");
    let service = Service::start(&nats, &[name]).await;
    let same = Findings::of(&nats, &service, &[], &[name]).await;
    assert_eq!(same.not_ok(), ["registry"]);
    assert!(same.advice("registry").contains(NAME));
    // The service was started with another name than the diagnosis.
    let other = Findings::of(&nats, &service, &[], &[]).await;
    assert_eq!(other.failed(), ["registry"]);
    assert!(other.seen("registry").contains(&format!("no entry of {NAME}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn built_in_service_that_still_runs() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let built_in = Canned::server(
        "HTTP/1.1 500 Internal Server Error\r\nX-Sse-Version: 8.0.5\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    register(&nats, NAME, &built_in.address.to_string()).await;
    let findings = Findings::of(&nats, &service, &[], &[]).await;
    assert_eq!(findings.failed(), ["registry"]);
    assert!(findings.advice("registry").contains("OCIS_EXCLUDE_RUN_SERVICES"));
    assert!(findings.seen("registry").contains(&built_in.address.to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn registered_address_that_nothing_answers_at() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let killed = ReservedPort::any();
    register(&nats, NAME, &killed.address.to_string()).await;
    let findings = Findings::of(&nats, &service, &[], &[]).await;
    assert_eq!(findings.failed(), ["registry"]);
    assert!(findings.seen("registry").contains("nothing answers"));
}

#[tokio::test(flavor = "multi_thread")]
async fn clock_of_the_public_server_is_an_hour_behind() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let hour_ago = SystemTime::UNIX_EPOCH + SystemClock.unix_time() - Duration::from_hours(1);
    let date = httpdate::fmt_http_date(hour_ago);
    let head = format!("HTTP/1.1 401 Unauthorized\r\ndate: {date}\r\ncontent-length: 0\r\n\r\n");
    let public = Canned::server(&head).await;
    let url = format!("http://{}", public.address);
    let findings = Findings::of(&nats, &service, &["--url", &url], &[]).await;
    assert_eq!(findings.failed(), ["public.clock"]);
    assert!(findings.seen("public.clock").contains("s behind this machine's"), "{findings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn public_server_that_sends_no_response() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let silent = Canned::server("").await;
    let url = format!("http://{}", silent.address);
    let findings = Findings::of(&nats, &service, &["--url", &url], &[]).await;
    assert_eq!(findings.failed(), ["public"]);
    assert!(findings.seen("public").contains("no response within 10 seconds"));
}

#[tokio::test(flavor = "multi_thread")]
async fn platform_token_goes_only_to_this_service() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let foreign = Canned::server("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n").await;
    let url = format!("http://{}", foreign.address);
    Findings::of(&nats, &service, &["--url", &url], &[]).await;
    let requests = foreign.requests();
    assert_eq!(requests.len(), 1);
    assert!(!requests[0].to_lowercase().contains("x-access-token"), "{requests:?}");
}

/// The permissions that the advice names are enough to read the registry.
#[tokio::test(flavor = "multi_thread")]
async fn registry_can_be_read_with_two_more_permissions() {
    let check = async |more: &str, verdict: &str| {
        let (nats, _folder) = nats_permitting(more).await;
        let service = Service::start(&nats, &CREDENTIALS).await;
        let findings = Findings::of(&nats, &service, &[], &CREDENTIALS).await;
        assert_eq!(findings.verdict("registry"), Some(verdict), "{findings:?}");
        assert_eq!(findings.status, 0, "{findings:?}");
    };
    check("", "skipped").await;
    let more = ["$JS.API.CONSUMER.CREATE.KV_service-registry", "$JS.API.DIRECT.GET.KV_service-registry.>"];
    check(&more.map(|permission| format!("\"{permission}\"\n")).concat(), "ok").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_without_a_permission() {
    for (permission, verdict, check) in [
        ("$JS.API.CONSUMER.MSG.NEXT.main-queue.>", "failed", "main-queue"),
        ("$KV.sse-resume.>", "warning", "sse-resume"),
    ] {
        let (nats, _folder) = nats_without(permission).await;
        let service = Service::start_unready(&nats, &CREDENTIALS);
        crate::eventually("a queue", async || {
            nats.publisher().await.jetstream.get_stream("main-queue").await.is_ok()
        })
        .await;
        let findings = Findings::of(&nats, &service, &[], &CREDENTIALS).await;
        let seen = findings.seen_with("nats.stores", verdict);
        assert!(seen.contains(check) && seen.contains(permission.trim_end_matches('>')), "{seen}");
        // The permissions of the service do not allow to publish.
        assert_eq!(findings.verdict("event"), Some("skipped"), "{findings:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_runs() {
    let nats = Nats::down();
    let mut service = Service::start_unready(&nats, &[]);
    service.stop();
    service.stopped().await;
    let findings = Findings::of(&nats, &service, &[], &[]).await;
    assert_eq!(findings.failed(), ["nats", "registry", "ready", "stream"]);
    assert_eq!(findings.status, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_configuration() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, &[]);
    let findings = Findings::of(&nats, &service, &[], &[("SSE_KEEPALIVE_INTERVAL", "30")]).await;
    assert_eq!(findings.failed(), ["configuration"]);
    assert!(findings.seen("configuration").contains("SSE_KEEPALIVE_INTERVAL"));
}
