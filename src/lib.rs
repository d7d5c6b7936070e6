//! ocis-sse pushes the events of Infinite Scale and OpenCloud to people's browsers.
//!
//! ARCHITECTURE.md is the map. The [`use_cases`] stand over the ports; [`composition`] puts adapters behind them, as the
//! [`configuration`] says; the rest is what a process needs.

pub mod command_line;
pub mod composition;
pub mod configuration;
pub mod lifecycle;
pub mod telemetry;
pub mod use_cases;
