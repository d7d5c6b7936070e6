//! Two instances behind an nginx: a client that moves from one to the other misses nothing.

use super::Scene;
use crate::{
    browser::ResumeBy::LastEventId,
    ledger::Ledger,
    nats::{Nats, ReservedPort},
    reverse_proxies::{Kind, ReverseProxy},
    service::Service,
    transport::service_at,
};

/// Starts an instance on the address of its predecessor, and waits until it is ready.
async fn instance(nats: &Nats, port: &ReservedPort) -> Service {
    let settings = [("SSE_HTTP_ADDR", &*port.address.to_string()), ("SSE_DRAIN_TIMEOUT", "2s")];
    Service::start(nats, &settings).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_can_stop_while_the_other_serves() {
    let nats = Nats::start().await;
    let ports = [ReservedPort::any(), ReservedPort::any()];
    let mut instances = [instance(&nats, &ports[0]).await, instance(&nats, &ports[1]).await];
    let both = [service_at(ports[0].address), service_at(ports[1].address)];
    let nginx = ReverseProxy::in_front_of(Kind::Nginx, &both).await;
    let scene = Scene::open(&nats.address(), nginx.address(), LastEventId).await;
    for _ in 0..scene.size.rounds {
        let one_after_the_other = async {
            for (instance, port) in instances.iter_mut().zip(&ports) {
                scene.all_are_open().await;
                let had_streams = instance.metric("sse_connections").await > 0;
                assert!(had_streams, "no stream would have to move");
                instance.stop();
                instance.stopped().await;
                *instance = self::instance(&nats, port).await;
            }
        };
        scene.round(one_after_the_other).await;
        scene.check_ledgers(Ledger::holds_each_once).await;
    }
    assert_eq!(scene.gaps(), 0);
}
