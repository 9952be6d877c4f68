//! Numbers as people read them: the same on the page, in markdown and in the terminal.

/// A count with commas between thousands.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with about three digits that count.
pub fn figure(number: f64) -> String {
    let size = number.abs();
    if size >= 1_000.0 {
        let whole = format!("{size:.0}")
            .parse()
            .map_or_else(|_| format!("{size:.0}"), count);
        return if number < 0.0 {
            format!("-{whole}")
        } else {
            whole
        };
    }
    let digits = match size {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ if size == 0.0 => 0,
        _ => 3,
    };
    let text = format!("{number:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// Milliseconds, or seconds when there are many of them.
pub fn milliseconds(number: f64) -> String {
    if number >= 10_000.0 {
        format!("{} s", figure(number / 1_000.0))
    } else {
        format!("{} ms", figure(number))
    }
}

/// A share in percent.
pub fn percent(ratio: f64) -> String {
    let percent = ratio * 100.0;
    if percent > 0.0 && percent < 0.001 {
        "< 0.001 %".to_owned()
    } else {
        format!("{} %", figure(percent))
    }
}

/// An amount of memory.
pub fn bytes(number: u64) -> String {
    let number = number as f64;
    let units = [
        (1_073_741_824.0, "GiB"),
        (1_048_576.0, "MiB"),
        (1_024.0, "KiB"),
    ];
    match units.into_iter().find(|(size, _)| number >= *size) {
        Some((size, unit)) => format!("{} {unit}", figure(number / size)),
        None => format!("{number} B"),
    }
}

/// A value in the unit of an objective.
pub fn with_unit(value: f64, unit: &str) -> String {
    match unit {
        "ms" => milliseconds(value),
        "ratio" => percent(value),
        "1/s" => format!("{}/s", figure(value)),
        unit => format!("{} {unit}", figure(value)),
    }
}

/// What an objective is about, as people say it; a name that is not known stays as it is.
pub fn objective(name: &str) -> &str {
    match name {
        "requestsPerSecond" => "requests a second",
        "errorRatio" => "failed requests",
        "latencyP50" => "median latency",
        "latencyP95" => "p95 latency",
        "latencyP99" => "p99 latency",
        name => name,
    }
}

/// Values as a row of bars of text, condensed to so many of them. What is missing is a blank.
pub fn sparkline(values: &[Option<f64>], width: usize) -> String {
    let most = values.iter().flatten().copied().fold(0.0, f64::max);
    let per = values.len().div_ceil(width.max(1)).max(1);
    values
        .chunks(per)
        .map(|chunk| {
            let seen: Vec<f64> = chunk.iter().flatten().copied().collect();
            if seen.is_empty() {
                return ' ';
            }
            let mean = seen.iter().sum::<f64>() / seen.len() as f64;
            let share = if most > 0.0 { mean / most } else { 0.0 };
            let bars = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
            let place = (1..bars.len())
                .rev()
                .find(|place| share * 8.0 >= *place as f64);
            bars[place.unwrap_or(0)]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_about_three_digits_that_count() {
        let shown = [
            0.0,
            0.0123,
            1.0,
            8.4249,
            14.96,
            412.3,
            1_015.4,
            61_234_567.0,
            -1_500.0,
        ]
        .map(figure);
        assert_eq!(
            shown,
            [
                "0",
                "0.012",
                "1",
                "8.42",
                "15",
                "412",
                "1,015",
                "61,234,567",
                "-1,500"
            ]
        );
        assert_eq!(milliseconds(9_000.0), "9,000 ms");
        assert_eq!(milliseconds(12_300.0), "12.3 s");
        assert_eq!(
            [0.0, 0.000_001, 0.0123, 1.0].map(percent),
            ["0 %", "< 0.001 %", "1.23 %", "100 %"]
        );
        assert_eq!(
            [10, 2_048, 15 << 20, 24 << 30].map(bytes),
            ["10 B", "2 KiB", "15 MiB", "24 GiB"]
        );
    }

    #[test]
    fn a_sparkline_is_at_most_as_wide_as_asked_for() {
        assert_eq!(
            sparkline(&[Some(0.0), Some(4.0), None, Some(8.0)], 10),
            "▁▅ █"
        );
        assert_eq!(sparkline(&vec![Some(1.0); 100], 20).chars().count(), 20);
        assert_eq!(sparkline(&[], 20), "");
    }
}
