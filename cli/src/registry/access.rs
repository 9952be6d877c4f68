//! Where a registry is and who we are there.

use std::fs;
use std::path::{Path, PathBuf};

use super::RegistryError;
use crate::environment::Registry;
use crate::render::Secret;

/// A registry, and who we are there.
#[derive(Clone, Debug)]
pub struct Access {
    /// Host, port and path, as the environment has it.
    pub address: String,
    /// Who we are; none: anybody.
    pub user: Option<String>,
    /// Whether it speaks HTTP without TLS.
    pub plain_http: bool,
    /// The text of the file with the certificate that its own is signed by.
    pub authority: Option<String>,
    /// Where that file is.
    pub authority_file: Option<PathBuf>,
    password: Option<Secret>,
}

impl Access {
    /// Reads the files that an environment names for its registry, seen from `folder`. All that is wrong with them is
    /// told at once.
    pub fn read(registry: &Registry, folder: &Path) -> Result<Self, Vec<RegistryError>> {
        let mut errors = Vec::new();
        let mut text = |file: &Option<String>, setting: &'static str| {
            let path = folder.join(file.as_ref()?);
            match fs::read_to_string(&path) {
                Ok(text) => Some((path, text)),
                Err(source) => {
                    errors.push(RegistryError::File {
                        path,
                        setting,
                        source,
                    });
                    None
                }
            }
        };
        let password = text(&registry.password_file, "registry.passwordFile");
        let authority = text(&registry.ca_file, "registry.caFile");
        if !errors.is_empty() {
            return Err(errors);
        }
        let (authority_file, authority) = authority.unzip();
        Ok(Self {
            address: registry.address.clone(),
            user: registry.user.clone(),
            plain_http: registry.plain_http,
            authority,
            authority_file,
            // An editor ends the last line, and nobody means that as a part of the password.
            password: password
                .map(|(path, text)| Secret::new(path.to_string_lossy(), text.trim_end())),
        })
    }

    /// Host and port.
    pub fn host(&self) -> &str {
        self.address.split('/').next().unwrap_or_default()
    }

    /// The name of an image there as the registry's own paths have it: without the host.
    pub fn repository(&self, image: &str) -> String {
        match self.address.split_once('/') {
            Some((_, path)) => format!("{path}/{image}"),
            None => image.to_owned(),
        }
    }

    /// The password, if there is one.
    pub fn password(&self) -> Option<&Secret> {
        self.password.as_ref()
    }

    /// What its addresses begin with.
    pub(super) fn base(&self) -> String {
        let scheme = if self.plain_http { "http" } else { "https" };
        format!("{scheme}://{}", self.host())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry() -> Registry {
        Registry {
            address: "registry.example.com:5000/shop".to_owned(),
            user: Some("joe".to_owned()),
            password_file: Some("password".to_owned()),
            ca_file: Some("ca.crt".to_owned()),
            plain_http: false,
        }
    }

    #[test]
    fn files_that_are_not_there_are_named_all_at_once_with_their_settings() {
        let folder = tempfile::tempdir().unwrap();
        let errors = Access::read(&registry(), folder.path()).unwrap_err();
        let said: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].contains("registry.passwordFile") && said[0].contains("password"));
        assert!(said[1].contains("registry.caFile") && said[1].contains("ca.crt"));
    }

    #[test]
    fn a_password_is_read_without_the_end_of_its_line_and_is_in_no_debug_output() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("password"), "hunter2\n").unwrap();
        fs::write(folder.path().join("ca.crt"), "").unwrap();
        let access = Access::read(&registry(), folder.path()).unwrap();
        assert_eq!(access.password().unwrap().expose(), "hunter2");
        assert!(!format!("{access:?}").contains("hunter2"));
        assert_eq!(access.host(), "registry.example.com:5000");
        assert_eq!(access.repository("shopd"), "shop/shopd");
    }
}
