//! The middlewares around all routes: the access log with the request ids, and CORS with the token cookie.

mod access_log;
mod cors;
mod token_cookie;

pub use self::cors::CrossOrigin;
pub(super) use self::{
    access_log::{AccessLog, RequestId, StreamLog},
    cors::ByPolicy,
};
