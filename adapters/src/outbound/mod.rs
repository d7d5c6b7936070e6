//! What the application needs, from the world.

pub mod clock;
pub mod embedded;
pub mod host;
pub mod jwt;
pub mod nats;
pub mod prometheus;
