//! Takes a shop out of its cluster. Data and secrets are kept unless that is asked for.

use serde_json::Value;

use super::K3sError;
use crate::cluster::{Cluster, ObjectKey, Reach, all_of, remove, unwanted};
use crate::event::Observer;

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
        remove(cluster, &self.objects(), observer).await?;
        Ok(())
    }
}
