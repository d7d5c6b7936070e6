//! The standard `process_` metrics, read from `/proc` at each scrape.

use std::fmt;

use procfs::{
    WithCurrentSystemInfo as _,
    process::{LimitValue, Process as Proc},
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

/// The collector of the metrics of this process.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Ok(statistics) = Statistics::read() else { return Ok(()) };
        let cpu = encoder.encode_descriptor(
            "process_cpu",
            "CPU time of the process",
            Some(&Unit::Seconds),
            MetricType::Counter,
        )?;
        ConstCounter::new(statistics.cpu_seconds).encode(cpu)?;
        let mut gauge = |name: &str, help: &str, unit: Option<&Unit>, value: f64| {
            let metric = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
            ConstGauge::new(value).encode(metric)
        };
        let (seconds, bytes) = (Some(&Unit::Seconds), Some(&Unit::Bytes));
        gauge(
            "process_start_time",
            "Start time of the process, since 1970",
            seconds,
            statistics.start_seconds,
        )?;
        gauge("process_resident_memory", "Resident memory", bytes, statistics.resident_bytes)?;
        gauge("process_open_fds", "Open file descriptors", None, statistics.open_descriptors)?;
        gauge("process_max_fds", "Maximum number of open file descriptors", None, statistics.max_descriptors)
    }
}

struct Statistics {
    cpu_seconds: f64,
    start_seconds: f64,
    resident_bytes: f64,
    open_descriptors: f64,
    max_descriptors: f64,
}

#[expect(clippy::cast_precision_loss, reason = "all values in Prometheus are floating-point numbers")]
impl Statistics {
    fn read() -> procfs::ProcResult<Self> {
        let process = Proc::myself()?;
        let stat = process.stat()?;
        let ticks = procfs::ticks_per_second() as f64;
        let max_descriptors = match process.limits()?.max_open_files.soft_limit {
            LimitValue::Value(limit) => limit as f64,
            LimitValue::Unlimited => f64::INFINITY,
        };
        Ok(Self {
            cpu_seconds: (stat.utime + stat.stime) as f64 / ticks,
            start_seconds: procfs::boot_time_secs()? as f64 + stat.starttime as f64 / ticks,
            resident_bytes: stat.rss_bytes().get() as f64,
            open_descriptors: process.fd_count()? as f64,
            max_descriptors,
        })
    }
}
