//! The entry in the service registry.

use super::*;

/// Time between two renewals.
const INTERVAL: Duration = Duration::from_secs(25);

/// A registry that records when the entry was written, in seconds, and whether the service was ready then.
struct FakeRegistry {
    status: Arc<Status>,
    started: Instant,
    announced: Mutex<Vec<(u64, bool)>>,
    /// The lifetime of an entry.
    lifetime: Duration,
    /// Returns whether the attempt with this number fails.
    fails: fn(usize) -> bool,
    /// The time after which the entry is lost once.
    lost_after: Mutex<Option<Duration>>,
}

impl FakeRegistry {
    fn new() -> Self {
        let status = Arc::<Status>::default();
        status.subscribed();
        Self {
            status,
            started: now(),
            announced: Mutex::default(),
            lifetime: s(30),
            fails: |_| false,
            lost_after: Mutex::default(),
        }
    }

    /// Returns when the entry was written within a minute, and whether the service was ready then.
    async fn announced(self, interval: Duration) -> Vec<(u64, bool)> {
        let registry = Arc::new(self);
        let status = Arc::clone(&registry.status);
        let announcement = Announcement { registry: registry.clone(), interval, status };
        let running = tokio::spawn(announcement.run());
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert_eq!(registry.status.check(), Ok(()));
        running.abort();
        assert!(running.await.expect_err("the task runs until it is aborted").is_cancelled());
        registry.announced.lock().clone()
    }
}

#[async_trait]
impl ServiceRegistry for FakeRegistry {
    async fn announce(&self) -> Result<Duration, RegistryUnavailable> {
        let mut announced = self.announced.lock();
        let attempt = announced.len();
        announced.push(((now() - self.started).as_secs(), self.status.check().is_ok()));
        if (self.fails)(attempt) {
            Err(RegistryUnavailable { reason: "away".into() })
        } else {
            Ok(self.lifetime)
        }
    }

    async fn changed(&self) {
        let lost_after = self.lost_after.lock().take();
        match lost_after {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    }

    async fn withdraw(&self) -> Result<(), RegistryUnavailable> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn is_renewed_and_retried_at_intervals() {
    for (lifetime, interval, first) in [(s(30), s(25), 25), (Duration::MAX, s(25), 25), (s(30), s(20), 20)] {
        let registry = FakeRegistry { lifetime, fails: |attempt| attempt == 1, ..FakeRegistry::new() };
        let expected = [(0, false), (first, true), (first + 2, false), (2 * first + 2, true)];
        assert_eq!(registry.announced(interval).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn is_renewed_before_entry_expires() {
    let announced = FakeRegistry { lifetime: s(12), ..FakeRegistry::new() }.announced(INTERVAL).await;
    let times: Vec<_> = announced.into_iter().map(|(time, _)| time).collect();
    assert_eq!(times, [0, 10, 20, 30, 40, 50]);
}

#[tokio::test(start_paused = true)]
async fn is_renewed_at_once_after_change() {
    let registry = FakeRegistry { lost_after: Mutex::new(Some(s(3))), ..FakeRegistry::new() };
    let expected = [(0, false), (3, false), (28, true), (53, true)];
    assert_eq!(
        registry.announced(INTERVAL).await,
        expected,
        "the service is not ready while the entry is missing"
    );
}

#[tokio::test(start_paused = true)]
async fn delays_shutdown_by_two_seconds_at_most() {
    let registry = Arc::new(FakeRegistry::new());
    let (started, status) = (now(), Arc::clone(&registry.status));
    Announcement { registry, interval: INTERVAL, status }.withdraw().await;
    assert_eq!((now() - started).as_secs(), 2);
}
