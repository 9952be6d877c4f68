//! A history as an honest shop leaves it, for tests to spoil.

use uuid::Uuid;

use super::history::{
    Action, BookedOrder, Books, Ending, Expected, Fault, FaultKind, HISTORY_VERSION, History,
    LockLook, Micros, Operation, OrderSeen, Outcome, Phase, PhaseBegins, Plan, ProductBooks,
    ProductStock, Record, SaleTerms, Seen, Settlement, Sight, StaleLock, StaleLocks, Told,
};

const SECOND: Micros = 1_000_000;
/// Operations a second: an order and the read of it, in turn.
pub(super) const RATE: u32 = 100;
/// Pieces that came in: more than are asked for, so that nobody is refused.
pub(super) const PIECES: i64 = 10_000;
/// The steady part, then the fault, then what follows it.
pub(super) const FAULT_AT: Micros = 5 * SECOND;
pub(super) const END: Micros = 30 * SECOND;

pub(super) fn product() -> Uuid {
    Uuid::from_u128(7)
}

pub(super) fn customer() -> Uuid {
    Uuid::from_u128(1)
}

fn key(number: u64) -> String {
    format!("drill-{number}")
}

/// The order that operation `number` placed.
pub(super) fn order(number: u64) -> OrderSeen {
    OrderSeen {
        id: Uuid::from_u128(1_000_000 + u128::from(number)),
        product: product(),
        quantity: 1,
        unit_price_minor: 1990,
        currency: "EUR".to_owned(),
    }
}

fn operation(number: u64, action: Action, told: Told) -> Operation {
    let began = number * SECOND / u64::from(RATE);
    Operation {
        number,
        customer: customer(),
        action,
        began,
        ended: began + 2_000,
        attempts: 1,
        outcome: Outcome::Ok,
        status: Some(201),
        reason: None,
        told: Some(told),
    }
}

/// A run in which `redis-0` was killed and nobody noticed but Redis' own clients.
pub(super) fn honest() -> History {
    let mut records = vec![Record::Plan(Plan {
        version: HISTORY_VERSION,
        scenario: "redis-master".to_owned(),
        hypothesis: "orders go on".to_owned(),
        run: 1,
        seed: 1,
        number: 0,
        of: 0,
        users: 0,
        environment: "local".to_owned(),
        operations_per_second: RATE,
        hold_grace_micros: SECOND,
        products: vec![ProductStock {
            product: product(),
            pieces: PIECES,
        }],
        objectives: Vec::new(),
        expected: vec![Expected::AnotherMaster],
        sale: None,
    })];
    for (at, phase) in [
        (0, Phase::Steady),
        (FAULT_AT, Phase::Faulty),
        (END, Phase::Draining),
        (END + SECOND, Phase::Accounting),
    ] {
        records.push(Record::Phase(PhaseBegins { at, phase }));
    }
    records.push(Record::Fault(Fault {
        at: FAULT_AT,
        kind: FaultKind::Kill,
        instance: "redis-0".to_owned(),
        process: "4242@77".to_owned(),
        others: Vec::new(),
        evidence: Some("ended by signal 9".to_owned()),
        confirmed: true,
    }));
    records.extend(sights());
    let last = END / SECOND * u64::from(RATE);
    for number in 0..last {
        if number % 2 == 0 {
            let action = Action::Order {
                key: key(number),
                product: product(),
                quantity: 1,
            };
            records.push(Record::Operation(operation(
                number,
                action,
                Told::Confirmed(order(number)),
            )));
            records.push(Record::Order(BookedOrder {
                customer: customer(),
                key: key(number),
                order: order(number),
            }));
        } else {
            let action = Action::Read {
                order: order(number - 1).id,
                key: key(number - 1),
            };
            let told = Told::Confirmed(order(number - 1));
            records.push(Record::Operation(operation(number, action, told)));
        }
    }
    let ordered = i64::try_from(last / 2).unwrap();
    records.push(Record::Books(books(END / 2, ordered / 2)));
    records.push(Record::Books(books(END + 2 * SECOND, ordered)));
    records.push(Record::Ending(Ending {
        at: END + 3 * SECOND,
        redis_masters: vec!["127.0.0.1:2".to_owned()],
        redis_replicas: 2,
        redis_replicas_wanted: 2,
        sentinel_views: vec!["127.0.0.1:2".to_owned(); 3],
        sentinels_wanted: 3,
        not_ready: Vec::new(),
    }));
    History::new(records).unwrap()
}

fn books(at: Micros, ordered: i64) -> Books {
    Books {
        at,
        products: vec![ProductBooks {
            product: product(),
            received: PIECES,
            free: PIECES - ordered,
            held: 0,
            sold: ordered,
            ordered,
        }],
        overdue_micros: 0,
    }
}

fn sights() -> Vec<Record> {
    let redis = |master: &str, epoch, down| Seen::Redis {
        master: Some(master.to_owned()),
        epoch,
        down,
        sentinels: 3,
    };
    let instance = |pid, ready| Seen::Instance {
        instance: "redis-0".to_owned(),
        state: "running".to_owned(),
        ready,
        role: None,
        pid: Some(pid),
        process: None,
        restarts: u64::from(pid == 5252),
        last_exit: (pid == 5252).then(|| "its last process was ended by signal 9".to_owned()),
    };
    [
        (0, instance(4242, true)),
        (FAULT_AT + 1_500_000, instance(5252, true)),
        (0, redis("127.0.0.1:1", 0, false)),
        (0, Seen::RedisWritable { writable: true }),
        (FAULT_AT + 20_000, Seen::RedisWritable { writable: false }),
        (FAULT_AT + 1_200_000, redis("127.0.0.1:1", 0, true)),
        (FAULT_AT + 2_000_000, redis("127.0.0.1:2", 1, false)),
        (FAULT_AT + 2_400_000, Seen::RedisWritable { writable: true }),
    ]
    .into_iter()
    .map(|(at, seen)| Record::Sight(Sight { at, seen }))
    .collect()
}

/// The product in the sale of [`hung_holder`].
pub(super) fn sale_product() -> Uuid {
    Uuid::from_u128(8)
}

/// A customer of that sale.
pub(super) fn buyer() -> Uuid {
    Uuid::from_u128(2)
}

/// What the buyer ordered while the holder of his lock hung.
pub(super) fn begun() -> OrderSeen {
    OrderSeen {
        id: Uuid::from_u128(2_000_000),
        product: sale_product(),
        ..order(0)
    }
}

/// A run in which `order-1` hung with a customer's lock, and went on when somebody else had it.
pub(super) fn hung_holder() -> History {
    const PIECES: i64 = 10;
    let mut history = honest();
    history.plan.sale = Some(SaleTerms {
        product: sale_product(),
        limit_per_customer: 1,
        lock_micros: 5 * SECOND,
    });
    history.plan.products.push(ProductStock {
        product: sale_product(),
        pieces: PIECES,
    });
    for books in &mut history.books {
        books.products.push(ProductBooks {
            product: sale_product(),
            received: PIECES,
            free: PIECES - 1,
            held: 0,
            sold: 1,
            ordered: 1,
        });
    }
    let fault = |at, kind| Fault {
        at,
        kind,
        instance: "order-1".to_owned(),
        process: "4243@78".to_owned(),
        others: Vec::new(),
        evidence: None,
        confirmed: true,
    };
    history.plan.expected.clear();
    history.sights.retain(|sight| {
        !matches!(
            sight.seen,
            Seen::Instance {
                pid: Some(5252),
                ..
            }
        )
    });
    let gone_on = FAULT_AT + 52 * SECOND / 10;
    history.faults = vec![
        fault(FAULT_AT, FaultKind::Stop),
        fault(gone_on, FaultKind::Continue),
    ];
    let refused = Told::Refused {
        verdict: "limit-reached".to_owned(),
    };
    let confirmed = Told::Confirmed(begun());
    for (number, began, told) in [
        (1_000_000, FAULT_AT - 2_000, &confirmed),
        (1_000_001, FAULT_AT + 5_100_000, &refused),
    ] {
        let action = Action::Order {
            key: key(number),
            product: sale_product(),
            quantity: 1,
        };
        history.operations.push(Operation {
            customer: buyer(),
            began,
            ended: began + 50_000,
            ..operation(number, action, told.clone())
        });
        history.settlements.push(Settlement {
            operation: number,
            by_key: Some(told.clone()),
            replay: Some(told.clone()),
        });
    }
    history.orders.push(BookedOrder {
        customer: buyer(),
        key: key(1_000_000),
        order: begun(),
    });
    history.stale_locks = Some(StaleLocks {
        instance: "order-1".to_owned(),
        tries: 1,
        reason: None,
        stale_before: Some(0),
        stale_after: Some(1),
        locks: vec![StaleLock {
            key: "lock:s:p:c".to_owned(),
            customer: buyer(),
            operation: 1_000_000,
            stale_token: "old".to_owned(),
            seen_at: FAULT_AT + 300_000,
            left_micros: 4_700_000,
            expired_at: Some(FAULT_AT + 5_010_000),
            next_operation: Some(1_000_001),
            taken_at: Some(FAULT_AT + 5_190_000),
            new_token: Some("new".to_owned()),
            looks: vec![LockLook {
                at: gone_on + 1_000,
                token: Some("new".to_owned()),
            }],
            watched_until: Some(gone_on + SECOND),
        }],
    });
    history
}

#[test]
fn a_history_of_the_first_version_is_read_and_one_of_the_next_is_not() {
    let with = |version| {
        let mut plan = serde_json::to_value(Record::Plan(honest().plan)).unwrap();
        plan["version"] = version;
        History::parse(&plan.to_string())
    };
    assert_eq!(with(1.into()).unwrap().plan.sale, None);
    assert!(with((HISTORY_VERSION + 1).into()).is_err());
    assert!(with(0.into()).is_err());
}

#[test]
fn a_history_is_read_back_as_it_was_written() {
    let plan = honest().plan;
    let records = [
        Record::Plan(plan.clone()),
        Record::Operation(operation(
            0,
            Action::Login,
            Told::Refused {
                verdict: "sold-out".to_owned(),
            },
        )),
        sights().remove(5),
        Record::StaleLocks(hung_holder().stale_locks.unwrap()),
    ];
    let text: Vec<String> = records
        .iter()
        .map(|record| serde_json::to_string(record).unwrap())
        .collect();
    assert_eq!(
        History::parse(&text.join("\n")).unwrap(),
        History::new(records).unwrap()
    );
}

#[test]
fn a_line_that_is_no_record_is_named() {
    let plan = serde_json::to_string(&Record::Plan(honest().plan)).unwrap();
    let error = History::parse(&format!("{plan}\n{{\"record\":\"x\"}}")).unwrap_err();
    assert!(error.to_string().contains("line 2"), "{error}");
    assert!(History::parse("").is_err());
}
