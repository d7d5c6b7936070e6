//! Faults of NATS. None of them ends a client's stream.

use std::time::Duration;

use async_nats::{ConnectOptions, jetstream::stream};

use super::Scene;
use crate::{
    browser::ResumeBy::LastEventId,
    cluster::Cluster,
    consumer::{consumers, delete_consumers},
    eventually,
    ledger::Ledger,
    nats::Nats,
    proxy::Proxy,
    service::Service,
};

/// Checks that the service reads again with exactly one consumer, and that no stream has ended.
async fn has_recovered(scene: &Scene, service: &Service, nats: &Nats) {
    service.is_ready().await;
    assert_eq!(scene.ended(), 0, "streams that ended");
    eventually("exactly one consumer", async || consumers(nats).await == 1).await;
}

async fn not_ready(service: &Service) {
    eventually("not ready", async || service.readiness().await.0 == 503).await;
}

/// Starts a service that reaches NATS through a proxy.
async fn service_behind(proxy: &Proxy, nats: &Nats) -> Service {
    Service::start(nats, &[("SSE_EVENTS_ENDPOINT", &proxy.address.to_string())]).await
}

async fn proxy_to(nats: &Nats) -> Proxy {
    Proxy::to(nats.address().parse().expect("an address")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn survives_a_killed_server() {
    let mut nats = Nats::start().await;
    let proxy = proxy_to(&nats).await;
    let service = service_behind(&proxy, &nats).await;
    let scene = Scene::open(&nats.address(), service.http, LastEventId).await;
    for _ in 0..scene.size.rounds {
        let killed = async {
            nats.kill().await;
            not_ready(&service).await;
            // Other services reconnect before this one.
            proxy.blackhole(true);
            nats.up().await;
            scene.wait_for_more_events().await;
            proxy.blackhole(false);
            service.is_ready().await;
        };
        scene.round(killed).await;
    }
    scene.check_ledgers(Ledger::holds_each_once).await;
    assert_eq!(scene.gaps(), 0);
    has_recovered(&scene, &service, &nats).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn survives_a_cut_connection() {
    let nats = Nats::start().await;
    let proxy = proxy_to(&nats).await;
    let service = service_behind(&proxy, &nats).await;
    let scene = Scene::open(&nats.address(), service.http, LastEventId).await;
    for _ in 0..scene.size.rounds {
        let cut = async {
            proxy.blackhole(true);
            proxy.cut();
            scene.wait_for_more_events().await;
            proxy.blackhole(false);
            service.is_ready().await;
            proxy.cut();
        };
        scene.round(cut).await;
    }
    scene.check_ledgers(Ledger::holds_each_once).await;
    assert_eq!(scene.gaps(), 0);
    has_recovered(&scene, &service, &nats).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn survives_a_hanging_server() {
    let nats = Nats::start().await;
    let proxy = proxy_to(&nats).await;
    let service = service_behind(&proxy, &nats).await;
    let scene = Scene::open(&nats.address(), service.http, LastEventId).await;
    for _ in 0..scene.size.rounds {
        let hangs = async {
            proxy.blackhole(true);
            // The missed heartbeats are noticed long before the connection times out.
            eventually("silence is noticed", async || {
                let (status, reason) = service.readiness().await;
                status == 503 && reason.contains("heartbeat")
            })
            .await;
            proxy.blackhole(false);
        };
        scene.round(hangs).await;
        service.is_ready().await;
    }
    scene.check_ledgers(Ledger::holds_each_once).await;
    assert_eq!(scene.gaps(), 0);
    has_recovered(&scene, &service, &nats).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn survives_being_cut_as_slow_consumer() {
    let directory = tempfile::tempdir().expect("a directory");
    let configuration = directory.path().join("nats.conf");
    std::fs::write(&configuration, "max_pending: 1MB\nwrite_deadline: \"100ms\"\n").expect("written");
    let arguments = ["-c", configuration.to_str().expect("Unicode")];
    let nats = Nats::start_with(&arguments, ConnectOptions::new).await;
    let proxy = proxy_to(&nats).await;
    let service = service_behind(&proxy, &nats).await;
    let mut scene = Scene::open(&nats.address(), service.http, LastEventId).await;
    // More than the buffers of the connection hold.
    scene.padding = "x".repeat(30_000);
    let slow = async {
        proxy.delay(Duration::from_millis(200));
        eventually("a cut", async || nats.has_logged("Slow Consumer")).await;
        proxy.delay(Duration::ZERO);
    };
    scene.round(slow).await;
    scene.check_ledgers(Ledger::holds_each_once).await;
    assert_eq!(scene.gaps(), 0);
    has_recovered(&scene, &service, &nats).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn survives_a_deleted_consumer() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let scene = Scene::open(&nats.address(), service.http, LastEventId).await;
    for _ in 0..scene.size.rounds {
        scene.round(Box::pin(delete_consumers(&nats))).await;
        eventually("another consumer", async || consumers(&nats).await == 1).await;
    }
    scene.check_ledgers(Ledger::holds_each_once).await;
    assert_eq!(scene.gaps(), 0);
    has_recovered(&scene, &service, &nats).await;
}

async fn purge(scene: &Scene) {
    let main_queue = scene.jetstream.get_stream("main-queue").await.expect("the stream");
    main_queue.purge().await.expect("purged");
}

#[tokio::test(flavor = "multi_thread")]
async fn survives_a_purge_of_read_messages() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let scene = Scene::open(&nats.address(), service.http, LastEventId).await;
    for _ in 0..scene.size.rounds {
        scene.publish(scene.size.events).await;
        scene.check_ledgers(Ledger::holds_each_once).await;
        purge(&scene).await;
    }
    scene.publish(scene.size.events).await;
    scene.check_ledgers(Ledger::holds_each_once).await;
    assert_eq!(scene.gaps(), 0);
    has_recovered(&scene, &service, &nats).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_a_gap_for_unread_purged_messages() {
    let nats = Nats::start().await;
    let proxy = proxy_to(&nats).await;
    let service = service_behind(&proxy, &nats).await;
    let scene = Scene::open(&nats.address(), service.http, LastEventId).await;
    for round in 1..=scene.size.rounds {
        scene.publish(scene.size.events).await;
        scene.check_ledgers(Ledger::holds_each_or_a_gap).await;
        // Messages that are held by the proxy would be read later; those of a dead connection are not.
        proxy.blackhole(true);
        proxy.cut();
        not_ready(&service).await;
        scene.publish(scene.size.events).await;
        purge(&scene).await;
        proxy.blackhole(false);
        scene.publish(scene.size.events).await;
        scene.check_ledgers(Ledger::holds_each_or_a_gap).await;
        assert_eq!(scene.gaps(), round as usize);
    }
    has_recovered(&scene, &service, &nats).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn survives_a_recreated_queue() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let scene = Scene::open(&nats.address(), service.http, LastEventId).await;
    for round in 1..=scene.size.rounds {
        scene.publish(scene.size.events).await;
        scene.check_ledgers(Ledger::holds_each_once).await;
        scene.jetstream.delete_stream("main-queue").await.expect("deleted");
        eventually("noticed", async || service.readiness().await.0 == 503).await;
        let recreated = stream::Config {
            name: "main-queue".into(),
            subjects: vec!["main-queue".into()],
            description: Some("created by an administrator".into()),
            ..stream::Config::default()
        };
        // The service waits for a while before it creates the queue itself. If it has created it already, this call changes it.
        scene.jetstream.create_or_update_stream(recreated).await.expect("made");
        scene.publish(scene.size.events).await;
        scene.check_ledgers(Ledger::holds_each_once).await;
        assert_eq!(scene.gaps(), round as usize);
    }
    has_recovered(&scene, &service, &nats).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn survives_a_killed_cluster_leader() {
    let mut cluster = Cluster::start().await;
    let addresses = cluster.addresses();
    let service = Service::start_at(&addresses, &[]);
    service.is_ready().await;
    let scene = Scene::open(&addresses, service.http, LastEventId).await;
    for _ in 0..scene.size.rounds {
        let killed = async {
            let leader = cluster.leader(&scene.jetstream).await;
            leader.kill().await;
            // The other two servers elect a new leader.
            scene.wait_for_more_events().await;
            leader.up().await;
            // The registry's bucket has one replica, which may have been on the killed server.
            service.is_ready().await;
        };
        scene.round(killed).await;
    }
    scene.check_ledgers(Ledger::holds_each_once).await;
    assert_eq!(scene.gaps(), 0);
    let leader = cluster.leader(&scene.jetstream).await;
    has_recovered(&scene, &service, leader).await;
}
