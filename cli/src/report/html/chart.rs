//! Charts: where lines, limits and labels lie. The template draws them.
//!
//! The picture is 1000 wide and 100 high and is stretched to whatever room there is; texts stand beside it as HTML, so
//! that they keep their size on a phone.

use std::fmt::Write as _;

use serde::Serialize;

use super::scale::{Range, Scale, Tick, columns};
use crate::report::figures::figure;

/// The most columns of a chart. More seconds than that are condensed.
const COLUMNS: usize = 600;

/// What becomes of the values of several seconds that share a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condense {
    /// The worst one is shown.
    Largest,
    /// Their mean is shown.
    Mean,
}

/// Values over time.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// What they are.
    pub(super) name: &'static str,
    /// Their look.
    pub(super) class: &'static str,
    /// A value a second; `None`: not measured.
    pub(super) values: Vec<Option<f64>>,
    /// Whether the room below the line is filled.
    pub(super) filled: bool,
    /// What becomes of values that share a column.
    pub(super) condense: Condense,
}

/// A limit that is drawn across the chart.
#[derive(Clone, Debug)]
pub(super) struct LimitLine {
    /// Where.
    pub(super) value: f64,
    /// What is written at it.
    pub(super) label: String,
}

/// A chart as the template draws it. Places are in percent from the left and from the top.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Chart {
    title: String,
    /// What a person who does not see the chart is told.
    description: String,
    unit: &'static str,
    rows: Vec<Tick>,
    columns: Vec<Tick>,
    lines: Vec<DrawnLine>,
    limits: Vec<Tick>,
    /// For the small script that shows values under the pointer.
    data: ChartData,
}

#[derive(Clone, Debug, Serialize)]
struct DrawnLine {
    name: &'static str,
    class: &'static str,
    path: String,
    area: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
struct ChartData {
    step: usize,
    unit: &'static str,
    names: Vec<&'static str>,
    values: Vec<Vec<Option<f64>>>,
}

/// Lays out a chart; `None`: there is nothing to draw.
pub(super) fn chart(
    title: &str,
    unit: &'static str,
    scale: Scale,
    lines: Vec<Line>,
    limits: &[LimitLine],
) -> Option<Chart> {
    let seconds = lines.iter().map(|line| line.values.len()).max()?;
    let step = seconds.div_ceil(COLUMNS).max(1);
    let lines: Vec<Line> = lines
        .into_iter()
        .map(|line| Line {
            values: condensed(&line.values, step, line.condense),
            ..line
        })
        .collect();
    let seen = || {
        lines
            .iter()
            .flat_map(|line| line.values.iter().flatten().copied())
    };
    let most = seen()
        .chain(limits.iter().map(|limit| limit.value))
        .reduce(f64::max)?;
    seen().next()?;
    let least = seen()
        .filter(|value| *value > 0.0)
        .chain(limits.iter().map(|limit| limit.value))
        .reduce(f64::min);
    let range = Range::of(scale, least.unwrap_or(1.0), most);
    let count = seconds.div_ceil(step);
    let peaks: Vec<String> = lines
        .iter()
        .filter_map(|line| {
            let peak = line.values.iter().flatten().copied().reduce(f64::max)?;
            Some(format!("{} at most {} {unit}", line.name, figure(peak)))
        })
        .collect();
    Some(Chart {
        title: title.to_owned(),
        description: format!("{title} over {seconds} seconds: {}", peaks.join(", ")),
        unit,
        rows: range
            .ticks()
            .into_iter()
            .map(|value| Tick {
                at: range.place(value),
                label: figure(value),
            })
            .collect(),
        columns: columns(seconds),
        limits: limits
            .iter()
            .filter(|limit| limit.value > 0.0)
            .map(|limit| Tick {
                at: range.place(limit.value),
                label: limit.label.clone(),
            })
            .collect(),
        data: ChartData {
            step,
            unit,
            names: lines.iter().map(|line| line.name).collect(),
            values: lines
                .iter()
                .map(|line| {
                    line.values
                        .iter()
                        .map(|value| value.map(shortened))
                        .collect()
                })
                .collect(),
        },
        lines: lines.iter().map(|line| drawn(line, count, range)).collect(),
    })
}

/// A small chart without axes.
pub(super) fn spark(values: &[Option<f64>], most: f64) -> String {
    let step = values.len().div_ceil(120).max(1);
    let values = condensed(values, step, Condense::Largest);
    let range = Range::up_to(most);
    path(&values, values.len(), range)
}

fn shortened(value: f64) -> f64 {
    let scale = if value >= 100.0 { 10.0 } else { 1_000.0 };
    (value * scale).round() / scale
}

fn condensed(values: &[Option<f64>], step: usize, how: Condense) -> Vec<Option<f64>> {
    values
        .chunks(step)
        .map(|chunk| {
            let seen = chunk.iter().flatten().copied();
            let count = seen.clone().count();
            match how {
                _ if count == 0 => None,
                Condense::Largest => seen.reduce(f64::max),
                Condense::Mean => Some(seen.sum::<f64>() / count as f64),
            }
        })
        .collect()
}

fn drawn(line: &Line, count: usize, range: Range) -> DrawnLine {
    let path = path(&line.values, count, range);
    let area = line.filled.then(|| area(&line.values, count, range));
    DrawnLine {
        name: line.name,
        class: line.class,
        path,
        area,
    }
}

/// The middle of a column.
fn column(place: usize, count: usize) -> f64 {
    ((place as f64 + 0.5) * 10_000.0 / count.max(1) as f64).round() / 10.0
}

/// A line, broken where nothing was measured.
fn path(values: &[Option<f64>], count: usize, range: Range) -> String {
    let mut path = String::new();
    let mut broken = true;
    for (place, value) in values.iter().enumerate() {
        let Some(value) = value else {
            broken = true;
            continue;
        };
        let (command, x, y) = (
            if broken { 'M' } else { 'L' },
            column(place, count),
            range.place(*value),
        );
        // Writing to a text cannot fail. A point alone is drawn as a very short line.
        let _ = write!(path, "{command}{x} {y}");
        if broken {
            let _ = write!(path, "h.01");
        }
        broken = false;
    }
    path
}

/// The room below a line.
fn area(values: &[Option<f64>], count: usize, range: Range) -> String {
    let mut path = String::new();
    for run in values
        .iter()
        .enumerate()
        .collect::<Vec<_>>()
        .split(|(_, value)| value.is_none())
    {
        let (Some((first, _)), Some((last, _))) = (run.first(), run.last()) else {
            continue;
        };
        // Writing to a text cannot fail.
        let _ = write!(path, "M{} 100", column(*first, count));
        for (place, value) in run {
            let _ = write!(
                path,
                "L{} {}",
                column(*place, count),
                range.place(value.unwrap_or(0.0))
            );
        }
        let _ = write!(path, "L{} 100Z", column(*last, count));
    }
    path
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(values: Vec<Option<f64>>) -> Line {
        Line {
            name: "p50",
            class: "a",
            values,
            filled: true,
            condense: Condense::Largest,
        }
    }

    proptest! {
        #[test]
        fn whatever_is_measured_lies_in_the_picture(
            values in prop::collection::vec(prop::option::of(0.0f64..1e7), 1..700),
            limit in 0.001f64..1e6,
            logarithmic: bool,
        ) {
            let scale = if logarithmic { Scale::Logarithmic } else { Scale::Linear };
            let limits = vec![LimitLine { value: limit, label: "limit".to_owned() }];
            if let Some(chart) = chart("Latency", "ms", scale, vec![line(values)], &limits) {
                prop_assert!(chart.rows.len() >= 2 && chart.rows.len() <= 12, "{:?}", chart.rows);
                prop_assert!(chart.rows.iter().chain(&chart.columns).all(|tick| (0.0..=100.0).contains(&tick.at)));
                prop_assert!(chart.columns.len() >= 2 && chart.columns.len() <= 8);
                prop_assert!(!chart.lines[0].path.contains("NaN") && !chart.lines[0].path.contains("inf"));
            }
        }
    }

    #[test]
    fn a_line_breaks_where_nothing_was_measured() {
        let chart = chart(
            "x",
            "ms",
            Scale::Linear,
            vec![line(vec![Some(0.0), Some(4.0), None, Some(4.0)])],
            &[],
        )
        .unwrap();
        assert_eq!(chart.lines[0].path, "M125 100h.01L375 0M875 0h.01");
        assert_eq!(
            chart.lines[0].area.as_deref(),
            Some("M125 100L125 100L375 0L375 100ZM875 100L875 0L875 100Z")
        );
    }

    #[test]
    fn of_nothing_there_is_no_chart() {
        assert!(chart("x", "ms", Scale::Linear, vec![], &[]).is_none());
        assert!(chart("x", "ms", Scale::Linear, vec![line(vec![None, None])], &[]).is_none());
    }
}
