//! Functions of times. Times are in UTC.

use jiff::civil::{DateTime, Weekday};
use jiff::{Span, ToSpan as _, Unit};
use rusqlite::types::Value as Cell;

use crate::function::{Argument, FunctionError, Run};
use crate::timestamp;

type Result<T> = std::result::Result<T, FunctionError>;

pub(crate) const TABLE: &[(&str, Run)] = &[
    ("date", |a| time(a, 0).map(|time| time.map_or(Cell::Null, |time| Cell::Text(timestamp::date_text(time))))),
    ("date_add", date_add),
    ("date_diff", date_diff),
    ("date_format", |a| {
        let (Some(time), Some(format)) = (civil(a, 0)?, a.get(1)) else { return Ok(Cell::Null) };
        Ok(Cell::Text(time.strftime(&mysql_format(&format.text())).to_string()))
    }),
    ("date_parse", |a| {
        let [text, format] = a else { return Ok(Cell::Null) };
        let parsed = jiff::fmt::strtime::parse(mysql_format(&format.text()), text.text());
        let civil =
            parsed.ok().and_then(|parsed| parsed.to_datetime().ok().or_else(|| parsed.to_date().ok().map(|date| date.at(0, 0, 0, 0))));
        let time = civil.and_then(timestamp::of_civil).ok_or(FunctionError::Value("date_parse"))?;
        Ok(Cell::Text(timestamp::text(time)))
    }),
    ("date_trunc", date_trunc),
    ("day", |a| part(a, |time| i64::from(time.day()))),
    ("day_of_month", |a| part(a, |time| i64::from(time.day()))),
    ("day_of_week", |a| part(a, |time| i64::from(time.weekday().to_monday_one_offset()))),
    ("day_of_year", |a| part(a, |time| i64::from(time.day_of_year()))),
    ("dow", |a| part(a, |time| i64::from(time.weekday().to_monday_one_offset()))),
    ("doy", |a| part(a, |time| i64::from(time.day_of_year()))),
    ("from_iso8601_date", |a| time(a, 0).map(|time| time.map_or(Cell::Null, |time| Cell::Text(timestamp::date_text(time))))),
    ("from_iso8601_timestamp", |a| time(a, 0).map(|time| time.map_or(Cell::Null, |time| Cell::Text(timestamp::text(time))))),
    ("from_unixtime", |a| {
        let seconds = a.first().and_then(|value| value.text().parse::<f64>().ok()).filter(|seconds| seconds.abs() < 2.0e11);
        #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
        let time_ms = seconds.map(|seconds| (seconds * 1000.0).round() as i64);
        Ok(time_ms.map_or(Cell::Null, |time_ms| Cell::Text(timestamp::text(time_ms))))
    }),
    ("hour", |a| part(a, |time| i64::from(time.hour()))),
    ("last_day_of_month", |a| {
        Ok(civil(a, 0)?.map_or(Cell::Null, |time| Cell::Text(time.date().last_of_month().strftime("%Y-%m-%d").to_string())))
    }),
    ("millisecond", |a| part(a, |time| i64::from(time.millisecond()))),
    ("minute", |a| part(a, |time| i64::from(time.minute()))),
    ("month", |a| part(a, |time| i64::from(time.month()))),
    ("quarter", |a| part(a, |time| i64::from((time.month() - 1) / 3 + 1))),
    ("second", |a| part(a, |time| i64::from(time.second()))),
    ("to_iso8601", |a| Ok(civil(a, 0)?.map_or(Cell::Null, |time| Cell::Text(time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())))),
    ("to_unixtime", |a| {
        #[expect(clippy::cast_precision_loss, reason = "a double is asked for")]
        Ok(time(a, 0)?.map_or(Cell::Null, |time_ms| Cell::Real(time_ms as f64 / 1000.0)))
    }),
    ("week", |a| part(a, |time| i64::from(time.date().iso_week_date().week()))),
    ("week_of_year", |a| part(a, |time| i64::from(time.date().iso_week_date().week()))),
    ("year", |a| part(a, |time| i64::from(time.year()))),
    ("year_of_week", |a| part(a, |time| i64::from(time.date().iso_week_date().year()))),
];

fn time(a: &[Argument], at: usize) -> Result<Option<i64>> {
    let Some(value) = a.get(at) else { return Ok(None) };
    timestamp::parse(&value.text()).map(Some).ok_or(FunctionError::Value("a function of times"))
}

fn civil(a: &[Argument], at: usize) -> Result<Option<DateTime>> {
    Ok(time(a, at)?.and_then(timestamp::civil))
}

fn part(a: &[Argument], of: fn(DateTime) -> i64) -> Result<Cell> {
    Ok(civil(a, 0)?.map_or(Cell::Null, |time| Cell::Integer(of(time))))
}

fn date_add(a: &[Argument]) -> Result<Cell> {
    let [unit, amount, _] = a else { return Ok(Cell::Null) };
    let Some(time) = civil(a, 2)? else { return Ok(Cell::Null) };
    let span = span(&unit.text(), amount.integer().unwrap_or_default())?;
    let sum = time.checked_add(span).ok().and_then(timestamp::of_civil).ok_or(FunctionError::Value("date_add"))?;
    Ok(Cell::Text(timestamp::text(sum)))
}

fn span(unit: &str, amount: i64) -> Result<Span> {
    let wrong = || FunctionError::Value("date_add");
    let span = Span::new();
    match unit.to_ascii_lowercase().as_str() {
        "millisecond" => span.try_milliseconds(amount),
        "second" => span.try_seconds(amount),
        "minute" => span.try_minutes(amount),
        "hour" => span.try_hours(amount),
        "day" => span.try_days(amount),
        "week" => span.try_weeks(amount),
        "month" => span.try_months(amount),
        "quarter" => span.try_months(amount.checked_mul(3).ok_or_else(wrong)?),
        "year" => span.try_years(amount),
        _ => return Err(wrong()),
    }
    .map_err(|_| wrong())
}

fn date_diff(a: &[Argument]) -> Result<Cell> {
    let Some(unit) = a.first().map(Argument::text) else { return Ok(Cell::Null) };
    let (Some(start), Some(end)) = (civil(a, 1)?, civil(a, 2)?) else { return Ok(Cell::Null) };
    let wrong = |_| FunctionError::Value("date_diff");
    let largest = match unit.to_ascii_lowercase().as_str() {
        "millisecond" => Unit::Millisecond,
        "second" => Unit::Second,
        "minute" => Unit::Minute,
        "hour" => Unit::Hour,
        "day" => Unit::Day,
        "week" => Unit::Week,
        "month" | "quarter" => Unit::Month,
        "year" => Unit::Year,
        _ => return Err(FunctionError::Value("date_diff")),
    };
    let span = start.until((largest, end)).map_err(wrong)?;
    Ok(Cell::Integer(match largest {
        Unit::Millisecond => span.get_milliseconds(),
        Unit::Second => span.get_seconds(),
        Unit::Minute => span.get_minutes(),
        Unit::Hour => i64::from(span.get_hours()),
        Unit::Day => i64::from(span.get_days()),
        Unit::Week => i64::from(span.get_weeks()),
        Unit::Year => i64::from(span.get_years()),
        _ if unit.eq_ignore_ascii_case("quarter") => i64::from(span.get_months()) / 3,
        _ => i64::from(span.get_months()),
    }))
}

fn date_trunc(a: &[Argument]) -> Result<Cell> {
    let Some(unit) = a.first().map(Argument::text) else { return Ok(Cell::Null) };
    let Some(time) = civil(a, 1)? else { return Ok(Cell::Null) };
    let date = time.date();
    let midnight = |date: jiff::civil::Date| date.at(0, 0, 0, 0);
    let wrong = |_| FunctionError::Value("date_trunc");
    let start = match unit.to_ascii_lowercase().as_str() {
        "second" => date.at(time.hour(), time.minute(), time.second(), 0),
        "minute" => date.at(time.hour(), time.minute(), 0, 0),
        "hour" => date.at(time.hour(), 0, 0, 0),
        "day" => midnight(date),
        "week" => {
            let back = i64::from(date.weekday().since(Weekday::Monday));
            midnight(date.checked_sub(back.days()).map_err(wrong)?)
        }
        "month" => midnight(date.first_of_month()),
        "quarter" => {
            let back = i64::from((date.month() - 1) % 3);
            midnight(date.first_of_month().checked_sub(back.months()).map_err(wrong)?)
        }
        "year" => midnight(date.first_of_year()),
        _ => return Err(FunctionError::Value("date_trunc")),
    };
    Ok(timestamp::of_civil(start).map_or(Cell::Null, |time| Cell::Text(timestamp::text(time))))
}

/// `date_format` writes its patterns as MySQL does; most letters mean the same in `strftime`.
fn mysql_format(format: &str) -> String {
    let mut translated = String::with_capacity(format.len());
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            translated.push(letter);
            continue;
        }
        match letters.next() {
            Some('i') => translated.push_str("%M"),
            Some('s') => translated.push_str("%S"),
            Some('f') => translated.push_str("%6f"),
            Some('T') => translated.push_str("%H:%M:%S"),
            Some('r') => translated.push_str("%I:%M:%S %p"),
            Some('c') => translated.push_str("%-m"),
            Some('e') => translated.push_str("%-d"),
            Some('k') => translated.push_str("%-H"),
            Some('h') => translated.push_str("%I"),
            Some('M') => translated.push_str("%B"),
            Some('W') => translated.push_str("%A"),
            Some(known @ ('a' | 'b' | 'd' | 'H' | 'I' | 'j' | 'm' | 'p' | 'S' | 'Y' | 'y' | '%')) => {
                translated.push('%');
                translated.push(known);
            }
            Some(other) => translated.push(other),
            None => {}
        }
    }
    translated
}
