//! Metrics of the Tokio runtime, read at each scrape.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, gauge::ConstGauge},
};
use tokio::runtime::Handle;

/// The collector of the metrics of the current runtime. Outside a runtime, there are none.
#[derive(Debug)]
pub(super) struct Runtime;

impl Collector for Runtime {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Ok(runtime) = Handle::try_current() else { return Ok(()) };
        let tasks = i64::try_from(runtime.metrics().num_alive_tasks()).unwrap_or(i64::MAX);
        let metric =
            encoder.encode_descriptor("tasks", "Live tasks of the Tokio runtime", None, MetricType::Gauge)?;
        ConstGauge::new(tasks).encode(metric)
    }
}
