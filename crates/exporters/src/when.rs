//! What time it is, and how that is written.

use std::time::{SystemTime, UNIX_EPOCH};

/// The system's time in nanoseconds since 1970; a clock before that counts as 1970.
pub(crate) fn unix_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// A time as RFC 3339 has it, in UTC and to the millisecond.
pub(crate) fn rfc3339(unix_nanos: u64) -> String {
    let ms = unix_nanos / 1_000_000;
    let (days, in_day) = (ms / 86_400_000, ms % 86_400_000);
    let (year, month, day) = date(days);
    let (hour, minute) = (in_day / 3_600_000, in_day / 60_000 % 60);
    let (second, ms) = (in_day / 1_000 % 60, in_day % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// Year, month and day that many days after the first of January 1970, in the Gregorian calendar. Years are counted from
/// March on, so that the leap day is a year's last (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
const fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + (month <= 2) as u64, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(unix_s: u64, text: &str) {
        assert_eq!(rfc3339(unix_s * 1_000_000_000 + 7_900_000), format!("{text}.007Z"));
    }

    #[test]
    fn times_are_written_in_utc() {
        check(0, "1970-01-01T00:00:00");
        check(951_782_400, "2000-02-29T00:00:00");
        check(951_868_799, "2000-02-29T23:59:59");
        check(1_709_210_096, "2024-02-29T12:34:56");
        check(1_735_689_599, "2024-12-31T23:59:59");
        check(4_107_542_400, "2100-03-01T00:00:00");
    }

    #[test]
    fn days_follow_each_other() {
        let mut last = date(0);
        for days in 1..200_000 {
            let next = date(days);
            let same_month = (last.0, last.1, last.2 + 1);
            let next_month = (last.0 + last.1 / 12, last.1 % 12 + 1, 1);
            assert!(next == same_month || (next == next_month && last.2 >= 28), "{last:?} → {next:?}");
            last = next;
        }
    }
}
