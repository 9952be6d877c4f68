//! Takes a shop out of its cluster. Data and secrets are kept unless that is asked for.

use serde_json::Value;

use super::K3sError;
use crate::cluster::{Cluster, ClusterError, ObjectKey, Reach, all_of, remove, text, unwanted};
use crate::event::Observer;
use crate::render::KNOWN;

/// How often changing a Secret is tried when others change it meanwhile.
const TRIES: u32 = 5;

/// Takes the words on what data know out of a Secret, again if somebody else changed it meanwhile.
async fn unmark(cluster: &Cluster, secret: &Value) -> Result<(), K3sError> {
    let Some(key) = ObjectKey::of(secret) else {
        return Ok(());
    };
    for _ in 0..TRIES {
        let found = cluster.get(&key).await?;
        let Some(unmarked) = found.as_ref().and_then(without_marks) else {
            return Ok(());
        };
        if cluster.replace(&unmarked).await? {
            return Ok(());
        }
    }
    let reason = "others change it all the time".to_owned();
    let name = key.name;
    Err(ClusterError::UnusableSecret { name, reason }.into())
}

/// A Secret without its words on what data know; none if it has no such word.
fn without_marks(object: &Value) -> Option<Value> {
    if text(object, "/kind") != Some("Secret") {
        return None;
    }
    let mut object = object.clone();
    let data = object.get_mut("data")?.as_object_mut()?;
    let before = data.len();
    data.retain(|name, _| !name.ends_with(KNOWN));
    (data.len() < before).then_some(object)
}

/// What would be removed.
#[derive(Debug)]
pub struct Removal {
    live: Vec<Value>,
    environment: String,
    reach: Reach,
}

impl Removal {
    /// Looks at what there is of an environment.
    pub async fn look(
        cluster: &Cluster,
        environment: &str,
        reach: Reach,
    ) -> Result<Self, K3sError> {
        Ok(Self {
            live: all_of(cluster, environment).await?,
            environment: environment.to_owned(),
            reach,
        })
    }

    fn objects(&self) -> Vec<&Value> {
        unwanted(
            &self.live,
            &std::collections::BTreeSet::new(),
            &self.environment,
            self.reach,
        )
    }

    /// The objects, in the order in which they are removed.
    pub fn keys(&self) -> Vec<ObjectKey> {
        self.objects()
            .into_iter()
            .filter_map(ObjectKey::of)
            .collect()
    }

    /// Removes them, and waits until they are gone.
    pub async fn carry_out(
        &self,
        cluster: &Cluster,
        observer: &dyn Observer,
    ) -> Result<(), K3sError> {
        if self.reach == Reach::Everything {
            // Claims go before Secrets. Whoever is killed in between leaves none that tell of data which are gone.
            for secret in self.objects() {
                if without_marks(secret).is_some() {
                    unmark(cluster, secret).await?;
                }
            }
        }
        remove(cluster, &self.objects(), observer).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_words_on_what_data_know_are_taken_out_of_a_secret() {
        let secret =
            |data: Value| json!({"kind": "Secret", "metadata": {"name": "common"}, "data": data});
        let marked =
            secret(json!({"postgres-superuser": "eA==", "postgres-superuser.known": "eQ=="}));
        let plain = secret(json!({"postgres-superuser": "eA=="}));
        assert_eq!(without_marks(&marked), Some(plain.clone()));
        assert_eq!(without_marks(&plain), None);
        assert_eq!(
            without_marks(&json!({"kind": "ConfigMap", "data": {"a.known": "b"}})),
            None
        );
    }
}
