//! Replaces secrets of a running shop: lays the next one beside the former, tells everybody, lets them change places,
//! tells everybody, takes the former away, and tells everybody. Telling is what `up` does: objects are made of what the
//! Secrets say, and pods that are given other secrets or files are made anew, one after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use time::OffsetDateTime;

use super::declared::{SecretRow, Unfinished, chosen, declared, unfinished};
use super::objects::{Doing, ObjectSight};
use super::rotation::{Move, Next, next};
use super::secrets::{ClusterSecrets, change, load};
use super::up::{Brought, Upping, Wanting, refuse_hopeless};
use super::{Entrance, K3sError, NAMESPACE, image};
use crate::cluster::{Cluster, ClusterError, Deed, Lease, LeaseRequest, ObjectChange};
use crate::shop::Shop;
use crate::target::secrets::generate;

/// How many names are told in the name of a step.
const TOLD: usize = 3;

/// What is to be rotated.
#[derive(Debug)]
pub struct RotationRequest {
    /// These; what is unfinished is finished in any case.
    pub names: Vec<String>,
    /// Every secret.
    pub all: bool,
    /// Wait until what was made with a former one has expired, too.
    pub wait: bool,
}

impl Wanting<'_> {
    /// The secrets of a shop.
    pub async fn secrets(&self, cluster: &Cluster) -> Result<Vec<SecretRow>, K3sError> {
        let secrets = load(Some(cluster), NAMESPACE, self.environment, self.catalogue).await?;
        let mut unfinished = unfinished(&secrets, self.environment, self.catalogue);
        let rows =
            declared(self.environment, self.catalogue)
                .into_iter()
                .map(|(name, declared)| SecretRow {
                    name: name.to_owned(),
                    object: declared.spec.object.clone(),
                    components: declared
                        .components
                        .iter()
                        .map(|component| component.name.to_string())
                        .collect(),
                    made: secrets.made.get(name).copied(),
                    rotates: declared.rotates(),
                    rotation: unfinished
                        .iter()
                        .position(|it| it.name == name)
                        .map(|at| unfinished.swap_remove(at)),
                });
        Ok(rows.collect())
    }

    /// The names of those that a request would rotate, and of those that it would go on with. Refuses what cannot be
    /// rotated.
    pub async fn rotatable(
        &self,
        cluster: &Cluster,
        request: &RotationRequest,
    ) -> Result<(Vec<String>, Vec<Unfinished>), K3sError> {
        let rows = self.secrets(cluster).await?;
        chosen(&rows, request)
    }

    /// Rotates secrets and finishes what stands unfinished. The lease is held until whoever is given it releases it.
    pub async fn rotate(
        &self,
        cluster: Cluster,
        request: &RotationRequest,
        upping: &Upping<'_>,
    ) -> Result<(Brought, Vec<Unfinished>), K3sError> {
        let asked = LeaseRequest {
            environment: self.environment.name.as_str(),
            command: "secrets rotate",
            refuse: upping.refuse,
            interrupt: upping.interrupt,
        };
        let image = self.image()?;
        let entrance = Entrance::find(&cluster, self.environment).await?;
        let lease = Lease::take(&cluster, &asked, upping.observer).await?;
        let rotating = Rotating {
            wanting: self,
            cluster: &cluster,
            upping,
            image,
        };
        let outcome = tokio::select! {
            biased;
            lost = lease.lost() => Err(lost.into()),
            outcome = rotating.rotate(request) => outcome,
        };
        match outcome {
            Ok(Rotated {
                secrets,
                digest,
                left,
            }) => {
                let shop = Shop::behind(&entrance.host, entrance.address, &secrets.set);
                let brought = Brought {
                    cluster,
                    lease,
                    secrets: secrets.set,
                    entrance,
                    shop,
                    digest,
                    changed: true,
                };
                Ok((brought, left))
            }
            Err(error) => {
                // The next run would find out by itself, only later.
                let _ = lease.release().await;
                Err(error)
            }
        }
    }
}

/// Whether a change can come of another secret. Whatever else differs has to be looked at by somebody first.
fn follows_from_secrets(change: &ObjectChange) -> bool {
    match change.deed {
        Deed::Keep => true,
        Deed::Change => change.fields.iter().all(|field| {
            let path = field.path.as_str();
            path.rsplit('.').next() != Some("image") && path != "spec.replicas"
        }),
        // What tells the data is named by what it tells.
        Deed::Create | Deed::Replace | Deed::Prune => {
            matches!(change.object.kind.as_str(), "Job" | "Secret" | "ConfigMap")
        }
    }
}

struct Rotated {
    secrets: ClusterSecrets,
    digest: String,
    /// What only time can finish.
    left: Vec<Unfinished>,
}

struct Rotating<'a> {
    wanting: &'a Wanting<'a>,
    cluster: &'a Cluster,
    upping: &'a Upping<'a>,
    image: image::ShopImage,
}

impl Rotating<'_> {
    async fn rotate(&self, request: &RotationRequest) -> Result<Rotated, K3sError> {
        let (begun, unfinished) = self.wanting.rotatable(self.cluster, request).await?;
        // Those that begin, until they have begun.
        let mut begun: BTreeSet<String> = begun.into_iter().collect();
        if unfinished.is_empty() {
            self.refuse_unsettled().await?;
        } else {
            // Whoever was killed may not have told everybody.
            self.tell().await?;
        }
        loop {
            let secrets = self.load().await?;
            let (moves, until) = self.moves(&secrets, &begun);
            if moves.is_empty() {
                match until.filter(|_| request.wait) {
                    Some(until) => self.wait(until).await?,
                    None => return self.settled(secrets).await,
                }
                continue;
            }
            self.change(&secrets, &moves).await?;
            begun.retain(|name| moves.get(name) != Some(&Move::Offer));
            if moves.values().any(|deed| *deed != Move::Date) {
                self.tell().await?;
            }
        }
    }

    async fn load(&self) -> Result<ClusterSecrets, K3sError> {
        let (environment, catalogue) = (self.wanting.environment, self.wanting.catalogue);
        load(Some(self.cluster), NAMESPACE, environment, catalogue).await
    }

    /// What is to be done with the Secrets now that everybody knows them, and until when nothing may be done with some.
    fn moves(
        &self,
        secrets: &ClusterSecrets,
        begun: &BTreeSet<String>,
    ) -> (BTreeMap<String, Move>, Option<OffsetDateTime>) {
        let now = OffsetDateTime::now_utc();
        let mut moves = BTreeMap::new();
        let mut until = None;
        for (name, declared) in declared(self.wanting.environment, self.wanting.catalogue) {
            let phase = secrets.phases.get(name).copied();
            match next(phase, begun.contains(name), declared.keep_for, now) {
                Next::Move(deed) => {
                    moves.insert(name.to_owned(), deed);
                }
                Next::Wait(moment) => until = until.max(Some(moment)),
                Next::Nothing => {}
            }
        }
        (moves, until)
    }

    async fn change(
        &self,
        secrets: &ClusterSecrets,
        moves: &BTreeMap<String, Move>,
    ) -> Result<(), K3sError> {
        let observer = self.upping.observer;
        for (deed, step) in steps(moves) {
            observer.started(&step);
            let mut outcome = Ok(());
            for (home, deeds) in self.deeds(secrets, moves, deed)? {
                outcome = change(self.cluster, NAMESPACE, home, &deeds).await;
                if outcome.is_err() {
                    break;
                }
            }
            match &outcome {
                Ok(()) => observer.done(&step, true),
                Err(error) => observer.failed(&step, error.to_string()),
            }
            outcome?;
        }
        Ok(())
    }

    /// One kind of change, by the Secret that is changed.
    #[expect(clippy::type_complexity, reason = "it is looked at once")]
    fn deeds<'s>(
        &self,
        secrets: &'s ClusterSecrets,
        moves: &BTreeMap<String, Move>,
        wanted: Move,
    ) -> Result<BTreeMap<&'s str, Vec<(String, Move, Option<String>)>>, K3sError> {
        let environment = self.wanting.environment;
        let declared = declared(environment, self.wanting.catalogue);
        let mut deeds: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        for (name, deed) in moves.iter().filter(|(_, deed)| **deed == wanted) {
            let (Some(home), Some(declared)) =
                (secrets.homes.get(name), declared.get(name.as_str()))
            else {
                continue;
            };
            let fresh = match deed {
                Move::Offer => {
                    let length = environment.secrets.password_length;
                    let value = generate(declared.spec.kind, length).map_err(|reason| {
                        ClusterError::UnusableSecret {
                            name: name.clone(),
                            reason,
                        }
                    })?;
                    Some(value)
                }
                Move::Take | Move::Date | Move::Retire => None,
            };
            let entry = deeds.entry(home.as_str()).or_default();
            entry.push((name.clone(), *deed, fresh));
        }
        Ok(deeds)
    }

    /// Tells everybody what the Secrets say, and waits until they know.
    async fn tell(&self) -> Result<(), K3sError> {
        let secrets = self.load().await?;
        let objects = self
            .wanting
            .objects(self.cluster, &secrets, &self.image)
            .await?;
        let seen: ObjectSight = objects.look().await?;
        refuse_hopeless(&seen.plan, self.upping.force)?;
        if let Some(change) = seen
            .plan
            .pending()
            .find(|change| !follows_from_secrets(change))
        {
            return Err(K3sError::UnsettledBy(change.object.to_string()));
        }
        let rollout = &self.wanting.environment.k3s.rollout;
        let doing = Doing {
            force: self.upping.force,
            deadline: Duration::from_secs_f64(rollout.deadline.seconds()),
            interrupt: self.upping.interrupt,
        };
        objects.carry_out(&seen, &doing, self.upping.observer).await
    }

    /// A rotation makes pods anew. It must not bring changes along that nobody has looked at.
    async fn refuse_unsettled(&self) -> Result<(), K3sError> {
        let secrets = self.load().await?;
        let objects = self
            .wanting
            .objects(self.cluster, &secrets, &self.image)
            .await?;
        if secrets.missing.is_empty() && !objects.look().await?.plan.has_work() {
            return Ok(());
        }
        Err(K3sError::Unsettled)
    }

    async fn wait(&self, until: OffsetDateTime) -> Result<(), K3sError> {
        let observer = self.upping.observer;
        let step = "wait until what was made with the former secret has expired";
        observer.started(step);
        loop {
            let left = until - OffsetDateTime::now_utc();
            if left <= time::Duration::ZERO {
                observer.done(step, false);
                return Ok(());
            }
            observer.waiting(step, format!("{} s more", left.whole_seconds() + 1));
            let second = Duration::from_secs(1).min(left.unsigned_abs());
            tokio::select! {
                () = tokio::time::sleep(second) => {}
                () = self.upping.interrupt.pressed() => {
                    observer.failed(step, "stopped by Ctrl-C");
                    return Err(ClusterError::Interrupted.into());
                }
            }
        }
    }

    async fn settled(&self, secrets: ClusterSecrets) -> Result<Rotated, K3sError> {
        let digest = self
            .wanting
            .objects(self.cluster, &secrets, &self.image)
            .await?
            .digest()
            .await?;
        let (environment, catalogue) = (self.wanting.environment, self.wanting.catalogue);
        let left = unfinished(&secrets, environment, catalogue);
        Ok(Rotated {
            secrets,
            digest,
            left,
        })
    }
}

/// The kinds of changes among some, in their order, each with what people call it.
fn steps(moves: &BTreeMap<String, Move>) -> Vec<(Move, String)> {
    let mut steps = Vec::new();
    for deed in [Move::Offer, Move::Take, Move::Date, Move::Retire] {
        let names: Vec<&str> = moves
            .iter()
            .filter(|(_, move_)| **move_ == deed)
            .map(|(name, _)| name.as_str())
            .collect();
        if names.is_empty() {
            continue;
        }
        let of = if names.len() > TOLD {
            format!("{} secrets", names.len())
        } else {
            names.join(", ")
        };
        steps.push((
            deed,
            match deed {
                Move::Offer => format!("make another {of}"),
                Move::Take => format!("put the new {of} in place"),
                Move::Date => format!("note when everybody had the new {of}"),
                Move::Retire => format!("take the former {of} away"),
            },
        ));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{FieldChange, ObjectKey};

    fn change(kind: &str, deed: Deed, path: &str) -> ObjectChange {
        ObjectChange {
            object: ObjectKey {
                group: String::new(),
                kind: kind.to_owned(),
                namespace: None,
                name: "order".to_owned(),
            },
            deed,
            fields: vec![FieldChange {
                path: path.to_owned(),
                before: None,
                after: None,
                lines: Vec::new(),
                set_by: None,
            }],
            conflicts: Vec::new(),
            refusal: None,
        }
    }

    #[test]
    fn a_rotation_brings_no_changes_along_that_are_not_its_own() {
        let checksum = "spec.template.metadata.annotations.shopctl/checksum";
        let image = "spec.template.spec.containers[order].image";
        for (kind, deed, path, expected) in [
            ("Deployment", Deed::Change, checksum, true),
            ("Job", Deed::Prune, "", true),
            ("Deployment", Deed::Change, image, false),
            ("Deployment", Deed::Change, "spec.replicas", false),
            ("Deployment", Deed::Prune, "", false),
            ("StatefulSet", Deed::Create, "", false),
        ] {
            let seen = follows_from_secrets(&change(kind, deed, path));
            assert_eq!(seen, expected, "{kind} {deed:?} {path}");
        }
    }
}
