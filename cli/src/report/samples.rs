//! The raw measurements of a load test, and the compact file that keeps them: `samples.jsonl.zst`.
//!
//! Whoever measures fills a [`Samples`]; everything that a report says of the load is computed from it and can be
//! computed again. The file is one JSON document a line, compressed: small, and readable without shopctl.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::accounting::{Acknowledged, BookedOrder, BookedProduct, Books};
use super::histogram::Histogram;
use super::model::ResourcePoint;

/// The version of the file. A newer one is refused, not guessed at.
const VERSION: u32 = 1;
/// The most that a file may be when it is unpacked: a bomb is not unpacked to its end.
const MOST_BYTES: u64 = 1 << 30;

/// What was measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// How long load was offered.
    pub offered: Duration,
    /// What was asked and answered, by route and second.
    pub requests: BTreeMap<(String, u32), RouteSecond>,
    /// Rounds of the script that ended.
    pub iterations: u64,
    /// Rounds that were due and could not be begun.
    pub dropped_iterations: u64,
    /// What the script checked, by name.
    pub checks: BTreeMap<String, CheckCount>,
    /// Pieces that were left to sell, in the seconds in which somebody looked.
    pub stock_left: BTreeMap<u32, u64>,
    /// The shop's processes.
    pub instances: Vec<InstanceSamples>,
    /// The load generator, in the seconds in which somebody looked.
    pub generator: Vec<GeneratorPoint>,
    /// How many cores the load generator could use.
    pub cores_available: f64,
    /// The orders that customers were given a 201 for.
    pub acknowledged: Vec<Acknowledged>,
    /// What Postgres said afterwards.
    pub books: Books,
}

/// The requests of a route that ended in a second.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteSecond {
    /// Those that failed: no answer, or one that the script did not expect.
    pub failed: u64,
    /// All of them, by HTTP status; 0: no answer.
    pub statuses: BTreeMap<u16, u64>,
    /// How long they took.
    pub latency: Histogram,
}

impl RouteSecond {
    /// How many requests ended, with an answer or without one.
    pub fn requests(&self) -> u64 {
        self.statuses.values().sum()
    }
}

/// How often a check held, and how often not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CheckCount {
    /// How often it held.
    pub passed: u64,
    /// How often it did not.
    pub failed: u64,
}

/// What a process of the shop used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InstanceSamples {
    /// The component.
    pub component: String,
    /// The instance.
    pub instance: String,
    /// Processor time over the whole test, in seconds.
    pub cpu_seconds: f64,
    /// The seconds in which it was looked at.
    pub points: Vec<ResourcePoint>,
}

/// What the load generator used in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GeneratorPoint {
    /// Which second.
    pub second: u32,
    /// Cores used.
    pub cpu: f64,
    /// How long its threads wanted a core and waited for one, in seconds over all threads (`/proc/PID/task/*/schedstat`,
    /// the second number); `None`: the kernel does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<f64>,
    /// How much too late users woke who had thought for as long as they wanted, in milliseconds on average; `None`:
    /// nobody thought, or the script does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late: Option<f64>,
}

impl Samples {
    /// Counts a request that ended in a second. Status 0: there was no answer.
    pub fn request(
        &mut self,
        second: u32,
        route: &str,
        status: u16,
        failed: bool,
        latency: Duration,
    ) {
        let entry = self.requests.entry((route.to_owned(), second)).or_default();
        entry.failed += u64::from(failed);
        *entry.statuses.entry(status).or_default() += 1;
        // What was never answered took no time that could be told.
        if status != 0 {
            entry.latency.record(latency);
        }
    }

    /// Counts the outcome of a check.
    pub fn check(&mut self, name: &str, held: bool) {
        let count = self.checks.entry(name.to_owned()).or_default();
        if held {
            count.passed += 1;
        } else {
            count.failed += 1;
        }
    }

    /// Writes the file.
    pub fn write(&self, to: impl Write) -> io::Result<()> {
        let mut encoder = zstd::Encoder::new(to, 12)?;
        encoder.include_checksum(true)?;
        for record in self.records() {
            serde_json::to_writer(&mut encoder, &record)?;
            encoder.write_all(b"\n")?;
        }
        encoder.finish()?.flush()
    }

    /// Reads a file.
    pub fn read(from: impl Read) -> Result<Self, ReadSamplesError> {
        let decoder = zstd::Decoder::new(from)?.take(MOST_BYTES);
        let mut samples = Self::default();
        let mut ended = false;
        for (number, line) in BufReader::new(decoder).lines().enumerate() {
            let line = line?;
            if ended {
                return Err(ReadSamplesError::AfterTheEnd);
            }
            // A newer file may say things that this program does not know: its version comes first.
            let record: Record = match serde_json::from_str(&line) {
                Ok(record) => record,
                Err(source) => {
                    return Err(newer(&line).unwrap_or(ReadSamplesError::Line {
                        number: number + 1,
                        source,
                    }));
                }
            };
            if let Record::Head { version, .. } = record
                && version != VERSION
            {
                return Err(ReadSamplesError::Version { found: version });
            }
            if (number == 0) != matches!(record, Record::Head { .. }) {
                return Err(ReadSamplesError::Head);
            }
            ended = matches!(record, Record::End);
            samples.take(record);
        }
        if ended {
            Ok(samples)
        } else {
            Err(ReadSamplesError::Truncated)
        }
    }
}

/// Why a file of samples cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadSamplesError {
    /// It cannot be read or unpacked.
    #[error("failed to unpack the samples")]
    Unpack(#[from] io::Error),
    /// A line is not what it must be.
    #[error("failed to read line {number} of the samples")]
    Line {
        /// Which.
        number: usize,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// It is of a version that this program does not know.
    #[error("the samples are of version {found}, and this shopctl reads version {VERSION}")]
    Version {
        /// The version.
        found: u32,
    },
    /// The head is missing, or not where it must be.
    #[error("the samples do not begin with their head")]
    Head,
    /// It ends before its end.
    #[error("the samples end before their end")]
    Truncated,
    /// There is more behind the end.
    #[error("the samples go on behind their end")]
    AfterTheEnd,
}

fn newer(line: &str) -> Option<ReadSamplesError> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let found = line.get("head")?.get("version")?.as_u64()?;
    let found = u32::try_from(found).unwrap_or(u32::MAX);
    (found > VERSION).then_some(ReadSamplesError::Version { found })
}

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
enum Record {
    Head {
        version: u32,
        offered_microseconds: u64,
        iterations: u64,
        dropped_iterations: u64,
        cores_available: f64,
    },
    Requests {
        route: String,
        second: u32,
        seen: RouteSecond,
    },
    Check {
        name: String,
        count: CheckCount,
    },
    StockLeft {
        second: u32,
        pieces: u64,
    },
    Instance(InstanceSamples),
    Generator(GeneratorPoint),
    Acknowledged(Acknowledged),
    BooksUnread {
        reason: String,
    },
    BooksRead {
        unsettled: u64,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unsettled_keys: Vec<String>,
    },
    BookedOrder(BookedOrder),
    BookedProduct(BookedProduct),
    End,
}

impl Samples {
    fn records(&self) -> impl Iterator<Item = Record> + '_ {
        let head = Record::Head {
            version: VERSION,
            offered_microseconds: u64::try_from(self.offered.as_micros()).unwrap_or(u64::MAX),
            iterations: self.iterations,
            dropped_iterations: self.dropped_iterations,
            cores_available: self.cores_available,
        };
        let requests = self
            .requests
            .iter()
            .map(|((route, second), seen)| Record::Requests {
                route: route.clone(),
                second: *second,
                seen: seen.clone(),
            });
        let checks = self.checks.iter().map(|(name, count)| Record::Check {
            name: name.clone(),
            count: *count,
        });
        let stock = self
            .stock_left
            .iter()
            .map(|(second, pieces)| Record::StockLeft {
                second: *second,
                pieces: *pieces,
            });
        std::iter::once(head)
            .chain(requests)
            .chain(checks)
            .chain(stock)
            .chain(self.instances.iter().cloned().map(Record::Instance))
            .chain(self.generator.iter().copied().map(Record::Generator))
            .chain(self.acknowledged.iter().cloned().map(Record::Acknowledged))
            .chain(records_of(&self.books))
            .chain([Record::End])
    }

    fn take(&mut self, record: Record) {
        match record {
            Record::Head {
                offered_microseconds,
                iterations,
                dropped_iterations,
                cores_available,
                version: _,
            } => {
                self.offered = Duration::from_micros(offered_microseconds);
                self.iterations = iterations;
                self.dropped_iterations = dropped_iterations;
                self.cores_available = cores_available;
            }
            Record::Requests {
                route,
                second,
                seen,
            } => drop(self.requests.insert((route, second), seen)),
            Record::Check { name, count } => drop(self.checks.insert(name, count)),
            Record::StockLeft { second, pieces } => drop(self.stock_left.insert(second, pieces)),
            Record::Instance(instance) => self.instances.push(instance),
            Record::Generator(point) => self.generator.push(point),
            Record::Acknowledged(acknowledged) => self.acknowledged.push(acknowledged),
            Record::BooksUnread { reason } => self.books = Books::Unread { reason },
            Record::BooksRead {
                unsettled,
                unsettled_keys,
            } => {
                self.books = Books::Read {
                    orders: Vec::new(),
                    products: Vec::new(),
                    unsettled,
                    unsettled_keys,
                };
            }
            Record::BookedOrder(order) => {
                if let Books::Read { orders, .. } = &mut self.books {
                    orders.push(order);
                }
            }
            Record::BookedProduct(product) => {
                if let Books::Read { products, .. } = &mut self.books {
                    products.push(product);
                }
            }
            Record::End => {}
        }
    }
}

fn records_of(books: &Books) -> Vec<Record> {
    match books {
        Books::NotNeeded => Vec::new(),
        Books::Unread { reason } => vec![Record::BooksUnread {
            reason: reason.clone(),
        }],
        Books::Read {
            orders,
            products,
            unsettled,
            unsettled_keys,
        } => [Record::BooksRead {
            unsettled: *unsettled,
            unsettled_keys: unsettled_keys.clone(),
        }]
        .into_iter()
        .chain(orders.iter().cloned().map(Record::BookedOrder))
        .chain(products.iter().cloned().map(Record::BookedProduct))
        .collect(),
    }
}
