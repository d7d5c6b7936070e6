//! A constant rate of reading.

use std::{num::NonZeroU64, time::Duration};

/// A client is awake a little late; it makes up for no more than this, in nanoseconds.
const CATCH_UP_NANOS: u64 = 100_000_000;
/// Least and most bytes of a single read: a packet of an Ethernet, and the receive buffer.
const MIN_READ_BYTES: usize = 1460;
const MAX_READ_BYTES: usize = 16 * 1024;
/// Reads in a second, as far as the bytes of each allow.
const READS_PER_SECOND: u64 = 50;

/// Decides when a client reads next.
pub(super) struct Throttle {
    bytes_per_second: NonZeroU64,
    /// When all that was read so far was due to be read, in nanoseconds.
    due: u64,
}

impl Throttle {
    pub(super) fn new(bytes_per_second: NonZeroU64) -> Self {
        Self { bytes_per_second, due: 0 }
    }

    /// How many bytes a single read takes at most.
    pub(super) fn read_bytes(&self) -> usize {
        let bytes = self.bytes_per_second.get() / READS_PER_SECOND;
        usize::try_from(bytes).unwrap_or(MAX_READ_BYTES).clamp(MIN_READ_BYTES, MAX_READ_BYTES)
    }

    /// Returns the pause after `bytes` that were read at `now`. A client that had nothing to read does not read faster afterwards.
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

    /// Bytes that a client reads within ten seconds that is awake `late` nanoseconds after each pause.
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
    fn rate_is_kept_by_a_client_that_is_awake_late() {
        for rate in [5_000, 250_000, 1_000_000] {
            for late in [0, 2_000_000] {
                let read = read_in_ten_seconds(rate, late);
                assert!(read >= rate * 10 && read <= rate * 10 + rate / 2 + 1460, "{rate}, {late}: {read}");
            }
        }
    }

    #[test]
    fn silence_is_not_made_up_for() {
        let mut throttle = throttle(1000);
        throttle.pause(1000, 100 * SECOND);
        assert_eq!(throttle.pause(1000, 200 * SECOND), Duration::from_millis(900));
        assert_eq!(throttle.pause(1000, 200 * SECOND), Duration::from_millis(1900));
    }
}
