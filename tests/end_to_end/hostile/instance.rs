//! The service as a process of its own: a hanging process is noticed and killed, and its descriptors, CPU time and
//! memory can be measured.

use std::{net::SocketAddr, time::Duration};

use crate::{
    client::{self, get},
    eventually,
    nats::{Nats, ReservedPort},
    program::{Program, server_with, server_with_descriptors},
    service::sample,
    transport::{Server, service_at},
};

/// The deadline of requests (`SSE_REQUEST_TIMEOUT`).
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);
/// The deadline of writes (`SSE_WRITE_TIMEOUT`).
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(2);
const DEADLINES: [(&str, &str); 2] = [("SSE_REQUEST_TIMEOUT", "1s"), ("SSE_WRITE_TIMEOUT", "2s")];
/// The drain time of every instance (`SSE_DRAIN_TIMEOUT`, see `program`).
pub(super) const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// How late an action may be because other tests share the machine.
pub(super) const LEEWAY: Duration = Duration::from_secs(5);
/// The interval over which CPU time is measured.
const QUIET_INTERVAL: Duration = Duration::from_millis(500);
/// The limit of CPU time per interval, in seconds, while the instance answers two requests for metrics. A spinning
/// thread uses the whole interval.
const QUIET_CPU_SECONDS: f64 = 0.2;

/// A running instance, which is killed on drop.
pub(super) struct Instance {
    pub(super) http: Server,
    pub(super) debug: SocketAddr,
    program: Program,
    _ports: [ReservedPort; 2],
}

impl Instance {
    /// Starts an instance with short deadlines that reads from `nats`, and waits until it is ready.
    pub(super) async fn start(nats: &Nats, settings: &[(&str, &str)]) -> Self {
        Self::start_by(settings, |settings| server_with(nats, settings)).await
    }

    /// Starts an instance with this limit of file descriptors.
    pub(super) async fn start_with_descriptors(nats: &Nats, limit: u32, settings: &[(&str, &str)]) -> Self {
        Self::start_by(settings, |settings| server_with_descriptors(nats, limit, limit, settings)).await
    }

    async fn start_by(settings: &[(&str, &str)], program: impl FnOnce(&[(&str, &str)]) -> Program) -> Self {
        let ports = [ReservedPort::any(), ReservedPort::any()];
        let [http, debug] = ports.each_ref().map(|port| port.address);
        let (http_addr, debug_addr) = (http.to_string(), debug.to_string());
        // The pipe of the log is not read during a test.
        let ours =
            [("SSE_LOG_LEVEL", "fatal"), ("SSE_HTTP_ADDR", &*http_addr), ("SSE_DEBUG_ADDR", &*debug_addr)];
        let settings: Vec<_> = ours.iter().chain(&DEADLINES).chain(settings).copied().collect();
        let program = program(&settings);
        eventually("it listens", async || tokio::net::TcpStream::connect(debug).await.is_ok()).await;
        let instance = Self { http: service_at(http), debug, program, _ports: ports };
        instance.is_ready().await;
        instance
    }

    pub(super) async fn is_ready(&self) {
        eventually("ready", async || get(self.debug, "/readyz", &[]).await.status == 200).await;
    }

    /// Checks that both servers answer new connections.
    pub(super) async fn answers(&self) -> Result<(), String> {
        let health = within("/healthz", LEEWAY, client::try_get(self.debug, "/healthz"));
        let rejection = within("a rejection by /sse", LEEWAY, client::try_get(self.http, "/sse"));
        match tokio::try_join!(health, rejection)? {
            (Some(200), Some(401)) => Ok(()),
            other => Err(format!("/healthz and /sse without a token answered {other:?}")),
        }
    }

    /// Returns one sample of the metrics page.
    pub(super) async fn sample(&self, name: &str) -> Result<f64, String> {
        within("/metrics", LEEWAY, sample(self.debug, name)).await
    }

    /// Returns the number of open descriptors without those of clients. Connections of earlier requests can still be
    /// open, so this is a minimum of several samples.
    pub(super) async fn idle_descriptors(&self) -> Result<f64, String> {
        let mut base = f64::INFINITY;
        for _ in 0..5 {
            base = self.descriptors().await?.min(base);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(base)
    }

    pub(super) async fn descriptors(&self) -> Result<f64, String> {
        self.sample("process_open_fds").await
    }

    pub(super) async fn resident_bytes(&self) -> Result<f64, String> {
        self.sample("process_resident_memory_bytes").await
    }

    /// Waits until at most `base` descriptors are open, for as long as the deadlines of all connections last.
    pub(super) async fn descriptors_return_to(&self, base: f64) -> Result<(), String> {
        let mut open = 0.0;
        let returned = async {
            while {
                open = self.descriptors().await?;
                open > base
            } {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ok(())
        };
        tokio::time::timeout(REQUEST_TIMEOUT + WRITE_TIMEOUT + LEEWAY, returned)
            .await
            .unwrap_or_else(|_| Err(format!("{open} descriptors stay open, before there were {base}")))
    }

    /// Checks that the instance uses hardly any CPU time. Earlier work may still go on for a moment.
    pub(super) async fn is_quiet(&self) -> Result<(), String> {
        let mut used = 0.0;
        let quiet = async {
            loop {
                let before = self.sample("process_cpu_seconds_total").await?;
                tokio::time::sleep(QUIET_INTERVAL).await;
                used = self.sample("process_cpu_seconds_total").await? - before;
                if used < QUIET_CPU_SECONDS {
                    return Ok(());
                }
            }
        };
        tokio::time::timeout(LEEWAY, quiet)
            .await
            .unwrap_or_else(|_| Err(format!("used {used} s of CPU time in {QUIET_INTERVAL:?}")))
    }

    /// Sends SIGTERM; checks that the process exits with 0 within `limit`.
    pub(super) async fn stop(mut self, limit: Duration) -> Result<(), String> {
        self.program.terminate();
        let ended = async { (self.program.remaining_errors().await, self.program.status().await) };
        match within("the end of the process after SIGTERM", limit + LEEWAY, ended).await? {
            (remaining_errors, Some(0)) if !remaining_errors.lines().any(is_panic) => Ok(()),
            other => Err(format!("the process ended with {other:?}")),
        }
    }

    /// Checks that the instance serves, is quiet and stops in time.
    pub(super) async fn stops_cleanly(self) -> Result<(), String> {
        self.answers().await?;
        self.is_quiet().await?;
        self.stop(DRAIN_TIMEOUT + WRITE_TIMEOUT).await
    }
}

/// Returns whether a line reports a panic. A debug build of h2 asserts that no stream is left when a connection is
/// dropped, which is not a fault (hyperium/h2#907); a release build does not.
fn is_panic(line: &str) -> bool {
    line.contains("panicked at") && !line.contains("/proto/streams/counts.rs:")
}

/// Awaits a future for a limited time; the error names `what`.
pub(super) async fn within<T>(
    what: &str,
    limit: Duration,
    happens: impl Future<Output = T>,
) -> Result<T, String> {
    tokio::time::timeout(limit, happens).await.map_err(|_| format!("{what} did not happen within {limit:?}"))
}
