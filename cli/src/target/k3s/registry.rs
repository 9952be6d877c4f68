//! The services' image in a registry: asks what the registry lacks of it, and pushes that.

use std::path::Path;

use serde::Serialize;

use super::K3sError;
use super::image::{Pulled, SHORT_NAME, ShopImage};
use crate::bootstrap::{BootstrapError, Problem};
use crate::environment::Environment;
use crate::event::Observer;
use crate::interrupt::Interrupt;
use crate::registry::{Access, Client, Lack, PackedImage, RegistryError};

/// What would be pushed. Field names are stable.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImagePush {
    /// The image, as hosts pull it.
    pub image: String,
    /// How many of its parts the registry lacks.
    pub parts: usize,
    /// How many bytes these are.
    pub bytes: u64,
}

/// The registry of an environment, as far as this machine knows it; none: the environment has none.
pub(super) fn access(
    environment: &Environment,
    beside: &Path,
) -> Result<Option<Access>, Vec<RegistryError>> {
    let registry = environment.registry.as_ref();
    registry
        .map(|registry| Access::read(registry, beside))
        .transpose()
}

/// A registry that was asked what it lacks of an image.
pub(super) struct Pushing {
    client: Client,
    name: String,
    image: PackedImage,
    lack: Lack,
}

impl Pushing {
    /// Asks. Changes nothing. None: the image goes through no registry.
    pub(super) async fn look(
        access: Option<&Access>,
        image: &ShopImage,
    ) -> Result<Option<Self>, RegistryError> {
        let (Some(access), Some(Pulled { name, image })) = (access, &image.pulled) else {
            return Ok(None);
        };
        let client = Client::open(access.clone(), SHORT_NAME).await?;
        let lack = client.lacks(SHORT_NAME, image).await?;
        Ok(Some(Self {
            client,
            name: name.clone(),
            image: image.clone(),
            lack,
        }))
    }

    /// What would be pushed; none: the registry has it.
    pub(super) fn plan(&self) -> Option<ImagePush> {
        (!self.lack.is_nothing()).then(|| ImagePush {
            image: self.name.clone(),
            parts: self.lack.parts.len(),
            bytes: self.lack.size(),
        })
    }

    /// Pushes what is lacking.
    pub(super) async fn carry_out(
        &self,
        observer: &dyn Observer,
        interrupt: &Interrupt,
    ) -> Result<(), K3sError> {
        if self.lack.is_nothing() {
            return Ok(());
        }
        let step = format!("push {SHORT_NAME} to {}", self.client.access.address);
        observer.started(&*step);
        let pushed = tokio::select! {
            biased;
            pushed = self.client.push(SHORT_NAME, &self.image, &self.lack, (observer, &step)) => pushed,
            // What was sent whole stays there, and the next run sends the rest.
            () = interrupt.pressed() => Err(RegistryError::Interrupted(self.name.clone())),
        };
        match &pushed {
            Ok(()) => observer.done(step, true),
            Err(error) => observer.failed(step, error.to_string()),
        }
        Ok(pushed?)
    }
}

/// What was seen of machines, with what is wrong with the registry among what is in the way there.
pub(super) fn with_problems<T>(
    seen: Result<T, K3sError>,
    errors: &[RegistryError],
) -> Result<T, K3sError> {
    if errors.is_empty() {
        return seen;
    }
    let mut problems = match seen {
        Ok(_) => Vec::new(),
        Err(K3sError::Bootstrap(BootstrapError::Unprepared(problems))) => problems,
        Err(other) => return Err(other),
    };
    problems.extend(errors.iter().map(|error| Problem {
        host: None,
        what: error.to_string(),
        hint: error.hint(),
    }));
    Err(BootstrapError::Unprepared(problems).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_that_is_wrong_is_told_with_what_else_is_in_the_way() {
        let host = Problem {
            host: Some("agent".to_owned()),
            what: "it has no ip".to_owned(),
            hint: "install it".to_owned(),
        };
        let unprepared = K3sError::Bootstrap(BootstrapError::Unprepared(vec![host]));
        let without_tls = || RegistryError::WithoutTls {
            registry: "registry.example.com".to_owned(),
        };
        let error = with_problems::<()>(Err(unprepared), &[without_tls()]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "failed to begin: 2 things are in the way"
        );
        assert!(error.hints()[1].contains("registry.plainHttp: true"));
        let error = with_problems(Ok(()), &[without_tls()]).unwrap_err();
        assert!(
            error.to_string().contains("registry.example.com"),
            "{error}"
        );
        assert!(with_problems(Ok(()), &[]).is_ok());
    }
}
