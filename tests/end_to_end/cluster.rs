//! A cluster of three nats-servers.

use async_nats::{
    ConnectOptions,
    jetstream::{self, stream},
};

use crate::{
    eventually,
    nats::{Nats, ReservedPort},
};

/// A cluster in which each server has a replica of each stream. It works while two of them run.
pub(crate) struct Cluster {
    servers: Vec<Nats>,
    _routes: Vec<ReservedPort>,
}

impl Cluster {
    /// Starts the cluster with the stream `main-queue`, as an administrator would create it.
    pub(crate) async fn start() -> Self {
        let routes: Vec<_> = (0..3).map(|_| ReservedPort::any()).collect();
        let urls: Vec<_> = routes.iter().map(|route| format!("nats://{}", route.address)).collect();
        let all = urls.join(",");
        let mut servers = Vec::new();
        for (own, name) in urls.iter().zip(NAMES) {
            let arguments =
                ["--server_name", name, "--cluster_name", "three", "--cluster", own, "--routes", &all];
            servers.push(Nats::start_with(&arguments, ConnectOptions::new).await);
        }
        let cluster = Self { servers, _routes: routes };
        let publisher = cluster.servers[0].publisher().await;
        let main_queue = stream::Config {
            name: "main-queue".into(),
            subjects: vec!["main-queue".into()],
            storage: stream::StorageType::File,
            num_replicas: 3,
            ..stream::Config::default()
        };
        // The servers have to find each other first.
        eventually("a stream", async || publisher.jetstream.create_stream(main_queue.clone()).await.is_ok())
            .await;
        cluster
    }

    /// Returns the addresses in the form of the setting.
    pub(crate) fn addresses(&self) -> String {
        self.servers.iter().map(Nats::address).collect::<Vec<_>>().join(",")
    }

    /// Returns the leader of the queue. `jetstream` may be connected to any server.
    pub(crate) async fn leader(&mut self, jetstream: &jetstream::Context) -> &mut Nats {
        let mut leader = None;
        eventually("a leader", async || {
            let info = jetstream.get_stream("main-queue").await.ok().and_then(|stream| {
                stream.cached_info().cluster.as_ref().and_then(|cluster| cluster.leader.clone())
            });
            leader = info.and_then(|name| NAMES.iter().position(|known| *known == name));
            leader.is_some()
        })
        .await;
        &mut self.servers[leader.expect("a leader")]
    }
}

const NAMES: [&str; 3] = ["one", "two", "three"];
