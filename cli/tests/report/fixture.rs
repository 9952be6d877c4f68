//! A load test that never was: the same facts and samples at every call, without a clock or chance.

use std::sync::LazyLock;
use std::time::Duration;

use shopctl::environment::{LoadKind, LoadObjectives, Target};
use shopctl::report::{
    Acknowledged, BookedOrder, BookedProduct, Books, GeneratorPoint, Hardware, InstanceSamples,
    LoadAverage, LoadAverages, LoadFacts, Profile, ResourcePoint, Samples, Software, limits,
    report_id,
};
use time::OffsetDateTime;
use time::macros::datetime;

/// When the load test that never was began.
pub(crate) const STARTED_AT: OffsetDateTime = datetime!(2026-11-21 14:42:05 UTC);

/// How long it lasted.
pub(crate) const SECONDS: u32 = 60;

/// A sequence that looks like chance and is always the same (Steele's `SplitMix64`).
#[derive(Debug)]
pub(crate) struct Sequence(pub(crate) u64);

impl Sequence {
    /// The next number, from 0 to 1.
    pub(crate) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// What ran where.
pub(crate) fn facts() -> LoadFacts {
    facts_at(STARTED_AT)
}

/// The same at another time.
pub(crate) fn facts_at(started_at: OffsetDateTime) -> LoadFacts {
    LoadFacts {
        id: report_id(started_at, "browse"),
        environment: "local".to_owned(),
        target: Target::Local,
        profile: Profile {
            name: "browse".to_owned(),
            kind: LoadKind::Browse,
            vus: 1000,
            duration_seconds: f64::from(SECONDS),
            rate: None,
            think_time_milliseconds: 1000,
            logins_per_second: 5,
            stock: None,
            script: None,
            script_sha256: Some("5c".repeat(32)),
        },
        started_at,
        ended_at: started_at + Duration::from_secs(SECONDS.into()),
        interrupted: false,
        software: Software {
            shopctl: "0.1.0".to_owned(),
            commit: "1a2b3c4d5e6f".to_owned(),
            k6: Some("1.1.0".to_owned()),
            postgres: Some("15.14".to_owned()),
            redis: Some("7.0.15".to_owned()),
            kernel: Some("6.1.0-40-amd64".to_owned()),
            os: Some("Debian GNU/Linux 12 (bookworm)".to_owned()),
        },
        hardware: Hardware {
            cpu_model: Some("Example CPU @ 2.80GHz".to_owned()),
            cores: 2,
            memory_bytes: 24 << 30,
        },
        environment_sha256: "ab".repeat(32),
        load_average: LoadAverages {
            before: LoadAverage {
                one_minute: 0.31,
                five_minutes: 0.4,
                fifteen_minutes: 0.52,
            },
            after: LoadAverage {
                one_minute: 1.62,
                five_minutes: 0.71,
                fifteen_minutes: 0.6,
            },
        },
        limits: limits(&LoadObjectives::default()),
    }
}

const ROUTES: [(&str, u16, f64, f64); 5] = [
    ("GET /echo", 200, 0.30, 2.0),
    ("GET /products", 200, 0.30, 4.0),
    ("GET /products/{id}", 200, 0.25, 3.0),
    ("POST /orders", 201, 0.145, 8.0),
    ("POST /auth/login", 200, 0.005, 40.0),
];

/// A good run: a thousand requests a second, a dip in the middle, exact books.
pub(crate) fn samples() -> Samples {
    static SAMPLES: LazyLock<Samples> = LazyLock::new(|| samples_with(1, 1.0));
    SAMPLES.clone()
}

/// A run of another chance, where everything takes so many times as long.
pub(crate) fn samples_with(seed: u64, slowness: f64) -> Samples {
    let mut chance = Sequence(seed);
    let mut samples = Samples {
        offered: Duration::from_millis(60_012),
        iterations: 12_400,
        cores_available: 2.0,
        ..Samples::default()
    };
    let mut stock = 20_000;
    for second in 0..SECONDS {
        let ramp = (f64::from(second + 1) / 3.0).min(1.0);
        let busy = if (30..33).contains(&second) {
            4.0
        } else {
            1.0 + 0.2 * (f64::from(second) / 7.0).sin()
        };
        for (route, status, share, typical) in ROUTES {
            let requests = 1050.0 * ramp * share * (0.97 + 0.06 * chance.next());
            let mut left = requests;
            while left >= 1.0 {
                left -= 1.0;
                // Most answers are quick and a few are not: a product of two skewed numbers.
                let latency = typical * busy * slowness * (0.5 + chance.next().powi(2))
                    / (0.08 + chance.next());
                samples.request(
                    second,
                    route,
                    status,
                    false,
                    Duration::from_secs_f64(latency / 1_000.0),
                );
                samples.check("the answer is the expected one", true);
                if status == 201 {
                    let number = samples.acknowledged.len();
                    samples.acknowledged.push(Acknowledged {
                        second,
                        order: format!("01930000-0000-7000-8000-{number:012x}"),
                        key: format!("load-{}-{}", number % 1000, number / 1000),
                        product: format!("0192ffff-0000-7000-8000-{:012x}", number % 3),
                        quantity: 1,
                    });
                    stock -= 1;
                }
            }
        }
        if second % 2 == 0 {
            samples.stock_left.insert(second, stock);
        }
        samples.generator.push(GeneratorPoint {
            second,
            cpu: 0.35 * ramp + 0.05 * chance.next(),
            waiting: Some(0.02 + 0.02 * chance.next()),
            late: Some(0.6),
        });
    }
    samples.instances = instances(&mut chance);
    samples.books = books(&samples.acknowledged);
    samples
}

fn instances(chance: &mut Sequence) -> Vec<InstanceSamples> {
    [
        ("auth", "auth-0", 0.06, 14.0),
        ("gateway", "gateway-0", 0.12, 16.0),
        ("gateway", "gateway-1", 0.12, 16.0),
        ("order", "order-0", 0.10, 15.0),
        ("order", "order-1", 0.10, 15.0),
        ("postgres", "postgres-0", 0.25, 120.0),
        ("product", "product-0", 0.09, 15.0),
        ("redis", "redis-0", 0.03, 12.0),
    ]
    .map(|(component, instance, cpu, megabytes)| {
        let points: Vec<ResourcePoint> = (0..SECONDS)
            .map(|second| ResourcePoint {
                second,
                cpu: (cpu * (0.8 + 0.4 * chance.next()) * 1_000.0).round() / 1_000.0,
                resident_bytes: bytes(megabytes * (1.0 + f64::from(second) / 600.0)),
            })
            .collect();
        InstanceSamples {
            component: component.to_owned(),
            instance: instance.to_owned(),
            cpu_seconds: points.iter().map(|point| point.cpu).sum(),
            points,
        }
    })
    .to_vec()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is small and positive"
)]
fn bytes(megabytes: f64) -> u64 {
    (megabytes * 1_048_576.0) as u64
}

/// Books that agree with what was acknowledged.
pub(crate) fn books(acknowledged: &[Acknowledged]) -> Books {
    let orders: Vec<BookedOrder> = acknowledged
        .iter()
        .map(|told| BookedOrder {
            order: told.order.clone(),
            customer: format!("01920000-0000-7000-8000-{:012}", told.key.len()),
            key: told.key.clone(),
            product: told.product.clone(),
            quantity: told.quantity,
        })
        .collect();
    let mut names: Vec<&String> = orders.iter().map(|order| &order.product).collect();
    names.sort();
    names.dedup();
    let products = names
        .into_iter()
        .map(|product| {
            let pieces = orders.iter().filter(|order| &order.product == product);
            let sold = pieces.map(|order| i64::from(order.quantity)).sum();
            BookedProduct {
                product: product.clone(),
                received: 10_000,
                free: 10_000 - sold,
                held: 0,
                sold,
                refused: None,
            }
        })
        .collect();
    Books::Read {
        orders,
        products,
        unsettled: 0,
        unsettled_keys: Vec::new(),
    }
}
