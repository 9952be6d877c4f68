//! Takes a shop out of its cluster. Data and secrets are kept unless that is asked for.

use serde_json::Value;

use super::K3sError;
use super::secrets::rewrite;
use crate::cluster::{Cluster, ObjectKey, Reach, all_of, remove, text, unwanted};
use crate::event::Observer;
use crate::render::KNOWN;

/// Whether an object is a Secret with words on what data know.
fn is_marked(object: &Value) -> bool {
    let data = object.get("data").and_then(Value::as_object);
    text(object, "/kind") == Some("Secret")
        && data.is_some_and(|data| data.keys().any(|name| name.ends_with(KNOWN)))
}

/// Takes these words out of it.
fn unmark(secret: &mut Value) {
    if let Some(data) = secret.get_mut("data").and_then(Value::as_object_mut) {
        data.retain(|name, _| !name.ends_with(KNOWN));
    }
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
            let marked = self
                .objects()
                .into_iter()
                .filter(|object| is_marked(object));
            for key in marked.filter_map(ObjectKey::of) {
                rewrite(cluster, &key, unmark).await?;
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
        assert!(is_marked(&marked) && !is_marked(&plain));
        assert!(!is_marked(
            &json!({"kind": "ConfigMap", "data": {"a.known": "b"}})
        ));
        let mut unmarked = marked;
        unmark(&mut unmarked);
        assert_eq!(unmarked, plain);
    }
}
