//! A run of a drill on its page: its picture over time, its figures, and what was done to whom.

use std::fmt::Write as _;

use serde::Serialize;

use super::load::{VerdictView, verdict};
use crate::drill::history::Figure;
use crate::drill::report::{DrillRun, Timeline, show};
use crate::report::figures::count;

/// A run, closely.
#[derive(Debug, Serialize)]
pub(super) struct RunView {
    label: String,
    verdict: VerdictView,
    faults: Vec<String>,
    consequences: Vec<String>,
    operations: Vec<OperationsView>,
    picture: Picture,
}

#[derive(Debug, Serialize)]
struct OperationsView {
    kind: String,
    all: String,
    failed: String,
    unknown: String,
    repeated: String,
    slow: String,
    longest: String,
}

/// The run over time. Places are in percent.
#[derive(Debug, Serialize)]
struct Picture {
    description: String,
    /// Bars of operations, one on top of the other, as a path of each kind.
    bars: Vec<Bars>,
    /// How slow the slowest was, on a logarithmic scale.
    slowest: String,
    marks: Vec<Mark>,
    gap: Option<Gap>,
    columns: Vec<Mark>,
}

#[derive(Debug, Serialize)]
struct Bars {
    class: &'static str,
    path: String,
}

/// The longest time without an order.
#[derive(Debug, Serialize)]
struct Gap {
    left: f64,
    width: f64,
    label: String,
}

#[derive(Debug, Serialize)]
struct Mark {
    at: f64,
    label: String,
    class: &'static str,
}

/// A run as the template shows it; `label` says why it is shown.
pub(super) fn run(run: &DrillRun, label: String) -> RunView {
    let figures = &run.judgement.figures;
    RunView {
        label,
        verdict: verdict(run.verdict),
        faults: run
            .faults
            .iter()
            .map(|fault| {
                let evidence = fault.evidence.as_deref().unwrap_or("no evidence");
                let others = match fault.others.len() {
                    0 => String::new(),
                    1 => " and one more".to_owned(),
                    others => format!(" and {others} more"),
                };
                let deed = fault.kind.done_to(&fault.instance);
                format!("{deed} (process {}{others}): {evidence}", fault.process)
            })
            .collect(),
        consequences: run.consequences.clone(),
        operations: figures
            .operations
            .iter()
            .map(|(kind, counts)| OperationsView {
                kind: kind.clone(),
                all: count(counts.all),
                failed: count(counts.failed),
                unknown: count(counts.unknown),
                repeated: count(counts.repeated),
                slow: count(counts.slow),
                longest: show(Figure::OrderGap, counts.longest),
            })
            .collect(),
        picture: picture(run),
    }
}

fn picture(run: &DrillRun) -> Picture {
    let timeline = &run.timeline;
    let steps = timeline.orders.len();
    let length = timeline.step.max(1) * steps.max(1) as u64;
    let place = |at: u64| at.saturating_sub(timeline.from) as f64 / length as f64 * 100.0;
    let failed: u32 = timeline.failed.iter().sum();
    // Labels keep their distance: at most eight of them.
    let every = (length / 1_000_000).div_ceil(8).next_multiple_of(5).max(5);
    Picture {
        description: format!(
            "{} over {:.0} seconds; {failed} operations failed",
            run.scenario,
            length as f64 / 1e6
        ),
        bars: bars(timeline),
        slowest: slowest(timeline),
        marks: marks(run, place),
        gap: gap(run),
        columns: (0..=length / 1_000_000 / every)
            .map(|number| Mark {
                at: rounded(place(timeline.from + number * every * 1_000_000)),
                label: format!("{} s", number * every),
                class: "column",
            })
            .collect(),
    }
}

/// Orders at the bottom, other answers on them, and what failed on top.
fn bars(timeline: &Timeline) -> Vec<Bars> {
    let kinds = [
        ("c4", &timeline.orders),
        ("c1", &timeline.ok),
        ("bad", &timeline.failed),
    ];
    let steps = timeline.orders.len();
    let number = |kind: &[u32], step: usize| kind.get(step).copied().unwrap_or(0);
    let most = (0..steps)
        .map(|step| kinds.iter().map(|(_, kind)| number(kind, step)).sum())
        .max()
        .unwrap_or(1)
        .max(1);
    let width = 1_000.0 / steps.max(1) as f64;
    let mut below = vec![0.0; steps];
    kinds
        .into_iter()
        .map(|(class, kind)| {
            let mut path = String::new();
            for (step, below) in below.iter_mut().enumerate() {
                let height = f64::from(number(kind, step)) / f64::from(most) * 100.0;
                if height > 0.0 {
                    let _ = write!(
                        path,
                        "M{:.0} {:.1}h{width:.1}v-{height:.1}h-{width:.1}z",
                        step as f64 * width,
                        100.0 - *below,
                    );
                }
                *below += height;
            }
            Bars { class, path }
        })
        .filter(|bars| !bars.path.is_empty())
        .collect()
}

/// Where the longest time without an order was, as far as the steps show it: two of them without one, at least.
fn gap(run: &DrillRun) -> Option<Gap> {
    let timeline = &run.timeline;
    let longest = run.judgement.figures.order_gap?;
    let fault = timeline.fault?.checked_sub(timeline.from)? / timeline.step.max(1);
    let mut best: Option<(usize, usize)> = None;
    let mut from = usize::try_from(fault).ok()?;
    for (step, orders) in timeline.orders.iter().enumerate().skip(from) {
        if *orders > 0 {
            from = step + 1;
        } else if best.is_none_or(|(_, length)| step + 1 - from > length) {
            best = Some((from, step + 1 - from));
        }
    }
    let (left, width) = best.filter(|(_, length)| *length > 1)?;
    let share = |steps: usize| rounded(steps as f64 / timeline.orders.len() as f64 * 100.0);
    Some(Gap {
        left: share(left),
        width: share(width),
        label: format!("no order for {}", show(Figure::OrderGap, longest)),
    })
}

/// The fault and the times that count from it.
fn marks(run: &DrillRun, place: impl Fn(u64) -> f64) -> Vec<Mark> {
    let Some(fault) = run.timeline.fault else {
        return Vec::new();
    };
    let figures = &run.judgement.figures;
    let mut marks = vec![Mark {
        at: rounded(place(fault)),
        label: "fault".to_owned(),
        class: "fault",
    }];
    for (figure, label) in [
        (Figure::Detected, "detected"),
        (Figure::Promoted, "successor"),
        (Figure::Writable, "writable"),
        (Figure::FirstOrder, "first order"),
        (Figure::SteadyAgain, "as before"),
    ] {
        if let Some(after) = figures.get(figure) {
            marks.push(Mark {
                at: rounded(place(fault + after).min(100.0)),
                label: format!("{label} {}", show(figure, after)),
                class: "mark",
            });
        }
    }
    let mended = run
        .faults
        .iter()
        .find(|fault| fault.kind.mends() && fault.kind.hits_a_machine());
    if let Some(mended) = mended {
        let after = show(Figure::Detected, mended.at.saturating_sub(fault));
        marks.push(Mark {
            at: rounded(place(mended.at).min(100.0)),
            label: format!("mended {after}"),
            class: "mark",
        });
    }
    marks
}

/// A line from 1 ms at the bottom to 10 s at the top, each decade as high as the next.
fn slowest(timeline: &Timeline) -> String {
    let count = timeline.slowest.len().max(1) as f64;
    let mut path = String::new();
    let mut pen = 'M';
    for (number, slowest) in timeline.slowest.iter().enumerate() {
        if *slowest == 0 {
            pen = 'M';
            continue;
        }
        let decades = (*slowest as f64 / 1_000.0).max(1.0).log10().min(4.0);
        let across = (number as f64 + 0.5) / count * 1_000.0;
        let _ = write!(path, "{pen}{:.0} {:.1}", across, 100.0 - decades * 25.0);
        pen = 'L';
    }
    path
}

/// Enough for a place on a screen.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
