//! The service behind each reverse proxy that `docs/proxies.md` has a configuration for.

mod program;

use std::{net::SocketAddr, time::Duration};

pub(crate) use self::program::{Kind, ReverseProxy};
use crate::{
    browser::{Browser, Credential, PATH, ResumeBy::LastEventId, platform_token},
    chaos::Scene,
    client::Stream,
    eventually,
    ledger::Ledger,
    nats::Nats,
    service::Service,
};

/// Declares the same tests for each proxy.
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

/// In keepalive intervals, longer than the idle timeout of the proxies in these tests.
const KEEPALIVES: usize = 20;
pub(crate) const KEEPALIVE_INTERVAL: &str = "200ms";

const EVENTS: usize = 20;
/// A proxy that buffers events takes longer.
const AT_ONCE: Duration = Duration::from_millis(100);

/// Each event arrives although no later event flushes it out of a buffer, and uncompressed although the client accepts
/// compression. When the client disconnects, the proxy closes its connection to the service.
async fn events_arrive_at_once_and_unchanged(kind: Kind) {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let proxy = ReverseProxy::in_front_of(kind, &[service.http]).await;
    receives_at_once(proxy.address(), platform_token("einstein"), &nats).await;
    service.has_connections(0).await;
}

/// Opens a stream of einstein at a proxy, checks that it gets each event at once and unchanged, and closes it.
pub(crate) async fn receives_at_once(proxy: SocketAddr, credential: Credential, nats: &Nats) {
    let publisher = nats.publisher().await;
    let headers = [(credential.0, &*credential.1), ("accept-encoding", "gzip, deflate, br, zstd")];
    let mut stream = Stream::open(proxy, PATH, &headers).await;
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
    // A slow machine may delay some of the events.
    assert!(at_once > EVENTS / 4, "{at_once} of {EVENTS}");
}

/// A proxy that closes silent streams does not close a stream with keepalives.
async fn keepalives_keep_the_connection_open(kind: Kind) {
    let nats = Nats::start().await;
    let silent = Service::start(&nats, &[("SSE_KEEPALIVE_INTERVAL", "0s")]).await;
    let proxy = ReverseProxy::in_front_of(kind, &[silent.http]).await;
    // Traefik closes no silent stream.
    if kind != Kind::Traefik {
        let browser = Browser::open(proxy.address(), "einstein", LastEventId);
        eventually("a silent stream is closed", async || browser.ended() > 0).await;
    }

    let service = Service::start(&nats, &[("SSE_KEEPALIVE_INTERVAL", KEEPALIVE_INTERVAL)]).await;
    let proxy = ReverseProxy::in_front_of(kind, &[service.http]).await;
    receives_keepalives(proxy.address(), platform_token("einstein")).await;
}

/// Checks that keepalives hold a stream beyond the idle timeout of a proxy.
pub(crate) async fn receives_keepalives(proxy: SocketAddr, credential: Credential) {
    let mut stream = Stream::open(proxy, PATH, &[(credential.0, &credential.1)]).await;
    for _ in 0..KEEPALIVES {
        assert_eq!(stream.next().await.expect("a keepalive").0, ": keepalive\n\n");
    }
}

/// Streams that end because of a reload reconnect and resume at their position.
async fn reload_loses_nothing(kind: Kind) {
    let nats = Nats::start().await;
    let instances = [Service::start(&nats, &[]).await, Service::start(&nats, &[]).await];
    let proxy = ReverseProxy::in_front_of(kind, &[instances[0].http]).await;
    stays_complete_when_reloaded(&proxy, &nats, &instances, platform_token).await;
}

/// Checks that streams at a proxy lose nothing while it is reloaded to move from one instance to the other and back.
pub(crate) async fn stays_complete_when_reloaded(
    proxy: &ReverseProxy,
    nats: &Nats,
    instances: &[Service; 2],
    credential: impl Fn(&str) -> Credential,
) {
    let scene = Scene::open_with(&nats.address(), proxy.address(), LastEventId, &credential).await;
    let (name, value) = credential("new");
    let all_streams = u64::from(scene.size.streams);
    for _ in 0..scene.size.rounds {
        let there_and_back = async {
            for instance in instances.iter().rev() {
                proxy.move_to(&[instance.http]).await;
                if proxy.kind() == Kind::Traefik {
                    // Traefik keeps open streams; only new requests go to the other instance.
                    let before = instance.metric("sse_connections_opened_total").await;
                    eventually("new streams have moved", async || {
                        drop(Stream::open(proxy.address(), PATH, &[(name, &value)]).await);
                        instance.metric("sse_connections_opened_total").await > before
                    })
                    .await;
                } else {
                    eventually("all have moved", async || {
                        instance.metric("sse_connections").await == all_streams
                    })
                    .await;
                }
            }
        };
        scene.round(there_and_back).await;
        scene.check_ledgers(Ledger::holds_each_once).await;
    }
    assert_eq!(scene.gaps(), 0);
    assert_eq!(scene.ended() == 0, proxy.kind() == Kind::Traefik);
}
