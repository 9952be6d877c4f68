//! A lane with a decider that fails as it is told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use uuid::Uuid;

use super::*;
use crate::batcher::Batcher;
use crate::order::Outcome;

const SETTINGS: BatcherSettings = BatcherSettings {
    lanes: 1,
    batch_size: 1024,
    queue_size: 4096,
    linger: Duration::from_millis(2),
    patience: Duration::from_secs(5),
};

/// Writes down what it is asked; a key that begins with `bad` is rejected, with all its batch.
#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    /// The keys of each attempt.
    attempts: Vec<Vec<String>>,
    /// Decided keys and how many pieces each asked for.
    decided: HashMap<String, i32>,
    /// Attempts to interrupt before the next one succeeds.
    interruptions: usize,
    /// Keys to hand back once.
    unsettled: Vec<String>,
    /// Closed until somebody opens it.
    gate: Option<Arc<tokio::sync::Semaphore>>,
}

fn failure() -> sqlx::Error {
    sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into())
}

impl Decide for Scripted {
    async fn decide(&mut self, requests: &[&OrderRequest]) -> Result<Vec<Verdict>, Attempt> {
        let keys: Vec<_> = requests
            .iter()
            .map(|request| request.key.to_string())
            .collect();
        let gate = {
            let mut script = self.0.lock().unwrap();
            script.attempts.push(keys.clone());
            script.gate.clone()
        };
        if let Some(gate) = gate {
            gate.acquire().await.unwrap().forget();
        }
        let mut script = self.0.lock().unwrap();
        if script.interruptions > 0 {
            script.interruptions -= 1;
            return Err(Attempt::Interrupted(failure()));
        }
        if keys.iter().any(|key| key.starts_with("bad")) {
            return Err(Attempt::Rejected(failure()));
        }
        let verdicts = requests.iter().map(|request| {
            let key = request.key.to_string();
            if let Some(place) = script.unsettled.iter().position(|one| *one == key) {
                script.unsettled.remove(place);
                return None;
            }
            let earlier = script.decided.get(&key).copied();
            script.decided.entry(key).or_insert(request.quantity);
            Some(Decision {
                outcome: match earlier {
                    Some(quantity) if quantity != request.quantity => Outcome::KeyReused,
                    _ => Outcome::NotFound,
                },
                replayed: earlier.is_some(),
            })
        });
        Ok(verdicts.collect())
    }
}

impl Scripted {
    fn with(script: Script) -> Self {
        Self(Arc::new(Mutex::new(script)))
    }

    fn attempts(&self) -> Vec<Vec<String>> {
        self.0.lock().unwrap().attempts.clone()
    }

    fn start(&self, settings: BatcherSettings) -> Batcher {
        let (batcher, deciding) = Batcher::new(settings, || self.clone());
        tokio::spawn(deciding);
        batcher
    }
}

fn order(key: &str, quantity: i32) -> OrderRequest {
    OrderRequest {
        decision_id: Uuid::now_v7(),
        customer_id: Uuid::from_u128(1),
        key: key.parse().unwrap(),
        product_id: Uuid::from_u128(9),
        quantity,
        tag: None,
    }
}

/// Sends orders one after the other without waiting for their decisions.
async fn send(
    batcher: &Batcher,
    keys: &[&str],
) -> Vec<tokio::task::JoinHandle<Result<Decision, Undecided>>> {
    let mut sent = Vec::new();
    for key in keys {
        let waiting = batcher.waiting();
        let (batcher_of_task, request) = (batcher.clone(), order(key, 1));
        sent.push(tokio::spawn(async move {
            batcher_of_task.decide(request, None).await
        }));
        until(|| batcher.waiting() > waiting).await;
    }
    sent
}

async fn until(holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !holds() {
        assert!(Instant::now() < deadline, "waited 5 s in vain");
        tokio::task::yield_now().await;
    }
}

/// A lane that is busy with an order `first`, and the gate that keeps it so.
async fn busy_lane(
    script: Script,
    settings: BatcherSettings,
) -> (Scripted, Batcher, Arc<tokio::sync::Semaphore>) {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let decider = Scripted::with(Script {
        gate: Some(Arc::clone(&gate)),
        ..script
    });
    let batcher = decider.start(settings);
    let first = batcher.clone();
    tokio::spawn(async move { first.decide(order("first", 1), None).await });
    until(|| decider.attempts().len() == 1).await;
    (decider, batcher, gate)
}

#[tokio::test]
async fn what_arrives_while_a_batch_is_decided_becomes_the_next_batch_in_order_of_arrival() {
    let (decider, batcher, gate) = busy_lane(Script::default(), SETTINGS).await;
    let sent = send(&batcher, &["c", "a", "b"]).await;
    gate.add_permits(2);
    for answer in sent {
        answer.await.unwrap().unwrap();
    }
    assert_eq!(decider.attempts(), [vec!["first"], vec!["c", "a", "b"]]);
}

#[tokio::test]
async fn a_batch_is_no_larger_than_it_may_be() {
    let settings = BatcherSettings {
        batch_size: 2,
        ..SETTINGS
    };
    let (decider, batcher, gate) = busy_lane(Script::default(), settings).await;
    let sent = send(&batcher, &["a", "b", "c"]).await;
    gate.add_permits(3);
    for answer in sent {
        answer.await.unwrap().unwrap();
    }
    assert_eq!(
        decider.attempts(),
        [vec!["first"], vec!["a", "b"], vec!["c"]]
    );
}

#[tokio::test]
async fn one_item_that_cannot_be_decided_harms_no_other_and_no_order() {
    let (decider, batcher, gate) = busy_lane(Script::default(), SETTINGS).await;
    let sent = send(&batcher, &["a", "b", "bad", "c", "d"]).await;
    gate.add_permits(100);
    let mut answers = Vec::new();
    for answer in sent {
        answers.push(answer.await.unwrap().map(|_| ()));
    }
    assert_eq!(
        answers,
        [Ok(()), Ok(()), Err(Undecided::Failed), Ok(()), Ok(())]
    );
    let harmless: Vec<_> = decider
        .attempts()
        .into_iter()
        .filter(|keys| !keys.iter().any(|key| key == "bad"))
        .flatten()
        .collect();
    assert_eq!(harmless, ["first", "a", "b", "c", "d"]);
}

#[tokio::test]
async fn an_interrupted_batch_is_decided_again_until_it_is() {
    let decider = Scripted::with(Script {
        interruptions: 2,
        ..Script::default()
    });
    let batcher = decider.start(SETTINGS);
    batcher.decide(order("a", 1), None).await.unwrap();
    assert_eq!(decider.attempts(), [["a"], ["a"], ["a"]]);
}

#[tokio::test]
async fn an_order_waits_for_its_decision_only_so_long() {
    let decider = Scripted::with(Script {
        interruptions: usize::MAX,
        ..Script::default()
    });
    let batcher = decider.start(BatcherSettings {
        patience: Duration::from_millis(500),
        ..SETTINGS
    });
    assert_eq!(
        batcher.decide(order("a", 1), None).await,
        Err(Undecided::Unavailable)
    );
    // The lane gives up as well, and is there for the next one.
    decider.0.lock().unwrap().interruptions = 0;
    batcher.decide(order("b", 1), None).await.unwrap();
}

#[tokio::test]
async fn a_decider_that_hangs_is_given_up_and_asked_again() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let decider = Scripted::with(Script {
        gate: Some(Arc::clone(&gate)),
        ..Script::default()
    });
    let batcher = decider.start(BatcherSettings {
        patience: Duration::from_millis(50),
        ..SETTINGS
    });
    assert_eq!(
        batcher.decide(order("a", 1), None).await,
        Err(Undecided::Unavailable)
    );
    gate.add_permits(10);
    batcher.decide(order("b", 1), None).await.unwrap();
}

/// Callers have their own deadline, so a lane that asked longer than the last of them waits would only keep the next
/// ones waiting.
#[tokio::test]
async fn a_decider_that_hangs_holds_its_lane_no_longer_than_somebody_waits() {
    let (decider, gate) = (Scripted::default(), tokio::sync::Semaphore::new(0));
    decider.0.lock().unwrap().gate = Some(Arc::new(gate));
    let (lane, arriving) = mpsc::channel(8);
    let settings = BatcherSettings {
        patience: Duration::from_hours(1),
        ..SETTINGS
    };
    tokio::spawn(Lane::new(arriving, decider.clone(), settings).run());
    let mut answers = Vec::new();
    for (key, patience) in [("a", 50), ("b", 20_000)] {
        let (answer, heard) = tokio::sync::oneshot::channel();
        answers.push(heard);
        let pending = Pending {
            request: order(key, 1),
            answer,
            deadline: tokio::time::Instant::now() + Duration::from_millis(patience),
            lock: None,
        };
        lane.send(pending).await.unwrap();
        until(|| {
            decider
                .attempts()
                .iter()
                .flatten()
                .any(|asked| asked == key)
        })
        .await;
        decider.0.lock().unwrap().gate = None;
    }
    answers.pop().unwrap().await.unwrap().unwrap();
    answers.pop().unwrap().await.unwrap_err();
}

#[tokio::test]
async fn a_full_queue_turns_the_next_order_away_at_once() {
    let settings = BatcherSettings {
        queue_size: 2,
        ..SETTINGS
    };
    let (_decider, batcher, gate) = busy_lane(Script::default(), settings).await;
    let sent = send(&batcher, &["a", "b"]).await;
    assert_eq!(
        batcher.decide(order("c", 1), None).await,
        Err(Undecided::Busy)
    );
    gate.add_permits(10);
    for answer in sent {
        answer.await.unwrap().unwrap();
    }
    batcher.decide(order("c", 1), None).await.unwrap();
}

#[tokio::test]
async fn the_same_key_with_another_body_is_decided_after_the_first() {
    let (decider, batcher, gate) = busy_lane(Script::default(), SETTINGS).await;
    let first = send(&batcher, &["a"]).await.remove(0);
    let other = batcher.clone();
    let second = tokio::spawn(async move { other.decide(order("a", 2), None).await });
    until(|| batcher.waiting() == 2).await;
    gate.add_permits(10);
    assert_eq!(first.await.unwrap().unwrap().outcome, Outcome::NotFound);
    assert_eq!(second.await.unwrap().unwrap().outcome, Outcome::KeyReused);
    assert_eq!(decider.attempts(), [["first"], ["a"], ["a"]]);
}

#[tokio::test]
async fn an_order_whose_client_has_gone_is_withdrawn_if_it_was_not_sent() {
    let (decider, batcher, gate) = busy_lane(Script::default(), SETTINGS).await;
    let mut sent = send(&batcher, &["a", "b"]).await;
    sent[0].abort();
    assert!(sent.remove(0).await.unwrap_err().is_cancelled());
    gate.add_permits(10);
    sent.remove(0).await.unwrap().unwrap();
    assert_eq!(decider.attempts(), [["first"], ["b"]]);
}

#[tokio::test]
async fn an_unsettled_item_is_asked_again_and_the_others_are_not_kept_waiting() {
    let script = Script {
        unsettled: vec!["a".to_owned()],
        ..Script::default()
    };
    let (decider, batcher, gate) = busy_lane(script, SETTINGS).await;
    let sent = send(&batcher, &["a", "b"]).await;
    gate.add_permits(10);
    for answer in sent {
        answer.await.unwrap().unwrap();
    }
    assert_eq!(
        decider.attempts(),
        [vec!["first"], vec!["a", "b"], vec!["a"]]
    );
}

#[tokio::test]
async fn the_lanes_end_when_no_more_can_arrive_and_what_waited_is_decided() {
    let decider = Scripted::default();
    let (batcher, deciding) = Batcher::new(SETTINGS, || decider.clone());
    let sent = send(&batcher, &["a", "b"]).await;
    drop(batcher);
    let sent = tokio::spawn(async move {
        for answer in sent {
            answer.await.unwrap().unwrap();
        }
    });
    deciding.await;
    sent.await.unwrap();
    assert_eq!(decider.attempts(), [["a", "b"]]);
}
