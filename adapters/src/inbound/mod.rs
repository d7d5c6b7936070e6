//! The adapters that drive the application.

pub mod debug;
pub mod demo;
pub mod http;
pub mod signals;
pub mod socket_activation;
