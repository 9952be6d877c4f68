//! How far the rotation of a secret is, and what comes next. Pure: a Secret as it was read goes in, and comes out changed.
//!
//! While a secret `NAME` is rotated, its Secret holds another one beside it under `NAME.other`, and an annotation says
//! which of the two is which:
//!
//! | phase | `NAME` | `NAME.other` | who |
//! |---|---|---|---|
//! | settled | old | | everybody uses and accepts the old one |
//! | offered | old | new | everybody uses the old one; whoever accepts it learns to accept both |
//! | taken | new | old | everybody learns to use the new one; both are accepted |
//! | settled | new | | whoever accepts it forgets the old one |
//!
//! Each change of phase is one write of one object, and the next one comes only when every pod and task has been told of
//! the last. So whoever is killed anywhere leaves a shop in which every two that meet have a secret in common, and
//! whoever goes on sees in the Secret where.

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cluster::text;
use crate::render::OTHER;

/// The annotation that says how far the rotation of a secret is.
const PHASE: &str = "shopctl/rotation.";
/// The annotation that says when a secret was made.
const MADE: &str = "shopctl/made.";
const OFFERED: &str = "offered";
const TAKEN: &str = "taken";

/// How far a rotation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The other one is the next one.
    Offered,
    /// The other one is the one before. If it is known when everybody had the new one: that moment.
    Taken(Option<OffsetDateTime>),
}

/// A change of a Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Move {
    /// A new one is laid beside the secret.
    Offer,
    /// The two change places.
    Take,
    /// It is noted that everybody has the new one.
    Date,
    /// The old one goes.
    Retire,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A change of the Secret.
    Move(Move),
    /// Nothing before this moment: what was made with the old one is good until then.
    Wait(OffsetDateTime),
    /// Nothing: it is settled.
    Nothing,
}

/// What comes next for a secret, now that everybody has been told what its Secret says. A new rotation begins if it is
/// wanted; `keep_for` is how long the old one is still accepted when everybody has the new one.
pub(super) fn next(
    phase: Option<Phase>,
    wanted: bool,
    keep_for: Option<time::Duration>,
    now: OffsetDateTime,
) -> Next {
    match (phase, keep_for) {
        (None, _) if wanted => Next::Move(Move::Offer),
        (None, _) => Next::Nothing,
        (Some(Phase::Offered), _) => Next::Move(Move::Take),
        (Some(Phase::Taken(_)), None) => Next::Move(Move::Retire),
        (Some(Phase::Taken(None)), Some(_)) => Next::Move(Move::Date),
        (Some(Phase::Taken(Some(since))), Some(keep_for)) if now >= since + keep_for => {
            Next::Move(Move::Retire)
        }
        (Some(Phase::Taken(Some(since))), Some(keep_for)) => Next::Wait(since + keep_for),
    }
}

/// How far the rotation of a secret is, as the Secret that holds it says. Without a word about it the other one counts as
/// offered: what follows from that is right for either.
pub(super) fn phase(secret: &Value, name: &str) -> Option<Phase> {
    secret
        .get("data")
        .and_then(|data| data.get(format!("{name}{OTHER}")))
        .filter(|other| !other.is_null())?;
    let said = annotation(secret, PHASE, name).unwrap_or(OFFERED);
    Some(match said.strip_prefix(TAKEN) {
        Some(rest) => Phase::Taken(OffsetDateTime::parse(rest.trim(), &Rfc3339).ok()),
        None => Phase::Offered,
    })
}

/// When a secret was made, if its Secret tells.
pub(super) fn made(secret: &Value, name: &str) -> Option<OffsetDateTime> {
    annotation(secret, MADE, name)
        .or_else(|| text(secret, "/metadata/creationTimestamp"))
        .and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok())
}

/// Notes when a secret was made.
pub(super) fn note_made(secret: &mut Value, name: &str, now: OffsetDateTime) {
    annotate(secret, MADE, name, Some(&written(now)));
}

/// Changes a Secret. `fresh` is the new secret in base64, which only an offer needs.
pub(super) fn carry_out(
    secret: &mut Value,
    name: &str,
    deed: Move,
    fresh: Option<&str>,
    now: OffsetDateTime,
) {
    let other = format!("{name}{OTHER}");
    match deed {
        Move::Offer => {
            secret["data"][&other] = json!(fresh);
            annotate(secret, PHASE, name, Some(OFFERED));
        }
        Move::Take => {
            let (old, new) = (secret["data"][name].take(), secret["data"][&other].take());
            secret["data"][name] = new;
            secret["data"][&other] = old;
            annotate(secret, PHASE, name, Some(TAKEN));
            note_made(secret, name, now);
        }
        Move::Date => {
            let said = format!("{TAKEN} {}", written(now));
            annotate(secret, PHASE, name, Some(&said));
        }
        Move::Retire => {
            if let Some(data) = secret["data"].as_object_mut() {
                data.remove(&other);
            }
            annotate(secret, PHASE, name, None);
        }
    }
}

pub(super) fn written(moment: OffsetDateTime) -> String {
    let whole = moment.replace_nanosecond(0).unwrap_or(moment);
    whole.format(&Rfc3339).unwrap_or_default()
}

fn annotation<'a>(secret: &'a Value, about: &str, name: &str) -> Option<&'a str> {
    let annotations = secret.get("metadata")?.get("annotations")?;
    annotations.get(format!("{about}{name}"))?.as_str()
}

fn annotate(secret: &mut Value, about: &str, name: &str, said: Option<&str>) {
    let annotations = &mut secret["metadata"]["annotations"];
    if annotations.is_null() {
        *annotations = json!({});
    }
    let Some(annotations) = annotations.as_object_mut() else {
        return;
    };
    let key = format!("{about}{name}");
    match said {
        Some(said) => annotations.insert(key, json!(said)),
        None => annotations.remove(&key),
    };
}

#[cfg(test)]
mod tests;
