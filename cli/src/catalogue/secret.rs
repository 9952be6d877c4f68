//! What a `component.yaml` says of secrets.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A secret: the file `secrets/<name>` in the state folder. Components that name the same one share it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretSpec {
    /// Its name, which is also its name in templates (`secrets.NAME`).
    pub name: String,
    /// What it is made of.
    pub kind: SecretKind,
    /// The Secret that holds it on k3s.
    #[serde(default = "common", skip_serializing_if = "is_common")]
    pub object: String,
    /// What keeps it once it was made. Absent: another one may take its place, since whoever uses it is told again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound_to: Option<SecretBond>,
    /// Instances recognize each other by it, so that it cannot be replaced in one after the other: another one is made
    /// only while none of the shop runs.
    #[serde(default)]
    pub shared_by_peers: bool,
    /// How the component gets along with two of it while it is rotated. Absent: it only uses the secret, and is told of
    /// another one by new pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate: Option<RotateSpec>,
}

impl SecretSpec {
    /// Whether the component is given the other one as a file while it is rotated.
    pub fn gives_other(&self) -> bool {
        let both = self.rotate.as_ref().map(|rotate| rotate.both);
        matches!(both, Some(BothBy::Pods | BothBy::Tasks))
    }

    /// Whether the component's data know it, so that another one would not fit.
    pub fn is_known_by_data(&self) -> bool {
        matches!(self.bound_to, Some(SecretBond::Data(_)))
    }

    /// Whether the component's tasks tell its data of another one, so that its pods can stay.
    pub fn is_told_by_tasks(&self) -> bool {
        self.rotate
            .as_ref()
            .is_some_and(|rotate| rotate.both == BothBy::Tasks)
    }
}

/// How a component gets along with two secrets while one takes the other's place on k3s.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RotateSpec {
    /// Where it meets both.
    pub both: BothBy,
    /// The setting that says how long what was made with the former one is still good: so long both are accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_for: Option<String>,
}

/// Where a component meets both secrets while one takes the other's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum BothBy {
    /// Its files name both (`secrets.NAME.values` in templates), so that it accepts either.
    Files,
    /// Its pods are given both as files (`secrets.NAME.other` in templates), and offer or accept either.
    Pods,
    /// Its tasks are given both as files, and tell its data of the new one. Its pods need not know, and stay.
    Tasks,
}

/// What keeps a secret, so that another one would not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum SecretBond {
    /// The component's data. The text says how to set another one there by hand; `{data}`, `{secret}` and names
    /// of the component's programs in braces become the data folder, the secret's file and the programs, quoted for a
    /// shell.
    Data(String),
}

/// What a secret is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SecretKind {
    /// Letters and digits, for a password.
    Password,
    /// 32 random bytes in hexadecimal, for a bearer token.
    Token,
    /// A private Ed25519 key, PKCS#8 in PEM.
    Ed25519Key,
}

fn common() -> String {
    "common".to_owned()
}

fn is_common(object: &str) -> bool {
    object == "common"
}

#[cfg(test)]
mod tests {
    use crate::catalogue::{Catalogue, Origin, Templates};

    /// What is wrong with a component that has such a secret.
    fn wrong(secret: &str) -> Vec<String> {
        let text = format!(
            "name: box\nabout: a box\nkind: server\nrun: [box]\nsecrets:\n  - {secret}\n\
             settings:\n  life: {{ type: duration, default: 15m, about: how long it lives }}\n  \
             size: {{ type: integer, default: 1, about: how large it is }}\n"
        );
        let mut templates = Templates::default();
        templates.insert("box/component.yaml", text, Origin::Shipped);
        let invalid = Catalogue::parse(templates).err().unwrap_or_default();
        let problems = invalid.into_iter().flat_map(|file| file.problems);
        problems.map(|problem| problem.message).collect()
    }

    #[test]
    fn what_says_how_long_a_former_secret_is_good_is_a_duration() {
        let kept = |setting: &str| {
            format!("{{ name: key, kind: password, rotate: {{ both: pods, keepFor: {setting} }} }}")
        };
        assert_eq!(wrong(&kept("life")), Vec::<String>::new());
        for setting in ["size", "lives"] {
            let message = format!("the component has no setting `{setting}` that is a duration");
            assert_eq!(wrong(&kept(setting)), [message]);
        }
    }

    #[test]
    fn where_both_are_met_is_one_of_three_places() {
        let found = wrong("{ name: key, kind: password, rotate: { both: everywhere } }");
        assert_eq!(found.len(), 1, "{found:?}");
    }
}
