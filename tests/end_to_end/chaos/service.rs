//! Faults between the service and its clients, and of the service itself: reconnecting clients miss nothing.

use std::net::SocketAddr;

use super::Scene;
use crate::{
    browser::ResumeBy::{self, LastEventId, RequestId},
    client::get,
    consumer::consumers,
    eventually,
    ledger::Ledger,
    nats::{Nats, ReservedPort},
    program::{Program, server_with},
    proxy::Proxy,
    service::Service,
    transport,
};

/// Cuts every connection, repeatedly, as soon as all clients have reconnected.
async fn cut_during_events(resume_by: ResumeBy, check: fn(&Ledger, &[u32]) -> Result<(), String>) {
    const CUTS: usize = 3;
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let proxy = Proxy::to(service.http.address).await;
    let scene = Scene::open(&nats.address(), transport::service_at(proxy.address), resume_by).await;
    for round in 1..=scene.size.rounds as usize {
        let cuts = async {
            for _ in 0..CUTS {
                scene.all_are_open().await;
                let before = scene.ended();
                proxy.cut();
                let all = before + scene.browsers.len();
                eventually("all have noticed", async || scene.ended() >= all).await;
            }
        };
        scene.round(cuts).await;
        scene.check_ledgers(check).await;
        assert_eq!(scene.gaps(), 0);
        assert_eq!(scene.ended(), round * CUTS * scene.browsers.len(), "only the cuts end a stream");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_clients_get_each_event_exactly_once() {
    cut_during_events(LastEventId, Ledger::holds_each_once).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn platforms_client_gets_each_event_at_least_once() {
    cut_during_events(RequestId, Ledger::holds_each).await;
}

/// Starts a process on the address of its predecessor, and waits until it is ready.
async fn server_at(address: SocketAddr, nats: &Nats) -> Program {
    let settings = [("SSE_HTTP_ADDR", &*address.to_string()), ("SSE_DRAIN_TIMEOUT", "2s")];
    let mut program = server_with(nats, &settings);
    let (_, debug) = program.logged_addresses().await;
    eventually("ready", async || get(debug, "/readyz", &[]).await.status == 200).await;
    program
}

/// Stops the service with `end` and starts it again; its clients reconnect.
async fn restarted(end: impl AsyncFn(&mut Program)) {
    let nats = Nats::start().await;
    let port = ReservedPort::any();
    let mut program = server_at(port.address, &nats).await;
    let scene = Scene::open(&nats.address(), transport::service_at(port.address), LastEventId).await;
    for _ in 0..scene.size.rounds {
        let restart = async {
            end(&mut program).await;
            program = server_at(port.address, &nats).await;
        };
        scene.round(restart).await;
        scene.check_ledgers(Ledger::holds_each_once).await;
    }
    assert_eq!(scene.gaps(), 0);
    assert!(scene.browsers.iter().all(|browser| browser.ended() == scene.size.rounds as usize));
    eventually("exactly one consumer", async || consumers(&nats).await == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_service_is_continued_by_the_next() {
    restarted(async |program| program.kill().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_service_is_continued_by_the_next() {
    restarted(async |program| {
        program.terminate();
        assert_eq!(program.status().await, Some(0));
    })
    .await;
}
