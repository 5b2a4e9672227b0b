//! What was measured against what it may be, as a table.

use std::fmt;
use std::time::Duration;

/// What a figure counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Milliseconds,
    Megabytes,
    Percent,
    Exponent,
}

/// The most that a figure may be: so many times the yardstick, and so much on top.
#[derive(Clone, Copy)]
pub struct Bar {
    times: f64,
    plus: f64,
}

impl Bar {
    /// So much, whatever the yardstick.
    pub fn most(plus: f64) -> Self {
        Self { times: 0.0, plus }
    }

    /// So many times the yardstick.
    pub fn times(times: f64) -> Self {
        Self { times, plus: 0.0 }
    }

    /// And so much on top.
    pub fn plus(self, plus: f64) -> Self {
        Self { plus, ..self }
    }
}

/// How strictly a bar is held.
#[derive(Clone, Copy)]
pub struct Strictness {
    /// A bar may be missed by this factor.
    pub factor: f64,
    /// And times by so many milliseconds more: what starting programs costs where there is little to do.
    pub floor: f64,
}

/// One line of the table.
pub struct Row {
    pub work: &'static str,
    pub against: &'static str,
    pub unit: Unit,
    /// `None` where it could not be measured, which no bar forgives.
    pub measured: Option<f64>,
    pub yardstick: Option<f64>,
    pub bar: Bar,
}

impl Row {
    /// A time, beside a yardstick's.
    pub fn time(work: &'static str, took: Duration, against: &'static str, yardstick: Duration, bar: Bar) -> Self {
        let (measured, yardstick) = (Some(milliseconds(took)), Some(milliseconds(yardstick)));
        Self { work, against, unit: Unit::Milliseconds, measured, yardstick, bar }
    }

    /// A figure with a limit of its own.
    pub fn limited(work: &'static str, unit: Unit, measured: Option<f64>, most: f64) -> Self {
        Self { work, against: "", unit, measured, yardstick: None, bar: Bar::most(most) }
    }

    /// A program's peak memory in bytes, with a limit in megabytes.
    pub fn memory(work: &'static str, bytes: u64, most: f64) -> Self {
        Self::limited(work, Unit::Megabytes, Some(megabytes(bytes)), most)
    }

    /// Whether the bar is held.
    pub fn holds(&self, Strictness { factor, floor }: Strictness) -> bool {
        let limit = self.bar.times * self.yardstick.unwrap_or(0.0) + self.bar.plus;
        let floor = if self.unit == Unit::Milliseconds { floor } else { 0.0 };
        self.measured.is_some_and(|measured| measured <= factor * limit + floor)
    }

    fn verdict(&self, strictness: Strictness) -> &'static str {
        match self.measured {
            None => "not measured",
            Some(_) if self.holds(strictness) => "held",
            Some(_) => "missed",
        }
    }

    fn bar_text(&self) -> String {
        match (self.bar.times, self.bar.plus) {
            (0.0, plus) => show(plus, self.unit),
            (times, 0.0) => format!("{times} x"),
            (times, plus) => format!("{times} x + {}", show(plus, self.unit)),
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value =
            |value: Option<f64>| value.map_or_else(|| "not measured".to_owned(), |value| show(value, self.unit));
        write!(out, "{}: {}", self.work, value(self.measured))?;
        if self.yardstick.is_some() {
            write!(out, " against {}", value(self.yardstick))?;
        }
        Ok(())
    }
}

pub fn milliseconds(took: Duration) -> f64 {
    took.as_secs_f64() * 1_000.0
}

/// Bytes as megabytes of 1,000,000 bytes.
#[expect(clippy::cast_precision_loss, reason = "no program has so much memory")]
pub fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// The middle one; the upper of two.
pub fn median<T: Ord + Copy>(mut values: Vec<T>) -> T {
    values.sort_unstable();
    values[values.len() / 2]
}

/// What this share of all values does not exceed.
pub fn percentile<T: Ord + Copy>(mut values: Vec<T>, percent: usize) -> T {
    values.sort_unstable();
    values[(values.len() * percent).div_ceil(100).max(1) - 1]
}

fn show(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Milliseconds if value < 10.0 => format!("{value:.1} ms"),
        Unit::Milliseconds => format!("{value:.0} ms"),
        Unit::Megabytes => format!("{value:.0} MB"),
        Unit::Percent => format!("{value:.2} %"),
        Unit::Exponent => format!("{value:.2}"),
    }
}

/// All rows, with their verdicts, in Markdown.
pub struct Table<'a> {
    pub rows: &'a [Row],
    pub strictness: Strictness,
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["work", "against", "measured", "yardstick", "ratio", "at most", "verdict"].map(str::to_owned);
        let lines: Vec<[String; 7]> =
            std::iter::once(head).chain(self.rows.iter().map(|row| self.cells(row))).collect();
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; 7] = std::array::from_fn(width);
        for (number, line) in lines.iter().enumerate() {
            for (cell, width) in line.iter().zip(widths) {
                write!(out, "| {cell:<width$} ")?;
            }
            writeln!(out, "|")?;
            if number == 0 {
                writeln!(out, "{}|", widths.map(|width| format!("|{}", "-".repeat(width + 2))).concat())?;
            }
        }
        Ok(())
    }
}

impl Table<'_> {
    fn cells(&self, row: &Row) -> [String; 7] {
        let value = |value: Option<f64>| value.map_or_else(String::new, |value| show(value, row.unit));
        let ratio = row.measured.zip(row.yardstick).map(|(measured, yardstick)| format!("{:.2}", measured / yardstick));
        [
            row.work.to_owned(),
            row.against.to_owned(),
            value(row.measured),
            value(row.yardstick),
            ratio.unwrap_or_default(),
            row.bar_text(),
            row.verdict(self.strictness).to_owned(),
        ]
    }
}
