//! The page about rolling updates recommends timeouts that suffice.

use domain::drain;
use ocis_sse::configuration::{GoDuration, Rate};

const PAGE: &str = include_str!("../../docs/rolling-updates.md");

/// The number of streams in the page's table.
const STREAMS: u32 = 10_000;

#[test]
fn timeouts_suffice_for_the_rates() {
    let rows = PAGE.lines().filter_map(|line| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, rate, _, _, timeout, _] = cells[..] else { return None };
        Some((rate.parse::<Rate>().ok()?.0, timeout.trim_matches('`').parse::<GoDuration>().ok()?.0))
    });
    let rows: Vec<_> = rows.collect();
    assert_eq!(rows.len(), 4, "{rows:?}");
    for (rate, timeout) in rows {
        let (needed, available) = (rate.time_for(STREAMS), drain::ending_time(timeout));
        assert!(available >= needed, "{timeout:?} is too short for {rate:?}, which takes {needed:?}");
    }
}
