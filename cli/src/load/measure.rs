//! Gathers what k6 measures, what the script says and what processes use, second by second.

use std::collections::BTreeMap;
use std::time::Duration;

use super::csv::{CsvReader, Measurement};
use super::orders::{OrdersTold, Told};
use super::processes::{Meter, ProcessTable};
use crate::event::LoadTick;
use crate::report::{GeneratorPoint, InstanceSamples, ResourcePoint, Samples};

/// A process of the shop that is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Watched {
    /// The component.
    pub(super) component: String,
    /// The instance.
    pub(super) instance: String,
    /// Its process.
    pub(super) pid: i32,
}

/// Routes beyond so many are counted as one: a script that names every address would fill the report.
const MOST_ROUTES: usize = 100;
const OTHER_ROUTES: &str = "(other)";

/// What is known so far.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    reader: CsvReader,
    samples: Samples,
    told: OrdersTold,
    routes: std::collections::BTreeSet<String>,
    /// When the first request began, in milliseconds since 1970.
    origin: Option<u64>,
    /// When the last request ended.
    last: u64,
    /// Since when k6 gives up what is under way: an answer that does not come then says nothing about the shop.
    stopping: Option<u64>,
    meter: Meter,
    instances: BTreeMap<String, InstanceSamples>,
    recent: Recent,
}

/// What happened since the last tick.
#[derive(Debug, Default)]
struct Recent {
    milliseconds: Vec<f64>,
    /// How late users went on after they had thought, together, and how many.
    late: (f64, u32),
}

impl Gathered {
    /// Takes notice of lines that k6 measured.
    pub(super) fn measurements(&mut self, lines: &[String]) {
        for line in lines {
            match self.reader.read(line) {
                Some(Measurement::Request {
                    at,
                    route,
                    status,
                    failed,
                    milliseconds,
                }) => self.request(at, route, status, failed, milliseconds),
                Some(Measurement::Check { name, held }) => self.samples.check(&name, held),
                Some(Measurement::Iterations(count)) => self.samples.iterations += count,
                Some(Measurement::Dropped(count)) => self.samples.dropped_iterations += count,
                Some(Measurement::Late(milliseconds)) => {
                    self.recent.late.0 += milliseconds;
                    self.recent.late.1 += 1;
                }
                None => {}
            }
        }
    }

    fn request(&mut self, at: u64, route: String, status: u16, failed: bool, milliseconds: f64) {
        if status == 0 && self.stopping.is_some_and(|since| at >= since) {
            return;
        }
        let latency = Duration::try_from_secs_f64(milliseconds / 1_000.0).unwrap_or_default();
        let began = at.saturating_sub(u64::try_from(latency.as_millis()).unwrap_or(0));
        self.origin.get_or_insert(began);
        self.last = self.last.max(at);
        let route = if self.routes.contains(&route) || self.routes.len() < MOST_ROUTES {
            self.routes.insert(route.clone());
            route
        } else {
            OTHER_ROUTES.to_owned()
        };
        let second = self.second(at);
        self.samples
            .request(second, &route, status, failed, latency);
        if status != 0 {
            self.recent.milliseconds.push(milliseconds);
        }
    }

    /// Takes notice of lines that the script said. Gives those that are not about orders.
    pub(super) fn console(&mut self, lines: &[String]) -> Vec<String> {
        let origin = self.origin;
        let mut talk = Vec::new();
        for line in lines {
            if self.told.line(line, |at| second(origin, at)) == Told::Talk {
                talk.push(line.clone());
            }
        }
        talk
    }

    fn second(&self, at: u64) -> u32 {
        second(self.origin, at)
    }

    /// Counts the outcome of a check.
    pub(super) fn check(&mut self, name: &str, held: bool) {
        self.samples.check(name, held);
    }

    /// k6 was asked to stop at this moment, in milliseconds since 1970.
    pub(super) fn stopping(&mut self, at: u64) {
        self.stopping.get_or_insert(at);
    }

    /// When the first request began, in milliseconds since 1970; `None`: nothing was asked yet.
    pub(super) fn origin(&self) -> Option<u64> {
        self.origin
    }

    /// When the last request ended.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Looks at the processes. `took` is the time since the last look, `at` the moment between both.
    pub(super) fn look(
        &mut self,
        shop: &[Watched],
        generator: i32,
        took: Duration,
        at: u64,
    ) -> Option<f64> {
        let table = ProcessTable::read();
        let seconds = took.as_secs_f64();
        // What was used before the first request is not the load's.
        let counts = self.origin.is_some_and(|origin| at >= origin) && seconds > 0.0;
        let second = self.second(at);
        let mut together = None;
        for watched in shop {
            let used = table
                .usage(watched.pid, false)
                .and_then(|usage| self.meter.since(&watched.instance, watched.pid, usage));
            let Some(used) = used.filter(|_| counts) else {
                continue;
            };
            *together.get_or_insert(0.0) += used.cpu / seconds;
            let samples = self
                .instances
                .entry(watched.instance.clone())
                .or_insert_with(|| InstanceSamples {
                    component: watched.component.clone(),
                    instance: watched.instance.clone(),
                    ..InstanceSamples::default()
                });
            samples.cpu_seconds += used.cpu;
            samples.points.push(ResourcePoint {
                second,
                cpu: rounded(used.cpu / seconds),
                resident_bytes: used.resident,
            });
        }
        let used = table
            .usage(generator, true)
            .and_then(|usage| self.meter.since("", generator, usage));
        if let Some(used) = used.filter(|_| counts) {
            self.samples.generator.push(GeneratorPoint {
                second,
                cpu: rounded(used.cpu / seconds),
                waiting: used.waiting.map(rounded),
                late: (self.recent.late.1 > 0)
                    .then(|| rounded(self.recent.late.0 / f64::from(self.recent.late.1))),
            });
        }
        together
    }

    /// Somebody looked how many pieces are left.
    pub(super) fn stock_left(&mut self, at: u64, pieces: u64) {
        if self.origin.is_some() {
            let second = self.second(at);
            self.samples.stock_left.insert(second, pieces);
        }
    }

    /// What a person sees of the time since the last tick.
    pub(super) fn tick(&mut self, took: Duration, now: u64) -> LoadTick {
        let recent = std::mem::take(&mut self.recent);
        let mut milliseconds = recent.milliseconds;
        milliseconds.sort_by(f64::total_cmp);
        let quantile = |share: f64| {
            let rank = (share * milliseconds.len() as f64).ceil();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it is between 0 and a length"
            )]
            let rank = (rank as usize).max(1);
            milliseconds.get(rank - 1).copied()
        };
        LoadTick {
            elapsed: Duration::from_millis(
                self.origin.map_or(0, |origin| now.saturating_sub(origin)),
            ),
            requests_per_second: milliseconds.len() as f64 / took.as_secs_f64().max(0.001),
            p50: quantile(0.5),
            p95: quantile(0.95),
            p99: quantile(0.99),
            failed: self.samples.requests.values().map(|seen| seen.failed).sum(),
            orders: self.told.acknowledged(),
            stock_left: None,
            cpu: None,
            total: Duration::ZERO,
        }
    }

    /// What the script said about orders.
    pub(super) fn told(&self) -> &OrdersTold {
        &self.told
    }

    /// All of it. `offered` is how long load was offered.
    pub(super) fn into_samples(mut self, offered: Duration, cores: f64) -> Samples {
        self.samples.offered = offered;
        self.samples.cores_available = cores;
        self.samples.instances = self.instances.into_values().collect();
        self.samples.acknowledged = self.told.into_acknowledged();
        self.samples
    }
}

fn second(origin: Option<u64>, at: u64) -> u32 {
    origin.map_or(0, |origin| {
        u32::try_from(at.saturating_sub(origin) / 1_000).unwrap_or(u32::MAX)
    })
}

/// More digits than anybody reads only make the raw data longer.
fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "metric_name,timestamp,metric_value,check,expected_response,method,name,status,extra_tags,metadata";

    fn gathered(lines: &[&str]) -> Gathered {
        let mut gathered = Gathered::default();
        let lines: Vec<String> = std::iter::once(&HEADER)
            .chain(lines)
            .map(|line| (*line).to_owned())
            .collect();
        gathered.measurements(&lines);
        gathered
    }

    fn request(at: u64, milliseconds: f64, status: u16) -> String {
        let expected = (200..400).contains(&status);
        format!("http_req_duration,{at},{milliseconds},,{expected},GET,GET /api/echo,{status},,")
    }

    #[test]
    fn seconds_are_counted_from_when_the_first_request_began() {
        let gathered = gathered(&[&request(10_500, 500.0, 200), &request(12_100, 1.0, 200)]);
        assert_eq!(gathered.origin(), Some(10_000));
        let seconds: Vec<u32> = gathered.samples.requests.keys().map(|key| key.1).collect();
        assert_eq!(seconds, [0, 2]);
    }

    #[test]
    fn requests_that_k6_gave_up_when_it_was_stopped_are_not_the_shops_failures() {
        let mut gathered = gathered(&[&request(1_000, 1.0, 200)]);
        gathered.stopping(2_000);
        gathered.measurements(&[
            request(1_500, 1.0, 0),
            request(2_000, 1.0, 0),
            request(2_001, 1.0, 500),
        ]);
        let samples = gathered.into_samples(Duration::from_secs(1), 2.0);
        let failed: u64 = samples.requests.values().map(|seen| seen.failed).sum();
        assert_eq!(failed, 2);
    }

    #[test]
    fn a_tick_tells_of_the_time_since_the_last_one() {
        let lines: Vec<String> = (1..=100)
            .map(|number| request(1_000 + number, number as f64, 200))
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let mut gathered = gathered(&lines);
        let tick = gathered.tick(Duration::from_secs(2), 3_000);
        assert!((tick.requests_per_second - 50.0).abs() < 1e-9);
        assert_eq!(
            (tick.p50, tick.p95, tick.p99),
            (Some(50.0), Some(95.0), Some(99.0))
        );
        let tick = gathered.tick(Duration::from_secs(1), 4_000);
        assert_eq!((tick.requests_per_second, tick.p50), (0.0, None));
        assert_eq!(tick.elapsed, Duration::from_secs(3));
    }

    #[test]
    fn a_script_with_too_many_routes_has_the_rest_of_them_in_one() {
        let lines: Vec<String> = (0..MOST_ROUTES + 5)
            .map(|route| format!("http_req_duration,1000,1.0,,true,GET,route {route},200,,"))
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let samples = gathered(&lines).into_samples(Duration::from_secs(1), 2.0);
        assert_eq!(samples.requests.len(), MOST_ROUTES + 1);
        let other = &samples.requests[&(OTHER_ROUTES.to_owned(), 0)];
        assert_eq!(other.latency.count(), 5);
    }
}
