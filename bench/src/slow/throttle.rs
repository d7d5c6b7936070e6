//! A constant read rate.

use std::{num::NonZeroU64, time::Duration};

/// The limit of lateness that a client makes up for, in nanoseconds.
const CATCH_UP_NANOS: u64 = 100_000_000;
/// The minimum and maximum bytes of a single read: a packet of an Ethernet, and the receive buffer.
const MIN_READ_BYTES: usize = 1460;
const MAX_READ_BYTES: usize = 16 * 1024;
/// The number of reads per second, within these limits.
const READS_PER_SECOND: u64 = 50;

/// Determines the pauses of a client between reads.
pub(super) struct Throttle {
    bytes_per_second: NonZeroU64,
    /// The time at which all bytes read so far were due, in nanoseconds.
    due: u64,
}

impl Throttle {
    pub(super) fn new(bytes_per_second: NonZeroU64) -> Self {
        Self { bytes_per_second, due: 0 }
    }

    /// Returns the maximum size of a single read, in bytes.
    pub(super) fn read_bytes(&self) -> usize {
        let bytes = self.bytes_per_second.get() / READS_PER_SECOND;
        usize::try_from(bytes).unwrap_or(MAX_READ_BYTES).clamp(MIN_READ_BYTES, MAX_READ_BYTES)
    }

    /// Returns the pause after `bytes` were read at `now`. A client that had nothing to read does not read faster
    /// afterwards.
    pub(super) fn pause(&mut self, bytes: usize, now: u64) -> Duration {
        let taken = (bytes as u64).saturating_mul(1_000_000_000) / self.bytes_per_second;
        self.due = self.due.max(now.saturating_sub(CATCH_UP_NANOS)) + taken;
        Duration::from_nanos(self.due.saturating_sub(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn throttle(bytes_per_second: u64) -> Throttle {
        Throttle::new(NonZeroU64::new(bytes_per_second).expect("not zero"))
    }

    /// Returns the bytes read in ten seconds by a client that wakes up `late` nanoseconds after each pause.
    fn read_in_ten_seconds(bytes_per_second: u64, late: u64) -> u64 {
        let mut throttle = throttle(bytes_per_second);
        let (begin, mut read) = (100 * SECOND, 0);
        let mut now = begin;
        while now < begin + 10 * SECOND {
            let bytes = throttle.read_bytes();
            read += bytes as u64;
            let pause = throttle.pause(bytes, now);
            now += u64::try_from(pause.as_nanos()).expect("short") + late;
        }
        read
    }

    #[test]
    fn late_wakeups_keep_the_rate() {
        for rate in [5_000, 250_000, 1_000_000] {
            for late in [0, 2_000_000] {
                let read = read_in_ten_seconds(rate, late);
                assert!(read >= rate * 10 && read <= rate * 10 + rate / 2 + 1460, "{rate}, {late}: {read}");
            }
        }
    }

    #[test]
    fn silence_is_not_compensated() {
        let mut throttle = throttle(1000);
        throttle.pause(1000, 100 * SECOND);
        assert_eq!(throttle.pause(1000, 200 * SECOND), Duration::from_millis(900));
        assert_eq!(throttle.pause(1000, 200 * SECOND), Duration::from_millis(1900));
    }
}
