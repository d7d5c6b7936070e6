//! Tests of the certificate that is loaded again when its files change.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    sync::atomic::{AtomicUsize, Ordering},
    time::SystemTime,
};

use tempfile::TempDir;
use tracing::{Event, Level, Subscriber, subscriber::DefaultGuard};
use tracing_subscriber::{Layer, layer::Context, prelude::*};

use super::*;

/// A certificate and its key, in PEM.
struct Pair {
    certificate: String,
    key: String,
    der: CertificateDer<'static>,
}

impl Pair {
    fn new() -> Self {
        let generated = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        Self {
            certificate: generated.cert.pem(),
            key: generated.signing_key.serialize_pem(),
            der: generated.cert.der().clone(),
        }
    }

    fn write(&self, folder: &Path) {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("certificate"), &self.certificate).unwrap();
        fs::write(folder.join("key"), &self.key).unwrap();
    }
}

/// A certificate in use, its files, and the number of logged errors.
struct Fixture {
    folder: TempDir,
    current: Arc<Current>,
    failures: Arc<AtomicUsize>,
    _log: DefaultGuard,
}

/// Counts errors in the log.
struct Failures(Arc<AtomicUsize>);

impl<S: Subscriber> Layer<S> for Failures {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() == Level::ERROR {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Fixture {
    /// Loads the certificate that `prepare` writes into a folder.
    async fn new(prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path());
        let failures = Arc::default();
        let layer = Failures(Arc::clone(&failures));
        let log = tracing_subscriber::registry().with(layer).set_default();
        let [certificate, key] = ["certificate", "key"].map(|name| folder.path().join(name));
        let current = watch(CertificateFiles { certificate, key }).unwrap();
        let fixture = Self { folder, current, failures, _log: log };
        fixture.wait_for_checks().await;
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Waits on the paused clock until the files have been checked three more times.
    async fn wait_for_checks(&self) {
        tokio::time::sleep(3 * RENEWAL_CHECK + RENEWAL_CHECK / 2).await;
    }

    /// Asserts that the certificate of `pair` is in use, and that `failures` errors were logged.
    async fn expect_certificate(&self, pair: &Pair, failures: usize) {
        self.wait_for_checks().await;
        assert!(self.current.0.read().cert[0] == pair.der, "another certificate is in use");
        assert_eq!(self.failures.load(Ordering::Relaxed), failures);
    }
}

#[tokio::test(start_paused = true)]
async fn unreadable_file_is_loaded_when_it_becomes_readable() {
    let [old, new] = [Pair::new(), Pair::new()];
    let fixture = Fixture::new(|folder| old.write(folder)).await;
    new.write(fixture.folder.path());
    // Not even root can read a directory as a file. Like a change of the owner, this keeps the modification time.
    fs::rename(fixture.path("key"), fixture.path("elsewhere")).unwrap();
    fs::create_dir(fixture.path("key")).unwrap();
    let time = fixture.path("elsewhere").metadata().unwrap().modified().unwrap();
    File::open(fixture.path("key")).unwrap().set_modified(time).unwrap();
    fixture.expect_certificate(&old, 1).await;
    fs::remove_dir(fixture.path("key")).unwrap();
    fs::rename(fixture.path("elsewhere"), fixture.path("key")).unwrap();
    fixture.expect_certificate(&new, 1).await;
}

#[tokio::test(start_paused = true)]
async fn file_of_the_same_age_is_loaded() {
    let [old, new] = [Pair::new(), Pair::new()];
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let fixture = Fixture::new(|folder| {
        for (pair, name) in [(&old, "..1"), (&new, "..2")] {
            pair.write(&folder.join(name));
            for file in ["certificate", "key"] {
                File::open(folder.join(name).join(file)).unwrap().set_modified(time).unwrap();
            }
        }
        // The layout of a mounted Kubernetes secret.
        symlink("..1", folder.join("..data")).unwrap();
        symlink("..data/certificate", folder.join("certificate")).unwrap();
        symlink("..data/key", folder.join("key")).unwrap();
    })
    .await;
    fixture.expect_certificate(&old, 0).await;
    symlink("..2", fixture.path("..next")).unwrap();
    fs::rename(fixture.path("..next"), fixture.path("..data")).unwrap();
    fixture.expect_certificate(&new, 0).await;
}

#[tokio::test(start_paused = true)]
async fn certificate_waits_for_its_key() {
    let [old, new, newest] = [Pair::new(), Pair::new(), Pair::new()];
    let fixture = Fixture::new(|folder| old.write(folder)).await;
    fs::write(fixture.path("certificate"), &new.certificate).unwrap();
    fixture.expect_certificate(&old, 1).await;
    fs::write(fixture.path("certificate"), &newest.certificate).unwrap();
    fixture.expect_certificate(&old, 2).await;
    fs::write(fixture.path("key"), &newest.key).unwrap();
    fixture.expect_certificate(&newest, 2).await;
}

#[tokio::test(start_paused = true)]
async fn renewed_certificate_can_be_loaded_at_once() {
    let [old, new] = [Pair::new(), Pair::new()];
    let folder = tempfile::tempdir().unwrap();
    old.write(folder.path());
    let [certificate, key] = ["certificate", "key"].map(|name| folder.path().join(name));
    let (_, renewal) = acceptor(CertificateFiles { certificate, key }).unwrap();
    assert!(renewal.read().unwrap().is_none(), "it is in use");
    fs::write(folder.path().join("key"), "-".repeat(5 << 20)).unwrap();
    assert!(renewal.read().is_err());
    new.write(folder.path());
    let renewed = renewal.read().unwrap().unwrap();
    assert!(renewal.current.0.read().cert[0] == old.der, "nothing changes by reading");
    renewal.set(renewed);
    assert!(renewal.current.0.read().cert[0] == new.der, "another certificate is in use");
}

#[tokio::test(start_paused = true)]
async fn file_without_an_end_is_not_read() {
    let [old, new] = [Pair::new(), Pair::new()];
    let fixture = Fixture::new(|folder| old.write(folder)).await;
    fs::remove_file(fixture.path("key")).unwrap();
    symlink("/dev/zero", fixture.path("key")).unwrap();
    fixture.expect_certificate(&old, 1).await;
    fs::remove_file(fixture.path("key")).unwrap();
    new.write(fixture.folder.path());
    fixture.expect_certificate(&new, 1).await;
}

#[tokio::test(start_paused = true)]
async fn deleted_files_may_come_back() {
    let [old, new] = [Pair::new(), Pair::new()];
    let fixture = Fixture::new(|folder| old.write(folder)).await;
    for restored in [&old, &new] {
        let failures = fixture.failures.load(Ordering::Relaxed);
        fs::remove_file(fixture.path("certificate")).unwrap();
        fs::remove_file(fixture.path("key")).unwrap();
        fixture.expect_certificate(&old, failures + 1).await;
        restored.write(fixture.folder.path());
        fixture.expect_certificate(restored, failures + 1).await;
    }
}
