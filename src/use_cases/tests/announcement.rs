//! The entry in the service registry.

use super::*;

/// A registry that notes when the entry was put, in seconds, and whether the service was ready then.
struct FakeRegistry {
    status: Arc<Status>,
    began: Instant,
    announced: Mutex<Vec<(u64, bool)>>,
    /// The attempts that fail.
    is_away: fn(usize) -> bool,
    /// So long after it was first put the entry is gone.
    lost_after: Mutex<Option<Duration>>,
}

impl FakeRegistry {
    fn new(is_away: fn(usize) -> bool, lost_after: Option<Duration>) -> Arc<Self> {
        let status = Arc::<Status>::default();
        status.subscribed();
        let (began, lost_after) = (now(), Mutex::new(lost_after));
        Arc::new(Self { status, began, announced: Mutex::default(), is_away, lost_after })
    }

    /// When the entry was put within a minute.
    async fn announced(self: Arc<Self>) -> Vec<(u64, bool)> {
        let announcement = Announcement { registry: self.clone(), status: Arc::clone(&self.status) };
        let running = tokio::spawn(announcement.run());
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert_eq!(self.status.check(), Ok(()));
        running.abort();
        assert!(running.await.expect_err("it never ends").is_cancelled());
        self.announced.lock().clone()
    }
}

#[async_trait]
impl ServiceRegistry for FakeRegistry {
    async fn announce(&self) -> Result<(), RegistryUnavailable> {
        let mut announced = self.announced.lock();
        let attempt = announced.len();
        announced.push(((now() - self.began).as_secs(), self.status.check().is_ok()));
        if (self.is_away)(attempt) { Err(RegistryUnavailable { reason: "away".into() }) } else { Ok(()) }
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
async fn is_renewed_in_time_and_retried_soon() {
    let registry = FakeRegistry::new(|attempt| attempt == 1, None);
    let status = Arc::clone(&registry.status);
    assert_eq!(registry.announced().await, [(0, false), (25, true), (27, false), (52, true)]);
    assert_eq!(status.check(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn is_put_again_at_once_when_it_may_be_gone() {
    let registry = FakeRegistry::new(|_| false, Some(s(3)));
    let announced = registry.announced().await;
    assert_eq!(
        announced,
        [(0, false), (3, false), (28, true), (53, true)],
        "not ready while it is not there"
    );
}

#[tokio::test(start_paused = true)]
async fn delays_the_end_by_two_seconds_at_most() {
    let registry = FakeRegistry::new(|_| false, None);
    let (began, status) = (now(), Arc::clone(&registry.status));
    Announcement { registry, status }.withdraw().await;
    assert_eq!((now() - began).as_secs(), 2);
}
