//! What a value of a parameter may be: reading it from text, and writing it back as CONFIG GET shows it.
//!
//! The texts of errors that Redis has too are Redis's.

use std::sync::Arc;

use quorate_keyspace::Events;

use super::output_limits::OutputLimits;

/// The type and range of a parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// `yes` or `no`.
    Bool,
    /// A whole number within a range.
    Integer {
        /// The least value.
        min: i64,
        /// The greatest value.
        max: i64,
        /// What it counts.
        unit: Unit,
    },
    /// A number with a fraction, within a range.
    Decimal {
        /// The least value.
        min: f64,
        /// The greatest value.
        max: f64,
    },
    /// One of these words.
    Enum(&'static [&'static str]),
    /// Any text.
    Text,
    /// Text that is not shown in logs and documents.
    Secret,
    /// An IP address.
    Address,
    /// Pairs of seconds and writes.
    SavePoints,
    /// Numbers from 0 to 100.
    Percentiles,
    /// Letters of classes of keyspace notifications.
    KeyspaceEvents,
    /// Bytes, or a percentage of something.
    BytesOrPercent,
    /// Limits of the replies that wait for slow clients, per class of clients.
    OutputLimits,
}

/// What an [integer](Kind::Integer) counts, hence how it may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things: `16`.
    Count,
    /// Seconds: `300`, `300s`.
    Seconds,
    /// Milliseconds: `5000`, `5000ms`, `5s`.
    Milliseconds,
    /// Bytes: `1048576`, `1mb`, `1gb`; `k`, `m`, `g` are powers of 1000, `kb`, `mb`, `gb` powers of 1024.
    Bytes,
}

/// A value, as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Setting {
    /// Of every kind that fits: integers themselves, decimals by their bits, enums by position, bools as 0 and 1,
    /// percentages below zero.
    Number(i64),
    /// Of the other kinds.
    Text(Arc<str>),
}

impl Kind {
    /// Reads a value. `current` is what it replaces: limits of output may be given for some classes only.
    pub(super) fn parse(&self, text: &str, current: &Setting) -> Result<Setting, String> {
        match *self {
            Self::Bool => parse_bool(text).map(|value| Setting::Number(value.into())),
            Self::Integer { min, max, unit } => within(unit.parse(text)?, min, max).map(Setting::Number),
            Self::Decimal { min, max } => parse_decimal(text, min, max),
            Self::Enum(words) => parse_enum(text, words).map(Setting::Number),
            Self::Text | Self::Secret => Ok(Setting::Text(text.into())),
            Self::Address => match text.parse::<std::net::IpAddr>() {
                Ok(address) => Ok(Setting::Text(address.to_string().into())),
                Err(_) => Err("argument must be one IP address".into()),
            },
            Self::SavePoints => parse_save_points(text).map(|text| Setting::Text(text.into())),
            Self::Percentiles => parse_percentiles(text).map(|text| Setting::Text(text.into())),
            Self::KeyspaceEvents => parse_events(text).map(|events| Setting::Text(events.text().into())),
            Self::BytesOrPercent => parse_bytes_or_percent(text).map(Setting::Number),
            Self::OutputLimits => {
                let mut limits = match current {
                    Setting::Text(text) => OutputLimits::parse(text).unwrap_or_default(),
                    Setting::Number(_) => OutputLimits::default(),
                };
                limits.update(text)?;
                Ok(Setting::Text(limits.to_string().into()))
            }
        }
    }

    /// The value as CONFIG GET shows it.
    pub(super) fn show(&self, setting: &Setting) -> String {
        let number = match setting {
            Setting::Text(text) => return text.to_string(),
            Setting::Number(number) => *number,
        };
        match self {
            Self::Bool => (if number == 0 { "no" } else { "yes" }).to_owned(),
            Self::BytesOrPercent if number < 0 => format!("{}%", number.unsigned_abs()),
            Self::Decimal { .. } => f64::from_bits(number.cast_unsigned()).to_string(),
            Self::Enum(words) => usize::try_from(number)
                .ok()
                .and_then(|at| words.get(at))
                .copied()
                .unwrap_or_default()
                .to_owned(),
            _ => number.to_string(),
        }
    }

    /// The values it takes, for people.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Bool => "`yes`, `no`".into(),
            Self::Integer { min, max, unit } => {
                format!("{} {} to {}", unit.describe(), unit.show(*min), unit.show(*max))
            }
            Self::Decimal { min, max } => format!("number, {min} to {max}"),
            Self::Enum(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
            Self::Text => "text".into(),
            Self::Secret => "text, secret".into(),
            Self::Address => "IP address".into(),
            Self::SavePoints => "`SECONDS WRITES` …".into(),
            Self::Percentiles => "numbers, 0 to 100".into(),
            Self::KeyspaceEvents => "letters of `Ag$lshzxetdnKE`".into(),
            Self::BytesOrPercent => "bytes, or `1%` to `100%`".into(),
            Self::OutputLimits => "`CLASS HARD SOFT SECONDS` …".into(),
        }
    }
}

impl Unit {
    fn parse(self, text: &str) -> Result<i64, String> {
        let number = match self {
            Self::Bytes => return parse_bytes(text).ok_or_else(|| "argument must be a memory value".into()),
            Self::Count => parse_integer(text),
            Self::Seconds => parse_integer(text.strip_suffix('s').unwrap_or(text)),
            Self::Milliseconds => match (text.strip_suffix("ms"), text.strip_suffix('s')) {
                (Some(ms), _) => parse_integer(ms),
                (None, Some(s)) => parse_integer(s).and_then(|s| s.checked_mul(1000)),
                (None, None) => parse_integer(text),
            },
        };
        number.ok_or_else(|| "argument couldn't be parsed into an integer".into())
    }

    /// A bound of a range, in the largest unit that divides it.
    fn show(self, number: i64) -> String {
        const BYTE_UNITS: [(i64, &str); 3] = [(1 << 30, "gb"), (1 << 20, "mb"), (1 << 10, "kb")];
        match self {
            Self::Bytes if number == i64::MAX => "2^63-1".into(),
            Self::Bytes => BYTE_UNITS
                .iter()
                .find(|(size, _)| number >= *size && number % size == 0)
                .map_or_else(|| number.to_string(), |(size, name)| format!("{}{name}", number / size)),
            _ => number.to_string(),
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::Count => "integer,",
            Self::Seconds => "seconds,",
            Self::Milliseconds => "milliseconds,",
            Self::Bytes => "bytes,",
        }
    }
}

fn parse_bool(text: &str) -> Result<bool, String> {
    if text.eq_ignore_ascii_case("yes") {
        Ok(true)
    } else if text.eq_ignore_ascii_case("no") {
        Ok(false)
    } else {
        Err("argument must be 'yes' or 'no'".into())
    }
}

fn parse_decimal(text: &str, min: f64, max: f64) -> Result<Setting, String> {
    match text.parse::<f64>() {
        Ok(number) if number >= min && number <= max => Ok(Setting::Number(number.to_bits().cast_signed())),
        Ok(_) => Err(format!("argument must be between {min} and {max} inclusive")),
        Err(_) => Err("argument couldn't be parsed into a number".into()),
    }
}

fn parse_enum(text: &str, words: &[&str]) -> Result<i64, String> {
    words
        .iter()
        .position(|word| word.eq_ignore_ascii_case(text))
        .and_then(|at| i64::try_from(at).ok())
        .ok_or_else(|| format!("argument(s) must be one of the following: {}", words.join(", ")))
}

/// `3600 1 300 100`, or nothing.
fn parse_save_points(text: &str) -> Result<String, String> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let least = [1, 0].into_iter().cycle();
    let is_valid = |(word, least): (&&str, i64)| parse_integer(word).is_some_and(|number| number >= least);
    if !words.len().is_multiple_of(2) || !words.iter().zip(least).all(is_valid) {
        return Err("Invalid save parameters".into());
    }
    Ok(words.join(" "))
}

/// `50 99 99.9`, or nothing.
fn parse_percentiles(text: &str) -> Result<String, String> {
    let parse = |word: &str| word.parse::<f64>().ok().filter(|number| (0.0..=100.0).contains(number));
    let numbers: Option<Vec<f64>> = text.split_ascii_whitespace().map(parse).collect();
    let numbers = numbers.ok_or("argument(s) must be numbers between 0 and 100")?;
    // Adding zero makes a negative zero positive.
    Ok(numbers.iter().map(|number| (number + 0.0).to_string()).collect::<Vec<_>>().join(" "))
}

/// `KEA`, `Kx`, or nothing.
fn parse_events(text: &str) -> Result<Events, String> {
    Events::parse(text).ok_or_else(|| {
        let reason = match text.contains('m') {
            true => "Keymiss events (m) are not told: a miss is a read, and reads are not in the log",
            false => "Invalid event class character. Use 'Ag$lshzxeKEtdn'.",
        };
        reason.to_owned()
    })
}

/// `100mb`, `5%`.
fn parse_bytes_or_percent(text: &str) -> Result<i64, String> {
    let number = match text.strip_suffix('%') {
        Some(percent) if parse_integer(percent).is_some_and(|percent| percent > 100) => {
            return Err("percentage argument must be less or equal to 100".into());
        }
        Some(percent) => parse_integer(percent).filter(|percent| *percent >= 0).map(|n| -n),
        None => parse_bytes(text),
    };
    number.ok_or_else(|| "argument must be a memory or percent value".into())
}

/// A decimal integer in its one shortest form.
pub(super) fn parse_integer(text: &str) -> Option<i64> {
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// A number of bytes with an optional unit.
pub(super) fn parse_bytes(text: &str) -> Option<i64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor: i64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(factor)
}

fn within(number: i64, min: i64, max: i64) -> Result<i64, String> {
    if (min..=max).contains(&number) {
        Ok(number)
    } else {
        Err(format!("argument must be between {min} and {max} inclusive"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_units_of_1000_and_of_1024() {
        let cases = [
            ("0", Some(0)),
            ("12", Some(12)),
            ("12b", Some(12)),
            ("3k", Some(3000)),
            ("3kb", Some(3072)),
            ("2M", Some(2_000_000)),
            ("2mB", Some(2 << 20)),
            ("1g", Some(1_000_000_000)),
            ("1gb", Some(1 << 30)),
            ("", None),
            ("-1", None),
            ("1.5gb", None),
            ("10zb", None),
            ("gb", None),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("9223372036854775807kb", None),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse_bytes(text), bytes, "{text:?}");
        }
    }

    #[test]
    fn durations_may_carry_their_unit() {
        assert_eq!(Unit::Milliseconds.parse("5000"), Ok(5000));
        assert_eq!(Unit::Milliseconds.parse("250ms"), Ok(250));
        assert_eq!(Unit::Milliseconds.parse("5s"), Ok(5000));
        assert_eq!(Unit::Seconds.parse("300s"), Ok(300));
        assert!(Unit::Seconds.parse("300ms").is_err());
        assert!(Unit::Milliseconds.parse("9223372036854775807s").is_err());
    }

    #[test]
    fn percentiles_are_written_in_one_form() {
        assert_eq!(parse_percentiles("0.0 50.0  99.90 100").as_deref(), Ok("0 50 99.9 100"));
        assert_eq!(parse_percentiles("-0").as_deref(), Ok("0"));
        assert_eq!(parse_percentiles("").as_deref(), Ok(""));
        for text in ["10 a", "101", "-1", "nan", "inf"] {
            assert!(parse_percentiles(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn classes_of_events_are_letters_and_shown_in_one_order() {
        let kind = Kind::KeyspaceEvents;
        let parse = |text: &str| kind.parse(text, &Setting::Text("".into()));
        for (text, shown) in [("", ""), ("KEA", "AKE"), ("Ex$", "$xE"), ("KKgg", "gK"), ("Kn", "nK")] {
            assert_eq!(kind.show(&parse(text).unwrap()), shown);
        }
        assert!(parse("KEq").unwrap_err().starts_with("Invalid event class character."));
        assert!(parse("K E").unwrap_err().starts_with("Invalid event class character."));
        assert!(parse("KEAm").unwrap_err().starts_with("Keymiss events (m) are not told"));
    }

    #[test]
    fn a_percentage_is_told_from_bytes() {
        let kind = Kind::BytesOrPercent;
        for (text, shown) in [("0", "0"), ("2mb", "2097152"), ("5%", "5%"), ("100%", "100%"), ("0%", "0")] {
            let setting = kind.parse(text, &Setting::Number(0)).unwrap();
            assert_eq!(kind.show(&setting), shown);
        }
        for text in ["", "%", "101%", "-1%", "-1", "1.5%", "5 %"] {
            assert!(kind.parse(text, &Setting::Number(0)).is_err(), "{text:?}");
        }
    }

    #[test]
    fn integers_have_one_form() {
        assert_eq!(parse_integer("-5"), Some(-5));
        for text in ["", "+5", "05", " 5", "5 ", "abc", "99999999999999999999"] {
            assert_eq!(parse_integer(text), None, "{text:?}");
        }
    }
}
