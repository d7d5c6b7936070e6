//! Implementation of the port `Metrics`.

use std::time::Duration;

use domain::{
    gap::GapReason,
    log::{EndReason, Lag, LimitReached},
};
use ports::outbound::{AuthenticationFailure, Bucket, Metrics, Outcome};

use super::PrometheusMetrics;

impl PrometheusMetrics {
    fn set_open(&self, streams: usize, users: usize) {
        self.connections.set(i64::try_from(streams).unwrap_or(i64::MAX));
        self.users.set(i64::try_from(users).unwrap_or(i64::MAX));
    }
}

impl Metrics for PrometheusMetrics {
    fn stream_opened(&self, streams: usize, users: usize) {
        self.set_open(streams, users);
        self.opened.inc();
    }

    fn stream_closed(&self, reason: EndReason, streams: usize, users: usize) {
        self.set_open(streams, users);
        self.closed.count(reason);
    }

    fn event_received(&self, outcome: Outcome) {
        self.received.count(outcome);
    }

    fn translations_unreadable(&self, translations: usize) {
        self.translations_unreadable.inc_by(translations as u64);
    }

    fn delivered(&self, streams: usize) {
        self.deliveries.inc_by(streams as u64);
    }

    fn delivery_completed(&self, latency: Duration) {
        self.latency.observe(latency);
    }

    fn replayed(&self) {
        self.replayed.inc();
    }

    fn gap_reported(&self, reason: GapReason) {
        self.gaps.count(reason);
    }

    fn limit_reached(&self, limit: LimitReached) {
        self.limited.count(limit);
    }

    fn nats_lag(&self, messages: u64) {
        self.lag.set(i64::try_from(messages).unwrap_or(i64::MAX));
    }

    #[expect(clippy::cast_precision_loss, reason = "the buckets are far apart")]
    fn lagging(&self, Lag { events, bytes }: Lag) {
        self.lag_events.observe(events as f64);
        self.lag_bytes.observe(bytes as f64);
    }

    fn keepalive_sent(&self) {
        self.keepalives.inc();
    }

    fn nats_connected(&self, connected: bool) {
        self.connected.set(i64::from(connected));
    }

    fn bucket_available(&self, bucket: Bucket, available: bool) {
        if let Some(gauge) = self.unavailable.get(bucket) {
            gauge.set(i64::from(!available));
        }
    }

    fn ticket_issued(&self) {
        self.tickets.inc();
    }

    fn authentication_failed(&self, reason: AuthenticationFailure) {
        self.rejected.count(reason);
    }

    fn log_line_dropped(&self) {
        self.log_lines_dropped.inc();
    }
}
