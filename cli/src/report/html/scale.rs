//! How values become places in a picture, and the round marks beside it.

use serde::Serialize;

/// How a chart's values become heights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// In proportion, from zero.
    Linear,
    /// Each decade as high as the next one.
    Logarithmic,
}

/// A mark beside a chart: its place in percent from the left or from the top, and what is written there.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Tick {
    /// Where.
    pub(super) at: f64,
    /// What is written there.
    pub(super) label: String,
}

/// From where to where a chart's values reach.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    scale: Scale,
    low: f64,
    high: f64,
}

impl Range {
    /// A range from zero to a value.
    pub(super) fn up_to(most: f64) -> Self {
        Self {
            scale: Scale::Linear,
            low: 0.0,
            high: if most > 0.0 { most } else { 1.0 },
        }
    }

    /// A range with round ends that holds all values.
    pub(super) fn of(scale: Scale, least: f64, most: f64) -> Self {
        match scale {
            Scale::Linear => {
                let step = round_step(most / 4.0);
                Self {
                    scale,
                    low: 0.0,
                    high: (most / step).ceil().max(1.0) * step,
                }
            }
            Scale::Logarithmic => {
                let least = least.max(1e-3).min(most.max(1e-3));
                let low = 10f64.powf(least.log10().floor());
                let low = [5.0, 2.0]
                    .into_iter()
                    .map(|part| low * part)
                    .find(|low| *low <= least)
                    .unwrap_or(low);
                let high = 10f64.powf(most.max(low).log10().ceil());
                let fits = |part: &f64| high * part >= most && high * part > low * 1.5;
                let part = [0.2, 0.5, 1.0].into_iter().find(fits).unwrap_or(10.0);
                Self {
                    scale,
                    low,
                    high: high * part,
                }
            }
        }
    }

    /// The place of a value, in percent from the top.
    pub(super) fn place(self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Logarithmic => {
                (value.max(self.low).log10() - self.low.log10())
                    / (self.high.log10() - self.low.log10())
            }
        };
        (1_000.0 - share.clamp(0.0, 1.0) * 1_000.0).round() / 10.0
    }

    /// Round values across the range.
    pub(super) fn ticks(self) -> Vec<f64> {
        match self.scale {
            Scale::Linear => {
                let step = round_step(self.high / 4.0);
                let mut ticks = vec![0.0];
                while let Some(last) = ticks.last()
                    && last + step <= self.high * 1.001
                {
                    ticks.push(last + step);
                }
                ticks
            }
            Scale::Logarithmic => {
                let decades = self.high.log10() - self.low.log10();
                let parts: &[f64] = if decades > 3.0 {
                    &[1.0]
                } else if decades > 1.5 {
                    &[1.0, 3.0]
                } else {
                    &[1.0, 2.0, 5.0]
                };
                let mut decade = 10f64.powf(self.low.log10().floor());
                let mut ticks = Vec::new();
                while decade <= self.high * 1.001 {
                    ticks.extend(parts.iter().map(|part| part * decade));
                    decade *= 10.0;
                }
                ticks.retain(|tick| *tick >= self.low * 0.999 && *tick <= self.high * 1.001);
                ticks
            }
        }
    }
}

/// The round number at or above a step.
fn round_step(step: f64) -> f64 {
    let step = step.max(1e-3);
    let decade = 10f64.powf(step.log10().floor());
    let parts = [1.0, 2.0, 2.5, 5.0, 10.0];
    parts
        .into_iter()
        .map(|part| part * decade)
        .find(|round| *round >= step * 0.999)
        .unwrap_or(decade * 10.0)
}

/// The marks below a chart: about five of them, at round times.
pub(super) fn columns(seconds: usize) -> Vec<Tick> {
    let steps = [
        1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 86_400,
    ];
    let step = steps
        .into_iter()
        .find(|step| seconds / step <= 5)
        .unwrap_or(86_400);
    (0..=seconds)
        .step_by(step)
        .map(|second| Tick {
            at: second as f64 * 100.0 / seconds.max(1) as f64,
            label: match second {
                0 => "0".to_owned(),
                second if step >= 60 => format!("{} min", second / 60),
                second => format!("{second} s"),
            },
        })
        .collect()
}
