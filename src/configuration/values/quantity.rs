//! Numbers, durations and sizes.

use std::{num::NonZeroU32, str::FromStr, time::Duration};

use domain::drain::DrainRate;

/// A whole number that is at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(pub usize);

impl FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(0) => Err("must be at least 1".into()),
            Ok(number) => Ok(Self(number)),
            Err(_) => Err("is not a whole number".into()),
        }
    }
}

/// A whole number of streams a second that is at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub DrainRate);

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Count(streams) = text.parse()?;
        let streams = u32::try_from(streams).ok().and_then(NonZeroU32::new).ok_or("is too large")?;
        Ok(Self(DrainRate::per_second(streams)))
    }
}

/// Maximum duration: a hundred years. A longer one is an error, and sums of shorter ones do not overflow.
const MAX_DURATION: Duration = Duration::from_hours(100 * 365 * 24);

/// A duration in the syntax of Go: `1m30s`, `500ms`, `0s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoDuration(pub Duration);

impl FromStr for GoDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (is_negative, text) = match text.strip_prefix('-') {
            Some(text) => (true, text),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if text == "0" {
            return Ok(Self(Duration::ZERO));
        }
        let mut rest = text;
        let mut total = Duration::ZERO;
        while !rest.is_empty() {
            let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let (number, after) = rest.split_at(number_end);
            let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
            let (unit, after) = after.split_at(unit_end);
            rest = after;
            let seconds = match unit {
                "ns" => 1e-9,
                "us" | "µs" | "μs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "" => return Err("is not a duration: it has no unit (ms, s, m, h)".into()),
                _ => return Err(format!("is not a duration: {unit:?} is not a unit (ms, s, m, h)")),
            };
            let number: f64 =
                number.parse().map_err(|_| format!("is not a duration: {number:?} is not a number"))?;
            let part = Duration::try_from_secs_f64(number * seconds).ok();
            total = part.and_then(|part| total.checked_add(part)).ok_or("is too long")?;
        }
        match total {
            _ if text.is_empty() => Err("is empty, not a duration".into()),
            total if is_negative && !total.is_zero() => Err("is negative".into()),
            total if total > MAX_DURATION => Err("is too long".into()),
            total => Ok(Self(total)),
        }
    }
}

/// Maximum timeout: one year. The timers accept up to two years.
const MAX_TIMEOUT: Duration = Duration::from_hours(365 * 24);

/// A timeout. It is longer than zero, because nothing could be done in no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout(pub Duration);

impl FromStr for Timeout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse()? {
            GoDuration(Duration::ZERO) => Err("must be longer than 0s".into()),
            GoDuration(time) if time > MAX_TIMEOUT => Err("is too long".into()),
            GoDuration(time) => Ok(Self(time)),
        }
    }
}

/// A number of bytes, with or without a unit: `4096`, `64KiB`, `1MiB`, `2GB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub usize);

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let factor: usize = match unit.trim() {
            "" | "B" => 1,
            "kB" | "KB" => 1000,
            "KiB" => 1 << 10,
            "MB" => 1_000_000,
            "MiB" => 1 << 20,
            "GB" => 1_000_000_000,
            "GiB" => 1 << 30,
            unit => return Err(format!("is not a number of bytes: {unit:?} is not a unit (KiB, MiB, GiB)")),
        };
        let number: usize = number.parse().map_err(|_| "is not a number of bytes")?;
        number.checked_mul(factor).map(Self).ok_or_else(|| "is too large".into())
    }
}

/// Maximum user timeout. The kernel accepts up to 32,767 s as the time before the first keepalive probe (`TCP_KEEPIDLE`), which is up to
/// half of the user timeout.
const MAX_USER_TIMEOUT: Duration = Duration::from_secs(2 * 32_767);

/// A timeout for the acknowledgement of sent data that the kernel accepts (`TCP_USER_TIMEOUT`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserTimeout(pub Duration);

impl FromStr for UserTimeout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse()? {
            Timeout(time) if time > MAX_USER_TIMEOUT => {
                Err("is too long for the kernel, which accepts up to 18h12m14s".into())
            }
            Timeout(time) => Ok(Self(time)),
        }
    }
}

/// Maximum size of a send buffer, in bytes. The kernel doubles the size and counts in 31 bits.
const MAX_SEND_BUFFER: usize = (1 << 30) - 1;

/// The size of a send buffer in the kernel, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendBuffer(pub usize);

impl FromStr for SendBuffer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse()? {
            Bytes(bytes) if bytes > MAX_SEND_BUFFER => {
                Err("is too large for the kernel, which accepts less than 1GiB".into())
            }
            Bytes(bytes) => Ok(Self(bytes)),
        }
    }
}

/// Maximum reconnection time. Timers of browsers count milliseconds in 31 bits, and jitter lengthens the time by up to half.
const MAX_RECONNECTION_TIME: Duration = Duration::from_hours(16 * 24);

/// The time that browsers wait before they reconnect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReconnectionTime(pub Duration);

impl FromStr for ReconnectionTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse()? {
            GoDuration(time) if time > MAX_RECONNECTION_TIME => {
                Err("is too long for browsers, which accept up to 384h".into())
            }
            GoDuration(time) => Ok(Self(time)),
        }
    }
}

/// Minimum age that NATS accepts.
const MIN_AGE_IN_NATS: Duration = Duration::from_millis(100);

/// The age after which NATS removes an entry, or zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgeInNats(pub Duration);

impl FromStr for AgeInNats {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse()? {
            GoDuration(time) if !time.is_zero() && time < MIN_AGE_IN_NATS => {
                Err("is too short for NATS, which accepts 100ms or more".into())
            }
            GoDuration(time) => Ok(Self(time)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::check, *};

    #[test]
    fn rate_is_a_whole_number_of_streams_a_second() {
        let rate = |streams| Ok(Rate(DrainRate::per_second(NonZeroU32::new(streams).expect("not zero"))));
        check("20", rate(20));
        check("4294967295", rate(u32::MAX));
        check::<Rate>("4294967296", Err("is too large"));
        check::<Rate>("0", Err("must be at least 1"));
        for text in ["0.5", "-1", "20/s", "off"] {
            check::<Rate>(text, Err("is not a whole number"));
        }
    }

    #[test]
    fn duration_has_syntax_of_go() {
        let ms = |milliseconds| Ok(GoDuration(Duration::from_millis(milliseconds)));
        check("0s", ms(0));
        check("0", ms(0));
        check("500ms", ms(500));
        check("1m30s", ms(90_000));
        check("1.5h", ms(5_400_000));
        check("2h45m30.5s", ms(9_930_500));
        check::<GoDuration>("30", Err("is not a duration: it has no unit (ms, s, m, h)"));
        check::<GoDuration>("", Err("is empty, not a duration"));
        for (text, milliseconds) in
            [("+5s", 5_000), ("+0", 0), ("-0", 0), ("-0s", 0), (".5s", 500), ("5.s", 5_000)]
        {
            check(text, ms(milliseconds));
        }
        check::<GoDuration>("-1s", Err("is negative"));
        check::<GoDuration>("+-1s", Err("is not a duration: \"-\" is not a unit (ms, s, m, h)"));
        check::<GoDuration>("+", Err("is empty, not a duration"));
        check::<GoDuration>("1d", Err("is not a duration: \"d\" is not a unit (ms, s, m, h)"));
        check::<GoDuration>("1..5s", Err("is not a duration: \"1..5\" is not a number"));
        check::<GoDuration>("99999999999999999999h", Err("is too long"));
        check::<GoDuration>("1000000h", Err("is too long"));
    }

    #[test]
    fn timeout_is_longer_than_zero() {
        check("30s", Ok(Timeout(Duration::from_secs(30))));
        check::<Timeout>("0s", Err("must be longer than 0s"));
        check("8760h", Ok(Timeout(Duration::from_hours(8760))));
        check::<Timeout>("8761h", Err("is too long"));
        check::<Timeout>("30", Err("is not a duration: it has no unit (ms, s, m, h)"));
    }

    #[test]
    fn bytes_may_have_a_unit() {
        check("4096", Ok(Bytes(4096)));
        check("1MiB", Ok(Bytes(1 << 20)));
        check("2 GB", Ok(Bytes(2_000_000_000)));
        check::<Bytes>("MiB", Err("is not a number of bytes"));
        check::<Bytes>("1 potato", Err("is not a number of bytes: \"potato\" is not a unit (KiB, MiB, GiB)"));
        check::<Bytes>("99999999999999999GiB", Err("is too large"));
    }

    #[test]
    fn limits_of_kernel_nats_and_browsers_apply() {
        check("18h12m14s", Ok(UserTimeout(Duration::from_secs(65_534))));
        check::<UserTimeout>("28h", Err("is too long for the kernel, which accepts up to 18h12m14s"));
        check("1073741823", Ok(SendBuffer(1_073_741_823)));
        check::<SendBuffer>("1GiB", Err("is too large for the kernel, which accepts less than 1GiB"));
        check("384h", Ok(ReconnectionTime(Duration::from_hours(384))));
        check::<ReconnectionTime>("385h", Err("is too long for browsers, which accept up to 384h"));
        check("0s", Ok(AgeInNats(Duration::ZERO)));
        check("100ms", Ok(AgeInNats(Duration::from_millis(100))));
        check::<AgeInNats>("99ms", Err("is too short for NATS, which accepts 100ms or more"));
    }
}
