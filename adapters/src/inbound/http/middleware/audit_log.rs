//! The audit log: a line when a stream opens and a line when it ends.

use std::{net::IpAddr, sync::Arc, time::Instant};

use domain::{identity::UserId, log::EndReason};
use ipnet::IpNet;
use poem::Request;
use ports::{inbound::ContinuedStream, outbound::Clock};
use tokio::sync::watch;
use tracing::{Level, enabled, info};

use super::RequestId;
use crate::inbound::http::client_address::client_address;

/// Whether streams are logged, and which proxies say where a client is.
#[derive(Clone, Debug)]
pub struct AuditPolicy {
    /// Whether streams are logged.
    pub enabled: bool,
    /// The proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// The log of streams. Its policy may change while the service runs.
#[derive(Clone)]
pub(in crate::inbound::http) struct AuditLog {
    pub(in crate::inbound::http) policy: watch::Receiver<AuditPolicy>,
    pub(in crate::inbound::http) clock: Arc<dyn Clock>,
}

/// The entry of an open stream.
pub(in crate::inbound::http) struct AuditEntry {
    user: UserId,
    client: Option<IpAddr>,
    /// None for a request that bypassed the access log.
    request_id: Option<RequestId>,
    opened: Instant,
    clock: Arc<dyn Clock>,
    /// The number of events that the stream has taken.
    pub(in crate::inbound::http) events: u64,
    /// The number of bytes that the stream has taken.
    pub(in crate::inbound::http) bytes: u64,
}

impl AuditLog {
    /// Logs that a stream of `user` was opened. Returns its entry, or `None` if streams are not logged.
    pub(in crate::inbound::http) fn opened(&self, request: &Request, user: &UserId) -> Option<AuditEntry> {
        if !enabled!(Level::INFO) || !self.policy.borrow().enabled {
            return None;
        }
        let entry = AuditEntry {
            user: user.clone(),
            client: request.remote_addr().as_socket_addr().map(|peer| {
                client_address(peer.ip(), request.headers(), &self.policy.borrow().trusted_proxies)
            }),
            request_id: request.data::<RequestId>().cloned(),
            opened: self.clock.now(),
            clock: Arc::clone(&self.clock),
            events: 0,
            bytes: 0,
        };
        info!(
            { "request-id" } = entry.request_id.as_ref().map(display),
            user = entry.user.as_str(),
            client = entry.client.map(display),
            "stream opened"
        );
        Some(entry)
    }
}

impl AuditLog {
    /// Logs that a stream of another process is continued. Returns its entry, or `None` if streams are not logged. The other process has
    /// logged the address of the client.
    pub(in crate::inbound::http) fn continued(&self, stream: &ContinuedStream) -> Option<AuditEntry> {
        if !enabled!(Level::INFO) || !self.policy.borrow().enabled {
            return None;
        }
        let request_id = stream.continuation.resumable.as_ref().map(|resumable| &resumable.request);
        let entry = AuditEntry {
            user: stream.user.clone(),
            client: None,
            request_id: request_id.cloned().map(RequestId::FromClient),
            opened: self.clock.now(),
            clock: Arc::clone(&self.clock),
            events: 0,
            bytes: 0,
        };
        info!(
            { "request-id" } = entry.request_id.as_ref().map(display),
            user = entry.user.as_str(),
            "stream continued"
        );
        Some(entry)
    }
}

impl AuditEntry {
    /// Logs that the stream has ended.
    pub(in crate::inbound::http) fn ended(&self, reason: EndReason) {
        let duration = self.clock.now().saturating_duration_since(self.opened);
        info!(
            { "request-id" } = self.request_id.as_ref().map(display),
            user = self.user.as_str(),
            client = self.client.map(display),
            reason = reason.name(),
            duration = duration.as_secs_f64() * 1000.0,
            events = self.events,
            bytes = self.bytes,
            "stream ended"
        );
    }
}
