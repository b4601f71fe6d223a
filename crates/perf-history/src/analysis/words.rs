//! Figures and names as they stand in sentences and tables.

use crate::{Arm, ModelId, Period, ShapeBucket, UnixMillis};

/// `firefox 153.0/wasm`, without a gap where the version is not known.
pub(crate) fn arm(arm: &Arm) -> String {
    if arm.browser_version.is_empty() { format!("{}/{}", arm.browser, arm.backend) } else { arm.to_string() }
}

/// `minilm (sequence=128)`.
pub(crate) fn workload(model: &ModelId, shape: &ShapeBucket) -> String {
    let version = if model.version.is_empty() { String::new() } else { format!(" {}", model.version) };
    match shape.as_str() {
        "" => format!("{}{version}", model.name),
        shape => format!("{}{version} ({shape})", model.name),
    }
}

/// Milliseconds with three digits that count: `0.52 ms`, `37.1 ms`, `11.2 s`.
#[must_use]
pub fn ms(ms: f64) -> String {
    match ms {
        ms if ms >= 99_950.0 => format!("{:.0} s", ms / 1e3),
        ms if ms >= 9_995.0 => format!("{:.1} s", ms / 1e3),
        ms if ms >= 999.5 => format!("{:.2} s", ms / 1e3),
        ms if ms >= 99.95 => format!("{ms:.0} ms"),
        ms if ms >= 9.995 => format!("{ms:.1} ms"),
        ms => format!("{ms:.2} ms"),
    }
}

/// A share as `99.2 %`; no more than it is, so that 99.97 % do not look like all.
pub(crate) fn share(share: f64) -> String {
    format!("{:.1} %", (share * 1_000.0 + 1e-9).floor() / 10.0)
}

/// How sure something is, as a number of per cent that is never 100.
pub(crate) fn sure(confidence: f64) -> String {
    match confidence * 100.0 {
        percent if percent >= 99.0 => "more than 99 %".to_owned(),
        percent if percent < 1.0 => "less than 1 %".to_owned(),
        percent => format!("{percent:.0} %"),
    }
}

/// A change in per cent, `+30 %` or `−4.2 %`.
#[must_use]
pub fn percent(percent: f64) -> String {
    let sign = if percent < 0.0 { '−' } else { '+' };
    let size = percent.abs();
    if size >= 1_000.0 {
        format!("{sign}{} %", count(size as u64))
    } else if size >= 10.0 {
        format!("{sign}{size:.0} %")
    } else if size >= 0.1 {
        format!("{sign}{size:.1} %")
    } else {
        format!("{sign}{size:.2} %")
    }
}

/// A probability: `0.012`, or `< 0.001`.
#[must_use]
pub fn probability(p: f64) -> String {
    if p < 0.001 { "< 0.001".to_owned() } else { format!("{p:.3}") }
}

/// A count with its thousands apart: `12 345`.
#[must_use]
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A time in UTC, `2026-02-16 14:00`.
#[must_use]
pub fn time(at: UnixMillis) -> String {
    let minutes = at.0.rem_euclid(Period::Day.ms()) / 60_000;
    format!("{} {:02}:{:02}", date(at), minutes / 60, minutes % 60)
}

/// A date in UTC, `2026-02-16`.
pub(crate) fn date(at: UnixMillis) -> String {
    // Howard Hinnant, "chrono-compatible low-level date algorithms", civil_from_days.
    let days = at.0.div_euclid(Period::Day.ms()) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(got: String, expected: &str) {
        assert_eq!(got, expected);
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        check(time(UnixMillis(0)), "1970-01-01 00:00");
        check(time(UnixMillis(951_782_400_000)), "2000-02-29 00:00");
        check(time(UnixMillis(1_796_000_000_000)), "2026-11-30 00:53");
        check(date(UnixMillis(-1)), "1969-12-31");
        check(date(UnixMillis(4_107_542_399_999)), "2100-02-28");
        // However absurd the time, it is written somehow.
        assert!(!time(UnixMillis(i64::MIN)).is_empty() && !time(UnixMillis(i64::MAX)).is_empty());
    }

    #[test]
    fn figures_have_the_digits_that_count() {
        check(ms(0.524), "0.52 ms");
        check(ms(37.06), "37.1 ms");
        check(ms(999.7), "1.00 s");
        check(ms(11_208.0), "11.2 s");
        check(share(0.999_7), "99.9 %");
        check(share(1.0), "100.0 %");
        check(sure(0.999_9), "more than 99 %");
        check(percent(-43.2), "−43 %");
        check(percent(0.034), "+0.03 %");
        check(count(1_234_567), "1\u{202f}234\u{202f}567");
        check(count(123), "123");
    }
}
