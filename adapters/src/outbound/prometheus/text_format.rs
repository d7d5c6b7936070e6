//! The text format of Prometheus (0.0.4), which every scraper and `promtool` read. The library writes `OpenMetrics` instead, which has the
//! same samples, but other descriptions.

use std::{collections::HashMap, fmt::Write as _};

/// The media type of the text format.
pub(super) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Converts `OpenMetrics` to the text format. Counters are described by the names of their samples, an info metric becomes a gauge, and
/// units and the end marker are left out.
pub(super) fn from_open_metrics(open_metrics: &str) -> String {
    let types: HashMap<&str, &str> =
        open_metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let mut page = String::with_capacity(open_metrics.len());
    for line in open_metrics.lines() {
        let description = line.strip_prefix("# ").map(|line| line.splitn(3, ' ').collect::<Vec<_>>());
        let (keyword, name, rest) = match description.as_deref() {
            None => {
                page += line;
                page.push('\n');
                continue;
            }
            Some([keyword @ ("HELP" | "TYPE"), name, rest]) => (*keyword, *name, *rest),
            Some(_) => continue,
        };
        let (suffix, kind) = match types.get(name).copied() {
            Some("counter") => ("_total", "counter"),
            Some("info") => ("_info", "gauge"),
            Some(kind) => ("", kind),
            None => ("", "untyped"),
        };
        let rest = if keyword == "TYPE" { kind } else { rest };
        // Writing to a String does not fail.
        writeln!(page, "# {keyword} {name}{suffix} {rest}").ok();
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_have_the_names_of_their_samples() {
        let open_metrics = "# HELP a_seconds Some time.\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\n\
                            a_seconds_total 1\n# HELP b Info.\n# TYPE b info\nb_info{v=\"# x\"} 1\n\
                            # HELP c Gauge.\n# TYPE c gauge\nc 2\n# EOF\n";
        let expected = "# HELP a_seconds_total Some time.\n# TYPE a_seconds_total counter\na_seconds_total 1\n\
                        # HELP b_info Info.\n# TYPE b_info gauge\nb_info{v=\"# x\"} 1\n\
                        # HELP c Gauge.\n# TYPE c gauge\nc 2\n";
        assert_eq!(from_open_metrics(open_metrics), expected);
    }
}
