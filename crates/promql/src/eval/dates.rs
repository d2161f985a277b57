//! Parts of a date, in UTC and the Gregorian calendar.

/// Seconds of a day.
const DAY: i64 = 86_400;

/// Whether it is a function of a date.
pub(super) fn is_one(name: &str) -> bool {
    matches!(
        name,
        "day_of_month"
            | "day_of_week"
            | "day_of_year"
            | "days_in_month"
            | "hour"
            | "minute"
            | "month"
            | "year"
    )
}

/// A part of the date that is `seconds` after 1970 began.
#[allow(clippy::cast_precision_loss, reason = "parts of a date")]
pub(super) fn part(name: &str, seconds: f64) -> f64 {
    if !seconds.is_finite() {
        return f64::NAN;
    }
    let seconds = seconds as i64;
    let (day, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let (year, month, day_of_month) = date(day);
    let part = match name {
        "day_of_month" => day_of_month,
        // 1970 began on a Thursday, and weeks on Sunday.
        "day_of_week" => (day + 4).rem_euclid(7),
        "day_of_year" => day - days(year, 1) + 1,
        "days_in_month" => {
            let (year_after, month_after) = if month == 12 {
                (year + 1, 1)
            } else {
                (year, month + 1)
            };
            days(year_after, month_after) - days(year, month)
        }
        "hour" => second / 3600,
        "minute" => second / 60 % 60,
        "month" => month,
        _ => year,
    };
    part as f64
}

/// Days from the beginning of 1970 to that of a month. Years are taken to begin in March, so that the leap day is the last.
fn days(year: i64, month: i64) -> i64 {
    let (year, months) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    365 * year + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * months + 2) / 5
        - 719_468
}

/// Year, month and day of the month of a day, counted from the beginning of 1970.
fn date(day: i64) -> (i64, i64, i64) {
    // A first guess by the mean length of a year is at most one off.
    let guess = 1970 + (day.saturating_mul(400)).div_euclid(146_097);
    let year = if day < days(guess, 1) {
        guess - 1
    } else if day >= days(guess + 1, 1) {
        guess + 1
    } else {
        guess
    };
    let month = (2..=12)
        .take_while(|month| day >= days(year, *month))
        .last()
        .unwrap_or(1);
    (year, month, day - days(year, month) + 1)
}
