//! What the bus may do: none of it ends a client's stream.

use std::time::Duration;

use async_nats::{ConnectOptions, jetstream::stream};

use super::Scene;
use crate::{
    browser::Memory::LastEventId,
    bus::{consumers, delete_consumers},
    cluster::Cluster,
    eventually,
    ledger::Ledger,
    nats::Nats,
    proxy::Proxy,
    service::Service,
};

/// What is the same after every fault: the service reads on, with one consumer, and nobody had to come back.
async fn all_is_well(scene: &Scene, service: &Service, nats: &Nats) {
    service.is_ready().await;
    assert_eq!(scene.ended(), 0, "streams that ended");
    eventually("exactly one consumer", async || consumers(nats).await == 1).await;
}

async fn not_ready(service: &Service) {
    eventually("not ready", async || service.readiness().await.0 == 503).await;
}

/// A service that reaches the bus through a proxy.
async fn behind(proxy: &Proxy, nats: &Nats) -> Service {
    Service::start(nats, &[("SSE_EVENTS_ENDPOINT", &proxy.address.to_string())]).await
}

async fn proxy_to(nats: &Nats) -> Proxy {
    Proxy::to(nats.address().parse().expect("an address")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_may_be_killed_and_come_back() {
    let mut nats = Nats::start().await;
    let proxy = proxy_to(&nats).await;
    let service = behind(&proxy, &nats).await;
    let scene = Scene::open(&nats.address(), service.http, LastEventId).await;
    for _ in 0..scene.size.rounds {
        let killed = async {
            nats.kill().await;
            not_ready(&service).await;
            // Other services are back before this one.
            proxy.blackhole(true);
            nats.up().await;
            scene.goes_on().await;
            proxy.blackhole(false);
            service.is_ready().await;
        };
        scene.round(killed).await;
    }
    scene.every_ledger(Ledger::holds_each_once).await;
    assert_eq!(scene.gaps(), 0);
    all_is_well(&scene, &service, &nats).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_line_to_it_may_be_cut() {
    let nats = Nats::start().await;
    let proxy = proxy_to(&nats).await;
    let service = behind(&proxy, &nats).await;
    let scene = Scene::open(&nats.address(), service.http, LastEventId).await;
    for _ in 0..scene.size.rounds {
        let cut = async {
            proxy.blackhole(true);
            proxy.cut();
            scene.goes_on().await;
            proxy.blackhole(false);
            service.is_ready().await;
            proxy.cut();
        };
        scene.round(cut).await;
    }
    scene.every_ledger(Ledger::holds_each_once).await;
    assert_eq!(scene.gaps(), 0);
    all_is_well(&scene, &service, &nats).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_may_hang_without_a_word() {
    let nats = Nats::start().await;
    let proxy = proxy_to(&nats).await;
    let service = behind(&proxy, &nats).await;
    let scene = Scene::open(&nats.address(), service.http, LastEventId).await;
    for _ in 0..scene.size.rounds {
        let hangs = async {
            proxy.blackhole(true);
            // Long before the line itself is given up.
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
    scene.every_ledger(Ledger::holds_each_once).await;
    assert_eq!(scene.gaps(), 0);
    all_is_well(&scene, &service, &nats).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_may_cut_us_for_being_slow() {
    let directory = tempfile::tempdir().expect("a directory");
    let configuration = directory.path().join("nats.conf");
    std::fs::write(&configuration, "max_pending: 1MB\nwrite_deadline: \"100ms\"\n").expect("written");
    let arguments = ["-c", configuration.to_str().expect("Unicode")];
    let nats = Nats::start_with(&arguments, ConnectOptions::new).await;
    let proxy = proxy_to(&nats).await;
    let service = behind(&proxy, &nats).await;
    let mut scene = Scene::open(&nats.address(), service.http, LastEventId).await;
    // More than the kernel takes on the way.
    scene.padding = "x".repeat(30_000);
    let slow = async {
        proxy.delay(Duration::from_millis(200));
        eventually("a cut", async || nats.has_logged("Slow Consumer")).await;
        proxy.delay(Duration::ZERO);
    };
    scene.round(slow).await;
    scene.every_ledger(Ledger::holds_each_once).await;
    assert_eq!(scene.gaps(), 0);
    all_is_well(&scene, &service, &nats).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_consumer_may_be_deleted() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let scene = Scene::open(&nats.address(), service.http, LastEventId).await;
    for _ in 0..scene.size.rounds {
        scene.round(Box::pin(delete_consumers(&nats))).await;
        eventually("another consumer", async || consumers(&nats).await == 1).await;
    }
    scene.every_ledger(Ledger::holds_each_once).await;
    assert_eq!(scene.gaps(), 0);
    all_is_well(&scene, &service, &nats).await;
}

async fn purge(scene: &Scene) {
    let main_queue = scene.bus.get_stream("main-queue").await.expect("the stream");
    main_queue.purge().await.expect("purged");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_may_be_purged() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let scene = Scene::open(&nats.address(), service.http, LastEventId).await;
    for _ in 0..scene.size.rounds {
        scene.publish(scene.size.events).await;
        scene.every_ledger(Ledger::holds_each_once).await;
        purge(&scene).await;
    }
    scene.publish(scene.size.events).await;
    scene.every_ledger(Ledger::holds_each_once).await;
    assert_eq!(scene.gaps(), 0);
    all_is_well(&scene, &service, &nats).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_purged_unread_is_told_of() {
    let nats = Nats::start().await;
    let proxy = proxy_to(&nats).await;
    let service = behind(&proxy, &nats).await;
    let scene = Scene::open(&nats.address(), service.http, LastEventId).await;
    for round in 1..=scene.size.rounds {
        scene.publish(scene.size.events).await;
        scene.every_ledger(Ledger::holds_each_or_a_gap).await;
        // What is held up would be read afterwards, what is sent into a dead connection is not.
        proxy.blackhole(true);
        proxy.cut();
        not_ready(&service).await;
        scene.publish(scene.size.events).await;
        purge(&scene).await;
        proxy.blackhole(false);
        scene.publish(scene.size.events).await;
        scene.every_ledger(Ledger::holds_each_or_a_gap).await;
        assert_eq!(scene.gaps(), round as usize);
    }
    all_is_well(&scene, &service, &nats).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_may_be_deleted_and_made_anew() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let scene = Scene::open(&nats.address(), service.http, LastEventId).await;
    for round in 1..=scene.size.rounds {
        scene.publish(scene.size.events).await;
        scene.every_ledger(Ledger::holds_each_once).await;
        scene.bus.delete_stream("main-queue").await.expect("deleted");
        eventually("noticed", async || service.readiness().await.0 == 503).await;
        let anew = stream::Config {
            name: "main-queue".into(),
            subjects: vec!["main-queue".into()],
            description: Some("made by an administrator".into()),
            ..stream::Config::default()
        };
        // The service leaves it time for that.
        scene.bus.create_stream(anew).await.expect("made");
        scene.publish(scene.size.events).await;
        scene.every_ledger(Ledger::holds_each_once).await;
        assert_eq!(scene.gaps(), round as usize);
    }
    all_is_well(&scene, &service, &nats).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_of_a_cluster_may_be_killed() {
    let mut cluster = Cluster::start().await;
    let addresses = cluster.addresses();
    let service = Service::start_at(&addresses, &[]);
    service.is_ready().await;
    let scene = Scene::open(&addresses, service.http, LastEventId).await;
    for _ in 0..scene.size.rounds {
        let killed = async {
            let leader = cluster.leader(&scene.bus).await;
            leader.kill().await;
            // The other two go on without it.
            scene.goes_on().await;
            leader.up().await;
            // The registry's bucket has one replica, which may have been on the killed server.
            service.is_ready().await;
        };
        scene.round(killed).await;
    }
    scene.every_ledger(Ledger::holds_each_once).await;
    assert_eq!(scene.gaps(), 0);
    let leader = cluster.leader(&scene.bus).await;
    all_is_well(&scene, &service, leader).await;
}
