//! ocis-sse pushes events of Infinite Scale and OpenCloud to browsers.
//!
//! ARCHITECTURE.md describes the structure. The [`use_cases`] are implemented over the ports; [`composition`] connects the ports to adapters
//! as the [`configuration`] says; [`command_line`] parses the arguments.

pub mod command_line;
pub mod composition;
pub mod configuration;
pub mod use_cases;
