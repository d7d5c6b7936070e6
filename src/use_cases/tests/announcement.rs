//! The entry in the service registry.

use super::*;

/// A minute of an entry that holds for `holds` and is to be put again every `interval`: the seconds at which it was put.
async fn announced(holds: Duration, interval: Duration) -> Vec<u64> {
    let began = now();
    let times = Arc::new(Mutex::new(Vec::new()));
    let mut registry = MockServiceRegistry::new();
    let noted = Arc::clone(&times);
    registry.expect_announce().returning(move || {
        let mut times = noted.lock();
        times.push((now() - began).as_secs());
        // The second time it is away.
        if times.len() == 2 { Err(RegistryUnavailable { reason: "away".into() }) } else { Ok(holds) }
    });
    registry.expect_withdraw().once().returning(|| Ok(()));
    let announcement = Announcement { registry: Arc::new(registry), interval };
    let running = tokio::spawn(announcement.clone().run());
    tokio::time::sleep(Duration::from_mins(1)).await;
    running.abort();
    assert!(running.await.expect_err("it never ends").is_cancelled());
    announcement.withdraw().await;
    times.lock().clone()
}

#[tokio::test(start_paused = true)]
async fn is_renewed_in_time_and_retried_soon() {
    let (holds, interval) = (Duration::from_secs(30), Duration::from_secs(25));
    assert_eq!(announced(holds, interval).await, [0, 25, 27, 52]);
    assert_eq!(announced(Duration::MAX, interval).await, [0, 25, 27, 52]);
    let interval = Duration::from_secs(20);
    assert_eq!(announced(holds, interval).await, [0, 20, 22, 42]);
}

#[tokio::test(start_paused = true)]
async fn is_renewed_before_it_disappears() {
    let (holds, interval) = (Duration::from_secs(12), Duration::from_secs(25));
    assert_eq!(announced(holds, interval).await, [0, 10, 12, 22, 32, 42, 52]);
}

#[tokio::test(start_paused = true)]
async fn delays_the_end_by_two_seconds_at_most() {
    /// Never answers.
    struct Away;

    #[async_trait]
    impl ServiceRegistry for Away {
        async fn announce(&self) -> Result<Duration, RegistryUnavailable> {
            std::future::pending().await
        }

        async fn withdraw(&self) -> Result<(), RegistryUnavailable> {
            std::future::pending().await
        }
    }

    let began = now();
    Announcement { registry: Arc::new(Away), interval: Duration::MAX }.withdraw().await;
    assert_eq!((now() - began).as_secs(), 2);
}
