//! What a script says about orders: `order AT KEY STATUS PRODUCT QUANTITY [ID TOTAL]`, a line an order. Pure.

use std::collections::{HashMap, HashSet};

use crate::report::Acknowledged;

/// What customers were told, so far.
#[derive(Debug, Default)]
pub(super) struct OrdersTold {
    acknowledged: Vec<Acknowledged>,
    /// Each order once, however often its customer heard of it.
    seen: HashSet<(String, String)>,
    /// Keys of orders without an outcome, until one comes.
    unsettled: HashSet<String>,
    /// Lines that look like ours and cannot be read, by what is wrong with them.
    strange: HashMap<&'static str, u64>,
}

/// What a line said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// A new order is confirmed.
    Confirmed,
    /// Something else about an order.
    Other,
    /// Nothing about an order: a script may write what it likes.
    Talk,
}

impl OrdersTold {
    /// Takes notice of a line. `second` is that of the test.
    pub(super) fn line(&mut self, line: &str, second: impl Fn(u64) -> u32) -> Told {
        let Some(rest) = line.strip_prefix("order ") else {
            return Told::Talk;
        };
        let words: Vec<&str> = rest.split(' ').collect();
        let (at, key, status, rest) = match words.as_slice() {
            [at, key, status, rest @ ..] => (at.parse::<u64>(), *key, status.parse::<u16>(), rest),
            _ => return self.strange("too short"),
        };
        let (Ok(at), Ok(status)) = (at, status) else {
            return self.strange("no number");
        };
        if status != 201 {
            // A refusal is an outcome. A request that was wrong or one too many did nothing itself, but says nothing
            // about an earlier one with the same key.
            let did_nothing = (400..500).contains(&status) && !matches!(status, 408 | 425);
            if status == 409 {
                self.unsettled.remove(key);
            } else if !did_nothing {
                self.unsettled.insert(key.to_owned());
            }
            return Told::Other;
        }
        let [product, quantity, order, ..] = rest else {
            return self.strange("too short");
        };
        let Ok(quantity) = quantity.parse() else {
            return self.strange("no number");
        };
        self.unsettled.remove(key);
        if !self.seen.insert((key.to_owned(), (*order).to_owned())) {
            return Told::Other;
        }
        self.acknowledged.push(Acknowledged {
            second: second(at),
            order: (*order).to_owned(),
            key: key.to_owned(),
            product: (*product).to_owned(),
            quantity,
        });
        Told::Confirmed
    }

    fn strange(&mut self, why: &'static str) -> Told {
        *self.strange.entry(why).or_default() += 1;
        Told::Other
    }

    /// How many orders are confirmed.
    pub(super) fn acknowledged(&self) -> u64 {
        u64::try_from(self.acknowledged.len()).unwrap_or(u64::MAX)
    }

    /// How many orders have no outcome that their customers know of.
    pub(super) fn unsettled(&self) -> u64 {
        u64::try_from(self.unsettled.len()).unwrap_or(u64::MAX)
    }

    /// Their keys, in order.
    pub(super) fn unsettled_keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.unsettled.iter().cloned().collect();
        keys.sort_unstable();
        keys
    }

    /// How many lines began like ours and could not be read.
    pub(super) fn unreadable(&self) -> u64 {
        self.strange.values().sum()
    }

    /// The orders that customers were given a 201 for.
    pub(super) fn into_acknowledged(self) -> Vec<Acknowledged> {
        self.acknowledged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lines: &[&str]) -> OrdersTold {
        let mut told = OrdersTold::default();
        for line in lines {
            told.line(line, |at| u32::try_from(at / 1000).unwrap());
        }
        told
    }

    #[test]
    fn an_order_that_is_told_twice_is_one_order() {
        let line = "order 1500 vu1-1 201 p 2 o 3998";
        let told = told(&[line, line]);
        let order = Acknowledged {
            second: 1,
            order: "o".to_owned(),
            key: "vu1-1".to_owned(),
            product: "p".to_owned(),
            quantity: 2,
        };
        assert_eq!(told.into_acknowledged(), [order]);
    }

    #[test]
    fn a_key_with_two_orders_stays_two_so_that_the_books_can_be_held_against_both() {
        let told = told(&["order 1 k 201 p 1 a 5", "order 1 k 201 p 1 b 5"]);
        assert_eq!(told.into_acknowledged().len(), 2);
    }

    #[test]
    fn an_order_without_an_answer_is_unsettled_until_one_comes() {
        let silent = "order 1 k 0 p 1";
        let busy = "order 1 k 503 p 1";
        assert_eq!(told(&[silent]).unsettled(), 1);
        assert_eq!(told(&[busy]).unsettled(), 1);
        assert_eq!(told(&["order 1 k 429 p 1"]).unsettled(), 0);
        assert_eq!(told(&[silent, "order 2 k 201 p 1 o 5"]).unsettled(), 0);
        assert_eq!(told(&[silent, "order 2 k 409 p 1"]).unsettled(), 0);
        let late = told(&[silent, "order 2 k 429 p 1", "order 3 k 404 p 1"]);
        assert_eq!(
            late.unsettled_keys(),
            ["k"],
            "the first one may have been committed"
        );
    }

    #[test]
    fn what_a_script_says_otherwise_is_no_order() {
        let mut told = OrdersTold::default();
        assert_eq!(told.line("hello", |_| 0), Told::Talk);
        assert_eq!(told.line("ordering", |_| 0), Told::Talk);
        assert_eq!(told.unreadable(), 0);
        told.line("order 1", |_| 0);
        told.line("order x k 201 p 1 o 5", |_| 0);
        told.line("order 1 k 201 p", |_| 0);
        assert_eq!(told.unreadable(), 3);
    }
}
