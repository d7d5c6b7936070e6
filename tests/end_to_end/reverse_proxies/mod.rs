//! The service behind each reverse proxy that `docs/proxies.md` has a configuration for.

mod program;

use std::time::Duration;

pub(crate) use self::program::{Kind, ReverseProxy};
use crate::{
    browser::{Browser, PATH, ResumeBy::LastEventId},
    chaos::Scene,
    client::Stream,
    eventually,
    ledger::Ledger,
    nats::Nats,
    service::{Service, token},
};

/// The same checks for each of them.
macro_rules! behind {
    ($name:ident, $kind:expr) => {
        mod $name {
            use super::Kind;

            #[tokio::test(flavor = "multi_thread")]
            async fn events_arrive_at_once_and_unchanged() {
                super::events_arrive_at_once_and_unchanged($kind).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn keepalives_keep_the_connection_open() {
                super::keepalives_keep_the_connection_open($kind).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn reload_loses_nothing() {
                super::reload_loses_nothing($kind).await;
            }
        }
    };
}

behind!(nginx, Kind::Nginx);
behind!(caddy, Kind::Caddy);
behind!(haproxy, Kind::Haproxy);
behind!(traefik, Kind::Traefik);

/// More than the idle time of the proxies here, in keepalives.
const KEEPALIVES: usize = 15;
const KEEPALIVE_INTERVAL: &str = "200ms";

const EVENTS: usize = 20;
/// Who waits for more to send needs longer.
const AT_ONCE: Duration = Duration::from_millis(100);

/// Each event arrives although nothing comes after it that could push it out of a buffer, and uncompressed although the client could
/// read that. A client that goes is gone behind the proxy as well.
async fn events_arrive_at_once_and_unchanged(kind: Kind) {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let proxy = ReverseProxy::in_front_of(kind, &[service.http]).await;
    let publisher = nats.publisher().await;
    let token = token("einstein");
    let headers = [("x-access-token", &*token), ("accept-encoding", "gzip, deflate, br, zstd")];
    let mut stream = Stream::open(proxy.address(), PATH, &headers).await;
    let header = |name: &str| stream.headers.get(name).and_then(|value| value.to_str().ok());
    assert_eq!((header("content-type"), header("content-encoding")), (Some("text/event-stream"), None));
    let mut at_once = 0;
    for n in 0..EVENTS {
        publisher.event(&["einstein"], "t", &n.to_string()).await;
        let content = match tokio::time::timeout(AT_ONCE, stream.content()).await {
            Ok(content) => {
                at_once += 1;
                content
            }
            Err(_) => stream.content().await,
        };
        assert_eq!(content, n.to_string());
    }
    // The machine may be slow, but not always.
    assert!(at_once > EVENTS / 4, "{at_once} of {EVENTS}");
    drop(stream);
    service.has_connections(0).await;
}

/// A proxy that gives up silent streams does not give up one with keepalives.
async fn keepalives_keep_the_connection_open(kind: Kind) {
    let nats = Nats::start().await;
    let silent = Service::start(&nats, &[("SSE_KEEPALIVE_INTERVAL", "0s")]).await;
    let proxy = ReverseProxy::in_front_of(kind, &[silent.http]).await;
    // Traefik gives up none.
    if kind != Kind::Traefik {
        let browser = Browser::open(proxy.address(), "einstein", LastEventId);
        eventually("a silent stream is given up", async || browser.ended() > 0).await;
    }

    let service = Service::start(&nats, &[("SSE_KEEPALIVE_INTERVAL", KEEPALIVE_INTERVAL)]).await;
    let proxy = ReverseProxy::in_front_of(kind, &[service.http]).await;
    let mut stream = Stream::open(proxy.address(), PATH, &[("x-access-token", &token("einstein"))]).await;
    for _ in 0..KEEPALIVES {
        assert_eq!(stream.next().await.expect("a sign of life").0, ": keepalive\n\n");
    }
}

/// Streams that a reload ends come back and go on where they were.
async fn reload_loses_nothing(kind: Kind) {
    let nats = Nats::start().await;
    let instances = [Service::start(&nats, &[]).await, Service::start(&nats, &[]).await];
    let proxy = ReverseProxy::in_front_of(kind, &[instances[0].http]).await;
    let scene = Scene::open(&nats.address(), proxy.address(), LastEventId).await;
    let everybody = u64::from(scene.size.streams);
    for _ in 0..scene.size.rounds {
        let there_and_back = async {
            for instance in instances.iter().rev() {
                proxy.move_to(&[instance.http]).await;
                if kind == Kind::Traefik {
                    // It leaves what is open where it is; who comes later is with the other.
                    let before = instance.metric("sse_connections_opened_total").await;
                    eventually("new streams have moved", async || {
                        drop(Stream::open(proxy.address(), PATH, &[("x-access-token", &token("new"))]).await);
                        instance.metric("sse_connections_opened_total").await > before
                    })
                    .await;
                } else {
                    eventually("all have moved", async || {
                        instance.metric("sse_connections").await == everybody
                    })
                    .await;
                }
            }
        };
        scene.round(there_and_back).await;
        scene.check_ledgers(Ledger::holds_each_once).await;
    }
    assert_eq!(scene.gaps(), 0);
    assert_eq!(scene.ended() == 0, kind == Kind::Traefik);
}
