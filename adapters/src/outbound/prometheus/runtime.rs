//! What the runtime tells of itself when it is asked.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, gauge::ConstGauge},
};
use tokio::runtime::Handle;

/// The statistics of the runtime that the page is made on; none are shown where there is no runtime.
#[derive(Debug)]
pub(super) struct Runtime;

impl Collector for Runtime {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Ok(runtime) = Handle::try_current() else { return Ok(()) };
        let tasks = i64::try_from(runtime.metrics().num_alive_tasks()).unwrap_or(i64::MAX);
        let metric = encoder.encode_descriptor(
            "tasks",
            "Tasks of the runtime that are alive",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(tasks).encode(metric)
    }
}
