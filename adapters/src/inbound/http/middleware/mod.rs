//! The middlewares around all routes: the access log with the request ids, and CORS with the token cookie. Beside them, the audit log of
//! streams.

mod access_log;
mod audit_log;
mod cors;
mod token_cookie;

pub(super) use self::{
    access_log::{AccessLog, RequestId},
    audit_log::{AuditEntry, AuditLog},
    cors::ByPolicy,
};
pub use self::{audit_log::AuditPolicy, cors::CrossOrigin};
