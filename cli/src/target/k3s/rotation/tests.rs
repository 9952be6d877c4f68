//! A small shop that is told of its secret pod by pod, and that is broken off after every single step.

use super::*;

const NAME: &str = "key";

/// What a pod was told when it was made: the secret and the other one.
type Told = (String, Option<String>);

/// A shop in which users show a secret to acceptors, and to a database that has one password.
#[derive(Clone)]
struct Model {
    secret: Value,
    acceptors: [Told; 2],
    users: [Told; 2],
    /// A user of the database offers one password after the other.
    database: String,
    fresh: u32,
    /// How many more steps are made before it is broken off.
    steps_left: usize,
}

/// It was broken off.
struct BrokenOff;

impl Model {
    fn new() -> Self {
        let told = || ("s0".to_owned(), None);
        Self {
            secret: json!({"kind": "Secret", "metadata": {"name": "common"}, "data": {NAME: "s0"}}),
            acceptors: [told(), told()],
            users: [told(), told()],
            database: "s0".to_owned(),
            fresh: 0,
            steps_left: usize::MAX,
        }
    }

    fn told(&self) -> Told {
        let value = |name: &str| self.secret["data"][name].as_str().map(ToOwned::to_owned);
        (value(NAME).unwrap(), value(&format!("{NAME}{OTHER}")))
    }

    fn step(&mut self, change: impl FnOnce(&mut Self)) -> Result<(), BrokenOff> {
        if self.steps_left == 0 {
            return Err(BrokenOff);
        }
        self.steps_left -= 1;
        change(self);
        self.everybody_gets_along();
        Ok(())
    }

    fn everybody_gets_along(&self) {
        for (uses, other) in &self.users {
            for (accepts, also) in &self.acceptors {
                assert!(
                    accepts == uses || also.as_ref() == Some(uses),
                    "{uses} is shown to one that accepts {accepts} and {also:?}"
                );
            }
            assert!(
                *uses == self.database || other.as_ref() == Some(&self.database),
                "the database has {}, and somebody knows {uses} and {other:?}",
                self.database
            );
        }
        let (one, other) = self.told();
        assert!(
            one == self.database || other.as_ref() == Some(&self.database),
            "nobody knows the password of the database any more"
        );
    }

    /// Makes pods anew in either order, and lets the task set the password in the midst of it.
    fn tell(&mut self, users_first: bool) -> Result<(), BrokenOff> {
        for round in 0..2 {
            let told = self.told();
            if users_first == (round == 0) {
                for at in 0..2 {
                    self.step(|model| model.users[at] = told.clone())?;
                }
            } else {
                for at in 0..2 {
                    self.step(|model| model.acceptors[at] = told.clone())?;
                }
            }
            self.step(|model| model.database = told.0.clone())?;
        }
        Ok(())
    }

    /// What `secrets rotate` does, until nothing is left but to wait.
    fn rotate(
        &mut self,
        mut wanted: bool,
        keep_for: Option<time::Duration>,
        now: OffsetDateTime,
        users_first: bool,
    ) -> Result<Next, BrokenOff> {
        if phase(&self.secret, NAME).is_some() {
            wanted = false;
            self.tell(users_first)?;
        }
        loop {
            let comes = next(phase(&self.secret, NAME), wanted, keep_for, now);
            let Next::Move(deed) = comes else {
                return Ok(comes);
            };
            wanted = false;
            self.step(|model| {
                model.fresh += 1;
                let fresh = format!("s{}", model.fresh);
                carry_out(&mut model.secret, NAME, deed, Some(&fresh), now);
            })?;
            self.tell(users_first)?;
        }
    }
}

fn now() -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000)
}

#[test]
fn a_rotation_that_is_broken_off_anywhere_leaves_a_shop_that_works_and_is_finished_by_another_one()
{
    for users_first in [false, true] {
        for steps in 0.. {
            let mut model = Model::new();
            model.steps_left = steps;
            let whole = model.rotate(true, None, now(), users_first).is_ok();
            model.steps_left = usize::MAX;
            // An `up` tells what the Secret says, whatever that is.
            assert!(model.clone().tell(!users_first).is_ok());
            let again = model.rotate(!whole && steps == 0, None, now(), users_first);
            assert!(matches!(again, Ok(Next::Nothing)));
            // Where only the Secret was settled, pods are still to be told, which is work for `up`.
            assert!(model.tell(users_first).is_ok());
            let told = model.told();
            assert_eq!(told, ("s1".to_owned(), None), "broken off after {steps}");
            assert_eq!(model.database, "s1");
            assert!(
                model
                    .acceptors
                    .iter()
                    .chain(&model.users)
                    .all(|it| *it == told)
            );
            if whole {
                assert!(steps > 20, "it took only {steps} steps");
                break;
            }
        }
    }
}

#[test]
fn the_former_one_is_kept_until_what_was_made_with_it_has_expired() {
    let keep_for = Some(time::Duration::minutes(15));
    let mut model = Model::new();
    let Ok(Next::Wait(until)) = model.rotate(true, keep_for, now(), true) else {
        panic!("it does not wait");
    };
    assert_eq!(until, now() + time::Duration::minutes(15));
    assert_eq!(model.told(), ("s1".to_owned(), Some("s0".to_owned())));
    let early = until - time::Duration::SECOND;
    assert!(matches!(
        model.rotate(false, keep_for, early, true),
        Ok(Next::Wait(_))
    ));
    assert!(matches!(
        model.rotate(false, keep_for, until, true),
        Ok(Next::Nothing)
    ));
    assert_eq!(model.told(), ("s1".to_owned(), None));
}

#[test]
fn what_waits_begins_to_count_only_when_everybody_has_the_new_one() {
    let mut model = Model::new();
    carry_out(&mut model.secret, NAME, Move::Offer, Some("s1"), now());
    carry_out(&mut model.secret, NAME, Move::Take, None, now());
    let later = now() + time::Duration::HOUR;
    let keep_for = Some(time::Duration::MINUTE);
    assert_eq!(phase(&model.secret, NAME), Some(Phase::Taken(None)));
    assert_eq!(
        next(phase(&model.secret, NAME), false, keep_for, later),
        Next::Move(Move::Date)
    );
}

#[test]
fn a_settled_secret_is_left_alone_and_leaves_no_trace_but_when_it_was_made() {
    let mut model = Model::new();
    assert_eq!(next(None, false, None, now()), Next::Nothing);
    assert!(model.rotate(true, None, now(), false).is_ok());
    assert_eq!(made(&model.secret, NAME), Some(now()));
    let annotations = model.secret["metadata"]["annotations"].as_object().unwrap();
    assert_eq!(annotations.len(), 1, "{annotations:?}");
}

#[test]
fn another_secret_without_a_word_about_it_counts_as_offered() {
    let mut model = Model::new();
    carry_out(&mut model.secret, NAME, Move::Offer, Some("s1"), now());
    model.secret["metadata"]["annotations"] = Value::Null;
    assert_eq!(phase(&model.secret, NAME), Some(Phase::Offered));
    let secret = json!({"metadata": {"annotations": {"shopctl/rotation.key": "taken"}}, "data": {NAME: "s0"}});
    assert_eq!(phase(&secret, NAME), None);
}
