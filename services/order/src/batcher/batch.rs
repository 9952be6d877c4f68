//! A batch: requests that are decided together and, for each, everybody who waits for its decision. Pure.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

use super::queue::Undecided;
use crate::order::{Decision, IdempotencyKey, OrderRequest};
use crate::sale_lock::HeldLock;

/// A request on its way to a decision.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) request: OrderRequest,
    pub(super) answer: oneshot::Sender<Result<Decision, Undecided>>,
    /// When its caller stops waiting.
    pub(super) deadline: Instant,
    /// Released when this is dropped: after the decision, or when nobody waits for one any more.
    pub(super) lock: Option<HeldLock>,
}

impl Pending {
    /// Whether its caller still waits for a decision.
    fn is_awaited(&self, now: Instant) -> bool {
        !self.answer.is_closed() && now < self.deadline
    }

    /// Tells the caller, if it is still there, and only then releases its lock.
    fn hear(self, answer: Result<Decision, Undecided>) {
        let _gone = self.answer.send(answer);
        drop(self.lock);
    }
}

/// Whoever asked for the same order, the first of them first.
type Waiters = Vec<Pending>;

/// What is decided together, in the order of arrival.
#[derive(Debug, Default)]
pub(super) struct Batch {
    waiters: Vec<Waiters>,
}

impl Batch {
    /// Merges what has arrived: one item for requests that are the same. A request that has its key in common with an
    /// earlier one but asks for something else is handed back, to be decided after it.
    pub(super) fn merge(arrived: impl IntoIterator<Item = Pending>) -> (Self, Vec<Pending>) {
        let mut batch = Self::default();
        let mut later = Vec::new();
        let mut places: HashMap<(Uuid, IdempotencyKey), usize> = HashMap::new();
        let now = Instant::now();
        for pending in arrived {
            if !pending.is_awaited(now) {
                continue;
            }
            let request = &pending.request;
            match places.entry((request.customer_id, request.key.clone())) {
                Entry::Vacant(place) => {
                    place.insert(batch.waiters.len());
                    batch.waiters.push(vec![pending]);
                }
                Entry::Occupied(place) => {
                    let waiters = &mut batch.waiters[*place.get()];
                    if waiters[0].request.body_hash() == request.body_hash() {
                        waiters.push(pending);
                    } else {
                        later.push(pending);
                    }
                }
            }
        }
        (batch, later)
    }

    /// How many different orders these are.
    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Whether nobody is left.
    pub(super) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// The orders to decide.
    pub(super) fn requests(&self) -> Vec<&OrderRequest> {
        self.waiters
            .iter()
            .map(|waiters| &waiters[0].request)
            .collect()
    }

    /// Drops the orders that nobody waits for any more. If one of them has been decided already, its key tells.
    pub(super) fn forget_abandoned(&mut self) {
        let now = Instant::now();
        self.waiters
            .retain(|waiters| waiters.iter().any(|pending| pending.is_awaited(now)));
    }

    /// When the last caller stops waiting: no attempt has to last any longer.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let all = self.waiters.iter().flatten();
        all.map(|pending| pending.deadline).max()
    }

    /// The first half and the rest.
    pub(super) fn halve(mut self) -> (Self, Self) {
        let rest = self.waiters.split_off(self.waiters.len().div_ceil(2));
        (self, Self { waiters: rest })
    }

    /// Answers everybody. An item without a decision is handed back to be decided again.
    ///
    /// Whoever asked first for a new order gets it as new, the others as a repetition.
    pub(super) fn answer(self, decisions: Vec<Option<Decision>>) -> Self {
        let mut again = Self::default();
        for (waiters, decision) in self.waiters.into_iter().zip(decisions) {
            let Some(mut decision) = decision else {
                again.waiters.push(waiters);
                continue;
            };
            for pending in waiters {
                pending.hear(Ok(decision.clone()));
                decision.replayed = true;
            }
        }
        again
    }

    /// Tells everybody that there is no decision.
    pub(super) fn fail(self, why: Undecided) {
        for pending in self.waiters.into_iter().flatten() {
            pending.hear(Err(why));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::order::Outcome;

    type Answers = oneshot::Receiver<Result<Decision, Undecided>>;

    const CUSTOMERS: [Uuid; 2] = [Uuid::from_u128(1), Uuid::from_u128(2)];

    fn pending(customer: usize, key: &str, quantity: i32) -> (Pending, Answers) {
        let (answer, answers) = oneshot::channel();
        let request = OrderRequest {
            decision_id: Uuid::now_v7(),
            customer_id: CUSTOMERS[customer],
            key: key.parse().unwrap(),
            product_id: Uuid::from_u128(9),
            quantity,
            tag: None,
        };
        (
            Pending {
                request,
                answer,
                deadline: Instant::now() + Duration::from_mins(1),
                lock: None,
            },
            answers,
        )
    }

    const NOT_FOUND: Decision = Decision {
        outcome: Outcome::NotFound,
        replayed: false,
    };

    fn keys(batch: &Batch) -> Vec<&str> {
        batch
            .requests()
            .iter()
            .map(|request| request.key.as_str())
            .collect()
    }

    #[test]
    fn different_orders_keep_the_order_of_their_arrival() {
        let (arrived, _answers): (Vec<_>, Vec<_>) =
            ["c", "a", "b"].iter().map(|key| pending(0, key, 1)).unzip();
        let (batch, later) = Batch::merge(arrived);
        assert_eq!(keys(&batch), ["c", "a", "b"]);
        assert!(later.is_empty());
    }

    #[test]
    fn the_same_order_twice_is_decided_once_and_the_second_hears_that_it_is_a_repetition() {
        let ((first, mut first_answer), (second, mut second_answer)) =
            (pending(0, "a", 1), pending(0, "a", 1));
        let (batch, _) = Batch::merge([first, second]);
        assert_eq!(batch.len(), 1);
        batch.answer(vec![Some(NOT_FOUND)]);
        assert!(!first_answer.try_recv().unwrap().unwrap().replayed);
        assert!(second_answer.try_recv().unwrap().unwrap().replayed);
    }

    #[test]
    fn two_customers_may_use_the_same_key() {
        let (arrived, _answers): (Vec<_>, Vec<_>) = [0, 1]
            .map(|customer| pending(customer, "a", 1))
            .into_iter()
            .unzip();
        assert_eq!(Batch::merge(arrived).0.len(), 2);
    }

    #[test]
    fn the_same_key_with_another_body_waits_for_the_next_batch() {
        let ((first, _a), (second, _b)) = (pending(0, "a", 1), pending(0, "a", 2));
        let (batch, later) = Batch::merge([first, second]);
        assert_eq!(batch.len(), 1);
        assert_eq!(later.len(), 1);
        assert_eq!(later[0].request.quantity, 2);
    }

    #[test]
    fn an_order_is_forgotten_only_when_nobody_at_all_waits_for_it() {
        let ((first, first_answer), (second, _second)) = (pending(0, "a", 1), pending(0, "a", 1));
        let (third, third_answer) = pending(0, "b", 1);
        let (mut batch, _) = Batch::merge([first, second, third]);
        drop((first_answer, third_answer));
        batch.forget_abandoned();
        assert_eq!(keys(&batch), ["a"]);
    }

    #[test]
    fn a_batch_lasts_as_long_as_its_most_patient_caller_and_an_order_whose_time_is_up_is_forgotten()
    {
        let ((mut first, _a), (second, _b)) = (pending(0, "a", 1), pending(0, "b", 1));
        let last = second.deadline;
        first.deadline = Instant::now();
        let (mut batch, _) = Batch::merge([second]);
        assert_eq!(batch.deadline(), Some(last));
        batch.waiters.push(vec![first]);
        assert_eq!(batch.deadline(), Some(last));
        batch.forget_abandoned();
        assert_eq!(keys(&batch), ["b"]);
        assert_eq!(Batch::default().deadline(), None);
    }

    #[test]
    fn what_is_abandoned_before_it_is_gathered_is_not_decided() {
        let (first, answers) = pending(0, "a", 1);
        drop(answers);
        assert!(Batch::merge([first]).0.is_empty());
    }

    #[test]
    fn halves_keep_the_order_and_lose_nobody() {
        let (arrived, _answers): (Vec<_>, Vec<_>) = ["a", "b", "c", "d", "e"]
            .iter()
            .map(|key| pending(0, key, 1))
            .unzip();
        let (first, second) = Batch::merge(arrived).0.halve();
        assert_eq!(keys(&first), ["a", "b", "c"]);
        assert_eq!(keys(&second), ["d", "e"]);
    }

    #[test]
    fn an_item_without_a_decision_is_handed_back_with_all_who_wait_for_it() {
        let ((first, mut first_answer), (second, mut second_answer)) =
            (pending(0, "a", 1), pending(0, "b", 1));
        let (batch, _) = Batch::merge([first, second]);
        let again = batch.answer(vec![None, Some(NOT_FOUND)]);
        assert_eq!(keys(&again), ["a"]);
        assert!(second_answer.try_recv().is_ok());
        assert!(first_answer.try_recv().is_err());
        again.fail(Undecided::Unavailable);
        assert_eq!(
            first_answer.try_recv().unwrap(),
            Err(Undecided::Unavailable)
        );
    }
}
