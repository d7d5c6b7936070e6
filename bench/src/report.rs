//! The report of a run.

use std::fmt;

use serde::Serialize;
use serde_json::json;

/// Prints a report as text or as one line of JSON.
#[expect(clippy::print_stdout, reason = "what it is asked for")]
pub(crate) fn print(report: &(impl fmt::Display + Serialize), json: bool) {
    if json {
        println!("{}", json!(report));
    } else {
        print!("{report}");
    }
}

/// Printed when the streams are open and another process may publish.
#[derive(Serialize)]
pub(crate) struct Open {
    pub(crate) open: usize,
}

impl fmt::Display for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "open           {} streams", self.open)
    }
}

/// The figures of a run. Figures that do not apply are missing.
#[derive(Default, Serialize)]
pub(crate) struct Report {
    pub(crate) mode: &'static str,
    pub(crate) streams: usize,
    pub(crate) users: usize,
    /// Events per second; `None` for as fast as NATS accepted them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<u32>,
    pub(crate) expected: u64,
    pub(crate) arrived: u64,
    pub(crate) out_of_order: u64,
    pub(crate) lost_streams: u64,
    /// The time from the first publication to the last arrival, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) duration: Option<f64>,
    /// The time from publication to arrival, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) latency: Option<Latency>,
    /// The number of connections that have resumed a TLS session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resumed: Option<u64>,
    /// The server's CPU time to open one stream, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu_to_open: Option<f64>,
    /// The server's CPU time for each event on each stream, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu_to_deliver: Option<f64>,
    /// The server's CPU time for each event of another service, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu_to_pass_over: Option<f64>,
    /// The server's CPU time for each second with idle streams, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu_while_idle: Option<f64>,
    /// The number of comments on idle streams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) comments: Option<u64>,
    /// The server's CPU time for each comment on an idle stream, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu_to_comment: Option<f64>,
    /// The server's memory for each stream, in KiB: at the end, less that before the first stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory_of_a_stream: Option<f64>,
    /// The server's memory at the end, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory: Option<f64>,
}

/// Percentiles, in microseconds.
#[derive(Serialize)]
pub(crate) struct Latency {
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) max: u64,
}

impl Report {
    /// Returns whether each event arrived once and in order.
    pub(crate) fn is_complete(&self) -> bool {
        self.arrived == self.expected && self.out_of_order == 0 && self.lost_streams == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { streams, users, expected, arrived, out_of_order, lost_streams, .. } = self;
        writeln!(f, "streams        {streams} of {users} users")?;
        writeln!(f, "arrived        {arrived} of {expected}, {out_of_order} of them duplicate or late")?;
        writeln!(f, "lost streams   {lost_streams}")?;
        if let Some(Latency { p50, p99, max }) = self.latency {
            writeln!(f, "latency        p50 {p50} µs, p99 {p99} µs, at most {max} µs")?;
        }
        if let Some(duration) = self.duration {
            writeln!(f, "duration       {duration:.3} s from the first publication to the last arrival")?;
        }
        if let Some(resumed) = self.resumed {
            writeln!(f, "resumed        {resumed} TLS sessions")?;
        }
        if let Some(cpu) = self.cpu_to_open {
            writeln!(f, "CPU to open    {cpu:.1} µs a stream")?;
        }
        if let Some(cpu) = self.cpu_to_deliver {
            writeln!(f, "CPU to deliver {cpu:.2} µs an event on a stream")?;
        }
        if let Some(cpu) = self.cpu_to_pass_over {
            writeln!(f, "CPU to pass    {cpu:.2} µs an event of another service")?;
        }
        if let Some(cpu) = self.cpu_while_idle {
            writeln!(f, "CPU while idle {cpu:.0} µs a second")?;
        }
        if let Some(comments) = self.comments {
            writeln!(f, "comments       {comments}")?;
        }
        if let Some(cpu) = self.cpu_to_comment {
            writeln!(f, "CPU to comment {cpu:.2} µs a comment on a stream")?;
        }
        if let (Some(each), Some(memory)) = (self.memory_of_a_stream, self.memory) {
            writeln!(f, "memory         {each:.2} KiB a stream, {memory:.1} MiB in all")?;
        }
        Ok(())
    }
}
