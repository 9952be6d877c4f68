//! The services' image in a registry: asks what the registry lacks of it, and pushes that.

use std::path::Path;

use serde::Serialize;

use super::K3sError;
use super::image::{Pulled, SHORT_NAME, ShopImage};
use super::plan::Note;
use crate::bootstrap::Problem;
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

/// What is wrong with a registry, as something that is in the way.
pub(super) fn problem(error: &RegistryError) -> Problem {
    Problem {
        host: None,
        what: error.to_string(),
        hint: error.hint(),
    }
}

/// A registry that gave no answer, where every host holds the image already: nothing needs it now.
pub(super) fn unneeded(error: &RegistryError) -> Note {
    Note {
        what: format!("{error}; every host holds the image"),
        hint: error.hint(),
    }
}
