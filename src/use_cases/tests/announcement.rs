//! The entry in the service registry.

use super::*;

#[tokio::test(start_paused = true)]
async fn is_renewed_in_time_and_retried_soon() {
    let began = now();
    let times = Arc::new(Mutex::new(Vec::new()));
    let mut registry = MockServiceRegistry::new();
    let noted = Arc::clone(&times);
    registry.expect_announce().returning(move || {
        let mut times = noted.lock();
        times.push((now() - began).as_secs());
        // The second time it is away.
        if times.len() == 2 { Err(RegistryUnavailable { reason: "away".into() }) } else { Ok(()) }
    });
    registry.expect_withdraw().once().returning(|| Ok(()));
    let announcement = Announcement { registry: Arc::new(registry) };
    let running = tokio::spawn(announcement.clone().run());
    tokio::time::sleep(Duration::from_mins(1)).await;
    running.abort();
    assert!(running.await.expect_err("it never ends").is_cancelled());
    announcement.withdraw().await;
    assert_eq!(*times.lock(), [0, 25, 27, 52]);
}

#[tokio::test(start_paused = true)]
async fn delays_the_end_by_two_seconds_at_most() {
    /// Never answers.
    struct Away;

    #[async_trait]
    impl ServiceRegistry for Away {
        async fn announce(&self) -> Result<(), RegistryUnavailable> {
            std::future::pending().await
        }

        async fn withdraw(&self) -> Result<(), RegistryUnavailable> {
            std::future::pending().await
        }
    }

    let began = now();
    Announcement { registry: Arc::new(Away) }.withdraw().await;
    assert_eq!((now() - began).as_secs(), 2);
}
